//! Telegrams that are protected less than the meter's own.

use super::*;

#[test]
fn once_a_meter_proves_its_telegrams_those_without_proof_are_refused_also_after_a_restart() {
    let mut site = Site::new();
    let downgraded = |site: &Site| site.collector.telegrams().refused.get(&Refusal::Downgraded).copied();
    // As recorded before the meter was set to mode 10: its session number is high enough.
    let old = |second: u64| frame(second + 2_000_000, 1, LEAK);
    site.hear(0, &proven(0, 1));
    site.hear(16, &old(16));
    assert_eq!(downgraded(&site), None, "nothing is known until a second telegram agrees");
    site.hear(32, &proven(32, 1));
    site.hear(48, &proven(48, 1));
    site.hear(64, &old(64));
    assert_eq!(downgraded(&site), Some(1));
    site.stop(70);
    site.kill(80);
    site.hear(96, &old(96));
    assert_eq!(downgraded(&site), Some(1), "counted from the start of the run");
    let listed = site.collector.refusing(up(100));
    assert_eq!(listed.first().unwrap().refused, [(Refusal::Downgraded, 1)].into());
    site.hear(112, &proven(112, 1));
    site.until(3800);
    assert!(site.rows().values().all(|row| row.codes.is_empty()));
}

#[test]
fn a_meter_that_was_set_to_less_protection_is_believed_once_it_is_given_its_key_again() {
    let mut site = Site::new();
    for second in (0..160).step_by(16) {
        site.hear(second, &proven(second, 1));
    }
    let weaker = |second: u64| frame(second + 2_000_000, 2, 0);
    site.hear(160, &weaker(160));
    assert_eq!(site.collector.telegrams().refused, [(Refusal::Downgraded, 1)].into());
    site.collector.forget_protection(|meter| meter.serial.to_string() == "76348799", up(170));
    site.until(171);
    site.kill(172);
    for second in (176..600).step_by(16) {
        site.hear(second, &weaker(second));
    }
    site.stop(600);
    assert_eq!(site.registers().last().map(|row| row.1), Some(2));
    assert_eq!(site.collector.telegrams().refused, [].into());
    // And from now on the other way round.
    let mut site = Site::new();
    site.hear(0, &proven(0, 1));
    site.collector.forget_protection(|meter| meter.serial.to_string() == "76348799", up(10));
    for second in (16..160).step_by(16) {
        site.hear(second, &weaker(second));
    }
    assert_eq!(site.collector.telegrams().refused, [].into(), "what waited does not count");
}

#[test]
fn a_key_that_was_changed_has_to_open_telegrams_itself() {
    let mut site = Site::new();
    for second in [0, 16, 32] {
        site.hear(second, &proven(second, 1));
    }
    assert_eq!(site.collector.heard_meters(up(33)), [(meter(), true)]);
    let mut keys = Keyring::new();
    keys.insert("KAM.76348799".parse().unwrap(), Key::new([0xEE; 16])).unwrap();
    site.collector.set_keys(keys);
    site.collector.forget_protection(|_| true, up(40));
    assert_eq!(site.collector.heard_meters(up(41)), [(meter(), false)], "the one before opened them");
    assert_eq!(site.collector.meters(up(41)).opened, 0);
    for second in [48, 64, 80] {
        site.hear(second, &proven(second, 1));
    }
    let meters = site.collector.meters(up(81));
    assert_eq!((meters.opened, meters.wrong_key), (0, 1));
    let mut keys = Keyring::new();
    keys.insert("KAM.76348799".parse().unwrap(), key()).unwrap();
    site.collector.set_keys(keys);
    site.collector.forget_protection(|_| true, up(90));
    site.hear(96, &proven(96, 1));
    let meters = site.collector.meters(up(97));
    assert_eq!((meters.opened, meters.wrong_key), (1, 0));
}
