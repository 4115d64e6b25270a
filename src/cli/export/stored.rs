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

/// Which boundaries stand in which block: rows are joined a day at a time, so that months fit into little memory.
pub(super) struct Index {
    /// First and last day, counted from 1970, by block.
    blocks: BTreeMap<Seq, (i64, i64)>,
    pub(super) meters: BTreeSet<MeterId>,
}

impl Index {
    pub(super) fn of(reader: &CollectReader, progress: &mut Progress) -> Result<Self, StoreError> {
        let mut index = Self { blocks: BTreeMap::new(), meters: BTreeSet::new() };
        for block in reader.newest_first(Stream::Readings) {
            let block = block?;
            progress.step("reading");
            for row in rows(&block) {
                let day = row.boundary.time().unix().div_euclid(DAY);
                let days = index.blocks.entry(block.seq).or_insert((day, day));
                *days = (days.0.min(day), days.1.max(day));
                index.meters.insert(row.meter);
            }
        }
        Ok(index)
    }

    pub(super) fn days(
        &self,
        reader: &CollectReader,
        wanted: Wanted,
        progress: &mut Progress,
        mut write: impl FnMut(&HourRow) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let first = self.blocks.values().map(|days| days.0).min().unwrap_or_default();
        let last = self.blocks.values().map(|days| days.1).max().unwrap_or(-1);
        let (first, last) =
            (first.max(wanted.from.unix().div_euclid(DAY)), last.min(wanted.to.unix().div_euclid(DAY)));
        for day in first..=last {
            let mut joined: BTreeMap<(i64, MeterId), HourRow> = BTreeMap::new();
            let of_day = self.blocks.iter().filter(|(_, days)| days.0 <= day && day <= days.1);
            for (seq, _) in of_day {
                progress.step("writing");
                let Some(block) = reader.block(Stream::Readings, *seq)? else { continue };
                for row in rows(&block) {
                    let at = row.boundary.time();
                    if at.unix().div_euclid(DAY) == day && wanted.has(row.meter, at, at) {
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

fn rows(block: &Block) -> impl Iterator<Item = HourRow> {
    let records = block.body.decode().into_iter().flatten().flatten();
    records.filter_map(|record| match record {
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
) -> Result<(), Failure> {
    let mut episodes: BTreeMap<Id, Episode> = BTreeMap::new();
    let mut after = Seq::NONE;
    loop {
        let blocks = reader.blocks(Stream::Events, after, 64)?;
        let Some(last) = blocks.last() else { break };
        after = last.seq;
        for record in blocks.iter().flat_map(|block| block.body.decode().into_iter().flatten().flatten()) {
            match record {
                Record::Episode(episode) => {
                    let joined = episodes.get(&episode.id).map(|known| known.joined(&episode));
                    episodes.insert(episode.id, joined.unwrap_or(episode));
                }
                Record::Meter(status)
                    if what == What::All && wanted.has(status.meter, status.at, status.at) =>
                {
                    writing.other("meter", &status)?;
                }
                Record::Problem(problem) if what == What::All && wanted.meter.is_none() => {
                    let from = problem.since.unwrap_or(wanted.from);
                    if problem.until.unwrap_or(Time::MAX) >= wanted.from && from <= wanted.to {
                        writing.other("problem", &problem)?;
                    }
                }
                _ => {}
            }
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
    Ok(())
}
