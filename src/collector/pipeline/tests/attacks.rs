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

/// What a telegram says.
#[derive(Clone, Copy, Debug)]
struct Said {
    litres: i64,
    codes: i64,
    /// Litres an hour.
    flow: i64,
    /// Tenths of a degree.
    water: i64,
    ambient: i64,
}

impl Said {
    /// What the meter itself says in its `n`th telegram: everything moves, and for a while there is a leak.
    fn genuinely(n: u64) -> Self {
        let n = i64::try_from(n).unwrap();
        Self {
            litres: 1000 + n * 16 / 100,
            codes: if (200..400).contains(&n) { LEAK | 2 << 10 } else { 0 },
            flow: n * 37 % 1000,
            water: 80 + n % 30,
            ambient: 200 + n % 20,
        }
    }

    fn sent(self, second: u64) -> Vec<u8> {
        let mut records = records(self.litres, self.codes);
        for (head, value) in
            [([0x02, 0x3B], self.flow), ([0x02, 0x5A], self.water), ([0x02, 0x66], self.ambient)]
        {
            records.integer(&head, value).unwrap();
        }
        ciphered(meter(), second, &records)
    }
}

/// What somebody without the key can put on the air.
#[derive(Clone, Debug)]
enum Attack {
    /// A telegram heard before.
    Replay(usize),
    /// A genuine telegram with all its checksums mended, right after it was sent, that says something else.
    Alter(Lie, Besides),
    /// Bytes that are no telegram of anybody.
    Noise(Vec<u8>),
}

/// What no neighbour says.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// So many litres more or less.
    Litres(i64),
    /// These bits of the info codes as well.
    Codes(i64),
    /// So many tenths of a degree more or less.
    Water(i64),
    Ambient(i64),
}

/// What goes with it: alone it would be plausible.
#[derive(Clone, Copy, Debug)]
struct Besides {
    flow: i64,
    warmer: i64,
}

fn lie() -> impl Strategy<Value = Lie> {
    let code = prop_oneof![Just(1 << 0), Just(1 << 3)];
    // Higher classes than the genuine ones.
    let class = prop_oneof![
        (1i64..8).prop_map(|class| class << 4),
        (1i64..8).prop_map(|class| class << 13),
        Just(4 << 10)
    ];
    let far = || prop_oneof![-700i64..-150, 150i64..700];
    prop_oneof![
        prop_oneof![-500i64..-2, 3i64..5000].prop_map(Lie::Litres),
        code.prop_map(Lie::Codes),
        class.prop_map(Lie::Codes),
        far().prop_map(Lie::Water),
        far().prop_map(Lie::Ambient),
    ]
}

fn attack() -> impl Strategy<Value = Attack> {
    let besides = (0i64..9000, -40i64..40).prop_map(|(flow, warmer)| Besides { flow, warmer });
    prop_oneof![
        1 => any::<usize>().prop_map(Attack::Replay),
        6 => (lie(), besides).prop_map(|(lie, besides)| Attack::Alter(lie, besides)),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Attack::Noise),
    ]
}

fn told(genuine: Said, lie: Lie, besides: Besides) -> Said {
    let mut said = Said {
        flow: besides.flow,
        water: genuine.water + besides.warmer,
        ambient: genuine.ambient + besides.warmer,
        ..genuine
    };
    match lie {
        Lie::Litres(more) => said.litres += more,
        Lie::Codes(codes) => said.codes |= codes,
        Lie::Water(warmer) => said.water = genuine.water + warmer,
        Lie::Ambient(warmer) => said.ambient = genuine.ambient + warmer,
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Between two forgeries, and after the last one, the meter is heard at least twice, else nobody could tell who is
    /// who.
    #[test]
    fn attacks_change_no_row_and_no_episode(
        attacks in proptest::collection::btree_map(0u64..590, attack(), 0..60),
    ) {
        let (mut quiet, mut attacked) = (Site::new(), Site::new());
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut last = 0;
        for n in 0..600u64 {
            let second = n * 16;
            let genuine = Said::genuinely(n).sent(second);
            quiet.hear(second, &genuine);
            attacked.hear(second, &genuine);
            sent.push(genuine);
            let Some(attack) = attacks.get(&n).filter(|_| n >= last + 3) else { continue };
            let forged = match attack {
                Attack::Replay(which) => sent[which % sent.len()].clone(),
                Attack::Alter(lie, besides) => {
                    last = n;
                    told(Said::genuinely(n), *lie, *besides).sent(second + 4)
                }
                Attack::Noise(bytes) => bytes.clone(),
            };
            attacked.hear(second + 4, &forged);
        }
        quiet.stop(600 * 16);
        attacked.stop(600 * 16);
        // Registers, extremes, codes and their minutes, classes, counts.
        prop_assert_eq!(quiet.rows(), attacked.rows());
        let told = |site: &Site| -> Vec<_> {
            site.episodes().iter().map(|episode| (episode.code.clone(), episode.started, episode.standing)).collect()
        };
        prop_assert_eq!(told(&quiet), told(&attacked));
    }
}

#[test]
fn what_attacks_are_held_against_has_all_that_a_row_can_say() {
    let mut site = Site::new();
    for n in 0..600 {
        site.hear(n * 16, &Said::genuinely(n).sent(n * 16));
    }
    site.stop(600 * 16);
    let row = &site.rows()[&(START + HOUR)];
    assert!(row.flow.is_some() && row.water.is_some() && row.ambient.is_some(), "{row:?}");
    assert_eq!((row.telegrams, row.codes.len(), row.minutes.len(), row.classes.len()), (225, 1, 1, 1));
    assert!(!site.episodes().is_empty());
}
