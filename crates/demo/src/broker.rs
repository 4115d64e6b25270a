//! A broker on this machine: mosquitto if it is installed, else one inside this process.

mod embedded;

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// After this a broker that does not listen is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// mosquitto if it is installed, else the embedded one.
    Auto,
    /// mosquitto.
    Mosquitto,
    /// The one inside this process.
    Embedded,
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where it listens.
    pub(crate) port: u16,
    mosquitto: Option<Child>,
}

impl Broker {
    /// Starts one; its files go into `folder`.
    pub(crate) async fn start(choice: Choice, folder: &Path) -> io::Result<Self> {
        let program = if choice == Choice::Embedded { None } else { mosquitto() };
        if choice == Choice::Mosquitto && program.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "mosquitto is not installed"));
        }
        // A free port may be taken by somebody else before the broker has it; then there is another.
        for attempt in 0.. {
            let port = free_port()?;
            let started = match &program {
                Some(program) => Self::mosquitto(program, port, folder).await,
                None => Self::embedded(port).await,
            };
            match started {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < 5 => {}
                started => return started,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> &'static str {
        if self.mosquitto.is_some() { "mosquitto" } else { "the embedded broker" }
    }

    /// Ends it. The embedded one ends with this process.
    pub(crate) async fn stop(mut self) {
        if let Some(child) = &mut self.mosquitto {
            crate::gateway::terminate(child).await;
        }
    }

    async fn mosquitto(program: &Path, port: u16, folder: &Path) -> io::Result<Self> {
        let file = folder.join("mosquitto.conf");
        std::fs::write(
            &file,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
                 max_queued_messages 0\nmax_queued_bytes 100000000\nlog_dest stderr\nlog_type error\nlog_type warning\n"
            ),
        )?;
        let log = std::fs::File::create(folder.join("mosquitto.log"))?;
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for this program alone: the broker ends last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        tokio::select! {
            status = child.wait() => {
                let _ = status?;
                Err(io::ErrorKind::AddrInUse.into())
            }
            listens = listens(port) => {
                listens?;
                Ok(Self { port, mosquitto: Some(child) })
            }
        }
    }

    async fn embedded(port: u16) -> io::Result<Self> {
        let door = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let inner = free_port()?;
        let thread = embedded::start(door, inner)?;
        listens(inner).await?;
        if thread.is_finished() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self { port, mosquitto: None })
    }
}

fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts it where ordinary users do not look.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("mosquitto")).find(|file| file.is_file())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn listens(port: u16) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
