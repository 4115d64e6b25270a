use std::path::Path;
use std::time::Duration;

use messages::batch::{Seq, Stream};
use messages::status::DiskState;

use super::block;
use crate::config::Collect;
use crate::store::{CollectReader, CollectStore, Commit, Options, Part, Writer};
use crate::world::Clock;

fn start(directory: &Path, clock: &Clock) -> Writer {
    Writer::start(Options::new(directory.to_owned(), &Collect::default(), clock.clone())).unwrap()
}

fn readings(bytes: &[u8]) -> Commit {
    Commit { blocks: vec![block(Stream::Readings, bytes)], ..Commit::default() }
}

#[tokio::test]
async fn what_was_submitted_is_stored_in_its_order_and_read_by_the_other_half() {
    let directory = tempfile::tempdir().unwrap();
    let writer = start(directory.path(), &Clock::manual(0));
    for number in 0..20_u8 {
        let mut commit = readings(&[number]);
        commit.parts.push((Part::Meters, vec![number]));
        writer.submit(commit).await.unwrap();
    }
    assert_eq!(writer.flush().await, Ok(true));
    let reader = CollectReader::open(directory.path()).unwrap();
    let blocks = reader.blocks(Stream::Readings, Seq::NONE, 100).unwrap();
    assert!(blocks.iter().map(|block| block.body.bytes[0]).eq(0..20));
    assert!(blocks.iter().map(|block| block.seq.number()).eq(1..=20));
    let part = writer.ask(|store| store.part(Part::Meters).unwrap()).await.unwrap();
    assert_eq!(part, Some(Some(vec![19])));
    let status = writer.status().borrow().clone();
    assert_eq!((status.commits, status.failures, status.epoch), (20, 0, Some(reader.epoch().unwrap())));
    assert_eq!(writer.close().await, Ok(true));
    assert!(writer.submit(Commit::default()).await.is_err(), "it is closed");
}

#[tokio::test]
async fn what_cannot_be_stored_waits_in_memory_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(0);
    let in_the_way = directory.path().join("store");
    std::fs::write(&in_the_way, "").unwrap();
    let writer = start(directory.path(), &clock);
    for number in 0..3_u8 {
        writer.submit(readings(&[number])).await.unwrap();
    }
    assert_eq!(writer.flush().await, Ok(false));
    let ring = writer.ring().borrow().clone();
    assert!(ring.epoch.is_throw_away());
    let waiting = ring.blocks(Stream::Readings, Seq::new(1), 1);
    assert_eq!((waiting[0].seq, waiting[0].body.bytes[0]), (Seq::new(2), 1));
    let mut status = writer.status();
    assert_eq!(status.borrow_and_update().state, DiskState::ReadOnly);
    std::fs::remove_file(&in_the_way).unwrap();
    clock.advance(Duration::from_secs(10));
    let now = status.wait_for(|status| status.state == DiskState::Writable).await.unwrap().clone();
    assert_eq!((now.commits, now.streams[&Stream::Readings].head), (3, Seq::new(3)));
    assert_eq!(writer.flush().await, Ok(true));
    assert!(writer.ring().borrow().is_empty());
}

#[tokio::test]
async fn of_what_waits_the_oldest_readings_go_first_and_events_stay() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("store"), "").unwrap();
    let writer = start(directory.path(), &Clock::manual(0));
    let event = Commit { blocks: vec![block(Stream::Events, b"leak")], ..Commit::default() };
    writer.submit(event).await.unwrap();
    for number in 0..30_u8 {
        writer.submit(readings(&[number; 100_000])).await.unwrap();
    }
    writer.flush().await.unwrap();
    let ring = writer.ring().borrow().clone();
    assert_eq!(ring.blocks(Stream::Events, Seq::NONE, 10).len(), 1);
    let left = ring.blocks(Stream::Readings, Seq::NONE, 100);
    assert_eq!(left.last().unwrap().body.bytes[0], 29);
    assert_eq!(u64::try_from(30 - left.len()).unwrap(), writer.status().borrow().dropped.readings);
    assert!((18..20).contains(&left.len()));
}

#[tokio::test]
async fn a_writer_that_is_dropped_stores_what_was_submitted() {
    let directory = tempfile::tempdir().unwrap();
    let writer = start(directory.path(), &Clock::manual(0));
    writer.submit(readings(b"last")).await.unwrap();
    let mut status = writer.status();
    drop(writer);
    while status.changed().await.is_ok() {}
    let store = CollectStore::open(directory.path()).unwrap();
    assert_eq!(store.head(Stream::Readings).unwrap(), Seq::FIRST);
}
