//! `vesigate run`, `collect` and `deliver`: the daemon, whole or by halves.

use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{exit, harden, log};
use crate::config::{Config, Credentials, Half, Problem};
use crate::halves::reload::{WISHES, Wish};
use crate::halves::{self, Daemon};
use crate::health::supervisor::Supervisor;
use crate::world::{Fast, World};

/// The daemon's arguments, the same for both halves.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// How much is logged: error, warn, info, debug or trace, also by module such as `info,vesigate::uplink=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "VESIGATE_LOG")]
    log: String,

    /// A made-up clock for demonstrations and tests: START,REAL_START,SPEED
    #[arg(long, value_name = "CLOCK", hide = true)]
    clock: Option<Fast>,
}

const AFTER_HELP: &str = "\
Examples:
  systemctl start vesigate.target                  # collect and deliver, as two users
  vesigate run --config gateway.toml               # both in one process, by hand
  vesigate collect --log info,vesigate::receiver=debug

Signals: SIGTERM and SIGINT stop in order (what was heard is stored), SIGHUP loads the configuration again.

Exit codes: 0 stopped in order, 1 something failed that a restart may mend, 2 the configuration is wrong";

impl Run {
    /// Runs these halves until a signal stops them, or one of them cannot go on.
    pub(super) fn run(self, which: &[Half]) -> u8 {
        if let Err(wrong) = log::start(&self.log) {
            let _ = writeln!(io::stderr(), "vesigate: {wrong}");
            return exit::USAGE;
        }
        // Before anything secret is read.
        if let Err(error) = harden::no_dumps() {
            error!("core dumps cannot be turned off: {error}");
            return exit::FAILED;
        }
        let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let config = match load(&self.config, which, &credentials) {
            Ok(config) => config,
            Err(problems) => return refuse(&problems),
        };
        let world = match self.world() {
            Ok(world) => world,
            Err(reason) => {
                error!("{reason}");
                return exit::FAILED;
            }
        };
        let (reload, config) = watch::channel(Arc::new(config));
        let supervisor = Supervisor::new(which.len());
        let stop = CancellationToken::new();
        let (wishes, wished) = mpsc::channel(WISHES);
        let daemon = Daemon { world, config, credentials, reload: wishes, supervisor, stop: stop.clone() };
        let threads: Vec<_> = which.iter().map(|half| start(*half, daemon.clone())).collect();
        if let Err(reason) = attend(&daemon, wished, &reload, &self.config, which) {
            error!("{reason}");
            stop.cancel();
        }
        let failed = threads.into_iter().any(|thread| !matches!(thread.join(), Ok(true)));
        info!("stopped");
        if failed { exit::FAILED } else { exit::OK }
    }

    fn world(&self) -> Result<World, crate::world::NoBootId> {
        match self.clock {
            Some(fast) => Ok(World::fast(fast)),
            // Read before anything else: a unit hides the kernel's own copy from its service.
            None => World::system(std::env::var("VESIGATE_BOOT_ID").ok().as_deref()),
        }
    }
}

/// The configuration and the files it names, or everything that is wrong with both.
fn load(path: &std::path::Path, which: &[Half], credentials: &Credentials) -> Result<Config, Vec<Problem>> {
    let config = Config::load(path)?;
    let mut problems: Vec<Problem> = Vec::new();
    for problem in which.iter().flat_map(|half| config.check_files(*half, credentials)) {
        // Both halves need the meter list.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn refuse(problems: &[Problem]) -> u8 {
    for problem in problems {
        error!("{problem}");
    }
    exit::USAGE
}

/// One half on a thread and a runtime of its own, so that neither can hold up the other. Gives whether it stopped in
/// order; if not, the other one is stopped, too.
fn start(half: Half, daemon: Daemon) -> thread::JoinHandle<bool> {
    let name = match half {
        Half::Collect => "collect",
        Half::Deliver => "deliver",
    };
    thread::spawn(move || {
        let stop = daemon.stop.clone();
        // Also when it panics: a process with one half is a ghost.
        let _guard = stop.drop_guard();
        let ended = on_runtime(async move {
            match half {
                Half::Collect => halves::collect::run(daemon).await,
                Half::Deliver => halves::deliver::run(daemon).await,
            }
        });
        match ended {
            Ok(Ok(())) => true,
            Ok(Err(fatal)) => {
                error!(half = name, "{fatal}");
                false
            }
            Err(reason) => {
                error!(half = name, "{reason}");
                false
            }
        }
    })
}

/// Signals, reloads, systemd: until the halves are told to stop.
fn attend(
    daemon: &Daemon,
    mut wished: mpsc::Receiver<Wish>,
    reload: &watch::Sender<Arc<Config>>,
    path: &std::path::Path,
    which: &[Half],
) -> io::Result<()> {
    let Daemon { stop, supervisor, credentials, .. } = daemon;
    on_runtime(async move {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let fed = tokio::spawn(supervisor.clone().run(stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = term.recv() => stop.cancel(),
                _ = int.recv() => stop.cancel(),
                _ = hangup.recv() => {
                    // The log says it.
                    let _ = load_again(path, which, credentials, reload);
                }
                Some(tell) = wished.recv() => {
                    let _ = tell.send(load_again(path, which, credentials, reload));
                }
            }
        }
        let _ = fed.await;
        Ok(())
    })?
}

fn load_again(
    path: &std::path::Path,
    which: &[Half],
    credentials: &Credentials,
    reload: &watch::Sender<Arc<Config>>,
) -> Result<(), String> {
    match load(path, which, credentials) {
        Ok(config) => {
            info!("the configuration was loaded again");
            reload.send_replace(Arc::new(config));
            Ok(())
        }
        Err(problems) => {
            refuse(&problems);
            warn!("the configuration that was loaded before stays in force");
            Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn on_runtime<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}
