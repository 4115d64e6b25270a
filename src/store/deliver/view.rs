//! `deliver.db` as people are shown it: of the running half, or from its file while that does not run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use messages::batch::{Epoch, Record, Seq, Stream};
use messages::{MeterId, Time};
use rusqlite::Connection;

use super::{AlarmLists, Cursor, DeliverStore, FILE, MIGRATIONS, uplink};
use crate::store::{NewestFirst, Standing, StoreError, aside, sqlite, stream};

/// So many of the newest blocks are looked through for replies: the half that is asked has other things to do.
const MOST_BLOCKS: usize = 2000;

/// The delivering half's store, opened for reading only.
#[derive(Debug)]
pub struct DeliverReader {
    pub(in crate::store) connection: Connection,
}

impl DeliverReader {
    /// Where the file is, below the delivering half's directory.
    #[must_use]
    pub fn file(directory: &Path) -> PathBuf {
        aside::path(directory, FILE)
    }

    /// Opens the store below `directory`.
    ///
    /// # Errors
    /// [`StoreError::Absent`] until the delivering half has made it; others as they say.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: sqlite::open_to_read(&Self::file(directory), MIGRATIONS)? })
    }

    /// What can be seen of it.
    #[must_use]
    pub const fn view(&self) -> DeliverView<'_> {
        DeliverView(&self.connection)
    }
}

impl DeliverStore {
    /// What can be seen of it, also while it is in memory.
    #[must_use]
    pub const fn view(&self) -> DeliverView<'_> {
        DeliverView(&self.connection)
    }
}

impl DeliverStore {
    /// Forgets what was parked: blocks of a numbering that is gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(in crate::store) fn forget_parked(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("DELETE FROM parked; DELETE FROM cursor")?;
        sqlite::truncate(&self.connection)?;
        Ok(())
    }

    /// Forgets the portal's documents of meters, and which sealed keys were handed on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(in crate::store) fn forget_documents(&mut self) -> Result<(), StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        transaction.execute_batch("DELETE FROM document; DELETE FROM handed")?;
        transaction.commit()?;
        sqlite::truncate(&self.connection)?;
        Ok(())
    }
}

/// What people are shown.
#[derive(Clone, Copy, Debug)]
pub struct DeliverView<'a>(&'a Connection);

impl<'a> DeliverView<'a> {
    /// How the stream `mails` stands.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn standing(self) -> Result<Standing, StoreError> {
        Standing::of(self.0, Stream::Mails, Seq::NONE)
    }

    /// How far the portal has a stream, as last noted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn cursor(self, stream: Stream) -> Result<Option<Cursor>, StoreError> {
        uplink::cursor(self.0, stream)
    }

    /// Parked blocks of a stream in a numbering, with what was said of each.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn parked(self, stream: Stream, epoch: Epoch) -> Result<BTreeMap<Seq, String>, StoreError> {
        uplink::parked(self.0, stream, epoch)
    }

    /// Episodes, alarms and mails of one meter or of all since a moment, at most `most` of each.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn alarms(self, since: Time, meter: Option<MeterId>, most: u32) -> Result<AlarmLists, StoreError> {
        AlarmLists::read(self.0, since, meter, most)
    }

    /// What mail servers replied to those of these mails that were reported since a moment, by Message-ID.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn replies(
        self,
        since: Time,
        messages: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, u16>, StoreError> {
        let mut replies = BTreeMap::new();
        for block in self.blocks().take(MOST_BLOCKS) {
            let block = block?;
            if block.stored.is_some_and(|stored| stored < since) {
                break;
            }
            for record in block.body.decode().into_iter().flatten().flatten() {
                if let Record::Mail(report) = record
                    && let Some(reply) = report.reply
                    && messages.contains(report.message.as_str())
                {
                    replies.entry(report.message).or_insert(reply);
                }
            }
        }
        Ok(replies)
    }

    /// The blocks of the stream `mails`, the newest first.
    #[must_use]
    pub const fn blocks(self) -> NewestFirst<'a> {
        NewestFirst::new(self.0, Stream::Mails)
    }

    /// The numbering of the stream `mails`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn epoch(self) -> Result<Option<Epoch>, StoreError> {
        stream::known_epoch(self.0)
    }
}
