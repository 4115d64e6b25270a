//! The data of a record (EN 13757-3, 6.3.3 and annex A): numbers, dates, texts, or nothing, and why.

use core::fmt;

use crate::decimal::Decimal;
use crate::reader::Reader;
use crate::record::RecordError;
use crate::record::date::{Date, DateTime, Time};
use crate::record::header::DataField;
use crate::record::vif::{Kind, Meaning};
use crate::record::vife::MeterError;

/// The value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An exact number in the record's unit.
    Number(Decimal),
    /// A day.
    Date(Date),
    /// A moment.
    DateTime(DateTime),
    /// A time of day.
    Time(Time),
    /// A text.
    Text(Text<'a>),
    /// Bytes that are no number.
    Bytes(&'a [u8]),
    /// No value, and why.
    Absent(Absent),
}

/// Why there is no value. Never taken for zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The record has no data by its head.
    NoData,
    /// The value that stands for "not available": the lowest of its size, of counters the highest, or a date marked
    /// invalid.
    NotAvailable,
    /// Decimal digits beyond nine.
    NotDecimal,
    /// A floating-point number that is none, or infinite.
    NotFinite,
    /// The meter says why.
    Meter(MeterError),
}

impl Absent {
    /// The words used in output.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoData => "no data",
            Self::NotAvailable => "not available",
            Self::NotDecimal => "not decimal",
            Self::NotFinite => "not a number",
            Self::Meter(error) => error.words(),
        }
    }
}

/// A text in ISO 8859-1, last character first on the air.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    /// In reading order. Control characters, which could play tricks with a terminal, become `·`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().map(|byte| char::from(*byte)).try_for_each(|letter| {
            let shown = if letter.is_control() { '·' } else { letter };
            write!(f, "{shown}")
        })
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Takes a record's data off the reader: all its bytes, and the part that is the value itself.
#[inline(always)]
pub(crate) fn take<'a>(
    field: DataField,
    reader: &mut Reader<'a>,
) -> Result<(&'a [u8], Coded<'a>), RecordError> {
    let (start, whole) = (reader.at(), reader.rest());
    let coded = match field {
        DataField::None => Coded::Nothing,
        DataField::Integer(n) => Coded::Integer(reader.take(usize::from(n))?),
        DataField::Real => Coded::Real(*reader.array()?),
        DataField::Bcd(n) => Coded::Bcd(reader.take(usize::from(n))?, false),
        DataField::Variable => variable(reader)?,
    };
    Ok((whole.get(..usize::from(reader.at() - start)).unwrap_or_default(), coded))
}

/// Data by its coding, not yet by its meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coded<'a> {
    Nothing,
    Integer(&'a [u8]),
    Real([u8; 4]),
    /// Digits; whether the whole is negative.
    Bcd(&'a [u8], bool),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// LVAR (EN 13757-3, table 5).
fn variable<'a>(reader: &mut Reader<'a>) -> Result<Coded<'a>, RecordError> {
    let at = reader.at();
    let lvar = reader.byte()?;
    let low = usize::from(lvar & 0x0F);
    Ok(match lvar {
        0x00..=0xBF => Coded::Text(reader.take(usize::from(lvar))?),
        0xC0 | 0xD0 | 0xE0 => Coded::Nothing,
        0xC1..=0xC9 => Coded::Bcd(reader.take(low)?, false),
        0xD1..=0xD9 => Coded::Bcd(reader.take(low)?, true),
        0xE1..=0xEF => Coded::Integer(reader.take(low)?),
        0xF0..=0xF4 => Coded::Bytes(reader.take(4 * (usize::from(lvar) - 0xEC))?),
        0xF5 => Coded::Bytes(reader.take(48)?),
        0xF6 => Coded::Bytes(reader.take(64)?),
        _ => return Err(RecordError::ReservedLvar { at, lvar }),
    })
}

/// Gives coded data its meaning.
pub(crate) fn interpret<'a>(
    coded: Coded<'a>,
    raw: &'a [u8],
    meaning: Meaning,
    offset: Option<Decimal>,
) -> Value<'a> {
    let absent = Value::Absent(Absent::NotAvailable);
    match (meaning.kind, coded) {
        (_, Coded::Nothing) => Value::Absent(Absent::NoData),
        (Kind::Raw, Coded::Text(bytes) | Coded::Bytes(bytes) | Coded::Integer(bytes)) => Value::Bytes(bytes),
        (Kind::Raw, _) => Value::Bytes(raw),
        // Of variable length it would be type M, whose layout is not public; digits are no type at all.
        (Kind::Date | Kind::Moment, Coded::Integer(bytes)) if bytes.len() == raw.len() => {
            calendar(bytes).unwrap_or(absent)
        }
        (Kind::Date | Kind::Moment, _) => Value::Bytes(raw),
        (_, Coded::Text(bytes)) => Value::Text(Text(bytes)),
        (_, Coded::Bytes(bytes)) => Value::Bytes(bytes),
        (_, Coded::Real(bytes)) => Decimal::from_real32(f32::from_le_bytes(bytes))
            .and_then(|number| number.shifted(meaning.exponent))
            .map_or(Value::Absent(Absent::NotFinite), |number| number_with(number, offset, raw)),
        (_, Coded::Bcd(digits, negative)) => match decimal(digits, negative) {
            Some(mantissa) => number_with(Decimal::new(mantissa, meaning.exponent), offset, raw),
            None => Value::Absent(Absent::NotDecimal),
        },
        (Kind::Measure, Coded::Integer(bytes)) => match signed(bytes) {
            Integer::Number(mantissa) => number_with(Decimal::new(mantissa, meaning.exponent), offset, raw),
            Integer::Lowest => absent,
            Integer::TooLong => Value::Bytes(bytes),
        },
        (Kind::Counter, Coded::Integer(bytes)) if bytes.iter().all(|byte| *byte == 0xFF) => absent,
        (_, Coded::Integer(bytes)) => match unsigned(bytes) {
            Some(mantissa) => number_with(Decimal::new(mantissa, meaning.exponent), offset, raw),
            None => Value::Bytes(bytes),
        },
    }
}

/// With what is to be added; the bytes as they are if the sum cannot be held.
fn number_with(number: Decimal, offset: Option<Decimal>, raw: &[u8]) -> Value<'_> {
    let sum = offset.map_or(Some(number), |offset| number.plus(offset));
    sum.map_or(Value::Bytes(raw), Value::Number)
}

/// Dates and moments by their length. `None` if marked invalid.
fn calendar<'a>(bytes: &'a [u8]) -> Option<Value<'a>> {
    match *bytes {
        [a, b] => Date::from_type_g([a, b]).map(Value::Date),
        [a, b, c] => Time::from_type_j([a, b, c]).map(Value::Time),
        [a, b, c, d] => DateTime::from_type_f([a, b, c, d]).map(Value::DateTime),
        [a, b, c, d, e, f] => DateTime::from_type_i([a, b, c, d, e, f]).map(Value::DateTime),
        _ => Some(Value::Bytes(bytes)),
    }
}

enum Integer {
    Number(i64),
    /// The lowest value of its size: "not available" (type B).
    Lowest,
    TooLong,
}

fn signed(bytes: &[u8]) -> Integer {
    let Some(negative) = bytes.last().map(|last| last & 0x80 != 0) else { return Integer::Number(0) };
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    let Some(place) = wide.get_mut(..bytes.len()) else { return Integer::TooLong };
    place.copy_from_slice(bytes);
    let number = i64::from_le_bytes(wide);
    // The sign bit of its size alone.
    let lowest = i64::MIN >> (8 * (wide.len() - bytes.len()));
    if number == lowest { Integer::Lowest } else { Integer::Number(number) }
}

/// `None` for numbers beyond 63 bits.
fn unsigned(bytes: &[u8]) -> Option<i64> {
    let mut wide = [0; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    i64::try_from(u64::from_le_bytes(wide)).ok()
}

/// Decimal digits, two to a byte, low ones first; `F` in the highest place is a minus (type A).
fn decimal(bytes: &[u8], negative: bool) -> Option<i64> {
    let mut number = 0i64;
    let mut minus = negative;
    for (place, byte) in bytes.iter().rev().enumerate() {
        let (mut high, low) = (byte >> 4, byte & 0x0F);
        if place == 0 && high == 0xF {
            minus = !negative;
            high = 0;
        }
        if high > 9 || low > 9 {
            return None;
        }
        number = number.checked_mul(100)?.checked_add(i64::from(high * 10 + low))?;
    }
    Some(if minus { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;
    use crate::record::{Record, Records};

    fn value(hex: &str, see: impl Fn(Record<'_>)) {
        let bytes = unhex(hex);
        let mut records = Records::full(&bytes);
        see(records.next().unwrap().unwrap());
        assert!(records.next().is_none(), "the whole of {hex} is one record");
    }

    fn number(hex: &str, mantissa: i64, exponent: i8) {
        value(hex, |record| {
            assert_eq!(record.value, Value::Number(Decimal::new(mantissa, exponent)), "{hex}");
        });
    }

    fn absent(hex: &str, why: Absent) {
        value(hex, |record| assert_eq!(record.value, Value::Absent(why), "{hex}"));
    }

    #[test]
    fn integers_are_signed_and_their_lowest_means_not_available() {
        number("0413 08190000", 6408, -3);
        number("142D E7FFFFFF", -25, -1);
        number("015B 7F", 127, 0);
        number("015B FF", -1, 0);
        number("0613 FFFFFFFFFFFF", -1, -3);
        number("0713 0100000000000000", 1, -3);
        absent("015B 80", Absent::NotAvailable);
        absent("0413 00000080", Absent::NotAvailable);
    }

    #[test]
    fn flags_and_counters_have_no_sign() {
        number("02FD17 00FF", 0xFF00, 0);
        number("02FF20 7180", 0x8071, 0);
        number("01FD08 80", 128, 0);
    }

    #[test]
    fn counters_and_durations_at_their_highest_are_not_available() {
        number("02FD74 FEFF", 0xFFFE, 0);
        absent("02FD74 FFFF", Absent::NotAvailable);
        absent("03 6E FFFFFF", Absent::NotAvailable);
        absent("02 93 52 FFFF", Absent::NotAvailable);
        number("01FD08 FF", 255, 0);
        number("02FD17 FFFF", 0xFFFF, 0);
    }

    #[test]
    fn decimal_digits_may_be_negative_or_wrong() {
        number("0C14 27048502", 2_850_427, -2);
        number("0A13 23F1", -123, -3);
        number("0E13 999999999999", 999_999_999_999, -3);
        absent("0A13 2A01", Absent::NotDecimal);
        absent("0A13 23B1", Absent::NotDecimal);
    }

    #[test]
    fn floating_point_and_scaling_extensions_stay_exact() {
        number("055B 0000B441", 225, -1);
        number("04FB8275 5A0F0000", 3930, -1);
        number("0493 7D 01000000", 1, 0);
        absent("055B 0000C07F", Absent::NotFinite);
    }

    #[test]
    fn variable_length_data_says_what_it_is() {
        value("0DFD11 0A 38373130 3134423032 41", |r| {
            assert_eq!(std::format!("{:?}", r.value), "Text(\"A20B410178\")");
        });
        number("0D13 C3 563412", 123_456, -3);
        number("0D13 D3 563412", -123_456, -3);
        number("0D13 E2 FF7F", 32767, -3);
        value("0DFD3B 03 010203", |r| assert_eq!(r.value, Value::Bytes(&[1, 2, 3])));
        assert!(Records::full(&[0x0D, 0x13, 0xFA]).next().unwrap().is_err());
    }

    #[test]
    fn a_number_without_bytes_is_no_zero() {
        for hex in ["0D13 C0", "0D13 D0", "0D13 E0", "0D6E E0"] {
            absent(hex, Absent::NoData);
        }
    }

    #[test]
    fn only_whole_binary_fields_are_dates() {
        value("026C BF28", |r| assert_eq!(r.value, Value::Date(Date::checked(2021, 8, 31).unwrap())));
        for (hex, data) in
            [("0D6D E4 32371F15", "E4 32371F15"), ("0D6D 02 BF28", "02 BF28"), ("0A6C 3112", "3112")]
        {
            value(hex, |r| assert_eq!(r.value, Value::Bytes(&unhex(data)), "{hex}"));
        }
    }

    #[test]
    fn an_additive_constant_counts_in_the_unit_of_the_table() {
        number("0493 7B 01000000", 1001, -3);
        number("0493 78 01000000", 2, -3);
        // 5 kWh and 1 Wh; 0.5 MWh and 1 MWh; 7 W and 0.001 W.
        number("0486 7B 05000000", 5001, -3);
        number("04FB80 7B 05000000", 1500, 0);
        number("02AB 78 0700", 7001, -6);
        value("0786 79 FFFFFFFFFFFFFF7F", |r| {
            assert_eq!(r.value, Value::Bytes(r.data), "a sum beyond 63 bits");
        });
    }

    #[test]
    fn codes_of_the_second_table_of_extensions_are_no_errors() {
        // 230.1 V at phase L1; code 01 of the first table would say that there is no value.
        value("02FDC8FC01 FD08", |r| {
            assert_eq!(r.value, Value::Number(Decimal::new(2301, -1)));
            assert!(r.modifiers.unknown && r.modifiers.error.is_none());
        });
        value("02FDC8FC813C FD08", |r| assert!(r.modifiers.backward, "the first table again"));
    }

    #[test]
    fn a_record_error_of_the_meter_is_no_value() {
        value("04 93 15 00000000", |r| {
            assert_eq!(r.value, Value::Absent(Absent::Meter(MeterError(0x15))));
        });
    }
}
