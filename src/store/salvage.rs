//! What can still be read from a damaged store, into the one that took its place.
//!
//! Blocks are taken over if their checksum confirms them; they get numbers of the new numbering. A little at a time, so
//! that what is received meanwhile is stored as ever. How far it has come stands in the new store, in the same
//! transaction as what was taken over: a cut in between repeats nothing and leaves nothing out.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messages::batch::{Seq, Stream};
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params_from_iter};

use super::freeing::freed;
use super::stream::{self, Walk, acknowledged, meta, set_meta, table};
use super::{StoreError, sqlite};

/// Blocks, and bytes of them, that are taken over in one transaction.
const BITE: (usize, usize) = (32, 256_000);

/// Where SQLite's first bytes are the same in every file of ours: name, page size, WAL format, reserved space,
/// fractions.
const HEADER: [u8; 24] = *b"SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20";

/// The saving of one damaged store.
#[derive(Debug)]
pub(super) struct Salvage {
    pub(super) from: PathBuf,
    /// `None` if it cannot be opened at all.
    old: Option<Connection>,
    streams: Vec<Stream>,
    tables: Vec<Table>,
    file: PathBuf,
    /// Its first page was replaced by that of the new store.
    mended: bool,
    pub(super) blocks: u64,
    pub(super) unreadable: u64,
}

/// A table besides the streams, taken over row by row.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// Its columns, in the order in which they are read.
    pub(super) columns: String,
    /// Which of them, counted from 0, are a checksum and what it is over; `None` where nothing confirms a row.
    pub(super) checked: Option<(usize, usize)>,
    /// Which rows, as a condition.
    pub(super) only: String,
}

impl Salvage {
    /// From the database `file` in the directory `from`; `open` is a connection to it, for a file that was deleted while
    /// it was open.
    pub(super) fn new(
        from: PathBuf,
        file: &str,
        open: Option<Connection>,
        streams: &[Stream],
        tables: Vec<Table>,
    ) -> Self {
        let file = from.join(file);
        // One that was open has no file to be mended.
        let mended = open.is_some();
        let old = open.or_else(|| open_damaged(&file).ok());
        Self { from, old, streams: streams.to_vec(), tables, file, mended, blocks: 0, unreadable: 0 }
    }

    /// Puts the new store's first page in the place of the damaged one's: it says where the tables begin, which is the
    /// same in every file that was made by the same version. If it is not, checksums find out. `false` if that was done
    /// before, or cannot be.
    fn mend(&mut self, new: &Connection) -> Result<bool, StoreError> {
        if std::mem::replace(&mut self.mended, true) {
            return Ok(false);
        }
        sqlite::truncate(new)?;
        self.old = None;
        self.old = first_page(new, &self.file).and_then(|()| open_damaged(&self.file)).ok();
        Ok(self.old.is_some())
    }

    /// Whether every table is where the first page says.
    fn is_sound(&self) -> bool {
        let names = self.tables.iter().map(|table| table.name.as_str());
        let mut names = names.chain(self.streams.iter().map(|stream| table(*stream))).chain(["meta"]);
        self.old.as_ref().is_some_and(|old| {
            names.all(|name| {
                let found = old.query_row(&format!("SELECT 1 FROM {name} LIMIT 1"), [], |_| Ok(()));
                found.optional().is_ok()
            })
        })
    }

    /// Takes over all besides the blocks, where the new store has nothing in its place.
    pub(super) fn tables(&mut self, new: &mut Connection) -> Result<(), StoreError> {
        if !self.is_sound() {
            self.mend(new)?;
        }
        let Some(old) = &self.old else { return Ok(()) };
        let transaction = sqlite::begin(new)?;
        for table in &self.tables {
            // Whatever cannot be read stays behind.
            match take_over(old, &transaction, table) {
                Ok(()) | Err(StoreError::Damaged(_) | StoreError::Sqlite(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(transaction.commit()?)
    }

    /// Takes over some blocks; `false` when none is left.
    pub(super) fn bite(&mut self, new: &mut Connection) -> Result<bool, StoreError> {
        let (Some(old), Some(stream)) = (&self.old, self.streams.first().copied()) else { return Ok(false) };
        let cursor = self.cursor(stream);
        let start = match meta::<i64>(new, &cursor)? {
            Some(at) => Seq::new(at.cast_unsigned()),
            None => {
                acknowledged(old, stream).unwrap_or(Seq::NONE).max(freed(old, stream).unwrap_or(Seq::NONE))
            }
        };
        let last = last(old, stream);
        let before = self.blocks;
        let mut walk = Walk::new(old, stream, start, last);
        let transaction = sqlite::begin(new)?;
        let (mut count, mut bytes) = BITE;
        let mut more = true;
        while more && count > 0 && bytes > 0 {
            match walk.next_block() {
                Ok(Some(block)) => {
                    count -= 1;
                    bytes = bytes.saturating_sub(block.body.bytes.len());
                    let stored = block.stored;
                    stream::insert(&transaction, &block.anew(stream), stored)?;
                    self.blocks = self.blocks.saturating_add(1);
                }
                // An error that no jump gets past: that is all there is.
                Ok(None) | Err(_) => more = false,
            }
        }
        self.unreadable = self.unreadable.saturating_add(walk.unreadable);
        set_meta(&transaction, &cursor, walk.at().number().cast_signed())?;
        transaction.commit()?;
        if !more {
            let nothing = start.number() == 0 && self.blocks == before;
            if nothing && self.mend(new)? {
                new.execute("DELETE FROM meta WHERE name = ?1", [cursor])?;
                self.tables(new)?;
                return Ok(true);
            }
            self.streams.remove(0);
        }
        Ok(!self.streams.is_empty())
    }

    /// Forgets how far it came.
    pub(super) fn finish(self, new: &Connection, streams: &[Stream]) -> Result<PathBuf, StoreError> {
        super::aside::mark_saved(&self.from)?;
        for stream in streams {
            new.execute("DELETE FROM meta WHERE name = ?1", [self.cursor(*stream)])?;
        }
        Ok(self.from)
    }

    fn cursor(&self, stream: Stream) -> String {
        let name = self.from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("salvage.{name}.{stream}")
    }
}

/// The highest number that may be found. In a damaged tree the last key may not be reachable: then as far as a stream
/// can have come in ten years.
fn last(old: &Connection, stream: Stream) -> Seq {
    let newest: Result<Option<i64>, _> =
        old.query_row(&format!("SELECT max(seq) FROM {}", table(stream)), [], |row| row.get(0));
    match newest {
        Ok(newest) => Seq::new(newest.unwrap_or_default().cast_unsigned()),
        Err(_) => Seq::new(2_000_000),
    }
}

fn open_damaged(path: &Path) -> Result<Connection, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; HEADER.len()];
    file.read_exact_at(&mut header, 0)?;
    if header != HEADER {
        // Nothing in there but what every file of ours begins with, so nothing is lost by mending it.
        file.write_all_at(&HEADER, 0)?;
    }
    drop(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.execute_batch("PRAGMA mmap_size=0; PRAGMA cache_size=-256; PRAGMA trusted_schema=OFF;")?;
    Ok(connection)
}

fn first_page(new: &Connection, damaged: &Path) -> Result<(), StoreError> {
    const PAGE: usize = 4096;
    let mut page = [0; PAGE];
    OpenOptions::new().read(true).open(new.path().unwrap_or_default())?.read_exact_at(&mut page, 0)?;
    let file = OpenOptions::new().write(true).open(damaged)?;
    let pages = file.metadata()?.len() / u64::try_from(PAGE).unwrap_or(1);
    // How many pages there are, and where the free ones begin: nowhere, since nothing is going to be written.
    let [count, free] = [u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes(), [0; 4]];
    for (place, byte) in page.iter_mut().skip(28).zip([count, free, free].concat()) {
        *place = byte;
    }
    Ok(file.write_all_at(&page, 0)?)
}

fn take_over(old: &Connection, new: &Connection, table: &Table) -> Result<(), StoreError> {
    let Table { name, columns, checked, only } = table;
    let places = vec!["?"; columns.split(',').count()].join(", ");
    let mut insert = new.prepare(&format!("INSERT OR IGNORE INTO {name}({columns}) VALUES({places})"))?;
    let mut select = old.prepare(&format!("SELECT {columns} FROM {name} {only}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values =
            (0..columns.split(',').count()).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()?;
        if checked.is_none_or(|(sum, of)| fits(values.get(sum), values.get(of))) {
            insert.execute(params_from_iter(values))?;
        }
    }
    Ok(())
}

fn fits(sum: Option<&Value>, of: Option<&Value>) -> bool {
    match (sum, of) {
        (Some(Value::Integer(sum)), Some(Value::Blob(bytes))) => {
            *sum == i64::from(super::block::checksum_of(bytes))
        }
        _ => false,
    }
}
