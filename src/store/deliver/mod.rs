//! `deliver.db`: written and read by the delivering half alone.

mod desk;
mod memory;
mod merge;
mod recover;
mod uplink;
mod view;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use messages::batch::{Body, EncodeError, Epoch, Missing, Record, Seq, Stream};
use messages::config::{GatewayConfig, MeterConfig};
use messages::{MeterId, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::sqlite::{self, Migrations};
use super::trouble::Trouble;
use super::{Block, NewBlock, StoreError, stream};

pub use desk::{AlarmLists, Desk, DeskCounts, KnownEpisode, MailState, QueuedMail, RaisedAlarm};
pub use uplink::Cursor;
pub use view::{DeliverReader, DeliverView};

pub(super) const MIGRATIONS: Migrations = &[include_str!("../migrations/deliver-1.sql")];

const FILE: &str = "deliver.db";

/// The database file below the delivering half's directory.
pub(super) fn file(directory: &Path) -> PathBuf {
    super::aside::path(directory, FILE)
}

/// The delivering half's store: the stream `mails`, the mail queue, the portal's documents.
#[derive(Debug)]
pub struct DeliverStore {
    pub(super) connection: Connection,
    epoch: Epoch,
    /// Damaged blocks that reading came across.
    found: RefCell<stream::Found>,
    path: PathBuf,
    place: memory::Place,
    troubles: RefCell<Vec<Trouble>>,
}

impl DeliverStore {
    /// Opens the store below `directory`, or makes it. A damaged one is set aside, and what can be read of it taken over
    /// into the new one: see [`DeliverStore::troubles`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let mut store = match Self::open_files(directory) {
            Err(StoreError::Damaged(reason)) => Self::replace(directory, reason)?,
            other => other?,
        };
        store.salvage(directory)?;
        Ok(store)
    }

    /// The numbering of the stream `mails`.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Stores records of the stream `mails` as one block.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn append(&mut self, records: &[Record], at: Option<Time>) -> Result<Seq, StoreError> {
        let block = mails_block(records)?;
        let transaction = sqlite::begin(&mut self.connection)?;
        let seq = stream::insert(&transaction, &block, at)?;
        transaction.commit()?;
        sqlite::checkpoint(&self.connection)?;
        Ok(seq)
    }

    /// The number of the newest block of the stream `mails`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn head(&self) -> Result<Seq, StoreError> {
        stream::head(&self.connection, Stream::Mails)
    }

    /// What the portal has acknowledged of the stream `mails`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn acknowledged(&self) -> Result<Seq, StoreError> {
        stream::acknowledged(&self.connection, Stream::Mails)
    }

    /// Stores an acknowledgement of the stream `mails`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn acknowledge(&mut self, seq: Seq) -> Result<(), StoreError> {
        stream::acknowledge(&self.connection, Stream::Mails, seq)
    }

    /// Blocks of the stream `mails` after `after`, ascending, at most `most`; damaged ones are left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn blocks(&self, after: Seq, most: usize) -> Result<Vec<Block>, StoreError> {
        let (blocks, missing) = stream::read(&self.connection, Stream::Mails, after, most)?;
        self.found.borrow_mut().add(Stream::Mails, missing);
        Ok(blocks)
    }

    /// Numbers of the stream `mails` above `after` that can never be sent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn missing(&self, after: Seq) -> Result<Missing, StoreError> {
        let mut ranges = stream::missing(&self.connection, Stream::Mails, after)?;
        ranges.extend(self.found.borrow().of(Stream::Mails));
        Ok(Missing::from_ranges(ranges))
    }

    /// The portal's settings for this gateway, if it ever sent any.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn gateway_config(&self) -> Result<Option<GatewayConfig>, StoreError> {
        gateway_config(&self.connection)
    }

    /// Stores the portal's settings, and deletes the documents of meters that are not in their list.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_gateway_config(&mut self, config: &GatewayConfig) -> Result<(), StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        transaction.execute(
            "INSERT OR REPLACE INTO gateway(id, version, body) VALUES(1, ?1, ?2)",
            params![config.version.cast_signed(), write_document(config)?],
        )?;
        forget_unlisted(&transaction, config)?;
        transaction.commit()?;
        Ok(())
    }

    /// The portal's document for a meter, sealed as it came.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn document(&self, meter: MeterId) -> Result<Option<MeterConfig>, StoreError> {
        document(&self.connection, meter)
    }

    /// When the portal was last heard.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn portal_seen(&self) -> Result<Option<Time>, StoreError> {
        let seconds: Option<i64> = stream::meta(&self.connection, PORTAL_SEEN)?;
        Ok(seconds.and_then(Time::from_unix))
    }

    /// Stores when the portal was last heard: contacts of customers lapse 30 days after it. Once an hour is enough.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_portal_seen(&mut self, at: Time) -> Result<(), StoreError> {
        stream::set_meta(&self.connection, PORTAL_SEEN, at.unix())
    }

    /// Every meter that has a document, and its version.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn documents(&self) -> Result<Vec<(MeterId, u64)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT meter, version FROM document")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?.parse().ok(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        let rows: Vec<(Option<MeterId>, u64)> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter_map(|(meter, version)| Some((meter?, version))).collect())
    }

    /// Stores the portal's document for a meter.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_document(&mut self, meter: MeterId, document: &MeterConfig) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO document(meter, version, body) VALUES(?1, ?2, ?3)",
            params![meter.as_str(), document.version.cast_signed(), write_document(document)?],
        )?;
        Ok(())
    }
}

fn gateway_config(connection: &Connection) -> Result<Option<GatewayConfig>, StoreError> {
    let body: Option<String> =
        connection.query_row("SELECT body FROM gateway", [], |row| row.get(0)).optional()?;
    body.map(|body| read_document(&body)).transpose()
}

/// Deletes the documents of meters that are not in the portal's list.
fn forget_unlisted(connection: &Connection, config: &GatewayConfig) -> Result<(), StoreError> {
    let held: Vec<String> = connection
        .prepare("SELECT meter FROM document")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for meter in held {
        let listed = meter.parse().is_ok_and(|meter: MeterId| config.meters.contains_key(&meter));
        if !listed {
            connection.execute("DELETE FROM document WHERE meter = ?1", [meter])?;
        }
    }
    Ok(())
}

fn document(connection: &Connection, meter: MeterId) -> Result<Option<MeterConfig>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT body FROM document WHERE meter = ?1")?;
    let body: Option<String> = statement.query_row([meter.as_str()], |row| row.get(0)).optional()?;
    body.map(|body| read_document(&body)).transpose()
}

/// A new block of the stream `mails`.
fn mails_block(records: &[Record]) -> Result<NewBlock, StoreError> {
    let body = Body::encode(records).map_err(unwritable)?;
    let records = u32::try_from(records.len()).unwrap_or(u32::MAX);
    Ok(NewBlock { stream: Stream::Mails, nonce: stream::nonce(), records, body })
}

/// When the portal was last heard, among the values that there are once.
const PORTAL_SEEN: &str = "portal_seen";

fn read_document<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, StoreError> {
    // The parser's own message could repeat what it read.
    serde_json::from_str(body).map_err(|_| StoreError::Damaged("a document cannot be read".to_owned()))
}

fn write_document(document: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|error| StoreError::Io(error.into()))
}

fn unwritable(error: EncodeError) -> StoreError {
    StoreError::Io(std::io::Error::other(error))
}
