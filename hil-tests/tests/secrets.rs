//! After all of it no meter key is found anywhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Portal, Site, SmtpServer};

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_address_lies_where_it_must_not() {
    let (broker, post) = (Broker::start().await, SmtpServer::start());
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mut site = Site::fast(100);
    site.log_level = "trace".to_owned();
    let mut town = Town::new(6, 9, START * 1000);
    let contact = "[[contact]]\nname = \"on-call\"\nemail = \"aino.salainen@example.fi\"\n";
    let sections =
        [&broker.uplink(""), &post.mail_section(""), "[alarm]\nleak = { after = \"1 min\" }\n", contact];
    site.settle(&town, &sections).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    let keys: Vec<[u8; 16]> = town.residents().iter().map(|one| *one.meter.cipher().key().bytes()).collect();
    town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
    let air = site.play(town);
    post.receives(1, 2 * hil_tests::SOON).await;
    site.clock().reach(START + 15 * 60).await;
    // Asked in every way, and with a key that is refused.
    site.status().await;
    site.vesigate(&["keys", "list"]).await;
    gateway
        .ask("collect", &serde_json::json!({"do": "keys_add", "keys": [{"meter": "x", "key": "zz"}]}))
        .await;
    air.stop().await;
    assert!(gateway.stop().await.success());

    let mut places = Vec::new();
    files(&site.path(""), &mut places);
    let metadata = places.len();
    for (name, db) in [("collect.db", site.collect_db()), ("deliver.db", site.deliver_db())] {
        let contents = Store::open(&db).unwrap().everything();
        places.extend(contents.into_iter().map(|content| (name.to_owned(), content)));
    }
    places.push(("the broker's log".to_owned(), broker.log().into_bytes()));
    assert!(metadata > 5 && places.len() > metadata + 5);
    assert!(places.iter().any(|(name, content)| name.ends_with(".log") && content.len() > 100));
    for key in keys {
        let lower: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(key);
        for needle in
            [key.to_vec(), lower.clone().into_bytes(), lower.to_uppercase().into_bytes(), base64.into_bytes()]
        {
            for (name, content) in &places {
                assert!(!contains(content, &needle), "a key in {name}");
            }
        }
    }
    for (name, content) in places.iter().filter(|(name, _)| name.ends_with(".log") || name == "collect.db") {
        assert!(!contains(content, b"salainen"), "an address in {name}");
    }
}

fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), into);
        } else if kind.is_file() {
            into.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|window| window == needle)
}
