//! The receiving half in one process: a virtual dongle on a pseudo-terminal, the real serial loop, the collector, the
//! store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "collect/site.rs"]
mod site;

use std::str::FromStr as _;
use std::time::Duration;

use emulator::dongle::Kind;
use messages::MeterId;
use messages::batch::Record;
use messages::event::{Reception, Refusal};
use messages::reading::{Code, Role};
use messages::seal::SealedBox;
use site::{Site, meter};
use vesigate::halves::control::AskError;
use vesigate::halves::questions::{ByDeliver, InMemory, KeyMark, KeysAdded, NewKey, OfCollect};
use vesigate::health::status::CollectStatus;
use zeroize::Zeroizing;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_kind_of_dongle_brings_readings() {
    for &kind in Kind::all() {
        let mut site = Site::with_dongle("2026-11-24T00:30:00Z", &[], kind).await;
        site.add_key(meter()).await;
        for minute in 0..3 {
            site.send(meter(), 1000 + minute, 0).await;
            site.pass(MINUTE).await;
        }
        assert_eq!(site.status().await.telegrams.accepted, 3, "{kind:?}");
        assert!(!site::rows(&site.stop().await).is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn telegrams_become_rows_of_their_hours() {
    let mut site = Site::new("2026-11-24T00:30:00Z").await;
    site.add_key(meter()).await;
    for minute in 0..40 {
        site.send(meter(), 1000 + minute, 0).await;
        site.pass(MINUTE).await;
    }
    // 01:10: the row of 01:00 has been written; the stop makes one of 02:00.
    let records = site.stop().await;
    let rows = site::rows(&records);
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let volume = row.registers[&Role::Volume];
            format!("{} {} {} {}", row.boundary, volume.value, volume.offset, row.telegrams)
        })
        .collect();
    assert_eq!(
        shown,
        [
            // The first reading of a run that finds no row.
            "2026-11-24T00:00:00Z 1.000 m3 1800 0",
            "2026-11-24T01:00:00Z 1.030 m3 0 30",
            "2026-11-24T02:00:00Z 1.039 m3 -3060 10",
        ]
    );
}

#[tokio::test]
async fn a_leak_becomes_an_episode_with_the_third_telegram() {
    let mut site = Site::new("2026-11-24T00:30:00Z").await;
    site.add_key(meter()).await;
    for n in 0..3 {
        site.send(meter(), 1000 + n, site::LEAK).await;
        site.pass(MINUTE).await;
    }
    let records = site.stop().await;
    let episodes: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Episode(episode) => Some((episode.code.clone(), episode.started, episode.lasted)),
            _ => None,
        })
        .collect();
    assert_eq!(episodes, [(Code::Leak, Some("2026-11-24T00:30:00Z".parse().unwrap()), 60)]);
}

#[tokio::test]
async fn replayed_and_foreign_telegrams_change_nothing_and_are_counted() {
    let mut site = Site::new("2026-11-24T00:30:00Z").await;
    site.add_key(meter()).await;
    let mut sent = Vec::new();
    for n in 0..3 {
        sent.push(site.send(meter(), 1000 + n, 0).await);
        site.pass(MINUTE).await;
    }
    site.air(&sent[0]).await;
    site.send("KAW.11111111.3C.16".parse().unwrap(), 5, 0).await;
    let status = site.status().await;
    assert_eq!(status.telegrams.refused[&Refusal::Replayed], 1);
    assert_eq!((status.telegrams.accepted, status.telegrams.foreign), (3, 1));
    assert_eq!(status.meters.foreign, 1);
    let records = site.stop().await;
    assert!(site::rows(&records).iter().all(|row| row.meter.as_str() == meter().to_string()));
}

#[tokio::test]
async fn frames_without_a_key_are_opened_when_it_arrives() {
    let mut site = Site::with_list("2026-11-24T00:30:00Z", &[meter()]).await;
    for minute in 0..100 {
        site.send(meter(), 1000 + minute, 0).await;
        site.pass(MINUTE).await;
    }
    let status = site.status().await;
    assert_eq!((status.meters.no_key, status.rows), (1, 0));
    site.add_key(meter()).await;
    site.send(meter(), 1100, 0).await;
    site.pass(MINUTE).await;
    site.send(meter(), 1101, 0).await;
    let records = site.stop().await;
    let rows = site::rows(&records);
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let volume = row.registers[&Role::Volume];
            format!("{} {} {} {}", row.boundary, volume.value, volume.offset, row.late)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2026-11-24T01:00:00Z 1.030 m3 0 true",
            "2026-11-24T02:00:00Z 1.090 m3 0 true",
            "2026-11-24T03:00:00Z 1.099 m3 -3060 true",
            "2026-11-24T02:00:00Z 1.100 m3 600 false",
            "2026-11-24T03:00:00Z 1.101 m3 -2940 false",
        ]
    );
    let told: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Meter(status) => Some(status.reception.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Reception::NoKey, Reception::Heard]);
}

#[tokio::test]
async fn an_import_that_breaks_off_blocks_nobody_and_cannot_be_applied_any_more() {
    let mut site = Site::new("2026-11-24T00:30:00Z").await;
    let key = |meter: &str| NewKey {
        meter: meter.to_owned(),
        key: Zeroizing::new("0F0E0D0C0B0A09080706050403020100".to_owned()),
        q4: None,
    };
    let stage = |import, meter| OfCollect::KeysStage { import, keys: vec![key(meter)] };
    let names = async |site: &Site| -> Vec<String> {
        let marks: Vec<KeyMark> = site.try_ask(&OfCollect::KeysList { after: None }).await.unwrap();
        marks.into_iter().map(|mark| mark.meter).collect()
    };
    assert_eq!(site.try_ask(&stage(1, "00000001")).await, Ok(1));
    // Somebody has pressed Ctrl-C there; it is not known yet.
    site.pass(Duration::from_secs(40)).await;
    let second: Result<usize, _> = site.try_ask(&stage(2, "00000002")).await;
    assert!(matches!(second, Err(AskError::Refused(why)) if why.contains("another import")));
    // It may go on after all, and counts from then.
    assert_eq!(site.try_ask(&stage(1, "00000003")).await, Ok(2));
    site.pass(Duration::from_secs(40)).await;
    assert!(site.try_ask::<usize>(&stage(2, "00000002")).await.is_err());
    site.pass(Duration::from_secs(40)).await;
    // Other changes never wait for it.
    let other = OfCollect::KeysAdd { keys: vec![key("00000009")] };
    assert_eq!(site.try_ask::<KeysAdded>(&other).await.map(|done| done.added), Ok(1));
    let apply = |import, count| OfCollect::KeysApply { import, count };
    let forgotten: Result<KeysAdded, _> = site.try_ask(&apply(1, 2)).await;
    assert!(matches!(forgotten, Err(AskError::Refused(why)) if why.contains("no key was added")));
    assert_eq!(names(&site).await, ["00000009"]);
    assert_eq!(site.try_ask(&stage(2, "00000002")).await, Ok(1));
    assert_eq!(site.try_ask::<KeysAdded>(&apply(2, 1)).await.map(|done| done.added), Ok(1));
    assert_eq!(names(&site).await, ["00000002", "00000009"]);
    site.stop().await;
}

#[tokio::test]
async fn the_other_half_may_ask_for_what_it_needs_and_nothing_else() {
    let mut site = Site::new("2026-11-24T00:30:00Z").await;
    site.add_key(meter()).await;
    let status: CollectStatus = site.ask_as_deliver(&ByDeliver::Status).await.unwrap();
    let other = MeterId::from_str("KAM.76348800.1B.16").unwrap();
    let sealed = SealedBox::seal_key(other, &[5; 16], &status.collect_key, [6; 32]).unwrap();
    let key = ByDeliver::MeterKey { meter: other, sealed };
    site.ask_as_deliver::<()>(&key).await.unwrap();
    let blocks: Vec<InMemory> = site.ask_as_deliver(&ByDeliver::InMemory).await.unwrap();
    assert!(blocks.is_empty());
    for question in [
        OfCollect::KeysList { after: None },
        OfCollect::KeysAdd { keys: Vec::new() },
        OfCollect::KeysCompare { keys: Vec::new() },
        OfCollect::KeysStage { import: 1, keys: Vec::new() },
        OfCollect::KeysApply { import: 1, count: 0 },
        OfCollect::KeysRemove { meters: vec![meter().to_string()] },
        OfCollect::KeysTest { frames: None },
        OfCollect::Heard { after: None },
        OfCollect::Tap { after: None },
        OfCollect::Reload,
    ] {
        let answer: Result<serde_json::Value, _> = site.ask_as_deliver(&question).await;
        assert!(matches!(answer, Err(AskError::Refused(_))), "{question:?}: {answer:?}");
    }
    let marks: Vec<KeyMark> = site.try_ask(&OfCollect::KeysList { after: None }).await.unwrap();
    assert_eq!(marks.len(), 2);
    site.stop().await;
}
