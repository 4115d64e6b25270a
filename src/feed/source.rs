//! Where a feed's telegrams come from, watched over: started or connected to, and begun anew when it ends, fails, or has
//! been quiet for too long.
//!
//! Too long is a quarter of an hour, or ten times what is usual there, whichever is longer; or what `silent_after` says.
//! Where beginning anew did not help, it is done ever more seldom.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::ChildStderr;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::chain::Chain;
use super::decoder::{Decoder, Event, Heard};
use super::lines::{Line, Lines, presentable};
use super::wire::{Report, SourceState};
use crate::config::{Feed, FeedSource};
use crate::receiver::port::backoff::Backoff;
use crate::receiver::quiet::Quiet;
use crate::world::random;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long reading waits for room before telegrams are dropped.
const FULL: Duration = Duration::from_millis(500);
/// What has worked for so long is begun anew at once when it ends.
const HEALTHY: Duration = Duration::from_secs(60);
/// Beginning anew in vain makes patience twice as long, up to so many times.
const MOST_DOUBLINGS: u32 = 4;
/// A dead peer shows after about a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// Runs the source until `stop`, or until standard input ends. Telegrams go into `heard`; when that is full, reading
/// waits a moment (from standard input for as long as it takes), then telegrams are dropped and counted.
pub async fn run(
    feed: Feed,
    heard: mpsc::Sender<Heard>,
    report: watch::Sender<Report>,
    stop: CancellationToken,
) {
    let (mut backoff, mut quiet) = (Backoff::new(), Quiet::new());
    if let Some(limit) = feed.silent_after {
        quiet.limit(limit);
    }
    let decoder = Decoder::new(feed.format);
    let mut attendant = Attendant {
        feed,
        decoder,
        heard,
        report,
        stop,
        quiet,
        in_vain: 0,
        full: false,
        last_words: String::new(),
        told: None,
    };
    loop {
        let started = now();
        let end = attendant.session().await;
        if attendant.stop.is_cancelled() || attendant.heard.is_closed() || matches!(end, End::Input) {
            return;
        }
        if now().saturating_duration_since(started) >= HEALTHY {
            backoff.reset();
        }
        let wait = backoff.next(u32::from_le_bytes(random()));
        attendant.tell(&end, wait);
        // Whoever was begun anew because it was quiet had listened: the gap goes on.
        if !matches!(end, End::Quiet(_)) {
            attendant.quiet.interrupted();
        }
        tokio::select! {
            () = attendant.stop.cancelled() => return,
            () = sleep_until((now() + wait).into()) => {}
        }
    }
}

struct Attendant {
    feed: Feed,
    decoder: Decoder,
    heard: mpsc::Sender<Heard>,
    report: watch::Sender<Report>,
    stop: CancellationToken,
    /// How often something comes.
    quiet: Quiet,
    /// How often in a row it was begun anew because it was quiet, and went on being quiet.
    in_vain: u32,
    /// The channel was full, and waiting did not help.
    full: bool,
    /// What a chain wrote last to its standard error.
    last_words: String,
    /// Why it was begun anew, if that was told and no telegram has come since.
    told: Option<String>,
}

/// Why a source has to begin anew.
#[derive(Debug)]
enum End {
    /// It said or showed that it ends.
    Ended(Option<ExitStatus>),
    /// It could not be started or connected to.
    NotStarted(std::io::Error),
    /// The connection or pipe broke.
    Broken(std::io::Error),
    /// Nothing came for so long.
    Quiet(Duration),
    /// Standard input has ended: there will be no more.
    Input,
    /// We are to stop.
    Stopped,
}

impl Attendant {
    async fn session(&mut self) -> End {
        self.decoder.opened(now());
        match self.feed.source.clone() {
            FeedSource::Command(line) => self.chain(&line).await,
            FeedSource::Connect { host, port } => self.connection(&host, port).await,
            FeedSource::Input => {
                let mut input = match standard_input() {
                    Ok(input) => input,
                    Err(error) => return End::NotStarted(error),
                };
                self.runs();
                match self.attend(&mut input, None).await {
                    // It cannot begin anew.
                    End::Ended(_) | End::Broken(_) => End::Input,
                    end => end,
                }
            }
        }
    }

    async fn chain(&mut self, line: &str) -> End {
        let (mut chain, mut out, error) = match Chain::start(line) {
            Ok(started) => started,
            Err(error) => return End::NotStarted(error),
        };
        self.runs();
        self.last_words.clear();
        let mut said = Said { from: Some(error), lines: Lines::new(LONGEST_SAID) };
        let end = self.attend(&mut out, Some(&mut said)).await;
        // A shell whose output has ended is mostly about to end, too; what it says last comes meanwhile.
        let by_itself = match &end {
            End::Ended(_) => timeout(LAST_WORDS, async {
                while said.from.is_some() {
                    said.listen(&mut self.last_words, &self.feed.name).await;
                }
                chain.ended().await.ok()
            })
            .await
            .ok()
            .flatten(),
            _ => None,
        };
        let ended = chain.end().await;
        match end {
            End::Ended(_) => End::Ended(by_itself.or(ended)),
            end => end,
        }
    }

    async fn connection(&mut self, host: &str, port: u16) -> End {
        let connect = async {
            tokio::select! {
                () = self.stop.cancelled() => None,
                stream = timeout(CONNECT, TcpStream::connect((host, port))) => Some(stream),
            }
        };
        let mut stream = match connect.await {
            None => return End::Stopped,
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => return End::NotStarted(error),
            Some(Err(_)) => return End::NotStarted(std::io::ErrorKind::TimedOut.into()),
        };
        let (idle, interval, retries) = KEEPALIVE;
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
            debug!(feed = %self.feed.name, "no keep-alive: {error}");
        }
        self.runs();
        self.attend(&mut stream, None).await
    }

    /// Reads until it ends, one way or another.
    async fn attend(&mut self, from: &mut (impl AsyncRead + Unpin), mut said: Option<&mut Said>) -> End {
        let (mut buffer, mut events) = ([0; 4096], Vec::new());
        let mut last = now();
        let stop = self.stop.clone();
        loop {
            let patience = self.patience();
            let silent = last + patience;
            let wake = self.decoder.wake().map_or(silent, |wake| wake.min(silent));
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                read = from.read(&mut buffer) => match read {
                    Ok(0) => {
                        self.decoder.ended(now(), &mut events);
                        self.take(&mut events).await;
                        return End::Ended(None);
                    }
                    Ok(count) => {
                        last = now();
                        self.in_vain = 0;
                        self.decoder.bytes(last, buffer.get(..count).unwrap_or_default(), &mut events);
                    }
                    Err(error) => return End::Broken(error),
                },
                () = listen(&mut said, &mut self.last_words, &self.feed.name) => {}
                () = sleep_until(wake.into()) => {
                    self.decoder.tick(now(), &mut events);
                    if now() >= silent {
                        self.in_vain = self.in_vain.saturating_add(1);
                        return End::Quiet(patience);
                    }
                }
            }
            if self.take(&mut events).await {
                return End::Ended(None);
            }
        }
    }

    /// Hands telegrams on. Gives whether the source says that it ends.
    async fn take(&mut self, events: &mut Vec<Event>) -> bool {
        let mut exiting = false;
        for event in events.drain(..) {
            match event {
                Event::Heard(heard) => {
                    self.quiet.heard(now());
                    if self.told.take().is_some() {
                        info!(feed = %self.feed.name, "feed {}: telegrams come again", self.feed.name);
                    }
                    self.full = self.hand_on(heard).await;
                }
                Event::Exiting => exiting = true,
            }
        }
        let counts = self.decoder.counts();
        self.report.send_if_modified(|report| {
            let changed = report.counts != counts;
            report.counts = counts;
            changed
        });
        exiting
    }

    /// Gives whether there was no room.
    async fn hand_on(&self, heard: Heard) -> bool {
        if self.feed.source == FeedSource::Input {
            tokio::select! {
                () = self.stop.cancelled() => {}
                _ = self.heard.send(heard) => {}
            }
            return false;
        }
        let full = if self.full {
            matches!(self.heard.try_send(heard), Err(TrySendError::Full(_)))
        } else {
            matches!(self.heard.send_timeout(heard, FULL).await, Err(SendTimeoutError::Timeout(_)))
        };
        if full {
            self.report.send_modify(|report| report.dropped = report.dropped.saturating_add(1));
        }
        full
    }

    /// How long nothing may come.
    fn patience(&self) -> Duration {
        match (&self.feed.source, self.feed.silent_after) {
            // Nothing could be begun anew.
            (FeedSource::Input, _) => FOREVER,
            (_, limit) => {
                let usual = self.quiet.set_up_after();
                limit.unwrap_or(usual).saturating_mul(1 << self.in_vain.min(MOST_DOUBLINGS))
            }
        }
    }

    fn runs(&self) {
        self.report.send_modify(|report| report.state = SourceState::Running);
        let name = &self.feed.name;
        let how = match &self.feed.source {
            FeedSource::Command(_) => "the chain runs",
            FeedSource::Connect { .. } => "connected",
            FeedSource::Input => "reads standard input",
        };
        if self.told.is_none() {
            info!(feed = %name, "feed {name}: {how}");
        } else {
            debug!(feed = %name, "feed {name}: {how}");
        }
    }

    /// Tells why it begins anew: once, not at each attempt.
    fn tell(&mut self, end: &End, wait: Duration) {
        let text = self.reason(end);
        let (name, wait_ms) = (&self.feed.name, wait.as_millis());
        if self.told.as_deref() == Some(&text) {
            debug!(feed = %name, wait_ms, "feed {name}: {text}");
        } else {
            warn!(feed = %name, wait_ms, "feed {name}: {text}");
        }
        self.told = Some(text.clone());
        self.report.send_modify(|report| {
            report.restarts = report.restarts.saturating_add(1);
            report.state = SourceState::Failed(text);
        });
    }

    /// In words, with what to do.
    fn reason(&self, end: &End) -> String {
        let words = match self.last_words.as_str() {
            "" => String::new(),
            words => format!(" (its last words: {words})"),
        };
        match (&self.feed.source, end) {
            (FeedSource::Command(_), End::Ended(status)) => {
                let how = status.map_or_else(String::new, |status| format!(" with {status}"));
                format!("the chain has ended{how}{words}: try its command by hand; it is started again")
            }
            (FeedSource::Command(_), End::NotStarted(error)) => {
                format!("the chain cannot be started: {error}; tried again")
            }
            (FeedSource::Command(_), End::Quiet(for_)) => format!(
                "nothing came from the chain for {} min{words}: it is started again; check stick and antenna if it stays so",
                for_.as_secs() / 60
            ),
            (FeedSource::Connect { host, port }, End::NotStarted(error)) => {
                format!(
                    "{host}:{port} cannot be connected to: {error}; check address and network; tried again"
                )
            }
            (FeedSource::Connect { host, port }, End::Quiet(for_)) => {
                format!(
                    "nothing came from {host}:{port} for {} min: it is connected to anew",
                    for_.as_secs() / 60
                )
            }
            (FeedSource::Connect { host, port }, End::Ended(_)) => {
                format!("{host}:{port} has closed the connection; it is connected to anew")
            }
            (_, End::Broken(error)) => format!("it broke: {error}; begun anew"),
            (_, end) => format!("ended: {end:?}"),
        }
    }
}

/// Standard input as something that can be waited for. A thread reads it, and is left to itself at the end: nothing can
/// wake it from a terminal where nobody types.
fn standard_input() -> std::io::Result<UnixStream> {
    let (mut to, from) = std::os::unix::net::UnixStream::pair()?;
    from.set_nonblocking(true)?;
    let from = UnixStream::from_std(from)?;
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut to);
    })?;
    Ok(from)
}

/// What a chain writes to its standard error, for our log at debug.
struct Said {
    /// Absent once it is closed.
    from: Option<ChildStderr>,
    lines: Lines,
}

impl Said {
    /// Takes what comes next; never comes back once there is no more. Safe to cancel.
    async fn listen(&mut self, last_words: &mut String, feed: &crate::config::FeedName) {
        let Some(from) = &mut self.from else { return std::future::pending().await };
        let mut buffer = [0; 1024];
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => self.from = None,
            Ok(count) => self.lines.take(buffer.get(..count).unwrap_or_default(), |line| {
                let Line::Whole(line) = line else { return };
                let text = presentable(line);
                debug!(feed = %feed, "the chain says: {text}");
                if !text.is_empty() {
                    *last_words = text;
                }
            }),
        }
    }
}

async fn listen(said: &mut Option<&mut Said>, last_words: &mut String, feed: &crate::config::FeedName) {
    match said {
        Some(said) => said.listen(last_words, feed).await,
        None => std::future::pending().await,
    }
}

/// A line of standard error that is shown.
const LONGEST_SAID: usize = 1024;
/// How long a chain that has ended may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Never, as far as sleeping goes.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// The module's own clock: tokio's, so that its tests can hold time still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
