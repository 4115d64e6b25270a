//! Freeing, erasing, beginning anew.

use std::fs;
use std::time::Duration;

use messages::batch::{Seq, Stream};
use messages::status::DiskState;
use messages::{MeterId, Time};

use super::{all, block, hours, options};
use crate::store::{Because, Block, CollectReader, CollectStore, Commit, StoreError, Trouble, Writer};
use crate::world::Clock;

const START: i64 = 1_795_478_400;

/// From the beginning to the end.
async fn erase(writer: &Writer, meter: MeterId, from: Time, to: Time) -> Result<u64, StoreError> {
    let mut erasing = writer.begin_erasing(meter, from, to).await.unwrap();
    let erased = erasing.done().await;
    writer.end_erasing(erasing).await.unwrap();
    erased
}

#[tokio::test]
async fn at_the_budget_the_oldest_go_and_what_was_not_acknowledged_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let writer = Writer::start(options(directory.path(), &clock)).unwrap();
    for number in 1..=30_u8 {
        let mut commit =
            Commit { blocks: vec![block(Stream::Readings, &vec![number; 500_000])], ..Commit::default() };
        if number == 1 {
            commit.blocks.push(block(Stream::Events, b"leak"));
        }
        commit.acknowledged.push((Stream::Readings, Seq::new(3)));
        writer.submit(commit).await.unwrap();
        writer.flush().await.unwrap();
    }
    let mut status = writer.status();
    clock.advance(Duration::from_secs(60));
    let kept = status.wait_for(|status| status.streams[&Stream::Readings].lost > 0).await.unwrap().clone();
    let readings = kept.streams[&Stream::Readings];
    assert_eq!(kept.streams[&Stream::Events].blocks, 1, "events stay");
    assert!((18..26).contains(&readings.blocks), "{readings:?}");
    assert_eq!(readings.lost + 3 + readings.blocks, 30);
    let first = 30 - readings.blocks + 1;
    let reader = CollectReader::open(directory.path()).unwrap();
    assert_eq!(reader.missing(Stream::Readings, Seq::NONE).unwrap().to_string(), format!("1-{}", first - 1));
    let numbers = 4..=first - 1;
    assert_eq!(
        writer.troubles(),
        [Trouble::Lost { stream: Stream::Readings, numbers, because: Because::Budget }]
    );
    assert!(kept.used < 20_000_000, "{}", kept.used);
}

#[tokio::test]
async fn a_renewed_epoch_sends_everything_kept_again() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::start(options(directory.path(), &Clock::manual(START))).unwrap();
    for number in 0..6_u8 {
        let mut commit = Commit { blocks: vec![block(Stream::Readings, &[number])], ..Commit::default() };
        commit.acknowledged.push((Stream::Readings, Seq::new(4)));
        writer.submit(commit).await.unwrap();
    }
    writer.flush().await.unwrap();
    let before = writer.status().borrow().epoch;
    let epoch = writer.renew_epoch().await.unwrap();
    assert_ne!(before, Some(epoch));
    let reader = CollectReader::open(directory.path()).unwrap();
    assert_eq!(reader.epoch().unwrap(), epoch);
    assert_eq!(reader.acknowledged(Stream::Readings).unwrap(), Seq::NONE);
    assert_eq!(reader.blocks(Stream::Readings, Seq::NONE, 10).unwrap().len(), 6);
}

#[tokio::test]
async fn what_is_erased_stands_in_no_file_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::start(options(directory.path(), &Clock::manual(START))).unwrap();
    let (gone, stays) = ("KAM.11111111.1B.16", "KAM.22222222.1B.16");
    for hour in 0..10 {
        let blocks = vec![hours(&[gone, stays], hour)];
        writer.submit(Commit { blocks, ..Commit::default() }).await.unwrap();
    }
    // A block of its own, to be freed: its bytes stay in a free page until erasing overwrites them.
    let mut alone = block(Stream::Events, format!("{gone} alone").as_bytes());
    alone.body.bytes.resize(9000, b' ');
    alone.body.bytes.extend(format!("{gone} at the end").bytes());
    writer.submit(Commit { blocks: vec![alone], ..Commit::default() }).await.unwrap();
    let acknowledged = vec![(Stream::Events, Seq::FIRST)];
    writer.submit(Commit { acknowledged, ..Commit::default() }).await.unwrap();
    assert!(writer.flush().await.unwrap());
    let before = all(directory.path(), Stream::Readings);
    writer.close().await.unwrap();
    let mut store = CollectStore::open(directory.path()).unwrap();
    store.free_bytes(1, false).unwrap();
    drop(store);
    let writer = Writer::start(options(directory.path(), &Clock::manual(START))).unwrap();
    let time = |hour: i64| Time::from_unix(START + hour * 3600).unwrap();
    let meter: MeterId = gone.parse().unwrap();
    erase(&writer, meter, time(2), time(8)).await.unwrap();
    let after = all(directory.path(), Stream::Readings);
    for (seq, block) in &after {
        let rows = block.body.decode().unwrap();
        let hour = i64::try_from(*seq).unwrap() - 1;
        assert_eq!(rows.len(), if (2..8).contains(&hour) { 1 } else { 2 }, "hour {hour}");
        assert_eq!((block.nonce, rows.len()), (before[seq].nonce, usize::try_from(block.records).unwrap()));
    }
    erase(&writer, meter, Time::MIN, Time::MAX).await.unwrap();
    for entry in fs::read_dir(directory.path().join("store")).unwrap().map(Result::unwrap) {
        let bytes = fs::read(entry.path()).unwrap();
        let found = bytes.windows(gone.len()).filter(|window| *window == gone.as_bytes()).count();
        assert_eq!(found, 0, "{:?}", entry.file_name());
    }
    assert_eq!(all(directory.path(), Stream::Readings).len(), 10);
}

#[tokio::test]
async fn what_waits_in_memory_is_erased_also_while_the_disk_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("store");
    fs::write(&in_the_way, "").unwrap();
    let clock = Clock::manual(START);
    let writer = Writer::start(options(directory.path(), &clock)).unwrap();
    let (gone, stays) = ("KAM.11111111.1B.16", "KAM.22222222.1B.16");
    let time = |hour: i64| Time::from_unix(START + hour * 3600).unwrap();
    let sealed = |hour| crate::store::SealedFrame {
        meter: gone.parse().unwrap(),
        boundary: Some(time(hour)),
        heard: time(hour),
        rssi: None,
        frame: vec![2; 50],
    };
    for hour in 0..4 {
        let blocks = vec![hours(&[gone, stays], hour)];
        let sealed = vec![sealed(hour)];
        writer.submit(Commit { blocks, sealed, ..Commit::default() }).await.unwrap();
    }
    assert!(erase(&writer, gone.parse().unwrap(), time(0), time(2)).await.is_err(), "to be asked again");
    let rows = |block: &Block| block.body.decode().unwrap().len();
    let ring = writer.ring().borrow().clone();
    let waiting = ring.blocks(Stream::Readings, Seq::NONE, 10);
    assert_eq!(waiting.iter().map(rows).collect::<Vec<_>>(), [1, 1, 2, 2]);
    fs::remove_file(&in_the_way).unwrap();
    clock.advance(Duration::from_secs(10));
    let mut status = writer.status();
    status.wait_for(|status| status.state == DiskState::Writable).await.unwrap();
    assert!(writer.flush().await.unwrap());
    let stored = all(directory.path(), Stream::Readings);
    assert_eq!(stored.values().map(rows).collect::<Vec<_>>(), [1, 1, 2, 2]);
    let frames =
        writer.ask(move |store| store.sealed(gone.parse().unwrap()).unwrap()).await.unwrap().unwrap();
    assert_eq!(frames, [sealed(2), sealed(3)]);
}

#[test]
fn blocks_go_by_age_once_acknowledged_and_at_last_in_any_case() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = CollectStore::open(directory.path()).unwrap();
    let day = |day: i64| Time::from_unix(START + day * 86_400);
    for number in 0..120 {
        let blocks = vec![block(Stream::Readings, &[0; 10])];
        store.commit(&Commit { blocks, at: day(number), ..Commit::default() }).unwrap();
    }
    store
        .commit(&Commit { acknowledged: vec![(Stream::Readings, Seq::new(50))], ..Commit::default() })
        .unwrap();
    let keep = |days: u64| Duration::from_secs(days * 86_400);
    let free = |store: &mut CollectStore, now, at_most| {
        store.free_old(day(now).unwrap(), keep(35), keep(at_most)).unwrap()
    };
    assert_eq!(free(&mut store, 35, 1000), [], "a day more, so that they go by the day");
    assert_eq!(free(&mut store, 40, 1000), []);
    assert_eq!(all(directory.path(), Stream::Readings).keys().next(), Some(&6));
    assert_eq!(free(&mut store, 119, 1000), []);
    assert_eq!(
        all(directory.path(), Stream::Readings).keys().next(),
        Some(&51),
        "none that is not acknowledged"
    );
    assert_eq!(free(&mut store, 155, 100), [(Stream::Readings, 51..=56)]);
}

#[test]
fn what_is_kept_apart_does_not_stay_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = CollectStore::open(directory.path()).unwrap();
    let meter = wmbus::Meter::from_link([0x2D, 0x2C, 0x78, 0x56, 0x34, 0x12, 0x1B, 0x16]);
    let time = |days: i64| Time::from_unix(START + days * 86_400).unwrap();
    let unplaced = |uptime| crate::store::Unplaced { boot: "b".to_owned(), uptime, meter, body: vec![1] };
    let sealed = |days| crate::store::SealedFrame {
        meter,
        boundary: Some(time(days)),
        heard: time(days),
        rssi: None,
        frame: vec![2; 50],
    };
    let commit = Commit {
        unplaced: vec![unplaced(1), unplaced(2)],
        sealed: vec![sealed(0), sealed(20)],
        ..Commit::default()
    };
    store.commit(&commit).unwrap();
    assert!(store.has_extras().unwrap());
    assert_eq!(store.tidy(Some(time(31))).unwrap(), 0);
    assert_eq!(store.sealed(meter).unwrap(), [sealed(20)]);
    assert_eq!(store.tidy(Some(time(130))).unwrap(), 0, "seen first on day 31");
    assert_eq!(store.tidy(Some(time(132))).unwrap(), 2);
    assert_eq!(store.unplaced().unwrap(), []);
    assert!(!store.has_extras().unwrap());
}
