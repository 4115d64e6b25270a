//! Many who claim the number of one.

use super::*;

/// The meter's number under another version and device type.
fn impostor(n: u32) -> Meter {
    format!("KAM.76348799.{:02X}.{:02X}", n / 200, 0x20 + n % 200).parse().unwrap()
}

fn by_number() -> Keyring {
    let mut keys = Keyring::new();
    keys.insert(Selector::Number(meter().serial), key()).unwrap();
    keys
}

/// A telegram that the key does not open.
fn unopened(meter: Meter, second: u64) -> Vec<u8> {
    let mut frame = frame_of(meter, second, 1, 0);
    if let Some(last) = frame.last_mut() {
        *last ^= 1;
    }
    frame
}

#[test]
fn invented_versions_of_a_listed_number_leave_room_for_the_genuine_meter_and_are_not_remembered() {
    let mut site = Site::new();
    site.collector.set_keys(by_number());
    // More than any bound by the number of meters expected.
    for n in 0..500 {
        site.hear(u64::from(n), &unopened(impostor(n), u64::from(n)));
        assert!(site.collector.meters.len() <= 4, "{n}");
    }
    assert!(site.collector.heard.len() <= 4);
    for second in (512..2 * 3600 + 300).step_by(16) {
        site.hear(second, &frame(second, 1, 0));
        site.hear(second + 1, &unopened(impostor(u32::try_from(second).unwrap()), second));
    }
    assert_eq!(site.rows().len(), 3);
    let known: Vec<_> = checkpoint::read_meters(&site.parts["meters"]).map(|entry| entry.meter).collect();
    assert_eq!(known, [meter()]);
    assert!(site.collector.meters.len() <= 5);
}

#[test]
fn those_that_open_are_few_of_a_number_as_well_and_a_meter_named_in_full_never_goes() {
    let mut site = Site::new();
    let mut keys = by_number();
    keys.insert(Selector::Full(meter()), key()).unwrap();
    site.collector.set_keys(keys);
    site.hear(0, &frame(0, 1, 0));
    for n in 1..500 {
        // First it cannot be opened, then it can.
        site.hear(u64::from(n) * 10, &unopened(impostor(n), u64::from(n) * 10));
        site.hear(u64::from(n) * 10 + 5, &frame_of(impostor(n), u64::from(n) * 10 + 5, 1, 0));
    }
    assert!(site.collector.meters.contains_key(&meter()));
    assert!(site.collector.meters.len() <= 9, "{}", site.collector.meters.len());
}
