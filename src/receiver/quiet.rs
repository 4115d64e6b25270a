//! How long a receiver may hear nothing before something is wrong: learned from how often it hears something.
//!
//! A fixed limit is wrong at both ends: a block of flats sends ten telegrams a second, a lone well two a day, and a weak
//! meter comes in bursts with hours between. So there are three limits, from harmless to costly:
//!
//! * *ask* whether it is alive and still has its settings: 3 median gaps, at least a minute, at most 15 minutes;
//! * *set up again* over the open port, which loses nothing: 10 median gaps, at least 15 minutes;
//! * *deaf*, reopen the port: 10 median gaps and 3 times the longest gap of the last four to five weeks, at least an hour;
//!   and a day as long as too few gaps are known to say what is normal.

use std::time::{Duration, Instant};

const KEPT: usize = 64;
const ENOUGH_FOR_MEDIAN: usize = 8;
const ENOUGH_FOR_DEAF: usize = 20;

const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// One long gap, when the antenna was off, say, is not to count for ever: the longest is kept for each of these.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const WEEKS: usize = 5;

/// The gaps between telegrams of one receiver.
#[derive(Debug)]
pub(crate) struct Quiet {
    gaps: [Duration; KEPT],
    known: usize,
    next: usize,
    /// The longest gap that ended in each of the last weeks, this one first.
    longest: [Duration; WEEKS],
    /// When this one began.
    week: Option<Instant>,
    last: Option<Instant>,
    /// What somebody who knows the site has set.
    limit: Option<Duration>,
}

impl Quiet {
    pub(crate) fn new() -> Self {
        Self {
            gaps: [Duration::ZERO; KEPT],
            known: 0,
            next: 0,
            longest: [Duration::ZERO; WEEKS],
            week: None,
            last: None,
            limit: None,
        }
    }

    /// Deaf is who hears nothing for so long.
    pub(crate) fn limit(&mut self, limit: Duration) {
        self.limit = Some(limit);
    }

    /// A telegram was heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let gap = now.saturating_duration_since(last);
            if let Some(slot) = self.gaps.get_mut(self.next) {
                *slot = gap;
            }
            self.next = (self.next + 1) % KEPT;
            self.known = KEPT.min(self.known + 1);
            self.turn_weeks(now);
            let [this_week, ..] = &mut self.longest;
            *this_week = gap.max(*this_week);
        }
    }

    fn turn_weeks(&mut self, now: Instant) {
        let began = *self.week.get_or_insert(now);
        let over = now.saturating_duration_since(began).as_secs() / WEEK.as_secs();
        let turns = usize::try_from(over).unwrap_or(usize::MAX).min(WEEKS);
        if turns > 0 {
            self.longest.rotate_right(turns);
            self.longest.iter_mut().take(turns).for_each(|longest| *longest = Duration::ZERO);
            self.week = Some(now);
        }
    }

    /// The receiver was not listening for a while: the gap that runs now says nothing about the meters.
    pub(crate) fn interrupted(&mut self) {
        self.last = None;
    }

    pub(crate) fn ask_after(&self) -> Duration {
        (self.median() * 3).clamp(MINUTE, QUARTER)
    }

    pub(crate) fn set_up_after(&self) -> Duration {
        (self.median() * 10).max(QUARTER)
    }

    pub(crate) fn deaf_after(&self) -> Duration {
        if let Some(limit) = self.limit {
            return limit;
        }
        if self.known < ENOUGH_FOR_DEAF {
            return DAY;
        }
        HOUR.max(self.median() * 10).max(self.longest.into_iter().max().unwrap_or_default() * 3)
    }

    fn median(&self) -> Duration {
        if self.known < ENOUGH_FOR_MEDIAN {
            return Duration::ZERO;
        }
        let mut sorted = self.gaps;
        let (known, _) = sorted.split_at_mut(self.known);
        let (_, median, _) = known.select_nth_unstable(self.known / 2);
        *median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_gaps(gaps: impl IntoIterator<Item = u64>) -> Quiet {
        let (mut quiet, mut now) = (Quiet::new(), Instant::now());
        quiet.heard(now);
        for gap in gaps {
            now += Duration::from_secs(gap);
            quiet.heard(now);
        }
        quiet
    }

    #[test]
    fn a_receiver_nobody_knows_yet_is_asked_each_minute_and_called_deaf_after_a_day() {
        let quiet = Quiet::new();
        assert_eq!((quiet.ask_after(), quiet.set_up_after(), quiet.deaf_after()), (MINUTE, QUARTER, DAY));
    }

    #[test]
    fn a_busy_receiver_is_called_deaf_after_an_hour() {
        assert_eq!(after_gaps([1; 100]).deaf_after(), HOUR);
    }

    #[test]
    fn limits_grow_with_the_median_gap() {
        let quiet = after_gaps([100; 30]);
        assert_eq!((quiet.ask_after().as_secs(), quiet.set_up_after().as_secs()), (300, 1000));
        assert_eq!(after_gaps([3600; 30]).ask_after(), QUARTER);
    }

    #[test]
    fn bursts_do_not_hide_the_long_gaps_between_them() {
        let bursts = (0..40).map(|n| if n % 10 == 9 { 5 * 3600 } else { 16 });
        assert_eq!(after_gaps(bursts).deaf_after(), 15 * HOUR);
    }

    #[test]
    fn one_long_gap_is_forgotten_after_five_weeks_and_not_before_four() {
        let a_day_then = |days: u64| {
            let often = std::iter::repeat_n(600, usize::try_from(days * 144).unwrap());
            after_gaps([60; 30].into_iter().chain([86_400]).chain(often)).deaf_after()
        };
        assert_eq!((a_day_then(1), a_day_then(28)), (3 * DAY, 3 * DAY));
        assert_eq!(a_day_then(37), Duration::from_secs(6000));
    }

    #[test]
    fn a_gap_during_which_nobody_listened_is_not_learned() {
        let (mut quiet, start) = (Quiet::new(), Instant::now());
        quiet.heard(start);
        quiet.interrupted();
        quiet.heard(start + DAY);
        assert_eq!((quiet.known, quiet.longest), (0, [Duration::ZERO; WEEKS]));
    }
}
