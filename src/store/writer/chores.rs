//! What is done once a minute: looking after the files, freeing, checking.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::batch::{Seq, Stream};

use super::super::collect::{Lost, STREAMS};
use super::super::trouble::{Because, Trouble};
use super::super::{CollectStore, NewBlock, StoreError, aside, freeing, reserve};
use super::keeper::Keeper;
use crate::world::Uptime;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What is checked of the blocks in a minute: 200 MB in a day.
const CHECKED: usize = 256_000;
/// A log longer than this is told of, and emptied as soon as readers allow it.
const LONG_LOG: u64 = 8_000_000;
/// What the log takes in ordinary times.
const LOG: u64 = 2 << 20;
/// What is freed at once at the budget.
const STEP: u64 = 2_000_000;
/// With less than this free on the file system, acknowledged blocks go before the disk is full.
const NEARLY_FULL: u64 = 8 << 20;

/// When what is due, and how far it has come.
#[derive(Debug)]
pub(super) struct Chores {
    minute: Uptime,
    hour: Uptime,
    /// When the blocks were last checked from the beginning, and how far it has come since.
    check_from: Uptime,
    checking: Option<(usize, Seq)>,
    /// Bytes of the blocks kept, once they have been counted.
    bytes: Option<BTreeMap<Stream, u64>>,
    /// What was erased still stands in the log.
    pub(super) empty_log: bool,
    pub(super) closed: bool,
}

impl Chores {
    pub(super) const fn new(now: Uptime) -> Self {
        Self {
            minute: now,
            hour: now,
            check_from: now,
            checking: Some((0, Seq::NONE)),
            bytes: None,
            empty_log: false,
            closed: false,
        }
    }

    /// Another store, or many blocks more.
    pub(super) fn start_over(&mut self) {
        self.bytes = None;
        self.checking = Some((0, Seq::NONE));
    }

    pub(super) fn stored<'a>(&mut self, blocks: impl Iterator<Item = &'a NewBlock>) {
        for block in blocks {
            let sum = self.bytes.as_mut().and_then(|bytes| bytes.get_mut(&block.stream));
            let more = u64::try_from(block.body.bytes.len()).unwrap_or(u64::MAX);
            if let Some(sum) = sum {
                *sum = sum.saturating_add(more);
            }
        }
    }

    pub(super) fn bytes(&self, stream: Stream) -> Option<u64> {
        self.bytes.as_ref().and_then(|bytes| bytes.get(&stream)).copied()
    }
}

impl Keeper {
    /// Called more often than there is anything to do.
    pub(super) fn do_chores(&mut self) {
        let now = self.options.clock.uptime();
        if now.since(self.chores.minute) < MINUTE {
            return;
        }
        self.chores.minute = now;
        if let Some(store) = &mut self.store
            && let Err(StoreError::Damaged(reason)) = store.look()
        {
            // A deleted file can still be read through its open connection.
            let store = self.store.take();
            self.replace(reason, store);
        }
        match self.try_chores(now) {
            Ok(()) if self.waiting.is_empty() && self.store.is_some() => self.worked(),
            Ok(()) => {}
            Err(error) => {
                self.failed(&error);
                self.store = None;
                if let StoreError::Damaged(reason) = error {
                    self.replace(reason, None);
                }
            }
        }
        self.measure();
    }

    fn try_chores(&mut self, now: Uptime) -> Result<(), StoreError> {
        self.keep_to_budget()?;
        self.watch_the_log()?;
        self.check_some(now)?;
        let hourly = now.since(self.chores.hour) >= HOUR;
        if hourly {
            self.chores.hour = now;
            self.forget()?;
        }
        let Some(store) = &self.store else { return Ok(()) };
        if self.chores.bytes.is_none() {
            let count = |stream| Ok::<_, StoreError>((stream, freeing::kept(&store.connection, stream)?.1));
            self.chores.bytes = Some(STREAMS.into_iter().map(count).collect::<Result<_, _>>()?);
        }
        // A disk without room for it says so by being full.
        let _ = reserve::keep(&self.options.directory);
        Ok(())
    }

    /// Bytes used and free, for people.
    pub(super) fn measure(&mut self) {
        let directory = &self.options.directory;
        self.now.used = aside::used(directory);
        self.now.free = reserve::free(directory);
        self.now.log = self.store.as_ref().map_or(0, CollectStore::log_bytes);
    }

    fn keep_to_budget(&mut self) -> Result<(), StoreError> {
        if self.is_erasing() {
            // Free pages may be held to be overwritten: the store looks fuller than it is.
            return Ok(());
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        let directory = &self.options.directory;
        let damaged = aside::damaged_bytes(directory);
        let for_blocks = self.options.budget.saturating_sub(reserve::SIZE + LOG + STEP);
        let (held, file) = store.room()?;
        if damaged > 0 && held.saturating_add(damaged) > for_blocks && self.salvages.is_empty() {
            aside::remove_saved(directory)?;
        }
        let mut lost = Vec::new();
        if held > for_blocks {
            lost = store.free_bytes(held.saturating_sub(for_blocks).saturating_add(STEP), true)?;
            self.chores.bytes = None;
        } else if reserve::free(directory) < NEARLY_FULL && held.saturating_add(STEP) > file {
            lost = store.free_bytes(STEP, false)?;
            self.chores.bytes = None;
        }
        self.tell_of(lost, Because::Budget);
        Ok(())
    }

    fn watch_the_log(&mut self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let bytes = store.log_bytes();
        if bytes > LONG_LOG || self.chores.empty_log {
            if store.fold_all()? {
                self.chores.empty_log = false;
            } else if bytes > LONG_LOG {
                self.troubles.add(Trouble::LongLog { bytes });
            }
        }
        Ok(())
    }

    fn check_some(&mut self, now: Uptime) -> Result<(), StoreError> {
        if self.chores.checking.is_none() && now.since(self.chores.check_from) >= DAY {
            self.chores.check_from = now;
            self.chores.checking = Some((0, Seq::NONE));
        }
        let (Some(store), Some((index, at))) = (&mut self.store, self.chores.checking) else { return Ok(()) };
        let Some(stream) = STREAMS.get(index).copied() else {
            self.chores.checking = None;
            return Ok(());
        };
        let (reached, lost) = store.verify(stream, at, CHECKED)?;
        self.chores.checking = Some(reached.map_or((index + 1, Seq::NONE), |reached| (index, reached)));
        self.tell_of(lost.into_iter().map(|number| (stream, number..=number)), Because::Damage);
        Ok(())
    }

    /// What has been kept long enough.
    fn forget(&mut self) -> Result<(), StoreError> {
        let utc = self.utc();
        let (keep_acknowledged, keep_at_most) = (self.options.keep_acknowledged, self.options.keep_at_most);
        let Some(store) = &mut self.store else { return Ok(()) };
        if store.has_extras()? {
            self.now.never_placed = store.tidy(utc)?;
        }
        let Some(utc) = utc else { return Ok(()) };
        let lost = store.free_old(utc, keep_acknowledged, keep_at_most)?;
        self.tell_of(lost, Because::Age);
        aside::remove_old(&self.options.directory, utc, keep_at_most)?;
        Ok(())
    }

    fn tell_of(&self, lost: impl IntoIterator<Item = Lost>, because: Because) {
        for (stream, numbers) in lost {
            self.troubles.add(Trouble::Lost { stream, numbers, because });
        }
    }
}
