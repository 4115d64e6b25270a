//! Copies of the stores: taken while the halves run, and put back under a new numbering.

use std::ffi::c_int;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::deliver::DeliverReader;
use super::{CollectReader, CollectStore, DeliverStore, StoreError};

impl CollectReader {
    /// Copies all of it into a new file, as it is at one moment, however it is written meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn copy(&self, to: &Path) -> Result<(), StoreError> {
        copy(&self.connection, to)
    }
}

impl DeliverReader {
    /// Copies all of it into a new file, as it is at one moment, however it is written meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn copy(&self, to: &Path) -> Result<(), StoreError> {
        copy(&self.connection, to)
    }
}

fn copy(from: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut copy = Connection::open(to)?;
    // In one step: within one transaction of the reader, which holds up no writer in a write-ahead log.
    Backup::new(from, &mut copy)?.run_to_completion(c_int::MAX, Duration::ZERO, None)?;
    // One file, without a log beside it.
    copy.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))?;
    Ok(())
}

/// Checks a copy from end to end, without changing it.
///
/// # Errors
/// [`StoreError::Damaged`] if anything is wrong with it.
pub fn check_copy(path: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
}

/// Makes the stores below these directories ones that were restored: a new numbering, so that no number is ever given to
/// two contents.
///
/// # Errors
/// See [`StoreError`].
pub fn renew(collect: &Path, deliver: &Path) -> Result<(), StoreError> {
    if CollectReader::file(collect).exists() {
        let mut store = CollectStore::open(collect)?;
        store.renew_epoch()?;
        store.fold_all()?;
    }
    if DeliverReader::file(deliver).exists() {
        let mut store = DeliverStore::open(deliver)?;
        store.renew_epoch()?;
        store.forget_parked()?;
    }
    Ok(())
}

/// The delivering half gets another key: what the portal had sealed to the old one is forgotten, so that the portal
/// sends it again.
///
/// # Errors
/// See [`StoreError`].
pub fn forget_documents(deliver: &Path) -> Result<(), StoreError> {
    if DeliverReader::file(deliver).exists() {
        DeliverStore::open(deliver)?.forget_documents()?;
    }
    Ok(())
}
