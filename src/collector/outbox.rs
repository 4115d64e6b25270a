//! What waits to be committed: rows gathered into blocks, events at once, and what is to be remembered with them.

use std::collections::{BTreeMap, BTreeSet};

use messages::batch::{Body, EncodeError, Record, Seq, Stream};
use messages::event::Episode;
use messages::reading::HourRow;
use wmbus::Meter;

use crate::store::{Anchor, Commit, NewBlock, Part, SealedFrame, Unplaced, nonce};

/// What waits.
#[derive(Debug, Default)]
pub struct Outbox {
    rows: Vec<Record>,
    /// When the oldest row came, steady seconds.
    rows_since: Option<u64>,
    events: Vec<Record>,
    events_since: Option<u64>,
    /// Something waits that must not: an alarm, the rows of a whole boundary, an anchor.
    at_once: bool,
    /// Meters whose state has to be stored with what waits.
    pub touched: BTreeSet<Meter>,
    /// Meters whose state lies in [`Part::MetersSince`].
    pub since: BTreeSet<Meter>,
    /// The state of all meters is to be stored.
    pub whole: bool,
    /// Episodes have changed.
    pub episodes: bool,
    /// Layouts have been learned.
    pub layouts: bool,
    /// Readings without a place on the calendar, and since when they wait.
    pub unplaced: Vec<Unplaced>,
    /// Starts of the machine whose readings have got their place.
    pub placed: Vec<String>,
    /// Frames that no key opens.
    pub sealed: Vec<SealedFrame>,
    /// Meters whose frames have been opened.
    pub opened: Vec<Meter>,
    /// The anchor of this start of the machine.
    pub anchor: Option<Anchor>,
    /// What the portal has.
    pub acknowledged: BTreeMap<Stream, Seq>,
    /// Rows committed since the start.
    pub written: u64,
}

impl Outbox {
    /// An hour row.
    pub fn row(&mut self, meter: Meter, row: HourRow, now: u64) {
        self.rows.push(Record::Hour(Box::new(row)));
        self.rows_since.get_or_insert(now);
        self.touched.insert(meter);
    }

    /// An episode's record, which must not wait: an alarm may hang on it.
    pub fn episode(&mut self, meter: Meter, episode: Episode) {
        self.events.push(Record::Episode(episode));
        self.touched.insert(meter);
        self.episodes = true;
        self.at_once = true;
    }

    /// Another event: at once, or gathered like rows.
    pub fn event(&mut self, record: Record, now: u64, at_once: bool) {
        self.events.push(record);
        self.events_since.get_or_insert(now);
        self.at_once |= at_once;
    }

    /// What is there is to be stored now.
    pub fn hurry(&mut self) {
        self.at_once |= !self.is_empty();
    }

    /// How many rows wait.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether what waits is to be stored now: it is urgent, has waited for `patience` seconds, or is `most` rows.
    #[must_use]
    pub fn is_due(&self, now: u64, patience: u64, most: usize) -> bool {
        let waited = |since: Option<u64>| since.is_some_and(|since| now.saturating_sub(since) >= patience);
        (self.at_once && !self.is_empty())
            || self.rows.len() >= most
            || waited(self.rows_since)
            || waited(self.events_since)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.events.is_empty()
            && self.unplaced.is_empty()
            && self.placed.is_empty()
            && self.sealed.is_empty()
            && self.opened.is_empty()
            && self.anchor.is_none()
            && !self.whole
    }

    /// Everything that waits, as one commit without the parts that the collector remembers.
    pub fn take(&mut self, most: usize) -> Commit {
        let rows = std::mem::take(&mut self.rows);
        let events = std::mem::take(&mut self.events);
        (self.rows_since, self.events_since, self.at_once) = (None, None, false);
        self.written = self.written.saturating_add(u64::try_from(rows.len()).unwrap_or_default());
        let mut blocks = Vec::new();
        for (stream, records) in [(Stream::Events, events), (Stream::Readings, rows)] {
            for records in records.chunks(most.max(1)) {
                pack(stream, records, &mut blocks);
            }
        }
        Commit {
            blocks,
            at: None,
            parts: Vec::<(Part, Vec<u8>)>::new(),
            acknowledged: std::mem::take(&mut self.acknowledged).into_iter().collect(),
            anchor: self.anchor.take(),
            unplaced: std::mem::take(&mut self.unplaced),
            placed: std::mem::take(&mut self.placed),
            sealed: std::mem::take(&mut self.sealed),
            opened: std::mem::take(&mut self.opened),
        }
    }
}

/// Blocks of records, halved until they fit.
fn pack(stream: Stream, records: &[Record], blocks: &mut Vec<NewBlock>) {
    match Body::encode(records) {
        Ok(body) => {
            let records = u32::try_from(records.len()).unwrap_or(u32::MAX);
            blocks.push(NewBlock { stream, nonce: nonce(), records, body });
        }
        Err(EncodeError::TooLarge | EncodeError::TooManyRecords) if records.len() > 1 => {
            let (one, other) = records.split_at(records.len() / 2);
            pack(stream, one, blocks);
            pack(stream, other, blocks);
        }
        // One record of a bounded type always fits.
        Err(error) => tracing::error!(%error, "a record cannot be written"),
    }
}
