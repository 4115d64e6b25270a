//! The feeder's end of the feed socket: says who it is, does what collect tells it, hands telegrams over, and comes back
//! when collect was away.
//!
//! Telegrams wait in a queue of [`QUEUE`]. One that waited for longer than [`FRESH`] is dropped, since collect takes what
//! comes for just heard; so are those that come while collect is away. Both are counted. From standard input everything
//! waits instead: whoever writes there waits, too.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::decoder::Heard;
use super::source;
use super::wire::{self, Ears, Refusal, Report, ToCollect, ToFeeder};
use crate::config::{Feed, FeedName, FeedSource};

/// Telegrams that wait for collect.
pub const QUEUE: usize = 64;
/// Older ones are not handed over.
pub const FRESH: Duration = Duration::from_secs(10);
/// How often collect is told how the source is, at least.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// And at most, as long as only its counts change.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// How long an answer to the greeting may take; collect may be busy with a long import.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before collect is tried again, the first times and then always.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// One feeder.
#[derive(Debug)]
pub struct Feeder {
    socket: PathBuf,
    name: FeedName,
    /// Telegrams come from standard input, whatever collect says.
    from_input: bool,
    running: Option<Running>,
    /// How often in a row collect could not be reached.
    failures: usize,
    /// It has been welcome before.
    known: bool,
    /// Why collect was not reached, if that was told.
    told: Option<String>,
    /// Telegrams of earlier sources and of ours that were dropped here.
    dropped: u64,
}

/// The source at work.
#[derive(Debug)]
struct Running {
    feed: Feed,
    heard: mpsc::Receiver<Heard>,
    report: watch::Receiver<Report>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Why a connection ended.
enum Over {
    /// We are to stop, or standard input has ended and everything was handed over.
    Done,
    /// Collect went away, or said goodbye with these words.
    Lost(String),
    /// We are not wanted.
    Refused(Refusal),
}

impl Feeder {
    /// Of this name, for the collect that listens at `socket`. `from_input`: its telegrams come from standard input.
    #[must_use]
    pub const fn new(socket: PathBuf, name: FeedName, from_input: bool) -> Self {
        Self { socket, name, from_input, running: None, failures: 0, known: false, told: None, dropped: 0 }
    }

    /// Feeds until `stop`, or until standard input has ended.
    ///
    /// # Errors
    /// When collect does not want it: it has no such feed, or another feeder of it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Refusal> {
        let done = self.feed(&stop).await;
        self.end().await;
        done
    }

    async fn feed(&mut self, stop: &CancellationToken) -> Result<(), Refusal> {
        loop {
            let over = tokio::select! {
                () = stop.cancelled() => Over::Done,
                over = self.connect() => match over {
                    Ok((read, write)) => self.serve(read, write, stop).await,
                    Err(over) => over,
                },
            };
            match over {
                Over::Done => return Ok(()),
                // It was here a moment ago: collect has not noticed yet that the line before this one is closed.
                Over::Refused(Refusal::Taken) if self.known => {
                    self.lost(&Refusal::Taken.to_string());
                }
                Over::Refused(why) => return Err(why),
                Over::Lost(why) => self.lost(&why),
            }
            if self.wait(stop).await {
                return Ok(());
            }
        }
    }

    /// Greets collect, and has the source that it names run.
    async fn connect(&mut self) -> Result<(OwnedReadHalf, OwnedWriteHalf), Over> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| Over::Lost(self.unreachable(&error)))?;
        let (mut read, mut write) = stream.into_split();
        let lost = |_| Over::Lost("the gateway has closed the connection".to_owned());
        let hello = wire::line(&ToCollect::Hello(self.name.clone())).unwrap_or_default();
        write.write_all(&hello).await.map_err(lost)?;
        let answer = timeout(PATIENCE, first(&mut read)).await;
        let answer =
            answer.map_err(|_| Over::Lost("the gateway does not answer".to_owned()))?.map_err(lost)?;
        match answer {
            Some(ToFeeder::Welcome(feed)) => {
                self.apply(feed).await;
                Ok((read, write))
            }
            Some(ToFeeder::Refused(why)) => Err(Over::Refused(why)),
            Some(ToFeeder::Closed(why)) => Err(Over::Lost(why)),
            None => Err(Over::Refused(Refusal::NotUnderstood)),
        }
    }

    /// This is what is to be done now.
    async fn apply(&mut self, feed: Feed) {
        let feed = if self.from_input { Feed { source: FeedSource::Input, ..feed } } else { feed };
        if self.running.as_ref().is_none_or(|running| running.feed != feed) {
            self.end().await;
            let (sender, heard) = mpsc::channel(QUEUE);
            let (told, report) = watch::channel(Report::default());
            let stop = CancellationToken::new();
            let task = tokio::spawn(source::run(feed.clone(), sender, told, stop.clone()));
            self.running = Some(Running { feed, heard, report, stop, task });
        }
        let again = if self.known { " again" } else { "" };
        info!(feed = %self.name, "feed {}: the gateway takes its telegrams{again}", self.name);
        (self.known, self.failures, self.told) = (true, 0, None);
    }

    async fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            let _ = running.task.await;
        }
    }

    /// Hands telegrams over until the connection ends.
    async fn serve(
        &mut self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        stop: &CancellationToken,
    ) -> Over {
        let Some(running) = &mut self.running else { return Over::Done };
        let lossless = running.feed.source == FeedSource::Input;
        let mut every = every();
        let (mut told, mut told_at) = (Report::default(), None::<Instant>);
        let mut buffer = [0; 1024];
        let mut ears = Ears::new();
        loop {
            let line = tokio::select! {
                biased;
                () = stop.cancelled() => return Over::Done,
                over = goodbye(&mut read, &mut ears, &mut buffer) => return Over::Lost(over),
                Ok(()) = running.report.changed() => {
                    let now = report(running, self.dropped);
                    // Counts alone can wait for the next tick.
                    if now.state == told.state {
                        continue;
                    }
                    (told, told_at) = (now, Some(Instant::now()));
                    wire::line(&ToCollect::Report(told.clone()))
                }
                _ = every.tick() => {
                    let now = report(running, self.dropped);
                    if now == told && told_at.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
                        continue;
                    }
                    (told, told_at) = (now, Some(Instant::now()));
                    wire::line(&ToCollect::Report(told.clone()))
                }
                heard = running.heard.recv() => match heard {
                    Some(heard) if lossless || heard.at.elapsed() <= FRESH => {
                        wire::line(&wire::telegram(&heard.bytes, heard.link_mode))
                    }
                    Some(_) => {
                        self.dropped = self.dropped.saturating_add(1);
                        continue;
                    }
                    None => {
                        let last = report(running, self.dropped);
                        return last_words(&mut read, &mut write, last, stop).await;
                    }
                },
            };
            let Ok(line) = line else { continue };
            tokio::select! {
                () = stop.cancelled() => return Over::Done,
                written = write.write_all(&line) => if let Err(error) = written {
                    // Why it was closed may still be there to read.
                    debug!(feed = %self.name, "writing to the gateway: {error}");
                    let why = timeout(Duration::from_secs(1), goodbye(&mut read, &mut ears, &mut buffer)).await;
                    return Over::Lost(why.unwrap_or_else(|_| AWAY.to_owned()));
                },
            }
        }
    }

    /// Until collect is to be tried again; what is heard meanwhile is dropped. Gives whether we are to stop.
    async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let wait = AGAIN.get(self.failures).or(AGAIN.last()).copied().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        let mut over = Box::pin(sleep(wait));
        loop {
            let heard = async {
                match &mut self.running {
                    Some(running) if running.feed.source != FeedSource::Input => running.heard.recv().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return true,
                () = &mut over => return false,
                heard = heard => match heard {
                    Some(_) => self.dropped = self.dropped.saturating_add(1),
                    None => return false,
                },
            }
        }
    }

    /// Tells once why telegrams are not taken.
    fn lost(&mut self, why: &str) {
        if self.told.as_deref() == Some(why) {
            debug!(feed = %self.name, "feed {}: {why}", self.name);
        } else {
            warn!(feed = %self.name, "feed {}: {why}; telegrams are dropped until it is back", self.name);
            self.told = Some(why.to_owned());
        }
    }

    fn unreachable(&self, error: &io::Error) -> String {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!(
                    "the gateway does not listen at {socket}: start it (systemctl start vesigate-collect), and add the [[feed]] to its configuration"
                )
            }
            io::ErrorKind::PermissionDenied => {
                format!("{socket} may not be used: run this as root, or as the user vesigate-feed")
            }
            _ => format!("{socket}: {error}"),
        }
    }
}

const AWAY: &str = "the gateway has closed the connection";

/// How it is, with what was dropped here.
fn report(running: &mut Running, dropped: u64) -> Report {
    let report = running.report.borrow_and_update().clone();
    Report { dropped: report.dropped.saturating_add(dropped), ..report }
}

/// Standard input has ended: the last report, and then collect's end, which says that it has read everything.
async fn last_words(
    read: &mut OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    report: Report,
    stop: &CancellationToken,
) -> Over {
    let bye = async {
        write.write_all(&wire::line(&ToCollect::Report(report)).unwrap_or_default()).await?;
        write.shutdown().await?;
        let mut rest = Vec::new();
        read.take(LONGEST_GOODBYE).read_to_end(&mut rest).await
    };
    tokio::select! {
        () = stop.cancelled() => Over::Done,
        done = timeout(PATIENCE, bye) => match done {
            Ok(Ok(_)) => Over::Done,
            _ => Over::Lost(AWAY.to_owned()),
        },
    }
}

const LONGEST_GOODBYE: u64 = 64 * 1024;

/// The first thing that collect says; `None` if it is nothing we know.
async fn first(read: &mut OwnedReadHalf) -> io::Result<Option<ToFeeder>> {
    let (mut ears, mut buffer) = (Ears::new(), [0; 1024]);
    loop {
        let count = read.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut said = None;
        ears.take(buffer.get(..count).unwrap_or_default(), |next: Option<ToFeeder>| {
            said.get_or_insert(next);
        });
        if let Some(said) = said {
            return Ok(said);
        }
    }
}

/// Until collect says that it ends the connection, or just ends it. Safe to cancel.
async fn goodbye(read: &mut OwnedReadHalf, ears: &mut Ears, buffer: &mut [u8]) -> String {
    loop {
        let Ok(count @ 1..) = read.read(buffer).await else { return AWAY.to_owned() };
        let mut why = None;
        ears.take(buffer.get(..count).unwrap_or_default(), |said: Option<ToFeeder>| {
            if let Some(ToFeeder::Closed(said)) = said {
                why = Some(said);
            }
        });
        if let Some(why) = why {
            return why;
        }
    }
}

fn every() -> Interval {
    let mut every = interval(COUNTS_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}
