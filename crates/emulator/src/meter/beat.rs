//! When a meter sends.
//!
//! Meters that send synchronously (EN 13757-4, 12.6.2) let the access number set the length of each interval, so that
//! receivers can foresee the next telegram and two meters never collide for long:
//! `(1 + (|access number - 128| - 64) / 2048) x nominal interval`. Over 256 telegrams the deviations add up to nothing.

/// Telegrams after which the pattern of intervals begins anew.
const ROUND: i64 = 256;
/// Intervals are told in parts of the nominal one.
const PARTS: i64 = 2_048;

/// The moments at which one meter sends: a function of the telegram's number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Beat {
    started: i64,
    interval: i64,
}

impl Beat {
    /// Telegram 0 is sent at `started` (UTC milliseconds), the others at intervals of about `interval` milliseconds.
    pub(crate) fn new(started: i64, interval: i64) -> Self {
        Self { started, interval }
    }

    /// When telegram 0 was sent, in UTC milliseconds.
    pub fn started(self) -> i64 {
        self.started
    }

    /// When a telegram is due, in UTC milliseconds.
    pub fn due(self, number: u64) -> i64 {
        let number = i64::try_from(number).unwrap_or(i64::MAX / ROUND / PARTS);
        let parts = number / ROUND * ROUND * PARTS + parts_before(number % ROUND);
        self.started
            + i64::try_from(i128::from(parts) * i128::from(self.interval) / i128::from(PARTS))
                .unwrap_or(i64::MAX / 2)
    }

    /// The first telegram at or after a UTC millisecond.
    pub fn first_from(self, at: i64) -> u64 {
        let round = (at - self.started).max(0) / (ROUND * self.interval) * ROUND;
        let (mut low, mut high) =
            (u64::try_from(round).unwrap_or(0), u64::try_from(round + ROUND).unwrap_or(0));
        while low < high {
            let middle = low.midpoint(high);
            if self.due(middle) < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Minutes since the start, and the how-manieth telegram of that minute it is, as session numbers have it.
    pub(crate) fn session(self, number: u64) -> u32 {
        let minute = self.minute(number);
        let earlier = (1..16)
            .take_while(|back| number.checked_sub(*back).is_some_and(|number| self.minute(number) == minute));
        let within = u32::try_from(earlier.count()).unwrap_or(0);
        (u32::try_from(minute).unwrap_or(0) << 4 | within) & 0x1FFF_FFFF
    }

    fn minute(self, number: u64) -> i64 {
        (self.due(number) - self.started) / 60_000
    }
}

/// The intervals before telegram `number` of a round, in parts.
fn parts_before(number: i64) -> i64 {
    let falling = number.min(128);
    let rising = number - falling;
    number * (PARTS - 64) + falling * 128 - falling * (falling - 1) / 2 + rising * (rising - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_the_access_number() {
        let beat = Beat::new(1_000_000, 16_000);
        for number in 0..600 {
            let access = i64::try_from(number % 256).unwrap();
            let interval = 16_000 + 16_000 * ((access - 128).abs() - 64) / 2_048;
            let seen = beat.due(number + 1) - beat.due(number);
            assert!((seen - interval).abs() <= 1, "{number}: {seen} instead of {interval}");
        }
        assert_eq!(beat.due(256 * 100), 1_000_000 + 256 * 100 * 16_000);
    }

    #[test]
    fn the_next_telegram_is_the_first_that_is_not_earlier() {
        let beat = Beat::new(5_000, 16_000);
        assert_eq!(beat.first_from(0), 0);
        for number in [0, 1, 127, 128, 255, 256, 257, 1_000_000] {
            assert_eq!(beat.first_from(beat.due(number)), number);
            assert_eq!(beat.first_from(beat.due(number) + 1), number + 1);
        }
    }

    #[test]
    fn session_numbers_rise_strictly_and_begin_anew_each_minute() {
        let beat = Beat::new(0, 16_000);
        let sessions: Vec<_> = (0..3_000).map(|number| beat.session(number)).collect();
        assert!(sessions.is_sorted_by(|one, next| one < next));
        assert_eq!(&sessions[..5], [0, 1, 2, 3, 16]);
    }
}
