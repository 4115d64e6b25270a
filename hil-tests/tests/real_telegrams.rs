//! Telegrams of real meters through the dongle into the daemon, and on to a real broker.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use hil_tests::clock::START;
use hil_tests::recording::RealTelegram;
use hil_tests::store::Store;
use hil_tests::{Broker, FastClock, Gateway, Half, Portal, Site};
use messages::batch::Stream;
use messages::reading::{HourRow, Role};
use messages::{Hour, MeterId, Time};
use serde_json::json;

/// An hour takes six seconds.
const SPEED: u32 = 600;
/// The first telegrams come twenty minutes before eleven, the others an hour after the one before.
const FIRST: i64 = START - 600;

/// Telegrams that must not become rows, by line of the file, and why.
const REFUSED: [(usize, &str); 4] = [
    // The checksum of the full frame that it stands for does not fit its values.
    (22, "damaged"),
    // Garbled on the air: the same counter as line 19, another ciphertext.
    (25, "damaged"),
    // A year on by the meter's own counter of minutes, an hour after the one before: nobody else says so.
    (18, "implausible"),
    (19, "implausible"),
];

#[tokio::test(flavor = "multi_thread")]
async fn real_telegrams_become_exactly_their_rows_and_refused_ones_are_listed() {
    let Some(telegrams) = RealTelegram::sealed() else { return };
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mut site = Site::new();
    site.clock = Some(FastClock::new(FIRST - 600, SPEED));
    site.configure(&[&broker.uplink("")]);
    let keys: BTreeSet<String> = telegrams.iter().filter_map(RealTelegram::key_row).collect();
    site.add_keys(&keys.iter().fold("id,key\n".to_owned(), |table, row| table + row + "\n")).await;
    let gateway = Gateway::start(&site, Half::Both).await;

    let mut expected = BTreeSet::new();
    for (round, telegrams) in rounds(&telegrams) {
        let at = FIRST + 3600 * round;
        site.clock().reach(at).await;
        for telegram in telegrams {
            site.dongle.hear(&telegram.bytes(), -70).await.unwrap();
            if REFUSED.iter().all(|(line, _)| *line != telegram.line) {
                let meter: MeterId = telegram.meter().parse().unwrap();
                // The first one stands for the last full hour, too.
                let hours = if round == 0 { vec![0, 3600] } else { vec![3600] };
                expected.extend(hours.into_iter().map(|hour| (meter, hour_of(at + hour), telegram.line)));
            }
        }
    }
    // Rows are written two minutes after their hour.
    site.clock().pass(2400).await;

    let rows = Store::open(&site.collect_db()).unwrap().rows();
    let keys: BTreeSet<_> = expected.iter().map(|(meter, hour, _)| (*meter, *hour)).collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), keys, "which meters have a row of which hour");
    for (meter, hour, line) in expected {
        let telegram = telegrams.iter().find(|telegram| telegram.line == line).unwrap();
        check(telegram, &rows[&(meter, hour)], hour);
    }
    let status = site.status().await;
    // The last telegram before the two implausible ones has its row and still waits: they contradict it.
    assert_eq!(
        status["collect"]["refusing"],
        json!([
            {"meter": "KAM.76348799.1B.16", "reception": "heard", "refused": {"damaged": 1, "implausible": 2},
             "quarantined": 3, "sealed": 0},
            {"meter": "KAW.23813076.3C.16", "reception": "heard", "refused": {"damaged": 1}, "quarantined": 0,
             "sealed": 0},
        ])
    );
    assert_eq!(status["collect"]["telegrams"]["refused"], json!({"damaged": 2, "implausible": 2}));

    portal.has("all rows", |records| (records.rows() == &rows).then_some(())).await;
    let epoch = Store::open(&site.collect_db()).unwrap().epoch().unwrap();
    assert_eq!(portal.records().epochs(Stream::Readings), [epoch]);
    assert!(portal.records().breaches.is_empty(), "{:?}", portal.records());
    assert!(gateway.stop().await.success());
}

/// The how-manieth telegram of its meter each one is.
fn rounds(telegrams: &[RealTelegram]) -> BTreeMap<i64, Vec<&RealTelegram>> {
    let mut rounds: BTreeMap<i64, Vec<&RealTelegram>> = BTreeMap::new();
    let mut heard: BTreeMap<String, i64> = BTreeMap::new();
    for telegram in telegrams {
        let round = heard.entry(telegram.meter()).or_default();
        rounds.entry(*round).or_default().push(telegram);
        *round += 1;
    }
    rounds
}

fn hour_of(utc: i64) -> Hour {
    Hour::at_or_before(Time::from_unix(utc).unwrap())
}

/// A row says what its telegram is known to say.
fn check(telegram: &RealTelegram, row: &HourRow, hour: Hour) {
    let line = telegram.line;
    let value = |role: &Role| row.registers.get(role).map(|register| register.value.to_string());
    let names = ["total_m3", "total_volume_m3"];
    if let Some(expected) = names.iter().find_map(|name| telegram.expected.get(*name)) {
        let found = value(&Role::Volume).unwrap();
        assert!(same(&found, expected, " m3"), "line {line}: {found} is not {expected} m3");
    }
    // The other program turns joules into kilowatt hours; the row says what the meter says.
    let energy = [
        ("total_energy_consumption_kwh", [Role::HeatEnergy, Role::ElectricityImport]),
        ("total_energy_backward_kwh", [Role::CoolingEnergy, Role::ElectricityExport]),
    ];
    for (name, roles) in energy {
        let found = roles.iter().find_map(value).filter(|found| found.ends_with(" kWh"));
        if let (Some(expected), Some(found)) = (telegram.expected.get(name), found) {
            assert!(same(&found, expected, " kWh"), "line {line}: {found} is not {expected} kWh");
        }
    }
    let away = row.registers.values().map(|register| i64::from(register.offset));
    let meant = if row.telegrams == 0 { 2400 } else { -1200 };
    assert!(
        away.clone().all(|offset| (meant..meant + 600).contains(&offset)),
        "line {line}, {hour:?}: {:?}",
        away.collect::<Vec<_>>()
    );
}

/// Whether two ways to write a number mean the same.
fn same(found: &str, expected: &serde_json::Value, unit: &str) -> bool {
    let plain = |text: &str| match text.split_once('.') {
        Some((whole, decimals)) => {
            let decimals = decimals.trim_end_matches('0');
            if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") }
        }
        None => text.to_owned(),
    };
    plain(found.strip_suffix(unit).unwrap()) == plain(&expected.to_string())
}
