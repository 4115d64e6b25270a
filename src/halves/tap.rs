//! Telegrams as they came, for whoever records them: kept in memory, and only while somebody asks.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use messages::Time;
use serde::{Deserialize, Serialize};

use crate::world::Uptime;

/// So many telegrams wait for the next question; the oldest go when there are more.
const MOST: usize = 4096;
/// So many are told at once.
const PAGE: usize = 1000;
/// Without a question for so long, nobody listens any more.
const IDLE: Duration = Duration::from_secs(60);

/// Telegrams since the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapPage {
    /// The telegrams, oldest first.
    pub frames: Vec<TapFrame>,
    /// What to ask for next.
    pub next: u64,
    /// How many went before they were asked for.
    pub lost: u64,
    /// Whether more are there already.
    pub more: bool,
}

/// One telegram without its link layer's checksums, ciphered as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapFrame {
    /// When it was heard, milliseconds since the machine was started.
    pub uptime_ms: u64,
    /// The same in UTC, if the clock is trusted.
    pub at: Option<Time>,
    /// Its signal strength in dBm.
    pub rssi_dbm: Option<i16>,
    /// Which receiver heard it.
    pub receiver: Option<String>,
    /// Its bytes in hexadecimal, beginning with the length byte.
    pub hex: String,
}

/// What is kept for whoever asks.
#[derive(Debug)]
pub(super) struct Tap {
    /// Empty and not filled while nobody asks.
    frames: VecDeque<Kept>,
    /// The number of the next telegram.
    next: u64,
    /// When it was last asked; absent while nobody does.
    asked: Option<Uptime>,
    /// How fast the world's clock runs.
    speed: u32,
}

#[derive(Debug)]
struct Kept {
    bytes: Box<[u8]>,
    at: Uptime,
    rssi: Option<i16>,
    receiver: u8,
}

impl Tap {
    pub(super) const fn new(speed: u32) -> Self {
        Self { frames: VecDeque::new(), next: 0, asked: None, speed }
    }

    /// A telegram was heard.
    pub(super) fn keep(&mut self, bytes: &[u8], at: Uptime, rssi: Option<i16>, receiver: u8) {
        // Counted also while nobody asks: whoever asks again after a pause has missed it.
        self.next = self.next.saturating_add(1);
        if self.asked.is_none() {
            return;
        }
        if self.frames.len() >= MOST {
            self.frames.pop_front();
        }
        self.frames.push_back(Kept { bytes: bytes.into(), at, rssi, receiver });
    }

    /// Forgets everything once nobody asks any more.
    pub(super) fn tick(&mut self, now: Uptime) {
        let idle = IDLE.saturating_mul(self.speed.max(1));
        if self.asked.is_some_and(|asked| now.since(asked) >= idle) {
            self.asked = None;
            self.frames = VecDeque::new();
        }
    }

    /// What came after `after`; the first question begins at the next telegram.
    pub(super) fn page(
        &mut self,
        after: Option<u64>,
        now: Uptime,
        receivers: &[(u8, String)],
        place: impl Fn(Uptime) -> Option<Time>,
    ) -> TapPage {
        self.asked = Some(now);
        let after = after.unwrap_or(self.next).min(self.next);
        let first = self.next.saturating_sub(u64::try_from(self.frames.len()).unwrap_or_default());
        let skip = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let name =
            |number: u8| receivers.iter().find(|(known, _)| *known == number).map(|(_, name)| name.clone());
        let told = |kept: &Kept| TapFrame {
            uptime_ms: u64::try_from(kept.at.0.as_millis()).unwrap_or(u64::MAX),
            at: place(kept.at),
            rssi_dbm: kept.rssi,
            receiver: name(kept.receiver),
            hex: hex(&kept.bytes),
        };
        let frames: Vec<TapFrame> = self.frames.iter().skip(skip).take(PAGE).map(told).collect();
        let next = after.max(first).saturating_add(u64::try_from(frames.len()).unwrap_or_default());
        TapPage { frames, next, lost: first.saturating_sub(after), more: next < self.next }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02X}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Uptime {
        Uptime(Duration::from_secs(seconds))
    }

    fn ask(tap: &mut Tap, after: Option<u64>, seconds: u64) -> TapPage {
        tap.page(after, at(seconds), &[(3, "dongle".to_owned())], |_| None)
    }

    #[test]
    fn telegrams_are_kept_only_while_somebody_asks_and_told_once() {
        let mut tap = Tap::new(1);
        tap.keep(&[1], at(1), None, 3);
        let begun = ask(&mut tap, None, 2);
        assert!(begun.frames.is_empty());
        tap.keep(&[0x0A, 0x44], at(3), Some(-71), 3);
        let page = ask(&mut tap, Some(begun.next), 4);
        let [frame] = page.frames.as_slice() else { panic!("{page:?}") };
        assert_eq!(
            (frame.hex.as_str(), frame.rssi_dbm, frame.receiver.as_deref()),
            ("0A44", Some(-71), Some("dongle"))
        );
        assert!(ask(&mut tap, Some(page.next), 5).frames.is_empty());
        tap.tick(at(70));
        tap.keep(&[2], at(71), None, 3);
        assert!(tap.frames.is_empty());
    }

    #[test]
    fn what_was_heard_while_a_caller_paused_is_counted_as_missed() {
        let mut tap = Tap::new(1);
        let next = ask(&mut tap, None, 0).next;
        tap.keep(&[1], at(30), None, 3);
        tap.tick(at(60));
        tap.keep(&[2], at(61), None, 3);
        let page = ask(&mut tap, Some(next), 62);
        assert_eq!((page.frames.len(), page.lost, page.next), (0, 2, next + 2));
        tap.keep(&[3], at(63), None, 3);
        let page = ask(&mut tap, Some(page.next), 64);
        assert_eq!((page.frames.len(), page.lost), (1, 0));
    }

    #[test]
    fn what_a_slow_caller_missed_is_counted() {
        let mut tap = Tap::new(1);
        let mut next = ask(&mut tap, None, 0).next;
        for _ in 0..MOST + 5 {
            tap.keep(&[1], at(1), None, 3);
        }
        let (mut told, mut lost) = (0, 0);
        loop {
            let page = ask(&mut tap, Some(next), 1);
            (next, told, lost) = (page.next, told + page.frames.len(), lost + page.lost);
            if !page.more {
                break;
            }
        }
        assert_eq!((told, lost), (MOST, 5));
    }
}
