//! What is read of the store, and joined.

use std::collections::{BTreeMap, BTreeSet};

use messages::batch::{Record, Seq, Stream};
use messages::event::Episode;
use messages::reading::{HourRow, join};
use messages::{Id, MeterId, Time};

use super::writing::Writing;
use super::{Failure, Progress, What};
use crate::store::{Block, CollectReader, StoreError};

const DAY: i64 = 86_400;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) meter: Option<MeterId>,
}

impl Wanted {
    fn has(&self, meter: MeterId, from: Time, to: Time) -> bool {
        self.meter.is_none_or(|only| only == meter) && to >= self.from && from <= self.to
    }
}

/// What was there and could not be read: it is told, not passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// Blocks that differ from their checksums, or are no list of records.
    pub(super) blocks: u64,
    /// Records in the others.
    pub(super) records: u64,
}

impl Unread {
    fn records(&mut self, block: &Block) -> Vec<Record> {
        let Ok(read) = block.body.decode() else {
            self.blocks = self.blocks.saturating_add(1);
            return Vec::new();
        };
        let mut records = Vec::with_capacity(read.len());
        for record in read {
            match record {
                Ok(record) => records.push(record),
                Err(_) => self.records = self.records.saturating_add(1),
            }
        }
        records
    }

    /// All blocks of a stream, the newest first.
    fn each(
        &mut self,
        reader: &CollectReader,
        stream: Stream,
        mut each: impl FnMut(Seq, Vec<Record>),
    ) -> Result<(), StoreError> {
        let mut blocks = reader.newest_first(stream);
        for block in blocks.by_ref() {
            let block = block?;
            each(block.seq, self.records(&block));
        }
        self.blocks = self.blocks.saturating_add(blocks.passed_over());
        Ok(())
    }
}

/// Which days stand in which blocks: rows are joined a day at a time, so that months fit into little memory.
pub(super) struct Index {
    /// Days are counted from 1970.
    days: BTreeMap<i64, BTreeSet<Seq>>,
    pub(super) meters: BTreeSet<MeterId>,
    pub(super) unread: Unread,
}

impl Index {
    pub(super) fn of(reader: &CollectReader, progress: &mut Progress) -> Result<Self, StoreError> {
        let (mut days, mut meters, mut unread) = (BTreeMap::new(), BTreeSet::new(), Unread::default());
        unread.each(reader, Stream::Readings, |seq, records| {
            progress.step("reading");
            for row in rows(records) {
                let of_day: &mut BTreeSet<Seq> = days.entry(day_of(&row)).or_default();
                of_day.insert(seq);
                meters.insert(row.meter);
            }
        })?;
        Ok(Self { days, meters, unread })
    }

    pub(super) fn days(
        &self,
        reader: &CollectReader,
        wanted: Wanted,
        progress: &mut Progress,
        mut write: impl FnMut(&HourRow) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (first, last) = (wanted.from.unix().div_euclid(DAY), wanted.to.unix().div_euclid(DAY));
        for (day, blocks) in self.days.iter().filter(|(day, _)| first <= **day && **day <= last) {
            let mut joined: BTreeMap<(i64, MeterId), HourRow> = BTreeMap::new();
            for seq in blocks {
                progress.step("writing");
                // It was read a moment ago, of the same snapshot.
                let block = reader.block(Stream::Readings, *seq)?;
                let block =
                    block.ok_or_else(|| format!("block {seq} can no longer be read: the disk fails"))?;
                for row in rows(Unread::default().records(&block)) {
                    let at = row.boundary.time();
                    if day_of(&row) == *day && wanted.has(row.meter, at, at) {
                        let key = (at.unix(), row.meter);
                        let both = join(joined.get(&key).unwrap_or(&row), &row);
                        joined.insert(key, both.unwrap_or(row));
                    }
                }
            }
            for row in joined.values() {
                write(row)?;
            }
        }
        Ok(())
    }
}

fn day_of(row: &HourRow) -> i64 {
    row.boundary.time().unix().div_euclid(DAY)
}

fn rows(records: Vec<Record>) -> impl Iterator<Item = HourRow> {
    records.into_iter().filter_map(|record| match record {
        Record::Hour(row) => Some(*row),
        _ => None,
    })
}

/// Episodes joined, and with [`What::All`] all else that the stream has, oldest first.
pub(super) fn events(
    reader: &CollectReader,
    wanted: Wanted,
    what: What,
    writing: &mut Writing<'_>,
) -> Result<Unread, Failure> {
    let mut unread = Unread::default();
    let mut episodes: BTreeMap<Id, Episode> = BTreeMap::new();
    let mut others: Vec<Record> = Vec::new();
    unread.each(reader, Stream::Events, |_, records| {
        for record in records.into_iter().rev() {
            match record {
                Record::Episode(episode) => {
                    let joined = episodes.get(&episode.id).map(|known| known.joined(&episode));
                    episodes.insert(episode.id, joined.unwrap_or(episode));
                }
                other if what == What::All => others.push(other),
                _ => {}
            }
        }
    })?;
    for record in others.into_iter().rev() {
        match record {
            Record::Meter(status) if wanted.has(status.meter, status.at, status.at) => {
                writing.other("meter", &status)?;
            }
            Record::Problem(problem) if wanted.meter.is_none() => {
                let from = problem.since.unwrap_or(wanted.from);
                if problem.until.unwrap_or(Time::MAX) >= wanted.from && from <= wanted.to {
                    writing.other("problem", &problem)?;
                }
            }
            // Of a later version, as it came: nothing is known of its time and meter.
            Record::Unknown(unknown) if wanted.meter.is_none() => writing.raw(unknown.json())?,
            _ => {}
        }
    }
    let mut episodes: Vec<Episode> = episodes.into_values().collect();
    episodes.sort_by_key(|episode| (episode.started, episode.meter));
    for episode in episodes {
        let from = episode.started.or(episode.seen).unwrap_or(wanted.from);
        if wanted.has(episode.meter, from, episode.seen.unwrap_or(from)) {
            writing.episode(&episode)?;
        }
    }
    Ok(unread)
}

#[cfg(test)]
mod tests {
    use messages::batch::{Body, ContentType, Nonce};

    use super::*;
    use crate::store::{CollectStore, Commit, NewBlock};

    fn row(boundary: &str, volume: &str) -> Record {
        let row = serde_json::from_value(serde_json::json!({
            "meter": "KAM.76348799.1B.16", "boundary": boundary, "checked": "checksum",
            "registers": { "volume": [volume, 0] }, "telegrams": 9,
        }));
        Record::Hour(row.unwrap())
    }

    fn put(store: &mut CollectStore, nonce: u64, body: Body) {
        let nonce = Nonce::from_random(nonce);
        let block = NewBlock { stream: Stream::Readings, nonce, records: 1, body };
        store.commit(&Commit { blocks: vec![block], ..Commit::default() }).unwrap();
    }

    fn all(index: &Index, reader: &CollectReader) -> Vec<String> {
        let mut boundaries = Vec::new();
        let wanted = Wanted { from: Time::MIN, to: Time::MAX, meter: None };
        let write = |row: &HourRow| {
            boundaries.push(row.boundary.to_string());
            Ok(())
        };
        index.days(reader, wanted, &mut Progress::new(false), write).unwrap();
        boundaries
    }

    #[test]
    fn what_is_exported_is_one_moment_of_the_store_and_what_cannot_be_read_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = CollectStore::open(folder.path()).unwrap();
        let rows = [row("2026-11-24T01:00:00Z", "5.000 m3"), row("1996-01-01T01:00:00Z", "1.000 m3")];
        put(&mut store, 1, Body::encode(&rows).unwrap());
        put(&mut store, 2, Body { content_type: ContentType::Json, bytes: b"no list".to_vec() });
        let bad = br#"{"records":[{"type":"hour","meter":7}]}"#.to_vec();
        put(&mut store, 3, Body { content_type: ContentType::Json, bytes: bad });
        let reader = CollectReader::open(folder.path()).unwrap();
        let moment = reader.hold().unwrap();
        let index = Index::of(&reader, &mut Progress::new(false)).unwrap();
        assert_eq!(index.unread, Unread { blocks: 1, records: 1 });
        assert_eq!(index.days.len(), 2, "only the days that there are");
        put(&mut store, 4, Body::encode(&[row("2026-11-24T02:00:00Z", "5.010 m3")]).unwrap());
        assert_eq!(all(&index, &reader), ["1996-01-01T01:00:00Z", "2026-11-24T01:00:00Z"]);
        assert_eq!(reader.head(Stream::Readings).unwrap(), Seq::new(3));
        drop(moment);
        assert_eq!(reader.head(Stream::Readings).unwrap(), Seq::new(4));
    }
}
