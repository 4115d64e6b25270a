//! What waits in memory while the disk cannot be written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use messages::batch::{Epoch, Seq, Stream};

use super::super::erase::Span;
use super::super::{Block, Commit, NewBlock, StoreError};
use crate::world::random;

/// The most bytes of blocks, frames and readings that wait. A day of hour rows of a thousand meters is half of it.
const ROOM: usize = 2_000_000;

/// What an entry takes besides its bodies, about.
const OVERHEAD: usize = 200;

/// Commits that are not stored yet, oldest first.
#[derive(Debug)]
pub(super) struct Waiting {
    entries: VecDeque<Entry>,
    epoch: Epoch,
    /// The newest number given under the throw-away epoch, per stream.
    numbered: BTreeMap<Stream, Seq>,
    size: usize,
    dropped: Dropped,
}

/// One commit; its blocks are apart, so that those who send them from memory share them.
#[derive(Debug)]
pub(super) struct Entry {
    blocks: Vec<(Seq, Arc<NewBlock>)>,
    pub(super) rest: Commit,
}

/// What found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records of the stream `readings`.
    pub readings: u64,
    /// Records of the stream `events`.
    pub events: u64,
    /// Sealed frames, and readings without a place on the calendar.
    pub others: u64,
}

/// The blocks that wait in memory, under a throw-away epoch with numbers of their own: they can be sent, and alarms
/// mailed, while the disk is full. Once stored they are gone from here and come again under the durable epoch.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The throw-away epoch of this run.
    pub epoch: Epoch,
    blocks: Arc<[(Seq, Arc<NewBlock>)]>,
}

impl Ring {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many blocks of a stream wait.
    #[must_use]
    pub fn len(&self, stream: Stream) -> usize {
        self.blocks.iter().filter(|(_, block)| block.stream == stream).count()
    }

    /// Blocks after `after`, ascending, at most `most` of them.
    #[must_use]
    pub fn blocks(&self, stream: Stream, after: Seq, most: usize) -> Vec<Block> {
        let wanted = self.blocks.iter().filter(|(seq, block)| block.stream == stream && *seq > after);
        wanted.take(most).map(|(seq, block)| numbered(*seq, block)).collect()
    }
}

fn numbered(seq: Seq, block: &NewBlock) -> Block {
    let NewBlock { nonce, records, ref body, .. } = *block;
    Block { seq, nonce, records, stored: None, body: body.clone() }
}

impl Entry {
    pub(super) fn blocks(&self) -> impl Iterator<Item = &NewBlock> + Clone {
        self.blocks.iter().map(|(_, block)| block.as_ref())
    }

    fn is_empty(&self) -> bool {
        let Commit { blocks: _, at: _, parts, acknowledged, anchor, unplaced, placed, sealed, opened } =
            &self.rest;
        self.blocks.is_empty()
            && parts.is_empty()
            && acknowledged.is_empty()
            && anchor.is_none()
            && unplaced.is_empty()
            && placed.is_empty()
            && sealed.is_empty()
            && opened.is_empty()
    }

    /// Without the parts: each replaces the one before, so they cannot pile up.
    fn size(&self) -> usize {
        let blocks = self.blocks().map(size_of_block).sum::<usize>();
        blocks + size_of_others(&self.rest) + OVERHEAD
    }
}

fn size_of_block(block: &NewBlock) -> usize {
    block.body.bytes.len().saturating_add(OVERHEAD)
}

fn size_of_others(rest: &Commit) -> usize {
    let sealed = rest.sealed.iter().map(|sealed| sealed.frame.len() + OVERHEAD);
    let unplaced = rest.unplaced.iter().map(|unplaced| unplaced.body.len() + OVERHEAD);
    sealed.chain(unplaced).sum()
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            epoch: Epoch::throw_away(u128::from_be_bytes(random::<16>())),
            numbered: BTreeMap::new(),
            size: 0,
            dropped: Dropped::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The first has been stored.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front();
        self.count();
        entry
    }

    pub(super) fn push(&mut self, mut commit: Commit) {
        let blocks =
            std::mem::take(&mut commit.blocks).into_iter().map(|block| (self.number(&block), block.into()));
        let blocks = blocks.collect();
        for older in &mut self.entries {
            supersede(&mut older.rest, &mut commit);
        }
        self.entries.push_back(Entry { blocks, rest: commit });
        self.entries.retain(|entry| !entry.is_empty());
        self.count();
        self.make_room();
    }

    /// Erases what waits, too.
    pub(super) fn erase(&mut self, span: &Span) -> Result<(), StoreError> {
        for entry in &mut self.entries {
            for (_, block) in &mut entry.blocks {
                if let Some(rewritten) = span.rewrite_new(block)? {
                    *block = Arc::new(rewritten);
                }
            }
            span.leave_out_others(&mut entry.rest);
        }
        self.count();
        Ok(())
    }

    pub(super) fn ring(&self) -> Ring {
        let blocks = self.entries.iter().flat_map(|entry| entry.blocks.iter().cloned());
        Ring { epoch: self.epoch, blocks: blocks.collect() }
    }

    pub(super) const fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn number(&mut self, block: &NewBlock) -> Seq {
        let newest = self.numbered.entry(block.stream).or_default();
        *newest = newest.next();
        *newest
    }

    fn count(&mut self) {
        self.size = self.entries.iter().map(Entry::size).sum();
    }

    /// The oldest readings go first; then frames and readings that are not sent yet anyway; events only when nothing
    /// else is left.
    fn make_room(&mut self) {
        if self.size <= ROOM {
            return;
        }
        for stream in [Some(Stream::Readings), None, Some(Stream::Events), Some(Stream::Mails)] {
            for entry in &mut self.entries {
                if self.size <= ROOM {
                    break;
                }
                let before = entry.size();
                match stream {
                    Some(stream) => drop_blocks(entry, stream, &mut self.dropped),
                    None => drop_others(entry, &mut self.dropped),
                }
                self.size = self.size.saturating_sub(before.saturating_sub(entry.size()));
            }
        }
        self.entries.retain(|entry| !entry.is_empty());
        self.count();
    }
}

/// What a newer commit says again is not written twice.
fn supersede(older: &mut Commit, newer: &mut Commit) {
    older.parts.retain(|(part, _)| newer.parts.iter().all(|(other, _)| part != other));
    if !newer.acknowledged.is_empty() {
        for (stream, seq) in older.acknowledged.drain(..) {
            match newer.acknowledged.iter_mut().find(|(other, _)| *other == stream) {
                Some((_, newest)) => *newest = seq.max(*newest),
                None => newer.acknowledged.push((stream, seq)),
            }
        }
    }
    let boot = |commit: &Commit| commit.anchor.as_ref().map(|anchor| anchor.boot.clone());
    if boot(older) == boot(newer) {
        older.anchor = None;
    }
}

fn drop_blocks(entry: &mut Entry, stream: Stream, dropped: &mut Dropped) {
    entry.blocks.retain(|(_, block)| {
        let goes = block.stream == stream;
        if goes {
            let count = if stream == Stream::Readings { &mut dropped.readings } else { &mut dropped.events };
            *count = count.saturating_add(u64::from(block.records));
        }
        !goes
    });
}

fn drop_others(entry: &mut Entry, dropped: &mut Dropped) {
    let count = entry.rest.sealed.len().saturating_add(entry.rest.unplaced.len());
    dropped.others = dropped.others.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    entry.rest.sealed.clear();
    entry.rest.unplaced.clear();
}
