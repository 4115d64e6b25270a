//! A dongle's life in simulated time, against a simulated dongle that can fall silent in several ways.

use std::time::Duration;

use emulator::im871a::{Device, Mode};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{Fault, Info, LinkMode, RawFrame, fuzzing};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TELEGRAM: [u8; 10] = [9, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

/// A driver, a dongle and the virtual port loop between them.
struct World {
    driver: Im871a,
    device: Device,
    /// Whether the dongle answers requests.
    answers: bool,
    /// Whether telegrams reach it.
    hears: bool,
    now: Instant,
    wake: Option<Instant>,
    /// When the port loop opens the port again.
    open_at: Option<Instant>,
    writes: u32,
    heard: Vec<RawFrame>,
    ready: Vec<Info>,
    reopened: Vec<(Duration, Fault)>,
    start: Instant,
}

impl World {
    fn new(listen: Listen, device: Device) -> Self {
        let now = Instant::now();
        let mut world = Self {
            driver: Im871a::new(listen),
            device,
            answers: true,
            hears: true,
            now,
            wake: None,
            open_at: None,
            writes: 0,
            heard: Vec::new(),
            ready: Vec::new(),
            reopened: Vec::new(),
            start: now,
        };
        world.open();
        world
    }

    fn healthy() -> Self {
        let world = Self::new(Listen::C1AndT1, Device::default());
        assert_eq!(world.ready.len(), 1);
        world
    }

    fn open(&mut self) {
        let mut out = Vec::new();
        self.driver.opened(self.now, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut replies = Vec::new();
        for action in actions {
            assert_eq!(self.open_at, None, "no action follows a request to reopen");
            match action {
                Action::Write(command) => {
                    self.writes += 1;
                    if self.answers {
                        replies.extend(self.device.input(&command, 57_600));
                    }
                }
                Action::Wake(at) => self.wake = Some(at),
                Action::Heard(frame) => self.heard.push(frame),
                Action::Ready(info) => self.ready.push(info),
                Action::Reopen(fault) => {
                    self.reopened.push((self.now - self.start, fault));
                    (self.open_at, self.wake) = (Some(self.now + SECOND), None);
                }
            }
        }
        for reply in replies {
            self.bytes(&reply);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.open_at.is_none() {
            let mut out = Vec::new();
            self.driver.bytes(self.now, bytes, &mut out);
            self.carry_out(out);
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..2_000_000 {
            let Some(next) = self.open_at.or(self.wake).filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if self.open_at.take().is_some() {
                self.open();
            } else {
                self.wake = None;
                let mut out = Vec::new();
                self.driver.tick(self.now, &mut out);
                self.carry_out(out);
                assert!(
                    self.open_at.is_some() || self.wake.is_some(),
                    "an open dongle always has a next wake-up"
                );
            }
        }
        panic!("the driver wakes without end");
    }

    fn telegram(&mut self) {
        if self.hears
            && let Some(frame) = self.device.hear(Mode::C1FormatA, &TELEGRAM, -80, 57_600).unwrap()
        {
            self.bytes(&frame);
        }
    }

    /// A telegram each `gap` for `time`.
    fn telegrams(&mut self, gap: Duration, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pass(gap);
            self.telegram();
        }
    }

    fn faults(&self) -> Vec<Fault> {
        self.reopened.iter().map(|(_, fault)| fault.clone()).collect()
    }
}

#[test]
fn a_dongle_is_set_up_with_five_requests() {
    let world = World::healthy();
    assert_eq!(world.ready, [Info { model: "iM871A", firmware: (1, 4), serial: 0x0010_2863 }]);
    assert_eq!((world.writes, world.device.link_mode()), (5, 0x0A));
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
        assert_eq!(World::new(listen, Device::default()).device.link_mode(), link_mode);
    }
}

#[test]
fn a_telegram_has_its_length_byte_its_rssi_and_its_time() {
    let mut world = World::healthy();
    world.pass(3 * SECOND);
    world.telegram();
    let [frame] = world.heard.as_slice() else { panic!("one telegram") };
    assert_eq!((&*frame.bytes, frame.rssi_dbm, frame.link_mode), (&TELEGRAM[..], Some(-80), None));
    assert_eq!(frame.heard_at, world.now);
    assert_eq!(world.driver.counters().last_heard, Some(world.now));

    let mut world = World::new(Listen::C1FormatA, Device::default());
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
    assert_eq!(World::new(Listen::C1AndT1, old()).faults(), [Fault::FirmwareTooOld { firmware: (1, 3) }]);
    assert_eq!(World::new(Listen::T1, old()).ready.len(), 1);
}

#[test]
fn another_module_is_refused_before_anything_is_set() {
    let world = World::new(Listen::C1AndT1, Device::default().with_module_type(0x36));
    assert_eq!(world.faults(), [Fault::WrongModule { module_type: 0x36 }]);
    assert_eq!(world.device.link_mode(), 1);
}

#[test]
fn a_refused_dongle_is_asked_again_at_most_once_a_minute() {
    let mut world = World::new(Listen::C1AndT1, Device::default().with_firmware(0x13));
    world.pass(HOUR);
    assert!((50..=61).contains(&world.reopened.len()), "{}", world.reopened.len());
}

#[test]
fn a_lost_answer_is_asked_for_again_and_three_lost_ones_reopen() {
    let mut world = World::new(Listen::C1AndT1, Device::default());
    world.answers = false;
    world.open();
    let before = world.writes;
    world.pass(Duration::from_millis(999));
    assert_eq!(world.writes - before, 1);
    world.answers = true;
    world.pass(SECOND);
    assert_eq!(world.ready.len(), 2);

    let mut silent = World::new(Listen::C1AndT1, Device::default());
    silent.answers = false;
    silent.driver = Im871a::new(Listen::C1AndT1);
    silent.open();
    silent.pass(Duration::from_millis(1500));
    assert_eq!(silent.faults(), [Fault::NoAnswer]);
}

#[test]
fn a_dongle_that_boots_slowly_is_ready_within_three_seconds_more() {
    let mut world = World::healthy();
    world.answers = false;
    world.pass(MINUTE + 5 * SECOND);
    assert_eq!(world.faults(), [Fault::StoppedAnswering]);
    world.pass(4 * SECOND);
    world.answers = true;
    world.pass(3 * SECOND);
    assert_eq!(world.ready.len(), 2);
}

#[test]
fn two_missed_answers_reopen_and_three_reopenings_without_answer_ask_for_a_usb_reset() {
    let mut world = World::healthy();
    world.telegrams(SECOND, MINUTE);
    (world.answers, world.hears) = (false, false);
    world.pass(MINUTE + 5 * SECOND);
    assert_eq!(world.faults(), [Fault::StoppedAnswering], "noticed within 65 s");
    world.pass(10 * MINUTE);
    assert_eq!(world.faults()[1..4], [Fault::NoAnswer, Fault::NoAnswer, Fault::Stuck]);
    for pair in world.reopened.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= MINUTE, "{pair:?}");
    }
    world.answers = true;
    world.pass(2 * MINUTE);
    assert_eq!(world.ready.len(), 2, "and it recovers by itself");
}

#[test]
fn a_rebooted_dongle_is_set_up_again_within_a_minute_without_reopening() {
    let mut world = World::healthy();
    world.telegrams(SECOND, MINUTE);
    world.device.reboot();
    world.telegrams(SECOND, MINUTE + SECOND);
    assert_eq!(world.device.link_mode(), 0x0A);
    assert_eq!((world.driver.counters().restarts, world.reopened.len()), (1, 0));
}

#[test]
fn a_reboot_shows_in_what_is_attached_even_if_telegrams_still_come() {
    let mut world = World::new(Listen::S1m, Device::default());
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
fn silence_is_answered_by_setting_up_again_after_a_quarter_of_an_hour_and_ever_more_seldom() {
    let mut world = World::healthy();
    world.telegrams(SECOND, HOUR);
    world.hears = false;
    world.pass(15 * MINUTE + SECOND);
    assert_eq!((world.driver.counters().restarts, world.reopened.len()), (1, 0));
    world.pass(44 * MINUTE);
    assert_eq!(world.driver.counters().restarts, 2);
    world.pass(2 * MINUTE);
    assert_eq!(
        world.faults(),
        [Fault::Deaf { hours: 1 }],
        "after an hour, where a telegram came each second"
    );
}

#[test]
fn a_site_without_meters_is_reopened_once_a_day_at_most() {
    let mut world = World::healthy();
    world.pass(7 * DAY);
    assert!((6..=7).contains(&world.reopened.len()), "{:?}", world.reopened);
}

/// A week with one weak meter, heard as chance has it.
fn week_with_a_weak_meter(gap: impl Fn(&mut u64) -> Duration) -> World {
    let (mut world, mut seed) = (World::healthy(), 0x2545_F491_4F6C_DD1D);
    let end = world.now + 7 * DAY;
    while world.now < end {
        let gap = gap(&mut seed);
        world.pass(gap);
        world.telegram();
    }
    world
}

fn random(seed: &mut u64, below: u64) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    u32::try_from(*seed % below).unwrap()
}

#[test]
fn a_week_with_one_weak_meter_heard_now_and_then_sees_no_reset() {
    type Gap = fn(&mut u64) -> Duration;
    let patterns: [(&str, Gap); 3] = [
        ("bursts of 16 s gaps with hours between", |seed| match random(seed, 12) {
            0 => HOUR + SECOND * random(seed, 4 * 3600),
            _ => 16 * SECOND,
        }),
        ("one in many telegrams", |seed| 16 * SECOND * (1 + random(seed, 700))),
        ("about twice a day", |seed| 8 * HOUR + SECOND * random(seed, 10 * 3600)),
    ];
    for (name, gap) in patterns {
        let world = week_with_a_weak_meter(gap);
        assert_eq!(world.reopened, [], "{name}");
        assert_eq!(world.heard.len() as u64, world.driver.counters().frames, "{name}");
        assert!(world.heard.len() > 7, "{name}: nothing is lost while it is set up again");
    }
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

proptest! {
    #[test]
    fn whatever_the_dongle_does_it_is_reset_at_most_once_a_minute(
        steps in vec((0u8..7, 1u32..200), 1..60)
    ) {
        let mut world = World::healthy();
        for (what, seconds) in steps {
            match what {
                0 => world.answers = !world.answers,
                1 => world.hears = !world.hears,
                2 => world.device.reboot(),
                3 => world.device = Device::default().with_firmware(0x13),
                4 => world.device = Device::default(),
                5 => world.bytes(&[0xA5, 0x81, 0xFF, 0xA5, 0xC2, 3, 200]),
                _ => world.telegram(),
            }
            world.pass(SECOND * seconds);
        }
        for pair in world.reopened.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= MINUTE, "{:?}", pair);
        }
        // Whatever happened, a dongle that works in the end is found again.
        (world.answers, world.hears, world.device) = (true, true, Device::default());
        let ready = world.ready.len();
        world.pass(20 * MINUTE);
        world.telegram();
        prop_assert!(world.ready.len() > ready || world.device.link_mode() == 0x0A);
    }

    #[test]
    fn any_bytes_at_all(bytes in vec(any::<u8>(), 0..2000)) {
        fuzzing::im871a(&bytes);
    }

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
