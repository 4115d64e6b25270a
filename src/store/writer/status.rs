//! How the store of the receiving half is.

use std::collections::BTreeMap;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use messages::status::DiskState;

use super::ring::Dropped;

/// How the store is; watched by whoever tells people.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterStatus {
    /// Whether it can be written.
    pub state: DiskState,
    /// Why not, with what to do.
    pub error: Option<String>,
    /// The numbering of its blocks; `None` until it could be opened once.
    pub epoch: Option<Epoch>,
    /// `readings` and `events`.
    pub streams: BTreeMap<Stream, StreamState>,
    /// Bytes that the files take, those of a damaged store included.
    pub used: u64,
    /// Bytes that they may take.
    pub budget: u64,
    /// Bytes free on the file system.
    pub free: u64,
    /// Bytes of the log.
    pub log: u64,
    /// Commits stored since the start.
    pub commits: u64,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// What found no room in memory since the start.
    pub dropped: Dropped,
    /// Whether blocks of a damaged store are still being saved.
    pub salvaging: bool,
    /// Readings that were never placed on the calendar and are gone, over all starts.
    pub never_placed: u64,
}

/// How one stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The newest block.
    pub head: Seq,
    /// What is acknowledged, as far as it is stored.
    pub acknowledged: Seq,
    /// Blocks kept.
    pub blocks: u64,
    /// Their bytes; `None` until they have been counted, some minutes after the start.
    pub bytes: Option<u64>,
    /// When the oldest block that is not acknowledged was stored.
    pub oldest: Option<Time>,
    /// Blocks that wait in memory.
    pub waiting: u64,
    /// Blocks of this epoch that were given up before they were acknowledged, or are damaged.
    pub lost: u64,
}

impl WriterStatus {
    pub(super) const fn new(budget: u64) -> Self {
        Self {
            state: DiskState::Writable,
            error: None,
            epoch: None,
            streams: BTreeMap::new(),
            used: 0,
            budget,
            free: 0,
            log: 0,
            commits: 0,
            failures: 0,
            dropped: Dropped { readings: 0, events: 0, others: 0 },
            salvaging: false,
            never_placed: 0,
        }
    }
}
