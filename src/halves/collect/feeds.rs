//! The feeds of the configuration, and the feeders that are connected to the feed socket.
//!
//! A feeder may inject telegrams, as the radio may, and say how its source is; nothing else of what it says is heeded.
//! Each has a task that reads its line and puts telegrams into the channel of all receivers; when that is full, the
//! task waits, and with it the feeder.

mod attend;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use messages::Time;
use messages::status::Receiver as Told;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::receivers::Wrong;
use crate::config::Feed;
use crate::halves::control;
use crate::health::status::FeedStatus;
use crate::receiver::RawFrame;
use crate::world::{Clock, Uptime};

use table::Table;

/// Feeders that are connected at a time, and a few that are being told why they are not wanted.
const CALLERS: usize = Feed::MOST + 4;
/// How long they may take to go when collect stops.
const PATIENCE: Duration = Duration::from_secs(2);
/// The numbers of feeds among all receivers begin here; those of dongles are below.
const FIRST_NUMBER: u8 = 8;

/// All feeds.
#[derive(Debug)]
pub(super) struct Feeds {
    telegrams: mpsc::Sender<(u8, RawFrame)>,
    socket: PathBuf,
    table: Table,
    /// The listening, while it goes on, and what ends it.
    listening: Option<(CancellationToken, JoinHandle<()>)>,
    /// Why nobody can connect.
    deaf: Option<String>,
}

impl Feeds {
    /// None yet; what they will hear goes to `telegrams`.
    pub(super) fn new(telegrams: mpsc::Sender<(u8, RawFrame)>, socket: PathBuf) -> Self {
        Self { telegrams, socket, table: Table::default(), listening: None, deaf: None }
    }

    /// These are the feeds now. Feeders of those that are gone or have changed are told so; the others go on
    /// undisturbed. Gives the numbers of those that are new.
    pub(super) fn apply(&mut self, configured: &[Feed], clock: &Clock) -> Vec<u8> {
        let new = self.table.apply(configured, clock.uptime());
        self.listen();
        new
    }

    /// Listens as long as there are feeds. What fails is tried again at the next call.
    pub(super) fn listen(&mut self) {
        if self.table.is_empty() {
            // Those who were sent away find their way by themselves.
            drop(self.hush());
            return;
        }
        if self.listening.is_some() {
            return;
        }
        match control::bind(&self.socket) {
            Ok(listener) => {
                let stop = CancellationToken::new();
                let serving = serve(listener, self.table.clone(), self.telegrams.clone(), stop.clone());
                (self.listening, self.deaf) = (Some((stop, tokio::spawn(serving))), None);
            }
            Err(error) => {
                let path = self.socket.display();
                self.deaf = Some(format!(
                    "no feeder can connect: {path}: {error}; run systemd-tmpfiles --create and systemctl restart vesigate-collect, or look who may write there"
                ));
            }
        }
    }

    /// Stops all; what they have said is in the channel then.
    pub(super) async fn stop(&mut self) {
        self.table.close_all("the gateway is stopping");
        if let Some(served) = self.hush() {
            let _ = tokio::time::timeout(PATIENCE, served).await;
        }
    }

    /// Lets nobody in any more. Gives what ends once all have gone.
    fn hush(&mut self) -> Option<JoinHandle<()>> {
        let (stop, served) = self.listening.take()?;
        stop.cancel();
        let _ = std::fs::remove_file(&self.socket);
        Some(served)
    }

    /// Their names, by their numbers.
    pub(super) fn names(&self) -> Vec<(u8, String)> {
        self.table.names()
    }

    /// How each is, as a receiver among others.
    pub(super) fn told(&self, clock: &Clock, place: impl Fn(Uptime) -> Option<Time>) -> Vec<Told> {
        self.table.told(clock, place)
    }

    /// How each is, with what its feeder says.
    pub(super) fn status(&self) -> Vec<FeedStatus> {
        self.table.status()
    }

    /// What is wrong with each.
    pub(super) fn wrong(&self, now: Uptime) -> Vec<Wrong> {
        self.table.wrong(now, tokio::time::Instant::now().into_std(), self.deaf.as_deref())
    }

    /// Telegrams that feeders could not hand over.
    pub(super) fn dropped(&self) -> u64 {
        self.table.dropped()
    }
}

/// Lets feeders in until `stop`, and then waits until all have gone.
async fn serve(
    listener: UnixListener,
    table: Table,
    telegrams: mpsc::Sender<(u8, RawFrame)>,
    stop: CancellationToken,
) {
    let mut callers = JoinSet::new();
    loop {
        let caller = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = callers.join_next() => continue,
            caller = listener.accept(), if callers.len() < CALLERS => caller,
        };
        match caller {
            Ok((stream, _)) => {
                let (table, telegrams) = (table.clone(), telegrams.clone());
                callers.spawn(async move { attend::attend(stream, &table, &telegrams).await });
            }
            // Too many open files, mostly: it passes.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    while callers.join_next().await.is_some() {}
}
