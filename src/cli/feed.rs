//! `vesigate feed`: hands telegrams of a chain of programs, a TCP source or standard input to the gateway.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;
use wmbus::{Frame, Sealed};

use super::{exit, log};
use crate::config::{Config, Feed as Entry, FeedName, FeedSource};
use crate::feed::link::{Feeder, QUEUE};
use crate::feed::wire::{Report, SourceState};
use crate::feed::{Heard, source};
use crate::receiver::LinkMode;

/// Hand telegrams from elsewhere than a dongle to the gateway
///
/// For a `[[feed]]` of the configuration: runs its command (such as `rtl_sdr ... | rtl_wmbus`), connects to its host, or
/// reads standard input, and starts it again whenever it ends or falls silent. Only telegrams whose checksums are right
/// are handed over; from `rtl_wmbus` only those with both flags good. The service is `vesigate-feed@NAME`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Feed {
    /// Which `[[feed]]`
    #[arg(value_name = "NAME")]
    name: FeedName,

    /// `-` takes telegrams from standard input, in the format of that feed, whatever else it says
    #[arg(value_name = "-", value_parser = ["-"])]
    input: Option<String>,

    /// Print what is heard instead of handing it over, to try a chain out; needs no running gateway
    #[arg(long)]
    print: bool,

    /// With --print: one JSON object a line, and one with the counts at the end
    #[arg(long, requires = "print")]
    json: bool,

    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG, conflicts_with = "socket")]
    config: PathBuf,

    /// Where the gateway listens for feeders; without a configuration file, which the service may not read
    #[arg(long, value_name = "PATH", conflicts_with = "print")]
    socket: Option<PathBuf>,

    /// How much is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "VESIGATE_LOG")]
    log: String,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate feed roof --print                      # try the chain of [[feed]] roof
  systemctl enable --now vesigate-feed@roof       # have it run always
  vesigate feed roof --log debug                  # by hand, all that it says
  rtl_wmbus < x.bin | vesigate feed roof -        # a pipeline of one's own

What --print writes are milliseconds since the start and the telegram in
hexadecimal, as `vesigate record` writes them.

Exit codes: 0 stopped in order, or standard input has ended (with --print:
telegrams were heard), 1 --print has heard none, 2 it could not run: no such
feed, or another feeder of it is connected";

impl Feed {
    pub(super) fn run(self) -> u8 {
        if let Err(wrong) = log::start(&self.log) {
            let _ = writeln!(io::stderr(), "vesigate feed: {wrong}");
            return exit::USAGE;
        }
        match self.try_run() {
            Ok(code) => code,
            Err(reason) => {
                error!("{reason}");
                exit::USAGE
            }
        }
    }

    fn try_run(self) -> Result<u8, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let done = runtime.block_on(async {
            let stop = CancellationToken::new();
            let signals = stop_on_signals(stop.clone()).map_err(|error| error.to_string())?;
            let done = if self.print { self.print(stop).await } else { self.hand_over(stop).await };
            signals.abort();
            done
        });
        // A name that is being looked up must not hold up the end.
        runtime.shutdown_background();
        done
    }

    async fn hand_over(self, stop: CancellationToken) -> Result<u8, String> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => super::load(&self.config)?.status.feed_socket(),
        };
        let feeder = Feeder::new(socket, self.name.clone(), self.input.is_some());
        feeder.run(stop).await.map_err(|why| format!("feed {}: {why}", self.name))?;
        Ok(exit::OK)
    }

    async fn print(self, stop: CancellationToken) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        let entry = self.entry(&config)?;
        let (sender, mut heard) = mpsc::channel(QUEUE);
        let (told, mut report) = watch::channel(Report::default());
        let source = tokio::spawn(source::run(entry, sender, told, stop.clone()));
        let started = Instant::now();
        let live = !self.json && io::stderr().is_terminal();
        loop {
            tokio::select! {
                next = heard.recv() => {
                    let Some(next) = next else { break };
                    if !put(&self.line(&next, started))? {
                        break;
                    }
                }
                Ok(()) = report.changed(), if live => tell(&report.borrow_and_update()),
            }
        }
        stop.cancel();
        let _ = source.await;
        let report = report.borrow().clone();
        if live {
            let _ = writeln!(io::stderr());
        }
        if self.json {
            put(&(serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n"))?;
        } else {
            let _ = writeln!(io::stderr(), "{}", summary(&report));
        }
        Ok(if report.counts.good > 0 { exit::OK } else { exit::REFUSED })
    }

    fn entry(&self, config: &Config) -> Result<Entry, String> {
        let found = config.feeds.iter().find(|feed| feed.name == self.name);
        let Some(entry) = found else {
            let names: Vec<_> = config.feeds.iter().map(|feed| feed.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!(
                "{}: there is no [[feed]] of the name {} (there is: {known})",
                self.config.display(),
                self.name
            ));
        };
        match (&self.input, &entry.source) {
            (Some(_), _) => Ok(Entry { source: FeedSource::Input, ..entry.clone() }),
            (None, FeedSource::Input) => Err(format!(
                "feed {0} has neither command nor connect: its telegrams come from standard input, vesigate feed {0} -",
                self.name
            )),
            (None, _) => Ok(entry.clone()),
        }
    }

    fn line(&self, heard: &Heard, started: Instant) -> String {
        let at_ms = heard.at.saturating_duration_since(started).as_millis();
        let hex = heard.bytes.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02X}");
            hex
        });
        if !self.json {
            return format!("{at_ms} {hex}\n");
        }
        let printed = Printed {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            meter: meter(heard),
            mode: heard.link_mode,
            hex,
        };
        serde_json::to_string(&printed).map_or_else(|_| String::new(), |line| line + "\n")
    }
}

/// What `--json` prints of a telegram.
#[derive(Serialize)]
struct Printed {
    at_ms: u64,
    /// Whose it is, as far as its headers say.
    meter: Option<String>,
    mode: Option<LinkMode>,
    hex: String,
}

fn meter(heard: &Heard) -> Option<String> {
    let mut frame = Frame::bare(&heard.bytes).ok()?;
    Some(Sealed::read(&mut frame).ok()?.meter().to_string())
}

/// Prints and gives whether anybody still reads.
fn put(text: &str) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The running line of a terminal.
fn tell(report: &Report) {
    let _ = write!(io::stderr(), "\r{}\x1b[K", summary(report));
}

fn summary(report: &Report) -> String {
    let counts = &report.counts;
    let mut text = format!("{} telegrams", counts.good);
    let others = [
        (counts.again, "heard twice"),
        (counts.mended, "mended"),
        (counts.bad_crc, "with wrong CRCs"),
        (counts.bad_coding, "with wrong symbols"),
        (counts.malformed, "torn"),
        (counts.log_lines, "lines of text"),
        (counts.garbage_bytes, "bytes of garbage"),
        (report.restarts, "restarts"),
    ];
    for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {count} {what}");
    }
    if let SourceState::Failed(why) = &report.state {
        let _ = write!(text, "; {why}");
    }
    text
}

/// SIGTERM and Ctrl-C stop in order: a chain that is running is ended.
fn stop_on_signals(stop: CancellationToken) -> io::Result<tokio::task::JoinHandle<()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hangup.recv() => {}
        }
        stop.cancel();
    }))
}
