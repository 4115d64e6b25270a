//! The transport layer's header: none, short or long, and its configuration field (EN 13757-7, 7; OMS Volume 2, 7.2).

use core::fmt;

use crate::address::Meter;
use crate::reader::{Reader, Truncated};

/// How the application layer is secured, from bits 12 to 8 of the configuration field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// 0: in the clear.
    None,
    /// 5: AES-128-CBC with an initial vector from address and access number (OMS security profile A).
    Aes128Cbc,
    /// 7: AES-128-CBC with a key of its own for every message, and a MAC in the AFL (OMS security profile B).
    Aes128CbcKdf,
    /// 10: AES-128-CCM with a key of its own for every message (OMS security profile D).
    Aes128Ccm,
    /// A mode this crate cannot open: 1, 4, 15 manufacturer's or specific; 2, 3 DES; 8, 9 AES with GMAC or two MACs; 13
    /// TLS; the rest reserved.
    Unsupported(u8),
}

impl Mode {
    /// The number in the configuration field.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Aes128Cbc => 5,
            Self::Aes128CbcKdf => 7,
            Self::Aes128Ccm => 10,
            Self::Unsupported(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            5 => Self::Aes128Cbc,
            7 => Self::Aes128CbcKdf,
            10 => Self::Aes128Ccm,
            other => Self::Unsupported(other),
        }
    }
}

/// The status byte of a meter (EN 13757-3, table 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// Names of what is set, in the order of the bits.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let application = match self.0 & 0b11 {
            1 => Some("busy"),
            2 => Some("application_error"),
            3 => Some("abnormal_condition"),
            _ => None,
        };
        let flags = [(2, "power_low"), (3, "permanent_error"), (4, "temporary_error"), (5, "manufacturer_5")];
        let more = [(6, "manufacturer_6"), (7, "manufacturer_7")];
        let set = move |(bit, word): (u8, &'static str)| (self.0 >> bit & 1 == 1).then_some(word);
        application.into_iter().chain(flags.into_iter().chain(more).filter_map(set))
    }
}

/// The configuration field with its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// The sixteen bits.
    pub bits: u16,
    /// The extension: one byte in mode 7, two in mode 10, else zero.
    pub extension: u16,
    /// The message counter, where the header has one.
    pub counter: Option<u32>,
    /// The key's version, where the header has one (mode 7).
    pub key_version: Option<u8>,
}

impl Configuration {
    /// The security mode.
    #[must_use]
    pub const fn mode(self) -> Mode {
        Mode::from_number((self.bits >> 8 & 0x1F) as u8)
    }

    /// Modes 5 and 7: how many blocks of sixteen bytes are enciphered.
    #[must_use]
    pub const fn blocks(self) -> u8 {
        (self.bits >> 4 & 0x0F) as u8
    }

    /// Mode 10: how many bytes are enciphered; `FF` means all.
    #[must_use]
    pub const fn enciphered_bytes(self) -> u8 {
        (self.bits & 0xFF) as u8
    }

    /// Bits 5 and 4 of the extension: 1 is key derivation function A.
    #[must_use]
    pub const fn key_derivation(self) -> u8 {
        (self.extension >> 4 & 0b11) as u8
    }

    /// Whether a repeater has passed the message on: bits 1 and 0, in the modes that have them there.
    #[must_use]
    pub const fn relayed(self) -> bool {
        matches!(self.mode(), Mode::None | Mode::Aes128Cbc) && self.bits & 0b11 != 0
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let bits = u16::from_le_bytes(*reader.array()?);
        let mut read = Self { bits, extension: 0, counter: None, key_version: None };
        let counts = bits >> 13 & 1 == 1;
        match read.mode() {
            Mode::Aes128CbcKdf => {
                read.extension = u16::from(reader.byte()?);
                if counts {
                    read.counter = Some(u32::from_le_bytes(*reader.array()?));
                }
                if read.extension >> 6 & 1 == 1 {
                    read.key_version = Some(reader.byte()?);
                }
            }
            Mode::Aes128Ccm => {
                read.extension = u16::from_le_bytes(*reader.array()?);
                if counts {
                    read.counter = Some(u32::from_le_bytes(*reader.array()?));
                }
            }
            _ => {}
        }
        Ok(read)
    }
}

/// What stands between the CI-field and the application's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The meter behind a radio adapter; only a long header names it.
    pub meter: Option<Meter>,
    /// Access number.
    pub access: u8,
    /// The meter's status byte; never enciphered, and in mode 5 not authenticated either.
    pub status: Status,
    /// Security mode and what belongs to it.
    pub configuration: Configuration,
}

/// How long the transport header behind a CI-field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    None,
    Short,
    Long,
}

impl Transport {
    pub(crate) fn read(kind: HeaderKind, reader: &mut Reader<'_>) -> Result<Option<Self>, Truncated> {
        let meter = match kind {
            HeaderKind::None => return Ok(None),
            HeaderKind::Short => None,
            HeaderKind::Long => Some(Meter::from_long_header(*reader.array()?)),
        };
        let [access, status] = *reader.array()?;
        let configuration = Configuration::read(reader)?;
        Ok(Some(Self { meter, access, status: Status(status), configuration }))
    }
}

/// What the application's bytes are, told by the CI-field (EN 13757-7, table 2), for those a meter sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Application {
    /// `72`, `78`, `7A`: data records.
    Records,
    /// `73`, `79`, `7B`: the data of records whose headers went before, in a full frame.
    Compact,
    /// `69`, `6A`, `6B`: headers only, so that compact frames can be read.
    FormatFrame,
    /// `8A`, `8B`: a transport header and nothing else.
    TransportOnly,
    /// `6E`, `6F`, `70`: an application error.
    Error,
    /// `71`, `74`, `75`: an alarm.
    Alarm,
    /// `A0` to `B7`: bytes that only the manufacturer can read.
    Manufacturer(u8),
}

impl Application {
    pub(crate) const fn of(ci: u8) -> Option<(Self, HeaderKind)> {
        Some(match ci {
            0x78 => (Self::Records, HeaderKind::None),
            0x7A => (Self::Records, HeaderKind::Short),
            0x72 => (Self::Records, HeaderKind::Long),
            0x79 => (Self::Compact, HeaderKind::None),
            0x7B => (Self::Compact, HeaderKind::Short),
            0x73 => (Self::Compact, HeaderKind::Long),
            0x69 => (Self::FormatFrame, HeaderKind::None),
            0x6A => (Self::FormatFrame, HeaderKind::Short),
            0x6B => (Self::FormatFrame, HeaderKind::Long),
            0x8A => (Self::TransportOnly, HeaderKind::Short),
            0x8B => (Self::TransportOnly, HeaderKind::Long),
            0x6E => (Self::Error, HeaderKind::Short),
            0x6F => (Self::Error, HeaderKind::Long),
            0x70 => (Self::Error, HeaderKind::None),
            0x71 => (Self::Alarm, HeaderKind::None),
            0x74 => (Self::Alarm, HeaderKind::Short),
            0x75 => (Self::Alarm, HeaderKind::Long),
            0xA0..=0xB7 => (Self::Manufacturer(ci), HeaderKind::None),
            _ => return None,
        })
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records => f.write_str("data records"),
            Self::Compact => f.write_str("compact frame"),
            Self::FormatFrame => f.write_str("format frame"),
            Self::TransportOnly => f.write_str("transport header only"),
            Self::Error => f.write_str("application error"),
            Self::Alarm => f.write_str("alarm"),
            Self::Manufacturer(ci) => write!(f, "manufacturer specific ({ci:02X})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;
    use std::string::ToString;
    use std::vec::Vec;

    fn read(kind: HeaderKind, hex: &str) -> Transport {
        Transport::read(kind, &mut Reader::new(&unhex(hex))).unwrap().unwrap()
    }

    #[test]
    fn a_short_header_of_mode_5_says_its_blocks() {
        let header = read(HeaderKind::Short, "2A 00 2025");
        assert_eq!(
            (header.access, header.configuration.mode(), header.configuration.blocks()),
            (0x2A, Mode::Aes128Cbc, 2)
        );
    }

    #[test]
    fn a_long_header_of_mode_7_names_the_meter() {
        let header = read(HeaderKind::Long, "7856341293153303 75 00 2007 10");
        assert_eq!(header.meter.unwrap().to_string(), "ELS.12345678.33.03");
        assert_eq!(header.configuration.mode(), Mode::Aes128CbcKdf);
        assert_eq!(header.configuration.key_derivation(), 1);
        assert_eq!(header.configuration.counter, None);
    }

    #[test]
    fn mode_10_has_two_bytes_of_extension_and_a_counter() {
        let header = read(HeaderKind::Short, "30 10 FF2A 1001 8C570E00");
        assert_eq!(header.configuration.mode(), Mode::Aes128Ccm);
        assert_eq!(header.configuration.counter, Some(939_916));
        assert_eq!(header.configuration.enciphered_bytes(), 0xFF);
        assert!(!header.configuration.relayed());
    }

    #[test]
    fn a_status_byte_is_told_in_words() {
        let words: Vec<_> = Status(0x14).words().collect();
        assert_eq!(words, ["power_low", "temporary_error"]);
        assert_eq!(Status(0).words().count(), 0);
    }
}
