use std::time::Instant;

use emulator::{
    amber::Amber,
    dongle::{Dongle as _, Mode},
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{
    Dongle as _, fuzzing,
    simulation::{self, DAY, HOUR, Kind, MINUTE, SECOND, TELEGRAM, lives},
};

const RESET: &[u8] = &[0xFF, 0x05, 0x00, 0xFA];

const FRAMED: Kind = Kind {
    driver: || Box::new(Amb8465::new(Listen::C1AndT1, 9_600)),
    device: || Box::new(Amber::amb8465()),
    asks: true,
    restart: Some(RESET),
};

mod framed {
    use super::*;

    lives!(FRAMED);
}

mod as_delivered {
    use super::*;

    lives!(Kind { device: || Box::new(Amber::amb8465().as_delivered()), ..FRAMED });
}

mod at_169_mhz {
    use super::*;

    const KIND: Kind = Kind {
        driver: || Box::new(Amb3665::new(Channel::A, 9_600)),
        device: || Box::new(Amber::amb3665()),
        ..FRAMED
    };

    lives!(KIND);
}

type World = simulation::World<Amber>;

fn live(listen: Listen, module: Amber) -> World {
    World::new(Box::new(Amb8465::new(listen, 9_600)), module)
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// A public MULTICAL 21 test telegram without its length byte, 0x2A.
const MULTICAL: &str = "44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 00 44 13 \
    08 19 00 00 61 5B 7F 61 67 13";

#[test]
fn a_module_is_set_up_with_the_four_requests_of_the_manual() {
    let world = live(Listen::C1AndT1, Amber::amb8465());
    let requests = ["FF 0A 02 00 80 77", "FF 0C 00 F3", "FF 0B 00 F4", "FF 04 01 09 F3"].map(hex);
    assert_eq!(world.written, requests);
    let ready: Vec<String> = world.ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["AMB8465 53005B0E, firmware 2.7.0"]);
    assert_eq!(world.device.mode(), 9);
}

#[test]
fn each_choice_of_modes_is_a_mode_of_the_other_device() {
    for (listen, request) in [
        (Listen::S1, "FF 04 01 03 F9"),
        (Listen::S1m, "FF 04 01 03 F9"),
        (Listen::T1, "FF 04 01 08 F2"),
        (Listen::C1FormatA, "FF 04 01 0E F4"),
        (Listen::C1FormatB, "FF 04 01 0E F4"),
        (Listen::C1AndT1, "FF 04 01 09 F3"),
    ] {
        assert_eq!(live(listen, Amber::amb8465()).written.last(), Some(&hex(request)), "{listen:?}");
    }
    for (channel, mode) in [
        (Channel::A, 2),
        (Channel::B, 4),
        (Channel::C, 6),
        (Channel::D, 8),
        (Channel::E, 10),
        (Channel::F, 12),
    ] {
        let world = World::new(Box::new(Amb3665::new(channel, 9_600)), Amber::amb3665());
        assert_eq!((world.ready.len(), world.device.mode()), (1, mode));
    }
}

#[test]
fn telegrams_are_read_framed_and_transparent_with_and_without_signal_strength() {
    let framed = Amber::amb8465();
    let cases = [
        (framed.clone(), "FF 03 2B", "10 32", Some(-66)),
        (framed.clone().without_rssi(), "FF 03 2A", "23", None),
        (framed.clone().transparent(), "2B", "10", Some(-66)),
        (framed.transparent().without_rssi(), "2A", "", None),
    ];
    for (module, head, tail, rssi_dbm) in cases {
        let mut world = live(Listen::T1, module);
        world.bytes(&hex(&format!("{head} {MULTICAL} {tail}")));
        let [frame] = world.heard.as_slice() else { panic!("one telegram") };
        assert_eq!(*frame.bytes, [&[0x2A], hex(MULTICAL).as_slice()].concat(), "{head}");
        assert_eq!((frame.rssi_dbm, frame.link_mode), (rssi_dbm, Some(LinkMode::T1)));
        assert_eq!(world.driver.counters().garbage_bytes, 0);
    }
}

#[test]
fn rssi_is_that_of_the_manual() {
    assert_eq!([0x10, 0x12, 0xFA, 0x80, 0x11].map(rssi_dbm), [-66, -65, -77, -138, -65]);
}

#[test]
fn answers_behind_the_garbage_that_real_modules_send_are_found() {
    let mut world = live(Listen::C1AndT1, Amber::amb8465().fast());
    assert_eq!(world.ready.len(), 0, "it does not understand");
    let dump = Amber::amb8465().input(&hex("FF 0A 02 00 80 77"), 9_600).concat();
    world.bytes(&[hex("FE"), dump].concat());
    world.bytes(&hex("D5 FF 8C 03 02 07 00 75"));
    world.bytes(&hex("FF FF 8B 04 53 00 5B 0E 76"));
    world.bytes(&hex("FF 84 01 00 7A"));
    assert_eq!(world.ready.len(), 1);
}

#[test]
fn a_frame_cut_short_does_not_take_the_next_of_its_meter_along() {
    let mut world = live(Listen::T1, Amber::amb8465());
    let frame = hex(&format!("FF 03 2B {MULTICAL} 10 32"));
    for cut in 1..frame.len() {
        let (before, counters) = (world.heard.len(), world.driver.counters());
        world.bytes(&[&frame[..cut], &frame].concat());
        world.pass(3 * SECOND);
        assert_eq!(world.heard.len(), before + 1, "{cut} bytes came");
        assert!(world.driver.counters().garbage_bytes > counters.garbage_bytes);
    }
}

#[test]
fn a_telegram_that_holds_the_start_of_a_frame_waits_for_what_follows_and_is_taken() {
    let mut world = live(Listen::T1, Amber::amb8465());
    let telegram = hex("0E 44 2D 2C 99 87 34 76 1B 16 78 FF 03 40 00");
    let frame = world.device.hear(Mode::T1, &telegram, -66, 9_600).unwrap().unwrap();
    world.bytes(&frame);
    assert_eq!(world.heard.len(), 0);
    world.pass(3 * SECOND);
    assert_eq!(*world.heard[0].bytes, telegram);
}

#[test]
fn a_transparent_length_that_is_too_long_takes_one_telegram_along_at_most() {
    let mut world = live(Listen::T1, Amber::amb8465().as_delivered());
    let telegram = [&[0x2A], hex(MULTICAL).as_slice()].concat();
    for length in 0x2B..=0xFE {
        let before = world.heard.iter().filter(|frame| *frame.bytes == *telegram).count();
        world.bytes(&[&[length], &telegram[1..], &telegram.repeat(7)].concat());
        world.pass(3 * SECOND);
        let after = world.heard.iter().filter(|frame| *frame.bytes == *telegram).count();
        assert!(after - before >= 6, "{length}: {} of 7", after - before);
    }
}

#[test]
fn a_telegram_before_its_output_is_known_is_left_alone() {
    let mut world = live(Listen::C1AndT1, Amber::amb8465().fast());
    world.bytes(&hex(&format!("FF 03 2B {MULTICAL} 10 32")));
    assert_eq!((world.heard.len(), world.driver.counters().frames), (0, 0));
}

#[test]
fn the_wrong_part_and_one_that_sleeps_are_refused_with_what_to_do() {
    let world = live(Listen::C1AndT1, Amber::amb3665());
    assert_eq!(world.faults(), [Fault::WrongKind { is: "AMB3665" }]);
    let world = World::new(Box::new(Amb3665::new(Channel::A, 9_600)), Amber::amb8465());
    assert_eq!(world.faults(), [Fault::WrongKind { is: "AMB8465" }]);
    let world = live(Listen::C1AndT1, Amber::amb8465().asleep());
    assert_eq!(world.faults(), [Fault::Sleeps]);
}

#[test]
fn a_module_that_takes_no_mode_is_given_to_people() {
    let mut world = live(Listen::C1AndT1, Amber::amb8465());
    world.answers = false;
    world.open();
    let dump = Amber::amb8465().input(&hex("FF 0A 02 00 80 77"), 9_600).concat();
    world.bytes(&dump);
    for answer in ["FF 8C 03 02 07 00 75", "FF 8B 04 53 00 5B 0E 76", "FF 84 01 01 7B"] {
        world.bytes(&hex(answer));
    }
    world.pass(10 * SECOND);
    assert_eq!(world.faults(), [Fault::SettingsRefused]);
}

#[test]
fn a_module_that_rebooted_and_still_hears_some_gets_its_mode_back_within_the_hour() {
    let mut world = live(Listen::C1AndT1, Amber::amb8465().as_delivered());
    let t1 = |world: &mut World| {
        world.pass(10 * SECOND);
        let frame = world.device.hear(Mode::T1, &TELEGRAM, -60, 9_600).unwrap();
        world.bytes(&frame.unwrap_or_default());
    };
    for _ in 0..10 {
        t1(&mut world);
    }
    // It starts in a mode that hears T1 only.
    world.device.input(&hex("FF 04 01 08 F2"), 9_600);
    for _ in 0..361 {
        t1(&mut world);
    }
    assert_eq!((world.device.mode(), world.heard.len()), (9, 371));
}

#[test]
fn its_memory_is_never_written_and_nothing_is_ever_transmitted() {
    let before = Amber::amb8465().as_delivered();
    let mut world = live(Listen::C1AndT1, before.clone());
    world.telegrams(MINUTE, HOUR);
    world.hears = false;
    world.pass(2 * DAY);
    world.answers = false;
    world.pass(HOUR);
    world.answers = true;
    world.pass(HOUR);
    assert_eq!(world.device.flash(), before.flash());
    assert!(!world.device.has_transmitted());
    assert!(
        world.written.iter().all(|command| matches!(command[..2], [0xFF, 0x04 | 0x05 | 0x0A | 0x0B | 0x0C]))
    );
}

/// Bytes that like to look like the beginning of a frame.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![any::<u8>(), Just(0xFF), Just(0x03), Just(0x8A), Just(0x84)], 0..60)
}

proptest! {
    #[test]
    fn any_frames_whose_checksum_is_right(bytes in vec(any::<u8>(), 0..1000), transparent in any::<bool>()) {
        if transparent { fuzzing::amber_transparent(&bytes) } else { fuzzing::amber_framed(&bytes) }
    }

    #[test]
    fn garbage_between_frames_costs_no_frame(parts in vec((noise(), 0u8..100), 1..8), split in 1usize..80) {
        let mut world = live(Listen::C1AndT1, Amber::amb8465());
        let (mut line, mut sent) = (Vec::new(), 0);
        for (garbage, number) in parts {
            let telegram = [&TELEGRAM[..], &[number]].concat();
            let telegram = [&[10], &telegram[1..]].concat();
            line.extend(garbage);
            line.extend(world.device.hear(Mode::T1, &telegram, -70, 9_600).unwrap().unwrap());
            sent += 1;
        }
        for piece in line.chunks(split) {
            world.bytes(piece);
        }
        world.pass(3 * SECOND);
        let whole = world.heard.iter().filter(|frame| frame.bytes.get(1..10) == Some(&TELEGRAM[1..])).count();
        // The checksum of a false frame is right once in 256 times; it may then hide those that it covers.
        prop_assert!(whole + 1 >= sent, "{whole} of {sent}");
    }

    #[test]
    fn a_transparent_stream_finds_its_way_after_garbage(garbage in vec(any::<u8>(), 0..300)) {
        let mut world = live(Listen::C1AndT1, Amber::amb8465().as_delivered());
        world.bytes(&garbage);
        world.pass(3 * SECOND);
        let before = world.heard.len();
        world.telegram();
        prop_assert_eq!(world.heard.len(), before + 1);
    }
}

#[test]
fn the_time_of_a_telegram_is_that_of_its_last_byte() {
    let (mut driver, mut out) = (Amb8465::new(Listen::C1AndT1, 9_600), Vec::new());
    let now = Instant::now();
    driver.opened(now, &mut out);
    for answer in
        Amber::amb8465().input(&hex("FF 0A 02 00 80 77 FF 0C 00 F3 FF 0B 00 F4 FF 04 01 09 F3"), 9_600)
    {
        driver.bytes(now, &answer, &mut out);
    }
    let frame = hex(&format!("FF 03 2B {MULTICAL} 10 32"));
    driver.bytes(now + SECOND, &frame[..20], &mut out);
    driver.bytes(now + 2 * SECOND, &frame[20..], &mut out);
    assert_eq!(driver.counters().last_heard, Some(now + 2 * SECOND));
}
