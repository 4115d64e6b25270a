//! Over the receiving half's real store.

use messages::batch::Stream;
use messages::reading::{Checked, Extremes, HourRow};
use messages::{Hour, Quantity};

use super::*;
use crate::store::{CollectStore, Commit, NewBlock, nonce};

const LONG: i64 = 3 * 3600;

struct Collect {
    directory: tempfile::TempDir,
    store: CollectStore,
    reader: CollectReader,
}

impl Collect {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = CollectStore::open(directory.path()).unwrap();
        let reader = CollectReader::open(directory.path()).unwrap();
        Self { directory, store, reader }
    }

    fn write(&mut self, stream: Stream, record: Record) {
        let block = NewBlock { stream, nonce: nonce(), records: 1, body: Body::encode(&[record]).unwrap() };
        self.store.commit(&Commit { blocks: vec![block], ..Commit::default() }).unwrap();
    }
}

impl Half {
    fn read(&mut self, collect: &Collect, now: Time) -> bool {
        self.alarms.read(&mut self.store, &collect.reader, Some(now)).unwrap()
    }
}

fn row(boundary: i64, low: &str, codes: &[Code]) -> Record {
    let boundary = Hour::at_or_before(at(boundary));
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    let flow = Extremes::of(quantity(low)).widened(Extremes::of(quantity("900 l/h")));
    let codes = codes.iter().cloned().collect();
    Record::Hour(Box::new(HourRow {
        flow: Some(flow),
        codes,
        ..HourRow::new(meter(), boundary, Checked::Checksum)
    }))
}

#[test]
fn each_block_is_read_once_across_restarts_and_another_store_from_its_start() {
    let (mut half, mut collect) = (Half::new(ruled()), Collect::new());
    assert!(!half.read(&collect, at(LONG)));
    for seen in [60, 120, LONG] {
        collect.write(Stream::Events, Record::Episode(leak(seen, Standing::Active)));
    }
    assert!(half.read(&collect, at(LONG)) && !half.read(&collect, at(LONG)));
    assert_eq!(half.send_all(at(LONG)).len(), 1);
    half.restart();
    assert!(!half.read(&collect, at(LONG)), "the cursor was stored");
    let mut other = Collect::new();
    other.write(Stream::Events, Record::Episode(leak(LONG, Standing::Active)));
    other.write(Stream::Events, Record::Episode(episode(2, Code::Burst, LONG, LONG, Standing::Active)));
    assert!(half.read(&other, at(LONG)));
    assert_eq!(half.send_all(at(LONG)).len(), 1, "the burst is news, the leak is not");
    assert!(!half.read(&other, at(LONG)));
    drop(collect.directory);
}

#[test]
fn a_receiving_half_whose_store_is_damaged_is_not_taken_for_our_own() {
    let (mut half, mut collect) = (Half::new(ruled()), Collect::new());
    collect.write(Stream::Events, Record::Episode(leak(60, Standing::Active)));
    for entry in std::fs::read_dir(collect.directory.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::write(path, vec![0xA5; usize::try_from(length).unwrap()]).unwrap();
    }
    let reader = CollectReader::open(collect.directory.path());
    let reader = reader.as_ref().unwrap_or(&collect.reader);
    let read = half.alarms.read(&mut half.store, reader, Some(at(LONG)));
    assert!(matches!(read, Err(ReadError::Theirs(_))), "{read:?}");
}

#[test]
fn the_mail_says_how_much_runs_at_least_by_the_newest_hour_with_the_code() {
    let (mut half, mut collect) = (Half::new(ruled()), Collect::new());
    collect.write(Stream::Readings, row(LONG - 3600, "7.9 l/h", &[Code::Leak]));
    collect.write(Stream::Readings, row(LONG, "12.9 l/h", &[Code::Leak]));
    collect.write(Stream::Readings, row(LONG + 3600, "99 l/h", &[]));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG + 3600));
    let outgoing = half.alarms.next(&mut half.store, Some(&collect.reader), Some(at(LONG + 3600))).unwrap();
    let text = String::from_utf8(outgoing.unwrap().mail.bytes).unwrap();
    assert!(text.contains("at least 12 litres an hour"), "{text}");
    half.restart();
    half.tick(at(9 * 3600));
    let outgoing = half.alarms.next(&mut half.store, Some(&collect.reader), Some(at(9 * 3600))).unwrap();
    let text = String::from_utf8(outgoing.unwrap().mail.bytes).unwrap();
    assert!(!text.contains("litres"), "six hours ago says nothing about now");
}
