//! Two receivers of different kinds on one gateway: what both hear counts once, what one misses the other has.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use emulator::dongle::{Kind, Mode};
use emulator::plugged::Plugged;
use emulator::town::{Sent, Town};
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Gateway, Half, Site};
use serde_json::Value;
use tokio::time::timeout;

const WEAK: i16 = -95;
const STRONG: i16 = -58;

async fn listens(dongle: &Plugged) {
    let mut state = dongle.state();
    let listens = state.wait_for(|state| state.listening && state.modes.contains(&Mode::C1FormatA));
    timeout(hil_tests::SOON, listens).await.unwrap().unwrap();
}

fn accepted(status: &Value) -> u64 {
    status["telegrams"]["accepted"].as_u64().unwrap_or_default()
}

fn duplicates(status: &Value) -> u64 {
    status["telegrams"]["duplicates"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_receivers_hear_counts_once_with_the_better_signal_and_one_may_be_pulled_out() {
    let mut site = Site::fast(1);
    let second = site.plug_in("usb-second", Kind::Iu891a);
    let first = site.dongle.clone();
    let mut town = Town::new(3, 2, START * 1000);
    site.settle(&town, &[]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    listens(&first).await;
    listens(&second).await;

    // The town's next telegrams, as fast as they can be heard: the guard judges by the meters' own counters, which may not
    // run far ahead of the clock.
    let mut next = || -> Sent { town.next_telegram().unwrap().unwrap() };
    for count in 1..=9 {
        let sent = next();
        // Whichever of them is the first to hand it over.
        let (weak, strong) = if count % 2 == 0 { (&first, &second) } else { (&second, &first) };
        weak.hear(&sent.telegram, WEAK).await.unwrap();
        gateway.reports("collect", "the first", |status| accepted(status) >= count).await;
        strong.hear(&sent.telegram, STRONG).await.unwrap();
        gateway.reports("collect", "the second", |status| duplicates(status) >= count).await;
    }

    second.unplug().await;
    let status = gateway
        .reports("collect", "one receiver gone", |status| status["receivers"][1]["state"] == "gone")
        .await;
    assert_eq!(status["receivers"][0]["state"], "receiving");
    for count in 10..=12 {
        first.hear(&next().telegram, WEAK).await.unwrap();
        gateway.reports("collect", "those of the first", |status| accepted(status) >= count).await;
    }
    second.replug().await.unwrap();
    listens(&second).await;
    second.hear(&next().telegram, STRONG).await.unwrap();
    let status =
        gateway.reports("collect", "those of the second again", |status| accepted(status) >= 13).await;
    assert_eq!((duplicates(&status), status["telegrams"]["heard"].as_u64()), (9, Some(22)));
    let kinds: Vec<&Value> =
        status["receivers"].as_array().unwrap().iter().map(|receiver| &receiver["protocol"]).collect();
    assert_eq!(kinds, ["im871a", "iu891a"]);

    let ended = timeout(Duration::from_secs(30), gateway.stop()).await.unwrap();
    assert!(ended.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    let counted: u32 = rows.values().map(|row| row.telegrams).sum();
    assert_eq!(counted, 13, "{rows:#?}");
    for row in rows.values().filter(|row| row.telegrams > 0) {
        assert_eq!(row.rssi, Some(STRONG));
    }
}
