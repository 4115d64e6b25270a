use wmbus::{
    Frame, Learned, Policy, Reading, Sealed, What,
    compact::{Kind as Learner, Source as Layout},
    meter::{Amount, Period, Statistic},
    security::Scheme,
};

use super::*;
use crate::{
    calendar::HOUR,
    event::{Event, Trouble},
};

const KINDS: [Kind; 4] = [Kind::Multical21, Kind::FlowIq2200, Kind::FlowIq2200Oms, Kind::Multical403];
/// 2026-11-25 10:00 UTC.
const NOW: i64 = 1_795_600_800;

fn meter(kind: Kind) -> Meter {
    Meter::new(kind, "61234567".parse().unwrap(), Key::new([7; 16]), 42)
}

fn read(meter: &Meter, bytes: &[u8], learned: &mut Learned) -> Reading {
    let mut frame = Frame::bare(bytes).unwrap();
    let opened = Sealed::read(&mut frame).unwrap().open(Some(meter.cipher()), Policy::Strict).unwrap();
    learned.learn(Learner::from(opened.meter()), opened.application, opened.body);
    opened.reading(learned).unwrap()
}

fn codes(meter: &mut Meter, at: i64) -> Vec<String> {
    let (_, bytes) = meter.next_telegram(at * 1_000).unwrap();
    let reading = read(meter, &bytes, &mut Learned::default());
    reading.info.unwrap().codes().map(|code| code.to_string()).collect()
}

/// A register as telegrams tell it.
fn shown(kind: Kind, millilitres: i64) -> String {
    match kind {
        Kind::Multical21 | Kind::FlowIq2200 => {
            let litres = millilitres / 1_000;
            format!("{}.{:03}", litres / 1_000, litres % 1_000)
        }
        Kind::FlowIq2200Oms => format!("{}.{}", millilitres / 1_000_000, millilitres / 100_000 % 10),
        Kind::Multical403 => format!("{}.{:02}", millilitres / 1_000_000, millilitres / 10_000 % 100),
    }
}

#[test]
fn every_telegram_opens_with_its_key_and_tells_the_register() {
    for kind in KINDS {
        let mut meter = meter(kind);
        let mut learned = Learned::default();
        let first = meter.beat().first_from(NOW * 1_000);
        for number in first..first + 40 {
            let bytes = meter.telegram(number).unwrap();
            let reading = read(&meter, &bytes, &mut learned);
            assert_eq!(reading.meter, meter.address());
            let volume = meter.volume_at(meter.beat().due(number) / 1_000);
            assert_eq!(reading.now(What::Volume).unwrap().to_string(), shown(kind, volume), "{kind:?}");
            assert_eq!(reading.left_out, 0);
        }
    }
}

#[test]
fn compact_frames_are_read_through_the_table_and_after_two_full_frames_as_learned() {
    for kind in [Kind::Multical21, Kind::FlowIq2200, Kind::Multical403] {
        let mut meter = meter(kind);
        let mut learned = Learned::default();
        let full = meter.beat().first_from(NOW * 1_000).next_multiple_of(8);
        let layouts: Vec<_> = (full - 1..full + 10)
            .map(|number| read(&meter, &meter.clone().telegram(number).unwrap(), &mut learned).layout)
            .collect();
        assert_eq!(layouts[0], Some(Layout::BuiltIn), "{kind:?}");
        assert_eq!((layouts[1], layouts[9]), (None, None), "every eighth is full");
        assert_eq!(layouts[10], Some(Layout::Learned));
        meter.add(Event::new(Trouble::Burst, NOW, i64::MAX));
    }
}

#[test]
fn a_heat_meter_tells_energy_that_fits_its_volume_and_temperatures() {
    let mut meter = meter(Kind::Multical403);
    let number = meter.beat().first_from(NOW * 1_000);
    let bytes = meter.telegram(number).unwrap();
    let reading = read(&meter, &bytes, &mut Learned::default());
    let kilowatt_hours = meter.energy_at(meter.beat().due(number) / 1_000) / 1_000;
    assert_eq!(reading.now(What::Energy).unwrap().to_string(), (kilowatt_hours).to_string());
    let power = reading.now(What::Flow).unwrap();
    assert!(power.mantissa() > 0, "it is November");
    let target = reading.find(What::Energy, Statistic::Actual, Period::Target).unwrap();
    assert!(target.mantissa() < i128::from(kilowatt_hours).try_into().unwrap());
}

#[test]
fn the_target_date_is_the_first_of_the_month() {
    let mut meter = meter(Kind::FlowIq2200);
    let (_, bytes) = meter.next_telegram(NOW * 1_000).unwrap();
    let reading = read(&meter, &bytes, &mut Learned::default());
    let date = reading.measures.iter().find(|m| m.period == Period::Target && m.what == What::Clock);
    let Some(Amount::Date(date)) = date.map(|measure| measure.amount) else { panic!("no target date") };
    assert_eq!((date.year, date.month, date.day), (2026, 11, 1));
    let target = reading.find(What::Volume, Statistic::Actual, Period::Target).unwrap();
    // Midnight in Finland's standard time.
    let midnight = 1_793_484_000;
    assert_eq!(target.to_string(), shown(Kind::FlowIq2200, meter.volume_at(midnight)));
}

#[test]
fn the_oms_meter_is_authenticated_and_counts_its_telegrams() {
    let mut meter = meter(Kind::FlowIq2200Oms);
    let number = meter.beat().first_from(NOW * 1_000);
    let mut frame = Frame::bare(&meter.telegram(number).unwrap()).unwrap();
    let opened = Sealed::read(&mut frame).unwrap().open(Some(meter.cipher()), Policy::Strict).unwrap();
    assert!(opened.security.scheme.is_authentic());
    assert_eq!(opened.security.counter.map(u64::from), Some(number + 1));
    assert!(opened.extended.is_some(), "behind an extended link layer, as on the air");
}

#[test]
fn counters_rise_over_a_restart() {
    let counter = |number| {
        let mut meter = meter(Kind::Multical21);
        let mut frame = Frame::bare(&meter.telegram(number).unwrap()).unwrap();
        let opened = Sealed::read(&mut frame).unwrap().open(Some(meter.cipher()), Policy::Strict).unwrap();
        assert_eq!(opened.security.scheme, Scheme::EllCtr);
        opened.security.counter.unwrap()
    };
    let first = meter(Kind::Multical21).beat().first_from(NOW * 1_000);
    let counters: Vec<_> = (first..first + 300).step_by(7).map(counter).collect();
    assert!(counters.is_sorted_by(|one, next| one < next));
}

#[test]
fn a_seed_gives_the_same_telegrams_again() {
    for kind in KINDS {
        let telegrams = |mut meter: Meter| {
            let first = meter.beat().first_from(NOW * 1_000);
            (first..first + 3).map(|number| meter.telegram(number).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(telegrams(meter(kind)), telegrams(meter(kind)));
        let other = Meter::new(kind, "61234567".parse().unwrap(), Key::new([7; 16]), 43);
        assert_ne!(telegrams(meter(kind)), telegrams(other));
    }
}

#[test]
fn troubles_are_told_as_info_codes() {
    for (trouble, water, heat) in [
        (Trouble::Dry, "dry", "v1_air"),
        (Trouble::Reverse, "reverse", "v1_wrong_direction"),
        (Trouble::Leak, "leak", "leak_loss"),
        (Trouble::Burst, "burst", "burst_loss"),
    ] {
        for (kind, word) in [(Kind::Multical21, water), (Kind::FlowIq2200, water), (Kind::Multical403, heat)]
        {
            let mut meter = meter(kind);
            meter.add(Event::new(trouble, NOW, NOW + HOUR).told_at_once());
            assert_eq!(codes(&mut meter, NOW - 60), Vec::<String>::new());
            assert_eq!(codes(&mut meter, NOW + 60), [word]);
            assert_eq!(codes(&mut meter, NOW + HOUR + 60), Vec::<String>::new());
        }
    }
    let mut oms = meter(Kind::FlowIq2200Oms);
    oms.add(Event::new(Trouble::Dry, NOW, i64::MAX));
    assert_eq!(codes(&mut oms, NOW), ["dry"]);
}

#[test]
fn a_real_leak_is_told_after_a_day_and_leaves_a_duration_class() {
    let mut meter = meter(Kind::FlowIq2200);
    meter.add(Event::new(Trouble::Leak, NOW, NOW + 2 * DAY));
    assert_eq!(codes(&mut meter, NOW + 23 * HOUR), Vec::<String>::new());
    assert_eq!(codes(&mut meter, NOW + 25 * HOUR), ["leak"]);
    let (_, bytes) = meter.next_telegram((NOW + 3 * DAY) * 1_000).unwrap();
    let reading = read(&meter, &bytes, &mut Learned::default());
    let classes: Vec<_> = reading.info.unwrap().durations().map(|(_, class)| class.number()).collect();
    assert_eq!(classes, [0, 0, 3, 0, 0, 0], "25 hours of leak");
    let (_, bytes) = meter.next_telegram((NOW + 2 * DAY) * 1_000).unwrap();
    let reading = read(&meter, &bytes, &mut Learned::default());
    let lowest = reading.find(What::Flow, Statistic::Minimum, Period::LastDay).unwrap();
    assert_eq!(lowest.to_string(), "0.012", "12 l an hour all day long");
}

#[test]
fn volumes_fall_in_backflow_only() {
    let volumes = |trouble| {
        let mut meter = meter(Kind::Multical21);
        meter.add(Event::new(trouble, NOW, NOW + HOUR));
        (-600..2 * HOUR).step_by(60).map(|after| meter.volume_at(NOW + after)).collect::<Vec<_>>()
    };
    for trouble in [Trouble::Leak, Trouble::Burst, Trouble::Dry] {
        assert!(volumes(trouble).is_sorted(), "{trouble:?}");
    }
    assert!(!volumes(Trouble::Reverse).is_sorted());
}

#[test]
fn a_dry_meter_counts_nothing_and_goes_on_from_there() {
    let (mut wet, mut dry) = (meter(Kind::Multical21), meter(Kind::Multical21));
    dry.add(Event::new(Trouble::Dry, NOW, NOW + DAY));
    let (before, after) = (NOW - HOUR, NOW + DAY);
    assert_eq!(dry.volume_at(before), wet.volume_at(before));
    assert_eq!(dry.volume_at(NOW + 20 * HOUR), wet.volume_at(NOW));
    let later = after + DAY;
    assert_eq!(dry.volume_at(later) - dry.volume_at(after), wet.volume_at(later) - wet.volume_at(after));
}

#[test]
fn a_burst_adds_its_flow() {
    let (mut calm, mut burst) = (meter(Kind::FlowIq2200), meter(Kind::FlowIq2200));
    burst.add(Event::new(Trouble::Burst, NOW, i64::MAX));
    let at = NOW + 2 * HOUR;
    assert_eq!(burst.volume_at(at), calm.volume_at(at) + 3_000_000);
}
