use std::time::Instant;

use emulator::{
    dongle::{Dongle as _, Mode},
    rc1180::Rc1180 as Module,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{
    Action, Dongle as _, LinkMode, fuzzing,
    simulation::{self, HOUR, Kind, MINUTE, SECOND, TELEGRAM, lives},
};

const KIND: Kind = Kind {
    driver: || Box::new(Rc1180::new(Listen::C1AndT1, 19_200)),
    device: || Box::new(Module::default()),
    asks: true,
    restart: None,
};

lives!(KIND);

type World = simulation::World<Module>;

fn live(listen: Listen, module: Module) -> World {
    World::new(Box::new(Rc1180::new(listen, 19_200)), module)
}

fn heard(world: &mut World) {
    let frame = world.device.hear(Mode::T1, &TELEGRAM, -75, 19_200).unwrap().unwrap();
    world.bytes(&frame);
}

#[test]
fn whenever_the_port_is_closed_the_module_is_put_back_into_service() {
    let (mut driver, mut module) = (Rc1180::new(Listen::C1AndT1, 19_200), Module::default());
    let (now, mut out) = (Instant::now(), Vec::new());
    assert_eq!(driver.farewell(), None);
    driver.opened(now, &mut out);
    let mut farewells = 0;
    while let Some(action) = (!out.is_empty()).then(|| out.remove(0)) {
        let Action::Write(command) = action else { continue };
        let replies = module.input(&command, 19_200);
        // As if the port were closed here.
        let mut left = module.clone();
        if let Some(farewell) = driver.farewell() {
            farewells += 1;
            left.input(&farewell, 19_200);
        }
        assert_eq!((left.is_in_configuration(), left.has_transmitted()), (false, false), "{command:02X?}");
        replies.iter().for_each(|reply| driver.bytes(now, reply, &mut out));
    }
    assert_eq!((farewells, driver.farewell()), (4, None), "and in service nothing is said");
    // Without any answer nobody knows what state it is in.
    driver.tick(now + MINUTE, &mut out);
    assert_eq!(driver.farewell().as_deref(), Some(&[0x00, b'X'][..]));
}

/// A driver and a module whose answers can get lost one by one.
struct Bench {
    driver: Rc1180,
    module: Module,
    now: Instant,
    out: Vec<Action>,
    ready: usize,
    faults: Vec<Fault>,
}

impl Bench {
    fn new(module: Module) -> Self {
        let driver = Rc1180::new(Listen::C1AndT1, 19_200);
        let mut bench =
            Self { driver, module, now: Instant::now(), out: Vec::new(), ready: 0, faults: Vec::new() };
        bench.driver.opened(bench.now, &mut bench.out);
        bench
    }

    /// Lets time pass; the answers to these commands get lost, each once.
    fn pass(&mut self, time: Duration, mut lost: Vec<u8>) {
        let end = self.now + time;
        while self.now < end {
            let mut replies = Vec::new();
            for action in std::mem::take(&mut self.out) {
                match action {
                    Action::Write(command) => {
                        let reply = self.module.input(&command, 19_200);
                        match lost.iter().position(|lost| command.first() == Some(lost)) {
                            Some(at) => drop(lost.remove(at)),
                            None => replies.extend(reply),
                        }
                    }
                    Action::Ready(_) => self.ready += 1,
                    Action::Reopen(fault) => self.faults.push(fault),
                    Action::Wake(_) | Action::Heard(_) => {}
                }
            }
            for reply in &replies {
                self.driver.bytes(self.now, reply, &mut self.out);
            }
            if replies.is_empty() {
                self.now += Duration::from_millis(100);
                self.driver.tick(self.now, &mut self.out);
            }
        }
    }
}

#[test]
fn a_module_is_set_up_by_the_bytes_of_the_manual_and_left_idle() {
    let world = live(Listen::C1AndT1, Module::default());
    let ready: Vec<String> = world.ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["RC1180-MBUS3 12345678, firmware RC1180-MBUS3,1.00,1.00"]);
    assert_eq!(world.written.concat(), [0x00, 0x30, 0x47, 0x0A, 0x58]);
    assert!(!world.device.is_in_configuration());
    assert_eq!((world.device.mode(), world.device.strays()), (10, 0));
}

#[test]
fn each_choice_of_modes_is_its_own() {
    for (listen, mode) in [
        (Listen::S1, 3),
        (Listen::S1m, 3),
        (Listen::T1, 1),
        (Listen::C1FormatA, 9),
        (Listen::C1FormatB, 9),
        (Listen::C1AndT1, 10),
    ] {
        assert_eq!(live(listen, Module::default()).device.mode(), mode);
    }
}

#[test]
fn its_memory_is_never_written() {
    let before = *Module::factory().flash();
    let mut world = live(Listen::C1AndT1, Module::factory());
    world.pass(24 * HOUR);
    assert_eq!((*world.device.flash(), world.device.strays()), (before, 0));
}

#[test]
fn a_telegram_is_read_with_whatever_is_attached() {
    for (module, rssi_dbm) in [
        (Module::factory(), None),
        (Module::default(), Some(-75)),
        (Module::factory().with_crc(), None),
        (Module::default().with_crc(), Some(-75)),
    ] {
        let mut world = live(Listen::T1, module);
        heard(&mut world);
        world.pass(SECOND);
        let [frame] = world.heard.as_slice() else { panic!("one telegram") };
        assert_eq!((&*frame.bytes, frame.rssi_dbm), (&TELEGRAM[..], rssi_dbm));
        assert_eq!(frame.link_mode, Some(LinkMode::T1));
    }
}

#[test]
fn with_a_crc_a_damaged_telegram_is_found_out_and_a_whole_one_is_not_waited_for() {
    let mut world = live(Listen::T1, Module::default().with_crc());
    let mut frame = world.device.hear(Mode::T1, &TELEGRAM, -75, 19_200).unwrap().unwrap();
    frame[8] ^= 1;
    world.bytes(&frame);
    heard(&mut world);
    assert_eq!((world.heard.len(), world.driver.counters().bad_checksums), (1, 1));
}

#[test]
fn a_setting_that_keeps_telegrams_back_is_named_and_the_module_left_idle() {
    for (address, value) in [(0x12, 0), (0x36, 1), (0x3D, 1), (0x3F, 1)] {
        let world = live(Listen::C1AndT1, Module::default().with(address, value));
        let [Fault::Unfit { setting }] = &world.faults()[..] else { panic!("{:?}", world.faults()) };
        assert!(setting.contains(&format!("0x{address:02X}")), "{setting}");
        assert!(!world.device.is_in_configuration());
        assert_eq!(world.device.mode(), 1, "nothing was set");
    }
}

#[test]
fn one_that_somebody_left_in_configuration_is_set_up_all_the_same() {
    for left in [&[0][..], &[0, b'G'], &[0, b'Y']] {
        let mut module = Module::default();
        module.input(left, 19_200);
        let mut world = live(Listen::C1AndT1, module);
        world.pass(MINUTE);
        assert_eq!((world.ready.len(), world.device.strays()), (1, 0), "{left:?}");
        assert!(!world.device.is_in_configuration());
    }
}

#[test]
fn whichever_answer_is_lost_nothing_but_a_0_is_sent_again_and_it_gets_there() {
    for lost in [0x00, 0x30, 0x47, 0x0A] {
        let mut bench = Bench::new(Module::default());
        bench.pass(5 * SECOND, vec![lost]);
        assert_eq!((bench.ready, bench.module.mode(), bench.module.strays()), (1, 10, 0), "{lost:02X}");
        assert!(!bench.module.is_in_configuration(), "{lost:02X}");
        assert_eq!(bench.faults, []);
    }
}

#[test]
fn one_that_loses_answers_again_and_again_is_given_up_and_left_idle() {
    let mut bench = Bench::new(Module::default());
    bench.pass(10 * SECOND, vec![0x47; 9]);
    assert_eq!(bench.faults, [Fault::SettingsRefused]);
    assert!(!bench.module.is_in_configuration());
    assert_eq!(bench.module.strays(), 0);
}

#[test]
fn a_late_prompt_in_front_of_the_memory_does_no_harm() {
    let (mut driver, mut module, now) =
        (Rc1180::new(Listen::C1AndT1, 19_200), Module::default(), Instant::now());
    let mut out = Vec::new();
    driver.opened(now, &mut out);
    driver.bytes(now, b">", &mut out);
    let memory = module.input(b"\x000", 19_200).concat();
    driver.bytes(now, &memory, &mut out);
    let written: Vec<u8> = out
        .iter()
        .filter_map(|action| match action {
            Action::Write(command) => command.first().copied(),
            _ => None,
        })
        .collect();
    assert_eq!(written, [0x00, 0x30, 0x47]);
}

#[test]
fn a_telegram_on_its_way_when_the_configuration_is_entered_is_heard() {
    let mut world = live(Listen::T1, Module::default());
    let frame = world.device.hear(Mode::T1, &TELEGRAM, -75, 19_200).unwrap().unwrap();
    world.answers = false;
    world.pass(MINUTE + SECOND);
    assert_eq!(world.written.last().unwrap(), &[0x00]);
    world.bytes(&[&frame[..], b">"].concat());
    assert_eq!((world.heard.len(), world.written.last().unwrap().as_slice()), (1, &b"G"[..]));
}

#[test]
fn a_reboot_that_took_the_mode_is_made_good_within_an_hour_even_if_some_meters_are_heard() {
    let mut world = live(Listen::C1AndT1, Module::default());
    world.telegrams(SECOND, MINUTE);
    world.device.reboot();
    assert!(world.device.listens_for(Mode::T1) && !world.device.listens_for(Mode::C1FormatA));
    for _ in 0..61 {
        world.pass(MINUTE - SECOND);
        heard(&mut world);
    }
    assert!(world.device.listens_for(Mode::C1FormatA));
    assert_eq!(world.reopened.len(), 0);
}

proptest! {
    #[test]
    fn any_bytes_of_one_that_is_set_up(bytes in vec(any::<u8>(), 0..2000)) {
        fuzzing::rc1180(&bytes);
        fuzzing::rc1180_with_crc(&bytes);
    }

    #[test]
    fn any_telegrams_of_one_that_is_set_up(bytes in vec(any::<u8>(), 0..2000)) {
        fuzzing::rc1180_telegrams(&bytes);
    }
}
