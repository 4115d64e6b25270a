//! The link layer's header and the extended link layer (EN 13757-4, 11.5 and 12.2; EN 13757-7 for the meaning of C).

use crate::address::Meter;
use crate::reader::{Reader, Truncated};

/// The C-field: what kind of frame this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// `44`, SND-NR: data sent without being asked for; the normal telegram.
    SendNoReply,
    /// `46`, SND-IR: an installation request. It commissions, it is never a reading.
    InstallationRequest,
    /// `47`, ACC-NR: a sign of life without data.
    AccessNoReply,
    /// `48`, ACC-DMD: the meter asks for access.
    AccessDemand,
    /// `08`, `18`, `28`, `38`, RSP-UD: an answer with data.
    Response,
    /// Any other value: sent to a meter, or not used on the air.
    Other(u8),
}

impl Control {
    /// Reads the byte.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Self {
        match byte {
            0x44 => Self::SendNoReply,
            0x46 => Self::InstallationRequest,
            0x47 => Self::AccessNoReply,
            0x48 => Self::AccessDemand,
            0x08 | 0x18 | 0x28 | 0x38 => Self::Response,
            other => Self::Other(other),
        }
    }

    /// The standard's short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendNoReply => "SND-NR",
            Self::InstallationRequest => "SND-IR",
            Self::AccessNoReply => "ACC-NR",
            Self::AccessDemand => "ACC-DMD",
            Self::Response => "RSP-UD",
            Self::Other(_) => "other",
        }
    }

    /// Whether frames of this kind may carry a meter's data.
    #[must_use]
    pub const fn carries_data(self) -> bool {
        matches!(self, Self::SendNoReply | Self::InstallationRequest | Self::Response)
    }
}

/// The extended link layer's CC byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Communication(pub u8);

impl Communication {
    /// Hop count (bit 4) and repeated access (bit 1): a repeater sets them, so they stay out of counter blocks and
    /// comparisons.
    pub const REPEATER_BITS: u8 = 0b0001_0010;

    /// Whether a repeater has passed this frame on.
    #[must_use]
    pub const fn relayed(self) -> bool {
        self.0 & Self::REPEATER_BITS != 0
    }

    /// As the meter sent it.
    #[must_use]
    pub const fn without_repeater(self) -> u8 {
        self.0 & !Self::REPEATER_BITS
    }
}

/// The session number: how the payload is enciphered, and a counter that only rises.
///
/// Bits 31 to 29 say the encryption, 28 to 4 the minutes since the meter was started, 3 to 0 number the sessions of
/// that minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session(pub u32);

impl Session {
    /// 0: in the clear; 1: AES-128-CTR; the rest is reserved.
    #[must_use]
    pub const fn encryption(self) -> u8 {
        (self.0 >> 29) as u8
    }

    /// Minutes since the meter was started.
    #[must_use]
    pub const fn minutes(self) -> u32 {
        (self.0 >> 4) & 0x01FF_FFFF
    }

    /// Minutes and number within the minute as one: strictly rising from telegram to telegram.
    #[must_use]
    pub const fn counter(self) -> u32 {
        self.0 & 0x1FFF_FFFF
    }
}

/// The extended link layer, as far as it is never enciphered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedLink {
    /// Which of the layouts: `8C`, `8D`, `8E` or `8F`.
    pub ci: u8,
    /// Communication control.
    pub communication: Communication,
    /// Access number. Neither enciphered nor covered by a CRC: good for nothing but display.
    pub access: u8,
    /// Whom the frame is meant for (`8E`, `8F`).
    pub receiver: Option<Meter>,
    /// Session number (`8D`, `8F`); a payload CRC follows, the first thing that is enciphered.
    pub session: Option<Session>,
}

/// The CI of the fifth layout, whose shape is not public.
pub(crate) const ELL_V: u8 = 0x86;

impl ExtendedLink {
    /// Whether a CI opens an extended link layer whose layout is known.
    #[must_use]
    pub const fn opens(ci: u8) -> bool {
        matches!(ci, 0x8C..=0x8F)
    }

    pub(crate) fn read(ci: u8, reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let [communication, access] = *reader.array::<2>()?;
        let receiver = match ci {
            0x8E | 0x8F => Some(Meter::from_link(*reader.array()?)),
            _ => None,
        };
        let session = match ci {
            0x8D | 0x8F => Some(Session(u32::from_le_bytes(*reader.array()?))),
            _ => None,
        };
        Ok(Self { ci, communication: Communication(communication), access, receiver, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_session_number_is_taken_apart() {
        let session = Session(0x21AC_7CD3);
        assert_eq!((session.encryption(), session.minutes(), session.counter() & 0xF), (1, 1_755_085, 3));
    }

    #[test]
    fn a_repeater_changes_nothing_that_is_compared() {
        for bits in [0x10, 0x02, 0x12] {
            let relayed = Communication(0x20 | bits);
            assert!(relayed.relayed());
            assert_eq!(relayed.without_repeater(), 0x20);
        }
        assert!(!Communication(0x28).relayed());
    }

    #[test]
    fn the_fourth_layout_has_receiver_and_session() {
        let mut bytes = [0u8; 14];
        bytes[..2].copy_from_slice(&[0x20, 7]);
        bytes[2..10].copy_from_slice(&[0x3A, 0x63, 0x66, 0x55, 0x44, 0x33, 0x0A, 0x31]);
        bytes[10..].copy_from_slice(&0x2000_0010u32.to_le_bytes());
        let link = ExtendedLink::read(0x8F, &mut Reader::new(&bytes)).unwrap();
        assert_eq!(link.receiver.unwrap().serial.to_string(), "33445566");
        assert_eq!(link.session, Some(Session(0x2000_0010)));
    }
}
