//! Opening whatever state the files are in.

use std::path::{Path, PathBuf};

use messages::batch::{Seq, Stream};
use rusqlite::Connection;

use super::{CollectStore, FILE, MIGRATIONS, STREAMS};
use crate::store::salvage::{Salvage, Table};
use crate::store::sqlite;
use crate::store::watch::Watch;
use crate::store::{StoreError, aside, freeing, stream};

/// What else is taken over from a damaged store.
fn tables() -> Vec<Table> {
    let table = |name: &str, columns: &str, checked| Table {
        name: name.to_owned(),
        columns: columns.to_owned(),
        checked,
        only: String::new(),
    };
    vec![
        table("checkpoint", "part, crc, body", Some((1, 2))),
        table("anchor", "boot, uptime_ms, utc_ms", None),
        table("unplaced", "boot, uptime, meter, crc, body", Some((3, 4))),
        table("sealed", "meter, boundary, heard, rssi, crc, frame", Some((4, 5))),
    ]
}

/// A store, and what was found on the way to it.
pub(in crate::store) struct Opened {
    pub(in crate::store) store: CollectStore,
    /// Where a damaged one was put, and what was wrong with it.
    pub(in crate::store) set_aside: Option<(PathBuf, String)>,
    /// Damaged ones that there is still something to be saved from.
    pub(in crate::store) salvages: Vec<Salvage>,
}

impl CollectStore {
    /// Opens the store; a damaged one is set aside, and a new one is there at once.
    pub(in crate::store) fn open_anyway(directory: &Path) -> Result<Opened, StoreError> {
        let reason = match Self::open(directory) {
            Ok(store) => return Self::opened(store, directory, None),
            Err(StoreError::Damaged(reason)) => reason,
            Err(error) => return Err(error),
        };
        Self::replace(directory, reason, None)
    }

    /// Sets the store aside, whose connection is `open` if it may still serve to read from, and opens a new one.
    pub(in crate::store) fn replace(
        directory: &Path,
        reason: String,
        open: Option<Self>,
    ) -> Result<Opened, StoreError> {
        let to = aside::set_aside(directory)?;
        let store = Self::open(directory)?;
        let first = open.map(|old| (to.clone(), old.connection));
        let mut opened = Self::opened(store, directory, first)?;
        opened.set_aside = Some((to, reason));
        Ok(opened)
    }

    fn opened(
        mut store: Self,
        directory: &Path,
        mut open: Option<(PathBuf, Connection)>,
    ) -> Result<Opened, StoreError> {
        let mut salvages = Vec::new();
        // The newest first: what it says of a meter is what counts.
        for from in aside::unsaved(directory).into_iter().rev() {
            let connection = open.take_if(|(path, _)| *path == from).map(|(_, connection)| connection);
            let mut salvage = Salvage::new(from, FILE, connection, &[STREAMS[1], STREAMS[0]], tables());
            salvage.tables(&mut store.connection)?;
            salvages.push(salvage);
        }
        Ok(Opened { store, set_aside: None, salvages })
    }

    pub(super) fn open_files(path: &Path) -> Result<(Connection, Watch), StoreError> {
        let connection = sqlite::open(path, MIGRATIONS)?;
        for stream in STREAMS {
            stream::verify_newest(&connection, stream)?;
        }
        let watch = Watch::of(path)?;
        Ok((connection, watch))
    }

    /// Looks whether the files are still those that were opened: writing into deleted ones gives no error.
    pub(in crate::store) fn look(&mut self) -> Result<(), StoreError> {
        self.watch.look(&self.path)
    }

    /// Some blocks of a damaged store are taken over; `false` when none is left.
    pub(in crate::store) fn take_over(&mut self, salvage: &mut Salvage) -> Result<bool, StoreError> {
        salvage.bite(&mut self.connection)
    }

    /// Nothing is left to be taken over.
    pub(in crate::store) fn taken_over(&self, salvage: Salvage) -> Result<PathBuf, StoreError> {
        salvage.finish(&self.connection, &STREAMS)
    }

    /// Goes on checking blocks after `at`, about `bytes` of them; gives the place reached, `None` at the end, and the
    /// numbers of those that were not acknowledged and cannot be read.
    pub(in crate::store) fn verify(
        &mut self,
        stream: Stream,
        at: Seq,
        bytes: usize,
    ) -> Result<(Option<Seq>, Vec<u64>), StoreError> {
        let at = at.max(freeing::freed(&self.connection, stream)?);
        let mut walk = stream::Walk::new(&self.connection, stream, at, self.head(stream)?);
        let (mut left, mut reached, mut bad) = (bytes, at, Vec::new());
        let end = loop {
            let unreadable = walk.unreadable;
            let block = walk.next_block()?;
            let next = block.as_ref().map_or_else(|| walk.at().next(), |block| block.seq);
            if walk.unreadable > unreadable {
                bad.push((reached.next(), next));
            }
            let Some(block) = block else { break None };
            reached = next;
            left = left.saturating_sub(block.body.bytes.len());
            if left == 0 {
                break Some(reached);
            }
        };
        if bad.is_empty() {
            return Ok((end, Vec::new()));
        }
        let mut lost = Vec::new();
        let transaction = sqlite::begin(&mut self.connection)?;
        for number in bad.into_iter().flat_map(|(first, end)| first.number()..end.number()) {
            let seq = Seq::new(number);
            if freeing::lose(&transaction, stream, seq)? {
                lost.push(number);
            }
        }
        transaction.commit()?;
        Ok((end, lost))
    }
}
