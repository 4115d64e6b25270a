//! Erasing what the receiving half keeps of a meter.

use messages::batch::Seq;
use rusqlite::params;

use super::{CollectStore, STREAMS};
use crate::store::erase::{Span, erase_some, overwrite_some, release_some};
use crate::store::{StoreError, sqlite};

/// How far erasing has come. Each step is short: what is received meanwhile is stored in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Step {
    /// The blocks of this stream have been looked into up to here.
    Blocks(usize, Seq),
    /// Sealed frames and readings without a place.
    Others,
    /// Free pages are overwritten.
    Overwrite,
    /// The pages that were are let go.
    Release,
    /// All of it is done but the log, which still holds what was erased.
    Done,
}

impl Step {
    pub(in crate::store) const FIRST: Self = Self::Blocks(0, Seq::NONE);
}

impl CollectStore {
    /// Erases a bit more of a meter within the span: blocks' records, sealed frames, unplaced readings. What the collector
    /// remembers of the meter (its newest register, its counter) is not history and stays. Unplaced readings have no time
    /// yet, so all of the meter's go. After an error the store is to be opened again.
    pub(in crate::store) fn erase_some(&mut self, span: &Span, step: Step) -> Result<Step, StoreError> {
        match step {
            Step::Blocks(index, at) => {
                let Some(stream) = STREAMS.get(index).copied() else { return Ok(Step::Others) };
                let reached = self.securely(|store| erase_some(&mut store.connection, stream, span, at))?;
                Ok(reached.map_or(Step::Blocks(index + 1, Seq::NONE), |at| Step::Blocks(index, at)))
            }
            Step::Others => {
                self.securely(|store| store.erase_others(span))?;
                Ok(Step::Overwrite)
            }
            Step::Overwrite => {
                Ok(if overwrite_some(&self.connection)? { Step::Overwrite } else { Step::Release })
            }
            Step::Release => Ok(if release_some(&self.connection)? { Step::Release } else { Step::Done }),
            Step::Done => Ok(Step::Done),
        }
    }

    /// With what is deleted within pages overwritten at once.
    fn securely<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connection.execute_batch("PRAGMA secure_delete=ON")?;
        let done = work(self)?;
        self.connection.execute_batch("PRAGMA secure_delete=FAST")?;
        Ok(done)
    }

    fn erase_others(&mut self, span: &Span) -> Result<(), StoreError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        for meter in meters(&transaction, span)? {
            transaction.execute(
                "DELETE FROM sealed WHERE meter = ?1 AND heard >= ?2 AND heard < ?3",
                params![meter, span.from.unix(), span.to.unix()],
            )?;
            transaction.execute("DELETE FROM unplaced WHERE meter = ?1", [meter])?;
        }
        Ok(transaction.commit()?)
    }
}

/// The addresses under which the meter has frames or readings.
fn meters(connection: &rusqlite::Connection, span: &Span) -> Result<Vec<[u8; 8]>, StoreError> {
    let mut statement = connection.prepare("SELECT meter FROM sealed UNION SELECT meter FROM unplaced")?;
    let all = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<[u8; 8]>, _>>()?;
    let is_it = |link: &[u8; 8]| wmbus::Meter::from_link(*link).to_string() == span.meter.as_str();
    Ok(all.into_iter().filter(is_it).collect())
}
