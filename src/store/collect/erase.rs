//! Erasing what the receiving half keeps of a meter.

use rusqlite::params;

use super::{CollectStore, STREAMS};
use crate::store::erase::{Span, erase_blocks, overwrite_free};
use crate::store::{StoreError, sqlite};

impl CollectStore {
    /// Erases blocks' records, sealed frames and unplaced readings of a meter within the span; tells how many blocks
    /// were rewritten. What the collector remembers of the meter (its newest register, its counter) is not history and
    /// stays. Unplaced readings have no time yet, so all of the meter's go.
    pub(in crate::store) fn erase(&mut self, span: &Span) -> Result<u64, StoreError> {
        self.connection.execute_batch("PRAGMA secure_delete=ON")?;
        let erased = self.erase_all(span);
        self.connection.execute_batch("PRAGMA secure_delete=FAST")?;
        erased
    }

    fn erase_all(&mut self, span: &Span) -> Result<u64, StoreError> {
        let mut count = 0;
        for stream in STREAMS {
            count += erase_blocks(&mut self.connection, stream, span)?;
        }
        let transaction = sqlite::begin(&mut self.connection)?;
        for meter in meters(&transaction, span)? {
            transaction.execute(
                "DELETE FROM sealed WHERE meter = ?1 AND heard >= ?2 AND heard < ?3",
                params![meter, span.from.unix(), span.to.unix()],
            )?;
            transaction.execute("DELETE FROM unplaced WHERE meter = ?1", [meter])?;
        }
        transaction.commit()?;
        overwrite_free(&mut self.connection)?;
        Ok(count)
    }
}

/// The addresses under which the meter has frames or readings.
fn meters(connection: &rusqlite::Connection, span: &Span) -> Result<Vec<[u8; 8]>, StoreError> {
    let mut statement = connection.prepare("SELECT meter FROM sealed UNION SELECT meter FROM unplaced")?;
    let all = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<[u8; 8]>, _>>()?;
    let is_it = |link: &[u8; 8]| wmbus::Meter::from_link(*link).to_string() == span.meter.as_str();
    Ok(all.into_iter().filter(is_it).collect())
}
