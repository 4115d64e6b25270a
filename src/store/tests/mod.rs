//! Tests of the store as a whole. Those that draw at random take more samples when `VESIGATE_STORE_LONG` is set, to how
//! many times as many: 100 makes the 100 000 power cuts of the release check.

mod child;
mod damage;
mod faults;
mod forget;
mod kill;
mod model;
mod power;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use messages::batch::{Body, ContentType, Record, Seq, Stream};
use messages::reading::{Checked, HourRow};
use messages::{Hour, Time};

use super::{Block, CollectReader, NewBlock, Options, nonce};
use crate::world::Clock;

const START: i64 = 1_795_478_400;

/// A block of a stream with these bytes.
pub(super) fn block(stream: Stream, bytes: &[u8]) -> NewBlock {
    let body = Body { content_type: ContentType::Json, bytes: bytes.to_vec() };
    NewBlock { stream, nonce: nonce(), records: 1, body }
}

/// What the `number`th block of a stream says in these tests: its number, and bytes that follow from it.
pub(super) fn text(stream: Stream, number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = if next().is_multiple_of(3) { next() % 14_000 } else { next() % 600 };
    let mut bytes = format!("{stream} {number} ").into_bytes();
    bytes.extend((0..length).map(|_| next().to_le_bytes()[0]));
    bytes
}

/// Which number stands in a body of [`text`]; the rest must follow from it.
pub(super) fn number_in(stream: Stream, bytes: &[u8]) -> u64 {
    let words = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    let number = words.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(bytes == text(stream, number), "{stream} {number} was altered");
    number
}

/// How many times as many samples are wanted.
pub(super) fn long() -> usize {
    std::env::var("VESIGATE_STORE_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// All blocks of a stream; between them, no number may be absent without being known as missing.
pub(super) fn all(directory: &Path, stream: Stream) -> BTreeMap<u64, Block> {
    let reader = CollectReader::open(directory).unwrap();
    let blocks = reader.blocks(stream, Seq::NONE, usize::MAX).unwrap();
    let missing = reader.missing(stream, Seq::NONE).unwrap();
    let mut at = Seq::NONE;
    for block in &blocks {
        at = missing.pass(at).next();
        assert_eq!(at, block.seq, "a gap that is not known");
    }
    assert_eq!(missing.pass(at), reader.head(stream).unwrap());
    blocks.into_iter().map(|block| (block.seq.number(), block)).collect()
}

/// A directory for many small states: in memory where there is one.
pub(super) fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).unwrap();
        high % bound.max(1)
    }
}

/// A writer's options with the budget that these tests are made for.
pub(super) fn options(directory: &Path, clock: &Clock) -> Options {
    Options {
        directory: directory.to_owned(),
        budget: 20_000_000,
        keep_acknowledged: Duration::from_secs(35 * 86_400),
        keep_at_most: Duration::from_secs(100 * 86_400),
        clock: clock.clone(),
    }
}

/// Rows of these meters for an hour of the tests.
pub(super) fn hours(meters: &[&str], hour: i64) -> NewBlock {
    let boundary = Hour::exact(Time::from_unix(START + hour * 3600).unwrap()).unwrap();
    let row = |meter: &&str| {
        Record::Hour(Box::new(HourRow::new(meter.parse().unwrap(), boundary, Checked::Checksum)))
    };
    let body = Body::encode(&meters.iter().map(row).collect::<Vec<_>>()).unwrap();
    NewBlock { stream: Stream::Readings, nonce: nonce(), records: u32::try_from(meters.len()).unwrap(), body }
}
