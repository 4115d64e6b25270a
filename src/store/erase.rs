//! Erasing what is kept of a meter: blocks are rewritten, and what stood in free pages and in the log is overwritten.

use messages::batch::{Body, ContentType, Record, Seq, Stream};
use messages::{MeterId, Time};
use rusqlite::{Connection, params};

use super::block::checksum;
use super::stream::{Walk, head, table};
use super::{Commit, NewBlock, StoreError, freeing, sqlite};

/// Blocks, and bytes of them, that are looked into in one transaction.
const BITE: (usize, usize) = (32, 256_000);
/// Pages that are overwritten in one transaction.
const PAGES: i64 = 256;

/// What is to be erased: of one meter, from `from` until before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Leaves out of a commit what is to be erased.
    pub(super) fn leave_out(&self, commit: &mut Commit) -> Result<(), StoreError> {
        for block in &mut commit.blocks {
            if let Some(rewritten) = self.rewrite_new(block)? {
                *block = rewritten;
            }
        }
        self.leave_out_others(commit);
        Ok(())
    }

    /// The same of everything besides the blocks. Readings without a place have no time yet, so all of the meter's go.
    pub(super) fn leave_out_others(&self, commit: &mut Commit) {
        let is_it = |meter: wmbus::Meter| meter.to_string() == self.meter.as_str();
        commit.sealed.retain(|sealed| !(is_it(sealed.meter) && self.holds(sealed.heard)));
        commit.unplaced.retain(|unplaced| !is_it(unplaced.meter));
    }
}

/// Rewrites all blocks of a stream.
pub(super) fn erase_blocks(
    connection: &mut Connection,
    stream: Stream,
    span: &Span,
) -> Result<(), StoreError> {
    let mut at = Seq::NONE;
    while let Some(reached) = erase_some(connection, stream, span, at)? {
        at = reached;
    }
    Ok(())
}

/// Rewrites some blocks of a stream after `at`, in one transaction: one for all would hold up what is received, and grow
/// the log. Gives the place reached, `None` at the end.
///
/// Number and nonce stay: the block is the same one to the portal, which compares nonces to tell a copied store from the
/// real one, and which judges nothing by the body. The portal has been told to erase the same span and refuses what it
/// has erased, so it does not matter which of the two bodies it was sent.
pub(super) fn erase_some(
    connection: &mut Connection,
    stream: Stream,
    span: &Span,
    at: Seq,
) -> Result<Option<Seq>, StoreError> {
    let mut reached = at.max(freeing::freed(connection, stream)?);
    let mut walk = Walk::new(connection, stream, reached, head(connection, stream)?);
    let (mut rewritten, mut bad) = (Vec::new(), Vec::new());
    let (mut count, mut bytes) = BITE;
    let end = loop {
        let unreadable = walk.unreadable;
        let block = walk.next_block()?;
        let next = block.as_ref().map_or_else(|| walk.at().next(), |block| block.seq);
        if walk.unreadable > unreadable {
            // A block whose checksum is wrong may still hold what is to be erased.
            bad.push(reached.next().number()..next.number());
        }
        let Some(block) = block else { break None };
        reached = block.seq;
        (count, bytes) = (count.saturating_sub(1), bytes.saturating_sub(block.body.bytes.len()));
        if let Some((body, records)) = span.rewrite(&block.body)? {
            rewritten.push((block.seq, block.nonce, body, records));
        }
        if count == 0 || bytes == 0 {
            break Some(reached);
        }
    };
    if rewritten.is_empty() && bad.is_empty() {
        return Ok(end);
    }
    let transaction = sqlite::begin(connection)?;
    for (seq, nonce, body, records) in rewritten {
        transaction.execute(
            &format!(
                "UPDATE {} SET records = ?2, deflated = ?3, crc = ?4, body = ?5 WHERE seq = ?1",
                table(stream)
            ),
            params![
                seq.number().cast_signed(),
                records,
                body.content_type == ContentType::Deflated,
                checksum(seq, nonce, &body),
                body.bytes
            ],
        )?;
    }
    for number in bad.into_iter().flatten() {
        freeing::lose(&transaction, stream, Seq::new(number))?;
    }
    transaction.commit()?;
    sqlite::checkpoint(connection)?;
    Ok(end)
}

/// Overwrites all free pages: what was freed stands in them until they are used again. Freeing itself does not do that
/// (`secure_delete=FAST`), since it would cost as many bytes as storing did.
pub(super) fn overwrite_free(connection: &mut Connection) -> Result<(), StoreError> {
    while overwrite_some(connection)? {}
    while release_some(connection)? {}
    Ok(())
}

/// Overwrites some free pages, which are held until [`release_some`] has let go of them; `false` when none is left.
pub(super) fn overwrite_some(connection: &Connection) -> Result<bool, StoreError> {
    let free = || -> Result<i64, StoreError> {
        Ok(connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
    };
    connection.execute_batch("CREATE TABLE IF NOT EXISTS scrub(zeros BLOB) STRICT")?;
    let left = free()?;
    if left == 0 {
        return Ok(false);
    }
    connection.execute("INSERT INTO scrub(zeros) VALUES(zeroblob(?1))", [left.min(PAGES) * 4096 - 2048])?;
    sqlite::checkpoint(connection)?;
    Ok((1..left).contains(&free()?))
}

/// Lets go of some of the pages that were overwritten; `false` when none is held any more.
pub(super) fn release_some(connection: &Connection) -> Result<bool, StoreError> {
    let freed = connection.execute(
        "DELETE FROM scrub WHERE rowid IN (SELECT rowid FROM scrub ORDER BY rowid DESC LIMIT 8)",
        [],
    )?;
    sqlite::checkpoint(connection)?;
    if freed == 0 {
        connection.execute_batch("DROP TABLE scrub")?;
    }
    Ok(freed > 0)
}
