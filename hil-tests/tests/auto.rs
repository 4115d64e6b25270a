//! `kind = "auto"`: the daemon finds out who is at a port, also when it is another one tomorrow.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::sync::Arc;

use emulator::dongle::Kind;
use emulator::plugged::Plugged;
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::{Gateway, Half, Site};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_plugged_in_is_driven() {
    let mut site = Site::fast(1);
    let mut town = Town::new(2, 2, START * 1000);
    site.settle(&town, &[]).await;
    let text = fs::read_to_string(site.config()).unwrap().replace("kind = \"im871a\"", "kind = \"auto\"");
    fs::write(site.config(), text).unwrap();
    let gateway = Gateway::start(&site, Half::Collect).await;
    for (kind, heard) in [(Kind::Im871a, 1), (Kind::Amb8465, 2), (Kind::Iu891a, 3)] {
        if kind != Kind::Im871a {
            let link = site.dongle.link().to_owned();
            site.dongle.unplug().await;
            site.dongle = Arc::new(Plugged::plug_in(&link, kind.dongle()).unwrap());
        }
        let known = |status: &serde_json::Value| {
            status["receivers"][0]["state"] == "receiving"
                && status["receivers"][0]["protocol"] == kind.name()
        };
        gateway.reports("collect", &kind.name(), known).await;
        let mut state = site.dongle.state();
        state.wait_for(|state| state.listening && state.modes.len() > 1).await.unwrap();
        site.dongle.hear(&town.next_telegram().unwrap().unwrap().telegram, -70).await.unwrap();
        let all = |status: &serde_json::Value| status["receivers"][0]["frames"] == heard;
        gateway.reports("collect", "a telegram more", all).await;
    }
    assert!(gateway.stop().await.success());
}
