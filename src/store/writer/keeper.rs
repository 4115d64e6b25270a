//! What runs on the writer's thread.

use std::time::Duration;

use messages::batch::Stream;
use messages::status::DiskState;
use tokio::sync::{mpsc, watch};

use super::super::{CollectStore, Commit, StoreError};
use super::ring::{Ring, Waiting};
use super::status::{StreamState, WriterStatus};
use super::{Command, Options};
use crate::world::Uptime;

/// How long after a failure the next attempt is made, if nothing is submitted before.
const RETRY: Duration = Duration::from_secs(10);

/// The streams that live in this file.
const STREAMS: [Stream; 2] = [Stream::Readings, Stream::Events];

pub(super) struct Keeper {
    options: Options,
    /// `None` after an error, until it can be opened again.
    store: Option<CollectStore>,
    waiting: Waiting,
    /// The first of what waits has failed, and may have been stored all the same.
    uncertain: bool,
    now: WriterStatus,
    status: watch::Sender<WriterStatus>,
    ring: watch::Sender<Ring>,
}

impl Keeper {
    pub(super) fn open(
        options: Options,
        status: watch::Sender<WriterStatus>,
    ) -> Result<(Self, watch::Receiver<Ring>), StoreError> {
        let waiting = Waiting::new();
        let (ring, ring_watched) = watch::channel(waiting.ring());
        let now = WriterStatus::new(options.budget);
        let mut keeper = Self { options, store: None, waiting, uncertain: false, now, status, ring };
        if let Err(error) = keeper.reopen() {
            match error {
                StoreError::Newer { .. } | StoreError::TooOld { .. } => return Err(error),
                error => keeper.failed(&error),
            }
        }
        keeper.tell();
        Ok((keeper, ring_watched))
    }

    /// Until it is closed or nobody can ask any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut next = self.later();
        loop {
            let left = next.since(self.options.clock.uptime());
            let command = tokio::select! {
                biased;
                command = commands.recv() => command,
                () = self.options.clock.sleep(left) => {
                    next = self.later();
                    self.store_waiting();
                    self.tell();
                    continue;
                }
            };
            match command {
                Some(Command::Commit(commit)) => self.commit(*commit),
                Some(Command::Ask(question)) => question(self.store.as_ref()),
                Some(Command::Flush(answer)) => {
                    let _ = answer.send(self.waiting.is_empty());
                }
                Some(Command::Close(answer)) => {
                    self.close();
                    let _ = answer.send(self.waiting.is_empty());
                    return;
                }
                None => return self.close(),
            }
            self.tell();
        }
    }

    fn later(&self) -> Uptime {
        Uptime(self.options.clock.uptime().0.saturating_add(RETRY))
    }

    fn commit(&mut self, commit: Commit) {
        self.waiting.push(commit);
        self.store_waiting();
    }

    /// Stores what waits, oldest first, as far as it goes.
    fn store_waiting(&mut self) {
        while !self.waiting.is_empty() {
            if let Err(error) = self.store_first() {
                // The connection's state is unknown: the next attempt looks what the file says.
                self.store = None;
                self.failed(&error);
                return;
            }
            self.waiting.pop();
            self.uncertain = false;
            self.now.commits = self.now.commits.saturating_add(1);
            self.worked();
        }
    }

    fn store_first(&mut self) -> Result<(), StoreError> {
        if self.store.is_none() {
            self.reopen()?;
        }
        let (Some(store), Some(first)) = (&mut self.store, self.waiting.first()) else { return Ok(()) };
        if self.uncertain && store.holds(first.blocks())? {
            return Ok(());
        }
        self.uncertain = true;
        store.write(first.blocks(), &first.rest)?;
        if let Err(error) = store.fold() {
            // Stored all the same.
            self.failed(&error);
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let store = CollectStore::open(&self.options.directory)?;
        self.now.epoch = Some(store.epoch());
        self.store = Some(store);
        self.worked();
        Ok(())
    }

    fn close(&mut self) {
        self.store_waiting();
        if let Some(Err(error)) = self.store.take().map(|store| store.fold_all()) {
            self.failed(&error);
        }
        self.tell();
    }

    fn worked(&mut self) {
        self.now.state = DiskState::Writable;
        self.now.error = None;
    }

    fn failed(&mut self, error: &StoreError) {
        self.now.failures = self.now.failures.saturating_add(1);
        self.now.state =
            if matches!(error, StoreError::Full) { DiskState::Full } else { DiskState::ReadOnly };
        self.now.error = Some(error.to_string());
    }

    /// Tells those who watch.
    fn tell(&mut self) {
        let ring = self.waiting.ring();
        for stream in STREAMS {
            let state = self.now.streams.entry(stream).or_default();
            if let Some(Ok(known)) = self.store.as_ref().map(|store| stream_state(store, stream)) {
                *state = StreamState { bytes: state.bytes, ..known };
            }
            state.waiting = u64::try_from(ring.len(stream)).unwrap_or(u64::MAX);
        }
        self.now.dropped = self.waiting.dropped();
        self.status.send_if_modified(|told| {
            let new = *told != self.now;
            if new {
                told.clone_from(&self.now);
            }
            new
        });
        self.ring.send_if_modified(|told| {
            let new = !(told.is_empty() && ring.is_empty());
            if new {
                *told = ring;
            }
            new
        });
    }
}

fn stream_state(store: &CollectStore, stream: Stream) -> Result<StreamState, StoreError> {
    let (head, acknowledged) = (store.head(stream)?, store.acknowledged(stream)?);
    Ok(StreamState { head, acknowledged, ..StreamState::default() })
}
