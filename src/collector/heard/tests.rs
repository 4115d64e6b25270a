use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::collector::open::Via;

fn meter(number: u32) -> Meter {
    format!("KAM.{number:08}.1B.16").parse().unwrap()
}

fn reception(milliseconds: u64, rssi: i16, receiver: u8) -> Reception {
    let via = Via { receiver: Some(receiver), link_mode: Some(LinkMode::C1) };
    Reception { at: Uptime(Duration::from_millis(milliseconds)), rssi: Some(rssi), via }
}

fn hear(table: &mut HeardTable, number: u32, at: u64, own: bool) {
    let frame = at.to_le_bytes();
    let sight = Sight { frame: &frame, reception: reception(at, -80, 0), protected: None, own };
    table.hear(meter(number), &sight, Fate::Left, None);
}

#[test]
fn intervals_are_counted_between_telegrams_and_not_between_echoes() {
    let mut table = HeardTable::default();
    for n in 0..10u64 {
        // The fourth and the fifth are missed.
        if n == 4 || n == 5 {
            continue;
        }
        let frame = [0, 0, u8::try_from(n).unwrap(), 7, 7, 7, 7, 7, 7, 7];
        for (late, receiver, rssi) in [(0, 0, -90), (300, 3, -60)] {
            let reception = reception(1000 + n * 16_000 + late, rssi, receiver);
            let sight = Sight { frame: &frame, reception, protected: Some(Protected::EllCtr), own: true };
            table.hear(meter(1), &sight, Fate::Opened, None);
        }
    }
    let entry = table.get(meter(1)).unwrap();
    assert_eq!((entry.telegrams, entry.echoes, entry.opened), (8, 8, 8));
    assert_eq!((entry.beat.total(), entry.beat.interval()), (8, Some(16_000)));
    assert_eq!((entry.first, entry.last), (1000, 145_000));
    assert_eq!((entry.rssi, entry.best_rssi, entry.link_mode), (Some(-60), Some(-60), Some(LinkMode::C1)));
    let heard_by: Vec<u8> = (0..=255).filter(|number| entry.was_heard_by(*number)).collect();
    assert_eq!(heard_by, [0, 3]);
    table.forget_receiver(3);
    assert!(!table.get(meter(1)).unwrap().was_heard_by(3));
}

#[test]
fn the_same_words_in_the_clear_a_while_later_are_no_echo() {
    let mut table = HeardTable::default();
    for n in 0..3 {
        let sight = Sight {
            frame: &[5; 30],
            reception: reception(n * 16_000, -80, 0),
            protected: Some(Protected::Plain),
            own: false,
        };
        table.hear(meter(1), &sight, Fate::Installation, None);
    }
    let entry = table.get(meter(1)).unwrap();
    assert_eq!((entry.telegrams, entry.echoes, entry.installation), (3, 0, 3));
    assert_eq!(entry.installed, Some(32_000));
}

#[test]
fn an_installation_telegram_in_the_clear_says_nothing_of_the_beat_and_the_protection() {
    let mut table = HeardTable::default();
    let mut say = |at: u64, protected, fate| {
        let frame = at.to_le_bytes();
        let sight =
            Sight { frame: &frame, reception: reception(at, -80, 0), protected: Some(protected), own: true };
        table.hear(meter(1), &sight, fate, None);
    };
    for n in 0..4 {
        say(n * 16_000, Protected::EllCtr, Fate::Opened);
    }
    say(55_000, Protected::Plain, Fate::Installation);
    say(57_500, Protected::Plain, Fate::Refused(Refusal::Downgraded));
    let entry = table.get(meter(1)).unwrap();
    assert_eq!((entry.protected, entry.beat.interval()), (Some(Protected::EllCtr), Some(16_000)));
    assert_eq!((entry.telegrams, entry.beat.total(), entry.beat.last()), (6, 4, Some(48_000)));
}

#[test]
fn the_foreign_ones_that_were_not_heard_for_longest_go_first_and_our_own_never() {
    let mut table = HeardTable::default();
    for number in 0..50 {
        hear(&mut table, number, u64::from(number), true);
    }
    for number in 100..10_000 {
        hear(&mut table, number, u64::from(number), false);
        assert!(table.foreign() <= MOST_FOREIGN);
    }
    assert!((0..50).all(|number| table.get(meter(number)).is_some()));
    assert!(table.get(meter(9_999)).is_some() && table.get(meter(100)).is_none());
    assert_eq!(table.len(), table.foreign() + 50);
    table.sort_out(|other| other == meter(9_999));
    assert_eq!(table.foreign(), table.len() - 1);
    for number in 10_000..12_500 {
        hear(&mut table, number, u64::from(number), false);
        assert!(table.foreign() <= MOST_FOREIGN);
    }
    assert!(table.get(meter(9_999)).is_some());
    assert!((0..50).all(|number| table.get(meter(number)).is_none()), "ours no longer");
}

#[test]
fn a_refusal_stands_until_a_telegram_is_opened() {
    let mut table = HeardTable::default();
    let mut say = |at: u64, fate: Fate| {
        let frame = at.to_le_bytes();
        let sight = Sight { frame: &frame, reception: reception(at, -80, 0), protected: None, own: true };
        table.hear(meter(1), &sight, fate, None);
        table.get(meter(1)).unwrap().refusal.clone()
    };
    assert_eq!(say(0, Fate::Refused(Refusal::WrongKey)), Some(Refusal::WrongKey));
    assert_eq!(say(20_000, Fate::Left), Some(Refusal::WrongKey));
    assert_eq!(say(40_000, Fate::Opened), None);
}

proptest! {
    #[test]
    fn whatever_is_heard_the_table_is_bounded_and_counts_its_foreign_ones(
        heard in proptest::collection::vec((0u32..20_000, 0u64..1_000_000, any::<bool>()), 0..6000),
    ) {
        let mut table = HeardTable::default();
        for (number, at, own) in heard {
            hear(&mut table, number, at, own && number < 100);
        }
        prop_assert!(table.foreign() <= MOST_FOREIGN);
        prop_assert!(table.len() <= MOST_FOREIGN + 100);
        prop_assert_eq!(table.after(None).count(), table.len());
        let own = table.after(None).filter(|meter| table.get(*meter).unwrap().own).count();
        prop_assert_eq!(table.len() - own, table.foreign());
        for meter in table.after(None) {
            let entry = table.get(meter).unwrap();
            prop_assert!(entry.telegrams > 0);
            prop_assert_eq!(entry.beat.interval().is_some(), entry.beat.total() > 1);
        }
    }
}
