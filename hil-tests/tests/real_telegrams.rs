//! Telegrams of real meters through the dongle into the daemon.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use hil_tests::recording::RealTelegram;
use hil_tests::{Gateway, Half, Site};

#[tokio::test(flavor = "multi_thread")]
async fn real_telegrams_become_exactly_their_rows_and_refused_ones_are_listed() {
    let Some(telegrams) = RealTelegram::sealed() else { return };
    let mut site = Site::new();
    site.clock = Some(hil_tests::FastClock::new(hil_tests::clock::START - 20 * 60, 600));
    site.configure(&[]);
    let rows: BTreeSet<String> = telegrams.iter().filter_map(RealTelegram::key_row).collect();
    let keys = rows.iter().fold("id,key\n".to_owned(), |table, row| table + row + "\n");
    site.add_keys(&keys).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let mut rounds: BTreeMap<usize, Vec<&RealTelegram>> = BTreeMap::new();
    let mut meters: BTreeMap<String, usize> = BTreeMap::new();
    for telegram in &telegrams {
        let n = meters.entry(telegram.meter()).or_default();
        rounds.entry(*n).or_default().push(telegram);
        *n += 1;
    }
    for (round, list) in rounds {
        site.clock().reach(hil_tests::clock::START - 10*60 + 3600 * i64::try_from(round).unwrap()).await;
        for t in list {
            site.dongle.hear(&t.bytes(), -70).await.unwrap();
        }
    }
    site.clock().pass(40*60).await;
    println!("{:#}", collect.status().await.unwrap());
    println!("{}", collect.log());
    let s = hil_tests::store::Store::open(&site.collect_db()).unwrap();
    for ((m, h), r) in s.rows() {
        println!("{m} {h:?} {:?} {:?} {} {:?}", r.registers, r.codes, r.telegrams, r.flow);
    }
    collect.stop().await;
}
