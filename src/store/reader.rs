//! `collect.db` as the delivering half sees it: read only, in short transactions.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use messages::Time;
use messages::batch::{Epoch, Missing, Seq, Stream};
use rusqlite::{Connection, Transaction};

use super::collect::{MIGRATIONS, file};
use super::sqlite::Identity;
use super::{Anchor, Block, StoreError, sqlite, stream};

/// Reads the receiving half's store.
#[derive(Debug)]
pub struct CollectReader {
    pub(super) connection: Connection,
    path: PathBuf,
    identity: Identity,
    /// What the other half has not noticed yet.
    found: RefCell<stream::Found>,
}

/// One moment of the store, for whoever reads much of it. The log cannot be folded meanwhile.
#[derive(Debug)]
pub struct Moment<'a>(#[expect(dead_code, reason = "held until it is dropped")] Transaction<'a>);

impl CollectReader {
    /// Opens the store below `directory`, the receiving half's.
    ///
    /// # Errors
    /// [`StoreError::Absent`] until the receiving half has opened it; others as they say.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = file(directory);
        let identity = Identity::of(&path).map_err(|_| StoreError::Absent)?;
        let connection = sqlite::open_to_read(&path, MIGRATIONS)?;
        Ok(Self { connection, path, identity, found: RefCell::default() })
    }

    /// Whether the file that is open is still the one at its place: a damaged store is set aside and replaced.
    #[must_use]
    pub fn is_current(&self) -> bool {
        Identity::of(&self.path).ok() == Some(self.identity)
    }

    /// Holds on to this moment: what is read until this is dropped is as it was then, however much is written meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn hold(&self) -> Result<Moment<'_>, StoreError> {
        let moment = Moment(self.connection.unchecked_transaction()?);
        // A transaction begins with the first thing that is read.
        self.head(Stream::Readings)?;
        Ok(moment)
    }

    /// When the newest block was stored, as far as the clock was trusted then.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn newest(&self) -> Result<Option<Time>, StoreError> {
        let newest: Option<i64> = self.connection.query_row(
            "SELECT max((SELECT stored FROM readings ORDER BY seq DESC LIMIT 1),
                        (SELECT stored FROM events ORDER BY seq DESC LIMIT 1))",
            [],
            |row| row.get(0),
        )?;
        Ok(newest.and_then(Time::from_unix))
    }

    /// A number that changes whenever the other half has committed something: cheap to ask each second.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when the other half has set this store aside; others as they say.
    pub fn version(&self) -> Result<i64, StoreError> {
        if !self.is_current() {
            return Err(StoreError::Replaced);
        }
        Ok(self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// The numbering of its blocks.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        stream::known_epoch(&self.connection)?.ok_or(StoreError::Absent)
    }

    /// Which uptime of a start of the machine was which UTC, if the other half knows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn anchor(&self, boot: &str) -> Result<Option<Anchor>, StoreError> {
        super::collect::anchor(&self.connection, boot)
    }

    /// The number of the newest block of a stream.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn head(&self, stream: Stream) -> Result<Seq, StoreError> {
        stream::head(&self.connection, stream)
    }

    /// What the receiving half has stored as acknowledged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn acknowledged(&self, stream: Stream) -> Result<Seq, StoreError> {
        stream::acknowledged(&self.connection, stream)
    }

    /// Blocks after `after`, ascending, at most `most` of them; damaged ones are left out (see [`Self::missing`]).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn blocks(&self, stream: Stream, after: Seq, most: usize) -> Result<Vec<Block>, StoreError> {
        let (blocks, missing) = stream::read(&self.connection, stream, after, most)?;
        self.found.borrow_mut().add(stream, missing);
        Ok(blocks)
    }

    /// The block with this number, if it is kept and whole.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn block(&self, stream: Stream, seq: Seq) -> Result<Option<Block>, StoreError> {
        let before = Seq::new(seq.number().saturating_sub(1));
        Ok(self.blocks(stream, before, 1)?.into_iter().find(|block| block.seq == seq))
    }

    /// Numbers of a stream that can never be sent: freed, given up, damaged. Those above `after` are complete as far as
    /// [`Self::blocks`] has read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn missing(&self, stream: Stream, after: Seq) -> Result<Missing, StoreError> {
        let mut ranges = stream::missing(&self.connection, stream, after)?;
        ranges.extend(self.found.borrow().of(stream));
        Ok(Missing::from_ranges(ranges))
    }
}
