//! Any sequence of what a store is told to do.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::Time;
use messages::batch::{Epoch, Seq, Stream};
use proptest::prelude::*;

use super::{all, block, fast_directory, text};
use crate::store::collect::STREAMS;
use crate::store::{CollectStore, Commit, freeing, sqlite};

#[derive(Clone, Debug)]
enum Step {
    Commit(u8, u8),
    Acknowledge(bool, u8),
    Free(u16, bool),
    Age(u8),
    Lose(bool, u8),
    Fold,
    Reopen,
    Renew,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 0..3_u8).prop_map(|(readings, events)| Step::Commit(readings, events)),
        3 => (any::<bool>(), any::<u8>()).prop_map(|(events, share)| Step::Acknowledge(events, share)),
        1 => (0..20_000_u16, any::<bool>()).prop_map(|(bytes, all)| Step::Free(bytes, all)),
        1 => (0..120_u8).prop_map(Step::Age),
        1 => (any::<bool>(), any::<u8>()).prop_map(|(events, share)| Step::Lose(events, share)),
        1 => Just(Step::Fold),
        2 => Just(Step::Reopen),
        1 => Just(Step::Renew),
    ]
}

fn part_of(head: u64, share: u8) -> u64 {
    head * u64::from(share) / 255
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24 * u32::try_from(super::long()).unwrap(), ..ProptestConfig::default() })]

    #[test]
    fn numbers_are_never_reused_and_no_gap_is_unknown(steps in prop::collection::vec(step(), 1..25)) {
        let directory = fast_directory();
        let mut store = CollectStore::open(directory.path()).unwrap();
        let mut given: BTreeMap<(Stream, u64), Vec<u8>> = BTreeMap::new();
        let mut epochs: Vec<Epoch> = vec![store.epoch()];
        let mut day = 0_i64;
        for step in steps {
            let stream = |events| if events { Stream::Events } else { Stream::Readings };
            match step {
                Step::Commit(readings, events) => {
                    day += 1;
                    let mut commit = Commit { at: Time::from_unix(day * 86_400), ..Commit::default() };
                    for (stream, count) in [(Stream::Readings, readings), (Stream::Events, events)] {
                        for _ in 0..count {
                            let number = u64::try_from(given.len()).unwrap();
                            commit.blocks.push(block(stream, &text(stream, number)));
                            let head = given.keys().filter(|key| key.0 == stream).count();
                            given.insert((stream, u64::try_from(head).unwrap() + 1), text(stream, number));
                        }
                    }
                    let expected: Vec<Seq> = {
                        let mut heads = BTreeMap::new();
                        commit.blocks.iter().map(|block| {
                            let head = heads.entry(block.stream).or_insert_with(|| store.head(block.stream).unwrap());
                            *head = head.next();
                            *head
                        }).collect()
                    };
                    prop_assert_eq!(store.commit(&commit).unwrap(), expected);
                }
                Step::Acknowledge(events, share) => {
                    let head = store.head(stream(events)).unwrap().number();
                    let seq = Seq::new(part_of(head, share) + u64::from(share == 255));
                    let before = store.acknowledged(stream(events)).unwrap();
                    store.commit(&Commit { acknowledged: vec![(stream(events), seq)], ..Commit::default() }).unwrap();
                    let after = store.acknowledged(stream(events)).unwrap();
                    prop_assert_eq!(after, seq.max(before).min(Seq::new(head)));
                }
                Step::Free(bytes, unacknowledged) => {
                    let lost = store.free_bytes(u64::from(bytes), unacknowledged).unwrap();
                    prop_assert!(unacknowledged || lost.is_empty());
                }
                Step::Age(days) => {
                    let now = Time::from_unix((day + i64::from(days)) * 86_400).unwrap();
                    let keep = |days: u64| Duration::from_secs(days * 86_400);
                    store.free_old(now, keep(3), keep(60)).unwrap();
                }
                Step::Lose(events, share) => {
                    let seq = Seq::new(part_of(store.head(stream(events)).unwrap().number(), share));
                    if seq > freeing::freed(&store.connection, stream(events)).unwrap() {
                        let transaction = sqlite::begin(&mut store.connection).unwrap();
                        freeing::lose(&transaction, stream(events), seq).unwrap();
                        transaction.commit().unwrap();
                    }
                }
                Step::Fold => drop(store.fold_all().unwrap()),
                Step::Reopen => {
                    let epoch = store.epoch();
                    drop(store);
                    store = CollectStore::open(directory.path()).unwrap();
                    prop_assert_eq!(store.epoch(), epoch);
                }
                Step::Renew => {
                    let epoch = store.renew_epoch().unwrap();
                    prop_assert!(!epochs.contains(&epoch));
                    epochs.push(epoch);
                    for stream in STREAMS {
                        let freed = freeing::freed(&store.connection, stream).unwrap();
                        prop_assert_eq!(store.acknowledged(stream).unwrap(), freed);
                    }
                }
            }
            for stream in STREAMS {
                let kept = all(directory.path(), stream);
                let head = store.head(stream).unwrap().number();
                prop_assert_eq!(head, u64::try_from(given.keys().filter(|key| key.0 == stream).count()).unwrap());
                for (seq, block) in &kept {
                    prop_assert_eq!(&block.body.bytes, &given[&(stream, *seq)]);
                }
                let freed = freeing::freed(&store.connection, stream).unwrap().number();
                let gone = freeing::gone(&store.connection, stream).unwrap();
                prop_assert_eq!(u64::try_from(kept.len()).unwrap(), head - freed - gone);
            }
        }
    }
}
