//! Which meters a key, a list row or a contact means.

use std::fmt;
use std::str::FromStr;

use wmbus::{AddressError, Manufacturer, Meter, Serial};

/// A meter as people name it: by its number alone, as most key files do, with its manufacturer, or in full.
///
/// Written `76348799`, `KAM.76348799` or `KAM.76348799.1B.16`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Every meter with this number.
    Number(Serial),
    /// Every meter of this manufacturer with this number.
    Maker(Manufacturer, Serial),
    /// This meter only.
    Full(Meter),
}

impl Selector {
    /// The three selectors that mean `meter`, the most specific first: the first that is found wins.
    #[must_use]
    pub const fn candidates(meter: Meter) -> [Self; 3] {
        [Self::Full(meter), Self::Maker(meter.manufacturer, meter.serial), Self::Number(meter.serial)]
    }

    /// Whether it means `meter`.
    #[must_use]
    pub fn matches(self, meter: Meter) -> bool {
        Self::candidates(meter).contains(&self)
    }

    /// The meter's number.
    #[must_use]
    pub const fn serial(self) -> Serial {
        match self {
            Self::Number(serial) | Self::Maker(_, serial) => serial,
            Self::Full(meter) => meter.serial,
        }
    }

    /// Reads a number as spreadsheets leave it: without its leading zeros, or any of the three forms.
    ///
    /// # Errors
    /// As [`Selector::from_str`].
    pub fn parse_padded(text: &str) -> Result<Self, AddressError> {
        let short = (1..8).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        if short { format!("{text:0>8}").parse() } else { text.parse() }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(serial) => write!(f, "{serial}"),
            Self::Maker(manufacturer, serial) => write!(f, "{manufacturer}.{serial}"),
            Self::Full(meter) => write!(f, "{meter}"),
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Selector {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once('.') {
            None => text.parse().map(Self::Number),
            Some((_, rest)) if rest.contains('.') => text.parse().map(Self::Full),
            Some((manufacturer, serial)) => Ok(Self::Maker(manufacturer.parse()?, serial.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read_and_written_alike() {
        for text in ["76348799", "KAM.76348799", "KAM.76348799.1B.16"] {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn leading_zeros_that_a_spreadsheet_took_away_come_back() {
        assert_eq!(Selector::parse_padded("4711").unwrap().to_string(), "00004711");
        assert_eq!(Selector::parse_padded("4A11"), Err(AddressError::Serial));
        assert_eq!(Selector::parse_padded(""), Err(AddressError::Serial));
    }

    #[test]
    fn a_number_means_every_manufacturer_and_a_full_address_one_meter() {
        let meter: Meter = "KAM.76348799.1B.16".parse().unwrap();
        let other: Meter = "KAW.76348799.1B.16".parse().unwrap();
        let matching = |text: &str| {
            let selector: Selector = text.parse().unwrap();
            (selector.matches(meter), selector.matches(other))
        };
        assert_eq!(matching("76348799"), (true, true));
        assert_eq!(matching("KAM.76348799"), (true, false));
        assert_eq!(matching("KAW.76348799.1B.16"), (false, true));
        assert_eq!(matching("76348798"), (false, false));
    }
}
