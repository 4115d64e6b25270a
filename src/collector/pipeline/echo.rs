//! The same frame a second time: from another receiver that hears the meter, too, or twice from one.
//!
//! It counts once, as strongly as the best of them heard it. Whatever a frame is (a fragment of a message, one that no key
//! opens), its echo goes no further than here.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use wmbus::Meter;

use super::{Collector, count};
use crate::collector::guard::Counter;
use crate::collector::open::{Outcome, Reception};
use crate::world::Uptime;

/// Slow lines, and full channels behind them, hand over so much later than fast ones at the most. A meter that sends the
/// same bytes again later says that they still hold.
const LATEST: Duration = Duration::from_secs(5);
/// Frames of that time in the busiest places.
const MOST: usize = 512;

/// The frames of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// Keyed, so that nobody can make a frame that passes for another's echo.
    digest: RandomState,
    /// Oldest first.
    heard: VecDeque<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    digest: u64,
    at: Uptime,
    what: What,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// It names no meter.
    Unreadable,
    /// Nothing of it is kept.
    Left(Meter),
    /// A telegram, which the guard may still hold.
    Opened(Meter, Option<Counter>, u64),
    /// Nobody could open it; it may be kept.
    Refused(Meter),
}

impl Echoes {
    /// What became of this frame when it was heard before; `None` if it was not.
    pub(super) fn hear(&mut self, frame: &[u8], at: Uptime) -> Option<What> {
        let digest = self.digest.hash_one(frame);
        let since = |heard: &Heard| at.since(heard.at);
        while self.heard.len() >= MOST || self.heard.front().is_some_and(|oldest| since(oldest) > LATEST) {
            self.heard.pop_front();
        }
        let before = self.heard.iter().find(|heard| heard.digest == digest && since(heard) <= LATEST);
        if let Some(before) = before {
            return Some(before.what);
        }
        self.heard.push_back(Heard { digest, at, what: What::Unreadable });
        None
    }

    /// What the frame that was just heard came to.
    pub(super) fn became(&mut self, outcome: &Outcome) {
        if let Some(newest) = self.heard.back_mut() {
            newest.what = match outcome {
                Outcome::Opened(meter, opened) => What::Opened(*meter, opened.counter, opened.digest),
                Outcome::Refused(meter, _) => What::Refused(*meter),
                Outcome::Foreign(meter) | Outcome::Installation(meter) | Outcome::Nothing(meter) => {
                    What::Left(*meter)
                }
                Outcome::Unreadable => What::Unreadable,
            };
        }
    }
}

impl Collector {
    pub(super) fn hear_again(&mut self, before: What, frame: &[u8], reception: Reception) {
        count(&mut self.counts.duplicates);
        let (What::Opened(meter, ..) | What::Refused(meter) | What::Left(meter)) = before else { return };
        self.heard.hear_again(meter, reception);
        let Some(state) = self.meters.get_mut(&meter) else { return };
        match before {
            What::Opened(_, counter, digest) => {
                if let Some(held) = state.guard.held(counter, digest) {
                    held.reception.rssi = held.reception.rssi.max(reception.rssi);
                }
            }
            What::Refused(_) => {
                if let Some(sealed) = &mut state.sealed {
                    sealed.heard_again(frame, reception.rssi);
                }
            }
            What::Left(_) | What::Unreadable => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(milliseconds: u64) -> Uptime {
        Uptime(Duration::from_millis(milliseconds))
    }

    #[test]
    fn only_the_same_bytes_within_seconds_are_an_echo() {
        let mut echoes = Echoes::default();
        assert!(echoes.hear(&[1, 2], up(10_000)).is_none());
        assert!(echoes.hear(&[1, 3], up(10_000)).is_none());
        assert!(echoes.hear(&[1, 2], up(10_200)).is_some());
        assert!(echoes.hear(&[1, 3], up(9_900)).is_some(), "a slow line may hand over what it heard earlier");
        assert!(echoes.hear(&[1, 2], up(15_001)).is_none());
    }

    #[test]
    fn however_many_frames_come_it_stays_bounded() {
        let mut echoes = Echoes::default();
        for number in 0..10_000_u16 {
            echoes.hear(&number.to_le_bytes(), up(7));
        }
        assert_eq!(echoes.heard.len(), MOST);
        assert!(echoes.hear(&9_999_u16.to_le_bytes(), up(7)).is_some());
    }
}
