//! Which meter.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::json_text;

/// `KAM.76348799.1B.16` has 18 characters.
const LENGTH: usize = 18;

/// A meter: manufacturer, identification number, version and device type (EN 13757-3, 5.5 to 5.9), as text.
///
/// Written `KAM.76348799.1B.16`: three capital letters, eight digits (hexadecimal, since defective meters send digits
/// beyond nine), two hexadecimal digits each of version and device type, all capitals. It is safe in a topic.
///
/// ```
/// use messages::MeterId;
/// let meter: MeterId = "KAM.76348799.1B.16".parse()?;
/// assert_eq!(meter.serial(), "76348799");
/// assert!("KAM.76348799.1b.16".parse::<MeterId>().is_err(), "one meter has one spelling");
/// # Ok::<(), messages::NotAMeter>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId([u8; LENGTH]);

impl MeterId {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII passes the parser, which is the only way to make one.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The eight digits of the identification number, as printed on Kamstrup's dials.
    #[must_use]
    pub fn serial(&self) -> &str {
        self.part(1)
    }

    /// The three letters of the manufacturer.
    #[must_use]
    pub fn manufacturer(&self) -> &str {
        self.part(0)
    }

    fn part(&self, index: usize) -> &str {
        self.as_str().split('.').nth(index).unwrap_or_default()
    }
}

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MeterId {
    type Err = NotAMeter;

    fn from_str(text: &str) -> Result<Self, NotAMeter> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| NotAMeter)?;
        let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
            0..=2 => byte.is_ascii_uppercase(),
            3 | 12 | 15 => *byte == b'.',
            _ => byte.is_ascii_digit() || (b'A'..=b'F').contains(byte),
        });
        if fits { Ok(Self(bytes)) } else { Err(NotAMeter) }
    }
}

json_text!(
    MeterId,
    r"^[A-Z]{3}\.[0-9A-F]{8}\.[0-9A-F]{2}\.[0-9A-F]{2}$",
    "A meter: manufacturer, number, version, device type, such as KAM.76348799.1B.16."
);

/// A text is not a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a meter is written MANUFACTURER.NUMBER.VERSION.TYPE in capitals, such as KAM.76348799.1B.16")]
pub struct NotAMeter;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_keeps_its_parts() {
        let meter: MeterId = "KAW.0014A807.1B.06".parse().unwrap();
        assert_eq!((meter.manufacturer(), meter.serial()), ("KAW", "0014A807"));
        assert_eq!(meter.to_string(), "KAW.0014A807.1B.06");
    }

    #[test]
    fn nothing_else_is_a_meter() {
        for bad in ["", "KAM.76348799.1B", "kam.76348799.1B.16", "KAM.7634879/.1B.16", "KAM.76348799.1B.160"]
        {
            assert_eq!(bad.parse::<MeterId>(), Err(NotAMeter), "{bad}");
        }
    }
}
