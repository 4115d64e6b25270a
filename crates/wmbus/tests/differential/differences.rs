//! Where the two differ on purpose: which records, what each makes of them, and why. Clauses are of EN 13757-3.

use m_bus_application_layer::data_information::DataType;
use wmbus::Decimal;
use wmbus::record::{Absent, DataField, Quantity, Table, Value};

use crate::case::{Aspect, Case};

/// One difference.
pub(crate) struct Difference {
    pub(crate) aspects: &'static [Aspect],
    /// Whether a record is of this kind, and both sides say what is expected of them.
    pub(crate) holds: fn(&Case<'_>) -> bool,
    /// A record that shows it.
    pub(crate) example: &'static str,
    pub(crate) why: &'static str,
}

use Aspect::{Length, Refused, Scale, Unit};

const VALUE: &[Aspect] = &[Aspect::Value];
const UNIT_AND_SCALE: &[Aspect] = &[Unit, Scale];

pub(crate) static DIFFERENCES: &[Difference] = &[
    // What they do not read at all.
    Difference {
        aspects: &[Refused],
        holds: |case| case.is(Table::Primary, 0x6F) || case.ours.header.table == Table::Reserved,
        example: "016F00",
        why: "VIF 6F and EF are reserved (table 10): they give up the whole telegram, we read on behind the record",
    },
    Difference {
        aspects: &[Refused],
        holds: |case| case.ours.header.text.len() > 9 || !case.ours.header.text.is_ascii(),
        example: "017C0A4142434445464748494A00",
        why: "a plain-text unit of more than nine letters, or not in ASCII: the head says how long it is, so the \
              record can be read",
    },
    Difference {
        aspects: &[Refused],
        holds: |case| case.ours.value == Value::Absent(Absent::NotDecimal),
        example: "0A133A12",
        why: "digits beyond nine are no value (annex A, type A): an error there, a value that is absent here",
    },
    Difference {
        aspects: &[Refused],
        holds: |case| {
            matches!(case.ours.value, Value::Bytes(_) | Value::Absent(_)) && is_bcd(case) && beyond_nine(case)
        },
        example: "0A93153A12",
        why: "digits beyond nine in a record that is not read as digits, or has no value by its extensions",
    },
    Difference {
        aspects: &[Refused],
        holds: |case| odd_calendar(case),
        example: "016C01",
        why: "they read two bytes for VIF 6C and four or six for 6D whatever the DIF says; the length is the DIF's \
              (table 4)",
    },
    // Lengths.
    Difference {
        aspects: &[Length],
        holds: |case| odd_calendar(case),
        example: "046C01020304",
        why: "they read two bytes for VIF 6C and four or six for 6D whatever the DIF says; the length is the DIF's \
              (table 4)",
    },
    Difference {
        aspects: VALUE,
        holds: |case| odd_calendar(case),
        example: "036D010203 00",
        why: "6C and 6D with another length than those of types G, F and I: type J (three bytes) is a time of day, \
              digits and data of variable length are no date",
    },
    // Values of integers.
    Difference {
        aspects: VALUE,
        holds: |case| {
            let theirs = case.their_number();
            case.ours.value == Value::Absent(Absent::NotAvailable) && theirs.is_some_and(|n| lowest(case, n))
        },
        example: "015B80",
        why: "the lowest number of its size means 'not available' (annex A, type B)",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            case.ours.value == Value::Absent(Absent::NotAvailable) && case.their_number() == Some(-1.0)
        },
        example: "02FD74FFFF",
        why: "all ones in a counter or duration mean 'not available' (annex A, type C)",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let (Some(ours), Some(raw)) = (case.our_mantissa(), case.unsigned()) else { return false };
            u64::try_from(ours) == Ok(raw) && case.their_number() == Some(signed(case, raw) as f64)
        },
        example: "01FD08FF",
        why: "numbers, versions, flags and what the manufacturer defines have no sign (annex A, types C and D); they \
              read every integer with one",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let beyond = case.unsigned().is_some_and(|raw| i64::try_from(raw).is_err());
            beyond && matches!(case.ours.value, Value::Bytes(_)) && case.their_number().is_some()
        },
        example: "07FD08FFFFFFFFFFFFFFFF",
        why: "a number without sign beyond 63 bits: bytes here, negative there",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let long = is_variable(case) && matches!(case.ours.data[0], 0xE9..=0xF6);
            long && matches!(case.ours.value, Value::Bytes(_))
                && matches!(case.their_value(), Some(DataType::LossyNumber(_)))
        },
        example: "0D13E9010203040506070809",
        why: "integers of more than eight bytes: bytes here, the lower eight of them as a rounded number there",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let nothing = is_variable(case) && matches!(case.ours.data[0], 0xC0 | 0xD0);
            nothing && case.ours.value == Value::Absent(Absent::NoData) && case.their_number() == Some(0.0)
        },
        example: "0D13C0",
        why: "a number of no digits is no zero (a binary one, LVAR E0, makes their debug build overflow and is not \
              given to them)",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let (Some(ours), Some(theirs)) = (case.our_mantissa(), case.their_number()) else { return false };
            has_many_digits(case) && ((ours as f64 - theirs) / theirs).abs() < 1e-14
        },
        example: "0D13C9834456658393987757",
        why: "more than fifteen digits: exact here, summed up in floating point there",
    },
    // Values that are something else than the number of the VIF.
    Difference {
        aspects: &[Aspect::Value, Unit, Scale],
        holds: |case| matches!(case.ours.value, Value::Absent(Absent::Meter(_))),
        example: "0493150000 0000",
        why: "an error code of the meter (table 17: 01 to 0F, 15 to 1C) says that there is no value; they give the \
              number",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let raw =
                matches!(case.ours.quantity, Quantity::RadioContainer | Quantity::ManufacturerContainer);
            let profile = case.codes().any(|code| matches!(code, 0x13 | 0x1E | 0x1F));
            (raw || profile) && matches!(case.ours.value, Value::Bytes(_))
        },
        example: "0DFD3B020102",
        why: "containers (FD 3B, FD 76) and compact profiles (VIFE 13, 1E, 1F) are bytes, not one number or text",
    },
    Difference {
        aspects: &[Aspect::Value, Unit, Scale, Refused],
        holds: |case| is_moment(case) && !matches!(case.ours.value, Value::Number(_) | Value::Text(_)),
        example: "029339BF28",
        why: "behind a VIFE 'start date of', 'begin of', 'end of' (39, 42 to 4F, 6A to 6F) stands a date, not a number",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.codes().any(|code| matches!(code, 0x50..=0x67)),
        example: "02BB56 0100",
        why: "VIFE 50 to 67 make it a duration in the unit of the VIFE; they add the time to the unit of the VIF and \
              keep its power of ten",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.codes().any(|code| matches!(code, 0x41 | 0x49)),
        example: "02BB41 0100",
        why: "VIFE 41 and 49 make it a count of excesses, without unit and power of ten",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let about_a_date = case.is(Table::Primary, 0x6C) || case.is(Table::Primary, 0x6D);
            about_a_date && case.codes().any(|code| matches!(code, 0x41 | 0x49 | 0x50..=0x67))
        },
        example: "02EC41 0100",
        why: "behind a VIFE that makes it a count or a duration (41, 49, 50 to 67) stands no date",
    },
    // Dates.
    Difference {
        aspects: VALUE,
        holds: |case| marked_invalid(case) && case.ours.value == Value::Absent(Absent::NotAvailable),
        example: "046DB2371E15",
        why: "the bit 'time invalid' of types F and I (annex A); they do not look at it",
    },
    Difference {
        aspects: VALUE,
        holds: |case| {
            let (year, hundreds) = year(case);
            match case.ours.value {
                Value::Date(date) => date.year == 1900 + year && year > 80,
                Value::DateTime(moment) => {
                    moment.date.year % 100 == year % 100 && (year > 80 || !matches!(hundreds, 0 | 1))
                }
                _ => false,
            }
        },
        example: "026C7FCC",
        why: "years 81 to 99 are of the last century, and type F has two bits for the century (annex A); they add 2000",
    },
    Difference {
        aspects: VALUE,
        holds: |case| year(case).0 > 99 && case.ours.value == Value::Absent(Absent::NotAvailable),
        example: "026C81C1",
        why: "the year is one of a century (annex A): 100 to 126 name none",
    },
    Difference {
        aspects: VALUE,
        holds: |case| matches!(case.ours.value, Value::DateTime(moment) if moment.date.day == 31),
        example: "046D32373F15",
        why: "they take day 31 of types F and I for 'every day', which is day 0 (annex A)",
    },
    // Units and powers of ten.
    Difference {
        aspects: VALUE,
        holds: additive,
        example: "04937B01000000",
        why: "they keep the exponent of an additive constant (VIFE 78 to 7B) apart, where 10^0 cannot be told from \
              none; here it is added, in the unit of the VIF (table 15)",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.codes().any(|code| code == 0x2C),
        example: "0293 2C 0100",
        why: "VIFE 2C is 'per litre' (table 15), theirs multiplies by litres",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| {
            case.ours.modifiers.unknown && case.codes().filter(|code| matches!(code, 0x20..=0x38)).count() > 1
        },
        example: "0293A022 0100",
        why: "two divisors: only the last is named here, and the record is marked as not understood",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.ours.modifiers.unknown && case.codes().any(|code| code == 0x3D),
        example: "04863D 01000000",
        why: "units that are not metric (VIFE 3D, annex C): theirs here, ours are marked as not understood",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.ours.quantity == Quantity::Unknown,
        example: "02FD00 0100",
        why: "codes that our tables do not have come out as a number without unit and are marked unknown",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| case.is(Table::Fd, 0x74),
        example: "02FD74 0100",
        why: "FD 74 is the remaining battery life in days (table 12); theirs has no unit",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| {
            matches!((case.ours.header.table, case.ours.header.code), (Table::Fd, 0x2C..=0x2F | 0x3C..=0x3F))
        },
        example: "02FD3C 0100",
        why: "FD 2C to 2F and 3C to 3F are times (table 12); theirs are reserved, or stand at 30 to 35",
    },
    Difference {
        aspects: UNIT_AND_SCALE,
        holds: |case| matches!(case.ours.header.table, Table::Manufacturer) || case.is(Table::Primary, 0x7E),
        example: "04FE72 01000000",
        why: "VIF 7E is 'any VIF' (table 11), whose extensions count; theirs is the manufacturer's, without extensions",
    },
];

/// An extension that makes a date of the record.
fn is_moment(case: &Case<'_>) -> bool {
    case.codes().any(|code| matches!(code, 0x39 | 0x42..=0x47 | 0x4A..=0x4F | 0x6A | 0x6B | 0x6E | 0x6F))
}

fn is_variable(case: &Case<'_>) -> bool {
    case.ours.header.field == DataField::Variable
}

/// More digits than a floating-point number holds.
fn has_many_digits(case: &Case<'_>) -> bool {
    is_variable(case) && matches!(case.ours.data[0], 0xC8..=0xC9 | 0xD8..=0xD9)
}

fn is_bcd(case: &Case<'_>) -> bool {
    let digits = is_variable(case) && matches!(case.ours.data[0], 0xC0..=0xC9 | 0xD0..=0xD9);
    matches!(case.ours.header.field, DataField::Bcd(_)) || digits
}

/// Whether a digit other than a sign is beyond nine.
fn beyond_nine(case: &Case<'_>) -> bool {
    let digits = if is_variable(case) { &case.ours.data[1..] } else { case.ours.data };
    let Some((last, rest)) = digits.split_last() else { return false };
    let wrong = |byte: &u8| byte >> 4 > 9 || byte & 0x0F > 9;
    rest.iter().any(wrong) || last & 0x0F > 9 || matches!(last >> 4, 0xA..=0xE)
}

/// 6C and 6D with a field that is not of type G, F or I.
fn odd_calendar(case: &Case<'_>) -> bool {
    let (date, moment) = (case.is(Table::Primary, 0x6C), case.is(Table::Primary, 0x6D));
    let usual = match case.ours.header.field {
        DataField::Integer(2) => date,
        DataField::Integer(4 | 6) => moment,
        _ => false,
    };
    (date || moment) && !usual
}

/// Two's complement of `raw` in the bytes it has.
fn signed(case: &Case<'_>, raw: u64) -> i64 {
    let bytes = case.ours.data.len() - usize::from(is_variable(case));
    let shift = 64 - 8 * bytes;
    (raw << shift).cast_signed() >> shift
}

fn lowest(case: &Case<'_>, theirs: f64) -> bool {
    let bytes = case.ours.data.len() - usize::from(is_variable(case));
    case.unsigned() == Some(1 << (8 * bytes - 1))
        && theirs == -(2f64.powi(i32::try_from(8 * bytes).unwrap() - 1))
}

fn marked_invalid(case: &Case<'_>) -> bool {
    match (case.their_value(), case.ours.data) {
        (Some(DataType::DateTime(..)), [minute, ..]) => minute & 0x80 != 0,
        (Some(DataType::DateTimeWithSeconds(..)), [_, minute, ..]) => minute & 0x80 != 0,
        _ => false,
    }
}

/// Year and, of type F, the two bits of the century, as sent.
fn year(case: &Case<'_>) -> (u16, u8) {
    let year = |day: u8, month: u8| u16::from((month & 0xF0) >> 1 | day >> 5);
    match (case.their_value(), case.ours.data) {
        (Some(DataType::Date(..)), [day, month]) => (year(*day, *month), 0),
        (Some(DataType::DateTime(..)), [_, hour, day, month]) => (year(*day, *month), hour >> 5 & 0b11),
        (Some(DataType::DateTimeWithSeconds(..)), [_, _, _, day, month, _]) => (year(*day, *month), 0),
        _ => (0, 0),
    }
}

/// Ours is their number in their scale, and the constants on top.
fn additive(case: &Case<'_>) -> bool {
    let constants = case.codes().filter(|code| matches!(code, 0x78..=0x7B));
    let constants: Vec<i8> = constants.map(|code| (code & 0b11).cast_signed() - 3).collect();
    let Some(theirs) = case.their_number().filter(|_| !constants.is_empty()) else { return false };
    let Value::Number(ours) = case.ours.value else { return matches!(case.ours.value, Value::Bytes(_)) };
    // A duration, a count or a date has nothing of the VIF's unit; with a constant as well it makes no sense. Many digits
    // are rounded there.
    if has_many_digits(case) || case.codes().any(|code| matches!(code, 0x41 | 0x49 | 0x50..=0x67)) {
        return true;
    }
    // The unit of the VIF's table as a power of ten of ours.
    let table_unit = match (case.ours.header.table, case.ours.unit) {
        (Table::Primary, "kWh" | "kW") => -3,
        (Table::Primary, "MJ" | "MJ/h") => -6,
        (Table::Fb, "kWh" | "MJ" | "kg" | "MJ/h") => 3,
        (Table::Fb, "kW") if case.ours.quantity == Quantity::CumulativeMaximumPower => -3,
        (Table::Fb, "kW") => 3,
        _ => 0,
    };
    let constants = constants.iter().map(|constant| Decimal::new(1, constant + table_unit));
    let Some(sum) = constants.reduce(|sum, constant| sum.plus(constant).unwrap()) else { return false };
    let numbers = match case.ours.header.field {
        DataField::Real => [Decimal::from_real32(theirs as f32), None],
        // Whether it has a sign is a difference of its own; theirs is rounded beyond 53 bits.
        _ => match case.unsigned() {
            Some(raw) => [Some(signed(case, raw)), i64::try_from(raw).ok()],
            None => [Some(theirs as i64), None],
        }
        .map(|number| number.map(|number| Decimal::new(number, 0))),
    };
    // Their number at the one scale that fits; units are compared on their own.
    let fits = |number: Decimal| {
        (-20..=20).any(|scale| number.shifted(scale).and_then(|scaled| scaled.plus(sum)) == Some(ours))
    };
    numbers.into_iter().flatten().any(fits)
}
