use std::collections::VecDeque;

use emulator::{
    amber::Amber,
    dongle::{Dongle as Virtual, Mode},
};
use proptest::{collection::vec, prelude::*};

use super::*;

const TELEGRAM: [u8; 10] = [9, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

/// Everything that was said, and how long it took.
struct Talk {
    said: Vec<(u32, Vec<u8>)>,
    took: Duration,
    found: Option<Found>,
}

/// A whole conversation with a device, which hears a telegram before each answer if it is `busy`.
fn talk(kinds: &[Kind], device: &mut dyn Virtual, busy: bool) -> Talk {
    let (start, mut probe, mut out) = (Instant::now(), Probe::new(kinds), Vec::new());
    let (mut now, mut wake, mut said) = (start, start, Vec::new());
    probe.begin(now, &mut out);
    loop {
        let mut replies = Vec::new();
        let speed = probe.baud();
        for action in out.drain(..) {
            match action {
                Action::Write(command) => {
                    said.push((speed, command.to_vec()));
                    if busy {
                        replies.extend(device.hear(Mode::T1, &TELEGRAM, -70, speed).unwrap());
                    }
                    replies.extend(device.input(&command, speed));
                }
                Action::Wake(at) => wake = at,
                _ => panic!("a probe only asks"),
            }
        }
        for reply in replies {
            probe.bytes(now, &reply, &mut out);
        }
        if let Some(found) = probe.outcome() {
            return Talk { said, took: now - start, found };
        }
        if out.is_empty() {
            assert!(wake > now, "it waits for something");
            now = wake;
            probe.tick(now, &mut out);
        }
    }
}

/// The same over a line that takes its time for each byte, at the device's own `baud` if it has one, while the device hears a
/// telegram each `gap`, the first after `phase`.
fn talk_over_a_line(
    device: &mut dyn Virtual,
    baud: Option<u32>,
    telegram: &[u8],
    (gap, phase): (Duration, Duration),
) -> Talk {
    let (start, mut probe, mut out) = (Instant::now(), Probe::new(&Kind::ALL), Vec::new());
    let (mut now, mut wake, mut next_telegram, mut line_is_free) = (start, start, start + phase, start);
    let (mut line, mut said) = (VecDeque::new(), Vec::new());
    probe.begin(now, &mut out);
    loop {
        let (speed, mut frames) = (probe.baud(), Vec::new());
        if now >= next_telegram {
            next_telegram += gap;
            frames.extend(device.hear(Mode::T1, telegram, -70, speed).unwrap());
        }
        for action in out.drain(..) {
            match action {
                Action::Write(command) => {
                    said.push((speed, command.to_vec()));
                    frames.extend(device.input(&command, speed));
                }
                Action::Wake(at) => wake = at,
                _ => panic!("a probe only asks"),
            }
        }
        if let Some(found) = probe.outcome() {
            return Talk { said, took: now - start, found };
        }
        for byte in frames.concat() {
            line_is_free = line_is_free.max(now) + Duration::from_secs(10) / baud.unwrap_or(speed);
            line.push_back((line_is_free, byte));
        }
        let comes = line.front().map_or(next_telegram, |(at, _)| next_telegram.min(*at));
        now = now.max(wake.min(comes));
        match line.front() {
            Some(&(at, byte)) if at <= now => {
                line.pop_front();
                probe.bytes(now, &[byte], &mut out);
            }
            _ if wake <= now => probe.tick(now, &mut out),
            _ => {}
        }
    }
}

/// What answers nothing, and shows whether an Amber would have transmitted what it was sent.
#[derive(Debug, Default)]
struct Silent;

impl Virtual for Silent {
    fn input(&mut self, _: &[u8], _: u32) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn hear(
        &mut self,
        _: Mode,
        _: &[u8],
        _: i16,
        _: u32,
    ) -> Result<Option<Vec<u8>>, emulator::dongle::NotATelegram> {
        Ok(None)
    }

    fn reboot(&mut self) {}

    fn listens_for(&self, _: Mode) -> bool {
        false
    }

    fn spoil(&self, _: emulator::dongle::Spoil, _: &mut Vec<u8>) {}
}

fn device(name: &str) -> Box<dyn Virtual> {
    let kind = emulator::dongle::Kind::all().iter().find(|kind| kind.name() == name).unwrap();
    kind.dongle()
}

#[test]
fn every_virtual_receiver_is_found_among_all_kinds_and_none_is_made_to_transmit() {
    let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::word).collect();
    let mut seen = 0;
    for kind in emulator::dongle::Kind::all() {
        let name = kind.name();
        let expected = Kind::ALL.into_iter().find(|kind| kind.word() == name);
        let mut device = kind.dongle();
        for busy in [false, true] {
            let talk = talk(&Kind::ALL, &mut *device, busy);
            assert_eq!(talk.found.map(|found| found.kind), expected, "{name}");
            assert!(talk.took < Duration::from_secs(5), "{name} took {:?}", talk.took);
            assert!(!device.has_transmitted(), "{name}");
        }
        seen += usize::from(known.contains(&&*name));
    }
    assert!(seen >= 5, "{seen} kinds of virtual receivers could be tried");
}

#[test]
fn a_transparent_amber_is_never_made_to_transmit_at_any_speed_it_may_have() {
    for amber in [
        Amber::amb8465().as_delivered(),
        Amber::amb8465().transparent(),
        Amber::amb3665(),
        Amber::amb8465().fast(),
    ] {
        let mut amber = amber;
        let talk = talk(&Kind::ALL, &mut amber, false);
        assert!(talk.found.is_some_and(|found| found.info.model.starts_with("AMB")));
        assert!(!amber.has_transmitted());
        assert_eq!(talk.said.iter().filter(|(_, said)| said[0] != 0xFF).count(), 0);
    }
}

#[test]
fn an_amber_whose_answer_waits_behind_telegrams_is_found_and_transmits_nothing() {
    let mut telegram = [0x44; 201];
    telegram[0] = 200;
    for (amber, baud, gap) in [
        (Amber::amb8465().transparent(), 9_600, 250),
        (Amber::amb8465().transparent(), 9_600, 400),
        (Amber::amb8465(), 9_600, 250),
        (Amber::amb8465().transparent().fast(), 115_200, 25),
    ] {
        // Wherever in a telegram the question comes.
        for phase in 0..25 {
            let (mut amber, gap) = (amber.clone(), Duration::from_millis(gap));
            let talk = talk_over_a_line(&mut amber, Some(baud), &telegram, (gap, gap * phase / 25));
            assert_eq!(
                talk.found.map(|found| found.kind),
                Some(Kind::Amb8465),
                "{gap:?} {phase} {:?}",
                talk.said
            );
            assert!(!amber.has_transmitted());
        }
    }
}

#[test]
fn a_receiver_that_hears_many_meters_is_found() {
    for (name, baud) in [("im871a", 57_600), ("cul", 38_400), ("rc1180", 19_200), ("iu891a", 115_200)] {
        let mut device = device(name);
        let talk = talk_over_a_line(
            &mut *device,
            Some(baud),
            &TELEGRAM,
            (Duration::from_millis(100), Duration::ZERO),
        );
        assert_eq!(talk.found.map(|found| found.kind.word()), Some(name), "{:?}", talk.said);
        assert!(talk.took < Duration::from_secs(6), "{name} took {:?}", talk.took);
    }
}

#[test]
fn where_somebody_talks_without_end_nothing_but_the_question_for_an_amber_is_said() {
    #[derive(Debug)]
    struct Talker;
    impl Virtual for Talker {
        fn input(&mut self, _: &[u8], _: u32) -> Vec<Vec<u8>> {
            Vec::new()
        }
        fn hear(
            &mut self,
            _: Mode,
            _: &[u8],
            _: i16,
            speed: u32,
        ) -> Result<Option<Vec<u8>>, emulator::dongle::NotATelegram> {
            Ok(Some(vec![0x55; usize::try_from(speed / 100).unwrap()]))
        }
        fn reboot(&mut self) {}
        fn listens_for(&self, _: Mode) -> bool {
            true
        }
        fn spoil(&self, _: emulator::dongle::Spoil, _: &mut Vec<u8>) {}
    }
    let talk = talk_over_a_line(&mut Talker, None, &TELEGRAM, (Duration::from_millis(100), Duration::ZERO));
    assert!(talk.said.iter().all(|(_, said)| said[0] == 0xFF), "{:?}", talk.said);
    assert!(talk.found.is_none() && talk.took < Duration::from_secs(5), "{:?}", talk.took);
}

#[test]
fn at_each_speed_an_amber_is_asked_before_anything_else_is_said() {
    let talk = talk(&Kind::ALL, &mut Silent, false);
    let mut asked = std::collections::BTreeSet::new();
    for (speed, said) in &talk.said {
        if said[..] == [0xFF, 0x0A, 0x02, 0x00, 0x80, 0x77] {
            asked.insert(*speed);
        } else {
            assert!(asked.contains(speed), "{said:02X?} at {speed}");
        }
    }
    assert_eq!(talk.found, None);
}

#[test]
fn nobody_at_all_is_found_out_within_five_seconds_whatever_was_in_question() {
    for chosen in 1..1 << Kind::ALL.len() {
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .enumerate()
            .filter(|(at, _)| chosen >> at & 1 == 1)
            .map(|(_, kind)| kind)
            .collect();
        let talk = talk(&kinds, &mut Silent, false);
        assert!(talk.took < Duration::from_secs(5), "{kinds:?} took {:?}", talk.took);
        assert!(kinds.len() > 1 || talk.said.len() >= 4, "one kind alone is asked several times: {kinds:?}");
    }
}

#[test]
fn what_is_surely_of_one_kind_is_asked_nothing_else() {
    let talk = talk(&[Kind::Iu891a], &mut *device("iu891a"), true);
    assert_eq!((talk.said.len(), talk.found.unwrap().baud), (1, 115_200));
    assert_eq!(talk.found.unwrap().info.to_string(), "iU891A-XL 00062DBE");
}

#[test]
fn an_rc1180_is_left_in_service_whether_it_answered_or_not() {
    let talk = talk(&[Kind::Rc1180], &mut Silent, false);
    let said: Vec<u8> = talk.said.iter().flat_map(|(_, said)| said.clone()).collect();
    assert_eq!(said, [0x00, b'X'].repeat(said.len() / 2));
}

#[test]
fn a_lost_answer_is_asked_for_again_where_there_is_time() {
    #[derive(Debug)]
    struct Forgetful(Box<dyn Virtual>, u32);
    impl Virtual for Forgetful {
        fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
            self.1 += 1;
            if self.1 < 3 { Vec::new() } else { self.0.input(bytes, speed) }
        }
        fn hear(
            &mut self,
            mode: Mode,
            telegram: &[u8],
            rssi_dbm: i16,
            speed: u32,
        ) -> Result<Option<Vec<u8>>, emulator::dongle::NotATelegram> {
            self.0.hear(mode, telegram, rssi_dbm, speed)
        }
        fn reboot(&mut self) {}
        fn listens_for(&self, mode: Mode) -> bool {
            self.0.listens_for(mode)
        }
        fn spoil(&self, how: emulator::dongle::Spoil, frame: &mut Vec<u8>) {
            self.0.spoil(how, frame);
        }
    }
    let talk = talk(&[Kind::Im871a], &mut Forgetful(device("im871a"), 0), false);
    assert_eq!((talk.said.len(), talk.found.map(|found| found.kind)), (3, Some(Kind::Im871a)));
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_end_within_five_seconds_and_are_kept_bounded(
        inputs in vec((0u64..40, vec(any::<u8>(), 0..600)), 0..200)
    ) {
        let (start, mut probe, mut out) = (Instant::now(), Probe::new(&Kind::ALL), Vec::new());
        let (mut now, mut wake) = (start, start);
        probe.begin(now, &mut out);
        let mut inputs = inputs.into_iter();
        while probe.outcome().is_none() {
            for action in out.drain(..) {
                if let Action::Wake(at) = action {
                    wake = at;
                }
            }
            match inputs.next() {
                Some((later, bytes)) if now + Duration::from_millis(later) < wake => {
                    now += Duration::from_millis(later);
                    probe.bytes(now, &bytes, &mut out);
                    prop_assert!(probe.input.len() <= KEPT);
                }
                _ => {
                    now = now.max(wake);
                    probe.tick(now, &mut out);
                }
            }
        }
        prop_assert!(now - start < Duration::from_secs(6), "{:?}", now - start);
    }
}
