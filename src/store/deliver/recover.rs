//! Opening `deliver.db` in whatever state it is, and looking after it.

use std::path::Path;
use std::time::Duration;

use messages::batch::{Seq, Stream};
use messages::{MeterId, Time};
use rusqlite::Connection;

use super::memory::Place;
use super::{DeliverStore, FILE, MIGRATIONS};
use crate::store::erase::{Span, erase_blocks, overwrite_free};
use crate::store::salvage::{Salvage, Table};
use crate::store::trouble::{Because, Trouble};
use crate::store::watch::Watch;
use crate::store::{StoreError, aside, freeing, sqlite, stream};

const STREAMS: &[Stream] = &[Stream::Mails];
const DAY: Duration = Duration::from_secs(86_400);

impl DeliverStore {
    /// Opens the files; whatever is damaged is an error.
    pub(super) fn open_files(directory: &Path) -> Result<Self, StoreError> {
        let path = super::file(directory);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if aside::is_emptied(directory, FILE) {
            return Err(StoreError::Damaged("its file is gone or empty".to_owned()));
        }
        let connection = sqlite::open(&path, MIGRATIONS)?;
        stream::verify_newest(&connection, Stream::Mails)?;
        let watch = Watch::of(&path)?;
        let epoch = stream::epoch(&connection)?;
        Ok(Self {
            connection,
            epoch,
            found: std::cell::RefCell::default(),
            path,
            place: Place::Disk(watch),
            troubles: std::cell::RefCell::default(),
        })
    }

    /// Puts a new store in the place of a damaged one, and takes over from it what can be read. It is small, so that
    /// this happens at once.
    pub(super) fn replace(directory: &Path, reason: String) -> Result<Self, StoreError> {
        let to = aside::set_aside(directory)?;
        let store = Self::open_files(directory)?;
        store.troubles.borrow_mut().push(Trouble::SetAside { to, reason });
        Ok(store)
    }

    /// Takes over what damaged stores still hold.
    pub(super) fn salvage(&mut self, directory: &Path) -> Result<(), StoreError> {
        for from in aside::unsaved(directory).into_iter().rev() {
            let mut salvage = Salvage::new(from, FILE, None, STREAMS, tables(&self.connection)?);
            salvage.tables(&mut self.connection)?;
            while salvage.bite(&mut self.connection)? {}
            let Salvage { blocks, unreadable, .. } = salvage;
            let from = salvage.finish(&self.connection, STREAMS)?;
            self.troubles.borrow_mut().push(Trouble::Salvaged { from, blocks, unreadable });
        }
        Ok(())
    }

    /// Looks whether the files are still those that were opened; to be asked each minute.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: open the store again, which puts a new one in its place.
    pub fn look(&mut self) -> Result<(), StoreError> {
        match &mut self.place {
            Place::Disk(watch) => watch.look(&self.path),
            Place::Memory(..) | Place::MemoryOnly(_) => Ok(()),
        }
    }

    /// What happened to the store since this was last asked.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.take()
    }

    /// Frees blocks of the stream `mails` that have been kept long enough; for once an hour.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn free_old(
        &mut self,
        now: Time,
        keep_acknowledged: Duration,
        keep_at_most: Duration,
    ) -> Result<(), StoreError> {
        let limits = freeing::Limits { now, keep_acknowledged, keep_at_most };
        if let Some(numbers) = freeing::free_old(&mut self.connection, Stream::Mails, limits)? {
            let trouble = Trouble::Lost { stream: Stream::Mails, numbers, because: Because::Age };
            self.troubles.borrow_mut().push(trouble);
        }
        Ok(aside::remove_old(aside::parent(&self.path), now, keep_at_most.max(DAY))?)
    }

    /// Erases what the stream `mails` says of a meter from `from` until before `to`, its episodes and mails of that time,
    /// and what damaged stores held.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn erase(&mut self, meter: MeterId, from: Time, to: Time) -> Result<(), StoreError> {
        let span = Span { meter, from, to };
        self.remember_erased(span)?;
        self.connection.execute_batch("PRAGMA secure_delete=ON")?;
        let rows = self.desk(None, |desk| desk.erase(meter, from, to));
        let erased = rows
            .and_then(|()| erase_blocks(&mut self.connection, Stream::Mails, &span))
            .and_then(|()| overwrite_free(&mut self.connection));
        self.connection.execute_batch("PRAGMA secure_delete=FAST")?;
        erased?;
        sqlite::truncate(&self.connection)?;
        aside::remove_saved(aside::parent(&self.path))?;
        Ok(())
    }

    /// The numbers up to which blocks were freed: everything up to there is missing from what can be sent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn freed(&self) -> Result<Seq, StoreError> {
        freeing::freed(&self.connection, Stream::Mails)
    }
}

/// Every table besides the stream, whoever made it, and what there is once, numbering and places in it left out.
fn tables(new: &Connection) -> Result<Vec<Table>, StoreError> {
    let mut statement = new.prepare(
        "SELECT name, (SELECT group_concat(name, ', ') FROM pragma_table_info(s.name)) FROM sqlite_schema AS s
         WHERE type = 'table' AND name NOT IN ('meta', 'lost', 'mails') AND name NOT LIKE 'sqlite_%'",
    )?;
    let tables = statement.query_map([], |row| {
        Ok(Table { name: row.get(0)?, columns: row.get(1)?, checked: None, only: String::new() })
    })?;
    let mut tables = tables.collect::<Result<Vec<_>, _>>()?;
    tables.push(Table {
        name: "meta".to_owned(),
        columns: "name, value".to_owned(),
        checked: None,
        only: "WHERE name <> 'epoch' AND name NOT GLOB 'acknowledged.*' AND name NOT GLOB 'freed.*'
               AND name NOT GLOB 'lost.*' AND name NOT GLOB 'salvage.*'"
            .to_owned(),
    });
    Ok(tables)
}
