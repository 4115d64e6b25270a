use super::*;
use messages::Quantity;
use messages::reading::{Checked, DurationClass, Role};
use wmbus::meter::{FieldKind, PROFILES};

const T: i64 = 1_795_500_000 / HOUR * HOUR;

fn facts(litres: i64, codes: &[Code]) -> Facts {
    let volume: Quantity = format!("{}.{:03} m3", litres / 1000, litres % 1000).parse().unwrap();
    Facts {
        registers: vec![(Role::Volume, volume)],
        flow: Some(format!("{litres} l/h").parse().unwrap()),
        water: None,
        ambient: None,
        codes: codes.to_vec(),
        tells_codes: true,
        classes: vec![(Code::Leak, DurationClass::try_from(2).unwrap())],
        inferred: false,
        checked: Checked::Checksum,
    }
}

fn time(second: i64) -> Time {
    Time::from_unix(second).unwrap()
}

/// A keeper that has written the row of `T - 1 h`.
fn keeper() -> HourKeeper {
    HourKeeper::new("KAW.87654321.3C.16".parse().unwrap(), Some(time(T - HOUR)))
}

fn due(keeper: &mut HourKeeper, now: i64) -> Option<HourRow> {
    let mut rows = keeper.due(time(now));
    let row = rows.next();
    assert_eq!(rows.next(), None, "one at a time");
    row
}

fn volume(row: &HourRow) -> (String, i32) {
    let register = row.registers[&Role::Volume];
    (register.value.to_string(), register.offset)
}

#[test]
fn the_register_nearest_to_the_boundary_counts_and_the_earlier_on_a_tie() {
    for (before, after, expected) in [(-40, 30, 30), (-30, 40, -30), (-30, 30, -30), (-16, 119, -16)] {
        let mut keeper = keeper();
        keeper.hear(&facts(1000, &[]), time(T - 3000), None);
        keeper.hear(&facts(1001, &[]), time(T + before), None);
        keeper.hear(&facts(1002, &[]), time(T + after), None);
        assert_eq!(due(&mut keeper, T + 119), None, "open for two minutes");
        let row = due(&mut keeper, T + 120).unwrap();
        assert_eq!(volume(&row).1, expected);
        assert_eq!(due(&mut keeper, T + 500), None, "written once");
    }
}

#[test]
fn a_meter_that_falls_silent_leaves_its_last_register() {
    let mut keeper = keeper();
    keeper.hear(&facts(1000, &[]), time(T - 3599), None);
    let row = due(&mut keeper, T + 120).unwrap();
    assert_eq!(volume(&row), ("1.000 m3".to_owned(), -3599));
    assert_eq!(row.telegrams, 1);
    assert_eq!(due(&mut keeper, T + HOUR + 120), None, "no telegram, no row");
}

#[test]
fn extremes_codes_and_minutes_are_those_of_the_hour_before() {
    let mut keeper = keeper();
    for minute in 0..30 {
        keeper.hear(&facts(100 + minute, &[Code::Leak]), time(T - HOUR + minute * 60), Some(-80));
        keeper.hear(&facts(100 + minute, &[Code::Leak]), time(T - HOUR + minute * 60 + 16), Some(-70));
    }
    keeper.hear(&facts(900, &[Code::Burst]), time(T + 10), Some(-10));
    let row = due(&mut keeper, T + 120).unwrap();
    let flow = row.flow.unwrap();
    assert_eq!(
        (flow.low().to_string(), flow.high().to_string()),
        ("100 l/h".to_owned(), "129 l/h".to_owned())
    );
    assert_eq!(row.codes.iter().collect::<Vec<_>>(), [&Code::Leak], "the burst belongs to the next hour");
    assert_eq!(row.minutes[&Code::Leak].number(), 30);
    assert_eq!(row.classes[&Code::Leak].number(), 2);
    assert_eq!((row.telegrams, row.rssi), (60, Some(-70)));
    assert_eq!(volume(&row), ("0.900 m3".to_owned(), 10), "but its register is the nearest");
}

#[test]
fn a_run_that_begins_within_the_hour_makes_the_row_of_the_last_boundary_at_once() {
    let mut keeper = keeper();
    let row = keeper.hear(&facts(1000, &[]), time(T + 1800), None).unwrap();
    assert_eq!((row.boundary.time().unix(), volume(&row).1, row.telegrams), (T, 1800, 0));
    assert_eq!(keeper.hear(&facts(1001, &[]), time(T + 1816), None), None, "once");
    let mut late = self::keeper();
    assert_eq!(late.hear(&facts(1000, &[]), time(T + 58 * 60), None), None, "too near to the next");
    let mut known = HourKeeper::new("KAW.87654321.3C.16".parse().unwrap(), Some(time(T)));
    assert_eq!(known.hear(&facts(1000, &[]), time(T + 1800), None), None, "its row is in the store");
}

#[test]
fn a_disputed_reading_gives_its_register_only_and_only_where_there_is_no_other() {
    let mut keeper = keeper();
    keeper.hear_disputed(&facts(1000, &[Code::Leak]), time(T - 5));
    keeper.hear(&facts(900, &[]), time(T - 50), Some(-80));
    let row = due(&mut keeper, T + 120).unwrap();
    assert_eq!((volume(&row).1, row.telegrams, row.codes.len()), (-50, 1, 0));
    keeper.hear_disputed(&facts(1000, &[Code::Leak]), time(T + 1800));
    let row = due(&mut keeper, T + HOUR + 120).unwrap();
    assert_eq!((volume(&row), row.codes.len()), (("1.000 m3".to_owned(), -1800), 0));
    assert_eq!((row.telegrams, row.flow, row.classes.len()), (0, None, 0));
}

#[test]
fn what_waits_counts_for_the_rows_that_are_due_and_for_no_other() {
    for (at, registers, telegrams) in [(T - 5, -5, 2), (T + 5, 5, 1), (T + 118, -50, 1)] {
        let mut keeper = keeper();
        keeper.hear(&facts(900, &[]), time(T - 50), None);
        let waits = facts(1000, &[Code::Leak]);
        let heard = Heard { facts: &waits, at, rssi: None, disputed: false };
        assert_eq!(keeper.anticipate(time(T + 120), &heard), None);
        let row = due(&mut keeper, T + 120).unwrap();
        assert_eq!(
            (volume(&row).1, row.telegrams, row.codes.len()),
            (registers, telegrams, telegrams as usize - 1)
        );
        // Believed only now.
        keeper.hear(&waits, time(at), None);
        keeper.hear(&facts(1001, &[]), time(T + 1000), None);
        let row = due(&mut keeper, T + HOUR + 120).unwrap();
        assert_eq!(row.telegrams, 3 - telegrams, "never twice");
    }
}

#[test]
fn a_flow_that_the_meter_cannot_measure_is_none() {
    let mut facts = facts(5000, &[]);
    facts.without_flow_beyond(5_000_000);
    assert!(facts.flow.is_some());
    facts.without_flow_beyond(4_999_999);
    assert_eq!(facts.flow, None);
}

#[test]
fn an_orderly_stop_loses_nothing() {
    let mut keeper = keeper();
    keeper.hear(&facts(1000, &[]), time(T - 10), None);
    keeper.hear(&facts(1001, &[]), time(T + 60), None);
    let rows: Vec<_> = keeper.stop().map(|row| (row.boundary.time().unix(), volume(&row).1)).collect();
    assert_eq!(rows, [(T, -10), (T + HOUR, 60 - 3600)]);
    assert_eq!(keeper.stop().count(), 0);
}

#[test]
fn every_named_code_of_every_family_is_a_word_of_the_contract_or_of_the_pressure_sensor() {
    let fields = PROFILES.iter().flat_map(|profile| profile.fields);
    let mut checked = 0;
    for field in fields {
        let FieldKind::Info(layout) = field.kind else { continue };
        for (_, info) in layout.bits.iter().chain(layout.durations) {
            let code = facts::code(*info).unwrap();
            assert_eq!(code.as_str(), info.word());
            let pressure = info.word().starts_with("pressure_") || info.word() == "measurement_error";
            assert!(pressure || Code::KNOWN.contains(&code), "{code:?}");
            checked += 1;
        }
    }
    assert!(checked > 50);
}

#[test]
fn a_reading_is_translated_with_its_units() {
    let body = [0x04, 0x13, 0x39, 0x30, 0, 0, 0x02, 0x3B, 0x7B, 0, 0x04, 0xFF, 0x23, 4, 0, 0, 0];
    let meter = "KAW.87654321.3C.16".parse().unwrap();
    let reading = wmbus::Reading::of(meter, wmbus::Records::full(&body)).unwrap();
    let security = wmbus::security::Security {
        scheme: wmbus::security::Scheme::EllCtr,
        verified: Default::default(),
        already_open: false,
        counter: Some(1),
    };
    let facts = Facts::of(&reading, &security);
    assert_eq!(facts.registers, [(Role::Volume, "12.345 m3".parse().unwrap())]);
    assert_eq!(facts.flow, Some("123 l/h".parse().unwrap()));
    assert_eq!(facts.codes, [Code::Leak]);
    assert_eq!(facts.checked, Checked::Checksum);
}
