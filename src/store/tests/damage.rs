//! Flipped bits, files cut short, files that are gone: a new store receives at once, and what is left is saved.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use messages::Time;
use messages::batch::{Seq, Stream};

use super::{Dice, all, block, fast_directory, long, number_in, text};
use crate::config::Collect;
use crate::store::{
    CollectReader, CollectStore, Commit, DeliverStore, Options, Part, SealedFrame, StoreError, Trouble,
    Writer,
};
use crate::world::Clock;

const BLOCKS: u64 = 30;
const ACKNOWLEDGED: u64 = 5;

fn start(directory: &Path, clock: &Clock) -> Writer {
    Writer::start(Options::new(directory.to_owned(), &Collect::default(), clock.clone())).unwrap()
}

fn sealed() -> SealedFrame {
    let meter = wmbus::Meter::from_link([0x2D, 0x2C, 0x78, 0x56, 0x34, 0x12, 0x1B, 0x16]);
    SealedFrame {
        meter,
        boundary: None,
        heard: Time::from_unix(1_795_482_000).unwrap(),
        rssi: Some(-70),
        frame: vec![1; 40],
    }
}

/// A store with blocks, some acknowledged, a checkpoint and a sealed frame; all of it in the file, or some in the log.
fn make(directory: &Path, folded: bool) {
    let mut store = CollectStore::open(directory).unwrap();
    for number in 1..=BLOCKS {
        let mut commit = Commit::default();
        commit.blocks.push(block(Stream::Readings, &text(Stream::Readings, number)));
        commit.blocks.push(block(Stream::Events, &text(Stream::Events, number)));
        commit.parts.push((Part::Meters, text(Stream::Readings, number)));
        commit.acknowledged.push((Stream::Readings, Seq::new(number.min(ACKNOWLEDGED))));
        commit.sealed.push(sealed());
        store.commit(&commit).unwrap();
    }
    if folded {
        store.fold_all().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("store")).unwrap();
    for entry in fs::read_dir(from.join("store")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join("store").join(entry.file_name())).unwrap();
    }
}

/// Starts on whatever is there, stores one more block, waits until all is saved; gives the numbers of the readings that
/// are there afterwards, and whether the store was set aside.
async fn recover(directory: &Path, what: &str) -> (BTreeSet<u64>, bool) {
    let clock = Clock::manual(0);
    let writer = start(directory, &clock);
    let new =
        Commit { blocks: vec![block(Stream::Readings, &text(Stream::Readings, 1000))], ..Commit::default() };
    writer.submit(new).await.unwrap();
    if !writer.flush().await.unwrap() {
        writer.submit(Commit::default()).await.unwrap();
    }
    assert_eq!(writer.flush().await, Ok(true), "{what}: {:?}", writer.status().borrow().error);
    writer.status().wait_for(|status| !status.salvaging).await.unwrap();
    // A damaged block in the midst is found by checking.
    for _ in 0..6 {
        clock.advance(Duration::from_secs(60));
        writer.submit(Commit::default()).await.unwrap();
        writer.flush().await.unwrap();
    }
    writer.status().wait_for(|status| !status.salvaging).await.unwrap();
    let aside = writer.troubles().iter().any(|trouble| matches!(trouble, Trouble::SetAside { .. }));
    writer.close().await.unwrap();
    for block in all(directory, Stream::Events).values() {
        number_in(Stream::Events, &block.body.bytes);
    }
    let blocks = all(directory, Stream::Readings);
    let numbers =
        blocks.values().map(|block| number_in(Stream::Readings, &block.body.bytes)).collect::<BTreeSet<_>>();
    assert!(numbers.contains(&1000), "{what}: what came afterwards is not there");
    assert!(aside == directory.join("store.damaged-1").exists(), "{what}");
    (numbers, aside)
}

#[tokio::test]
async fn a_flipped_bit_costs_one_block_and_nothing_is_invented() {
    let made = fast_directory();
    make(made.path(), true);
    let file = fs::read(made.path().join("store/collect.db")).unwrap();
    let mut dice = Dice(3);
    let (mut whole, mut poor) = (0, 0);
    let samples = 40 * long();
    for sample in 0..samples {
        let directory = fast_directory();
        copy(made.path(), directory.path());
        // The first ones hit the header and the schema, where nearly every bit counts.
        let bit = if sample % 4 == 0 { dice.below(8 * 4096) } else { dice.below(8 * file.len()) };
        let mut bytes = file.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(directory.path().join("store/collect.db"), &bytes).unwrap();
        let (numbers, _) = recover(directory.path(), &format!("bit {bit}")).await;
        let saved = (ACKNOWLEDGED + 1..=BLOCKS).filter(|number| numbers.contains(number)).count();
        whole += usize::from(saved >= 24);
        poor += usize::from(saved < 15);
    }
    println!("of {samples} flips {whole} cost at most one block, {poor} more than ten");
    assert!(whole * 10 >= samples * 9, "{whole} of {samples}");
}

#[tokio::test]
async fn a_file_cut_anywhere_or_gone_is_replaced_at_once() {
    let made = fast_directory();
    make(made.path(), true);
    let length = fs::metadata(made.path().join("store/collect.db")).unwrap().len();
    let mut dice = Dice(5);
    let some = (0..12 * long()).map(|_| u64::try_from(dice.below(usize::try_from(length).unwrap())).unwrap());
    for cut in [0, 1, 100, 4096, length - 4096, length - 1].into_iter().chain(some) {
        let directory = fast_directory();
        copy(made.path(), directory.path());
        let file =
            fs::OpenOptions::new().write(true).open(directory.path().join("store/collect.db")).unwrap();
        file.set_len(cut).unwrap();
        drop(file);
        recover(directory.path(), &format!("cut to {cut}")).await;
    }
    for gone in ["collect.db", "collect.db-wal", "collect.db-shm", ""] {
        let directory = fast_directory();
        make(directory.path(), false);
        let path = directory.path().join("store").join(gone);
        if gone.is_empty() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let (numbers, _) = recover(directory.path(), &format!("without {gone}")).await;
        if gone == "collect.db-shm" {
            assert!((1..=BLOCKS).all(|number| numbers.contains(&number)));
        }
    }
}

#[tokio::test]
async fn a_damaged_newest_block_sets_the_store_aside_and_all_else_is_saved() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), true);
    let store = CollectStore::open(directory.path()).unwrap();
    let epoch = store.epoch();
    store
        .connection
        .execute("UPDATE readings SET body = x'00' WHERE seq = ?1", [BLOCKS.cast_signed()])
        .unwrap();
    drop(store);
    assert!(matches!(CollectStore::open(directory.path()), Err(StoreError::Damaged(_))));
    let reader = CollectReader::open(directory.path()).unwrap();
    let writer = start(directory.path(), &Clock::manual(0));
    assert!(matches!(reader.version(), Err(StoreError::Replaced)), "the other half notices");
    assert_ne!(writer.status().borrow().epoch, Some(epoch));
    let part = writer.ask(|store| store.part(Part::Meters)).await.unwrap().unwrap().unwrap();
    assert_eq!(part, Some(text(Stream::Readings, BLOCKS)), "before anything is received");
    writer.status().wait_for(|status| !status.salvaging).await.unwrap();
    let frames = writer.ask(|store| store.sealed(sealed().meter)).await.unwrap().unwrap().unwrap();
    assert_eq!(frames, [sealed()]);
    let blocks = all(directory.path(), Stream::Readings);
    assert!(
        blocks
            .values()
            .map(|block| number_in(Stream::Readings, &block.body.bytes))
            .eq(ACKNOWLEDGED + 1..BLOCKS)
    );
    let troubles = writer.troubles();
    let [Trouble::SetAside { .. }, Trouble::Salvaged { blocks, unreadable: 1, .. }] = troubles.as_slice()
    else {
        panic!("{troubles:?}")
    };
    assert_eq!(*blocks, BLOCKS - ACKNOWLEDGED - 1 + BLOCKS);
    writer.close().await.unwrap();
    let again = start(directory.path(), &Clock::manual(0));
    assert!(!again.status().borrow().salvaging, "it is saved once");
}

#[tokio::test]
async fn a_file_deleted_under_us_is_noticed_and_read_from_its_open_connection() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), true);
    let clock = Clock::manual(0);
    let writer = start(directory.path(), &clock);
    writer.flush().await.unwrap();
    let mut status = writer.status();
    let epoch = status.borrow_and_update().epoch;
    fs::remove_file(directory.path().join("store/collect.db")).unwrap();
    clock.advance(Duration::from_secs(60));
    status.wait_for(|status| status.epoch != epoch && !status.salvaging).await.unwrap();
    let blocks = all(directory.path(), Stream::Readings);
    assert_eq!(u64::try_from(blocks.len()).unwrap(), BLOCKS - ACKNOWLEDGED);
}

#[tokio::test]
async fn a_damaged_block_in_the_midst_is_missing_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), true);
    let store = CollectStore::open(directory.path()).unwrap();
    store.connection.execute("UPDATE readings SET body = x'00' WHERE seq IN (3, 10, 11)", []).unwrap();
    drop(store);
    let blocks = all(directory.path(), Stream::Readings);
    assert_eq!(blocks.len(), 27, "the reader finds them by itself");
    let clock = Clock::manual(0);
    let writer = start(directory.path(), &clock);
    writer.flush().await.unwrap();
    let mut status = writer.status();
    clock.advance(Duration::from_secs(60));
    let lost = |status: &crate::store::WriterStatus| status.streams[&Stream::Readings].lost;
    // The third was acknowledged: nobody misses it.
    status.wait_for(|status| lost(status) == 2).await.unwrap();
    assert_eq!(status.borrow().streams[&Stream::Readings].blocks, 27);
    let reader = CollectReader::open(directory.path()).unwrap();
    assert_eq!(reader.missing(Stream::Readings, Seq::NONE).unwrap().to_string(), "3,10-11");
}

#[test]
fn only_the_newest_two_damaged_stores_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..4 {
        drop(DeliverStore::open(directory.path()).unwrap());
        let store = directory.path().join("store");
        fs::write(store.join("deliver.db"), [7; 8192]).unwrap();
        // In which everything still stood.
        fs::remove_file(store.join("deliver.db-wal")).unwrap();
    }
    let store = DeliverStore::open(directory.path()).unwrap();
    assert!(matches!(store.troubles()[0], Trouble::SetAside { .. }));
    let there = |number| directory.path().join(format!("store.damaged-{number}")).exists();
    assert_eq!([1, 2, 3, 4, 5].map(there), [false, false, true, true, false]);
}

#[test]
fn open_mails_and_documents_are_taken_over_from_a_damaged_deliver_db() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = DeliverStore::open(directory.path()).unwrap();
    for _ in 0..3 {
        store.append(&[], None).unwrap();
    }
    store.acknowledge(Seq::new(1)).unwrap();
    store
        .connection
        .execute_batch(
            "INSERT INTO document(meter, version, body) VALUES('KAM.76348799.1B.16', 4, '{}');
             INSERT INTO request(id, expires) VALUES('r', 9);
             UPDATE mails SET crc = 1 WHERE seq = 3",
        )
        .unwrap();
    drop(store);
    let store = DeliverStore::open(directory.path()).unwrap();
    assert_eq!(store.head().unwrap(), Seq::FIRST, "the one that is whole and was not acknowledged");
    assert_eq!(store.documents().unwrap(), [("KAM.76348799.1B.16".parse().unwrap(), 4)]);
    let requests: i64 =
        store.connection.query_row("SELECT count(*) FROM request", [], |row| row.get(0)).unwrap();
    assert_eq!(requests, 1);
}
