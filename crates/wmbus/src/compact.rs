//! Compact frames: data without heads (EN 13757-3, annex G).
//!
//! A compact frame names the heads it leaves out by a format signature, a CRC over them, and carries the CRC of the
//! full frame it stands for. The heads are learned from full frames of the same kind of meter; until then a built-in
//! table helps.

mod learned;
mod table;

pub use learned::{Learned, Outcome, StoredLayout};
pub use table::{BUILT_IN, BuiltIn};

use core::fmt;

use thiserror::Error;

use crate::address::{DeviceType, Manufacturer, Meter};
use crate::crc;
use crate::reader::Reader;
use crate::record::{DataField, Items, Parts, RecordError};

/// Where in the body the data starts: behind signature and full-frame CRC.
const DATA_AT: u16 = 4;

/// Heads longer than this are not learned; the longest known has 92 bytes.
pub const MAX_HEADS: usize = 128;

/// The CRC over the heads of a frame: which layout it has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub u16);

impl Signature {
    /// Of these heads.
    #[must_use]
    pub fn of(heads: &[u8]) -> Self {
        Self(crc::of(heads))
    }
}

impl fmt::Display for Signature {
    /// As it stands on the air: low byte first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.0.to_le_bytes();
        write!(f, "{low:02X}{high:02X}")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The kind of meter a layout was learned from. The layout depends on how a meter is configured, so another kind's is
/// not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Manufacturer.
    pub manufacturer: Manufacturer,
    /// Version.
    pub version: u8,
    /// Device type.
    pub device: DeviceType,
}

impl From<Meter> for Kind {
    fn from(meter: Meter) -> Self {
        Self { manufacturer: meter.manufacturer, version: meter.version, device: meter.device }
    }
}

/// Where a layout comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// From two full frames of the same kind of meter.
    Learned,
    /// From the built-in table, seen in full frames or listed publicly.
    BuiltIn,
    /// From the built-in table, worked out from a single compact frame and confirmed by nothing else: readings through
    /// it are marked.
    Inferred,
}

impl Source {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::BuiltIn => "built_in",
            Self::Inferred => "inferred",
        }
    }
}

/// The body of a compact frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact<'a> {
    /// Which heads it leaves out.
    pub signature: Signature,
    /// The CRC over the full records it stands for.
    pub full_crc: u16,
    /// The data of its records, one after the other.
    pub data: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Reads a compact frame's body.
    ///
    /// # Errors
    /// If it has no room for signature and CRC.
    pub fn read(body: &'a [u8]) -> Result<Self, CompactError> {
        let mut reader = Reader::new(body);
        let mut word = || reader.array().map(|bytes| u16::from_le_bytes(*bytes));
        let (signature, full_crc) = match (word(), word()) {
            (Ok(signature), Ok(full_crc)) => (Signature(signature), full_crc),
            _ => return Err(CompactError::Truncated),
        };
        Ok(Self { signature, full_crc, data: reader.rest() })
    }

    /// Its records, with the heads put back. Data length and full-frame CRC have been checked then.
    ///
    /// # Errors
    /// If the layout is not known, or does not fit. Another layout is never tried after a failed CRC: with 16 bits,
    /// trying makes wrong readings.
    pub fn items(&self, learned: &'a Learned, meter: Meter) -> Result<(Items<'a>, Source), CompactError> {
        let (heads, source) = match learned.find(meter.into(), self.signature) {
            Some(heads) => (heads, Source::Learned),
            None => table::find(self.signature).ok_or(CompactError::UnknownSignature(self.signature))?,
        };
        let mut full = crc::Running::new();
        let mut data = self.data;
        let mut heads_left = Reader::new(heads);
        while !heads_left.rest().is_empty() {
            let head = Parts::read(&mut heads_left).map_err(CompactError::Heads)?;
            let length = head.field.length().ok_or(CompactError::Length)?;
            let (this, rest) = data.split_at_checked(length).ok_or(CompactError::Length)?;
            full.add(head.bytes);
            full.add(this);
            data = rest;
        }
        // A trailing `2F` is a filler of the security layer, no data.
        if data.iter().any(|byte| *byte != 0x2F) {
            return Err(CompactError::Length);
        }
        if full.value() != self.full_crc {
            return Err(CompactError::FullCrc(self.signature));
        }
        Ok((Items::compact(heads, DATA_AT, self.data), source))
    }
}

/// Whether heads can stand in a layout: each readable, none with data of variable length.
pub(crate) fn usable(heads: &[u8]) -> bool {
    let mut left = Reader::new(heads);
    while !left.rest().is_empty() {
        if !Parts::read(&mut left).is_ok_and(|head| head.field != DataField::Variable) {
            return false;
        }
    }
    !heads.is_empty() && heads.len() <= MAX_HEADS
}

/// Why a compact frame was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompactError {
    /// No room for signature and CRC.
    #[error("the compact frame ends inside its head")]
    Truncated,
    /// Nobody has told the layout yet; a full frame of the meter will, usually within minutes.
    #[error("format signature {0} is not known yet; a full frame of the meter will tell it")]
    UnknownSignature(Signature),
    /// The data is longer or shorter than the layout says.
    #[error("the data does not have the length that the layout says")]
    Length,
    /// The rebuilt frame has another CRC: the layout is not the meter's, or the data was changed.
    #[error("the full-frame CRC does not fit layout {0}")]
    FullCrc(Signature),
    /// The layout itself cannot be read.
    #[error("the layout cannot be read: {0}")]
    Heads(RecordError),
}

#[cfg(test)]
mod tests;
