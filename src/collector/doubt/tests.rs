use proptest::prelude::*;

use super::*;
use crate::collector::open::{Reception, Via};
use messages::reading::Checked;

const NONE: [u64; 0] = [];

fn telegram(second: u64, codes: &[Code]) -> Box<Opened> {
    Box::new(Opened {
        facts: Facts {
            registers: Vec::new(),
            flow: None,
            water: None,
            ambient: None,
            codes: codes.to_vec(),
            tells_codes: true,
            classes: Vec::new(),
            inferred: false,
            checked: Checked::Checksum,
        },
        reception: Reception { at: Uptime(Duration::from_secs(second)), rssi: None, via: Via::default() },
        counter: None,
        digest: 0,
        full: None,
    })
}

fn with_class(second: u64, class: u8) -> Box<Opened> {
    let mut opened = telegram(second, &[Code::Leak]);
    opened.facts.classes = vec![(Code::Leak, DurationClass::try_from(class).unwrap())];
    opened
}

fn with_water(second: u64, degrees: i32) -> Box<Opened> {
    let mut opened = telegram(second, &[]);
    opened.facts.water = Some(format!("{degrees} °C").parse().unwrap());
    opened
}

/// Seconds of those that count, and of those that are disputed, when nothing more is heard.
fn weigh(telegrams: impl IntoIterator<Item = Box<Opened>>) -> (Vec<u64>, Vec<u64>) {
    let mut doubts = Doubts::default();
    let mut all: Vec<(u64, bool)> = Vec::new();
    for opened in telegrams {
        all.extend(doubts.weigh(opened).iter().map(|one| (one.opened.reception.at.seconds(), one.disputed)));
    }
    all.extend(doubts.end().map(|opened| (opened.reception.at.seconds(), false)));
    let some = |disputed: bool| all.iter().filter(|one| one.1 == disputed).map(|one| one.0).collect();
    (some(false), some(true))
}

#[test]
fn a_code_of_one_telegram_is_disputed_by_the_next() {
    let telegrams = vec![telegram(0, &[]), telegram(16, &[Code::Leak]), telegram(32, &[]), telegram(48, &[])];
    assert_eq!(weigh(telegrams), (vec![0, 32, 48], vec![16]));
}

#[test]
fn a_code_that_goes_on_or_went_on_until_now_counts() {
    let leak = |second| telegram(second, &[Code::Leak]);
    assert_eq!(weigh(vec![telegram(0, &[]), leak(16), leak(32), telegram(48, &[])]).1, NONE);
    assert_eq!(weigh(vec![telegram(0, &[]), leak(16)]), (vec![0, 16], vec![]), "nothing follows");
    assert_eq!(weigh(vec![telegram(0, &[]), leak(16), telegram(617, &[])]).1, NONE, "too late to know");
    assert_eq!(
        weigh(vec![leak(0), telegram(16, &[])]).1,
        [0],
        "the first one of all has no neighbour but the next"
    );
}

#[test]
fn two_forgeries_apart_are_disputed_each_and_do_not_vouch_for_each_other() {
    let leak = |second| telegram(second, &[Code::Leak]);
    let telegrams = vec![telegram(0, &[]), leak(16), telegram(32, &[]), leak(48), telegram(64, &[])];
    assert_eq!(weigh(telegrams).1, [16, 48]);
}

#[test]
fn a_telegram_without_a_word_of_codes_decides_nothing() {
    let mut silent = telegram(32, &[]);
    silent.facts.tells_codes = false;
    let telegrams = vec![telegram(0, &[]), telegram(16, &[Code::Dry]), silent.clone(), telegram(48, &[])];
    assert_eq!(weigh(telegrams).1, [16]);
    let telegrams = vec![telegram(0, &[]), telegram(16, &[Code::Dry]), silent, telegram(48, &[Code::Dry])];
    assert_eq!(weigh(telegrams).1, NONE);
}

#[test]
fn a_duration_class_of_one_telegram_is_disputed_and_one_that_has_risen_is_not() {
    assert_eq!(weigh(vec![with_class(0, 1), with_class(16, 7), with_class(32, 1)]).1, [16]);
    let known = || vec![with_class(0, 1), with_class(16, 1)];
    assert_eq!(weigh([known(), vec![with_class(32, 7), with_class(48, 1)]].concat()).1, [32]);
    assert_eq!(weigh([known(), vec![with_class(32, 2), with_class(48, 3)]].concat()).1, NONE);
    assert_eq!(weigh([known(), vec![with_class(32, 2), with_class(48, 2)]].concat()).1, NONE);
}

#[test]
fn a_temperature_that_leaps_there_and_back_is_disputed_and_hot_water_is_not() {
    let telegrams = |degrees: [i32; 4]| {
        let times = (0..).step_by(16);
        times.zip(degrees).map(|(second, degrees)| with_water(second, degrees)).collect::<Vec<_>>()
    };
    assert_eq!(weigh(telegrams([8, 8, 60, 8])).1, [32]);
    assert_eq!(weigh(telegrams([20, 20, 45, 55])).1, NONE);
    assert_eq!(weigh(telegrams([20, 20, 45, 38])).1, NONE);
    assert_eq!(weigh(vec![with_water(0, 8), with_water(100, 60), with_water(200, 8)]).1, NONE, "time enough");
}

#[test]
fn what_waits_counts_for_a_row_unless_the_next_one_disagrees() {
    let mut doubts = Doubts::default();
    let _ = doubts.weigh(telegram(0, &[]));
    let _ = doubts.weigh(telegram(16, &[Code::Burst]));
    let disputed = |next: Option<&Opened>| -> Vec<bool> {
        doubts.waiting(next).iter().map(|one| one.disputed).collect()
    };
    assert_eq!(disputed(None), [false]);
    assert_eq!(disputed(Some(&telegram(32, &[Code::Burst]))), [false, false]);
    assert_eq!(disputed(Some(&telegram(32, &[]))), [true, false]);
}

proptest! {
    /// Whoever changes single telegrams, each between two that the meter itself has sent, adds no code to an hour and
    /// takes none away but for the telegrams beside the changed ones.
    #[test]
    fn single_forgeries_add_no_code_and_every_telegram_comes_out_once(
        genuine in proptest::collection::vec(0usize..4, 10..80),
        forged in proptest::collection::btree_map(1usize..40, 0usize..4, 0..10),
    ) {
        // A code of the meter's own stays for at least five telegrams.
        let sets: [&[Code]; 4] = [&[], &[Code::Leak], &[Code::Leak, Code::Burst], &[Code::Dry]];
        let own = |n: usize| sets[genuine[n / 5 % genuine.len()]];
        let mut telegrams = Vec::new();
        let (mut second, mut last) = (0, 0);
        for n in 0..50 {
            second += 16;
            telegrams.push((second, own(n), false));
            if let Some(set) = forged.get(&n).filter(|_| n >= last + 3) {
                last = n;
                telegrams.push((second + 4, sets[*set], true));
            }
        }
        let (counts, disputed) = weigh(telegrams.iter().map(|(at, codes, _)| telegram(*at, codes)));
        prop_assert_eq!(counts.len() + disputed.len(), telegrams.len());
        for (at, codes, is_forged) in &telegrams {
            if *is_forged && counts.contains(at) {
                let near = |code: &Code| telegrams.iter().any(|(other, own, forged)| {
                    !forged && at.abs_diff(*other) < 32 && own.contains(code)
                });
                prop_assert!(codes.iter().all(near), "{} says {:?}", at, codes);
            }
        }
    }
}
