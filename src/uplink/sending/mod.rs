//! The streams on their way: what the stores have (here), what goes onto the line (`pump`), what the portal acknowledges
//! (`acknowledged`), what is set aside (`parked`).

mod acknowledged;
mod parked;
mod pump;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use tokio::time::Instant;
use tracing::debug;

use super::outbox::{Outbox, Policy};
use super::session::Session;
use super::shared::Shared;
use crate::config::{self, Acknowledge};
use crate::halves::nudge::Told;
use crate::store::{Block, CollectReader, Cursor, StoreError};

/// Bytes of one stream that the broker has not answered yet.
const UNANSWERED_BYTES: usize = 256 * 1024;
/// Blocks read in one go to get over damaged ones.
const DAMAGED_AT_ONCE: usize = 8;

/// The streams on their way, and the store that they come from.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) streams: BTreeMap<Stream, Outbox>,
    reader: Option<CollectReader>,
    version: i64,
    /// Why collect's store cannot be read.
    pub(super) unreadable: Option<String>,
    /// Streams whose acknowledgement has come over this line.
    heard: BTreeSet<Stream>,
    told: Option<(Instant, Told)>,
    cloned: Option<Epoch>,
    saved: Vec<(Stream, Cursor)>,
    saved_at: Option<Instant>,
    broker: bool,
    /// The broker does not let us publish: told once per line.
    pub(super) refused: bool,
}

impl Sending {
    pub(super) fn new(config: &config::Uplink) -> Self {
        let policy = |stream| Policy {
            window: usize::from(config.window),
            // Together below what the broker lets us have unanswered, so that none waits for another.
            unanswered: if stream == Stream::Readings { 8 } else { 4 },
            bytes: UNANSWERED_BYTES,
            patience: config.progress_timeout,
            broker: config.acknowledge == Acknowledge::Broker,
        };
        Self {
            streams: Stream::ALL.map(|stream| (stream, Outbox::new(stream, policy(stream)))).into(),
            reader: None,
            version: -1,
            unreadable: None,
            heard: BTreeSet::new(),
            told: None,
            cloned: None,
            saved: Vec::new(),
            saved_at: None,
            broker: config.acknowledge == Acknowledge::Broker,
            refused: false,
        }
    }

    pub(super) fn line_up(&mut self) {
        self.heard.clear();
        self.refused = false;
    }

    pub(super) fn line_down(&mut self) {
        for outbox in self.streams.values_mut() {
            outbox.line_down();
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        for (stream, outbox) in &mut self.streams {
            if outbox.tick(now) {
                debug!(%stream, "no progress: sending again what is not acknowledged");
            }
        }
    }

    fn outbox(&mut self, stream: Stream) -> Option<&mut Outbox> {
        self.streams.get_mut(&stream)
    }

    /// Collect's store is open, and is the one that is there now.
    fn open_reader(&mut self, directory: &Path) -> Result<(), StoreError> {
        if self.reader.as_ref().is_some_and(|reader| !reader.is_current()) {
            self.reader = None;
        }
        if self.reader.is_none() {
            self.version = -1;
            self.reader = Some(CollectReader::open(directory)?);
        }
        Ok(())
    }

    /// When the oldest block that waits was stored.
    pub(super) fn oldest_waiting(&self, shared: &Shared, stream: Stream) -> Option<Time> {
        let acknowledged = self.streams.get(&stream)?.acknowledged();
        self.after(shared, stream, acknowledged).ok()??.stored
    }

    fn block(&self, shared: &Shared, stream: Stream, seq: Seq) -> Option<Block> {
        let block = match stream {
            Stream::Mails => shared.store.borrow().block(seq),
            _ => self.reader.as_ref()?.block(stream, seq),
        };
        block.ok().flatten()
    }

    /// The first readable block after `after`.
    fn after(&self, shared: &Shared, stream: Stream, after: Seq) -> Result<Option<Block>, StoreError> {
        let read = |after, most| match stream {
            Stream::Mails => shared.store.borrow().blocks(after, most),
            _ => self.reader.as_ref().ok_or(StoreError::Absent)?.blocks(stream, after, most),
        };
        if let Some(block) = read(after, 1)?.into_iter().next() {
            return Ok(Some(block));
        }
        // The next one is damaged, or there is none: the store counts damaged ones and leaves them out.
        let head = self.streams.get(&stream).map_or(Seq::NONE, Outbox::head);
        let mut after = after;
        while after < head {
            if let Some(block) = read(after, DAMAGED_AT_ONCE)?.into_iter().next() {
                return Ok(Some(block));
            }
            let passed = u64::try_from(DAMAGED_AT_ONCE).unwrap_or(u64::MAX);
            after = Seq::new(after.number().saturating_add(passed));
        }
        Ok(None)
    }
}

impl Session {
    /// Looks what is new in the stores.
    pub(super) fn look(&mut self) {
        let looked = self.look_at_collect();
        self.sending.unreadable = match looked {
            Ok(()) => None,
            Err(error) => {
                self.sending.reader = None;
                Some(error.to_string())
            }
        };
        let (epoch, head, acknowledged) = {
            let store = self.shared.store.borrow();
            let (Ok(head), Ok(acknowledged)) = (store.head(), store.acknowledged()) else { return };
            (store.epoch(), head, acknowledged)
        };
        self.know(Stream::Mails, epoch, head, acknowledged);
    }

    fn look_at_collect(&mut self) -> Result<(), StoreError> {
        self.sending.open_reader(&self.setup.collect_dir)?;
        let last = self.sending.version;
        let reader = self.sending.reader.as_ref().ok_or(StoreError::Absent)?;
        let version = reader.version()?;
        let epoch = reader.epoch()?;
        let read = |stream| Ok::<_, StoreError>((stream, reader.head(stream)?, reader.acknowledged(stream)?));
        let found = if version == last {
            Vec::new()
        } else {
            let newest = reader.newest()?;
            let found = vec![read(Stream::Readings)?, read(Stream::Events)?];
            if let Some(newest) = newest {
                self.calendar.stored(newest.unix());
            }
            found
        };
        self.sending.version = version;
        for (stream, head, acknowledged) in found {
            self.know(stream, epoch, head, acknowledged);
        }
        Ok(())
    }

    fn know(&mut self, stream: Stream, epoch: Epoch, head: Seq, acknowledged: Seq) {
        let Some(outbox) = self.sending.streams.get_mut(&stream) else { return };
        let new = outbox.epoch() != Some(epoch);
        let store = self.shared.store.borrow();
        let remembered = if new { self.shared.note(store.cursor(stream)).flatten() } else { None };
        let cloned = outbox.know(epoch, head, acknowledged, remembered);
        if new {
            for (seq, reason) in self.shared.note(store.parked(stream, epoch)).unwrap_or_default() {
                outbox.park(seq, reason);
            }
        }
        drop(store);
        if cloned {
            self.cloned(stream, epoch);
        }
    }
}
