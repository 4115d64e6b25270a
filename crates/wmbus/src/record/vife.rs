//! What the extensions behind a VIF change (EN 13757-3, table 15).

use crate::decimal::Decimal;
use crate::record::header::Header;
use crate::record::vif::{Kind, Meaning};

/// What the extensions say about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Modifiers {
    /// `3C`: counted backwards, from the consumer.
    pub backward: bool,
    /// `3B`: counted forwards only.
    pub forward: bool,
    /// `12`: an average.
    pub average: bool,
    /// `7E`: a value to come.
    pub future: bool,
    /// Which limit, excess or duration the value is about, and not the quantity itself.
    pub aspect: Option<Aspect>,
    /// `20` to `38`: divided or multiplied by this.
    pub per: Option<&'static str>,
    /// The meter says that there is no value, and why.
    pub error: Option<MeterError>,
    /// Where the manufacturer's own extensions start, counted in the extensions; `FF` itself not counted.
    pub(crate) manufacturer_from: Option<u8>,
    /// An extension whose meaning is not known here: the number may mean something else.
    pub unknown: bool,
}

/// The value is not the quantity but something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// `40`, `48`: a limit.
    Limit,
    /// `41`, `49`: how often a limit was exceeded.
    Exceeds,
    /// `39`, `42` and others: when something began or ended.
    Moment,
    /// `50` to `6F`: how long something lasted.
    Duration,
    /// `68`, `6C`: the value while a limit was exceeded.
    DuringExcess,
    /// `13`, `1E`, `1F`: a compact profile, many values in one record.
    Profile,
}

impl Aspect {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Exceeds => "exceeds",
            Self::Moment => "moment",
            Self::Duration => "duration",
            Self::DuringExcess => "during_excess",
            Self::Profile => "profile",
        }
    }
}

/// Why the meter sends no value (EN 13757-3, table 15, error codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MeterError(pub u8);

impl MeterError {
    /// The standard's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.0 {
            0x01 => "too many DIFE",
            0x02 => "storage number not implemented",
            0x03 => "unit number not implemented",
            0x04 => "tariff number not implemented",
            0x05 => "function not implemented",
            0x06 => "data class not implemented",
            0x07 => "data size not implemented",
            0x0B => "too many VIFE",
            0x0C => "illegal VIF group",
            0x0D => "illegal VIF exponent",
            0x0E => "VIF and DIF mismatch",
            0x0F => "unimplemented action",
            0x15 => "no data available",
            0x16 => "data overflow",
            0x17 => "data underflow",
            0x18 => "data error",
            0x1C => "premature end of record",
            _ => "error without a name",
        }
    }
}

/// Goes through the extensions; `meaning` is changed where they change unit, scale or kind. The last of the result is
/// what to add to the scaled value.
pub(crate) fn apply(header: &Header<'_>, meaning: &mut Meaning) -> (Modifiers, Option<Decimal>) {
    let mut modifiers = Modifiers::default();
    let mut offset = None;
    if header.table == super::header::Table::Manufacturer {
        modifiers.manufacturer_from = Some(0);
        return (modifiers, None);
    }
    let mut second_table = false;
    for (at, byte) in header.extensions.iter().enumerate() {
        if core::mem::take(&mut second_table) {
            // Phases, quadrants and the like, which no profile needs; its codes mean other things in the first table.
            modifiers.unknown = true;
            second_table = byte & 0x7F == SECOND_TABLE;
            continue;
        }
        let n = (byte & 0b111).cast_signed();
        match byte & 0x7F {
            0x00 => {}
            code @ (0x01..=0x0F | 0x15..=0x1C) => modifiers.error = Some(MeterError(code)),
            0x12 => modifiers.average = true,
            0x13 | 0x1E | 0x1F => {
                modifiers.aspect = Some(Aspect::Profile);
                meaning.kind = Kind::Raw;
            }
            0x1D | 0x3A | 0x3E => {}
            code @ 0x20..=0x38 => {
                // Two of them would make a unit that one word cannot name.
                modifiers.unknown |= modifiers.per.is_some();
                modifiers.per = Some(PER.get(usize::from(code - 0x20)).copied().unwrap_or(""));
            }
            0x39 => moment(&mut modifiers, meaning),
            0x3B => modifiers.forward = true,
            0x3C => modifiers.backward = true,
            0x40 | 0x48 => modifiers.aspect = Some(Aspect::Limit),
            0x41 | 0x49 => {
                modifiers.aspect = Some(Aspect::Exceeds);
                *meaning = Meaning { unit: "", exponent: 0, table_unit: 0, kind: Kind::Counter, ..*meaning };
                offset = None;
            }
            0x42..=0x47 | 0x4A..=0x4F | 0x6A | 0x6B | 0x6E | 0x6F => moment(&mut modifiers, meaning),
            code @ 0x50..=0x67 => {
                modifiers.aspect = Some(Aspect::Duration);
                let unit = ["s", "min", "h", "d"].get(usize::from(code & 0b11)).copied().unwrap_or("");
                *meaning = Meaning { unit, exponent: 0, table_unit: 0, kind: Kind::Counter, ..*meaning };
                offset = None;
            }
            0x68 | 0x6C => modifiers.aspect = Some(Aspect::DuringExcess),
            0x70..=0x77 => meaning.exponent = meaning.exponent.saturating_add(n - 6),
            code @ 0x78..=0x7B => {
                let constant = Decimal::new(1, (code & 0b11).cast_signed() - 3).shifted(meaning.table_unit);
                offset = match (offset, constant) {
                    (Some(sum), Some(constant)) => Decimal::plus(sum, constant),
                    (sum, constant) => constant.or(sum),
                };
            }
            SECOND_TABLE => {
                modifiers.unknown = true;
                second_table = true;
            }
            0x7D => meaning.exponent = meaning.exponent.saturating_add(3),
            0x7E => modifiers.future = true,
            0x7F => {
                modifiers.manufacturer_from = u8::try_from(at + 1).ok();
                break;
            }
            _ => modifiers.unknown = true,
        }
    }
    (modifiers, offset)
}

/// The next extension stands in another table (EN 13757-3, table 16).
const SECOND_TABLE: u8 = 0x7C;

fn moment(modifiers: &mut Modifiers, meaning: &mut Meaning) {
    modifiers.aspect = Some(Aspect::Moment);
    *meaning = Meaning { unit: "", exponent: 0, kind: Kind::Moment, ..*meaning };
}

/// Codes `20` to `38`.
const PER: [&str; 25] = [
    "per s",
    "per min",
    "per h",
    "per d",
    "per week",
    "per month",
    "per year",
    "per revolution",
    "per pulse on input 0",
    "per pulse on input 1",
    "per pulse on output 0",
    "per pulse on output 1",
    "per l",
    "per m³",
    "per kg",
    "per K",
    "per kWh",
    "per GJ",
    "per kW",
    "per K·l",
    "per V",
    "per A",
    "times s",
    "times s/V",
    "times s/A",
];
