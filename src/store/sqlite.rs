//! How a database file is opened: settings, migrations, and what SQLite is told to do by itself (as little as possible).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::StoreError;
use super::block::checksum_of;
use super::stream::{meta, set_meta};

/// The migrations of one kind of file, oldest first; `PRAGMA user_version` counts how many have been applied.
pub(super) type Migrations = &'static [&'static str];

/// A full WAL waits for at most so many pages before it is folded into the file: the least bytes reach the device so.
const CHECKPOINT_PAGES: i64 = 256;

/// Older ones can lose what was committed when a checkpoint meets a log that starts over.
const OLDEST: i32 = 3_051_003;

/// Opens for writing, and brings the schema up to date.
pub(super) fn open(path: &Path, migrations: Migrations) -> Result<Connection, StoreError> {
    open_with(path, migrations).map_err(|error| match error {
        // Here it means no right to write, or a file system that is read-only.
        StoreError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            StoreError::Unwritable(error)
        }
        other => other,
    })
}

fn open_with(path: &Path, migrations: Migrations) -> Result<Connection, StoreError> {
    let found = rusqlite::version_number();
    if found < OLDEST {
        return Err(StoreError::TooOld { found });
    }
    let mut connection = Connection::open(path)?;
    // The log stays when the last one closes: a reader with fewer rights could not make it, and a connection that is
    // dropped after an error must not write any more.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;
         PRAGMA journal_size_limit=2097152; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cache_size=-1024;
         PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA secure_delete=FAST;",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged(format!("journal mode {mode} instead of wal")));
    }
    migrate(&mut connection, migrations)?;
    Ok(connection)
}

/// Opens for reading only; the writer must have opened it before.
pub(super) fn open_to_read(path: &Path, migrations: Migrations) -> Result<Connection, StoreError> {
    open_to_read_with(path, migrations).map_err(|error| match error {
        StoreError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            StoreError::Absent
        }
        // Without a log beside it and the right to make one (1544).
        StoreError::Unwritable(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            StoreError::Absent
        }
        other => other,
    })
}

fn open_to_read_with(path: &Path, migrations: Migrations) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA mmap_size=0; PRAGMA cache_size=-256; PRAGMA trusted_schema=OFF;")?;
    let found = version(&connection)?;
    let known = count(migrations);
    if found > known {
        Err(StoreError::Newer { found, known })
    } else if found < known {
        Err(StoreError::Absent)
    } else {
        Ok(connection)
    }
}

/// Which file stands at a path: after a rename or a deletion it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Starts a transaction that writes. A deferred one could fail half-way without waiting.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Folds the log into the file once it is long. Asked for by ourselves: SQLite swallows the errors of its own.
pub(super) fn checkpoint(connection: &Connection) -> Result<(), StoreError> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
    if pages >= CHECKPOINT_PAGES {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// Folds all of the log into the file and empties it; `false` if a reader was in the way.
pub(super) fn truncate(connection: &Connection) -> Result<bool, StoreError> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(!busy)
}

pub(super) fn migrate(connection: &mut Connection, migrations: Migrations) -> Result<(), StoreError> {
    check_schema(connection).map_err(|error| match error {
        // The statements are right, so the schema is not.
        StoreError::Sqlite(error) => StoreError::Damaged(error.to_string()),
        other => other,
    })?;
    let (found, known) = (version(connection)?, count(migrations));
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or_default();
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let transaction = begin(connection)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        set_meta(&transaction, "schema", schema(&transaction)?)?;
        transaction.commit()?;
    }
    // Left over where erasing was cut short.
    connection.execute_batch("DROP TABLE IF EXISTS scrub")?;
    Ok(())
}

/// A flipped bit in the schema would make a table another one, or this file one of a later version.
fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let as_made = if tables == 0 {
        version(connection)? == 0
    } else {
        meta::<i64>(connection, "schema")? == Some(schema(connection)?)
    };
    if as_made { Ok(()) } else { Err(StoreError::Damaged("its schema is not as it was made".to_owned())) }
}

/// A checksum of the schema: its version, every table, where it begins.
fn schema(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare(
        "SELECT concat_ws(' ', type, name, rootpage, sql) FROM sqlite_schema WHERE name <> 'scrub' ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut text = version(connection)?.to_string();
    for row in rows {
        text.push_str(&row?);
    }
    Ok(checksum_of(text.as_bytes()).into())
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn count(migrations: Migrations) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}
