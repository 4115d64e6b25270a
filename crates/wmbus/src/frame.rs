//! Link-layer frames: block CRCs checked and taken out, foreign bytes behind the frame left out (EN 13757-4, 11 and 12).
//!
//! Whatever came in, a [`Frame`] holds the L-field and exactly L bytes behind it, without CRCs.

use core::fmt;

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::crc;

/// The longest frame without CRCs: the L-field and 255 bytes.
pub const MAX_FRAME: usize = 256;

/// L, C, M and A: the first block.
const FIRST_BLOCK: usize = 10;
const BLOCK_A: usize = 16;
/// Format B: where the first CRC ends when there are two.
const FIRST_CRC_END_B: usize = 128;

/// In which shape a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Without link-layer CRCs: the receiver has checked and removed them, or nobody has.
    Bare,
    /// Format A: a CRC after ten bytes, then after each sixteen.
    A,
    /// Format B: a CRC after 126 bytes and one at the end, and the L-field counts them.
    B,
    /// A long frame of wired M-Bus, `68 L L 68 ... checksum 16` (EN 13757-2, 5.2).
    Wired,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::A => "format A",
            Self::B => "format B",
            Self::Wired => "wired",
        })
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Nothing to read.
    #[error("no bytes")]
    Empty,
    /// The L-field says more bytes than there are.
    #[error("the L-field says {want} bytes, {have} are there")]
    Truncated {
        /// Bytes that the frame needs.
        want: u16,
        /// Bytes that are there.
        have: u16,
    },
    /// The L-field leaves no room for C, M and A.
    #[error("an L-field of {0} leaves no room for the address")]
    LengthField(u8),
    /// A block's CRC does not fit: damaged on the way.
    #[error("the CRC of block {block} does not fit")]
    BlockCrc {
        /// Which block, counted from 1.
        block: u8,
    },
    /// A wired frame whose two lengths, checksum or end byte do not fit.
    #[error("the wired frame's {0} does not fit")]
    Wired(&'static str),
}

/// One frame without CRCs, in memory of its own, so that it can be deciphered in place.
///
/// ```
/// use wmbus::frame::{Format, Frame};
///
/// let with_crc = [0x13, 0x44, 0x2D, 0x2C, 0x78, 0x56, 0x34, 0x12, 0x01, 0x32, 0xA0, 0, 1, 2, 3, 4, 5, 6, 0xC3, 0xC0];
/// let frame = Frame::detect(&with_crc)?;
/// assert_eq!(frame.format(), Format::B);
/// assert_eq!(frame.bytes()[0], 0x11, "the L-field no longer counts the CRC");
/// # Ok::<(), wmbus::frame::FrameError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    format: Format,
    trailing: u16,
    bytes: ArrayVec<u8, MAX_FRAME>,
}

impl Frame {
    /// A frame whose CRCs the receiver has checked and removed, the L-field corrected.
    ///
    /// # Errors
    /// If the L-field says more bytes than there are, or too few for an address. Bytes behind the frame are left out
    /// and counted in [`trailing`](Self::trailing).
    pub fn bare(input: &[u8]) -> Result<Self, FrameError> {
        let end = bare_length(input)?;
        Self::of(Format::Bare, input, end, [input.get(..end).unwrap_or_default()])
    }

    /// A frame in format A.
    ///
    /// # Errors
    /// [`FrameError::BlockCrc`] names the first block that does not fit.
    pub fn format_a(input: &[u8]) -> Result<Self, FrameError> {
        let data = bare_length(input)?;
        let end = length_a(data);
        let whole = input.get(..end).ok_or_else(|| too_short(end, input))?;
        let (first, mut rest) =
            whole.split_at_checked(FIRST_BLOCK + 2).ok_or_else(|| too_short(end, input))?;
        let mut frame = Self { format: Format::A, trailing: excess(input, end), bytes: ArrayVec::new() };
        frame.push_checked(first, 1)?;
        let mut block = 1u8;
        while !rest.is_empty() {
            block = block.saturating_add(1);
            let (this, tail) = rest.split_at(rest.len().min(BLOCK_A + 2));
            frame.push_checked(this, block)?;
            rest = tail;
        }
        Ok(frame)
    }

    /// A frame in format B. Its L-field is lowered by the CRCs taken out.
    ///
    /// # Errors
    /// [`FrameError::BlockCrc`] names the block that does not fit.
    pub fn format_b(input: &[u8]) -> Result<Self, FrameError> {
        let end = bare_length(input)?;
        let whole = input.get(..end).unwrap_or_default();
        let (first, second) = whole.split_at(whole.len().min(FIRST_CRC_END_B));
        if first.len() < FIRST_BLOCK + 2 {
            return Err(FrameError::LengthField(whole.first().copied().unwrap_or(0)));
        }
        let mut frame = Self { format: Format::B, trailing: excess(input, end), bytes: ArrayVec::new() };
        frame.push_checked(first, 1)?;
        if !second.is_empty() {
            frame.push_checked(second, 2)?;
        }
        let length = frame.bytes.len().saturating_sub(1);
        if let (Some(field), Ok(length)) = (frame.bytes.first_mut(), u8::try_from(length)) {
            *field = length;
        }
        Ok(frame)
    }

    /// A long frame of wired M-Bus. What follows its L-field is kept as C, A, CI, data.
    ///
    /// # Errors
    /// [`FrameError::Wired`] names the part that does not fit.
    pub fn wired(input: &[u8]) -> Result<Self, FrameError> {
        let (head, _) = input.split_first_chunk::<4>().ok_or_else(|| too_short(9, input))?;
        let [0x68, length, again, 0x68] = *head else { return Err(FrameError::Wired("start")) };
        if length != again {
            return Err(FrameError::Wired("length"));
        }
        let end = usize::from(length) + 6;
        let whole = input.get(..end).ok_or_else(|| too_short(end, input))?;
        let Some((data, [checksum, stop])) = whole.get(4..).and_then(|tail| tail.split_last_chunk::<2>())
        else {
            return Err(too_short(end, input));
        };
        if *stop != 0x16 {
            return Err(FrameError::Wired("end byte"));
        }
        if data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != *checksum {
            return Err(FrameError::Wired("checksum"));
        }
        if length < 3 {
            return Err(FrameError::LengthField(length));
        }
        Self::of(Format::Wired, input, end, [&[length], data])
    }

    /// Finds out by itself which of the four it is: for frames typed in or read from a file. Receivers know what
    /// they deliver and say so; a bare frame looks like format B by chance once in 65 536.
    ///
    /// # Errors
    /// As the format that was found says.
    pub fn detect(input: &[u8]) -> Result<Self, FrameError> {
        if input.first() == Some(&0x68) && input.get(3) == Some(&0x68) && input.get(1) == input.get(2) {
            return Self::wired(input);
        }
        let bare = Self::bare(input)?;
        let blocks = fitting_blocks_a(input, bare.bytes.len());
        if blocks > 0 {
            return Self::format_a(input);
        }
        Ok(Self::format_b(input).unwrap_or(bare))
    }

    /// In which shape it came.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The L-field and the L bytes behind it, without CRCs.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many foreign bytes stood behind the frame.
    #[must_use]
    pub const fn trailing(&self) -> u16 {
        self.trailing
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn of<const N: usize>(
        format: Format,
        input: &[u8],
        end: usize,
        parts: [&[u8]; N],
    ) -> Result<Self, FrameError> {
        let mut bytes = ArrayVec::new();
        for part in parts {
            bytes.try_extend_from_slice(part).map_err(|_| too_short(end, input))?;
        }
        Ok(Self { format, trailing: excess(input, end), bytes })
    }

    fn push_checked(&mut self, block: &[u8], number: u8) -> Result<(), FrameError> {
        let wrong = FrameError::BlockCrc { block: number };
        let (data, sum) = block.split_last_chunk::<2>().ok_or(wrong)?;
        if crc::of(data) != u16::from_be_bytes(*sum) {
            return Err(wrong);
        }
        self.bytes.try_extend_from_slice(data).map_err(|_| wrong)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.format, self.bytes.len())
    }
}

/// L + 1, if that many bytes are there and they hold an address.
fn bare_length(input: &[u8]) -> Result<usize, FrameError> {
    let length = *input.first().ok_or(FrameError::Empty)?;
    let whole = usize::from(length) + 1;
    if whole < FIRST_BLOCK {
        return Err(FrameError::LengthField(length));
    }
    if input.len() < whole { Err(too_short(whole, input)) } else { Ok(whole) }
}

/// Bytes on the air of a frame of `data` bytes in format A.
fn length_a(data: usize) -> usize {
    data + 2 * (1 + (data - FIRST_BLOCK).div_ceil(BLOCK_A))
}

/// How many blocks fit if this is format A; one is proof enough, since the others may be damaged.
fn fitting_blocks_a(input: &[u8], data: usize) -> usize {
    let Some(whole) = input.get(..length_a(data)) else { return 0 };
    let fits = |block: &[u8]| {
        block.split_last_chunk::<2>().is_some_and(|(data, sum)| crc::of(data).to_be_bytes() == *sum)
    };
    let (first, rest) = whole.split_at(whole.len().min(FIRST_BLOCK + 2));
    usize::from(fits(first)) + rest.chunks(BLOCK_A + 2).filter(|block| fits(block)).count()
}

fn excess(input: &[u8], end: usize) -> u16 {
    crate::reader::saturate(input.len().saturating_sub(end))
}

fn too_short(want: usize, input: &[u8]) -> FrameError {
    FrameError::Truncated { want: crate::reader::saturate(want), have: crate::reader::saturate(input.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;
    use std::vec::Vec;

    /// EN 13757-4 with OMS Volume 2, Annex N: a gas meter in format A.
    const GAS: &str = "2E4493157856341233033363 7A2A0020255923C95AAA26D1B2E7493BC2AD \
                       013EC4A6F6D3529B520EDFF0EA6DEFC955B2 9D6D69EBF3EC8A";

    #[test]
    fn the_gas_meter_of_the_oms_annex_is_format_a() {
        let frame = Frame::detect(&unhex(GAS)).unwrap();
        assert_eq!((frame.format(), frame.bytes().len(), frame.trailing()), (Format::A, 47, 0));
    }

    #[test]
    fn a_damaged_block_is_named() {
        for (at, block) in [(3, 1), (11, 1), (15, 2), (40, 3), (52, 4)] {
            let mut bytes = unhex(GAS);
            bytes[at] ^= 0x10;
            assert_eq!(Frame::detect(&bytes), Err(FrameError::BlockCrc { block }), "byte {at}");
        }
    }

    #[test]
    fn format_b_with_two_crcs_loses_both() {
        let mut bytes: Vec<u8> = (0..150).collect();
        bytes[0] = 153;
        let first = crc::of(&bytes[..126]);
        bytes.splice(126..126, first.to_be_bytes());
        let second = crc::of(&bytes[128..]);
        bytes.extend(second.to_be_bytes());
        let frame = Frame::detect(&bytes).unwrap();
        assert_eq!((frame.format(), frame.bytes().len(), frame.bytes()[0]), (Format::B, 150, 149));
        bytes[140] ^= 1;
        assert_eq!(Frame::format_b(&bytes), Err(FrameError::BlockCrc { block: 2 }));
    }

    #[test]
    fn foreign_bytes_behind_a_bare_frame_are_left_out_and_counted() {
        let mut bytes = unhex("0F44 2D2C 78563412 0132 A0 000102030405");
        bytes.extend([0xAA, 0xBB]);
        bytes[0] = 16;
        let frame = Frame::detect(&bytes).unwrap();
        assert_eq!((frame.format(), frame.bytes().len(), frame.trailing()), (Format::Bare, 17, 2));
    }

    #[test]
    fn a_frame_cut_short_says_how_much_is_missing() {
        assert_eq!(Frame::detect(&[0x2A, 0x44, 0x2D]), Err(FrameError::Truncated { want: 43, have: 3 }));
        assert_eq!(Frame::detect(&[]), Err(FrameError::Empty));
        assert_eq!(Frame::detect(&[3, 1, 2, 3]), Err(FrameError::LengthField(3)));
    }

    #[test]
    fn a_wired_frame_is_checked_by_its_sum() {
        let good = unhex("68 03 03 68 08 01 72 7B 16");
        assert_eq!(Frame::detect(&good).unwrap().bytes(), [3, 8, 1, 0x72]);
        let mut bad = good;
        bad[6] = 0x73;
        assert_eq!(Frame::detect(&bad), Err(FrameError::Wired("checksum")));
    }
}
