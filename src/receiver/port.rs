//! The one loop that drives any [`Dongle`] over a serial line: opens, reads, writes, and begins again when the line breaks.
//!
//! The path may be a symbolic link such as `/dev/serial/by-id/...`; it is resolved at each opening, since a receiver that is
//! plugged in again may get another device node. While the port cannot be used, it is tried again after growing waits, and
//! at once when its node appears.
//!
//! Telegrams go into a bounded channel. When it is full, reading waits for a moment, so that the kernel's buffer holds
//! what arrives meanwhile; after that the telegram that finds no room is dropped and counted, and so are those after it
//! until there is room.

pub(crate) mod backoff;
mod open;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{
        mpsc::{
            self,
            error::{SendTimeoutError, TrySendError},
        },
        watch,
    },
    time,
};
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Action, Counters, Dongle, Fault, Info, RawFrame};
use backoff::Backoff;
use open::Node;
pub(in crate::receiver) use open::{broken, open, set_speed};

/// Where the receiver is, and the patience with it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number among the receivers: it goes with every telegram.
    pub number: u8,
    /// The receiver's name in the configuration, for the log.
    pub name: String,
    /// The device node, or a link to it.
    pub path: PathBuf,
    /// How long to wait for what.
    pub patience: Patience,
}

/// How long the loop waits for what. The default is for real devices.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often to look whether the device node has appeared.
    pub look: Duration,
    /// How long a command may take to be written.
    pub write: Duration,
    /// How long reading waits for room in a full channel.
    pub full: Duration,
    /// How long a receiver has to work before the waits begin at their shortest again.
    pub healthy: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            write: Duration::from_secs(2),
            full: Duration::from_millis(500),
            healthy: Duration::from_secs(60),
        }
    }
}

/// How a receiver is, for status and health.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// The device node behind the configured path, once it was open.
    pub device: Option<PathBuf>,
    /// What the dongle counted.
    pub counters: Counters,
    /// Telegrams that found no room in the channel.
    pub dropped: u64,
    /// How often the port was opened.
    pub openings: u64,
}

/// What a receiver does.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Being opened and set up for the first time.
    Starting,
    /// Receives.
    Ready(Info),
    /// Does not receive, and why; being tried again.
    Faulty(Fault),
}

impl Status {
    /// Where every receiver begins.
    pub fn new() -> Self {
        Self { state: State::Starting, device: None, counters: Counters::default(), dropped: 0, openings: 0 }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

/// Drives `dongle` until `stop` is cancelled or nobody takes telegrams any more.
///
/// `random` gives the jitter of the waits: any 32 bits, as even as they come.
pub async fn run(
    line: Line,
    dongle: impl Dongle,
    telegrams: mpsc::Sender<(u8, RawFrame)>,
    status: watch::Sender<Status>,
    mut random: impl FnMut() -> u32,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new();
    let mut driver = Driver { line, dongle, telegrams, status, node: None, full: false, actions: Vec::new() };
    loop {
        let Some((fault, ready_at)) = driver.session(&stop).await else { return };
        if driver.telegrams.is_closed() {
            return;
        }
        if ready_at
            .is_some_and(|ready_at| now().saturating_duration_since(ready_at) >= driver.line.patience.healthy)
        {
            backoff.reset();
        }
        let wait = backoff.next(random());
        driver.report(fault, wait);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            appeared = driver.wait(wait) => if appeared {
                // Whatever was wrong before, this is another plugging in. It may still be in somebody's hands: udev's, say.
                backoff.reset();
            },
        }
    }
}

struct Driver<D> {
    line: Line,
    dongle: D,
    telegrams: mpsc::Sender<(u8, RawFrame)>,
    status: watch::Sender<Status>,
    /// The device node at the last attempt to open it.
    node: Option<Node>,
    /// The channel was full, and waiting for it did not help.
    full: bool,
    /// Kept for its memory.
    actions: Vec<Action>,
}

/// What one opening of the port needs to remember.
struct Session {
    port: SerialStream,
    baud: u32,
    wake: Instant,
    ready_at: Option<Instant>,
}

impl<D: Dongle> Driver<D> {
    /// From one opening of the port to its end: why it ended, and since when the receiver was ready. `None` if it was told to
    /// stop.
    async fn session(&mut self, stop: &CancellationToken) -> Option<(Fault, Option<Instant>)> {
        let node = Node::at(&self.line.path);
        if node.is_none() || node != std::mem::replace(&mut self.node, node) {
            self.dongle.maybe_another();
        }
        if let Err(fault) = self.dongle.may_open() {
            return Some((fault, None));
        }
        let baud = self.dongle.baud();
        let port = match open(&self.line.path, baud) {
            Ok((port, device)) => {
                debug!(receiver = %self.line.name, path = %self.line.path.display(), device = %device.display(), "opened");
                self.status.send_modify(|status| {
                    status.device = Some(device);
                    status.openings += 1;
                });
                port
            }
            Err(fault) => {
                // Somebody else had it, or nobody may open it: whatever is there when it opens again was not watched.
                self.dongle.maybe_another();
                return Some((fault, None));
            }
        };
        let mut session = Session { port, baud, wake: now(), ready_at: None };
        let end = self.converse(&mut session, stop).await;
        self.publish_counters();
        // Also when it was told to stop. Whether it still can be said does not matter.
        if let Some(farewell) = self.dongle.farewell() {
            let _ = self.write(&mut session.port, &farewell).await;
        }
        Some((end.err()?, session.ready_at))
    }

    /// Until it is told to stop.
    async fn converse(&mut self, session: &mut Session, stop: &CancellationToken) -> Result<(), Fault> {
        let mut buffer = [0; 1024];
        self.dongle.opened(now(), &mut self.actions);
        self.publish_counters();
        loop {
            self.act(session).await?;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.telegrams.closed() => return Err(Fault::Gone),
                read = session.port.read(&mut buffer) => {
                    let input = match read {
                        // The line was hung up. Reading on would give 0 bytes for ever.
                        Ok(0) => return Err(Fault::Gone),
                        Ok(count) => buffer.get(..count).unwrap_or_default(),
                        Err(error) => return Err(broken(&self.line.path, &error)),
                    };
                    self.dongle.bytes(now(), input, &mut self.actions);
                }
                () = time::sleep_until(session.wake.into()) => {
                    // Until the dongle asks for a wake-up again, there is none.
                    session.wake = now() + Duration::from_secs(3600);
                    self.dongle.tick(now(), &mut self.actions);
                }
            }
            self.publish_counters();
        }
    }

    /// Carries out what the dongle wants. A line that breaks meanwhile costs none of the telegrams already heard.
    async fn act(&mut self, session: &mut Session) -> Result<(), Fault> {
        let mut actions = std::mem::take(&mut self.actions);
        let (mut result, baud) = (Ok(()), self.dongle.baud());
        if session.baud != baud {
            session.baud = baud;
            result = set_speed(&self.line.path, &mut session.port, baud);
        }
        for action in actions.drain(..) {
            match action {
                Action::Heard(frame) => self.hand_on(frame).await,
                Action::Write(command) if result.is_ok() => {
                    result = self.write(&mut session.port, &command).await;
                }
                Action::Wake(at) => session.wake = at,
                Action::Ready(info) if result.is_ok() => {
                    session.ready_at.get_or_insert_with(now);
                    self.ready(info);
                }
                Action::Reopen(fault) => result = Err(fault),
                Action::Write(_) | Action::Ready(_) => {}
            }
        }
        self.actions = actions;
        if self.telegrams.is_closed() { Err(Fault::Gone) } else { result }
    }

    async fn write(&self, port: &mut SerialStream, command: &[u8]) -> Result<(), Fault> {
        match time::timeout(self.line.patience.write, port.write_all(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(&self.line.path, &error)),
            Err(_) => Err(Fault::WriteStuck),
        }
    }

    async fn hand_on(&mut self, frame: RawFrame) {
        let frame = (self.line.number, frame);
        self.full = if self.full {
            matches!(self.telegrams.try_send(frame), Err(TrySendError::Full(_)))
        } else {
            let sent = self.telegrams.send_timeout(frame, self.line.patience.full).await;
            matches!(sent, Err(SendTimeoutError::Timeout(_)))
        };
        if self.full {
            self.status.send_modify(|status| status.dropped += 1);
        }
    }

    fn ready(&self, dongle: Info) {
        let Line { name, path, .. } = &self.line;
        let changed = self.status.send_if_modified(|status| {
            let ready = State::Ready(dongle);
            let changed = status.state != ready;
            status.state = ready;
            changed
        });
        if changed {
            let device = self.status.borrow().device.clone().unwrap_or_default();
            info!(receiver = %name, path = %path.display(), device = %device.display(), %dongle,
                "receiver {name} is ready: {dongle} at {} ({})", path.display(), device.display());
        }
    }

    /// Tells of a fault once, not at each attempt.
    fn report(&self, fault: Fault, wait: Duration) {
        let Line { name, path, .. } = &self.line;
        let wait_ms = wait.as_millis();
        let changed = self.status.send_if_modified(|status| {
            let changed = status.state != State::Faulty(fault.clone());
            status.state = State::Faulty(fault.clone());
            changed
        });
        if changed {
            warn!(receiver = %name, path = %path.display(), wait_ms, "receiver {name}: {fault}");
        } else {
            debug!(receiver = %name, path = %path.display(), wait_ms, "receiver {name}: {fault}");
        }
    }

    fn publish_counters(&self) {
        let counters = self.dongle.counters();
        if counters.truncated > 0 && self.status.borrow().counters.truncated == 0 {
            let Line { name, path, .. } = &self.line;
            warn!(receiver = %name, path = %path.display(),
                "receiver {name} leaves out the rest of long telegrams: its firmware has too little room for them; give it one \
                 built with a larger output buffer (culfw: TTY_BUFSIZE), or use another receiver");
        }
        self.status.send_if_modified(|status| {
            let changed = status.counters != counters;
            status.counters = counters;
            changed
        });
    }

    /// Until the time is over, or another device node is there than the one that was tried: then it is `true`.
    async fn wait(&self, wait: Duration) -> bool {
        let over = now() + wait;
        while now() < over {
            let left = over.saturating_duration_since(now());
            time::sleep(left.min(self.line.patience.look)).await;
            let there = Node::at(&self.line.path);
            if there.is_some() && there != self.node {
                return true;
            }
        }
        false
    }
}

/// The module's own clock: tokio's, so that its tests can hold time still.
fn now() -> Instant {
    time::Instant::now().into_std()
}
