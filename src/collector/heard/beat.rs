//! At what interval a meter sends, and how many of its telegrams are heard of late.
//!
//! Anybody can send a telegram in a meter's name. Once a meter's telegrams open, only those that do count; of others all
//! but installation telegrams, and then one stray telegram does not set the interval. All of it is forgotten within
//! an hour, or within sixteen telegrams, so that yesterday says nothing of today's antenna.

/// The last intervals between telegrams that are remembered.
const INTERVALS: usize = 16;
/// The shortest of them that say nothing if strays may be among them: one stray makes two of an interval.
const STRAY: usize = 2;
/// Telegrams are counted for so long, in milliseconds, in each of so many slots: an hour and the running slot.
const SLOT: u64 = 600_000;
const SLOTS: usize = 7;
const HOUR: u64 = 3_600_000;
/// No meter sends twice within so many milliseconds.
const FLOOR: u64 = 2000;
/// Whose telegrams have not opened for an hour and so many intervals is counted by what does not open, too.
const UNOPENED: u64 = 10;

/// A meter's beat. Moments in milliseconds of uptime.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// When the first telegram that counts was heard, and the last.
    span: Option<(u64, u64)>,
    /// Telegrams that count, since ever.
    total: u32,
    /// Milliseconds between telegrams, the latest of them; 0 while there are fewer.
    intervals: [u32; INTERVALS],
    /// Where the next interval goes, round and round.
    next: u8,
    /// Telegrams by ten minutes, round and round, and the number of the running ten minutes.
    slots: [u16; SLOTS],
    slot: u64,
    /// When one was last opened.
    opened: Option<u64>,
    /// Among those that count are some that were not opened.
    strays: bool,
}

/// Telegrams of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// How many.
    pub telegrams: u32,
    /// In how many milliseconds.
    pub over: u64,
}

impl Beat {
    /// Takes a telegram that is no installation telegram. `false` if it does not count.
    pub(super) fn count(&mut self, at: u64, opened: bool) -> bool {
        if opened {
            if self.strays {
                *self = Self { total: self.total, ..Self::default() };
            }
            self.opened = Some(at);
        } else if self.opens(at) {
            return false;
        } else {
            self.strays = true;
        }
        let (first, last) = self.span.unwrap_or((at, at));
        let passed = at.saturating_sub(last);
        if self.span.is_some() {
            if passed < FLOOR {
                return true;
            }
            if let Some(oldest) = self.intervals.get_mut(usize::from(self.next) % INTERVALS) {
                *oldest = u32::try_from(passed).unwrap_or(u32::MAX);
            }
            self.next = self.next.wrapping_add(1);
        }
        self.span = Some((first, at));
        self.total = self.total.saturating_add(1);
        self.turn_to(at / SLOT);
        if let Some(count) = self.slots.get_mut(place(self.slot)) {
            *count = count.saturating_add(1);
        }
        true
    }

    /// What was opened says nothing any more: the meter is not ours.
    pub(super) const fn doubt(&mut self) {
        self.opened = None;
    }

    /// Telegrams that count, since ever.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// When the last of them was heard.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.span.map(|(_, last)| last)
    }

    /// The meter's own interval. The median is a multiple of it when telegrams are missed, and the shortest says of how
    /// much. Intervals vary by a thirtieth either way (EN 13757-4, 12.6.2).
    #[must_use]
    pub fn interval(&self) -> Option<u64> {
        let mut known = self.intervals;
        known.sort_unstable();
        let known = known.get(known.iter().position(|interval| *interval > 0)?..)?;
        let stray = if self.strays { STRAY.min(known.len() / 3) } else { 0 };
        let (shortest, median) = (*known.get(stray)?, *known.get(known.len() / 2)?);
        let missed = median.saturating_add(shortest / 2).checked_div(shortest)?.max(1);
        Some(u64::from(median / missed))
    }

    /// Those heard within the last hour; of a meter that sends seldom, those whose intervals are remembered.
    #[must_use]
    pub fn recent(&self, now: u64) -> Recent {
        let Some((first, last)) = self.span else { return Recent::default() };
        if self.interval().is_some_and(|interval| interval > SLOT) {
            let known = self.intervals.iter().filter(|interval| **interval > 0);
            let (telegrams, over) =
                known.fold((0u32, now.saturating_sub(last)), |(count, over), interval| {
                    (count.saturating_add(1), over.saturating_add(u64::from(*interval)))
                });
            return Recent { telegrams, over };
        }
        let oldest = (now / SLOT).saturating_sub(SLOTS as u64 - 1);
        let counted = (oldest..=self.slot).rev().take(SLOTS);
        let telegrams = counted.filter_map(|slot| self.slots.get(place(slot))).copied().map(u32::from).sum();
        Recent { telegrams, over: now.saturating_sub(first.max(oldest.saturating_mul(SLOT))) }
    }

    /// Whether its telegrams open, so that one that does not is not its own.
    fn opens(&self, at: u64) -> bool {
        self.opened.is_some_and(|opened| {
            let since = at.saturating_sub(opened);
            since <= HOUR || since <= self.interval().unwrap_or_default().saturating_mul(UNOPENED)
        })
    }

    fn turn_to(&mut self, slot: u64) {
        for passed in (self.slot.saturating_add(1)..=slot).rev().take(SLOTS) {
            if let Some(count) = self.slots.get_mut(place(passed)) {
                *count = 0;
            }
        }
        self.slot = self.slot.max(slot);
    }
}

/// Where a slot is counted.
fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Telegrams every 16 s for so many seconds, the share of them in hundredths heard.
    fn hear(beat: &mut Beat, seconds: std::ops::Range<u64>, per_cent: u64, opened: bool) {
        for at in seconds.step_by(16) {
            if chance(at) % 100 < per_cent {
                beat.count(at * 1000, opened);
            }
        }
    }

    /// Telegrams are lost by chance; here always the same ones (splitmix64).
    fn chance(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn share(beat: &Beat, now: u64) -> u64 {
        let Recent { telegrams, over } = beat.recent(now * 1000);
        u64::from(telegrams) * 100 / (over / beat.interval().unwrap()).max(1)
    }

    #[test]
    fn a_stray_telegram_in_a_strangers_name_changes_nothing() {
        for stray in [7, 8, 3, 12] {
            let mut beat = Beat::default();
            hear(&mut beat, 0..3200, 100, false);
            beat.count((3184 + stray) * 1000, false);
            for later in (3200..7200).step_by(16) {
                beat.count(later * 1000, false);
                assert_eq!(beat.interval(), Some(16_000), "{stray} s, {later} s");
            }
            assert!(share(&beat, 7200) >= 99);
        }
    }

    #[test]
    fn what_does_not_open_is_not_counted_for_a_meter_whose_telegrams_do() {
        let mut beat = Beat::default();
        hear(&mut beat, 0..1600, 100, true);
        for at in 1600..1700 {
            assert!(!beat.count(at * 1000, false));
        }
        assert_eq!((beat.total(), beat.interval()), (100, Some(16_000)));
        assert_eq!(beat.last(), Some(1_584_000));
        // Its key was exchanged: after an hour it is counted by what is heard of it, whether it opens or not.
        hear(&mut beat, 6400..8000, 100, false);
        assert_eq!(beat.interval(), Some(16_000));
        assert!(beat.total() > 190);
        // With the new key it starts over.
        assert!(beat.count(8_000_000, true));
        assert_eq!(beat.recent(8_001_000), Recent { telegrams: 1, over: 1000 });
    }

    #[test]
    fn an_antenna_that_comes_loose_after_a_month_shows_within_the_hour() {
        let mut beat = Beat::default();
        let month = 30 * 86_400;
        hear(&mut beat, 0..month, 100, true);
        assert!(share(&beat, month) >= 99);
        hear(&mut beat, month..month + 4200, 30, true);
        assert!((25..=35).contains(&share(&beat, month + 4200)), "{}", share(&beat, month + 4200));
        let silent = beat.recent((month + 3 * 86_400) * 1000);
        assert_eq!(silent.telegrams, 0);
        assert!((HOUR..HOUR + SLOT).contains(&silent.over));
    }

    #[test]
    fn the_interval_is_found_although_most_telegrams_are_missed() {
        for per_cent in [30, 40, 50, 70, 90] {
            let mut beat = Beat::default();
            hear(&mut beat, 0..7200, per_cent, true);
            assert_eq!(beat.interval(), Some(16_000), "{per_cent} %");
        }
        let mut beat = Beat::default();
        for jittered in [0u64, 16_400, 32_100, 63_700, 80_100, 112_500, 128_000] {
            beat.count(jittered, true);
        }
        assert!(beat.interval().is_some_and(|interval| (15_500..16_500).contains(&interval)));
    }

    #[test]
    fn a_meter_that_sends_seldom_is_judged_by_what_is_remembered() {
        let mut beat = Beat::default();
        let day = 86_400_000;
        for n in 0..10 {
            beat.count(n * day, true);
        }
        assert_eq!(beat.interval(), Some(day));
        assert_eq!(beat.recent(9 * day + 5), Recent { telegrams: 9, over: 9 * day + 5 });
        beat.count(12 * day, true);
        assert_eq!(beat.recent(12 * day), Recent { telegrams: 10, over: 12 * day });
    }

    proptest! {
        #[test]
        fn no_more_is_recent_than_was_counted_nor_for_longer(
            heard in proptest::collection::vec((0u64..4_000_000, any::<bool>()), 0..200),
            later in 0u64..10_000_000,
        ) {
            let (mut beat, mut now) = (Beat::default(), 0);
            for (passed, opened) in heard {
                now += passed;
                beat.count(now, opened);
                let recent = beat.recent(now + later);
                prop_assert!(recent.telegrams <= beat.total());
                prop_assert!(recent.over <= now + later);
                prop_assert!(beat.interval().is_none_or(|interval| interval >= FLOOR / 2));
            }
        }
    }
}
