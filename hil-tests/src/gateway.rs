//! The gateway's program, started like a service manager starts it.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{SOON, Site, until};

/// The program that is tried: the one beside this test, or what `VESI_BINARY` names, such as one out of a package.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("VESI_BINARY") {
        return named.into();
    }
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let binary = profile.join("vesigate");
    assert!(
        binary.exists(),
        "{} is not there: build it with `cargo build -p vesigate --bin vesigate`, or let ./test do it",
        binary.display()
    );
    binary
}

/// What runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Half {
    /// `vesigate collect`
    Collect,
    /// `vesigate deliver`
    Deliver,
    /// `vesigate run`
    Both,
}

impl Half {
    const fn command(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Deliver => "deliver",
            Self::Both => "run",
        }
    }
}

/// A running gateway, or one half of it. Dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    half: Half,
    child: Child,
    log: PathBuf,
    /// Where this run's part of the log begins.
    log_from: u64,
    sockets: PathBuf,
    notify: UnixDatagram,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it logged.
    pub text: String,
}

/// Tells the runs apart.
static RUNS: AtomicU32 = AtomicU32::new(0);

impl Gateway {
    /// Starts it and waits until it says that it is ready.
    pub async fn start(site: &Site, half: Half) -> Self {
        Self::spawn(site, half).ready().await
    }

    /// Starts it.
    #[must_use]
    pub fn spawn(site: &Site, half: Half) -> Self {
        Self::spawn_through(site, half, &[])
    }

    /// Starts it through a program that ends by executing the rest of its arguments.
    #[must_use]
    pub fn spawn_through(site: &Site, half: Half, wrapper: &[&str]) -> Self {
        let log = site.path("logs").join(half.command()).with_extension("log");
        let to = File::options().create(true).append(true).open(&log).unwrap();
        let log_from = to.metadata().unwrap().len();
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let notify_path = site.path("run").join(format!("notify-{run}"));
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        let binary = binary();
        let mut command = match wrapper {
            [] => Command::new(&binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&binary);
                command
            }
        };
        command.arg(half.command()).arg("--config").arg(site.config()).args(["--log", &site.log_level]);
        if let Some(clock) = site.clock {
            command.args(["--clock", &clock.argument()]);
        }
        command.env_remove("JOURNAL_STREAM").env("NOTIFY_SOCKET", &notify_path).env("RUST_BACKTRACE", "1");
        if let Some(authority) = &site.mail_authority {
            command.env("SSL_CERT_FILE", authority);
        }
        command.stdin(Stdio::null()).stdout(to.try_clone().unwrap()).stderr(to).kill_on_drop(true);
        let child = command.spawn().unwrap();
        Self { half, child, log, log_from, sockets: site.path("run"), notify }
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends instead, or does not come up.
    pub async fn ready(mut self) -> Self {
        let mut buffer = [0; 256];
        loop {
            let told = async {
                tokio::select! {
                    told = self.notify.recv(&mut buffer) => Ok(told.unwrap()),
                    ended = self.child.wait() => Err(ended.unwrap()),
                }
            };
            match timeout(SOON, told).await {
                Ok(Ok(length)) if buffer[..length].windows(7).any(|part| part == b"READY=1") => return self,
                Ok(Ok(_)) => {}
                Ok(Err(ended)) => {
                    panic!("{} ended with {ended} instead of starting:\n{}", self.half.command(), self.log())
                }
                Err(_) => panic!("{} is not ready after {SOON:?}:\n{}", self.half.command(), self.log()),
            }
        }
    }

    /// SIGKILL, and waits for its end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end().await
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(mut self) -> ExitStatus {
        match timeout(SOON, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} does not end:\n{}", self.half.command(), self.log()),
        }
    }

    /// Waits for its end; gives its exit code and what it logged.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn log_at_end(mut self) -> Ended {
        match timeout(SOON, self.child.wait()).await {
            Ok(status) => Ended { code: status.unwrap().code(), text: self.log() },
            Err(_) => panic!("{} does not end:\n{}", self.half.command(), self.log()),
        }
    }

    /// SIGHUP.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// A signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
        kill_process(pid.expect("it runs"), signal).unwrap();
    }

    /// Stops all its threads where they are; only [`kill`](Self::kill) makes sense after that.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The state stands behind the name, which is in brackets.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        until("the stop of all threads", SOON, async || {
            fs::read_dir(&tasks).unwrap().map(Result::unwrap).all(is_stopped).then_some(())
        })
        .await;
    }

    /// What this run has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.log_from)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until this run's log holds `text`.
    pub async fn logs(&self, text: &str) {
        let what = format!("\"{text}\" in the log of {}", self.half.command());
        let found =
            timeout(SOON, until(&what, 2 * SOON, async || self.log().contains(text).then_some(()))).await;
        assert!(found.is_ok(), "no {what}:\n{}", self.log());
    }

    /// Asks it how it is, as `vesigate status` does. `None` while it cannot answer.
    pub async fn status(&self) -> Option<Value> {
        let half = if self.half == Half::Deliver { "deliver" } else { "collect" };
        self.status_of(half).await
    }

    /// Asks one half of it.
    pub async fn status_of(&self, half: &str) -> Option<Value> {
        let mut answer = self.ask(half, &serde_json::json!({"do": "status"})).await?;
        Some(answer["ok"].take()).filter(|status| !status.is_null())
    }

    /// Asks one half over its control socket.
    pub async fn ask(&self, half: &str, question: &Value) -> Option<Value> {
        let mut stream = UnixStream::connect(self.sockets.join(half).join("control.sock")).await.ok()?;
        stream.write_all(format!("{question}\n").as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.ok()?.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// Waits until one half's status satisfies `is`; gives that status.
    ///
    /// # Panics
    /// With the last status and the log, when it does not.
    pub async fn reports(&self, half: &str, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        let mut last = None;
        let look = until(what, 4 * SOON, async || {
            let status = self.status_of(half).await?;
            let fits = is(&status);
            last = Some(status.clone());
            fits.then_some(status)
        });
        match timeout(2 * SOON, look).await {
            Ok(status) => status,
            Err(_) => panic!("{half} does not report {what}; last:\n{last:#?}\nlog:\n{}", self.log()),
        }
    }

    /// Waits until its receivers listen: what is sent before that is lost.
    pub async fn listens(&self) {
        let receives = |status: &Value| {
            let receivers = status["receivers"].as_array();
            receivers.is_some_and(|all| all.iter().all(|receiver| receiver["state"] == "receiving"))
        };
        self.reports("collect", "receivers that listen", receives).await;
    }

    /// Waits until a problem of this kind runs; gives its text.
    pub async fn has_problem(&self, half: &str, kind: &str) -> String {
        let status = self
            .reports(half, &format!("the problem {kind}"), |status| problem(status, kind).is_some())
            .await;
        problem(&status, kind).unwrap()
    }

    /// Waits until no problem of this kind runs.
    pub async fn is_free_of(&self, half: &str, kind: &str) {
        self.reports(half, &format!("the end of {kind}"), |status| problem(status, kind).is_none()).await;
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// The text of a running problem in a status.
#[must_use]
pub fn problem(status: &Value, kind: &str) -> Option<String> {
    let problems = status["problems"].as_array()?;
    let found = problems.iter().find(|one| one["problem"] == kind)?;
    Some(found["text"].as_str().unwrap_or_default().to_owned())
}
