//! Days as meters count them: standard time all the year round, two hours ahead of UTC.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{TimeZone, offset},
};

/// Seconds in an hour.
pub(crate) const HOUR: i64 = 3_600;
/// Seconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Finland's standard time, in hours ahead of UTC.
const AHEAD: i8 = 2;
/// 2025-01-01 00:00 there, a Wednesday: when the histories of all virtual meters begin.
pub(crate) const BEGIN: i64 = 1_735_689_600 - (AHEAD as i64) * HOUR;
/// Histories end after so many days, in 2065: what is asked of later times is what was then.
pub(crate) const LAST_DAY: i64 = 40 * 365;

/// The day of a UTC second, counted from [`BEGIN`], and the second in it.
pub(crate) fn day_of(at: i64) -> (i64, i64) {
    let since = at - BEGIN;
    (since.div_euclid(DAY), since.rem_euclid(DAY))
}

/// When a day begins, in UTC seconds.
pub(crate) const fn begin_of(day: i64) -> i64 {
    BEGIN + day * DAY
}

/// The day of the week; 0 is Monday.
pub(crate) const fn weekday(day: i64) -> i64 {
    (day + 2).rem_euclid(7)
}

/// The local date of a UTC second.
pub(crate) fn date_of(at: i64) -> Date {
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(TimeZone::fixed(offset(AHEAD))).date()
}

/// When a local date begins, in UTC seconds.
pub(crate) fn begin_of_date(date: Date) -> i64 {
    date.to_zoned_datetime(TimeZone::fixed(offset(AHEAD))).map_or(0, |begin| begin.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn histories_begin_with_the_year_2025() {
        assert_eq!(date_of(BEGIN), date(2025, 1, 1));
        assert_eq!(date_of(BEGIN - 1), date(2024, 12, 31));
        assert_eq!(begin_of_date(date(2025, 1, 1)), BEGIN);
        assert_eq!(weekday(0), 2, "a Wednesday");
    }

    #[test]
    fn seconds_before_the_beginning_belong_to_days_before() {
        assert_eq!(day_of(BEGIN - 1), (-1, DAY - 1));
        assert_eq!(day_of(begin_of(400) + 5), (400, 5));
    }
}
