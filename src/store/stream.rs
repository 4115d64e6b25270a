//! The ordered streams of blocks, in whichever file they live: numbering, reading, acknowledgement.

use messages::Time;
use messages::batch::{ContentType, Epoch, Missing, Nonce, Seq, Stream};
use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::block::{COLUMNS, checksum};
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
    let freed: Option<i64> = meta(connection, &format!("freed.{stream}"))?;
    Ok(Seq::new(newest.max(freed).unwrap_or_default().cast_unsigned()))
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

/// Blocks after `after`, ascending, at most `most` of them; damaged ones are left out.
pub(super) fn blocks(
    connection: &Connection,
    stream: Stream,
    after: Seq,
    most: usize,
) -> Result<Vec<Block>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {} WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        table(stream)
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query([after.number().cast_signed(), most])?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        blocks.extend(Block::read(row)?);
    }
    Ok(blocks)
}

/// Numbers above `after` that can never be sent.
pub(super) fn missing(connection: &Connection, stream: Stream, after: Seq) -> Result<Missing, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT first, last FROM lost WHERE stream = ?1 AND last > ?2")?;
    let rows = statement.query_map(params![stream.to_string(), after.number().cast_signed()], |row| {
        let number = |at| row.get::<_, i64>(at).map(|seq| Seq::new(seq.cast_unsigned()));
        Ok((number(0)?, number(1)?))
    })?;
    Ok(Missing::from_ranges(rows.collect::<Result<Vec<_>, _>>()?))
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
const fn table(stream: Stream) -> &'static str {
    match stream {
        Stream::Readings => "readings",
        Stream::Events => "events",
        Stream::Mails => "mails",
    }
}
