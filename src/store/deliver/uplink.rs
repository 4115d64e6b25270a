//! What the uplink remembers over a restart: how far the portal has each stream, parked blocks, what was handed on.

use std::collections::BTreeMap;

use messages::batch::{Body, Epoch, Record, Seq, Stream};
use messages::{Id, MeterId, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DeliverStore, unwritable};
use crate::store::{NewBlock, StoreError, freeing, sqlite, stream};

/// How far the portal has a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of which numbering.
    pub epoch: Epoch,
    /// The highest acknowledged number.
    pub seq: Seq,
    /// The portal's store that said so.
    pub generation: u64,
}

impl DeliverStore {
    /// How far the portal has a stream, as last noted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn cursor(&self, stream: Stream) -> Result<Option<Cursor>, StoreError> {
        cursor(&self.connection, stream)
    }

    /// Notes how far the portal has the streams. What is acknowledged of the stream `mails` is freed by that.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_cursors(&mut self, cursors: &[(Stream, Cursor)]) -> Result<(), StoreError> {
        let own = self.epoch();
        let transaction = sqlite::begin(&mut self.connection)?;
        for (stream, Cursor { epoch, seq, generation }) in cursors {
            transaction.execute(
                "INSERT OR REPLACE INTO cursor(stream, epoch, seq, generation) VALUES(?1, ?2, ?3, ?4)",
                params![
                    stream.as_str(),
                    epoch.to_string(),
                    seq.number().cast_signed(),
                    generation.cast_signed()
                ],
            )?;
            if *stream == Stream::Mails && *epoch == own {
                stream::acknowledge(&transaction, *stream, *seq)?;
            }
        }
        transaction.commit()?;
        sqlite::checkpoint(&self.connection)
    }

    /// Parked blocks of a stream in this numbering, with what was said of each.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn parked(&self, stream: Stream, epoch: Epoch) -> Result<BTreeMap<Seq, String>, StoreError> {
        parked(&self.connection, stream, epoch)
    }

    /// Parks a block; with no reason, no longer.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn park(
        &self,
        stream: Stream,
        epoch: Epoch,
        seq: Seq,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let key = params![stream.as_str(), epoch.to_string(), seq.number().cast_signed(), reason];
        let sql = if reason.is_some() {
            "INSERT OR REPLACE INTO parked(stream, epoch, seq, reason) VALUES(?1, ?2, ?3, ?4)"
        } else {
            "DELETE FROM parked WHERE stream = ?1 AND epoch = ?2 AND seq = ?3 AND ?4 IS NULL"
        };
        self.connection.execute(sql, key)?;
        Ok(())
    }

    /// The version of the document whose sealed meter key the receiving half has got; 0 for none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn handed(&self, meter: MeterId) -> Result<u64, StoreError> {
        let version: Option<i64> = self
            .connection
            .query_row("SELECT version FROM handed WHERE meter = ?1", [meter.as_str()], |row| row.get(0))
            .optional()?;
        Ok(version.unwrap_or_default().cast_unsigned())
    }

    /// Notes that the receiving half has got a meter's sealed key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_handed(&self, meter: MeterId, version: u64) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO handed(meter, version) VALUES(?1, ?2)",
            params![meter.as_str(), version.cast_signed()],
        )?;
        Ok(())
    }

    /// Whether an erasure has been done.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn is_erased(&self, request: Id) -> Result<bool, StoreError> {
        let found = self
            .connection
            .query_row("SELECT 1 FROM erased WHERE request = ?1", [request.to_string()], |_| Ok(()))
            .optional()?;
        Ok(found.is_some())
    }

    /// Notes that an erasure is done, or never will be, and reports it in the stream `mails`, both or neither.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_erased(&mut self, request: Id, report: &Record, at: Option<Time>) -> Result<(), StoreError> {
        let body = Body::encode(std::slice::from_ref(report)).map_err(unwritable)?;
        let block = NewBlock { stream: Stream::Mails, nonce: stream::nonce(), records: 1, body };
        let transaction = sqlite::begin(&mut self.connection)?;
        transaction.execute("INSERT OR IGNORE INTO erased(request) VALUES(?1)", [request.to_string()])?;
        stream::insert(&transaction, &block, at)?;
        transaction.commit()?;
        sqlite::checkpoint(&self.connection)
    }

    /// The portal knows other content under this numbering: begins a new one, under which everything kept is sent again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn renew_epoch(&mut self) -> Result<Epoch, StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let epoch = freeing::renumber(&transaction, &[Stream::Mails])?;
        transaction.commit()?;
        self.epoch = epoch;
        Ok(epoch)
    }

    /// The block of the stream `mails` with this number, if it is kept and whole.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn block(&self, seq: Seq) -> Result<Option<crate::store::Block>, StoreError> {
        let before = Seq::new(seq.number().saturating_sub(1));
        Ok(self.blocks(before, 1)?.into_iter().find(|block| block.seq == seq))
    }
}

/// How far the portal has a stream.
pub(super) fn cursor(connection: &Connection, stream: Stream) -> Result<Option<Cursor>, StoreError> {
    let row: Option<(String, i64, i64)> = connection
        .query_row("SELECT epoch, seq, generation FROM cursor WHERE stream = ?1", [stream.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(row.and_then(|(epoch, seq, generation)| {
        let seq = Seq::new(seq.cast_unsigned());
        Some(Cursor { epoch: epoch.parse().ok()?, seq, generation: generation.cast_unsigned() })
    }))
}

/// Parked blocks of a stream in a numbering.
pub(super) fn parked(
    connection: &Connection,
    stream: Stream,
    epoch: Epoch,
) -> Result<BTreeMap<Seq, String>, StoreError> {
    let mut statement =
        connection.prepare("SELECT seq, reason FROM parked WHERE stream = ?1 AND epoch = ?2")?;
    let rows = statement.query_map([stream.as_str(), &epoch.to_string()], |row| {
        Ok((Seq::new(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_and_parked_blocks_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = DeliverStore::open(directory.path()).unwrap();
        let cursor = Cursor { epoch: Epoch::durable(7), seq: Seq::new(9), generation: 3 };
        assert_eq!(store.cursor(Stream::Events).unwrap(), None);
        store.set_cursors(&[(Stream::Events, cursor)]).unwrap();
        store.park(Stream::Events, cursor.epoch, Seq::new(4), Some("too large")).unwrap();
        drop(store);
        let store = DeliverStore::open(directory.path()).unwrap();
        assert_eq!(store.cursor(Stream::Events).unwrap(), Some(cursor));
        let parked = store.parked(Stream::Events, cursor.epoch).unwrap();
        assert_eq!(parked, [(Seq::new(4), "too large".to_owned())].into());
        store.park(Stream::Events, cursor.epoch, Seq::new(4), None).unwrap();
        assert!(store.parked(Stream::Events, cursor.epoch).unwrap().is_empty());
    }
}
