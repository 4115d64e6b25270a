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
