//! Erasing what is kept of a meter: blocks are rewritten, and what stood in free pages and in the log is overwritten.

use messages::batch::{Body, ContentType, Record, Seq, Stream};
use messages::{MeterId, Time};
use rusqlite::{Connection, params};

use super::block::checksum;
use super::stream::{Walk, head, table};
use super::{NewBlock, StoreError, freeing, sqlite};

/// What is to be erased: of one meter, from `from` until before `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) meter: MeterId,
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Span {
    pub(super) fn holds(&self, time: Time) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// Whether what lasted from `first` to `last` overlaps it; what has no place in time is taken to.
    fn meets(&self, first: Option<Time>, last: Option<Time>) -> bool {
        let (first, last) = (first.or(last), last.or(first));
        first.is_none_or(|first| first < self.to) && last.is_none_or(|last| last >= self.from)
    }

    fn covers(&self, record: &Record) -> bool {
        match record {
            Record::Hour(row) => row.meter == self.meter && self.holds(row.boundary.time()),
            Record::Episode(episode) => {
                episode.meter == self.meter && self.meets(episode.started, episode.seen)
            }
            Record::Meter(status) => status.meter == self.meter && self.holds(status.at),
            Record::Alarm(alarm) => alarm.meter == self.meter && self.holds(alarm.at),
            Record::Mail(mail) => mail.meter == self.meter && self.holds(mail.at),
            // That a request was done names no use of water; what a later version wrote cannot be judged.
            _ => false,
        }
    }

    /// The body without what is to be erased, and how many records are left; `None` if nothing of it is in there.
    pub(super) fn rewrite(&self, body: &Body) -> Result<Option<(Body, u32)>, StoreError> {
        let bytes = match body.content_type {
            ContentType::Json => String::from_utf8_lossy(&body.bytes).into_owned(),
            ContentType::Deflated => body.json().unwrap_or_default(),
        };
        if !bytes.contains(self.meter.as_str()) {
            return Ok(None);
        }
        let Ok(records) = body.decode() else { return Ok(None) };
        let before = records.len();
        // A record that cannot be read is of no use to anybody, and may be about the meter.
        let left: Vec<Record> =
            records.into_iter().filter_map(Result::ok).filter(|record| !self.covers(record)).collect();
        if left.len() == before {
            return Ok(None);
        }
        let body = Body::encode(&left).map_err(|error| StoreError::Io(std::io::Error::other(error)))?;
        Ok(Some((body, u32::try_from(left.len()).unwrap_or(u32::MAX))))
    }

    /// The same for a block that has no number yet.
    pub(super) fn rewrite_new(&self, block: &NewBlock) -> Result<Option<NewBlock>, StoreError> {
        let rewritten = self.rewrite(&block.body)?;
        Ok(rewritten.map(|(body, records)| NewBlock { body, records, ..block.clone() }))
    }
}

/// Rewrites the blocks of a stream; tells how many.
///
/// Number and nonce stay: the block is the same one to the portal, which compares nonces to tell a copied store from the
/// real one, and which judges nothing by the body. The portal has been told to erase the same span and refuses what it
/// has erased, so it does not matter which of the two bodies it was sent.
pub(super) fn erase_blocks(
    connection: &mut Connection,
    stream: Stream,
    span: &Span,
) -> Result<u64, StoreError> {
    let (mut at, end) = (freeing::freed(connection, stream)?, head(connection, stream)?);
    let mut count = 0;
    while at < end {
        // One at a time: a transaction for all would hold up what is received, and grow the log.
        let mut walk = Walk::new(connection, stream, at, end);
        let Some(block) = walk.next_block()? else { break };
        at = block.seq;
        if let Some((body, records)) = span.rewrite(&block.body)? {
            let transaction = sqlite::begin(connection)?;
            transaction.execute(
                &format!(
                    "UPDATE {} SET records = ?2, deflated = ?3, crc = ?4, body = ?5 WHERE seq = ?1",
                    table(stream)
                ),
                params![
                    at.number().cast_signed(),
                    records,
                    body.content_type == ContentType::Deflated,
                    checksum(at, block.nonce, &body),
                    body.bytes
                ],
            )?;
            transaction.commit()?;
            count += 1;
        }
    }
    // A block whose checksum is wrong may still hold what is to be erased.
    lose_unreadable(connection, stream)?;
    Ok(count)
}

fn lose_unreadable(connection: &mut Connection, stream: Stream) -> Result<(), StoreError> {
    let first = freeing::freed(connection, stream)?;
    let mut walk = Walk::new(connection, stream, first, head(connection, stream)?);
    let mut whole = vec![first];
    while let Some(block) = walk.next_block()? {
        whole.push(block.seq);
    }
    if walk.unreadable == 0 {
        return Ok(());
    }
    whole.push(walk.at().next());
    let transaction = sqlite::begin(connection)?;
    for pair in whole.windows(2) {
        let [before, next] = pair else { continue };
        for number in before.next().number()..next.number() {
            freeing::lose(&transaction, stream, Seq::new(number))?;
        }
    }
    Ok(transaction.commit()?)
}

/// Overwrites all free pages: what was freed stands in them until they are used again. Freeing itself does not do that
/// (`secure_delete=FAST`), since it would cost as many bytes as storing did.
pub(super) fn overwrite_free(connection: &mut Connection) -> Result<(), StoreError> {
    let free = |connection: &Connection| -> Result<i64, StoreError> {
        Ok(connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
    };
    connection.execute_batch("CREATE TABLE IF NOT EXISTS scrub(zeros BLOB) STRICT")?;
    // A step at a time, so that the log stays short.
    let mut left = free(connection)?;
    while left > 0 {
        let pages = left.min(256);
        connection.execute("INSERT INTO scrub(zeros) VALUES(zeroblob(?1))", [pages * 4096 - 2048])?;
        sqlite::checkpoint(connection)?;
        let now = free(connection)?;
        if now >= left {
            break;
        }
        left = now;
    }
    connection.execute_batch("DROP TABLE scrub")?;
    Ok(())
}
