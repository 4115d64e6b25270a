//! Noticing that the files under an open connection are no longer those at their place: SQLite goes on writing into
//! deleted ones without an error.

use std::path::Path;

use super::StoreError;
use super::sqlite::Identity;

/// What was there when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    file: Identity,
    log: Option<Identity>,
    length: u64,
}

impl Watch {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let length = std::fs::metadata(path)?.len();
        Ok(Self { file: Identity::of(path)?, log: Identity::of(&path.with_extension("db-wal")).ok(), length })
    }

    /// Looks again.
    pub(super) fn look(&mut self, path: &Path) -> Result<(), StoreError> {
        let damaged = |what: &str| Err(StoreError::Damaged(what.to_owned()));
        let Ok(now) = Self::of(path) else { return damaged("its file is gone") };
        if now.file != self.file {
            return damaged("another file stands in its place");
        }
        if self.log.is_some() && now.log != self.log {
            return damaged("its log is gone");
        }
        if now.length < self.length {
            return damaged("its file was cut short");
        }
        *self = now;
        Ok(())
    }
}
