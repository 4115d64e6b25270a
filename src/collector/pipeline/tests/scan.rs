//! The table of all meters heard.

use super::*;
use crate::collector::open::Protected;
use crate::health::heard::{HeardMeter, HeardPage, PAGE};
use crate::receiver::LinkMode;

const NAMES: [(u8, &str); 2] = [(0, "roof"), (1, "cellar")];

fn page(site: &Site, after: Option<[u8; 8]>, second: u64) -> HeardPage {
    let names = NAMES.map(|(number, name)| (number, name.to_owned()));
    let page = site.collector.heard(after, &names, up(second));
    let json = serde_json::to_string(&page).unwrap();
    assert!(json.len() < 200_000, "{}", json.len());
    assert_eq!(serde_json::from_str::<HeardPage>(&json).unwrap(), page);
    page
}

fn only(site: &Site, second: u64) -> HeardMeter {
    let mut page = page(site, None, second);
    assert_eq!((page.meters.len(), page.next), (1, None));
    page.meters.remove(0)
}

fn through(site: &mut Site, second: u64, frame: &[u8], receiver: u8) {
    let via = Via { receiver: Some(receiver), link_mode: Some(LinkMode::C1) };
    let rssi = Some(-70 - i16::from(receiver));
    site.collector.hear(frame, Reception { at: up(second), rssi, via });
}

#[test]
fn a_meter_of_ours_is_shown_with_what_it_says_and_how_it_is_received() {
    let mut site = Site::new();
    for second in (0..160).step_by(16) {
        let sent = frame(second, 1000 + i64::try_from(second).unwrap(), LEAK);
        through(&mut site, second, &sent, 0);
        through(&mut site, second, &sent, 1);
    }
    let told = only(&site, 150);
    assert_eq!((told.meter.as_str(), told.expected, told.has_key), ("KAM.76348799.1B.16", true, true));
    assert!(told.model.as_deref().is_some_and(|model| model.contains("MULTICAL")), "{:?}", told.model);
    assert_eq!((told.telegrams, told.echoes, told.opened, told.refusal.as_ref()), (10, 10, 10, None));
    assert_eq!((told.interval, told.recent, told.recent_over), (Some(16_000), 10, 150_000));
    assert_eq!((told.first_ago, told.heard_ago), (150_000, 6_000));
    assert_eq!(told.heard.unwrap().unix(), START + 144);
    assert_eq!((told.rssi, told.best_rssi), (Some(-71), Some(-70)));
    assert_eq!((told.link_mode, told.protected), (Some(LinkMode::C1), Some(Protected::EllCtr)));
    assert_eq!(told.receivers, ["roof", "cellar"]);
    let reading = told.reading.unwrap();
    assert_eq!(
        (reading.volume.unwrap().to_string(), reading.codes),
        ("1.144 m3".to_owned(), vec![Code::Leak])
    );
    assert_eq!(reading.ago, 6_000);
}

#[test]
fn why_a_meter_cannot_be_read_is_shown() {
    let mut site = Site::new();
    site.hear(0, &frame(0, 1, 0));
    let mut wrong = Keyring::new();
    wrong.insert(Selector::Full(meter()), Key::new([8; 16])).unwrap();
    site.collector.set_keys(wrong);
    site.hear(16, &frame(16, 2, 0));
    let told = only(&site, 20);
    assert_eq!((told.opened, told.refusal), (1, Some(Refusal::WrongKey)));
    assert_eq!(told.reading.unwrap().volume.unwrap().to_string(), "0.001 m3");
    // Taken off the keys it is somebody else's: nothing it has said stays.
    site.collector.set_keys(Keyring::new());
    let told = only(&site, 20);
    assert_eq!((told.expected, told.has_key, told.reading), (false, false, None));
    assert_eq!(site.collector.meters(up(20)).foreign, 1);
}

#[test]
fn a_forgery_that_is_quarantined_shows_no_reading_of_its_own() {
    let mut site = Site::new();
    site.hear(0, &frame(0, 1, 0));
    site.hear(16, &frame(16, 1, 0));
    site.hear(32, &frame(32, 900_000, LEAK));
    let told = only(&site, 40);
    assert_eq!((told.opened, told.refusal), (2, Some(Refusal::Implausible)));
    assert_eq!(told.reading.unwrap().volume.unwrap().to_string(), "0.001 m3");
}

#[test]
fn a_stranger_that_installs_is_counted_and_neither_stored_nor_opened() {
    let mut site = Site::new();
    let stranger: Meter = "KAM.11111111.1B.16".parse().unwrap();
    let mut installs = frame_of(stranger, 5, 1, 0);
    installs[1] = 0x46;
    site.hear(5, &installs);
    site.hear(21, &frame_of(stranger, 21, 1, 0));
    let told = only(&site, 30);
    assert_eq!((told.telegrams, told.installation, told.installation_ago), (2, 1, Some(25_000)));
    assert_eq!((told.expected, told.opened, told.refusal, told.reading), (false, 0, None, None));
    site.stop(40);
    assert!(site.records.is_empty());
}

#[test]
fn many_meters_are_told_in_pages_each_once() {
    let mut site = Site::new();
    for number in 0..(2 * PAGE + 50) {
        let stranger: Meter = format!("KAM.{:08}.1B.16", number * 37).parse().unwrap();
        site.hear(1, &frame_of(stranger, 1, 1, 0));
    }
    let (mut after, mut sizes, mut all) = (None, Vec::new(), std::collections::BTreeSet::new());
    loop {
        let page = page(&site, after, 2);
        assert_eq!((page.total, page.foreign), (2 * PAGE + 50, 2 * PAGE + 50));
        sizes.push(page.meters.len());
        all.extend(page.meters.into_iter().map(|told| told.meter));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((sizes, all.len()), (vec![PAGE, PAGE, 50], 2 * PAGE + 50));
}

#[test]
fn erasing_takes_what_a_meter_said_last() {
    let mut site = Site::new();
    site.hear(16, &frame(16, 1, LEAK));
    let id = || meter().to_string().parse().unwrap();
    site.collector.erase(id(), time(17), time(100));
    assert!(only(&site, 20).reading.is_some());
    site.collector.erase(id(), time(0), time(17));
    assert!(only(&site, 20).reading.is_none());
}

fn time(second: i64) -> Time {
    Time::from_unix(START + second).unwrap()
}
