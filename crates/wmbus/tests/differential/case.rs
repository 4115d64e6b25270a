//! One record as both implementations read it.

use m_bus_application_layer::data_information::{
    DataType, FunctionField, Month, SingleEveryOrInvalid as Part, TextUnit,
};
use m_bus_application_layer::value_information::UnitName;
use m_bus_application_layer::{DataRecord, DataRecordError, parse_data_records};
use wmbus::Decimal;
use wmbus::record::{Absent, DataField, Date, DateTime, Function, Record, Table, Time, Value};

use crate::units::{DIVISORS, UNITS};

/// In what the two may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// The other crate cannot read the record.
    Refused,
    /// How many bytes it has.
    Length,
    Function,
    Storage,
    Tariff,
    Subunit,
    Unit,
    /// The power of ten, apart from that of the unit.
    Scale,
    Value,
}

pub(crate) struct Case<'a> {
    pub(crate) ours: Record<'a>,
    pub(crate) theirs: Result<DataRecord<'a>, DataRecordError>,
}

impl<'a> Case<'a> {
    /// `rest`: from the record to the end of the body.
    pub(crate) fn new(ours: Record<'a>, rest: &'a [u8]) -> Self {
        let theirs = parse_data_records(rest).next().expect("there are bytes");
        Self { ours, theirs }
    }

    /// The bytes of the record.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.ours.header.bytes, self.ours.data].concat()
    }

    /// Everything in which the two differ.
    pub(crate) fn differing(&self) -> Vec<(Aspect, String)> {
        let theirs = match &self.theirs {
            Ok(theirs) => theirs,
            Err(error) => return vec![(Aspect::Refused, format!("{error:?}, ours {:?}", self.ours.value))],
        };
        let mut differing = Vec::new();
        let mut compare = |aspect, equal: bool, text: String| {
            if !equal {
                differing.push((aspect, text));
            }
        };
        let header = &self.ours.header;
        let information = theirs.data_information().unwrap();
        let (ours, length) = (self.bytes().len(), theirs.raw_bytes().len());
        compare(Aspect::Length, ours == length, format!("{ours}, theirs {length}"));
        let function = match information.function_field {
            FunctionField::InstantaneousValue => Function::Instantaneous,
            FunctionField::MaximumValue => Function::Maximum,
            FunctionField::MinimumValue => Function::Minimum,
            _ => Function::DuringError,
        };
        compare(Aspect::Function, header.function == function, format!("{function:?}"));
        compare(
            Aspect::Storage,
            header.storage == information.storage_number,
            information.storage_number.to_string(),
        );
        compare(
            Aspect::Tariff,
            u64::from(header.tariff) == information.tariff,
            information.tariff.to_string(),
        );
        compare(
            Aspect::Subunit,
            u64::from(header.subunit) == information.device,
            information.device.to_string(),
        );
        let unit = self.unit();
        compare(
            Aspect::Unit,
            unit.is_some(),
            format!("{:?} {:?}, theirs {:?}", self.ours.unit, self.ours.modifiers.per, self.their_units()),
        );
        let power = unit.unwrap_or_default();
        let scale = self.their_scale() + power;
        if let (Value::Number(number), false, true) =
            (self.ours.value, self.is_additive(), header.field != DataField::Real)
        {
            let exponent = isize::from(number.exponent());
            compare(Aspect::Scale, exponent == scale, format!("{exponent}, theirs {scale}"));
        }
        if let (Value::Number(number), DataField::Real, false, Some(theirs)) =
            (self.ours.value, header.field, self.is_additive(), self.their_number())
        {
            compare(
                Aspect::Scale,
                same_float(number, scale, theirs),
                format!("{number}, theirs {theirs}, {scale}"),
            );
        }
        compare(
            Aspect::Value,
            self.same_value(),
            format!("{:?}, theirs {:?}, scale {scale}", self.ours.value, theirs.value()),
        );
        differing
    }

    pub(crate) fn their_value(&self) -> Option<&DataType<'_>> {
        self.theirs.as_ref().ok()?.value()
    }

    /// The integer in front, if that is what the other crate has.
    pub(crate) fn their_number(&self) -> Option<f64> {
        match self.their_value() {
            Some(DataType::Number(number) | DataType::LossyNumber(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn our_mantissa(&self) -> Option<i64> {
        match self.ours.value {
            Value::Number(number) => Some(number.mantissa()),
            _ => None,
        }
    }

    /// The data as a number without sign, if it is a binary integer of at most eight bytes.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        let data = match self.ours.header.field {
            DataField::Integer(_) => self.ours.data,
            DataField::Variable if matches!(self.ours.data[0], 0xE1..=0xE8) => &self.ours.data[1..],
            _ => return None,
        };
        Some(data.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Codes of the first table of extensions, up to the manufacturer's.
    pub(crate) fn codes(&self) -> impl Iterator<Item = u8> {
        let mut second = false;
        let extensions: &[u8] = match self.ours.header.table {
            Table::Manufacturer => &[],
            _ => self.ours.header.extensions,
        };
        let codes = extensions.iter().map(|byte| byte & 0x7F).filter(move |code| {
            let skip = std::mem::replace(&mut second, *code == 0x7C);
            !skip && *code != 0x7C
        });
        codes.take_while(|code| *code != 0x7F)
    }

    pub(crate) fn is(&self, table: Table, code: u8) -> bool {
        (self.ours.header.table, self.ours.header.code) == (table, code)
    }

    fn their_units(&self) -> Vec<(UnitName, i32)> {
        let information = self.theirs.as_ref().ok().and_then(DataRecord::value_information);
        information.into_iter().flat_map(|i| i.units()).map(|unit| (unit.name, unit.exponent)).collect()
    }

    pub(crate) fn their_scale(&self) -> isize {
        let information = self.theirs.as_ref().ok().and_then(DataRecord::value_information);
        information.map_or(0, |information| information.decimal_scale_exponent)
    }

    /// The power of ten from our unit to theirs, if it is the same unit.
    fn unit(&self) -> Option<isize> {
        let theirs = self.their_units();
        let per = self.ours.modifiers.per;
        let heads = UNITS.iter().filter(|(ours, ..)| *ours == self.ours.unit);
        for (_, head, power) in heads {
            let Some(tail) = theirs.strip_prefix(*head) else { continue };
            match per {
                None if tail.is_empty() => return Some(isize::from(*power)),
                None => {}
                Some(per) => {
                    let found = DIVISORS.iter().find(|(ours, units, _)| *ours == per && *units == tail);
                    if let Some((.., scale)) = found {
                        return Some(isize::from(*power) - isize::from(*scale));
                    }
                }
            }
        }
        None
    }

    /// Whether there is an additive constant, which makes one number of mantissa and scale.
    fn is_additive(&self) -> bool {
        self.codes().any(|code| matches!(code, 0x78..=0x7B))
    }

    /// The mantissas of numbers alone: their scales are compared on their own.
    fn same_value(&self) -> bool {
        let additive = self.is_additive();
        match (self.ours.value, self.their_value()) {
            (Value::Number(number), Some(DataType::Number(theirs))) => match self.ours.header.field {
                DataField::Real if additive => false,
                DataField::Real => (-40..=40).any(|scale| same_float(number, scale, *theirs)),
                _ if additive => false,
                _ => number.mantissa() as f64 == *theirs,
            },
            (Value::Absent(Absent::NotFinite), Some(DataType::Number(theirs))) => !theirs.is_finite(),
            (Value::Absent(Absent::NoData), None) => true,
            (Value::Text(text), Some(DataType::Text(theirs))) => TextUnit::new(text.0) == *theirs,
            (Value::Date(date), Some(DataType::Date(day, month, year))) => {
                their_date(day, month, year) == Some(date)
            }
            (Value::DateTime(moment), Some(theirs)) => {
                their_moment(theirs) == Some(DateTime { summer: false, ..moment })
            }
            // They name the parts of what is no single day or moment, we say that it is none.
            (Value::Absent(Absent::NotAvailable), Some(theirs @ DataType::Date(day, month, year))) => {
                !is_whole(theirs) || their_date(day, month, year).is_none()
            }
            (
                Value::Absent(Absent::NotAvailable),
                Some(theirs @ (DataType::DateTime(..) | DataType::DateTimeWithSeconds(..))),
            ) => !is_whole(theirs) || their_moment(theirs).is_none(),
            _ => false,
        }
    }
}

/// Ours is the shortest decimal that reads back as the same floating-point number.
fn same_float(ours: Decimal, scale: isize, theirs: f64) -> bool {
    let text = format!("{}e{}", ours.mantissa(), isize::from(ours.exponent()) - scale);
    text.parse::<f32>().unwrap() == theirs as f32
}

fn single<T: Copy>(part: &Part<T>) -> Option<T> {
    match part {
        Part::Single(value) => Some(*value),
        _ => None,
    }
}

fn is_whole(theirs: &DataType<'_>) -> bool {
    match theirs {
        DataType::Date(day, month, year) => {
            single(day).is_some() && single(month).is_some() && single(year).is_some()
        }
        DataType::DateTime(day, month, year, hour, minute)
        | DataType::DateTimeWithSeconds(day, month, year, hour, minute, _) => {
            let date = single(day).is_some() && single(month).is_some() && single(year).is_some();
            date && single(hour).is_some() && single(minute).is_some()
        }
        _ => false,
    }
}

fn their_date(day: &Part<u8>, month: &Part<Month>, year: &Part<u16>) -> Option<Date> {
    let month = match single(month)? {
        Month::January => 1,
        Month::February => 2,
        Month::March => 3,
        Month::April => 4,
        Month::May => 5,
        Month::June => 6,
        Month::July => 7,
        Month::August => 8,
        Month::September => 9,
        Month::October => 10,
        Month::November => 11,
        _ => 12,
    };
    Date::checked(single(year)?, month, single(day)?)
}

/// The moment they name, if there is such a one; they do not tell summer time.
pub(crate) fn their_moment(theirs: &DataType<'_>) -> Option<DateTime> {
    let (date, hour, minute, second) = match theirs {
        DataType::DateTime(day, month, year, hour, minute) => {
            (their_date(day, month, year)?, single(hour)?, single(minute)?, None)
        }
        DataType::DateTimeWithSeconds(day, month, year, hour, minute, second) => {
            (their_date(day, month, year)?, single(hour)?, single(minute)?, Some(single(second)?))
        }
        _ => return None,
    };
    let fits = hour < 24 && minute < 60 && second.is_none_or(|second| second < 60);
    fits.then_some(DateTime { date, time: Time { hour, minute, second }, summer: false })
}
