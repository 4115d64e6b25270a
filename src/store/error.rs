//! Why a store cannot be used, in the classes that decide what to do about it.

use rusqlite::ErrorCode;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room. Nothing is damaged; the same connection goes on once there is room.
    #[error("the disk is full: free space on the file system of the data directory")]
    Full,
    /// The file system cannot be written, or the device fails.
    #[error(
        "the disk cannot be written ({0}): check the card and whether its file system was remounted read-only"
    )]
    Unwritable(#[source] rusqlite::Error),
    /// The file is no database, or a part of it is wrong. It is set aside and replaced.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Nothing there yet: the half that writes it has not been started.
    #[error("the store is not there yet: the receiving half makes it when it starts")]
    Absent,
    /// The file that was opened is no longer the one at its place: open it again.
    #[error("the store has been replaced by a new one")]
    Replaced,
    /// Locked by somebody else for longer than is usual.
    #[error("the store is in use by another program")]
    Busy,
    /// Made by a later version of this program.
    #[error(
        "the store was made by a later version (schema {found}, this version knows {known}): install that version again"
    )]
    Newer {
        /// The schema it has.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// This program was built with an SQLite that can lose what it has stored.
    #[error("SQLite {found} is too old for this program: build it with the bundled one")]
    TooOld {
        /// Its version number.
        found: i32,
    },
    /// A directory or file could not be made, renamed or read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Anything else SQLite says.
    #[error("{0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl StoreError {
    /// Whether the file has to be set aside.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => Self::Unwritable(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}
