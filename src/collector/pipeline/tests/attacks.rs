//! What somebody without the key can do.

use super::*;

#[test]
fn a_forgery_that_waits_while_a_row_is_written_enters_no_row_once_it_is_contradicted() {
    let mut site = Site::new();
    let boundary = 3600;
    for second in (0..2 * boundary + 200).step_by(16) {
        site.hear(second, &frame(second, 1, 0));
        // The last telegram before the row of the first boundary is written.
        if second == boundary + 112 {
            site.hear(second + 4, &frame(second + 4, 1, LEAK));
        }
    }
    let rows = site.rows();
    assert_eq!(rows.len(), 3);
    assert!(rows.values().all(|row| row.codes.is_empty()), "{rows:?}");
    assert!(site.episodes().is_empty());
}

#[test]
fn a_code_that_the_last_telegram_of_an_hour_is_the_first_to_show_is_in_its_row() {
    let mut site = Site::new();
    for second in (0..=3600 - 16).step_by(16) {
        site.hear(second, &frame(second, 1, if second == 3600 - 16 { LEAK } else { 0 }));
    }
    site.until(3600 + 120);
    let codes = |hour: i64| site.rows()[&(START + hour * HOUR)].codes.clone();
    assert_eq!(codes(1), [Code::Leak].into(), "nothing follows");
    let mut site = Site::new();
    for second in (0..3600 + 300).step_by(16) {
        site.hear(second, &frame(second, 1, if second >= 3600 - 16 { LEAK } else { 0 }));
    }
    let row = site.rows()[&(START + HOUR)].clone();
    assert_eq!((row.codes.len(), row.minutes[&Code::Leak].number()), (1, 1), "it goes on");
}

/// What somebody without the key can put on the air.
#[derive(Clone, Debug)]
enum Attack {
    /// A telegram heard before.
    Replay(usize),
    /// A genuine telegram with another volume and all its checksums mended, right after it was sent.
    Alter { litres: i64 },
    /// The same, with a leak in it.
    Leak,
    /// Bytes that are no telegram of anybody.
    Noise(Vec<u8>),
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        any::<usize>().prop_map(Attack::Replay),
        (-500i64..5000).prop_map(|litres| Attack::Alter { litres }),
        Just(Attack::Leak),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(Attack::Noise),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Between two forgeries, and after the last one, the meter is heard at least twice, else nobody could tell who is
    /// who.
    #[test]
    fn attacks_change_no_register_and_begin_no_episode(
        attacks in proptest::collection::btree_map(0u64..590, attack(), 0..60),
    ) {
        let (mut quiet, mut attacked) = (Site::new(), Site::new());
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut last = 0;
        for n in 0..600u64 {
            let second = n * 16;
            let litres = i64::try_from(second / 100).unwrap();
            let genuine = frame(second, litres, 0);
            quiet.hear(second, &genuine);
            attacked.hear(second, &genuine);
            sent.push(genuine);
            let Some(attack) = attacks.get(&n).filter(|_| n >= last + 3) else { continue };
            let forged = match attack {
                Attack::Replay(which) => sent[which % sent.len()].clone(),
                Attack::Alter { litres: more } => { last = n; frame(second + 4, litres + more.abs() + 1, 0) }
                Attack::Leak => { last = n; frame(second + 4, litres, LEAK) }
                Attack::Noise(bytes) => bytes.clone(),
            };
            attacked.hear(second + 4, &forged);
        }
        quiet.stop(600 * 16);
        attacked.stop(600 * 16);
        prop_assert_eq!(quiet.registers(), attacked.registers());
        for (boundary, row) in attacked.rows() {
            prop_assert!(row.codes.is_empty() && row.minutes.is_empty(), "{boundary}: {:?}", row.codes);
        }
        prop_assert!(attacked.episodes().is_empty());
    }
}
