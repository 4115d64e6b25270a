//! `deliver.db` while the disk cannot be written: a copy in memory takes its place, so that alarms still go out, and goes
//! back as a whole once that works. What happened meanwhile is lost only if the power fails, too: then a mail may come
//! a second time, with the same Message-ID.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::{DeliverStore, MIGRATIONS};
use crate::store::watch::Watch;
use crate::store::{StoreError, sqlite, stream};

/// Pages copied in one go.
const PAGES: std::ffi::c_int = 256;

/// Where the store is.
#[derive(Debug)]
pub(super) enum Place {
    /// On the disk, and watched there.
    Disk(Watch),
    /// In memory; the file that it came from is kept open.
    Memory(Connection),
    /// In memory from the start: the disk could not be written then, and what is on it has not been read.
    MemoryOnly,
}

impl DeliverStore {
    /// A new store in memory, for a start with a disk that cannot be written.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn in_memory(directory: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        sqlite::migrate(&mut connection, MIGRATIONS)?;
        let epoch = stream::epoch(&connection)?;
        Ok(Self {
            connection,
            epoch,
            found: std::cell::RefCell::default(),
            path: super::file(directory),
            place: Place::MemoryOnly,
            troubles: std::cell::RefCell::default(),
        })
    }

    /// Whether it is in memory because the disk cannot be written.
    #[must_use]
    pub const fn is_in_memory(&self) -> bool {
        !matches!(self.place, Place::Disk(_))
    }

    /// Goes on in memory. Does nothing if it is there already.
    ///
    /// # Errors
    /// When the file cannot be read, either.
    pub fn leave_disk(&mut self) -> Result<(), StoreError> {
        if self.is_in_memory() {
            return Ok(());
        }
        let mut memory = Connection::open_in_memory()?;
        Backup::new(&self.connection, &mut memory)?.run_to_completion(PAGES, Duration::ZERO, None)?;
        let disk = std::mem::replace(&mut self.connection, memory);
        self.place = Place::Memory(disk);
        Ok(())
    }

    /// Puts everything back on the disk. A store that was in memory from the start makes room for what the disk has.
    ///
    /// # Errors
    /// When that does not work yet: it stays in memory.
    pub fn return_to_disk(&mut self, directory: &Path) -> Result<(), StoreError> {
        match &mut self.place {
            Place::Disk(_) => Ok(()),
            Place::MemoryOnly => {
                *self = Self::open(directory)?;
                Ok(())
            }
            Place::Memory(disk) => {
                Backup::new(&self.connection, disk)?.run_to_completion(PAGES, Duration::ZERO, None)?;
                sqlite::checkpoint(disk)?;
                let watch = Watch::of(&self.path)?;
                if let Place::Memory(disk) = std::mem::replace(&mut self.place, Place::Disk(watch)) {
                    self.connection = disk;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::batch::Seq;

    use super::*;

    #[test]
    fn what_happens_in_memory_is_on_the_disk_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = DeliverStore::open(directory.path()).unwrap();
        let epoch = store.epoch();
        store.append(&[], None).unwrap();
        store.leave_disk().unwrap();
        assert_eq!(store.append(&[], None).unwrap(), Seq::new(2));
        assert!(store.is_in_memory());
        store.return_to_disk(directory.path()).unwrap();
        assert_eq!(store.append(&[], None).unwrap(), Seq::new(3));
        assert!(!store.is_in_memory());
        drop(store);
        let store = DeliverStore::open(directory.path()).unwrap();
        assert_eq!((store.epoch(), store.head().unwrap()), (epoch, Seq::new(3)));
        assert_eq!(store.blocks(Seq::NONE, 9).unwrap().len(), 3);
    }

    #[test]
    fn a_store_that_began_in_memory_makes_room_for_the_one_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = {
            let mut store = DeliverStore::open(directory.path()).unwrap();
            store.append(&[], None).unwrap();
            store.epoch()
        };
        let mut store = DeliverStore::in_memory(directory.path()).unwrap();
        assert_ne!(store.epoch(), epoch);
        store.append(&[], None).unwrap();
        store.return_to_disk(directory.path()).unwrap();
        assert_eq!((store.epoch(), store.head().unwrap()), (epoch, Seq::new(1)));
    }
}
