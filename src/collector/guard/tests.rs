use super::*;
use proptest::prelude::*;

/// A meter that sends every sixteen seconds; 2.5 m³/h at most.
const Q4: i64 = 3_125_000;
const START: u64 = 100_000;

fn at(second: u64, litres: i64) -> Heard<(u64, i64)> {
    let counter = u32::try_from(((second / 60) << 4) | (second % 60 / 16)).unwrap();
    Heard {
        counter: Some(Counter::Session(counter)),
        register: Some(litres * 1000),
        reverse: false,
        digest: second << 20 | litres.unsigned_abs(),
        at: second,
        payload: (second, litres),
    }
}

fn started() -> Guard<(u64, i64)> {
    let mut guard = Guard::new(Q4, None);
    guard.hear(at(START, 1000));
    guard.hear(at(START + 16, 1000));
    guard
}

#[test]
fn a_telegram_is_believed_when_the_next_agrees() {
    let mut guard = Guard::new(Q4, None);
    assert_eq!(guard.hear(at(START, 1000)), (Verdict::Accepted, Believed::new()));
    let (verdict, believed) = guard.hear(at(START + 16, 1001));
    assert_eq!((verdict, believed.as_slice()), (Verdict::Accepted, [(START, 1000)].as_slice()));
    assert_eq!(guard.settle(), Some((START + 16, 1001)), "nothing has contradicted it");
    assert_eq!(guard.settle(), None, "once only");
}

#[test]
fn the_same_telegram_from_a_repeater_counts_once_and_an_old_one_is_a_replay() {
    let mut guard = started();
    assert_eq!(guard.hear(at(START + 16, 1000)).0, Verdict::Duplicate);
    assert_eq!(guard.hear(at(START, 1000)).0, Verdict::Duplicate);
    guard.hear(at(START + 64, 1000));
    let old = Heard { at: START + 80, ..at(START + 16, 1000) };
    guard.hear(at(START + 96, 1000));
    assert_eq!(guard.hear(Heard { digest: 1, ..old }).0, Verdict::Replayed);
}

#[test]
fn a_single_plausible_forgery_never_comes_out() {
    let mut guard = started();
    // 5 l more than there is: within the rate and the slack.
    assert_eq!(guard.hear(at(START + 32, 1005)).0, Verdict::Accepted);
    let (verdict, believed) = guard.hear(at(START + 48, 1000));
    assert_eq!((verdict, believed.len()), (Verdict::Contradicted, 0), "both wait");
    assert_eq!(guard.settle(), None, "no row while they do");
    let (verdict, believed) = guard.hear(at(START + 64, 1000));
    assert_eq!((verdict, believed.as_slice()), (Verdict::Accepted, [(START + 48, 1000)].as_slice()));
}

#[test]
fn a_forgery_with_the_counter_of_a_genuine_telegram_makes_both_wait() {
    for forged_first in [true, false] {
        let mut guard = started();
        let genuine = at(START + 32, 1000);
        let forged = Heard { digest: 7, payload: (0, 0), ..at(START + 32, 1004) };
        let (one, two) = if forged_first { (forged, genuine) } else { (genuine, forged) };
        guard.hear(one);
        assert_eq!(guard.hear(two).0, Verdict::Contradicted);
        let (_, believed) = guard.hear(at(START + 48, 1000));
        assert_eq!(believed.as_slice(), [(START + 32, 1000)]);
    }
}

#[test]
fn of_two_with_one_counter_that_later_ones_agree_with_neither_comes_out() {
    let mut guard = started();
    let genuine = at(START + 32, 1000);
    let forged = Heard { digest: 7, payload: (0, 0), ..genuine.clone() };
    guard.hear(forged);
    assert_eq!(guard.hear(genuine).0, Verdict::Contradicted);
    assert_eq!(guard.hear(at(START + 48, 1000)), (Verdict::Accepted, Believed::new()));
    assert_eq!(guard.hear(at(START + 64, 1000)).1.as_slice(), [(START + 48, 1000)], "life goes on");
}

#[test]
fn what_waits_for_a_row_goes_on_waiting() {
    let mut guard = started();
    assert_eq!(guard.waiting(), Some(&(START + 16, 1000)));
    assert_eq!(guard.newest().map(|point| point.at), Some(START + 16));
    assert_eq!(guard.known().map(|point| point.at), Some(START));
    guard.hear(at(START + 32, 1005));
    guard.hear(at(START + 48, 1000));
    assert_eq!((guard.waiting(), guard.newest()), (None, guard.known()), "two that contradict each other");
}

#[test]
fn an_impossible_jump_is_believed_after_three_that_agree() {
    let mut guard = started();
    assert_eq!(guard.hear(at(START + 32, 90_000)).0, Verdict::Quarantined);
    assert_eq!(guard.hear(at(START + 48, 90_000)).0, Verdict::Quarantined);
    let (verdict, believed) = guard.hear(at(START + 64, 90_001));
    assert_eq!(verdict, Verdict::Accepted);
    assert_eq!(believed.as_slice(), [(START + 32, 90_000), (START + 48, 90_000)]);
}

#[test]
fn a_register_may_fall_only_while_water_flows_backwards() {
    let mut guard = started();
    let backwards = Heard { reverse: true, ..at(START + 32, 995) };
    assert_eq!(guard.hear(backwards).0, Verdict::Accepted);
    assert_eq!(guard.hear(at(START + 48, 990)).0, Verdict::Quarantined);
}

#[test]
fn a_counter_that_runs_ahead_does_not_lock_the_meter_out() {
    let mut guard = started();
    let ahead = Heard { counter: Some(Counter::Session(0x1FFF_FFFF)), ..at(START + 32, 1000) };
    assert_eq!(guard.hear(ahead).0, Verdict::Quarantined);
    guard.hear(at(START + 48, 1000));
    let (verdict, believed) = guard.hear(at(START + 64, 1000));
    assert_eq!((verdict, believed.len()), (Verdict::Accepted, 1));
}

#[test]
fn a_meter_whose_counter_starts_anew_is_believed_in_the_end() {
    let mut guard = started();
    let anew = |n: u64| Heard {
        counter: Some(Counter::Session(u32::try_from(n).unwrap() << 4)),
        ..at(START + 3600 + n * 96, 1000)
    };
    let verdicts: Vec<_> = (0..12).map(|n| guard.hear(anew(n)).0).collect();
    assert!(verdicts.starts_with(&[Verdict::Replayed; 7]), "{verdicts:?}");
    assert_eq!(verdicts.last(), Some(&Verdict::Accepted));
}

#[test]
fn replaying_a_recorded_stretch_never_resets_a_meter_that_is_still_heard() {
    let mut guard = started();
    for n in 0..200 {
        assert_eq!(guard.hear(at(START + 32 + n * 16, 1000)).0, Verdict::Accepted);
        let replayed = Heard { digest: n, at: START + 33 + n * 16, ..at(START - 90_000 + n * 16, 1000) };
        assert_eq!(guard.hear(replayed).0, Verdict::Replayed);
    }
}

#[test]
fn after_a_restart_the_stored_point_counts() {
    let known = started().known();
    let mut guard = Guard::new(Q4, known);
    assert_eq!(guard.hear(Heard { digest: 1, ..at(START - 16, 1000) }).0, Verdict::Replayed);
    assert_eq!(guard.hear(at(START + 600, 900)).0, Verdict::Quarantined);
}

proptest! {
    /// Whoever forges one telegram at a time, with whatever register, between genuine ones: what is believed rises and
    /// is genuine, and every genuine telegram but those that wait is believed.
    #[test]
    fn single_forgeries_between_genuine_telegrams_change_nothing(
        forgeries in prop::collection::btree_map(1..60u64, (-5_000..100_000i64, any::<bool>()), 0..12)
    ) {
        // Somebody who forges has to leave two genuine ones in a row to be contradicted by.
        let mut guard = Guard::new(Q4, None);
        let (mut believed, mut last_forged) = (Vec::new(), 0);
        guard.hear(at(START, 1000));
        for n in 1..64u64 {
            believed.extend(guard.hear(at(START + n * 32, 1000)).1);
            if let Some((litres, same)) = forgeries.get(&n).filter(|_| n >= last_forged + 3) {
                last_forged = n;
                let second = if *same { START + n * 32 } else { START + n * 32 + 16 };
                let forged = Heard { digest: n, payload: (0, -1), ..at(second, 1001 + litres.abs()) };
                believed.extend(guard.hear(forged).1);
            }
        }
        prop_assert!(believed.iter().all(|(_, litres)| *litres == 1000), "{believed:?}");
        prop_assert!(believed.len() + 2 * forgeries.len() + 2 >= 63, "{}", believed.len());
    }

    #[test]
    fn no_sequence_panics_or_grows(
        telegrams in prop::collection::vec((any::<u32>(), any::<i64>(), any::<bool>(), any::<u64>(), any::<u64>()), 0..200)
    ) {
        let mut guard = Guard::new(i64::MAX, None);
        for (counter, register, reverse, digest, at) in telegrams {
            let counter = Some(Counter::Session(counter)).filter(|_| counter % 7 != 0);
            let register = Some(register).filter(|register| register % 5 != 0);
            guard.hear(Heard { counter, register, reverse, digest, at, payload: () });
            prop_assert!(guard.chains.len() <= MAX_CHAINS);
        }
    }
}
