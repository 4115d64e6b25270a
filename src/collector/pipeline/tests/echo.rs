//! The same telegram from two receivers.

use super::*;

fn both(site: &mut Site, second: u64, frame: &[u8], rssi: [Option<i16>; 2]) {
    site.until(second);
    for rssi in rssi {
        site.collector.hear(frame, Reception { at: up(second), rssi, via: Via::default() });
    }
    site.until(second);
}

#[test]
fn a_telegram_that_two_receivers_hear_counts_once_and_as_strongly_as_the_better_heard_it() {
    let mut site = Site::new();
    for second in (0..3600 + 300).step_by(16) {
        both(&mut site, second, &frame(second, 5, 0), [Some(-90), Some(-61)]);
    }
    let row = &site.rows()[&(START + HOUR)];
    assert_eq!((row.telegrams, row.rssi), (225, Some(-61)));
    let counts = site.collector.telegrams();
    assert_eq!((counts.heard, counts.accepted, counts.duplicates), (488, 244, 244));

    // Whoever of them is first, and where one of them cannot tell.
    for second in (3900..7200 + 300).step_by(16) {
        both(&mut site, second, &frame(second, 5, 0), [Some(-70), None]);
    }
    assert_eq!(site.rows()[&(START + 2 * HOUR)].rssi, Some(-61), "of the beginning of this hour");
    for second in (7500..3 * 3600 + 300).step_by(16) {
        both(&mut site, second, &frame(second, 5, 0), [None, Some(-75)]);
    }
    assert_eq!(site.rows()[&(START + 3 * HOUR)].rssi, Some(-70));
    assert!(site.collector.telegrams().refused.is_empty());
}

#[test]
fn what_no_key_opens_counts_once_too_and_is_kept_as_strongly_as_it_was_heard() {
    let mut site = Site::new();
    let mut wrong = frame(7200, 5, 0);
    *wrong.last_mut().unwrap() ^= 1;
    both(&mut site, 7200, &wrong, [Some(-90), Some(-61)]);
    let counts = site.collector.telegrams();
    assert_eq!((counts.refused[&Refusal::WrongKey], counts.duplicates), (1, 1));
    site.collector.hurry();
    site.stop(7201);
    let state = &site.collector.meters[&meter()];
    assert_eq!(state.refusals()[&Refusal::WrongKey], 1);
    assert_eq!(site.sealed.iter().map(|frame| frame.rssi).max(), Some(Some(-61)));
    assert!(site.sealed.iter().all(|frame| frame.rssi == Some(-61)));
}
