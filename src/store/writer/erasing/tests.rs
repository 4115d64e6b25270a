use messages::batch::{Record, Seq, Stream};
use tokio::sync::watch;

use super::super::super::tests::{all, hours, options};
use super::super::super::trouble::Troubles;
use super::super::status::WriterStatus;
use super::*;
use crate::world::Clock;

const START: i64 = 1_795_478_400;
const GONE: &str = "KAM.11111111.1B.16";
const STAYS: &str = "KAM.22222222.1B.16";

fn keeper(directory: &std::path::Path) -> Keeper {
    let options = options(directory, &Clock::manual(START));
    let (status, _) = watch::channel(WriterStatus::new(options.budget));
    Keeper::open(options, status, Troubles::default()).unwrap().0
}

fn span(first: i64, end: i64) -> Span {
    let time = |hour: i64| Time::from_unix(START + hour * 3600).unwrap();
    Span { meter: GONE.parse().unwrap(), from: time(first), to: time(end) }
}

fn commit(hour: i64) -> Commit {
    Commit { blocks: vec![hours(&[GONE, STAYS], hour)], ..Commit::default() }
}

fn records(directory: &std::path::Path) -> Vec<usize> {
    let blocks = all(directory, Stream::Readings);
    blocks.values().map(|block| block.body.decode().unwrap().len()).collect()
}

#[test]
fn commits_are_stored_between_the_bites_and_without_what_is_erased_until_it_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    for hour in 0..100 {
        keeper.commit(commit(hour));
    }
    let (answer, mut done) = oneshot::channel();
    keeper.begin_erasing(span(0, 1000), answer);
    let mut bites = 0;
    while keeper.is_erasing() {
        keeper.erase_some();
        bites += 1;
        keeper.commit(commit(100 + bites));
        assert!(keeper.waiting.is_empty(), "stored at once");
    }
    assert!(bites > 5, "{bites}");
    assert_eq!(done.try_recv().unwrap().unwrap(), 0);
    // Nobody has seen yet that it is done.
    keeper.commit(commit(500));
    assert_eq!(
        records(directory.path()).iter().filter(|count| **count == 1).count(),
        101 + usize::try_from(bites).unwrap()
    );
    assert!(records(directory.path()).iter().all(|count| *count == 1));
    keeper.end_erasing(&span(0, 1000));
    keeper.commit(commit(501));
    assert_eq!(records(directory.path()).last(), Some(&2));
    let rows = all(directory.path(), Stream::Readings);
    let row = rows.values().next().unwrap().body.decode().unwrap().remove(0).unwrap();
    assert!(matches!(row, Record::Hour(row) if row.meter.as_str() == STAYS));
}

#[test]
fn another_store_in_the_midst_of_it_is_told_as_not_erased() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    for hour in 0..100 {
        keeper.commit(commit(hour));
    }
    let (answer, mut done) = oneshot::channel();
    keeper.begin_erasing(span(0, 1000), answer);
    keeper.erase_some();
    assert!(keeper.replace("as a test".to_owned(), None));
    assert!(done.try_recv().unwrap().is_err());
    keeper.end_erasing(&span(0, 1000));
    // Begun again, it waits until the damaged one is saved.
    let (answer, mut done) = oneshot::channel();
    keeper.begin_erasing(span(0, 1000), answer);
    while !keeper.salvages.is_empty() {
        keeper.salvage_some();
    }
    while keeper.is_erasing() {
        keeper.erase_some();
    }
    done.try_recv().unwrap().unwrap();
    assert!(records(directory.path()).iter().all(|count| *count == 1));
    assert_eq!(keeper.store.as_ref().unwrap().head(Stream::Readings).unwrap(), Seq::new(100));
}

#[test]
fn so_many_at_a_time_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    let mut begun = Vec::new();
    for hour in 0..=i64::try_from(MOST).unwrap() {
        let (answer, done) = oneshot::channel();
        keeper.begin_erasing(span(hour, hour + 1), answer);
        begun.push(done);
    }
    assert!(matches!(begun.pop().unwrap().try_recv(), Ok(Err(StoreError::Busy))));
    while keeper.is_erasing() {
        keeper.erase_some();
    }
    for mut done in begun {
        done.try_recv().unwrap().unwrap();
    }
}
