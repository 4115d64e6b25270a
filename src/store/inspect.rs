//! What people are shown of a stream: what waits, what is gone and why, its blocks from the newest back.

use std::path::{Path, PathBuf};

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use wmbus::Meter;

use super::block::COLUMNS;
use super::stream::{acknowledged, head, known_epoch, table};
use super::{Block, CollectReader, Part, StoreError, collect, freeing};

/// How a stream stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its numbering.
    pub epoch: Epoch,
    /// The newest block; 0 for none.
    pub head: Seq,
    /// What is acknowledged.
    pub acknowledged: Seq,
    /// Blocks kept, acknowledged or not.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks that are not acknowledged.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was stored, if the clock could tell.
    pub oldest: Option<Time>,
    /// Blocks of this numbering that were given up before they were acknowledged.
    pub lost: u64,
    /// Numbers that are not acknowledged and can never be sent.
    pub gaps: Vec<Gap>,
}

/// Numbers that can never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// Why.
    pub why: GapReason,
}

/// Why numbers can never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Too old, or no room was left.
    Pruned,
    /// The disk gave back something else than was stored.
    Damaged,
}

impl Standing {
    /// Of a stream; `at_least` is what is known to be acknowledged from elsewhere.
    pub(super) fn of(connection: &Connection, stream: Stream, at_least: Seq) -> Result<Self, StoreError> {
        let epoch = known_epoch(connection)?.ok_or(StoreError::Absent)?;
        let head = head(connection, stream)?;
        let acknowledged = acknowledged(connection, stream)?.max(at_least).min(head);
        let (kept, kept_bytes) = freeing::kept(connection, stream)?;
        let sql =
            format!("SELECT count(*), ifnull(sum(length(body)), 0) FROM {} WHERE seq > ?1", table(stream));
        let (waiting, waiting_bytes) =
            connection.query_row(&sql, [acknowledged.number().cast_signed()], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
            })?;
        Ok(Self {
            epoch,
            head,
            acknowledged,
            kept,
            kept_bytes,
            waiting,
            waiting_bytes,
            oldest: freeing::oldest(connection, stream, acknowledged)?,
            lost: freeing::lost(connection, stream)?,
            gaps: gaps(connection, stream, acknowledged)?,
        })
    }
}

fn gaps(connection: &Connection, stream: Stream, after: Seq) -> Result<Vec<Gap>, StoreError> {
    let mut gaps = Vec::new();
    let freed = freeing::freed(connection, stream)?;
    if freed > after {
        gaps.push(Gap { first: after.next(), last: freed, why: GapReason::Pruned });
    }
    let mut statement =
        connection.prepare("SELECT first, last FROM lost WHERE stream = ?1 AND last > ?2 ORDER BY first")?;
    let rows =
        statement.query_map(params![stream.as_str(), after.max(freed).number().cast_signed()], |row| {
            let seq = |at| row.get::<_, i64>(at).map(|seq| Seq::new(seq.cast_unsigned()));
            Ok(Gap { first: seq(0)?, last: seq(1)?, why: GapReason::Damaged })
        })?;
    for gap in rows {
        let gap = gap?;
        match gaps.last_mut() {
            Some(before) if before.why == gap.why && before.last.next() == gap.first => {
                before.last = gap.last;
            }
            _ => gaps.push(gap),
        }
    }
    Ok(gaps)
}

/// The blocks of a stream, the newest first; damaged ones are passed over.
#[derive(Debug)]
pub struct NewestFirst<'a> {
    connection: &'a Connection,
    stream: Stream,
    /// The number of the last row that was read; before the first, above all there can be.
    before: i64,
    passed_over: u64,
}

impl<'a> NewestFirst<'a> {
    pub(super) const fn new(connection: &'a Connection, stream: Stream) -> Self {
        Self { connection, stream, before: i64::MAX, passed_over: 0 }
    }

    /// How many damaged ones there were so far.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    fn step(&mut self) -> Result<Option<Block>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM {} WHERE seq < ?1 ORDER BY seq DESC LIMIT 1", table(self.stream));
        let mut statement = self.connection.prepare_cached(&sql)?;
        loop {
            let read = statement.query_row([self.before], |row| Ok((row.get(0)?, Block::read(row))));
            let Some((seq, block)) = read.optional()? else { return Ok(None) };
            self.before = seq;
            match block {
                Ok(Some(block)) => return Ok(Some(block)),
                Ok(None) | Err(StoreError::Sqlite(_)) => {
                    self.passed_over = self.passed_over.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Iterator for NewestFirst<'_> {
    type Item = Result<Block, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            // It would be the same again.
            self.before = i64::MIN;
        }
        step
    }
}

impl CollectReader {
    /// Where the file is, below the receiving half's directory.
    #[must_use]
    pub fn file(directory: &Path) -> PathBuf {
        collect::file(directory)
    }

    /// How a stream stands; `at_least` is what the other half knows to be acknowledged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn standing(&self, stream: Stream, at_least: Seq) -> Result<Standing, StoreError> {
        Standing::of(&self.connection, stream, at_least)
    }

    /// The blocks of a stream, the newest first.
    #[must_use]
    pub const fn newest_first(&self, stream: Stream) -> NewestFirst<'_> {
        NewestFirst::new(&self.connection, stream)
    }

    /// What the collector remembers; `None` if it was never stored or is damaged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn part(&self, part: Part) -> Result<Option<Vec<u8>>, StoreError> {
        collect::part(&self.connection, part)
    }

    /// Meters with sealed frames, and how many each has.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sealed_meters(&self) -> Result<Vec<(Meter, u64)>, StoreError> {
        collect::sealed_meters(&self.connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::block;
    use crate::store::{CollectStore, Commit};

    #[test]
    fn damaged_blocks_are_passed_over_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = CollectStore::open(folder.path()).unwrap();
        let blocks = [1u8, 2, 3].map(|byte| block(Stream::Readings, &[byte])).to_vec();
        store.commit(&Commit { blocks, ..Commit::default() }).unwrap();
        store.connection.execute("UPDATE readings SET body = x'09' WHERE seq = 2", []).unwrap();
        let reader = CollectReader::open(folder.path()).unwrap();
        let mut blocks = reader.newest_first(Stream::Readings);
        let read: Vec<Seq> = blocks.by_ref().map(|block| block.unwrap().seq).collect();
        assert_eq!((read, blocks.passed_over()), (vec![Seq::new(3), Seq::new(1)], 1));
    }
}
