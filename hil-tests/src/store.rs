//! A look into the gateway's databases, past its own code: what is committed there.

use std::collections::BTreeMap;
use std::path::Path;

use messages::batch::{Body, ContentType, Epoch, Nonce, Record, Seq, Stream};
use messages::reading::{HourRow, join};
use messages::{Hour, MeterId};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

/// A database of the gateway, opened for reading.
#[derive(Debug)]
pub struct Store(Connection);

/// A block as it lies there.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its number.
    pub seq: Seq,
    /// Its nonce.
    pub nonce: Nonce,
    /// What is published.
    pub body: Body,
}

impl Store {
    /// Opens a file. `None` while it is not there, or has no schema yet.
    #[must_use]
    pub fn open(path: &Path) -> Option<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).ok()?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).ok()?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
        (version > 0).then_some(Self(connection))
    }

    /// The numbering.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        let query = "SELECT value FROM meta WHERE name = 'epoch'";
        let bytes: Vec<u8> = self.0.query_row(query, [], |row| row.get(0)).optional().ok()??;
        Some(Epoch::durable(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The newest block's number; 0 for none.
    #[must_use]
    pub fn head(&self, stream: Stream) -> Seq {
        let query = format!("SELECT max(seq) FROM {stream}");
        let newest: Option<i64> = self.0.query_row(&query, [], |row| row.get(0)).unwrap();
        let freed = format!("SELECT value FROM meta WHERE name = 'freed.{stream}'");
        let freed: Option<i64> = self.0.query_row(&freed, [], |row| row.get(0)).optional().unwrap();
        Seq::new(newest.max(freed).unwrap_or_default().cast_unsigned())
    }

    /// All blocks of a stream that are kept.
    #[must_use]
    pub fn blocks(&self, stream: Stream) -> Vec<Block> {
        let query = format!("SELECT seq, nonce, deflated, body FROM {stream} ORDER BY seq");
        let mut statement = self.0.prepare(&query).unwrap();
        let blocks = statement.query_map([], |row| {
            let deflated: bool = row.get(2)?;
            let content_type = if deflated { ContentType::Deflated } else { ContentType::Json };
            Ok(Block {
                seq: Seq::new(row.get::<_, i64>(0)?.cast_unsigned()),
                nonce: Nonce::from_random(row.get::<_, i64>(1)?.cast_unsigned()),
                body: Body { content_type, bytes: row.get(3)? },
            })
        });
        blocks.unwrap().map(Result::unwrap).collect()
    }

    /// All records of a stream, in their order.
    #[must_use]
    pub fn records(&self, stream: Stream) -> Vec<Record> {
        let blocks = self.blocks(stream);
        blocks.iter().flat_map(|block| block.body.decode().unwrap()).map(Result::unwrap).collect()
    }

    /// The hour rows, joined.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<(MeterId, Hour), HourRow> {
        let mut rows = BTreeMap::new();
        for record in self.records(Stream::Readings) {
            if let Record::Hour(row) = record {
                add_row(&mut rows, *row);
            }
        }
        rows
    }

    /// Every text and every blob of every table, one after the other.
    #[must_use]
    pub fn everything(&self) -> Vec<Vec<u8>> {
        let list = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let mut statement = self.0.prepare(list).unwrap();
        let tables: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut all = Vec::new();
        for table in tables {
            let mut statement = self.0.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    if let Ok(bytes) = row.get_ref(column).unwrap().as_bytes() {
                        all.push(bytes.to_vec());
                    }
                }
            }
        }
        // What is deflated there hides what it says.
        for stream in Stream::ALL {
            let exists = format!("SELECT 1 FROM {stream} LIMIT 0");
            if self.0.prepare(&exists).is_ok() {
                all.extend(self.blocks(stream).iter().map(|block| block.body.json().unwrap().into_bytes()));
            }
        }
        all
    }
}

/// Joins a row to the others.
pub fn add_row(rows: &mut BTreeMap<(MeterId, Hour), HourRow>, row: HourRow) {
    let key = (row.meter, row.boundary);
    let row = match rows.get(&key) {
        Some(known) => join(known, &row).unwrap(),
        // A row joined with itself has its offsets snapped.
        None => join(&row, &row).unwrap(),
    };
    rows.insert(key, row);
}
