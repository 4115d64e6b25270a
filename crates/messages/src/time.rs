//! Moments, always UTC, on the wire as RFC 3339 with `Z` and whole seconds.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::json_text;

const SECONDS_PER_HOUR: i64 = 3600;

/// A moment in UTC, whole seconds, between 1970 and 2199.
///
/// ```
/// use messages::Time;
/// let time: Time = "2026-11-24T01:00:07Z".parse()?;
/// assert_eq!(time.unix(), 1_795_482_007);
/// # Ok::<(), messages::NotATime>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// 2199-12-31T23:59:59Z.
    pub const MAX: Self = Self(7_258_118_399);

    /// From seconds since 1970; `None` outside the years 1970 to 2199.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&seconds).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every value between MIN and MAX is within jiff's range, so the fallback is never taken.
        write!(f, "{}", Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let [y1, y2, y3, y4, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _, b'Z'] =
            text.as_bytes()
        else {
            return Err(NotATime);
        };
        if ![y1, y2, y3, y4].iter().all(|digit| digit.is_ascii_digit()) {
            return Err(NotATime);
        }
        let parsed: Timestamp = text.parse().map_err(|_| NotATime)?;
        Self::from_unix(parsed.as_second()).ok_or(NotATime)
    }
}

json_text!(
    Time,
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
    "A moment in UTC with whole seconds, 1970 to 2199."
);

/// A text is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a time is UTC with whole seconds between 1970 and 2199, such as 2026-11-24T01:00:07Z")]
pub struct NotATime;

/// A full hour in UTC: the boundary that a row belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The full hour at or before `time`.
    #[must_use]
    pub const fn at_or_before(time: Time) -> Self {
        Self(time.0 - time.0 % SECONDS_PER_HOUR)
    }

    /// This very moment, if it is a full hour.
    #[must_use]
    pub fn exact(time: Time) -> Option<Self> {
        (time.0 % SECONDS_PER_HOUR == 0).then_some(Self(time.0))
    }

    /// The moment.
    #[must_use]
    pub const fn time(self) -> Time {
        Time(self.0)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time())
    }
}

impl fmt::Debug for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Hour {
    type Err = NotAnHour;

    fn from_str(text: &str) -> Result<Self, NotAnHour> {
        text.parse().ok().and_then(Self::exact).ok_or(NotAnHour)
    }
}

json_text!(Hour, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:00:00Z$", "A full hour in UTC, 1970 to 2199.");

/// A text is not a full hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a boundary is a full hour in UTC between 1970 and 2199, such as 2026-11-24T01:00:00Z")]
pub struct NotAnHour;

/// A stretch of time, open or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Its start.
    pub from: Time,
    /// Its end; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

impl Span {
    /// Whether two spans overlap or lie less than `gap` seconds apart; an open span lasts for ever.
    ///
    /// Episodes of one meter and code are one if they do within 7200 seconds.
    #[must_use]
    pub fn meets(self, other: Self, gap: i64) -> bool {
        let before =
            |a: Self, b: Self| a.to.is_some_and(|end| b.from.unix().saturating_sub(end.unix()) >= gap.max(1));
        !before(self, other) && !before(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_written_and_read() {
        for (time, text) in [(Time::MIN, "1970-01-01T00:00:00Z"), (Time::MAX, "2199-12-31T23:59:59Z")] {
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert_eq!(Time::from_unix(Time::MAX.unix() + 1), None);
    }

    #[test]
    fn other_spellings_of_a_moment_are_refused() {
        for bad in [
            "2026-11-24 01:00:07Z",
            "2026-11-24T01:00:07+00:00",
            "2026-11-24T01:00:07.5Z",
            "2026-13-24T01:00:07Z",
        ] {
            assert_eq!(bad.parse::<Time>(), Err(NotATime), "{bad}");
        }
        assert_eq!("2026-11-24T01:00:01Z".parse::<Hour>(), Err(NotAnHour));
    }

    #[test]
    fn spans_less_than_the_gap_apart_meet_either_way_round() {
        let span = |from, to: Option<i64>| Span {
            from: Time::from_unix(from).unwrap(),
            to: to.map(|to| Time::from_unix(to).unwrap()),
        };
        let (first, second) = (span(0, Some(1000)), span(8199, None));
        assert!(first.meets(second, 7200) && second.meets(first, 7200));
        let third = span(8200, Some(9000));
        assert!(!first.meets(third, 7200) && !third.meets(first, 7200));
    }
}
