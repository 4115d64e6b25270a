//! What the store knows of each meter.

use std::collections::BTreeMap;

use messages::batch::{Record, Stream};
use messages::event::MeterStatus;
use messages::reading::HourRow;
use messages::{MeterId, Time};

use crate::cli::common::before;
use crate::collector::checkpoint::read_meters;
use crate::store::{CollectReader, Part, StoreError};

/// So far back the store is looked through for rows and for what was told of meters.
const BACK: i64 = 8 * 86_400;

/// What the store knows.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) rows: BTreeMap<MeterId, HourRow>,
    pub(super) told: BTreeMap<MeterId, MeterStatus>,
    /// The boundary of the last row, from what the collector remembers.
    pub(super) written: BTreeMap<MeterId, Option<Time>>,
    pub(super) sealed: BTreeMap<MeterId, u64>,
}

impl Stored {
    pub(super) fn read(reader: &CollectReader, at: Time) -> Result<Self, StoreError> {
        let mut stored = Self::default();
        for part in [Part::Meters, Part::MetersSince] {
            for entry in read_meters(&reader.part(part)?.unwrap_or_default()) {
                if let Ok(id) = entry.meter.to_string().parse() {
                    stored.written.insert(id, entry.written);
                }
            }
        }
        for (meter, count) in reader.sealed_meters()? {
            if let Ok(id) = meter.to_string().parse() {
                stored.sealed.insert(id, count);
            }
        }
        let since = before(at, BACK);
        for stream in [Stream::Readings, Stream::Events] {
            for block in reader.newest_first(stream) {
                let block = block?;
                let all = stream == Stream::Readings
                    && !stored.written.is_empty()
                    && stored.written.keys().all(|meter| stored.rows.contains_key(meter));
                if all || block.stored.is_some_and(|stored| stored < since) {
                    break;
                }
                for record in block.body.decode().into_iter().flatten().flatten() {
                    stored.take(record);
                }
            }
        }
        Ok(stored)
    }

    /// The newest of each meter stays.
    fn take(&mut self, record: Record) {
        match record {
            Record::Hour(row) => {
                let known = self.rows.get(&row.meter).map(|known| known.boundary);
                if known.is_none_or(|known| known < row.boundary) {
                    self.rows.insert(row.meter, *row);
                }
            }
            Record::Meter(status) => {
                let known = self.told.get(&status.meter).map(|known| known.at);
                if known.is_none_or(|known| known < status.at) {
                    self.told.insert(status.meter, status);
                }
            }
            _ => {}
        }
    }
}
