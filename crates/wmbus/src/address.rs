//! Who sends: manufacturer, identification number, version and device type (EN 13757-3, 5.5 to 5.9; EN 13757-7).

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use thiserror::Error;

/// A manufacturer's three letters in 15 bits; bit 15 says that the address is unique only locally.
///
/// ```
/// use wmbus::Manufacturer;
/// assert_eq!(Manufacturer::KAMSTRUP.to_string(), "KAM");
/// assert_eq!("KAW".parse(), Ok(Manufacturer::from_wire([0x37, 0x2C])));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manufacturer(u16);

impl Manufacturer {
    /// Kamstrup A/S, most meters (`2D 2C` on the air).
    pub const KAMSTRUP: Self = Self(0x2C2D);
    /// Kamstrup Water, the newer water meters (`37 2C` on the air).
    pub const KAMSTRUP_WATER: Self = Self(0x2C37);

    /// Reads the two bytes of the M-field, low byte first.
    #[must_use]
    pub const fn from_wire(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }

    /// The two bytes of the M-field, low byte first.
    #[must_use]
    pub const fn to_wire(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    /// Whether this is one of Kamstrup's two codes.
    #[must_use]
    pub fn is_kamstrup(self) -> bool {
        matches!(self.unmarked(), Self::KAMSTRUP | Self::KAMSTRUP_WATER)
    }

    /// The three letters alone, without the mark of a local address.
    #[must_use]
    pub const fn unmarked(self) -> Self {
        Self(self.0 & 0x7FFF)
    }

    fn letters(self) -> [char; 3] {
        [10, 5, 0].map(|shift| char::from(b'@' + ((self.0 >> shift) & 0x1F) as u8))
    }
}

impl fmt::Display for Manufacturer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters().iter().try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Manufacturer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Manufacturer {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let letters: &[u8; 3] = text.as_bytes().try_into().map_err(|_| AddressError::Manufacturer)?;
        let mut code = 0;
        for letter in letters {
            if !letter.is_ascii_uppercase() {
                return Err(AddressError::Manufacturer);
            }
            code = code << 5 | u16::from(letter - b'@');
        }
        Ok(Self(code))
    }
}

/// An identification number: eight digits, kept as the four bytes of the air, since defective meters and wild cards
/// send digits beyond nine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(u32);

impl Serial {
    /// Reads the four bytes, lowest digits first.
    #[must_use]
    pub const fn from_wire(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    /// The four bytes, lowest digits first.
    #[must_use]
    pub const fn to_wire(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Serial {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() != 8 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(AddressError::Serial);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| AddressError::Serial)
    }
}

/// What kind of meter it is (EN 13757-3, table 13; EN 13757-7, table 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceType(pub u8);

impl DeviceType {
    /// Water above 30 and below 90 degrees.
    pub const WARM_WATER: Self = Self(0x06);
    /// Water, temperature not said.
    pub const WATER: Self = Self(0x07);
    /// Cold water.
    pub const COLD_WATER: Self = Self(0x16);

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00 => "other",
            0x01 => "oil",
            0x02 => "electricity",
            0x03 => "gas",
            0x04 => "heat (outlet)",
            0x05 => "steam",
            0x06 => "warm water",
            0x07 => "water",
            0x08 => "heat cost allocator",
            0x09 => "compressed air",
            0x0A => "cooling (outlet)",
            0x0B => "cooling (inlet)",
            0x0C => "heat (inlet)",
            0x0D => "heat/cooling",
            0x0E => "bus/system component",
            0x0F => "unknown medium",
            0x14 => "calorific value",
            0x15 => "hot water",
            0x16 => "cold water",
            0x17 => "dual water",
            0x18 => "pressure",
            0x19 => "A/D converter",
            0x1A => "smoke detector",
            0x1B => "room sensor",
            0x1C => "gas detector",
            0x1D..=0x1F => "sensor",
            0x20 => "breaker",
            0x21 => "valve",
            0x25 => "display",
            0x28 => "waste water",
            0x29 => "garbage",
            0x2A => "carbon dioxide",
            0x31 => "communication controller",
            0x32 => "unidirectional repeater",
            0x33 => "bidirectional repeater",
            0x36 => "radio converter (system side)",
            0x37 => "radio converter (meter side)",
            0x38 => "wired adapter",
            _ => "reserved",
        }
    }

    /// Whether it measures drinking or warm water.
    #[must_use]
    pub const fn is_water(self) -> bool {
        matches!(self.0, 0x06 | 0x07 | 0x15 | 0x16 | 0x17)
    }
}

/// A meter: manufacturer, identification number, version, device type. Identity for keys, counters and rows.
///
/// Written as `KAM.76348799.1B.16`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meter {
    /// Whose meter.
    pub manufacturer: Manufacturer,
    /// Its number; Kamstrup's is the serial number on the dial.
    pub serial: Serial,
    /// The generation of its hardware and software.
    pub version: u8,
    /// What it measures.
    pub device: DeviceType,
}

impl Meter {
    /// Reads M-field and A-field as the link layer has them: manufacturer first.
    #[must_use]
    pub const fn from_link(bytes: [u8; 8]) -> Self {
        let [m0, m1, i0, i1, i2, i3, version, device] = bytes;
        Self {
            manufacturer: Manufacturer::from_wire([m0, m1]),
            serial: Serial::from_wire([i0, i1, i2, i3]),
            version,
            device: DeviceType(device),
        }
    }

    /// The eight bytes in the order of the link layer; counter blocks and initial vectors start with them.
    #[must_use]
    pub const fn to_link(self) -> [u8; 8] {
        let [m0, m1] = self.manufacturer.to_wire();
        let [i0, i1, i2, i3] = self.serial.to_wire();
        [m0, m1, i0, i1, i2, i3, self.version, self.device.0]
    }

    /// Reads the address of a long transport header: identification number first.
    #[must_use]
    pub const fn from_long_header(bytes: [u8; 8]) -> Self {
        let [i0, i1, i2, i3, m0, m1, version, device] = bytes;
        Self::from_link([m0, m1, i0, i1, i2, i3, version, device])
    }

    /// The eight bytes in the order of a long transport header.
    #[must_use]
    pub const fn to_long_header(self) -> [u8; 8] {
        let [m0, m1, i0, i1, i2, i3, version, device] = self.to_link();
        [i0, i1, i2, i3, m0, m1, version, device]
    }
}

/// In one piece: whoever keeps meters in tables looks one up several times for each telegram, and hashing four fields one
/// by one costs as much as a fifth of reading it.
impl Hash for Meter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(self.to_link()));
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:02X}.{:02X}", self.manufacturer, self.serial, self.version, self.device.0)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Meter {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(AddressError::Shape);
        let meter = Self {
            manufacturer: part()?.parse()?,
            serial: part()?.parse()?,
            version: hex_byte(part()?)?,
            device: DeviceType(hex_byte(part()?)?),
        };
        if parts.next().is_some() { Err(AddressError::Shape) } else { Ok(meter) }
    }
}

fn hex_byte(text: &str) -> Result<u8, AddressError> {
    if text.len() != 2 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(AddressError::Byte);
    }
    u8::from_str_radix(text, 16).map_err(|_| AddressError::Byte)
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not three capital letters.
    #[error("a manufacturer is three capital letters, such as KAM")]
    Manufacturer,
    /// Not eight digits.
    #[error("a meter number has eight digits, such as 76348799")]
    Serial,
    /// Version or device type is not two hexadecimal digits.
    #[error("version and device type are two hexadecimal digits each, such as 1B")]
    Byte,
    /// Not four parts.
    #[error("a meter is written MANUFACTURER.NUMBER.VERSION.TYPE, such as KAM.76348799.1B.16")]
    Shape,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const WIRE: [u8; 8] = [0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

    #[test]
    fn a_meter_is_read_from_the_link_layer_and_written_back() {
        let meter = Meter::from_link(WIRE);
        assert_eq!(meter.to_string(), "KAM.76348799.1B.16");
        assert_eq!(meter.to_link(), WIRE);
        assert_eq!("KAM.76348799.1B.16".parse(), Ok(meter));
    }

    #[test]
    fn a_long_header_has_the_number_before_the_manufacturer() {
        let long = [0x99, 0x87, 0x34, 0x76, 0x2D, 0x2C, 0x1B, 0x16];
        assert_eq!(Meter::from_long_header(long), Meter::from_link(WIRE));
        assert_eq!(Meter::from_link(WIRE).to_long_header(), long);
    }

    #[test]
    fn texts_that_are_no_address_say_what_is_wrong() {
        assert_eq!("KAM.7634879.1B.16".parse::<Meter>(), Err(AddressError::Serial));
        assert_eq!("KAm.76348799.1B.16".parse::<Meter>(), Err(AddressError::Manufacturer));
        assert_eq!("KAM.76348799.+B.16".parse::<Meter>(), Err(AddressError::Byte));
        assert_eq!("KAM.76348799.1B".parse::<Meter>(), Err(AddressError::Shape));
        assert_eq!("KAM.76348799.1B.16.0".parse::<Meter>(), Err(AddressError::Shape));
    }

    #[test]
    fn numbers_with_digits_beyond_nine_keep_them() {
        assert_eq!(Serial::from_wire([0x07, 0xA8, 0x14, 0x00]).to_string(), "0014A807");
    }
}
