//! Everything committed arrives, whatever happens on the way.

use std::time::Duration;

use messages::batch::{Body, ContentType, Epoch, Seq, Stream};
use messages::topic::Leaf;
use vesigate::halves::nudge::{Ear, Told};
use vesigate::store::DeliverStore;

use crate::scene::{GATEWAY, Scene, topic};
use crate::with_mosquitto;

#[test]
fn what_is_stored_arrives_and_collect_is_told() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let ear = Ear::open(&site.between().join("nudge.sock")).unwrap();
        let epoch = site.collect.epoch();
        site.readings(40);
        site.event();
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(40)).await;
        running.arrives(Stream::Readings, 40).await;
        running.arrives(Stream::Events, 1).await;
        loop {
            let told: Told = ear.hear().await;
            assert_eq!((told.epoch, told.cloned), (epoch, false));
            if told.acknowledged.get(&Stream::Readings) == Some(&Seq::new(40)) {
                break;
            }
        }
        site.readings(1);
        running.arrives(Stream::Readings, 41).await;
        running.stop().await;
        let state = topic(Leaf::State);
        portal
            .until(|found| {
                found
                    .documents
                    .get(&state)
                    .is_some_and(|state| state.starts_with(br#"{"presence":"stopped""#))
            })
            .await;
    });
}

#[test]
fn nothing_is_freed_while_nobody_listens_and_all_of_it_arrives_when_the_portal_comes() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        site.readings(10);
        let running = site.start();
        // The broker answers each with "nobody subscribed".
        running.until(|status| status.streams.get(&Stream::Readings).is_some_and(|s| s.sent > 0)).await;
        let mut portal = scene.portal().await;
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(10)).await;
        running.arrives(Stream::Readings, 10).await;
        running.stop().await;
    });
}

#[test]
fn a_broker_that_is_killed_and_forgets_everything_loses_nothing() {
    with_mosquitto(async {
        let mut scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        let running = site.start();
        for round in 1..=3_u64 {
            site.readings(20);
            running
                .until(|status| {
                    status.streams.get(&Stream::Readings).is_some_and(|s| s.sent > (round - 1) * 20)
                })
                .await;
            scene.broker.kill();
            running.until(|status| !status.connected).await;
            site.readings(5);
            scene.broker.again();
        }
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(75)).await;
        running.arrives(Stream::Readings, 75).await;
        assert_eq!(scene.database.lock().unwrap().bodies(Stream::Readings).len(), 75);
        running.stop().await;
    });
}

#[test]
fn a_killed_half_goes_on_where_the_portal_is() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        site.readings(30);
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) >= Seq::new(5)).await;
        running.kill().await;
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(30)).await;
        running.arrives(Stream::Readings, 30).await;
        running.stop().await;
        let received = scene.received();
        let running = site.start();
        running.arrives(Stream::Readings, 30).await;
        site.readings(1);
        running.arrives(Stream::Readings, 31).await;
        assert_eq!(scene.received(), received + 1, "nothing was sent twice after an orderly stop");
        running.stop().await;
    });
}

#[test]
fn a_restored_portal_gets_the_gap_again_by_itself() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        site.readings(20);
        let running = site.start();
        running.arrives(Stream::Readings, 20).await;
        scene.database.lock().unwrap().restore(Stream::Readings, epoch, Seq::new(12));
        portal.acknowledge(GATEWAY, Stream::Readings, epoch).await;
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(20)).await;
        running.arrives(Stream::Readings, 20).await;
        running.stop().await;
    });
}

#[test]
fn a_portal_that_knows_other_content_makes_collect_begin_anew() {
    with_mosquitto(async {
        let scene = Scene::new();
        let portal = scene.portal().await;
        let mut site = scene.site();
        let ear = Ear::open(&site.between().join("nudge.sock")).unwrap();
        let epoch = site.collect.epoch();
        site.readings(5);
        let running = site.start();
        running.arrives(Stream::Readings, 5).await;
        scene.database.lock().unwrap().forge(Stream::Readings, epoch);
        portal.acknowledge(GATEWAY, Stream::Readings, epoch).await;
        let cloned = async {
            loop {
                let told: Told = ear.hear().await;
                if told.cloned {
                    break told;
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), cloned).await.unwrap();
        assert_eq!(told.epoch, epoch);
        running.stop().await;
    });
}

#[test]
fn mails_of_a_cloned_store_go_out_again_under_a_new_numbering() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let site = scene.site();
        let running = site.start();
        let epoch = running.shared.store.borrow().epoch();
        let report = r#"{"records":[{"type":"valve"}]}"#;
        let record = Body { content_type: ContentType::Json, bytes: report.into() }
            .decode()
            .unwrap()
            .remove(0)
            .unwrap();
        running.shared.store.borrow_mut().append(&[record], None).unwrap();
        running.shared.news.notify_one();
        running.arrives(Stream::Mails, 1).await;
        scene.database.lock().unwrap().forge(Stream::Mails, epoch);
        portal.acknowledge(GATEWAY, Stream::Mails, epoch).await;
        let renewed = |found: Epoch| found != epoch;
        let status = running.until(|status| renewed(status.streams[&Stream::Mails].epoch)).await;
        let new = status.streams[&Stream::Mails].epoch;
        portal.until(|found| found.cursor(Stream::Mails, new) >= Seq::new(1)).await;
        running.stop().await;
    });
}

#[test]
fn a_damaged_block_is_named_as_missing_and_holds_nothing_up() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        site.readings(3);
        let file = site.path().join("data/collect/store/collect.db");
        let damage = "UPDATE readings SET crc = crc + 1 WHERE seq = 2";
        rusqlite::Connection::open(file).unwrap().execute(damage, []).unwrap();
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(3)).await;
        running.arrives(Stream::Readings, 3).await;
        running.stop().await;
    });
}

#[test]
fn the_brokers_word_frees_where_there_is_no_portal() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut site = scene.site_with("acknowledge = \"broker\"");
        site.readings(10);
        // Somebody who stores nothing and acknowledges nothing.
        let mut options = rumqttc::MqttOptions::new("head-end", ("127.0.0.1", scene.broker.port));
        options.set_keep_alive(30);
        let (client, mut events) = rumqttc::AsyncClient::builder(options).capacity(10).build();
        client.try_subscribe("vesi/1/+/+/uplink", rumqttc::QoS::AtLeastOnce).unwrap();
        let reader = tokio::spawn(async move { while events.poll().await.is_ok() {} });
        let running = site.start();
        running.arrives(Stream::Readings, 10).await;
        running.stop().await;
        reader.abort();
        let store = DeliverStore::open(&site.path().join("data/deliver")).unwrap();
        assert_eq!(store.cursor(Stream::Readings).unwrap().unwrap().seq, Seq::new(10));
    });
}

#[test]
fn a_batch_beyond_the_brokers_limit_is_set_aside_and_goes_out_when_it_fits() {
    with_mosquitto(async {
        let mut scene = Scene::with("max_packet_size 2000\n");
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let epoch = site.collect.epoch();
        site.readings(1);
        let large = format!(r#"{{"records":[{{"type":"valve","x":"{}"}}]}}"#, "x".repeat(5000));
        site.store_body(Stream::Readings, Body { content_type: ContentType::Json, bytes: large.into() });
        site.readings(1);
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(3)).await;
        let status = running.until(|status| status.parked.len() == 1).await;
        assert_eq!(status.parked[0].seq, Seq::new(2));
        assert_eq!(status.connections, 1, "the connection did not break over it");
        scene.broker.kill();
        scene.broker.change("2000", "20000");
        scene.broker.again();
        portal.until(|found| found.bodies(Stream::Readings).len() == 3).await;
        running.until(|status| status.parked.is_empty()).await;
        running.stop().await;
    });
}
