//! The receiving half in one process: a virtual iM871A on a pseudo-terminal, the real serial loop, the collector, the
//! store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "collect/real.rs"]
mod real;
#[path = "collect/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::time::Duration;

use messages::batch::Record;
use messages::event::{Reception, Refusal};
use messages::reading::{Code, Role};
use site::{Site, meter};

const MINUTE: Duration = Duration::from_secs(60);

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
async fn real_telegrams_end_as_the_registers_that_the_meters_showed() {
    let Some(recorded) = real::recorded() else {
        eprintln!(
            "no recorded telegrams beside the repository (VESI_TELEGRAMS names their folder): left out"
        );
        return;
    };
    let mut site = Site::new("2026-11-24T00:05:00Z").await;
    let (mut expected, mut sent) = (BTreeMap::new(), 0);
    for (meter, telegrams) in &recorded {
        let mut before = None;
        for telegram in telegrams {
            site.add_this_key(telegram.meter, &telegram.key).await;
            // The meter's own minutes pass between its telegrams.
            let minutes = before.map_or(0, |before| (telegram.counter >> 4) - (before >> 4));
            site.pass(MINUTE * minutes + Duration::from_secs(16)).await;
            before = Some(telegram.counter);
            site.air(&telegram.frame).await;
            sent += 1;
        }
        let last = &telegrams.last().unwrap().expected;
        let numbers = ["total_m3", "total_volume_m3", "total_energy_consumption_kwh"];
        let number = numbers.into_iter().find_map(|name| last.get(name)).unwrap();
        expected.insert(meter.to_string(), micro(&number.to_string()));
    }
    let status = site.status().await;
    assert_eq!((status.telegrams.heard, status.telegrams.refused), (sent, BTreeMap::new()));
    let mut stored = BTreeMap::new();
    for row in site::rows(&site.stop().await) {
        let roles = [Role::Volume, Role::ElectricityImport];
        let register = roles.iter().find_map(|role| row.registers.get(role)).unwrap();
        stored.insert(row.meter.to_string(), register.value.value.in_units_of(-6).unwrap());
    }
    assert_eq!(stored, expected);
}

/// A decimal in millionths.
fn micro(number: &str) -> i64 {
    number.parse::<messages::Decimal>().unwrap().in_units_of(-6).unwrap()
}
