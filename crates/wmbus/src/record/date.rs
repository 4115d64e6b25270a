//! Dates and times of EN 13757-3, annex A: types F, G, I and J. Always the meter's own local time, without a zone.

use core::fmt;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 1900 to 2299.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59, where the type has seconds.
    pub second: Option<u8>,
}

/// Day and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// The time.
    pub time: Time,
    /// Whether the meter says that it is summer time.
    pub summer: bool,
}

impl Date {
    /// Type G: two bytes. `None` if it is marked invalid or names no single day ("every month").
    #[must_use]
    pub fn from_type_g([b0, b1]: [u8; 2]) -> Option<Self> {
        let year = year_of_century(b0, b1)?;
        let century = if year <= 80 { 2000 } else { 1900 };
        Self::checked(century + year, b1 & 0x0F, b0 & 0x1F)
    }

    /// Type G's two bytes; the year counts modulo 100.
    #[must_use]
    pub fn to_type_g(self) -> [u8; 2] {
        let year = (self.year % 100) as u8;
        [self.day & 0x1F | year << 5, self.month & 0x0F | (year & 0x78) << 1]
    }

    /// A date if there is such a day.
    #[must_use]
    pub fn checked(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }
}

impl DateTime {
    /// Type F: four bytes. `None` if marked invalid or not a single minute.
    #[must_use]
    pub fn from_type_f([b0, b1, b2, b3]: [u8; 4]) -> Option<Self> {
        if b0 & 0x80 != 0 {
            return None;
        }
        let year = year_of_century(b2, b3)?;
        let hundreds = u16::from(b1 >> 5 & 0b11);
        let year = if hundreds == 0 && year <= 80 { 2000 + year } else { 1900 + 100 * hundreds + year };
        let date = Date::checked(year, b3 & 0x0F, b2 & 0x1F)?;
        Some(Self { date, time: time(b1 & 0x1F, b0 & 0x3F, None)?, summer: b1 & 0x80 != 0 })
    }

    /// Type F's four bytes.
    #[must_use]
    pub fn to_type_f(self) -> [u8; 4] {
        let [day, month] = self.date.to_type_g();
        let hundreds = ((self.date.year.saturating_sub(1900) / 100) & 0b11) as u8;
        let hour = self.time.hour & 0x1F | hundreds << 5 | u8::from(self.summer) << 7;
        [self.time.minute & 0x3F, hour, day, month]
    }

    /// Type I: six bytes. `None` if marked invalid or not a single second.
    #[must_use]
    pub fn from_type_i([b0, b1, b2, b3, b4, _week]: [u8; 6]) -> Option<Self> {
        if b1 & 0x80 != 0 {
            return None;
        }
        let date = Date::from_type_g([b3, b4])?;
        Some(Self { date, time: time(b2 & 0x1F, b1 & 0x3F, Some(b0 & 0x3F))?, summer: b0 & 0x40 != 0 })
    }
}

impl Time {
    /// Type J: three bytes, second, minute, hour.
    #[must_use]
    pub fn from_type_j([second, minute, hour]: [u8; 3]) -> Option<Self> {
        time(hour & 0x1F, minute & 0x3F, Some(second & 0x3F))
    }
}

fn time(hour: u8, minute: u8, second: Option<u8>) -> Option<Time> {
    let fits = hour < 24 && minute < 60 && second.is_none_or(|second| second < 60);
    fits.then_some(Time { hour, minute, second })
}

/// Seven bits: three in the day's byte, four in the month's. 127 stands for every year, the rest above 99 for none.
fn year_of_century(day: u8, month: u8) -> Option<u16> {
    Some((month & 0xF0) >> 1 | day >> 5).filter(|year| *year <= 99).map(u16::from)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)?;
        self.second.map_or(Ok(()), |second| write!(f, ":{second:02}"))
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date, self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_examples_of_the_standard_and_of_meters_come_out() {
        assert_eq!(Date::from_type_g([0xBF, 0x28]).unwrap().to_string(), "2021-08-31");
        assert_eq!(DateTime::from_type_f([0x32, 0x37, 0x1F, 0x15]).unwrap().to_string(), "2008-05-31 23:50");
        assert_eq!(DateTime::from_type_f([0x1C, 0x2A, 0x2F, 0x3C]).unwrap().to_string(), "2025-12-15 10:28");
        let itron = DateTime::from_type_i([0x2C, 0x1A, 0xA1, 0xD5, 0x21, 0x00]).unwrap();
        assert_eq!(itron.to_string(), "2022-01-21 01:26:44");
        assert_eq!(Time::from_type_j([1, 2, 3]).unwrap().to_string(), "03:02:01");
    }

    #[test]
    fn invalid_and_recurring_dates_are_none() {
        assert_eq!(Date::from_type_g([0xFF, 0xFF]), None);
        assert_eq!(Date::from_type_g([0x00, 0x01]), None, "every day");
        assert_eq!(Date::from_type_g([0x1E, 0x02]), None, "the thirtieth of February");
        assert_eq!(DateTime::from_type_f([0xB2, 0x37, 0x1F, 0x15]), None);
        assert_eq!(DateTime::from_type_f([0x3F, 0x37, 0x1F, 0x15]), None, "every minute");
        assert_eq!(Date::from_type_g([0xE1, 0xF1]), None, "the first of January of every year");
        assert_eq!(DateTime::from_type_f([0x32, 0x37, 0xFF, 0xF5]), None, "every year");
        assert_eq!(Date::from_type_g([0x81, 0xC1]), None, "a hundred is no year of a century");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for year in [1999, 2000, 2026, 2080] {
            let date = Date::checked(year, 12, 31).unwrap();
            assert_eq!(Date::from_type_g(date.to_type_g()), Some(date));
            let moment = DateTime { date, time: Time { hour: 23, minute: 59, second: None }, summer: true };
            assert_eq!(DateTime::from_type_f(moment.to_type_f()), Some(moment));
        }
    }
}
