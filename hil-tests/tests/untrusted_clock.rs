//! A machine whose clock nobody has set: readings wait without a date.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use emulator::town::Town;
use hil_tests::store::Store;
use hil_tests::{Gateway, Half, Site};

/// The machine's own clock, since the made-up one is right by definition.
#[tokio::test(flavor = "multi_thread")]
async fn readings_heard_before_the_clock_is_trusted_wait_and_are_not_dated() {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return hil_tests::skip("this machine's clock is trusted");
    }
    let mut site = Site::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = i64::try_from(now.as_millis()).unwrap();
    let mut town = Town::new(3, 8, start);
    site.settle(&town, &[]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let status = collect.status().await.unwrap();
    if status["clock"]["trust"] != "untrusted" {
        return hil_tests::skip("this machine's clock is trusted");
    }
    collect.listens().await;
    for _ in 0..6 {
        let sent = town.next_telegram().unwrap().unwrap();
        site.dongle.hear(&sent.telegram, sent.rssi_dbm).await.unwrap();
    }
    collect.reports("collect", "the telegrams", |status| status["telegrams"]["heard"] == 6).await;
    assert!(collect.stop().await.success());
    assert!(Store::open(&site.collect_db()).unwrap().rows().is_empty());

    // Somebody vouches for the clock: they get their place.
    site.gateway_lines = "clock = \"rtc\"".to_owned();
    site.configure(&[]);
    let collect = Gateway::start(&site, Half::Collect).await;
    collect
        .reports("collect", "nothing that waits", |status| {
            status["clock"]["trust"] == "rtc" && status["clock"]["unplaced"] == 0
        })
        .await;
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    assert_eq!(
        rows.keys().map(|(meter, _)| meter).collect::<std::collections::BTreeSet<_>>().len(),
        3,
        "{rows:?}"
    );
}
