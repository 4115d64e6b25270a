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

#[cfg(test)]
mod tests {
    use messages::batch::{Record, Seq, Stream};
    use messages::config::{self, MeterConfig};
    use messages::event::{Problem, ProblemKind};

    use super::*;
    use crate::store::tests::block;
    use crate::store::{Commit, Cursor};

    const METER: &str = "KAM.76348799.1B.16";

    fn problem() -> Record {
        Record::Problem(Problem {
            id: messages::Id::from_random(1),
            problem: ProblemKind::DiskFull,
            place: None,
            since: None,
            until: None,
            other: messages::Other::default(),
        })
    }

    /// Both stores, with something of everything in them.
    fn stores(folder: &Path) -> (CollectStore, DeliverStore) {
        let mut collect = CollectStore::open(&folder.join("collect")).unwrap();
        let blocks = [1u8, 2, 3].map(|byte| block(Stream::Readings, &[byte])).to_vec();
        let acknowledged = vec![(Stream::Readings, Seq::new(2))];
        collect.commit(&Commit { blocks, ..Commit::default() }).unwrap();
        collect.commit(&Commit { acknowledged, ..Commit::default() }).unwrap();
        let mut deliver = DeliverStore::open(&folder.join("deliver")).unwrap();
        deliver.append(&[problem()], None).unwrap();
        deliver.acknowledge(Seq::new(1)).unwrap();
        let epoch = deliver.view().epoch().unwrap().unwrap();
        let cursor = Cursor { epoch, seq: Seq::new(1), generation: 7 };
        deliver.set_cursors(&[(Stream::Readings, cursor)]).unwrap();
        deliver.park(Stream::Mails, epoch, Seq::new(1), Some("too large")).unwrap();
        let document = MeterConfig { version: 4, part: config::Part::Live { deliver: None, key: None } };
        deliver.set_document(METER.parse().unwrap(), &document).unwrap();
        deliver.set_handed(METER.parse().unwrap(), 4).unwrap();
        (collect, deliver)
    }

    #[test]
    fn a_restored_store_has_a_new_numbering_and_sends_all_that_it_holds_again() {
        let folder = tempfile::tempdir().unwrap();
        let (collect, deliver) = (folder.path().join("collect"), folder.path().join("deliver"));
        let (collect_store, deliver_store) = stores(folder.path());
        let old = deliver_store.view().epoch().unwrap().unwrap();
        drop((collect_store, deliver_store));
        let reader = CollectReader::open(&collect).unwrap();
        let (before, blocks) =
            (reader.epoch().unwrap(), reader.blocks(Stream::Readings, Seq::NONE, 9).unwrap());
        assert_eq!(reader.acknowledged(Stream::Readings).unwrap(), Seq::new(2));
        drop(reader);

        renew(&collect, &deliver).unwrap();
        for file in [CollectReader::file(&collect), DeliverReader::file(&deliver)] {
            let log = std::fs::metadata(file.with_extension("db-wal")).map_or(0, |log| log.len());
            assert!(file.exists() && log == 0, "all of it is in the file");
        }
        let reader = CollectReader::open(&collect).unwrap();
        assert_ne!(reader.epoch().unwrap(), before);
        assert_eq!(reader.blocks(Stream::Readings, Seq::NONE, 9).unwrap(), blocks);
        assert_eq!(reader.acknowledged(Stream::Readings).unwrap(), Seq::NONE);
        let store = DeliverStore::open(&deliver).unwrap();
        let new = store.view().epoch().unwrap().unwrap();
        assert_ne!(new, old);
        assert_eq!((store.head().unwrap(), store.acknowledged().unwrap()), (Seq::new(1), Seq::NONE));
        // What was noted of the old numbering is gone; what the portal said stays.
        assert_eq!(store.cursor(Stream::Readings).unwrap(), None);
        assert!(store.parked(Stream::Mails, old).unwrap().is_empty());
        assert_eq!(store.documents().unwrap().len(), 1);
        assert_eq!(store.handed(METER.parse().unwrap()).unwrap(), 4);
    }

    #[test]
    fn a_half_with_a_new_key_has_none_of_the_documents_that_were_sealed_to_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        drop(stores(folder.path()));
        let deliver = folder.path().join("deliver");
        forget_documents(&deliver).unwrap();
        let store = DeliverStore::open(&deliver).unwrap();
        assert!(store.documents().unwrap().is_empty());
        assert_eq!(store.handed(METER.parse().unwrap()).unwrap(), 0);
        assert_eq!(store.head().unwrap(), Seq::new(1), "its mails are still told");
    }

    #[test]
    fn where_there_is_no_store_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let (collect, deliver) = (folder.path().join("collect"), folder.path().join("deliver"));
        renew(&collect, &deliver).unwrap();
        forget_documents(&deliver).unwrap();
        assert!(!collect.exists() && !deliver.exists());
    }
}
