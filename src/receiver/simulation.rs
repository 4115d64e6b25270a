//! A dongle's life in simulated time, against a simulated dongle that can fall silent in several ways; and what holds for
//! every kind of dongle, however long it lives.
//!
//! `lives!(KIND)` makes the tests of one kind.

use std::time::{Duration, Instant};

use emulator::dongle::{Dongle as Virtual, Mode};
use proptest::{collection::vec, prelude::*};

use super::{Action, Dongle, Fault, Info, RawFrame};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const TELEGRAM: [u8; 10] = [9, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

/// One kind of dongle, and what is different about it.
pub(super) struct Kind {
    /// The driver, told to listen for C1 and T1.
    pub(super) driver: fn() -> Box<dyn Dongle>,
    /// The simulated dongle.
    pub(super) device: fn() -> Box<dyn Virtual>,
    /// Whether it can be asked anything.
    pub(super) asks: bool,
    /// The command that restarts it, if there is one.
    pub(super) restart: Option<&'static [u8]>,
}

impl Kind {
    pub(super) fn world(&self) -> World<Box<dyn Virtual>> {
        World::new((self.driver)(), (self.device)())
    }

    pub(super) fn healthy(&self) -> World<Box<dyn Virtual>> {
        let mut world = self.world();
        if world.ready.is_empty() {
            // One that is to be found out first takes a while.
            world.pass(5 * SECOND);
        }
        assert_eq!(world.ready.len(), 1, "it is set up");
        world
    }

    fn restarts(&self, world: &World<Box<dyn Virtual>>) -> usize {
        world.written.iter().filter(|written| Some(written.as_slice()) == self.restart).count()
    }
}

/// A driver, a dongle and the virtual port loop between them.
pub(super) struct World<V> {
    pub(super) driver: Box<dyn Dongle>,
    pub(super) device: V,
    /// Whether the dongle answers requests.
    pub(super) answers: bool,
    /// Whether telegrams reach it.
    pub(super) hears: bool,
    pub(super) now: Instant,
    wake: Option<Instant>,
    /// When the port loop opens the port again.
    open_at: Option<Instant>,
    pub(super) written: Vec<Vec<u8>>,
    pub(super) heard: Vec<RawFrame>,
    pub(super) ready: Vec<Info>,
    pub(super) reopened: Vec<(Duration, Fault)>,
    start: Instant,
}

impl<V: Virtual> World<V> {
    pub(super) fn new(driver: Box<dyn Dongle>, device: V) -> Self {
        let now = Instant::now();
        let mut world = Self {
            driver,
            device,
            answers: true,
            hears: true,
            now,
            wake: None,
            open_at: None,
            written: Vec::new(),
            heard: Vec::new(),
            ready: Vec::new(),
            reopened: Vec::new(),
            start: now,
        };
        world.open();
        world
    }

    pub(super) fn open(&mut self) {
        let mut out = Vec::new();
        self.driver.opened(self.now, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let (mut replies, speed) = (Vec::new(), self.driver.baud());
        for action in actions {
            assert_eq!(self.open_at, None, "no action follows a request to reopen");
            match action {
                Action::Write(command) => {
                    self.written.push(command.to_vec());
                    if self.answers {
                        replies.extend(self.device.input(&command, speed));
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
        assert!(!self.device.has_transmitted());
        for reply in replies {
            self.bytes(&reply);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.open_at.is_none() {
            let mut out = Vec::new();
            self.driver.bytes(self.now, bytes, &mut out);
            self.carry_out(out);
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
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

    pub(super) fn telegram(&mut self) {
        let (speed, mode) = (self.driver.baud(), self.device.usual_mode());
        if self.hears
            && let Some(frame) = self.device.hear(mode, &TELEGRAM, -80, speed).unwrap()
        {
            self.bytes(&frame);
        }
    }

    /// A telegram each `gap` for `time`.
    pub(super) fn telegrams(&mut self, gap: Duration, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pass(gap);
            self.telegram();
        }
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        self.reopened.iter().map(|(_, fault)| fault.clone()).collect()
    }

    /// All telegrams must be the one there is, and they must be there at once.
    fn assert_telegrams(&self, count: usize) {
        assert_eq!(self.heard.len(), count);
        for frame in &self.heard {
            assert_eq!(frame.bytes.get(..10), Some(&TELEGRAM[..]));
        }
    }

    fn assert_resets_a_minute_apart(&self) {
        for pair in self.reopened.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= MINUTE, "{pair:?}");
        }
    }
}

pub(super) fn each_telegram_is_heard_at_once(kind: &Kind) {
    let mut world = kind.healthy();
    for _ in 0..3 {
        world.pass(3 * SECOND);
        world.telegram();
    }
    // A dongle whose telegrams have no certain end may wait for a pause.
    world.pass(3 * SECOND);
    world.assert_telegrams(3);
    assert_eq!(world.driver.counters().last_heard, world.heard.last().map(|frame| frame.heard_at));
}

pub(super) fn an_answered_question_changes_nothing(kind: &Kind) {
    let mut world = kind.healthy();
    world.telegrams(SECOND, MINUTE);
    let before = world.written.len();
    world.pass(10 * MINUTE);
    assert_eq!(world.written.len() > before, kind.asks);
    assert_eq!((world.ready.len(), world.reopened.len(), world.driver.counters().restarts), (1, 0, 0));
    world.telegram();
    world.pass(3 * SECOND);
    assert_eq!(world.heard.len(), 61);
}

pub(super) fn a_rebooted_dongle_is_set_up_again_over_the_open_port(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let mut world = kind.healthy();
    world.telegrams(SECOND, 2 * MINUTE);
    let before = Mode::ALL.map(|mode| world.device.listens_for(mode));
    world.device.reboot();
    let wanted = |world: &World<Box<dyn Virtual>>| Mode::ALL.map(|mode| world.device.listens_for(mode));
    if wanted(&world) != before {
        world.telegrams(SECOND, MINUTE + 5 * SECOND);
        assert_eq!(wanted(&world), before);
        assert!(world.driver.counters().restarts <= 1 && world.reopened.is_empty());
    }
}

/// The steps against a dongle that answers nothing.
pub(super) fn a_dead_dongle_is_reopened_restarted_once_and_given_to_people(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let mut world = kind.healthy();
    world.telegrams(SECOND, MINUTE);
    (world.answers, world.hears) = (false, false);
    world.pass(MINUTE + 9 * SECOND);
    assert_eq!(world.faults(), [Fault::StoppedAnswering], "noticed within 70 s");
    world.pass(20 * MINUTE);
    assert_eq!(world.faults()[1..4], [Fault::NoAnswer, Fault::NoAnswer, Fault::Stuck]);
    assert_eq!(kind.restarts(&world), usize::from(kind.restart.is_some()));
    world.assert_resets_a_minute_apart();
    (world.answers, world.hears) = (true, true);
    world.pass(2 * MINUTE);
    assert_eq!(world.ready.len(), 2, "and it recovers by itself");
    world.telegram();
    world.pass(3 * SECOND);
    assert_eq!(world.heard.len(), 61);
}

/// The steps against a dongle that answers and hears nothing where it used to hear something each second.
pub(super) fn a_deaf_dongle_is_set_up_again_reopened_and_restarted_once(kind: &Kind) {
    let mut world = kind.healthy();
    world.telegrams(SECOND, HOUR);
    world.hears = false;
    world.pass(15 * MINUTE + 10 * SECOND);
    assert_eq!((world.driver.counters().restarts, world.reopened.len()), (u64::from(kind.asks), 0));
    world.pass(46 * MINUTE);
    assert_eq!(world.faults(), [Fault::Deaf { minutes: 60 }]);
    assert_eq!(kind.restarts(&world), 0);
    world.pass(6 * HOUR);
    assert_eq!(kind.restarts(&world), usize::from(kind.restart.is_some()), "once in a silence");
    let told: Vec<u64> = world.faults().iter().filter_map(minutes).collect();
    assert_eq!(told.len(), world.reopened.len());
    assert!(told.len() > 1 && told.is_sorted_by(|one, next| next - one >= 59), "the silence grows: {told:?}");
    assert!(world.driver.counters().deaf >= Some(60));
    world.hears = true;
    world.telegram();
    world.pass(3 * SECOND);
    assert_eq!(world.driver.counters().deaf, None);
    assert_eq!(world.heard.len(), 3601);
}

fn minutes(fault: &Fault) -> Option<u64> {
    if let Fault::Deaf { minutes } = fault { Some(*minutes) } else { None }
}

pub(super) fn a_limit_that_was_set_counts_instead_of_what_is_usual(kind: &Kind) {
    let mut driver = (kind.driver)();
    driver.silent_after(5 * HOUR);
    let mut world = World::new(driver, (kind.device)());
    world.telegrams(SECOND, HOUR);
    world.pass(5 * HOUR - SECOND);
    assert_eq!(world.faults(), []);
    world.pass(MINUTE);
    assert_eq!(world.faults(), [Fault::Deaf { minutes: 300 }]);
}

pub(super) fn a_site_without_meters_is_reset_once_a_day_at_most(kind: &Kind) {
    let mut world = kind.healthy();
    world.pass(7 * DAY);
    let resets = world.reopened.len() + kind.restarts(&world);
    assert!((6..=7).contains(&resets), "{:?}", world.reopened);
}

/// A week with one weak meter, heard as chance has it.
pub(super) fn a_week_with_one_weak_meter_sees_no_reset(kind: &Kind) {
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
        let (mut world, mut seed, mut sent) = (kind.healthy(), 0x2545_F491_4F6C_DD1D, 0);
        let end = world.now + 7 * DAY;
        while world.now < end {
            world.pass(gap(&mut seed));
            world.telegram();
            sent += 1;
        }
        world.pass(3 * SECOND);
        assert_eq!((world.reopened.len(), kind.restarts(&world)), (0, 0), "{name}");
        assert!(sent > 7, "{name}");
        world.assert_telegrams(sent);
    }
}

fn random(seed: &mut u64, below: u64) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    u32::try_from(*seed % below).unwrap()
}

/// What may happen to a dongle, and for how many seconds.
pub(super) fn mishaps() -> impl Strategy<Value = Vec<(u8, u32)>> {
    vec((0u8..6, 1u32..200), 1..60)
}

pub(super) fn whatever_happens_it_is_reset_at_most_once_a_minute(kind: &Kind, mishaps: Vec<(u8, u32)>) {
    let mut world = kind.healthy();
    for (what, seconds) in mishaps {
        match what {
            0 => world.answers = !world.answers,
            1 => world.hears = !world.hears,
            2 => world.device.reboot(),
            3 => world.device = (kind.device)(),
            4 => world
                .bytes(&[0xA5, 0x81, 0xFF, 0xA5, 0xC2, 3, 200, 0xC0, 0xFF, 0x8A, 0x7A, b'b', b'\n', 0x3E]),
            _ => world.telegram(),
        }
        world.pass(SECOND * seconds);
    }
    world.assert_resets_a_minute_apart();
    // Whatever happened, a dongle that works in the end is found again.
    (world.answers, world.hears, world.device) = (true, true, (kind.device)());
    world.pass(20 * MINUTE);
    let heard = world.heard.len();
    world.telegram();
    world.pass(3 * SECOND);
    assert_eq!(world.heard.len(), heard + 1);
}

/// The tests of one [`Kind`].
macro_rules! lives {
    ($kind:expr) => {
        #[test]
        fn each_telegram_is_heard_at_once() {
            $crate::receiver::simulation::each_telegram_is_heard_at_once(&$kind);
        }

        #[test]
        fn an_answered_question_changes_nothing() {
            $crate::receiver::simulation::an_answered_question_changes_nothing(&$kind);
        }

        #[test]
        fn a_rebooted_dongle_is_set_up_again_over_the_open_port() {
            $crate::receiver::simulation::a_rebooted_dongle_is_set_up_again_over_the_open_port(&$kind);
        }

        #[test]
        fn a_dead_dongle_is_reopened_restarted_once_and_given_to_people() {
            $crate::receiver::simulation::a_dead_dongle_is_reopened_restarted_once_and_given_to_people(&$kind);
        }

        #[test]
        fn a_deaf_dongle_is_set_up_again_reopened_and_restarted_once() {
            $crate::receiver::simulation::a_deaf_dongle_is_set_up_again_reopened_and_restarted_once(&$kind);
        }

        #[test]
        fn a_limit_that_was_set_counts_instead_of_what_is_usual() {
            $crate::receiver::simulation::a_limit_that_was_set_counts_instead_of_what_is_usual(&$kind);
        }

        #[test]
        fn a_site_without_meters_is_reset_once_a_day_at_most() {
            $crate::receiver::simulation::a_site_without_meters_is_reset_once_a_day_at_most(&$kind);
        }

        #[test]
        fn a_week_with_one_weak_meter_sees_no_reset() {
            $crate::receiver::simulation::a_week_with_one_weak_meter_sees_no_reset(&$kind);
        }

        proptest::proptest! {
            #[test]
            fn whatever_happens_it_is_reset_at_most_once_a_minute(
                mishaps in $crate::receiver::simulation::mishaps()
            ) {
                $crate::receiver::simulation::whatever_happens_it_is_reset_at_most_once_a_minute(&$kind, mishaps);
            }

            #[test]
            fn any_bytes_however_they_are_split(
                bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000)
            ) {
                use $crate::receiver::fuzzing::{any_bytes, opened};
                any_bytes(|| opened(($kind.driver)()), &bytes);
            }
        }
    };
}
pub(super) use lives;
