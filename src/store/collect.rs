//! `collect.db`: written by the receiving half alone.

use std::path::{Path, PathBuf};

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use wmbus::Meter;

use super::block::checksum_of;
use super::sqlite::{self, Migrations};
use super::stream::{acknowledge, acknowledged, epoch, head, insert};
use super::{NewBlock, StoreError};
use crate::world::Uptime;

pub(super) const MIGRATIONS: Migrations = &[include_str!("migrations/collect-1.sql")];

/// The database file below the receiving half's directory.
pub(super) fn file(directory: &Path) -> PathBuf {
    directory.join("store").join("collect.db")
}

/// The receiving half's store.
#[derive(Debug)]
pub struct CollectStore {
    connection: Connection,
    epoch: Epoch,
}

/// A piece of what the collector remembers over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Replay counters, registers and written hours, one entry for each meter.
    Meters,
    /// What has changed in them since, for blocks that are written between the hours.
    MetersSince,
    /// Running episodes.
    Episodes,
    /// Learned layouts of compact frames.
    Layouts,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Meters => "meters",
            Self::MetersSince => "meters_since",
            Self::Episodes => "episodes",
            Self::Layouts => "layouts",
        }
    }
}

/// Which uptime of a start of the machine was which UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The start of the machine.
    pub boot: String,
    /// The uptime.
    pub uptime: Uptime,
    /// The UTC, milliseconds since 1970.
    pub utc_ms: i64,
}

/// A reading that has no place on the calendar yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The start of the machine.
    pub boot: String,
    /// Seconds of uptime.
    pub uptime: u64,
    /// The meter.
    pub meter: Meter,
    /// What was heard, as the collector wrote it.
    pub body: Vec<u8>,
}

/// A frame that no key opens yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFrame {
    /// The meter.
    pub meter: Meter,
    /// The boundary that it is the nearest to; `None` for the meter's latest full frame.
    pub boundary: Option<Time>,
    /// When it was heard.
    pub heard: Time,
    /// Its signal strength in dBm.
    pub rssi: Option<i16>,
    /// Its bytes, as the receiver gave them.
    pub frame: Vec<u8>,
}

/// What one transaction stores.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Blocks, numbered in this order.
    pub blocks: Vec<NewBlock>,
    /// When, if the clock is trusted.
    pub at: Option<Time>,
    /// What the collector remembers: each part replaces the one before.
    pub parts: Vec<(Part, Vec<u8>)>,
    /// What deliver says is acknowledged.
    pub acknowledged: Vec<(Stream, Seq)>,
    /// The anchor of this start of the machine.
    pub anchor: Option<Anchor>,
    /// Readings without a place on the calendar.
    pub unplaced: Vec<Unplaced>,
    /// Starts of the machine whose unplaced readings have been placed, or are given up.
    pub placed: Vec<String>,
    /// Frames that no key opens.
    pub sealed: Vec<SealedFrame>,
    /// Meters whose sealed frames have been opened, or are given up.
    pub opened: Vec<Meter>,
}

impl CollectStore {
    /// Opens the store below `directory`, or makes it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = file(directory);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let connection = sqlite::open(&path, MIGRATIONS)?;
        let epoch = epoch(&connection)?;
        Ok(Self { connection, epoch })
    }

    /// The numbering of its blocks.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the newest block of a stream.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn head(&self, stream: Stream) -> Result<Seq, StoreError> {
        head(&self.connection, stream)
    }

    /// What was acknowledged of a stream, as far as it is stored here.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn acknowledged(&self, stream: Stream) -> Result<Seq, StoreError> {
        acknowledged(&self.connection, stream)
    }

    /// Stores everything of `commit` or nothing, durably; gives the numbers of its blocks, in their order.
    ///
    /// # Errors
    /// See [`StoreError`]. A commit that failed may still turn out stored once the file has been opened again.
    pub fn commit(&mut self, commit: &Commit) -> Result<Vec<Seq>, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let mut numbers = Vec::with_capacity(commit.blocks.len());
        for block in &commit.blocks {
            numbers.push(insert(&transaction, block, commit.at)?);
        }
        for (part, body) in &commit.parts {
            transaction.execute(
                "INSERT OR REPLACE INTO checkpoint(part, crc, body) VALUES(?1, ?2, ?3)",
                params![part.name(), checksum_of(body), body],
            )?;
        }
        for (stream, seq) in &commit.acknowledged {
            acknowledge(&transaction, *stream, *seq)?;
        }
        write_rest(&transaction, commit)?;
        transaction.commit()?;
        sqlite::checkpoint(&self.connection)?;
        Ok(numbers)
    }

    /// What the collector remembered; `None` if it was never stored or is damaged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn part(&self, part: Part) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self
            .connection
            .query_row("SELECT crc, body FROM checkpoint WHERE part = ?1", [part.name()], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        Ok(row.filter(|(crc, body)| *crc == checksum_of(body)).map(|(_, body)| body))
    }

    /// The anchor of a start of the machine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn anchor(&self, boot: &str) -> Result<Option<Anchor>, StoreError> {
        let anchor = self.connection.query_row(
            "SELECT uptime_ms, utc_ms FROM anchor WHERE boot = ?1",
            [boot],
            |row| {
                let uptime = std::time::Duration::from_millis(row.get::<_, i64>(0)?.cast_unsigned());
                Ok(Anchor { boot: boot.to_owned(), uptime: Uptime(uptime), utc_ms: row.get(1)? })
            },
        );
        Ok(anchor.optional()?)
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

fn write_rest(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), StoreError> {
    if let Some(anchor) = &commit.anchor {
        let uptime = i64::try_from(anchor.uptime.0.as_millis()).unwrap_or(i64::MAX);
        transaction.execute(
            "INSERT OR REPLACE INTO anchor(boot, uptime_ms, utc_ms) VALUES(?1, ?2, ?3)",
            params![anchor.boot, uptime, anchor.utc_ms],
        )?;
    }
    for reading in &commit.unplaced {
        transaction.execute(
            "INSERT OR REPLACE INTO unplaced(boot, uptime, meter, crc, body) VALUES(?1, ?2, ?3, ?4, ?5)",
            params![
                reading.boot,
                reading.uptime.cast_signed(),
                reading.meter.to_link(),
                checksum_of(&reading.body),
                reading.body
            ],
        )?;
    }
    for boot in &commit.placed {
        transaction.execute("DELETE FROM unplaced WHERE boot = ?1", [boot])?;
    }
    for sealed in &commit.sealed {
        transaction.execute(
            "INSERT OR REPLACE INTO sealed(meter, boundary, heard, rssi, crc, frame) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                sealed.meter.to_link(),
                sealed.boundary.map_or(0, Time::unix),
                sealed.heard.unix(),
                sealed.rssi,
                checksum_of(&sealed.frame),
                sealed.frame
            ],
        )?;
    }
    for meter in &commit.opened {
        transaction.execute("DELETE FROM sealed WHERE meter = ?1", [meter.to_link()])?;
    }
    Ok(())
}
