//! How much runs at least: the lowest flow of the newest hour in which the meter showed the code.

use messages::batch::{Record, Seq, Stream};
use messages::reading::Code;
use messages::{MeterId, Time};

use crate::store::CollectReader;

/// So many of the newest blocks are looked through.
const BLOCKS: u64 = 4;
/// An hour that ended longer ago says nothing about now.
const RECENT: i64 = 3 * 3600;

/// Whole litres per hour, rounded down; `None` if nobody knows, or if it is less than one.
#[must_use]
pub(super) fn litres(reader: &CollectReader, meter: MeterId, code: &Code, now: Time) -> Option<u64> {
    // A mail without it is a good mail: what cannot be read is left out.
    let head = reader.head(Stream::Readings).ok()?;
    let before = Seq::new(head.number().saturating_sub(BLOCKS));
    let blocks = reader.blocks(Stream::Readings, before, usize::try_from(BLOCKS).ok()?).ok()?;
    let rows = blocks.iter().filter_map(|block| block.body.decode().ok()).flatten();
    let newest = rows
        .filter_map(|record| match record {
            Ok(Record::Hour(row)) if row.meter == meter && row.codes.contains(code) && !row.late => Some(row),
            _ => None,
        })
        .filter(|row| now.unix().saturating_sub(row.boundary.time().unix()) <= RECENT)
        .max_by_key(|row| row.boundary)?;
    let litres = newest.flow?.low().value.in_units_of(0)?;
    u64::try_from(litres).ok().filter(|litres| *litres > 0)
}
