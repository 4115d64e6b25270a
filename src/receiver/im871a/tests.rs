use std::time::{Duration, Instant};

use emulator::{
    dongle::{Dongle as _, Mode},
    im871a::Device,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{
    Action, Dongle as _, Fault, LinkMode, fuzzing,
    simulation::{self, HOUR, Kind, MINUTE, SECOND, TELEGRAM, lives},
};

const KIND: Kind = Kind {
    driver: || Box::new(Im871a::new(Listen::C1AndT1)),
    device: || Box::new(Device::default()),
    asks: true,
    restart: Some(&[0xA5, 0x81, 0x07, 0x00, 0xF4, 0xDD]),
};

lives!(KIND);

type World = simulation::World<Device>;

fn live(listen: Listen, device: Device) -> World {
    World::new(Box::new(Im871a::new(listen)), device)
}

fn healthy() -> World {
    let world = live(Listen::C1AndT1, Device::default());
    assert_eq!(world.ready.len(), 1);
    world
}

#[test]
fn a_dongle_is_set_up_with_five_requests() {
    let world = healthy();
    let ready: Vec<String> = world.ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["iM871A 00102863, firmware 1.4"]);
    assert_eq!((world.written.len(), world.device.link_mode()), (5, 0x0A));
}

#[test]
fn each_choice_of_modes_is_its_own_link_mode() {
    for (listen, link_mode) in [
        (Listen::S1, 0),
        (Listen::S1m, 1),
        (Listen::T1, 3),
        (Listen::C1FormatA, 6),
        (Listen::C1FormatB, 7),
        (Listen::C1AndT1, 0x0A),
    ] {
        assert_eq!(live(listen, Device::default()).device.link_mode(), link_mode);
    }
}

#[test]
fn a_telegram_has_its_length_byte_its_rssi_and_its_time() {
    let mut world = healthy();
    world.pass(3 * SECOND);
    world.telegram();
    let [frame] = world.heard.as_slice() else { panic!("one telegram") };
    assert_eq!((&*frame.bytes, frame.rssi_dbm, frame.link_mode), (&TELEGRAM[..], Some(-80), None));
    assert_eq!(frame.heard_at, world.now);
    assert_eq!(world.driver.counters().last_heard, Some(world.now));

    let mut world = live(Listen::C1FormatA, Device::default());
    world.telegram();
    assert_eq!(world.heard[0].link_mode, Some(LinkMode::C1));
}

#[test]
fn a_telegram_between_request_and_reply_is_heard_and_the_reply_still_counts() {
    let (mut driver, mut device, mut out, now) =
        (Im871a::new(Listen::C1AndT1), Device::default(), Vec::new(), Instant::now());
    device.input(&[0xA5, 1, 3, 4, 0, 2, 0x0A, 0], 57_600);
    driver.opened(now, &mut out);
    let (mut heard, mut ready) = (0, 0);
    while !out.is_empty() {
        for action in std::mem::take(&mut out) {
            match action {
                Action::Write(command) => {
                    let telegram = device.hear(Mode::T1, &TELEGRAM, -70, 57_600).unwrap().unwrap();
                    driver.bytes(now, &telegram, &mut out);
                    for reply in device.input(&command, 57_600) {
                        driver.bytes(now, &reply, &mut out);
                    }
                }
                Action::Heard(_) => heard += 1,
                Action::Ready(_) => ready += 1,
                Action::Wake(_) | Action::Reopen(_) => {}
            }
        }
    }
    assert_eq!((heard, ready), (5, 1));
}

#[test]
fn old_firmware_is_refused_for_two_modes_at_once_and_taken_for_one() {
    let old = || Device::default().with_firmware(0x13);
    assert_eq!(live(Listen::C1AndT1, old()).faults(), [Fault::FirmwareTooOld { firmware: (1, 3) }]);
    assert_eq!(live(Listen::T1, old()).ready.len(), 1);
}

#[test]
fn another_module_is_refused_before_anything_is_set() {
    let world = live(Listen::C1AndT1, Device::default().with_module_type(0x36));
    assert_eq!(world.faults(), [Fault::WrongModule { module_type: 0x36 }]);
    assert_eq!(world.device.link_mode(), 1);
}

#[test]
fn a_refused_dongle_is_asked_again_at_most_once_a_minute() {
    let mut world = live(Listen::C1AndT1, Device::default().with_firmware(0x13));
    world.pass(HOUR);
    assert!((50..=61).contains(&world.reopened.len()), "{}", world.reopened.len());
}

#[test]
fn a_lost_answer_is_asked_for_again_and_three_lost_ones_reopen() {
    let mut world = live(Listen::C1AndT1, Device::default());
    world.answers = false;
    world.open();
    let before = world.written.len();
    world.pass(Duration::from_millis(999));
    assert_eq!(world.written.len() - before, 1);
    world.answers = true;
    world.pass(SECOND);
    assert_eq!(world.ready.len(), 2);

    let mut silent = live(Listen::C1AndT1, Device::default());
    silent.answers = false;
    silent.driver = Box::new(Im871a::new(Listen::C1AndT1));
    silent.open();
    silent.pass(Duration::from_millis(1500));
    assert_eq!(silent.faults(), [Fault::NoAnswer]);
}

#[test]
fn a_dongle_that_boots_slowly_is_ready_within_three_seconds_more() {
    let mut world = healthy();
    world.answers = false;
    world.pass(MINUTE + 5 * SECOND);
    assert_eq!(world.faults(), [Fault::StoppedAnswering]);
    world.pass(4 * SECOND);
    world.answers = true;
    world.pass(3 * SECOND);
    assert_eq!(world.ready.len(), 2);
}

#[test]
fn a_rebooted_dongle_is_set_up_again_within_a_minute_without_reopening() {
    let mut world = healthy();
    world.telegrams(SECOND, MINUTE);
    world.device.reboot();
    world.telegrams(SECOND, MINUTE + SECOND);
    assert_eq!(world.device.link_mode(), 0x0A);
    assert_eq!((world.driver.counters().restarts, world.reopened.len()), (1, 0));
}

#[test]
fn a_reboot_shows_in_what_is_attached_even_if_telegrams_still_come() {
    let mut world = live(Listen::S1m, Device::default());
    let s1 = |world: &mut World| {
        let frame = world.device.hear(Mode::S1, &TELEGRAM, -60, 57_600).unwrap().unwrap();
        world.bytes(&frame);
    };
    for _ in 0..70 {
        world.pass(SECOND);
        s1(&mut world);
    }
    world.device.reboot();
    world.pass(SECOND);
    s1(&mut world);
    assert_eq!(world.driver.counters().restarts, 1, "its factory settings attach a timestamp");
    assert_eq!(world.heard.len(), 71, "and the telegram counts all the same");
}

#[test]
fn short_frames_are_counted_and_not_handed_on() {
    // Without CRC, which is right as long as none was seen: a telegram of eight bytes.
    let (mut driver, now, mut out) = (Im871a::new(Listen::C1AndT1), Instant::now(), Vec::new());
    driver.opened(now, &mut out);
    driver.bytes(now, &[0xA5, 0x02, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8], &mut out);
    assert!(!out.iter().any(|action| matches!(action, Action::Heard(_))));
    assert_eq!((driver.counters().short_frames, driver.counters().frames), (1, 0));
}

#[test]
fn a_reboot_into_settings_that_still_hear_something_is_noticed_within_the_hour() {
    let mut world = live(Listen::C1AndT1, Device::default().left_listening_in(3));
    world.telegrams(MINUTE, HOUR);
    world.device.reboot();
    let t1 = |world: &mut World| {
        world.pass(10 * SECOND);
        let frame = world.device.hear(Mode::T1, &TELEGRAM, -80, BAUD).unwrap().unwrap();
        world.bytes(&frame);
    };
    for _ in 0..361 {
        t1(&mut world);
    }
    assert_eq!((world.device.link_mode(), world.driver.counters().restarts), (0x0A, 1));
    assert!(world.reopened.is_empty());
}

proptest! {
    #[test]
    fn any_frames_whose_checksum_is_right(bytes in vec(any::<u8>(), 0..1000)) {
        fuzzing::im871a_framed(&bytes);
    }

    #[test]
    fn frames_with_a_byte_changed(at in 0usize..62, value in any::<u8>()) {
        let mut device = Device::default();
        let mut bytes: Vec<u8> = device.input(&[0xA5, 1, 3, 4, 0, 2, 0x0A, 0], 57_600).concat();
        for _ in 0..3 {
            bytes.extend(device.hear(Mode::T1, &TELEGRAM, -70, 57_600).unwrap().unwrap());
        }
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        fuzzing::im871a(&bytes);
    }
}
