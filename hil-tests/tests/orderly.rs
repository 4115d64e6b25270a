//! An orderly stop loses nothing that was heard; a reload changes what is asked for, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::fs;

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Portal, SOON, Site, SmtpServer};
use messages::Presence;
use messages::batch::Stream;

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_writes_and_sends_what_was_heard() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(60);
    let town = Town::new(6, 4, START * 1000);
    site.settle(&town, &[&broker.uplink("")]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    let mut air = site.play(town);
    air.hear(60).await;
    air.stop().await;
    assert!(collect.stop().await.success());
    let store = Store::open(&site.collect_db()).unwrap();
    let rows = store.rows();
    // Ten to eleven, and the hour to come, for each of the six.
    assert_eq!(rows.len(), 12, "{rows:#?}");
    let telegrams: u32 = rows.values().map(|row| row.telegrams).sum();
    assert!((59..=60).contains(&telegrams), "{telegrams} of 60 telegrams are in rows");
    portal.has("all rows", |records| (*records.rows() == rows).then_some(())).await;
    let head = store.head(Stream::Readings);
    portal
        .has("the cursor", |records| {
            (records.cursor(Stream::Readings, store.epoch().unwrap()) == head).then_some(())
        })
        .await;
    assert!(deliver.stop().await.success());
    portal.has("its goodbye", |records| (records.state?.presence == Presence::Stopped).then_some(())).await;

    // The next run goes on in the same numbering.
    let collect = Gateway::start(&site, Half::Collect).await;
    let status = collect.status().await.unwrap();
    assert_eq!(status["streams"]["readings"]["epoch"], store.epoch().unwrap().to_string());
    assert!(collect.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_good_configuration_and_leaves_a_bad_one() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(60);
    let town = Town::new(2, 4, START * 1000);
    site.settle(&town, &[]).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    assert!(gateway.status_of("deliver").await.unwrap()["uplink"].is_null());

    fs::write(site.config(), "[gateway]\nname = \"a/b\"\n").unwrap();
    gateway.reload();
    gateway.logs("stays in force").await;

    site.configure(&[&broker.uplink("")]);
    gateway.reload();
    gateway.reports("deliver", "a connected uplink", |status| status["uplink"]["connected"] == true).await;
    portal.has("its greeting", |records| (records.state?.presence == Presence::Online).then_some(())).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_bad_meter_list_leaves_its_contacts_in_force() {
    let post = SmtpServer::start();
    let site = Site::fast(100);
    let mut town = Town::new(2, 4, START * 1000);
    town.add(0, Event::new(Trouble::Leak, START + 15 * 60, i64::MAX).told_at_once());
    let contact = "[[contact]]\nname = \"on-call\"\nemail = \"aino@example.fi\"\nmeters = \"listed\"\n";
    let alarm = "[alarm]\nleak = { after = \"0 s\" }\n";
    site.settle(&town, &[&post.mail_section(""), alarm, contact]).await;
    let list = town.meters_csv().lines().fold(String::new(), |mut list, line| {
        let contacts = if list.is_empty() { "contacts" } else { "on-call" };
        let _ = writeln!(list, "{line},{contacts}");
        list
    });
    fs::write(site.path("meters.csv"), list).unwrap();
    let collect = Gateway::start(&site, Half::Collect).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;

    fs::write(site.path("meters.csv"), "id,contacts\nno meter,nobody\n").unwrap();
    deliver.reload();
    deliver.logs("stays in force").await;
    let air = site.play(town);
    let mails = post.receives(1, 4 * SOON).await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    air.stop().await;
    assert!(collect.stop().await.success());
    assert!(deliver.stop().await.success());
}
