//! `deliver.db` while the disk cannot be written: a store in memory takes its place, so that alarms still go out, and goes
//! back once that works. What happened meanwhile is lost only if the program ends before: then a mail may come a second
//! time, with the same Message-ID.
//!
//! One that was opened is copied into memory, and copied back as a whole. Where the disk could not be written when the
//! program started, what is on it is not known: then the store in memory begins empty, and is merged into the one on the
//! disk.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::{DeliverStore, MIGRATIONS, merge};
use crate::store::erase::Span;
use crate::store::watch::Watch;
use crate::store::{StoreError, aside, sqlite, stream};

/// Pages copied in one go.
const PAGES: std::ffi::c_int = 256;
/// So many spans that were erased in memory are remembered until they are erased on the disk, too.
const MOST_ERASED: usize = 4096;

/// Where the store is.
#[derive(Debug)]
pub(super) enum Place {
    /// On the disk, and watched there.
    Disk(Watch),
    /// In memory; the file that it came from is kept open.
    Memory(Connection, Watch),
    /// In memory from the start: the disk could not be written then, and what is on it has not been read. What was
    /// erased since is still to be erased there.
    MemoryOnly(Vec<Span>),
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
            place: Place::MemoryOnly(Vec::new()),
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
        let Place::Disk(watch) = self.place else { return Ok(()) };
        let mut memory = Connection::open_in_memory()?;
        Backup::new(&self.connection, &mut memory)?.run_to_completion(PAGES, Duration::ZERO, None)?;
        let disk = std::mem::replace(&mut self.connection, memory);
        self.place = Place::Memory(disk, watch);
        Ok(())
    }

    /// Puts everything on the disk. Does nothing if it is there.
    ///
    /// # Errors
    /// When that does not work yet: it stays in memory.
    pub fn return_to_disk(&mut self, directory: &Path) -> Result<(), StoreError> {
        match &self.place {
            Place::Disk(_) => Ok(()),
            Place::Memory(..) => self.copy_to_disk(directory),
            Place::MemoryOnly(erased) => {
                let erased = erased.clone();
                let mut disk = Self::open(directory)?;
                if let Err(error) = self.merge_into(&mut disk, &erased) {
                    let StoreError::Damaged(reason) = error else { return Err(error) };
                    drop(disk);
                    disk = Self::replace(directory, reason)?;
                    disk.salvage(directory)?;
                    self.merge_into(&mut disk, &erased)?;
                }
                *self = disk;
                Ok(())
            }
        }
    }

    fn merge_into(&self, disk: &mut Self, erased: &[Span]) -> Result<(), StoreError> {
        for span in erased {
            disk.erase(span.meter, span.from, span.to)?;
        }
        merge::merge(&self.connection, &mut disk.connection)
    }

    fn copy_to_disk(&mut self, directory: &Path) -> Result<(), StoreError> {
        if let Err(error) = self.copy() {
            let StoreError::Damaged(reason) = error else { return Err(error) };
            // Into a file that is no longer in its place, everything could be written, and would be gone.
            std::fs::create_dir_all(self.path.parent().unwrap_or(directory))?;
            let fresh = Self::replace(directory, reason)?;
            self.troubles.borrow_mut().extend(fresh.troubles());
            let Place::Disk(watch) = fresh.place else { return Ok(()) };
            self.place = Place::Memory(fresh.connection, watch);
            self.copy()?;
        }
        // All that was in what stood in its place, and was ours, was in memory.
        for damaged in aside::unsaved(directory) {
            aside::mark_saved(&damaged)?;
        }
        let watch = Watch::of(&self.path)?;
        if let Place::Memory(disk, _) = std::mem::replace(&mut self.place, Place::Disk(watch)) {
            self.connection = disk;
        }
        Ok(())
    }

    /// Everything into the file that it came from, if that is still in its place.
    fn copy(&mut self) -> Result<(), StoreError> {
        let Place::Memory(disk, watch) = &mut self.place else { return Ok(()) };
        watch.look(&self.path)?;
        Backup::new(&self.connection, disk)?.run_to_completion(PAGES, Duration::ZERO, None)?;
        // What was erased in memory still stands in the log.
        sqlite::truncate(disk)?;
        Ok(())
    }

    /// What is erased in memory is to be erased on the disk as well.
    pub(super) fn remember_erased(&mut self, span: Span) -> Result<(), StoreError> {
        match &mut self.place {
            Place::MemoryOnly(erased) if erased.len() >= MOST_ERASED => Err(StoreError::Full),
            Place::MemoryOnly(erased) => {
                erased.push(span);
                Ok(())
            }
            // Its pages take the place of those on the disk.
            Place::Disk(_) | Place::Memory(..) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
