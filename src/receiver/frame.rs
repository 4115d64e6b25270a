//! What a receiver hands on: one telegram as it was on the air, and how it was heard.

use std::{fmt, ops::Deref, time::Instant};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::protocol::SHORTEST_TELEGRAM;

/// One telegram as a dongle gave it, and what the dongle knew about its reception.
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// The telegram, beginning with its length byte.
    pub bytes: FrameBytes,
    /// Whether the link layer's CRCs are still in it.
    pub crcs: LinkCrcs,
    /// How it was sent, where the dongle can tell. A dongle that listens for several modes at once usually cannot.
    pub link_mode: Option<LinkMode>,
    /// Received signal strength in dBm, where the dongle reports it.
    pub rssi_dbm: Option<i16>,
    /// When the last byte of it came out of the dongle.
    pub heard_at: Instant,
}

/// What has become of the link layer's CRCs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkCrcs {
    /// The dongle has checked them and taken them out.
    #[default]
    Removed,
    /// All are there, unchecked, as frame format A has them: behind the first ten bytes and then behind each sixteen. The
    /// length byte does not count them.
    FormatA,
    /// All are there, unchecked, as frame format B has them: one at the end, in long frames one more behind 126 bytes. The
    /// length byte counts them.
    FormatB,
}

impl LinkCrcs {
    /// How many bytes a telegram of this length byte has with its CRCs; `None` if it is too short to be one.
    pub(super) fn size(self, length: u8) -> Option<usize> {
        const CRC: usize = 2;
        const BLOCK: usize = 16;
        let size = usize::from(length) + 1;
        let blocks = match size.checked_sub(SHORTEST_TELEGRAM + 1)?.div_ceil(BLOCK) {
            _ if self == Self::Removed => 0,
            // There it counts them.
            _ if self == Self::FormatB => return Some(size).filter(|size| *size > SHORTEST_TELEGRAM + CRC),
            more => 1 + more,
        };
        Some(size + blocks * CRC)
    }
}

/// The bytes of one telegram, at most [`FrameBytes::CAPACITY`] of them, kept in place (no heap).
#[derive(Clone, Default, Eq, PartialEq)]
pub struct FrameBytes(ArrayVec<u8, { Self::CAPACITY }>);

impl FrameBytes {
    /// The longest telegram: 256 bytes, and in frame format A seventeen CRCs of two bytes each, rounded up.
    pub const CAPACITY: usize = 300;

    /// Puts a telegram together from the length byte and what follows it.
    ///
    /// # Errors
    /// [`FrameTooLong`] if both together exceed the capacity.
    pub fn with_length(length: u8, rest: &[u8]) -> Result<Self, FrameTooLong> {
        let mut bytes = ArrayVec::new();
        bytes.try_push(length).map_err(|_| FrameTooLong)?;
        bytes.try_extend_from_slice(rest).map_err(|_| FrameTooLong)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for FrameBytes {
    type Error = FrameTooLong;

    fn try_from(bytes: &[u8]) -> Result<Self, FrameTooLong> {
        ArrayVec::try_from(bytes).map(Self).map_err(|_| FrameTooLong)
    }
}

impl Deref for FrameBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows the length only: a telegram names a meter, and a debug line must not.
impl fmt::Debug for FrameBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameBytes({} bytes)", self.0.len())
    }
}

/// More bytes than a telegram can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("longer than any telegram ({} bytes)", FrameBytes::CAPACITY)]
pub struct FrameTooLong;

/// How a telegram was sent (EN 13757-4, the modes a water meter's telegram can come in).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum LinkMode {
    /// Stationary mode, 868.3 MHz, 32.768 kchip/s.
    S1,
    /// Frequent transmit mode, 868.95 MHz, 100 kchip/s, "3 out of 6" coded.
    T1,
    /// Compact mode, 868.95 MHz, 100 kchip/s, not coded.
    C1,
    /// Narrowband mode, 169 MHz.
    N1,
}

/// What a receiver is told to listen for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Listen {
    /// S1 only.
    S1,
    /// S1-m only: S1 with the short preamble.
    S1m,
    /// T1 only.
    T1,
    /// C1 in frame format A only.
    C1FormatA,
    /// C1 in frame format B only.
    C1FormatB,
    /// C1 in both formats and T1 at once: the default, since a site rarely knows what its meters send.
    #[default]
    C1AndT1,
}

impl Listen {
    /// The mode of everything heard, if only one can be.
    pub fn only_mode(self) -> Option<LinkMode> {
        match self {
            Self::S1 | Self::S1m => Some(LinkMode::S1),
            Self::T1 => Some(LinkMode::T1),
            Self::C1FormatA | Self::C1FormatB => Some(LinkMode::C1),
            Self::C1AndT1 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_telegram_fits_and_a_longer_one_is_refused() {
        assert_eq!(FrameBytes::with_length(255, &[7; 255]).unwrap().len(), 256);
        assert_eq!(FrameBytes::with_length(255, &[7; 300]), Err(FrameTooLong));
        assert_eq!(FrameBytes::try_from(&[0; 301][..]), Err(FrameTooLong));
    }

    #[test]
    fn a_size_counts_the_crcs_at_every_length_byte() {
        for length in 0..=255 {
            let size = usize::from(length) + 1;
            let at_least = |least: usize, size: usize| Some(size).filter(|_| usize::from(length) >= least);
            assert_eq!(LinkCrcs::Removed.size(length), at_least(9, size));
            assert_eq!(LinkCrcs::FormatB.size(length), at_least(11, size));
            let crcs = 1 + size.saturating_sub(10).div_ceil(16);
            assert_eq!(LinkCrcs::FormatA.size(length), at_least(9, size + 2 * crcs));
        }
    }

    #[test]
    fn a_debug_line_does_not_show_the_telegram() {
        assert_eq!(
            format!("{:?}", FrameBytes::with_length(2, &[0x44, 0x2D]).unwrap()),
            "FrameBytes(3 bytes)"
        );
    }
}
