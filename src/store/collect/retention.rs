//! How long things stay, and how much room they may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use rusqlite::{OptionalExtension as _, params};

use super::{CollectStore, STREAMS};
use crate::store::freeing::{self, before, free_to};
use crate::store::stream::{acknowledged, meta, set_meta};
use crate::store::{StoreError, sqlite};

/// Sealed frames stay so long, and take so many bytes at most.
const SEALED: (Duration, i64) = (Duration::from_secs(30 * 86_400), 20_000_000);
/// Readings without a place on the calendar stay so long, and are so many at most.
const UNPLACED: (Duration, i64) = (Duration::from_secs(100 * 86_400), 200_000);
/// Anchors of so many starts of the machine stay in any case, and so many at most.
const ANCHORS: (i64, i64) = (8, 256);
/// What one page of the file holds.
const PAGE: u64 = 4096;

/// Numbers of a stream that were given up.
pub(in crate::store) type Lost = (Stream, RangeInclusive<u64>);

impl CollectStore {
    /// Frees what is older than it may be, a day's worth at a time: acknowledged blocks after `keep_acknowledged`, all
    /// after `keep_at_most`.
    pub(in crate::store) fn free_old(
        &mut self,
        now: Time,
        keep_acknowledged: Duration,
        keep_at_most: Duration,
    ) -> Result<Vec<Lost>, StoreError> {
        let limits = freeing::Limits { now, keep_acknowledged, keep_at_most };
        let mut lost = Vec::new();
        for stream in STREAMS {
            let numbers = freeing::free_old(&mut self.connection, stream, limits)?;
            lost.extend(numbers.map(|numbers| (stream, numbers)));
        }
        Ok(lost)
    }

    /// Frees the oldest blocks until `bytes` of them are gone: acknowledged ones first, then readings, then events.
    pub(in crate::store) fn free_bytes(
        &mut self,
        bytes: u64,
        unacknowledged: bool,
    ) -> Result<Vec<Lost>, StoreError> {
        let mut left = bytes;
        let mut lost = Vec::new();
        for all in [false, true] {
            if all && !unacknowledged {
                break;
            }
            for stream in STREAMS {
                if left == 0 {
                    return Ok(lost);
                }
                let limit = if all { self.head(stream)? } else { acknowledged(&self.connection, stream)? };
                if let Some((last, freed)) = freeing::worth(&self.connection, stream, limit, left)? {
                    lost.extend(self.free(stream, last)?);
                    left = left.saturating_sub(freed);
                }
            }
        }
        Ok(lost)
    }

    /// Bytes of the file that hold something, and bytes that the file has.
    pub(in crate::store) fn room(&self) -> Result<(u64, u64), StoreError> {
        let count = |pragma: &str| -> Result<u64, StoreError> {
            let count = self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0))?;
            Ok(count.cast_unsigned())
        };
        let (pages, free) = (count("PRAGMA page_count")?, count("PRAGMA freelist_count")?);
        Ok((pages.saturating_sub(free).saturating_mul(PAGE), pages.saturating_mul(PAGE)))
    }

    fn free(&mut self, stream: Stream, last: Seq) -> Result<Option<Lost>, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let lost = free_to(&transaction, stream, last)?;
        transaction.commit()?;
        Ok(lost.map(|range| (stream, range)))
    }

    /// Removes sealed frames, unplaced readings and anchors that are too old or too many; tells how many readings were
    /// never placed.
    pub(in crate::store) fn tidy(&mut self, now: Option<Time>) -> Result<u64, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let over: i64 =
            transaction
                .query_row("SELECT ifnull(sum(length(frame)), 0) FROM sealed", [], |row| row.get(0))?;
        if over > SEALED.1 {
            transaction.execute(
                "DELETE FROM sealed WHERE (meter, boundary) IN (SELECT meter, boundary FROM
                 (SELECT meter, boundary, sum(length(frame)) OVER (ORDER BY heard DESC, meter, boundary) AS size FROM sealed)
                 WHERE size > ?1)",
                [SEALED.1],
            )?;
        }
        let mut gone = 0;
        if let Some(now) = now {
            transaction.execute("DELETE FROM sealed WHERE heard < ?1", [before(now, SEALED.0).unix()])?;
            transaction.execute(
                "INSERT OR IGNORE INTO unplaced_since(boot, seen) SELECT DISTINCT boot, ?1 FROM unplaced",
                [now.unix()],
            )?;
            gone += transaction.execute(
                "DELETE FROM unplaced WHERE boot IN (SELECT boot FROM unplaced_since WHERE seen < ?1)",
                [before(now, UNPLACED.0).unix()],
            )?;
            transaction
                .execute("DELETE FROM unplaced_since WHERE boot NOT IN (SELECT boot FROM unplaced)", [])?;
            transaction.execute(
                "DELETE FROM anchor WHERE utc_ms < ?1 AND boot NOT IN (SELECT boot FROM unplaced)
                 AND boot NOT IN (SELECT boot FROM anchor ORDER BY utc_ms DESC LIMIT ?2)",
                [before(now, UNPLACED.0).unix().saturating_mul(1000), ANCHORS.0],
            )?;
        }
        let count: i64 = transaction.query_row("SELECT count(*) FROM unplaced", [], |row| row.get(0))?;
        if count > UNPLACED.1 {
            // The starts of the machine that were noticed first go first.
            gone += transaction.execute(
                "DELETE FROM unplaced WHERE (boot, uptime, meter) IN (SELECT boot, uptime, meter FROM unplaced
                 LEFT JOIN unplaced_since USING (boot) ORDER BY ifnull(seen, 9e15), boot, uptime LIMIT ?1)",
                [count - UNPLACED.1],
            )?;
        }
        transaction.execute(
            "DELETE FROM anchor WHERE boot NOT IN (SELECT boot FROM anchor ORDER BY utc_ms DESC LIMIT ?1)",
            [ANCHORS.1],
        )?;
        let gone = u64::try_from(gone).unwrap_or(u64::MAX);
        let never = meta::<i64>(&transaction, "never_placed")?.unwrap_or_default().cast_unsigned();
        if gone > 0 {
            set_meta(&transaction, "never_placed", never.saturating_add(gone).cast_signed())?;
        }
        transaction.commit()?;
        Ok(never.saturating_add(gone))
    }

    /// Whether there is anything that [`CollectStore::tidy`] could find: an idle store is not written.
    pub(in crate::store) fn has_extras(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM sealed UNION ALL SELECT 1 FROM unplaced UNION ALL
                   SELECT 1 FROM (SELECT count(*) AS n FROM anchor) WHERE n > ?1 LIMIT 1";
        let found: Option<i64> =
            self.connection.query_row(sql, params![ANCHORS.0], |row| row.get(0)).optional()?;
        Ok(found.is_some())
    }

    /// Begins a new numbering: everything that is kept is sent again. For a store that was cloned or restored.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn renew_epoch(&mut self) -> Result<Epoch, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let epoch = freeing::renumber(&transaction, &STREAMS)?;
        transaction.commit()?;
        self.epoch = epoch;
        Ok(epoch)
    }
}
