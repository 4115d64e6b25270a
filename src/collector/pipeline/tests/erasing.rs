//! What is erased stays erased.

use super::*;

fn time(second: i64) -> Time {
    Time::from_unix(START + second).unwrap()
}

#[test]
fn what_is_erased_reaches_no_row_and_no_episode_later() {
    let mut site = Site::new();
    for second in (0..3600 + 60).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    let before = site.records.len();
    let id = site.episodes()[0].id;
    // Both open hours, one of them over, what waits for the next telegram, the running episode.
    site.collector.erase(meter().to_string().parse().unwrap(), time(0), time(3660));
    site.until(3661);
    for second in (3664..2 * 3600 + 200).step_by(16) {
        site.hear(second, &frame(second, 2, LEAK));
    }
    let told = site.records.split_off(before);
    for (_, record) in &told {
        match record {
            Record::Hour(row) => {
                assert_eq!(row.registers[&Role::Volume].value.to_string(), "0.002 m3");
                assert_eq!(
                    row.boundary.time().unix(),
                    START + 2 * HOUR,
                    "the row of the first is not made again"
                );
            }
            Record::Episode(episode) => {
                assert_ne!(episode.id, id);
                assert!(episode.started >= Some(time(3660)), "{episode:?}");
            }
            _ => {}
        }
    }
    let rows = told.iter().filter(|(_, record)| matches!(record, Record::Hour(_))).count();
    assert_eq!(rows, 1);
}

#[test]
fn a_telegram_that_is_held_because_it_says_something_new_is_erased_too() {
    let mut site = Site::new();
    for second in (0..1600).step_by(16) {
        site.hear(second, &frame(second, 1, 0));
    }
    // Believed with the one after it, and held until a third agrees.
    site.hear(1600, &frame(1600, 1, LEAK));
    site.hear(1616, &frame(1616, 1, LEAK));
    site.collector.erase(meter().to_string().parse().unwrap(), time(0), time(1617));
    for second in (1632..3600 + 200).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    let row = &site.rows()[&(START + HOUR)];
    assert_eq!(row.telegrams, (3600 - 1632) / 16);
}

#[test]
fn what_lies_outside_the_span_or_is_of_another_meter_stays() {
    let mut site = Site::new();
    for second in (0..1800).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    let id = site.episodes()[0].id;
    site.collector.erase(meter().to_string().parse().unwrap(), time(3601), time(9000));
    site.collector.erase("KAM.00000001.1B.16".parse().unwrap(), time(0), time(1800));
    for second in (1808..3600 + 200).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    let row = &site.rows()[&(START + HOUR)];
    assert_eq!((row.minutes[&Code::Leak].number(), row.telegrams), (60, 225));
    assert!(site.episodes().iter().all(|episode| episode.id == id));
}

#[test]
fn what_has_no_place_in_time_yet_is_erased_and_a_kill_brings_nothing_back() {
    let mut site = Site::with(Calendar::default());
    for second in (0..1800).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    site.collector.erase(meter().to_string().parse().unwrap(), time(0), time(1800));
    assert_eq!(site.collector.unplaced(), 0);
    assert_eq!(site.collector.episodes(), 0);
    site.until(1801);
    site.kill(1802);
    assert_eq!(site.collector.episodes(), 0);
    let known: Vec<_> = checkpoint::read_meters(&site.parts["meters"]).collect();
    assert!(known[0].known.is_some(), "an old telegram is still known as one");
}

#[test]
fn sealed_frames_in_memory_are_erased() {
    let mut site = Site::new();
    site.collector.set_keys(Keyring::new());
    let list = "id\n76348799\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), list).unwrap();
    let list = MeterList::load(file.path(), &[]).unwrap();
    site.collector.settings.list = list;
    site.hear(1800, &frame(1800, 1, 0));
    let sealed = |site: &Site| site.collector.meters(up(1801)).sealed;
    assert_eq!(sealed(&site), 1);
    site.collector.erase(meter().to_string().parse().unwrap(), time(1801), time(9000));
    assert_eq!(sealed(&site), 1);
    site.collector.erase(meter().to_string().parse().unwrap(), time(0), time(1801));
    assert_eq!(sealed(&site), 0);
    let mut frames = Vec::new();
    site.until(2 * 3600);
    while let Some(commit) = site.collector.take_commit(up(2 * 3600)) {
        frames.extend(commit.sealed);
    }
    assert!(frames.is_empty());
}
