//! What a store in memory holds, into the one on the disk that it could not read when it began. Both speak of the same
//! meters, and neither knows the other: what is done by either is done, of what has versions the newer counts, and how
//! far the receiving half's events were read the disk knows. They are read again from there, which changes nothing that
//! is known by then.

use messages::batch::Stream;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::{forget_unlisted, gateway_config};
use crate::store::{StoreError, sqlite, stream};

/// A table, and what becomes of a row that both have.
struct Table {
    name: &'static str,
    columns: &'static str,
    /// Which of its rows.
    only: &'static str,
    both: &'static str,
}

const fn table(name: &'static str, columns: &'static str, only: &'static str, both: &'static str) -> Table {
    Table { name, columns, only, both }
}

const ALL: &str = "true";
/// Of the stream `mails` each has its own numbering: its blocks are taken over as new ones.
const OF_COLLECT: &str = "stream <> 'mails'";

const TABLES: &[Table] = &[
    table(
        "gateway",
        "id, version, body",
        ALL,
        "UPDATE SET version = excluded.version, body = excluded.body WHERE excluded.version > version",
    ),
    table(
        "document",
        "meter, version, body",
        ALL,
        "UPDATE SET version = excluded.version, body = excluded.body WHERE excluded.version > version",
    ),
    table(
        "episode",
        "id, meter, code, started, seen, lasted, standing, alarm",
        ALL,
        "UPDATE SET alarm = excluded.alarm WHERE alarm IS NULL",
    ),
    table(
        "episode",
        "id, meter, code, started, seen, lasted, standing",
        ALL,
        "UPDATE SET started = excluded.started, seen = excluded.seen, lasted = excluded.lasted,
             standing = excluded.standing WHERE ifnull(excluded.seen > seen, true)",
    ),
    table("alarm", "id, meter, code, raised", ALL, "NOTHING"),
    // Whatever one of them has told somebody must not be told again.
    table(
        "mail",
        "message, about, meter, code, kind, repeat, contact, from_time, to_time, queued, until, due, attempts, server,
         state, at",
        ALL,
        "UPDATE SET due = excluded.due, attempts = excluded.attempts, server = excluded.server,
             state = excluded.state, at = excluded.at WHERE state = 0 OR excluded.state = 1",
    ),
    table("request", "id, expires", ALL, "NOTHING"),
    table(
        "cursor",
        "stream, epoch, seq, generation",
        OF_COLLECT,
        "UPDATE SET epoch = excluded.epoch, seq = excluded.seq, generation = excluded.generation
         WHERE excluded.epoch <> epoch OR (excluded.generation, excluded.seq) > (generation, seq)",
    ),
    table("parked", "stream, epoch, seq, reason", OF_COLLECT, "NOTHING"),
    table(
        "handed",
        "meter, version",
        ALL,
        "UPDATE SET version = excluded.version WHERE excluded.version > version",
    ),
    table("erased", "request", ALL, "NOTHING"),
    table(
        "meta",
        "name, value",
        "name = 'portal_seen'",
        "UPDATE SET value = excluded.value WHERE excluded.value > value",
    ),
    table("meta", "name, value", "name = 'alarm.floor'", "NOTHING"),
];

/// All of it or nothing.
pub(super) fn merge(memory: &Connection, disk: &mut Connection) -> Result<(), StoreError> {
    let transaction = sqlite::begin(disk)?;
    for table in TABLES {
        merge_table(memory, &transaction, table)?;
    }
    if let Some(config) = gateway_config(&transaction)? {
        forget_unlisted(&transaction, &config)?;
    }
    let acknowledged = stream::acknowledged(memory, Stream::Mails)?;
    let (blocks, _) = stream::read(memory, Stream::Mails, acknowledged, usize::MAX)?;
    for block in blocks {
        let stored = block.stored;
        stream::insert(&transaction, &block.anew(Stream::Mails), stored)?;
    }
    transaction.commit()?;
    sqlite::checkpoint(disk)
}

fn merge_table(memory: &Connection, disk: &Transaction<'_>, table: &Table) -> Result<(), StoreError> {
    let Table { name, columns, only, both } = table;
    let count = columns.split(',').count();
    let places = vec!["?"; count].join(", ");
    let mut put =
        disk.prepare(&format!("INSERT INTO {name}({columns}) VALUES({places}) ON CONFLICT DO {both}"))?;
    let mut select = memory.prepare(&format!("SELECT {columns} FROM {name} WHERE {only}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()?;
        put.execute(params_from_iter(values))?;
    }
    Ok(())
}
