//! The ordered streams of blocks, in whichever file they live: numbering, reading, acknowledgement.

use messages::Time;
use messages::batch::{ContentType, Epoch, Nonce, Seq, Stream};
use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::block::{COLUMNS, checksum};
use super::freeing::freed;
use super::{Block, NewBlock, StoreError};
use crate::world::random;

/// The numbering of a file's blocks; drawn when the file is new.
pub(super) fn epoch(connection: &Connection) -> Result<Epoch, StoreError> {
    if let Some(epoch) = known_epoch(connection)? {
        return Ok(epoch);
    }
    let bytes = random::<16>();
    set_meta(connection, "epoch", bytes.as_slice())?;
    Ok(Epoch::durable(u128::from_be_bytes(bytes)))
}

/// The numbering of a file's blocks, if it has one.
pub(super) fn known_epoch(connection: &Connection) -> Result<Option<Epoch>, StoreError> {
    let bytes: Option<Vec<u8>> = meta(connection, "epoch")?;
    let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    Ok(bytes.map(|bytes| Epoch::durable(u128::from_be_bytes(bytes))))
}

/// Gives a block the next number of its stream.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    block: &NewBlock,
    at: Option<Time>,
) -> Result<Seq, StoreError> {
    let seq = head(transaction, block.stream)?.next();
    let deflated = block.body.content_type == ContentType::Deflated;
    let mut statement = transaction.prepare_cached(&format!(
        "INSERT INTO {}(seq, nonce, records, stored, deflated, crc, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        table(block.stream)
    ))?;
    statement.execute(params![
        seq.number().cast_signed(),
        block.nonce.bits().cast_signed(),
        block.records,
        at.map(Time::unix),
        deflated,
        checksum(seq, block.nonce, &block.body),
        block.body.bytes,
    ])?;
    Ok(seq)
}

/// The number of the newest block, also when all blocks have been freed.
pub(super) fn head(connection: &Connection, stream: Stream) -> Result<Seq, StoreError> {
    let newest: Option<i64> =
        connection.query_row(&format!("SELECT max(seq) FROM {}", table(stream)), [], |row| row.get(0))?;
    let newest = Seq::new(newest.unwrap_or_default().cast_unsigned());
    let lost: Option<i64> =
        connection
            .query_row("SELECT max(last) FROM lost WHERE stream = ?1", [stream.as_str()], |row| row.get(0))?;
    Ok(newest.max(freed(connection, stream)?).max(Seq::new(lost.unwrap_or_default().cast_unsigned())))
}

/// How many of the newest blocks are looked through for a nonce: more than one commit ever holds.
const RECENT: u32 = 64;

/// Whether one of the newest blocks carries this nonce.
pub(super) fn is_recent(connection: &Connection, stream: Stream, nonce: Nonce) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT ?1 IN (SELECT nonce FROM {} ORDER BY seq DESC LIMIT {RECENT})",
        table(stream)
    ))?;
    Ok(statement.query_row([nonce.bits().cast_signed()], |row| row.get(0))?)
}

/// What was acknowledged, as far as it is stored.
pub(super) fn acknowledged(connection: &Connection, stream: Stream) -> Result<Seq, StoreError> {
    let seq: Option<i64> = meta(connection, &format!("acknowledged.{stream}"))?;
    Ok(Seq::new(seq.unwrap_or_default().cast_unsigned()))
}

/// Stores an acknowledgement: it never goes back, and never beyond what there is.
pub(super) fn acknowledge(connection: &Connection, stream: Stream, seq: Seq) -> Result<(), StoreError> {
    let seq = seq.max(acknowledged(connection, stream)?).min(head(connection, stream)?);
    set_meta(connection, &format!("acknowledged.{stream}"), seq.number().cast_signed())
}

/// First and last numbers of ranges.
pub(super) type Ranges = Vec<(Seq, Seq)>;

/// Blocks after `after`, ascending, at most `most` of them, and the numbers among them that can never be sent: damaged,
/// or not there.
pub(super) fn read(
    connection: &Connection,
    stream: Stream,
    after: Seq,
    most: usize,
) -> Result<(Vec<Block>, Ranges), StoreError> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut walk = Walk::new(connection, stream, after, head(connection, stream)?);
    while blocks.len() < most {
        let Some(block) = walk.next_block()? else { break };
        blocks.push(block);
    }
    let reached = blocks.last().filter(|_| blocks.len() == most).map_or(walk.last, |block| block.seq);
    let mut missing = Vec::new();
    let mut expected = after.next();
    for seq in blocks.iter().map(|block| block.seq) {
        missing.push((expected, Seq::new(seq.number().saturating_sub(1))));
        expected = seq.next();
    }
    missing.push((expected, reached));
    missing.retain(|(first, last)| first <= last);
    Ok((blocks, missing))
}

/// Goes over the blocks of a stream, ascending, past what cannot be read.
pub(super) struct Walk<'a> {
    connection: &'a Connection,
    stream: Stream,
    after: Seq,
    last: Seq,
    /// Rows and places that could not be read.
    pub(super) unreadable: u64,
}

/// How many numbers are jumped over at most where the file cannot be read.
const FARTHEST: u64 = 64;

impl<'a> Walk<'a> {
    /// From the one after `after` to `last`.
    pub(super) const fn new(connection: &'a Connection, stream: Stream, after: Seq, last: Seq) -> Self {
        Self { connection, stream, after, last, unreadable: 0 }
    }

    /// Where it stands.
    pub(super) const fn at(&self) -> Seq {
        self.after
    }

    /// The next whole block; `None` at the end.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, StoreError> {
        let mut jump = 1;
        while self.after < self.last {
            match self.row() {
                Ok(None) => self.after = self.last,
                Ok(Some((seq, _))) if seq > self.last => self.after = self.last,
                Ok(Some((seq, block))) => {
                    self.after = seq;
                    if block.is_some() {
                        return Ok(block);
                    }
                    self.unreadable = self.unreadable.saturating_add(1);
                }
                Err(StoreError::Damaged(_)) => {
                    self.unreadable = self.unreadable.saturating_add(1);
                    self.after = Seq::new(self.after.number().saturating_add(jump)).min(self.last);
                    jump = jump.saturating_mul(2).min(FARTHEST);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn row(&self) -> Result<Option<(Seq, Option<Block>)>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {} WHERE seq > ?1 ORDER BY seq LIMIT 1",
            table(self.stream)
        ))?;
        let mut rows = statement.query([self.after.number().cast_signed()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let seq = Seq::new(row.get::<_, i64>(0)?.cast_unsigned());
        // Columns of another type than they were stored with are damage, too.
        let block = match Block::read(row) {
            Ok(block) => block,
            Err(StoreError::Sqlite(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Some((seq, block)))
    }
}

/// Ranges that a reader found missing.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<(Stream, Seq, Seq)>);

/// At most so many ranges are remembered; the lowest are what is needed first.
const MOST_FOUND: usize = 1024;

impl Found {
    pub(super) fn add(&mut self, stream: Stream, ranges: Ranges) {
        for (first, last) in ranges {
            if self.0.len() < MOST_FOUND && !self.0.contains(&(stream, first, last)) {
                self.0.push((stream, first, last));
            }
        }
    }

    pub(super) fn of(&self, stream: Stream) -> impl Iterator<Item = (Seq, Seq)> {
        self.0.iter().filter(move |found| found.0 == stream).map(|(_, first, last)| (*first, *last))
    }
}

/// Whether the newest block is whole, if there is one.
pub(super) fn verify_newest(connection: &Connection, stream: Stream) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY seq DESC LIMIT 1", table(stream));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    match Block::read(row) {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(StoreError::Sqlite(_)) => {
            Err(StoreError::Damaged(format!("the newest block of {stream} differs from its checksum")))
        }
        Err(error) => Err(error),
    }
}

/// Numbers above `after` that can never be sent, as far as they are known: freed, given up, found damaged.
pub(super) fn missing(connection: &Connection, stream: Stream, after: Seq) -> Result<Ranges, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT first, last FROM lost WHERE stream = ?1 AND last > ?2")?;
    let rows = statement.query_map(params![stream.as_str(), after.number().cast_signed()], |row| {
        let number = |at| row.get::<_, i64>(at).map(|seq| Seq::new(seq.cast_unsigned()));
        Ok((number(0)?, number(1)?))
    })?;
    let mut ranges = rows.collect::<Result<Vec<_>, _>>()?;
    let freed = freed(connection, stream)?;
    if freed > after {
        ranges.push((Seq::FIRST, freed));
    }
    Ok(ranges)
}

/// One of the values that there are once.
pub(super) fn meta<T: FromSql>(connection: &Connection, name: &str) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Sets one of them.
pub(super) fn set_meta(connection: &Connection, name: &str, value: impl ToSql) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)")?;
    statement.execute(params![name, value])?;
    Ok(())
}

/// A fresh nonce for a new block.
#[must_use]
pub fn nonce() -> Nonce {
    Nonce::from_random(u64::from_be_bytes(random::<8>()))
}

/// The table of a stream, in the file where it lives.
pub(super) const fn table(stream: Stream) -> &'static str {
    match stream {
        Stream::Readings => "readings",
        Stream::Events => "events",
        Stream::Mails => "mails",
    }
}
