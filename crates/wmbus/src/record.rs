//! Data records of the application layer (EN 13757-3, 6).
//!
//! A record is a head, which says what and how, and its data. A full frame has both side by side; a compact frame has
//! only the data, and the heads come from a [layout](crate::compact).

mod date;
mod header;
mod value;
mod vif;
mod vife;

pub use date::{Date, DateTime, Time};
pub(crate) use header::Parts;
pub use header::{DataField, Function, Header, Table};
pub use value::{Absent, Text, Value};
pub use vif::Quantity;
pub use vife::{Aspect, MeterError, Modifiers};

use thiserror::Error;

use crate::reader::{Reader, Truncated};

/// One record, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its head.
    pub header: Header<'a>,
    /// Its data as sent.
    pub data: &'a [u8],
    /// Where it starts: in a full frame its head, in a compact frame its data, counted in the body.
    pub at: u16,
    /// What it tells.
    pub quantity: Quantity,
    /// The unit of a number; empty if it has none.
    pub unit: &'static str,
    /// What the extensions say.
    pub modifiers: Modifiers,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Record<'a> {
    fn read(header: &Header<'a>, at: u16, reader: &mut Reader<'a>) -> Result<Self, RecordError> {
        let (data, coded) = value::take(header.field, reader)?;
        let mut meaning = vif::meaning(header);
        let (modifiers, offset) = vife::apply(header, &mut meaning);
        let value = match modifiers.error {
            Some(error) => Value::Absent(Absent::Meter(error)),
            None => value::interpret(coded, data, meaning, offset),
        };
        Ok(Self {
            header: *header,
            data,
            at,
            quantity: meaning.quantity,
            unit: meaning.unit,
            modifiers,
            value,
        })
    }

    /// The manufacturer's own extensions: what stands behind `FF`.
    #[must_use]
    pub fn manufacturer_extensions(&self) -> Option<&'a [u8]> {
        self.header.extensions.get(usize::from(self.modifiers.manufacturer_from?)..)
    }
}

/// What a walk over an application's bytes finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// DIF `0F` or `1F`: the rest is the manufacturer's.
    Manufacturer {
        /// The bytes behind the DIF.
        bytes: &'a [u8],
        /// Where the DIF stands.
        at: u16,
        /// `1F`: more records follow in the next telegram.
        more_follows: bool,
    },
    /// DIF `2F`: a filler.
    Filler {
        /// Where it stands.
        at: u16,
    },
}

/// Walks over records. Stops at the end, behind manufacturer data, and behind the first error.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    heads: Option<Reader<'a>>,
    body: Reader<'a>,
    done: bool,
}

impl<'a> Items<'a> {
    /// Over the bytes of a full frame.
    #[must_use]
    pub fn full(body: &'a [u8]) -> Self {
        Self { heads: None, body: Reader::new(body), done: false }
    }

    /// Over heads of a layout and the data of a compact frame, which starts at byte `at` of its body.
    pub(crate) fn compact(heads: &'a [u8], at: u16, data: &'a [u8]) -> Self {
        Self { heads: Some(Reader::new(heads)), body: Reader::counting_from(at, data), done: false }
    }

    /// Takes a filler, or all that is left, as the DIF says; `None` where it opens a record.
    fn special(&mut self, dif: u8, at: u16) -> Option<Item<'a>> {
        match dif {
            0x2F => self.body.byte().ok().map(|_| Item::Filler { at }),
            0x0F | 0x1F => {
                let all = self.body.take(self.body.rest().len()).unwrap_or_default();
                let bytes = all.get(1..).unwrap_or_default();
                Some(Item::Manufacturer { bytes, at, more_follows: dif == 0x1F })
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Over, unless this time something comes out well.
        if core::mem::replace(&mut self.done, true) {
            return None;
        }
        let at = self.body.at();
        let header = match &mut self.heads {
            Some(heads) if heads.rest().is_empty() => return None,
            Some(heads) => Header::read(heads),
            None => {
                let dif = *self.body.rest().first()?;
                if let Some(item) = self.special(dif, at) {
                    self.done = false;
                    return Some(Ok(item));
                }
                Header::read(&mut self.body)
            }
        };
        let record = match &header {
            Ok(header) => Record::read(header, at, &mut self.body),
            Err(error) => Err(*error),
        };
        self.done = record.is_err();
        Some(record.map(Item::Record))
    }
}

/// Walks over the records alone, without fillers and manufacturer data.
#[derive(Clone, Debug)]
pub struct Records<'a>(Items<'a>);

impl<'a> Records<'a> {
    /// Over the bytes of a full frame.
    ///
    /// ```
    /// use wmbus::record::{Records, Value};
    /// let volume = Records::full(&[0x04, 0x13, 0x08, 0x19, 0, 0]).next().unwrap()?;
    /// assert_eq!((volume.quantity.word(), volume.unit), ("volume", "m³"));
    /// assert_eq!(volume.value, Value::Number(wmbus::Decimal::new(6408, -3)));
    /// # Ok::<(), wmbus::record::RecordError>(())
    /// ```
    #[must_use]
    pub fn full(body: &'a [u8]) -> Self {
        Self(Items::full(body))
    }
}

impl<'a> From<Items<'a>> for Records<'a> {
    fn from(items: Items<'a>) -> Self {
        Self(items)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(Item::Record(record)) => return Some(Ok(record)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Why the walk over records stopped. Positions are counted from the first byte of the body, or of the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end inside a record.
    #[error("a record ends too early at byte {at}: {want} more byte(s) wanted")]
    Truncated {
        /// Where.
        at: u16,
        /// How many bytes were wanted there.
        want: u16,
    },
    /// A DIF that the standard reserves.
    #[error("reserved DIF {dif:02X} at byte {at}")]
    ReservedDif {
        /// Where.
        at: u16,
        /// Which.
        dif: u8,
    },
    /// A length byte of variable data that the standard reserves.
    #[error("reserved LVAR {lvar:02X} at byte {at}")]
    ReservedLvar {
        /// Where.
        at: u16,
        /// Which.
        lvar: u8,
    },
    /// More than ten extensions.
    #[error("more than ten extensions in the record at byte {at}")]
    TooManyExtensions {
        /// Where the record starts.
        at: u16,
    },
}

impl From<Truncated> for RecordError {
    fn from(Truncated { at, want }: Truncated) -> Self {
        Self::Truncated { at, want }
    }
}
