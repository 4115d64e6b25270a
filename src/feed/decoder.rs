//! From the bytes of a source to telegrams, without a clock of its own.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use wmbus::Frame;
use wmbus::frame::FrameError;

use super::lines::{Line, Lines};
use super::rtl_wmbus::{self, Said};
use super::wire::Counts;
use crate::config::FeedFormat;
use crate::receiver::{Action, Dongle, FrameBytes, HexTty, LinkCrcs, LinkMode, RawFrame, RawTty};

/// Makes telegrams of a source's bytes, whatever their format.
#[derive(Debug)]
pub struct Decoder {
    format: Format,
    counts: Counts,
    /// What the telegrams of the last seconds were.
    latest: Latest,
}

/// A telegram whose checksums were right; they are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its bytes, beginning with the length byte.
    pub bytes: FrameBytes,
    /// How it was sent, where the source says so.
    pub link_mode: Option<LinkMode>,
    /// When its last byte came.
    pub at: Instant,
}

/// What bytes turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
pub enum Event {
    /// A telegram.
    Heard(Heard),
    /// The source says that it ends.
    Exiting,
}

enum Format {
    RtlWmbus(Lines),
    /// Digits or bytes, as from receivers that only talk.
    Bare(Bare),
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RtlWmbus(_) => "RtlWmbus",
            Self::Bare(_) => "Bare",
        })
    }
}

impl Decoder {
    /// One for this format.
    #[must_use]
    pub fn new(format: FeedFormat) -> Self {
        // Their speed is that of a line, of which there is none here.
        let format = match format {
            FeedFormat::RtlWmbus => Format::RtlWmbus(Lines::new(rtl_wmbus::LONGEST_LINE)),
            FeedFormat::Hex => Format::Bare(Bare::new(Box::new(HexTty::new(0)))),
            FeedFormat::Raw => Format::Bare(Bare::new(Box::new(RawTty::new(0)))),
        };
        Self { format, counts: Counts::default(), latest: Latest::default() }
    }

    /// The source begins anew: what had begun is forgotten, what was counted is not.
    pub fn opened(&mut self, now: Instant) {
        match &mut self.format {
            Format::RtlWmbus(lines) => lines.clear(),
            Format::Bare(bare) => bare.opened(now),
        }
    }

    /// Bytes of the source, split in any way.
    pub fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Event>) {
        let Self { format, counts, latest } = self;
        match format {
            Format::RtlWmbus(lines) => lines.take(input, |line| take_line(line, now, counts, latest, out)),
            Format::Bare(bare) => {
                bare.dongle.bytes(now, input, &mut bare.actions);
                bare.act(now, counts, out);
            }
        }
    }

    /// The time of [`wake`](Self::wake) has come. Harmless if called too early.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Event>) {
        if let Format::Bare(bare) = &mut self.format {
            bare.dongle.tick(now, &mut bare.actions);
            bare.act(now, &mut self.counts, out);
        }
    }

    /// The source has ended: what waited for what follows comes out.
    pub fn ended(&mut self, now: Instant, out: &mut Vec<Event>) {
        self.tick(now + PAUSE, out);
    }

    /// When to call [`tick`](Self::tick), if nothing comes before.
    #[must_use]
    pub const fn wake(&self) -> Option<Instant> {
        match &self.format {
            Format::RtlWmbus(_) => None,
            Format::Bare(bare) => bare.wake,
        }
    }

    /// What has been counted since it was made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        match &self.format {
            Format::RtlWmbus(_) => self.counts,
            Format::Bare(bare) => {
                Counts { garbage_bytes: bare.dongle.counters().garbage_bytes, ..self.counts }
            }
        }
    }
}

fn take_line(line: Line<'_>, now: Instant, counts: &mut Counts, latest: &mut Latest, out: &mut Vec<Event>) {
    let (said, length) = match line {
        Line::Whole(line) => (rtl_wmbus::read(line), line.len()),
        Line::TooLong => (Said::Malformed, rtl_wmbus::LONGEST_LINE),
    };
    match said {
        // Both of its demodulators usually find the same telegram.
        Said::Telegram { bytes, .. } if latest.has(&bytes, now) => count(&mut counts.again),
        Said::Telegram { bytes, link_mode, mended } => {
            count(&mut counts.good);
            counts.mended = counts.mended.saturating_add(u64::from(mended));
            out.push(Event::Heard(Heard { bytes, link_mode: Some(link_mode), at: now }));
        }
        Said::BadCrc => count(&mut counts.bad_crc),
        Said::BadCoding => count(&mut counts.bad_coding),
        Said::Malformed => {
            count(&mut counts.malformed);
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            counts.garbage_bytes = counts.garbage_bytes.saturating_add(length);
        }
        Said::Log => count(&mut counts.log_lines),
        Said::Exiting => {
            count(&mut counts.log_lines);
            out.push(Event::Exiting);
        }
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// The state machine of a receiver that only talks, without the line it was made for.
struct Bare {
    dongle: Box<dyn Dongle>,
    wake: Option<Instant>,
    actions: Vec<Action>,
}

impl Bare {
    fn new(dongle: Box<dyn Dongle>) -> Self {
        Self { dongle, wake: None, actions: Vec::new() }
    }

    fn opened(&mut self, now: Instant) {
        self.wake = None;
        self.actions.clear();
        self.dongle.opened(now, &mut self.actions);
        self.act(now, &mut Counts::default(), &mut Vec::new());
    }

    fn act(&mut self, now: Instant, counts: &mut Counts, out: &mut Vec<Event>) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let (mut actions, mut again) = (std::mem::take(&mut self.actions), false);
        for action in actions.drain(..) {
            match action {
                Action::Heard(frame) => take_frame(&frame, counts, out),
                Action::Wake(at) => self.wake = Some(at),
                // It heard nothing for long. Whoever drives the source watches over that; here is no port to open.
                Action::Reopen(_) => again = true,
                Action::Write(_) | Action::Ready(_) => {}
            }
        }
        self.actions = actions;
        if again {
            self.opened(now);
        }
    }
}

fn take_frame(frame: &RawFrame, counts: &mut Counts, out: &mut Vec<Event>) {
    let bytes = match frame.crcs {
        LinkCrcs::Removed => Some(frame.bytes.clone()),
        LinkCrcs::FormatA => bare(Frame::format_a(&frame.bytes)),
        LinkCrcs::FormatB => bare(Frame::format_b(&frame.bytes)),
    };
    match bytes {
        Some(bytes) => {
            count(&mut counts.good);
            out.push(Event::Heard(Heard { bytes, link_mode: frame.link_mode, at: frame.heard_at }));
        }
        None => count(&mut counts.bad_crc),
    }
}

fn bare(checked: Result<Frame, FrameError>) -> Option<FrameBytes> {
    checked.ok().and_then(|frame| FrameBytes::try_from(frame.bytes()).ok())
}

/// Longer than any pause within a telegram.
const PAUSE: Duration = Duration::from_secs(1);

/// The telegrams of the last two seconds, at most so many.
#[derive(Debug, Default)]
struct Latest {
    digest: RandomState,
    heard: VecDeque<(u64, Instant)>,
}

impl Latest {
    const MOST: usize = 32;
    const FOR: Duration = Duration::from_secs(2);

    /// Whether it came just before; keeps it otherwise.
    fn has(&mut self, telegram: &[u8], now: Instant) -> bool {
        let digest = self.digest.hash_one(telegram);
        let old = |(_, at): &(u64, Instant)| now.saturating_duration_since(*at) > Self::FOR;
        while self.heard.len() >= Self::MOST || self.heard.front().is_some_and(old) {
            self.heard.pop_front();
        }
        let known = self.heard.iter().any(|(known, _)| *known == digest);
        if !known {
            self.heard.push_back((digest, now));
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "2a442d2c998734761b168d2091d37cac21576c7802ff207100041308190000441308190000615b7f616713";
    const T_FORMAT_A: &str = "2a442d2c998734761b16f1488d2091d37cac21576c7802ff2071000410e91308190000441308190000615b7f6167796913\
                              29af";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn heard(decoder: &mut Decoder, now: Instant, input: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        decoder.bytes(now, input, &mut out);
        telegrams(out)
    }

    fn telegrams(events: Vec<Event>) -> Vec<Vec<u8>> {
        let bytes = |event| match event {
            Event::Heard(heard) => Some(heard.bytes.to_vec()),
            Event::Exiting => None,
        };
        events.into_iter().filter_map(bytes).collect()
    }

    #[test]
    fn lines_of_rtl_wmbus_are_counted_by_what_they_are() {
        let line =
            |flags: &str, hex: &str| format!("T1;{flags};2024-01-15 10:20:30.000;112;97;76348799;0x{hex}\n");
        let (mut decoder, now) = (Decoder::new(FeedFormat::RtlWmbus), Instant::now());
        decoder.opened(now);
        let text = [
            "Found 1 device(s):\n".to_owned(),
            line("1;1", T),
            line("1;1", T),
            line("0;1", T),
            line("1;0", T),
            line("1;1", "2a44"),
            "x".repeat(5000) + "\n",
            line("1;1", &format!("{}0", T.replace("13081900", "13091900"))),
        ];
        assert_eq!(heard(&mut decoder, now, text.concat().as_bytes()).len(), 2);
        let counts = decoder.counts();
        assert_eq!((counts.good, counts.again, counts.mended), (2, 1, 1));
        assert_eq!((counts.bad_crc, counts.bad_coding, counts.malformed, counts.log_lines), (1, 1, 2, 1));
        // Later, the same bytes are another telegram.
        let later = now + Duration::from_secs(3);
        assert_eq!(heard(&mut decoder, later, line("1;1", T).as_bytes()), [bytes(T)]);
        let mut out = Vec::new();
        decoder.bytes(later, b"rtl_wmbus: exiting\n", &mut out);
        assert_eq!(out, [Event::Exiting]);
    }

    #[test]
    fn telegrams_in_digits_and_in_bytes_come_out_without_their_crcs() {
        let now = Instant::now();
        for (format, input) in [
            (FeedFormat::Hex, [T, "\n", T_FORMAT_A, "\n"].concat().into_bytes()),
            (FeedFormat::Raw, [bytes(T), bytes(T_FORMAT_A)].concat()),
        ] {
            let mut decoder = Decoder::new(format);
            decoder.opened(now);
            let mut out = Vec::new();
            for byte in input.chunks(7) {
                decoder.bytes(now, byte, &mut out);
            }
            assert!(decoder.wake().is_some());
            decoder.ended(now, &mut out);
            assert_eq!(telegrams(out), [bytes(T), bytes(T)], "{format:?}");
            assert_eq!(decoder.counts().good, 2);
        }
    }

    #[test]
    fn a_telegram_whose_crc_is_wrong_is_counted_and_left() {
        let mut torn = bytes(T_FORMAT_A);
        torn[14] ^= 1;
        let (mut decoder, now) = (Decoder::new(FeedFormat::Raw), Instant::now());
        decoder.opened(now);
        let mut out = Vec::new();
        decoder.bytes(now, &torn, &mut out);
        decoder.ended(now, &mut out);
        assert_eq!((telegrams(out).len(), decoder.counts().bad_crc), (0, 1));
    }

    #[test]
    fn what_had_begun_before_the_source_began_anew_is_forgotten() {
        let now = Instant::now();
        for (format, input) in [(FeedFormat::Hex, &b"2A442D2C99"[..]), (FeedFormat::RtlWmbus, b"T1;1;1;")] {
            let mut decoder = Decoder::new(format);
            decoder.opened(now);
            assert!(heard(&mut decoder, now, input).is_empty());
            decoder.opened(now);
            let line = match format {
                FeedFormat::Hex => format!("{T}\n"),
                _ => format!("T1;1;1;t;1;2;76348799;0x{T}\n"),
            };
            assert_eq!(heard(&mut decoder, now, line.as_bytes()), [bytes(T)], "{format:?}");
        }
    }

    #[test]
    fn days_without_a_telegram_change_nothing() {
        let (mut decoder, start) = (Decoder::new(FeedFormat::Hex), Instant::now());
        decoder.opened(start);
        let mut now = start;
        for _ in 0..10_000 {
            let Some(wake) = decoder.wake() else { break };
            now = now.max(wake);
            decoder.tick(now, &mut Vec::new());
        }
        assert!(now > start + Duration::from_secs(2 * 86_400), "{:?}", now - start);
        assert_eq!(heard(&mut decoder, now, format!("{T}\n").as_bytes()), [bytes(T)]);
    }
}
