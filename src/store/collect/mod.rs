//! `collect.db`: written by the receiving half alone.

mod erase;
mod read;
mod recover;
mod retention;

use std::path::{Path, PathBuf};

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use rusqlite::{Connection, Transaction, params};
use wmbus::Meter;

use super::block::checksum_of;
use super::sqlite::{self, Migrations};
use super::stream::{self, acknowledge, acknowledged, epoch, head, insert};
use super::watch::Watch;
use super::{NewBlock, StoreError, aside};
use crate::world::Uptime;

pub(super) const MIGRATIONS: Migrations = &[include_str!("../migrations/collect-1.sql")];

pub(super) use self::erase::Step;
pub(super) use self::read::{anchor, part_of as part, sealed_meters};
pub(super) use self::recover::Opened;
pub(super) use self::retention::Lost;

const FILE: &str = "collect.db";

/// The streams that live in it.
pub(super) const STREAMS: [Stream; 2] = [Stream::Readings, Stream::Events];

/// The database file below the receiving half's directory.
pub(super) fn file(directory: &Path) -> PathBuf {
    aside::path(directory, FILE)
}

/// The receiving half's store.
#[derive(Debug)]
pub struct CollectStore {
    pub(super) connection: Connection,
    epoch: Epoch,
    path: PathBuf,
    watch: Watch,
}

/// A piece of what the collector remembers over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// [`StoreError::Damaged`] also where only its newest blocks are; [`Writer`](super::Writer) then puts a new one in its
    /// place.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = file(directory);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if aside::is_emptied(directory, FILE) {
            return Err(StoreError::Damaged("its file is gone or empty".to_owned()));
        }
        let (connection, watch) = Self::open_files(&path)?;
        let epoch = epoch(&connection)?;
        Ok(Self { connection, epoch, path, watch })
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
        self.write(commit.blocks.iter(), commit)
    }

    /// The same with the blocks apart from all else in `commit`.
    pub(super) fn write<'a>(
        &mut self,
        blocks: impl IntoIterator<Item = &'a NewBlock>,
        commit: &Commit,
    ) -> Result<Vec<Seq>, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let mut numbers = Vec::new();
        for block in blocks {
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
        Ok(numbers)
    }

    /// Folds the log into the file once it is long. Apart from the commit: what fails here has been stored all the same.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn fold(&self) -> Result<(), StoreError> {
        sqlite::checkpoint(&self.connection)
    }

    /// Folds all of the log into the file and empties it; tells whether a reader was in the way.
    pub(super) fn fold_all(&self) -> Result<bool, StoreError> {
        sqlite::truncate(&self.connection)
    }

    /// Bytes of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.path.with_extension("db-wal")).map_or(0, |metadata| metadata.len())
    }

    /// Whether any of these nonces stands at the end of its stream: then the commit they were in was stored.
    pub(super) fn holds<'a>(
        &self,
        blocks: impl IntoIterator<Item = &'a NewBlock>,
    ) -> Result<bool, StoreError> {
        for block in blocks {
            if stream::is_recent(&self.connection, block.stream, block.nonce)? {
                return Ok(true);
            }
        }
        Ok(false)
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
