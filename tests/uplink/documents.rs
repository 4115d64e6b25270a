//! The portal's documents: versions, tombstones, lists, keys, requests.

use messages::config::{Delivery, MeterConfig, Part};
use messages::event::ProblemKind;
use messages::seal::{SealedBox, SecretKey};
use messages::topic::Leaf;
use tokio_util::sync::CancellationToken;
use vesigate::halves::control::{Answer, listen};
use vesigate::halves::questions::ByDeliver;
use vesigate::store::DeliverStore;

use crate::scene::{GATEWAY, Scene};
use crate::site::{METER, Running, Site, meter};
use crate::with_mosquitto;

pub fn list(version: u64, meters: &str) -> String {
    format!(
        r#"{{"version":{version},"meters":{{{meters}}},"utility":{{"name":"Kylän Vesi","time_zone":"Europe/Helsinki","language":"fi"}}}}"#
    )
}

fn document(site: &Site, version: u64, more: &str, key: Option<SealedBox>) -> Vec<u8> {
    let json = format!(r#"{{"meter":"{METER}","version":{version},"alarm_gateway":true{more}}}"#);
    let delivery: Delivery = serde_json::from_str(&json).unwrap();
    serde_json::to_vec(&MeterConfig::seal(&delivery, &site.key.public(), [3; 32], key).unwrap()).unwrap()
}

async fn in_force(running: &Running, version: u64) {
    let mut signals = running.shared.signals.subscribe();
    let there = |running: &Running| {
        let store = running.shared.store.borrow();
        store.document(meter()).unwrap().map_or(0, |document| document.version) == version
    };
    signals.wait_for(|_| there(running)).await.unwrap();
}

#[test]
fn documents_are_taken_by_version_and_deleted_by_the_list_only() {
    with_mosquitto(async {
        let scene = Scene::new();
        let (portal, site) = (scene.portal().await, scene.site());
        portal.say(GATEWAY, Leaf::GatewayConfig, list(5, &format!(r#""{METER}":2"#))).await;
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 2, "", None)).await;
        let running = site.start();
        in_force(&running, 2).await;
        running.shared.signals.subscribe().wait_for(|signals| signals.settled).await.unwrap();

        // Older, unreadable, sealed to somebody else, taken away at the broker: all change nothing.
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 1, "", None)).await;
        portal.say(GATEWAY, Leaf::Config(meter()), "{").await;
        let theirs = SecretKey::from_bytes([9; 32]).public();
        let delivery =
            serde_json::from_str(&format!(r#"{{"meter":"{METER}","version":9,"alarm_gateway":true}}"#));
        let sealed = MeterConfig::seal(&delivery.unwrap(), &theirs, [4; 32], None).unwrap();
        portal.say(GATEWAY, Leaf::Config(meter()), serde_json::to_vec(&sealed).unwrap()).await;
        portal.say(GATEWAY, Leaf::GatewayConfig, "").await;
        portal.say(GATEWAY, Leaf::GatewayConfig, list(4, "")).await;
        portal.say(GATEWAY, Leaf::Config(meter()), "").await;
        portal.say(GATEWAY, Leaf::GatewayConfig, list(6, &format!(r#""{METER}":2"#))).await;
        running.until(|status| status.config.version == 6).await;
        in_force(&running, 2).await;
        let refused = |running: &Running| {
            running.shared.problems.borrow().is_running(&ProblemKind::ConfigRefused, None)
        };
        assert!(refused(&running));

        // A newer one mends it; a tombstone is one.
        let tombstone = MeterConfig { version: 10, part: Part::Tombstone };
        portal.say(GATEWAY, Leaf::Config(meter()), serde_json::to_vec(&tombstone).unwrap()).await;
        in_force(&running, 10).await;
        assert!(!refused(&running));

        // What is not in a newer list is deleted, and does not come back with what lies at the broker.
        portal.say(GATEWAY, Leaf::GatewayConfig, list(7, "")).await;
        in_force(&running, 0).await;
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 11, "", None)).await;
        portal.say(GATEWAY, Leaf::GatewayConfig, list(8, "")).await;
        running.until(|status| status.config.version == 8).await;
        in_force(&running, 0).await;

        // The list that names it makes the gateway fetch what came before.
        portal.say(GATEWAY, Leaf::GatewayConfig, list(9, &format!(r#""{METER}":11"#))).await;
        in_force(&running, 11).await;
        running.stop().await;
    });
}

const ERASURE: &str = r#","requests":[{"id":"00000000000000000000000000000d02","expires":"2027-11-25T00:00:00Z","do":"erase","from":"2024-01-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}]"#;

#[test]
fn keys_and_erasures_are_handed_to_collect_once() {
    with_mosquitto(async {
        let scene = Scene::new();
        let (portal, site) = (scene.portal().await, scene.site());
        let stop = CancellationToken::new();
        let mut asked = listen::<ByDeliver>(&site.between().join("deliver.sock"), stop.clone()).unwrap();
        let key = SealedBox::seal(&SecretKey::from_bytes([5; 32]).public(), &[6; 16], [8; 32]).unwrap();
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 2, ERASURE, Some(key.clone()))).await;
        let running = site.start();
        let (mut keys, mut erasures) = (0, 0);
        while keys == 0 || erasures == 0 {
            let (question, answer) = asked.recv().await.unwrap();
            match question {
                ByDeliver::MeterKey { meter: of, sealed } => {
                    assert_eq!((of, sealed), (meter(), key.clone()));
                    keys += 1;
                }
                ByDeliver::Erase { meter: of, .. } => {
                    assert_eq!(of, meter());
                    erasures += 1;
                }
                _ => {
                    let _ = answer.send(Answer::Refused("not now".to_owned()));
                    continue;
                }
            }
            let _ = answer.send(Answer::of(&()));
        }
        // The outcome is a record in the stream `mails`.
        running.until(|status| status.streams[&messages::batch::Stream::Mails].head.number() >= 1).await;
        running.stop().await;
        while asked.try_recv().is_ok() {}
        let running = site.start();
        // In each turn keys and erasures are asked for before the status is.
        for _ in 0..2 {
            let (question, answer) = asked.recv().await.unwrap();
            assert!(matches!(question, ByDeliver::Status), "asked twice: {question:?}");
            let _ = answer.send(Answer::Refused("not now".to_owned()));
        }
        assert!(
            running
                .shared
                .store
                .borrow()
                .is_erased("00000000000000000000000000000d02".parse().unwrap())
                .unwrap()
        );
        running.stop().await;
        stop.cancel();
    });
}

#[test]
fn what_another_store_lacks_is_asked_for_again() {
    with_mosquitto(async {
        let scene = Scene::new();
        let (portal, site) = (scene.portal().await, scene.site());
        portal.say(GATEWAY, Leaf::GatewayConfig, list(5, &format!(r#""{METER}":2"#))).await;
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 2, "", None)).await;
        let running = site.start();
        in_force(&running, 2).await;
        running.shared.signals.subscribe().wait_for(|signals| signals.settled).await.unwrap();

        let empty = DeliverStore::in_memory(&site.path().join("elsewhere")).unwrap();
        running.shared.store.replace(empty);
        in_force(&running, 2).await;
        running.until(|status| status.config.version == 5 && status.config.behind == 0).await;
        running.shared.signals.subscribe().wait_for(|signals| signals.settled).await.unwrap();
        running.stop().await;
    });
}

#[test]
fn what_collect_cannot_do_now_is_asked_for_until_it_is_done() {
    with_mosquitto(async {
        let scene = Scene::new();
        let (portal, site) = (scene.portal().await, scene.site());
        let stop = CancellationToken::new();
        let mut asked = listen::<ByDeliver>(&site.between().join("deliver.sock"), stop.clone()).unwrap();
        let key = SealedBox::seal(&SecretKey::from_bytes([5; 32]).public(), &[6; 16], [8; 32]).unwrap();
        portal.say(GATEWAY, Leaf::Config(meter()), document(&site, 2, ERASURE, Some(key))).await;
        let running = site.start();
        let (mut keys, mut erasures) = (0, 0);
        while keys < 3 || erasures < 3 {
            let (question, answer) = asked.recv().await.unwrap();
            let count = match question {
                ByDeliver::MeterKey { .. } => &mut keys,
                ByDeliver::Erase { .. } => &mut erasures,
                _ => continue,
            };
            *count += 1;
            let told = match *count {
                1 => Answer::Later("the disk is full".to_owned()),
                // It stops: there is no answer.
                2 => continue,
                _ => Answer::of(&()),
            };
            let _ = answer.send(told);
        }
        // Done, not failed: what is kept here is erased, too.
        running.until(|status| status.streams[&messages::batch::Stream::Mails].head.number() >= 1).await;
        let outcome =
            running.shared.store.borrow().is_erased("00000000000000000000000000000d02".parse().unwrap());
        assert!(outcome.unwrap());
        assert_eq!(running.shared.store.borrow().handed(meter()).unwrap(), 2);
        assert_eq!((keys, erasures), (3, 3));
        running.stop().await;
        stop.cancel();
    });
}
