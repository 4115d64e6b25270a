//! Freeing blocks of a stream, and what is remembered of those that can never be sent.
//!
//! Only what is oldest goes: acknowledgements are contiguous, so what is acknowledged goes first by itself. The highest
//! number ever freed is kept, so that no number is given twice when a table runs empty.

use std::ops::RangeInclusive;
use std::time::Duration;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::stream::{acknowledged, head, meta, set_meta, table};
use super::{StoreError, sqlite};
use crate::world::random;

const DAY: Duration = Duration::from_secs(86_400);

/// Up to which number blocks have been freed.
pub(super) fn freed(connection: &Connection, stream: Stream) -> Result<Seq, StoreError> {
    let seq: Option<i64> = meta(connection, &format!("freed.{stream}"))?;
    Ok(Seq::new(seq.unwrap_or_default().cast_unsigned()))
}

/// How many blocks of this epoch were given up before they were acknowledged.
pub(super) fn lost(connection: &Connection, stream: Stream) -> Result<u64, StoreError> {
    let count: Option<i64> = meta(connection, &format!("lost.{stream}"))?;
    Ok(count.unwrap_or_default().cast_unsigned())
}

/// How many blocks above what was freed are gone.
pub(super) fn gone(connection: &Connection, stream: Stream) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(sum(last - first + 1), 0) FROM lost WHERE stream = ?1";
    Ok(connection.query_row(sql, [stream.as_str()], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// Frees all blocks up to `last`; gives the numbers that were not acknowledged. To be called within a transaction.
pub(super) fn free_to(
    connection: &Connection,
    stream: Stream,
    last: Seq,
) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    let before = freed(connection, stream)?;
    if last <= before {
        return Ok(None);
    }
    let number = last.number().cast_signed();
    connection.execute(&format!("DELETE FROM {} WHERE seq <= ?1", table(stream)), [number])?;
    let first = before.max(acknowledged(connection, stream)?).next();
    let counted: i64 = connection.query_row(
        "SELECT count(*) FROM lost WHERE stream = ?1 AND first BETWEEN ?2 AND ?3",
        params![stream.as_str(), first.number().cast_signed(), number],
        |row| row.get(0),
    )?;
    // The numbers below what was freed are known to be missing without being listed.
    connection
        .execute("DELETE FROM lost WHERE stream = ?1 AND last <= ?2", params![stream.as_str(), number])?;
    set_meta(connection, &format!("freed.{stream}"), number)?;
    if first > last {
        return Ok(None);
    }
    let more = last.number() - first.number() + 1;
    count_lost(connection, stream, more.saturating_sub(counted.cast_unsigned()))?;
    Ok(Some(first.number()..=last.number()))
}

/// A block that cannot be read goes, and its number is remembered; tells whether it was not acknowledged yet. To be
/// called within a transaction.
pub(super) fn lose(connection: &Connection, stream: Stream, seq: Seq) -> Result<bool, StoreError> {
    let number = seq.number().cast_signed();
    connection.execute(&format!("DELETE FROM {} WHERE seq = ?1", table(stream)), [number])?;
    let listed = connection.execute(
        "INSERT OR IGNORE INTO lost(stream, first, last) VALUES(?1, ?2, ?2)",
        params![stream.as_str(), number],
    )?;
    let needed = listed > 0 && seq > acknowledged(connection, stream)?;
    if needed {
        count_lost(connection, stream, 1)?;
    }
    Ok(needed)
}

fn count_lost(connection: &Connection, stream: Stream, more: u64) -> Result<(), StoreError> {
    let count = lost(connection, stream)?.saturating_add(more);
    set_meta(connection, &format!("lost.{stream}"), count.cast_signed())
}

/// The newest block up to `limit` that was stored before `time`.
pub(super) fn stored_before(
    connection: &Connection,
    stream: Stream,
    limit: Seq,
    time: Time,
) -> Result<Option<Seq>, StoreError> {
    // In steps over the key from below: the oldest come first, and there is no index by time.
    let mut statement = connection
        .prepare_cached(&format!("SELECT seq, stored FROM {} WHERE seq <= ?1 ORDER BY seq", table(stream)))?;
    let mut rows = statement.query([limit.number().cast_signed()])?;
    let mut newest = None;
    while let Some(row) = rows.next()? {
        let stored: Option<i64> = row.get(1)?;
        match stored {
            Some(stored) if stored >= time.unix() => break,
            Some(_) => newest = Some(Seq::new(row.get::<_, i64>(0)?.cast_unsigned())),
            // Stored while the clock was not trusted: as old as what follows.
            None => {}
        }
    }
    Ok(newest)
}

/// The block up to `limit` with which at least `bytes` are freed, counted from the oldest; the newest there is if all of
/// them are not enough.
pub(super) fn worth(
    connection: &Connection,
    stream: Stream,
    limit: Seq,
    bytes: u64,
) -> Result<Option<(Seq, u64)>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, length(body) FROM {} WHERE seq <= ?1 ORDER BY seq",
        table(stream)
    ))?;
    let mut rows = statement.query([limit.number().cast_signed()])?;
    let (mut last, mut sum) = (None, 0_u64);
    while let Some(row) = rows.next()? {
        sum = sum.saturating_add(row.get::<_, i64>(1)?.cast_unsigned());
        last = Some((Seq::new(row.get::<_, i64>(0)?.cast_unsigned()), sum));
        if sum >= bytes {
            break;
        }
    }
    Ok(last)
}

/// How many blocks are kept, and their bytes.
pub(super) fn kept(connection: &Connection, stream: Stream) -> Result<(u64, u64), StoreError> {
    let sql = format!("SELECT count(*), ifnull(sum(length(body)), 0) FROM {}", table(stream));
    Ok(connection.query_row(&sql, [], |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
    })?)
}

/// When the oldest block after `after` was stored; those stored while the clock was not trusted are passed over.
pub(super) fn oldest(
    connection: &Connection,
    stream: Stream,
    after: Seq,
) -> Result<Option<Time>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT stored FROM {} WHERE seq > ?1 AND stored IS NOT NULL ORDER BY seq LIMIT 1",
        table(stream)
    ))?;
    let stored: Option<Option<i64>> =
        statement.query_row([after.number().cast_signed()], |row| row.get(0)).optional()?;
    Ok(stored.flatten().and_then(Time::from_unix))
}

/// A new numbering: what is kept is sent again under it, what is gone is missing from it. To be called within a
/// transaction.
pub(super) fn renumber(connection: &Connection, streams: &[Stream]) -> Result<Epoch, StoreError> {
    let bytes = random::<16>();
    set_meta(connection, "epoch", bytes.as_slice())?;
    for stream in streams {
        let freed = freed(connection, *stream)?.number().cast_signed();
        set_meta(connection, &format!("acknowledged.{stream}"), freed)?;
        set_meta(connection, &format!("lost.{stream}"), 0)?;
    }
    Ok(Epoch::durable(u128::from_be_bytes(bytes)))
}

/// How long blocks stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) now: Time,
    /// Acknowledged ones, at least.
    pub(super) keep_acknowledged: Duration,
    /// Any, at most.
    pub(super) keep_at_most: Duration,
}

/// Frees what is older than it may be, a day's worth at a time; gives the numbers that were not acknowledged.
pub(super) fn free_old(
    connection: &mut Connection,
    stream: Stream,
    limits: Limits,
) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    let Limits { now, keep_acknowledged, keep_at_most } = limits;
    let Some(oldest) = oldest(connection, stream, Seq::NONE)? else { return Ok(None) };
    let old = age(oldest, now);
    let (limit, keep) = if old >= keep_at_most {
        (head(connection, stream)?, keep_at_most.saturating_sub(DAY))
    } else if old >= keep_acknowledged.saturating_add(DAY) {
        (acknowledged(connection, stream)?, keep_acknowledged)
    } else {
        return Ok(None);
    };
    let Some(last) = stored_before(connection, stream, limit, before(now, keep))? else { return Ok(None) };
    let transaction = sqlite::begin(connection)?;
    let lost = free_to(&transaction, stream, last)?;
    transaction.commit()?;
    Ok(lost)
}

fn age(time: Time, now: Time) -> Duration {
    Duration::from_secs(u64::try_from(now.unix().saturating_sub(time.unix())).unwrap_or_default())
}

/// So long before `now`.
pub(super) fn before(now: Time, by: Duration) -> Time {
    let by = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    Time::from_unix(now.unix().saturating_sub(by)).unwrap_or(Time::MIN)
}
