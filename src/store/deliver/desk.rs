//! What the alarm side keeps in `deliver.db`: episodes, alarms, mails, requests, and how far it has read. Everything that
//! belongs together is changed in one transaction, together with the records of the stream `mails` that tell of it.

use messages::batch::{Epoch, Record, Seq};
use messages::config::{GatewayConfig, MeterConfig};
use messages::{Id, MeterId, Time};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, Transaction, params};

use super::{DeliverStore, document, gateway_config, mails_block};
use crate::store::{StoreError, sqlite, stream};

mod episodes;
mod lists;
mod mails;

pub use episodes::{KnownEpisode, RaisedAlarm};
pub use lists::AlarmLists;
pub use mails::{MailState, QueuedMail};

/// The alarm side's part of the store, for the length of one transaction.
#[derive(Debug)]
pub struct Desk<'a> {
    transaction: Transaction<'a>,
    records: Vec<Record>,
}

/// How many mails and alarms there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeskCounts {
    /// Mails that wait.
    pub waiting: u64,
    /// Alarms whose episode is not over.
    pub alarms: u64,
}

impl DeliverStore {
    /// Does `work` in one transaction: all of it is stored, with the records it reported as blocks of the stream `mails`,
    /// or nothing if it fails.
    ///
    /// # Errors
    /// Those of `work`, and of the store.
    pub fn desk<T>(
        &mut self,
        at: Option<Time>,
        work: impl for<'a> FnOnce(&mut Desk<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = Desk::open(self)?.close(at, work)?;
        sqlite::checkpoint(&self.connection)?;
        Ok(done)
    }
}

impl<'a> Desk<'a> {
    fn open(store: &'a mut DeliverStore) -> Result<Self, StoreError> {
        Ok(Self { transaction: sqlite::begin(&mut store.connection)?, records: Vec::new() })
    }

    fn close<T>(
        mut self,
        at: Option<Time>,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = work(&mut self)?;
        for records in self.records.chunks(RECORDS_IN_A_BLOCK) {
            stream::insert(&self.transaction, &mails_block(records)?, at)?;
        }
        self.transaction.commit()?;
        Ok(done)
    }
}

impl Desk<'_> {
    /// A record for the stream `mails`, stored with everything else.
    pub fn report(&mut self, record: Record) {
        self.records.push(record);
    }

    /// How far the stream `events` was read, and in which numbering.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn cursor(&self) -> Result<Option<(Epoch, Seq)>, StoreError> {
        let text: Option<String> = stream::meta(&self.transaction, "alarm.cursor")?;
        let read = |text: String| {
            let (epoch, seq) = text.split_once(' ')?;
            Some((epoch.parse().ok()?, Seq::new(seq.parse().ok()?)))
        };
        Ok(text.and_then(read))
    }

    /// Stores how far it was read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_cursor(&self, epoch: Epoch, seq: Seq) -> Result<(), StoreError> {
        stream::set_meta(&self.transaction, "alarm.cursor", format!("{epoch} {}", seq.number()))
    }

    /// What was last seen before this is history: this store does not know whether it was mailed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn floor(&self) -> Result<Option<Time>, StoreError> {
        self.time("alarm.floor")
    }

    /// Raises that moment; it never goes back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn raise_floor(&self, floor: Time) -> Result<(), StoreError> {
        let floor = self.floor()?.map_or(floor, |known| known.max(floor));
        stream::set_meta(&self.transaction, "alarm.floor", floor.unix())
    }

    /// When the portal was last heard.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn portal_seen(&self) -> Result<Option<Time>, StoreError> {
        self.time(super::PORTAL_SEEN)
    }

    /// Stores when the portal was last heard.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_portal_seen(&self, at: Time) -> Result<(), StoreError> {
        stream::set_meta(&self.transaction, super::PORTAL_SEEN, at.unix())
    }

    /// The portal's settings for this gateway, if it ever sent any.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn gateway_config(&self) -> Result<Option<GatewayConfig>, StoreError> {
        gateway_config(&self.transaction)
    }

    /// The portal's document for a meter, sealed as it came.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn document(&self, meter: MeterId) -> Result<Option<MeterConfig>, StoreError> {
        document(&self.transaction, meter)
    }

    /// Every meter that has a document.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn documents(&self) -> Result<Vec<MeterId>, StoreError> {
        self.list("SELECT meter FROM document", [], |row| parsed(row, 0))
    }

    /// Whether a request was done, or is being done.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn knows_request(&self, id: Id) -> Result<bool, StoreError> {
        Ok(!self.list("SELECT 1 FROM request WHERE id = ?1", [id.to_string()], |_| Ok(Some(())))?.is_empty())
    }

    /// A request is done, or begun: it is not begun again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_request(&self, id: Id, expires: Time) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO request(id, expires) VALUES(?1, ?2)",
            params![id.to_string(), expires.unix()],
        )
    }

    /// How many there are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn counts(&self) -> Result<DeskCounts, StoreError> {
        let count = |sql: &str| -> Result<u64, StoreError> {
            Ok(self.transaction.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
        };
        Ok(DeskCounts {
            waiting: count("SELECT count(*) FROM mail WHERE state = 0")?,
            alarms: count(
                "SELECT count(DISTINCT alarm) FROM episode WHERE standing < 2 AND alarm IS NOT NULL",
            )?,
        })
    }

    /// Forgets what was last seen or done before `before`, and of the rest all but the newest `most` of each kind; mails
    /// that wait stay. Gives when the newest forgotten episode was seen.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forget(&self, before: Time, most: u32) -> Result<Option<Time>, StoreError> {
        let surplus = "SELECT id FROM episode ORDER BY seen DESC LIMIT -1 OFFSET ?2";
        let gone = format!("seen < ?1 OR id IN ({surplus})");
        let newest: Option<i64> = self.transaction.query_row(
            &format!("SELECT max(seen) FROM episode WHERE {gone}"),
            params![before.unix(), most],
            |row| row.get(0),
        )?;
        self.execute(&format!("DELETE FROM episode WHERE {gone}"), params![before.unix(), most])?;
        self.execute(
            "DELETE FROM mail WHERE state > 0 AND (at < ?1 OR message IN (
                 SELECT message FROM mail WHERE state > 0 ORDER BY at DESC LIMIT -1 OFFSET ?2))",
            params![before.unix(), most],
        )?;
        self.execute("DELETE FROM alarm WHERE id NOT IN (SELECT alarm FROM episode WHERE alarm IS NOT NULL) AND id NOT IN (SELECT about FROM mail)", [])?;
        self.execute("DELETE FROM request WHERE expires < ?1", [before.unix()])?;
        Ok(newest.and_then(Time::from_unix))
    }

    /// Erases what is kept of a meter from `from` until before `to`: episodes that are over, mails that are done.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn erase(&self, meter: MeterId, from: Time, to: Time) -> Result<(), StoreError> {
        let span = params![meter.as_str(), from.unix(), to.unix()];
        self.execute(
            "DELETE FROM episode WHERE meter = ?1 AND standing = 2 AND seen >= ?2 AND started < ?3",
            span,
        )?;
        self.execute("DELETE FROM mail WHERE meter = ?1 AND state > 0 AND at >= ?2 AND at < ?3", span)
    }

    fn time(&self, name: &str) -> Result<Option<Time>, StoreError> {
        let seconds: Option<i64> = stream::meta(&self.transaction, name)?;
        Ok(seconds.and_then(Time::from_unix))
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Rows that cannot be read are left out: a later version's, or damaged ones.
    fn list<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Vec<T>, StoreError> {
        list(&self.transaction, sql, values, read)
    }
}

/// Rows that cannot be read are left out.
fn list<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.extend(read(row)?);
    }
    Ok(list)
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = get(row, column)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Time>> {
    let seconds: Option<i64> = get(row, column)?;
    Ok(seconds.and_then(Time::from_unix))
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get(column)
}

/// One block holds at most this many records: far within the bounds of a body.
const RECORDS_IN_A_BLOCK: usize = 1000;
