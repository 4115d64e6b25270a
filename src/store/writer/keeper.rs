//! What runs on the writer's thread.

use std::collections::VecDeque;
use std::time::Duration;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use messages::status::DiskState;
use tokio::sync::{mpsc, watch};

use super::super::collect::{Opened, STREAMS};
use super::super::salvage::Salvage;
use super::super::trouble::{Trouble, Troubles};
use super::super::{CollectStore, Commit, StoreError, freeing, reserve};
use super::erasing::Erasure;
use super::ring::{Ring, Waiting};
use super::status::{StreamState, WriterStatus};
use super::{Command, Options};
use crate::world::Uptime;

/// How long after a failure the next attempt is made, if nothing is submitted before.
const RETRY: Duration = Duration::from_secs(10);

/// What is freed at once where a full disk leaves no room.
const RELIEF: u64 = 2_000_000;

pub(super) struct Keeper {
    pub(super) options: Options,
    /// `None` after an error, until it can be opened again.
    pub(super) store: Option<CollectStore>,
    pub(super) waiting: Waiting,
    /// The first of what waits has failed, and may have been stored all the same.
    uncertain: bool,
    pub(super) salvages: VecDeque<Salvage>,
    pub(super) erasures: Vec<Erasure>,
    pub(super) troubles: Troubles,
    /// The newest time that came with a commit, and when that was.
    time: Option<(Time, Uptime)>,
    pub(super) chores: super::chores::Chores,
    pub(super) now: WriterStatus,
    status: watch::Sender<WriterStatus>,
    ring: watch::Sender<Ring>,
}

impl Keeper {
    pub(super) fn open(
        options: Options,
        status: watch::Sender<WriterStatus>,
        troubles: Troubles,
    ) -> Result<(Self, watch::Receiver<Ring>), StoreError> {
        let waiting = Waiting::new();
        let (ring, ring_watched) = watch::channel(waiting.ring());
        let now = WriterStatus::new(options.budget);
        let chores = super::chores::Chores::new(options.clock.uptime());
        let mut keeper = Self {
            options,
            store: None,
            waiting,
            uncertain: false,
            salvages: VecDeque::new(),
            erasures: Vec::new(),
            troubles,
            time: None,
            chores,
            now,
            status,
            ring,
        };
        if let Err(error) = keeper.reopen() {
            match error {
                StoreError::Newer { .. } | StoreError::TooOld { .. } => return Err(error),
                error => keeper.failed(&error),
            }
        }
        keeper.measure();
        keeper.tell();
        Ok((keeper, ring_watched))
    }

    /// Until it is closed or nobody can ask any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut next = self.later();
        loop {
            let idle = self.store.is_some() && (!self.salvages.is_empty() || self.is_erasing());
            let command = tokio::select! {
                biased;
                command = commands.recv() => command,
                () = self.options.clock.sleep_until(next) => {
                    next = self.later();
                    self.store_waiting();
                    self.do_chores();
                    self.tell();
                    continue;
                }
                () = tokio::task::yield_now(), if idle => {
                    // What has been saved must be erased, and what has not must not come back later.
                    if self.salvages.is_empty() { self.erase_some() } else { self.salvage_some() }
                    self.tell();
                    continue;
                }
            };
            match command {
                Some(Command::Commit(commit)) => self.commit(*commit),
                Some(Command::Do(work)) => work(&mut self),
                None => return self.close(),
            }
            self.tell();
            if self.chores.closed {
                return;
            }
        }
    }

    fn later(&self) -> Uptime {
        Uptime(self.options.clock.uptime().0.saturating_add(RETRY))
    }

    /// What is taken for the time, if a commit ever told it.
    pub(super) fn utc(&self) -> Option<Time> {
        let (time, when) = self.time?;
        let since = self.options.clock.uptime().since(when).as_secs();
        Time::from_unix(time.unix().saturating_add(i64::try_from(since).ok()?))
    }

    pub(super) fn commit(&mut self, mut commit: Commit) {
        self.leave_out(&mut commit);
        if let Some(at) = commit.at {
            self.time = Some((at, self.options.clock.uptime()));
        }
        self.waiting.push(commit);
        self.store_waiting();
    }

    /// Stores what waits, oldest first, as far as it goes.
    pub(super) fn store_waiting(&mut self) {
        if self.store.is_none()
            && let Err(error) = self.reopen()
        {
            return self.failed(&error);
        }
        let mut remedies = 2;
        while !self.waiting.is_empty() {
            let Err(error) = self.store_first() else {
                if let Some(entry) = self.waiting.pop() {
                    self.chores.stored(entry.blocks());
                }
                self.uncertain = false;
                self.now.commits = self.now.commits.saturating_add(1);
                self.worked();
                self.fold();
                continue;
            };
            self.failed(&error);
            // The connection's state is unknown: the next attempt looks what the file says.
            let store = self.store.take();
            if remedies == 0 || !self.remedy(error, store) {
                return;
            }
            remedies -= 1;
        }
    }

    /// What fails here has been stored all the same.
    fn fold(&mut self) {
        let Some(Err(error)) = self.store.as_ref().map(CollectStore::fold) else { return };
        self.failed(&error);
        let store = self.store.take();
        if error.is_damage() {
            self.remedy(error, store);
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
        Ok(())
    }

    /// What can be done at once about a failure; `false` if only waiting is left.
    pub(super) fn remedy(&mut self, error: StoreError, store: Option<CollectStore>) -> bool {
        match error {
            StoreError::Damaged(reason) => {
                drop(store);
                self.replace(reason, None)
            }
            StoreError::Full => {
                drop(store);
                let released = reserve::release(&self.options.directory);
                let freed = self.reopen().is_ok() && self.relieve();
                released || freed
            }
            _ => false,
        }
    }

    /// Frees acknowledged blocks, so that new ones find room in the file.
    fn relieve(&mut self) -> bool {
        let Some(store) = &mut self.store else { return false };
        let (before, _) = store.room().unwrap_or_default();
        let freed = store.free_bytes(RELIEF, false);
        let (after, _) = store.room().unwrap_or_default();
        freed.is_ok() && after < before
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let opened = CollectStore::open_anyway(&self.options.directory)?;
        self.adopt(opened);
        Ok(())
    }

    /// Sets the store aside and goes on with a new one. `open` may still be read from.
    pub(super) fn replace(&mut self, reason: String, open: Option<CollectStore>) -> bool {
        match CollectStore::replace(&self.options.directory, reason, open) {
            Ok(opened) => {
                self.adopt(opened);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn adopt(&mut self, opened: Opened) {
        self.give_up_erasing();
        self.now.epoch = Some(opened.store.epoch());
        self.store = Some(opened.store);
        self.salvages = opened.salvages.into();
        if let Some((to, reason)) = opened.set_aside {
            self.troubles.add(Trouble::SetAside { to, reason });
            self.chores.start_over();
        }
        if self.waiting.is_empty() {
            self.worked();
        }
    }

    pub(super) fn salvage_some(&mut self) {
        if let Err(error) = self.try_to_salvage() {
            self.failed(&error);
            // Where it stopped stands in the store; with the next opening it goes on.
            self.salvages.clear();
            if error.is_damage() {
                let store = self.store.take();
                self.remedy(error, store);
            } else {
                self.store = None;
            }
        }
    }

    fn try_to_salvage(&mut self) -> Result<(), StoreError> {
        let (Some(store), Some(salvage)) = (&mut self.store, self.salvages.front_mut()) else {
            return Ok(());
        };
        if store.take_over(salvage)? {
            return store.fold();
        }
        if let Some(salvage) = self.salvages.pop_front() {
            let Salvage { blocks, unreadable, .. } = salvage;
            let from = store.taken_over(salvage)?;
            self.troubles.add(Trouble::Salvaged { from, blocks, unreadable });
            self.chores.start_over();
        }
        Ok(())
    }

    pub(super) fn renew_epoch(&mut self) -> Result<Epoch, StoreError> {
        let epoch = self.store.as_mut().ok_or(StoreError::Absent)?.renew_epoch()?;
        self.now.epoch = Some(epoch);
        Ok(epoch)
    }

    /// Stores what waits and ends; tells whether everything is stored.
    pub(super) fn finish(&mut self) -> bool {
        self.close();
        self.chores.closed = true;
        self.waiting.is_empty()
    }

    fn close(&mut self) {
        self.store_waiting();
        if let Some(Err(error)) = self.store.take().map(|store| store.fold_all()) {
            self.failed(&error);
        }
        self.tell();
    }

    pub(super) fn worked(&mut self) {
        self.now.state = DiskState::Writable;
        self.now.error = None;
    }

    pub(super) fn failed(&mut self, error: &StoreError) {
        self.now.failures = self.now.failures.saturating_add(1);
        self.now.state =
            if matches!(error, StoreError::Full) { DiskState::Full } else { DiskState::ReadOnly };
        self.now.error = Some(error.to_string());
        self.give_up_erasing();
    }

    /// Tells those who watch.
    pub(super) fn tell(&mut self) {
        let ring = self.waiting.ring();
        for stream in STREAMS {
            let state = self.now.streams.entry(stream).or_default();
            if let Some(Ok(known)) = self.store.as_ref().map(|store| stream_state(store, stream)) {
                *state = known;
            }
            state.bytes = self.chores.bytes(stream);
            state.waiting = u64::try_from(ring.len(stream)).unwrap_or(u64::MAX);
        }
        self.now.dropped = self.waiting.dropped();
        self.now.salvaging = !self.salvages.is_empty();
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
    let freed = freeing::freed(&store.connection, stream)?;
    let gone = freeing::gone(&store.connection, stream)?;
    let kept = |number: Seq| number.number().saturating_sub(freed.number()).saturating_sub(gone);
    Ok(StreamState {
        head,
        acknowledged,
        blocks: kept(head),
        bytes: None,
        oldest: freeing::oldest(&store.connection, stream, acknowledged)?,
        waiting: 0,
        lost: freeing::lost(&store.connection, stream)?,
    })
}
