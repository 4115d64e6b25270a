use std::time::{Duration, Instant};

use emulator::{
    dongle::{Dongle as _, Mode, Spoil},
    iu891a::Device,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{
    Action, Dongle as _, LinkMode, fuzzing,
    simulation::{self, HOUR, Kind, MINUTE, SECOND, TELEGRAM as HEARD, lives},
};

const KIND: Kind = Kind {
    driver: || Box::new(Iu891a::new(Listen::C1AndT1)),
    device: || Box::new(Device::default()),
    asks: true,
    restart: Some(&[0xC0, 0x01, 0x07, 0x20, 0x62, 0xC0]),
};

lives!(KIND);

type World = simulation::World<Device>;

fn live(listen: Listen, device: Device) -> World {
    World::new(Box::new(Iu891a::new(listen)), device)
}

#[test]
fn a_dongle_is_set_up_with_five_requests() {
    let world = live(Listen::C1AndT1, Device::default());
    let ready: Vec<String> = world.ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["iU891A-XL 00062DBE"]);
    assert_eq!((world.written.len(), world.device.link_mode()), (5, 3));
}

#[test]
fn a_half_request_of_somebody_else_is_flushed_out_of_the_dongle_first() {
    let mut device = Device::default();
    device.input(&[0xC0, 9, 3, 3, 6], BAUD);
    assert_eq!(live(Listen::C1AndT1, device).ready.len(), 1);
}

#[test]
fn each_choice_of_modes_is_its_link_mode() {
    for (listen, link_mode) in [
        (Listen::S1, 1),
        (Listen::S1m, 1),
        (Listen::T1, 2),
        (Listen::C1FormatA, 5),
        (Listen::C1FormatB, 5),
        (Listen::C1AndT1, 3),
    ] {
        assert_eq!(live(listen, Device::default()).device.link_mode(), link_mode);
    }
}

#[test]
fn a_telegram_has_its_bytes_its_rssi_its_mode_and_its_time() {
    let mut world = live(Listen::C1AndT1, Device::default());
    for mode in [Mode::T1, Mode::C1FormatB] {
        world.pass(3 * SECOND);
        let frame = world.device.hear(mode, &HEARD, -101, BAUD).unwrap().unwrap();
        world.bytes(&frame);
    }
    let [first, second] = world.heard.as_slice() else { panic!("two telegrams") };
    assert_eq!(
        (&*first.bytes, first.rssi_dbm, first.link_mode),
        (&HEARD[..], Some(-101), Some(LinkMode::T1))
    );
    assert_eq!((second.link_mode, second.heard_at), (Some(LinkMode::C1), world.now));
}

#[test]
fn a_dongle_left_receiving_is_set_up_while_telegrams_pour_in() {
    let (mut driver, mut device, mut out, now) =
        (Iu891a::new(Listen::C1AndT1), Device::default().left_reporting(), Vec::new(), Instant::now());
    driver.opened(now, &mut out);
    let (mut heard, mut ready) = (0, 0);
    while !out.is_empty() {
        for action in std::mem::take(&mut out) {
            match action {
                Action::Write(command) => {
                    let telegram = device.hear(Mode::T1, &HEARD, -70, BAUD).unwrap().unwrap();
                    driver.bytes(now, &telegram.repeat(20), &mut out);
                    for reply in device.input(&command, BAUD) {
                        driver.bytes(now, &reply, &mut out);
                    }
                }
                Action::Heard(_) => heard += 1,
                Action::Ready(_) => ready += 1,
                Action::Wake(_) | Action::Reopen(_) => {}
            }
        }
    }
    assert_eq!((heard, ready), (100, 1));
}

#[test]
fn other_modules_of_its_family_are_named_and_others_are_refused_before_anything_is_set() {
    let sister = live(Listen::T1, Device::default().with_module_type(0x71));
    assert_eq!(sister.ready[0].model, "iU893A-XL");
    let world = live(Listen::T1, Device::default().with_module_type(0x36));
    assert_eq!(world.faults(), [Fault::WrongModule { module_type: 0x36 }]);
    assert_eq!(world.device.link_mode(), 3);
}

#[test]
fn a_mode_it_does_not_know_is_a_fault_told_once_a_minute_at_most() {
    let mut world = live(Listen::C1AndT1, Device::default().with_link_modes_up_to(2));
    assert_eq!(world.faults(), [Fault::NoSuchMode]);
    world.pass(10 * MINUTE);
    assert!(world.reopened.len() <= 11, "{}", world.reopened.len());
}

#[test]
fn a_telegram_that_ends_before_its_end_is_counted_and_one_with_more_behind_it_is_cut() {
    let (mut driver, now, mut out) = (Iu891a::new(Listen::C1AndT1), Instant::now(), Vec::new());
    driver.opened(now, &mut out);
    let mut body = vec![0; 8];
    body.extend_from_slice(&HEARD[..9]);
    driver.bytes(now, &slip::request(GATEWAY, TELEGRAM, &body), &mut out);
    assert_eq!((driver.counters().short_frames, driver.counters().frames), (1, 0));
    body.extend_from_slice(&[HEARD[9], 1, 2, 3]);
    driver.bytes(now, &slip::request(GATEWAY, TELEGRAM, &body), &mut out);
    let Some(Action::Heard(frame)) = out.pop() else { panic!("a telegram") };
    assert_eq!(*frame.bytes, HEARD);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_three_lost_ones_reopen() {
    let mut silent = live(Listen::C1AndT1, Device::default());
    silent.answers = false;
    silent.driver = Box::new(Iu891a::new(Listen::C1AndT1));
    silent.open();
    silent.pass(Duration::from_millis(2999));
    assert_eq!(silent.faults(), []);
    silent.pass(Duration::from_millis(1));
    assert_eq!(silent.faults(), [Fault::NoAnswer]);
}

#[test]
fn a_reboot_into_settings_that_still_hear_something_is_noticed_within_the_hour() {
    let mut world = live(Listen::C1AndT1, Device::default().left_reporting_in(2));
    world.telegrams(MINUTE, HOUR);
    world.device.reboot();
    let t1 = |world: &mut World| {
        world.pass(10 * SECOND);
        let frame = world.device.hear(Mode::T1, &HEARD, -80, BAUD).unwrap().unwrap();
        world.bytes(&frame);
    };
    for _ in 0..361 {
        t1(&mut world);
    }
    assert_eq!((world.device.link_mode(), world.driver.counters().restarts), (3, 1));
    assert!(world.reopened.is_empty());
}

proptest! {
    #[test]
    fn any_frames_whose_checksum_is_right(bytes in vec(any::<u8>(), 0..1000)) {
        fuzzing::iu891a_framed(&bytes);
    }

    #[test]
    fn frames_with_a_byte_changed(at in 0usize..100, value in any::<u8>(), spoil in any::<bool>()) {
        let mut device = Device::default().left_reporting();
        let mut bytes: Vec<u8> = device.input(&slip::request(DEVICE, PING, &[]), BAUD).concat();
        for _ in 0..3 {
            let mut frame = device.hear(Mode::T1, &HEARD, -70, BAUD).unwrap().unwrap();
            if spoil {
                device.spoil(Spoil::Length(value), &mut frame);
            }
            bytes.extend(frame);
        }
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        fuzzing::iu891a(&bytes);
    }
}
