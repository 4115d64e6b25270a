//! What the uplink shares with the rest of the delivering half, all on one thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use messages::Time;
use messages::event::ProblemKind;
use messages::reading::Code;
use tokio::sync::{Notify, watch};

use crate::health::clock::Calendar;
use crate::health::problem::Problems;
use crate::health::status::UplinkStatus;
use crate::store::{DeliverStore, StoreError};
use crate::world::World;

/// What the uplink shares with the rest of the delivering half, all on one thread. No borrow is held over an await.
#[derive(Debug)]
pub struct Shared {
    /// Time.
    pub world: World,
    /// The half's own store.
    pub store: RefCell<DeliverStore>,
    /// What is wrong with this half.
    pub problems: RefCell<Problems>,
    /// What uptime is what UTC, once the clock is trusted.
    pub calendar: RefCell<Calendar>,
    /// Something new is stored in either file, or waits in collect's memory.
    pub news: Notify,
    /// Collect cannot write: blocks wait in its memory.
    pub in_memory: Cell<bool>,
    /// After how many minutes an episode of a code is worth a record; told to collect.
    pub thresholds: RefCell<BTreeMap<Code, BTreeSet<u32>>>,
    /// What the uplink has to say to the others.
    pub signals: watch::Sender<Signals>,
    /// How the uplink is.
    pub status: watch::Sender<Option<UplinkStatus>>,
}

/// What the uplink has to say to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// The broker's line is up.
    pub up: bool,
    /// Counted up with each line: queued mails wait at most 60 s from then on, until [`Signals::settled`].
    pub lines: u64,
    /// The portal's settings have come over this line, and every document that they list is in force.
    pub settled: bool,
    /// Counted up whenever a document of the portal has changed.
    pub documents: u64,
}

impl Shared {
    /// With an opened store.
    #[must_use]
    pub fn new(world: World, store: DeliverStore) -> Self {
        Self {
            world,
            store: RefCell::new(store),
            problems: RefCell::default(),
            calendar: RefCell::default(),
            news: Notify::new(),
            in_memory: Cell::new(false),
            thresholds: RefCell::default(),
            signals: watch::Sender::new(Signals::default()),
            status: watch::Sender::default(),
        }
    }

    /// Now, if the clock is trusted.
    #[must_use]
    pub fn now(&self) -> Option<Time> {
        self.calendar.borrow().place(self.world.clock.uptime())
    }

    /// A problem begins, goes on with another text, or is over. Beginning and end are reported to the portal.
    pub fn problem(&self, kind: ProblemKind, place: Option<&str>, text: Option<&str>) {
        let now = self.now();
        let record = self.problems.borrow_mut().set(kind, place, text, now);
        if let Some(record) = record {
            self.note(self.store.borrow_mut().append(&[record], now).map(|_| ()));
            self.news.notify_one();
        }
    }

    /// Says that the store failed. Whoever used it goes on: nothing is freed that was not stored.
    pub(super) fn note<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!("deliver's store: {error}");
                None
            }
        }
    }
}
