use std::time::Instant;

use emulator::{
    cul::Cul as Stick,
    dongle::{Dongle as _, Mode as Sent},
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{
    Action, Dongle as _, LinkMode, fuzzing,
    simulation::{self, Kind, MINUTE, SECOND, TELEGRAM, lives},
};

const KIND: Kind = Kind {
    driver: || Box::new(Cul::new(Listen::C1AndT1, 38_400)),
    device: || Box::new(Stick::default()),
    asks: true,
    restart: None,
};

lives!(KIND);

type World = simulation::World<Stick>;

fn live(listen: Listen, stick: Stick) -> World {
    World::new(Box::new(Cul::new(listen, 38_400)), stick)
}

fn heard(world: &mut World, mode: Sent, telegram: &[u8]) {
    let line = world.device.hear(mode, telegram, -66, 38_400).unwrap().unwrap();
    world.bytes(&line);
}

#[test]
fn a_stick_is_set_up_by_three_commands_and_says_what_it_is() {
    let world = live(Listen::C1AndT1, Stick::nano_cul());
    let ready: Vec<String> = world.ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["CUL, firmware V 1.67 nanoCUL868"]);
    assert_eq!(world.written, [&b"\r\nV\r\n"[..], b"X21\r\n", b"brc\r\n"]);
    assert_eq!(world.device.report(), 0x21);
}

#[test]
fn each_choice_of_modes_is_one_of_three() {
    for (listen, command) in [
        (Listen::S1, &b"brs\r\n"[..]),
        (Listen::S1m, b"brs\r\n"),
        (Listen::T1, b"brt\r\n"),
        (Listen::C1FormatA, b"brc\r\n"),
        (Listen::C1FormatB, b"brc\r\n"),
        (Listen::C1AndT1, b"brc\r\n"),
    ] {
        let world = live(listen, Stick::default());
        assert_eq!((world.written[2].as_slice(), world.ready.len()), (command, 1));
    }
}

#[test]
fn a_telegram_keeps_its_crcs_and_says_what_its_line_says() {
    let mut world = live(Listen::C1AndT1, Stick::default());
    heard(&mut world, Sent::T1, &TELEGRAM);
    heard(&mut world, Sent::C1FormatB, &TELEGRAM);
    let [a, b] = world.heard.as_slice() else { panic!("two telegrams") };
    assert_eq!((a.bytes.len(), a.crcs, a.link_mode, a.rssi_dbm), (12, LinkCrcs::FormatA, None, Some(-66)));
    assert_eq!((b.bytes[0], b.crcs, b.link_mode), (11, LinkCrcs::FormatB, Some(LinkMode::C1)));
    for (listen, mode, sent) in [(Listen::S1, LinkMode::S1, Sent::S1), (Listen::T1, LinkMode::T1, Sent::T1)] {
        let mut world = live(listen, Stick::default());
        heard(&mut world, sent, &TELEGRAM);
        assert_eq!(world.heard[0].link_mode, Some(mode));
    }
}

#[test]
fn a_culfw_that_stops_receiving_when_told_what_to_report_receives() {
    let mut world = live(Listen::C1AndT1, Stick::a_culfw());
    assert_eq!(world.ready.len(), 1);
    heard(&mut world, Sent::T1, &TELEGRAM);
    assert_eq!(world.heard.len(), 1);
}

#[test]
fn a_firmware_without_the_mode_or_without_wmbus_is_refused() {
    for stick in [Stick::without_c_mode(), Stick::without_wmbus()] {
        let world = live(Listen::C1AndT1, stick);
        assert_eq!((world.faults(), world.ready.len()), (vec![Fault::NoSuchMode], 0));
    }
    assert_eq!(live(Listen::T1, Stick::without_c_mode()).ready.len(), 1);
}

#[test]
fn what_an_earlier_program_left_unfinished_does_not_spoil_the_first_command() {
    let mut stick = Stick::default();
    assert!(stick.input(b"nonsense", 38_400).is_empty());
    assert_eq!(live(Listen::C1AndT1, stick).ready.len(), 1);
}

#[test]
fn one_that_boots_for_two_seconds_is_waited_for() {
    let mut world = live(Listen::C1AndT1, Stick::default());
    world.driver = Box::new(Cul::new(Listen::C1AndT1, 38_400));
    world.answers = false;
    world.open();
    world.pass(2 * SECOND);
    world.answers = true;
    world.pass(SECOND);
    assert_eq!((world.ready.len(), world.reopened.len()), (2, 0));
}

#[test]
fn truncated_lines_are_counted_and_cost_no_other() {
    let mut world = live(Listen::C1AndT1, Stick::nano_cul());
    let mut long = vec![0x44; 141];
    long[0] = 140;
    for _ in 0..3 {
        heard(&mut world, Sent::T1, &long);
        heard(&mut world, Sent::T1, &TELEGRAM);
    }
    let counters = world.driver.counters();
    assert_eq!((counters.truncated, counters.partial_frames, counters.frames), (3, 0, 3));
}

#[test]
fn a_reboot_shows_in_the_mode_that_it_says_it_has() {
    let mut world = live(Listen::C1AndT1, Stick::default());
    world.device.reboot();
    world.pass(MINUTE + SECOND);
    assert_eq!((world.driver.counters().restarts, world.ready.len(), world.reopened.len()), (1, 2, 0));
    assert_eq!(world.written[3], b"br\r\nV\r\n");
}

#[test]
fn a_telegram_without_signal_strength_is_a_reason_to_set_it_up_again() {
    let mut world = live(Listen::C1AndT1, Stick::default());
    world.pass(50 * SECOND);
    heard(&mut world, Sent::T1, &TELEGRAM);
    world.device.reboot();
    world.device.input(b"brt\r\n", 38_400);
    world.pass(20 * SECOND);
    heard(&mut world, Sent::T1, &TELEGRAM);
    assert_eq!((world.driver.counters().restarts, world.device.report()), (1, 0x21));
    assert!(world.device.listens_for(Sent::C1FormatB));
}

#[test]
fn a_firmware_that_does_not_answer_for_its_mode_lives_if_it_says_its_version() {
    let (mut driver, now, mut out) = (Cul::new(Listen::T1, 38_400), Instant::now(), Vec::new());
    driver.opened(now, &mut out);
    driver.bytes(now, b"V 1.67 CUL868\r\nTMODE\r\n", &mut out);
    driver.tick(now + MINUTE, &mut out);
    driver.bytes(now + MINUTE, b"? (br is unknown) Use one of B b\r\nV 1.67 CUL868\r\n", &mut out);
    driver.tick(now + MINUTE + 30 * SECOND, &mut out);
    assert!(!out.iter().any(|action| matches!(action, Action::Reopen(_))));
    assert_eq!(driver.counters().restarts, 0);
}

#[test]
fn another_device_is_not_taken_for_a_cul() {
    for text in [&b"V 2.4\r\n"[..], b"CUL\r\n", b"CMODE\r\n", b"V CU\r\n"] {
        let (mut driver, now, mut out) = (Cul::new(Listen::T1, 38_400), Instant::now(), Vec::new());
        driver.opened(now, &mut out);
        out.clear();
        driver.bytes(now, text, &mut out);
        assert!(!out.iter().any(|action| matches!(action, Action::Write(_) | Action::Ready(_))));
    }
}

proptest! {
    #[test]
    fn any_lines_that_look_like_telegrams(bytes in vec(any::<u8>(), 0..1000)) {
        fuzzing::cul_lines(&bytes);
    }
}
