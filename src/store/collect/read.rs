//! What the receiving half reads back.

use messages::Time;
use rusqlite::{Connection, OptionalExtension as _};
use wmbus::Meter;

use super::super::StoreError;
use super::super::block::checksum_of;
use super::{Anchor, CollectStore, Part, SealedFrame, Unplaced};
use crate::world::Uptime;

impl CollectStore {
    /// What the collector remembered; `None` if it was never stored or is damaged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn part(&self, part: Part) -> Result<Option<Vec<u8>>, StoreError> {
        part_of(&self.connection, part)
    }

    /// The anchor of a start of the machine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn anchor(&self, boot: &str) -> Result<Option<Anchor>, StoreError> {
        anchor(&self.connection, boot)
    }

    /// Readings without a place on the calendar, by start of the machine and uptime.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn unplaced(&self) -> Result<Vec<Unplaced>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT boot, uptime, meter, crc, body FROM unplaced ORDER BY boot, uptime")?;
        let rows = statement.query_map([], |row| {
            let (crc, body): (u32, Vec<u8>) = (row.get(3)?, row.get(4)?);
            let (boot, uptime, meter) =
                (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, [u8; 8]>(2)?);
            let unplaced = Unplaced { boot, uptime, meter: Meter::from_link(meter), body };
            Ok((crc == checksum_of(&unplaced.body)).then_some(unplaced))
        })?;
        let rows: Vec<Option<Unplaced>> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Meters with sealed frames, and how many each has.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sealed_meters(&self) -> Result<Vec<(Meter, u64)>, StoreError> {
        sealed_meters(&self.connection)
    }

    /// The sealed frames of a meter, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sealed(&self, meter: Meter) -> Result<Vec<SealedFrame>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT boundary, heard, rssi, crc, frame FROM sealed WHERE meter = ?1 ORDER BY heard",
        )?;
        let rows = statement.query_map([meter.to_link()], |row| {
            let (crc, frame): (u32, Vec<u8>) = (row.get(3)?, row.get(4)?);
            let boundary = row.get::<_, i64>(0)?;
            let sealed = SealedFrame {
                meter,
                boundary: if boundary == 0 { None } else { Time::from_unix(boundary) },
                heard: Time::from_unix(row.get(1)?).unwrap_or(Time::MIN),
                rssi: row.get(2)?,
                frame,
            };
            Ok((crc == checksum_of(&sealed.frame)).then_some(sealed))
        })?;
        let rows: Vec<Option<SealedFrame>> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().flatten().collect())
    }
}

/// The anchor of a start of the machine.
pub(in crate::store) fn anchor(connection: &Connection, boot: &str) -> Result<Option<Anchor>, StoreError> {
    let anchor =
        connection.query_row("SELECT uptime_ms, utc_ms FROM anchor WHERE boot = ?1", [boot], |row| {
            let uptime = std::time::Duration::from_millis(row.get::<_, i64>(0)?.cast_unsigned());
            Ok(Anchor { boot: boot.to_owned(), uptime: Uptime(uptime), utc_ms: row.get(1)? })
        });
    Ok(anchor.optional()?)
}

/// What the collector remembered.
pub(in crate::store) fn part_of(connection: &Connection, part: Part) -> Result<Option<Vec<u8>>, StoreError> {
    let row = connection
        .query_row("SELECT crc, body FROM checkpoint WHERE part = ?1", [part.name()], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    Ok(row.filter(|(crc, body)| *crc == checksum_of(body)).map(|(_, body)| body))
}

/// Meters with sealed frames, and how many each has.
pub(in crate::store) fn sealed_meters(connection: &Connection) -> Result<Vec<(Meter, u64)>, StoreError> {
    let mut statement = connection.prepare("SELECT meter, count(*) FROM sealed GROUP BY meter")?;
    let rows = statement.query_map([], |row| {
        let meter = Meter::from_link(row.get::<_, [u8; 8]>(0)?);
        Ok((meter, row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
