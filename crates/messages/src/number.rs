//! Exact decimals and what they count. Nothing here ever goes through a float.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::json_text;

/// An exact decimal: an integer times a power of ten, as a meter sends it.
///
/// Written with as many decimals as the exponent says (`0.050` is 50 thousandths), or, for a positive exponent, with
/// `e`: `12e3`. Both parts survive a round trip, so a register's resolution is never lost. Order is by value; equal
/// values of different resolution are told apart, the finer one first.
///
/// ```
/// use messages::Decimal;
/// let volume = Decimal::new(123_456, -3).unwrap();
/// assert_eq!(volume.to_string(), "123.456");
/// assert_eq!("123.456".parse(), Ok(volume));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    exponent: i8,
}

impl Decimal {
    /// The largest power of ten either way. Registers of EN 13757-3 stay within it, and so does comparing in 128 bits.
    pub const MAX_EXPONENT: i8 = 9;

    /// `mantissa` times ten to the power of `exponent`; `None` if the exponent is beyond nine either way.
    #[must_use]
    pub fn new(mantissa: i64, exponent: i8) -> Option<Self> {
        (-Self::MAX_EXPONENT..=Self::MAX_EXPONENT).contains(&exponent).then_some(Self { mantissa, exponent })
    }

    /// The integer part of the representation.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The power of ten, -9 to 9.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// The value in units of ten to the power of `exponent`, rounded towards minus infinity; `None` if it does not fit.
    ///
    /// A volume in whole millilitres: `volume.in_units_of(-6)`, its unit being the cubic metre.
    #[must_use]
    pub fn in_units_of(self, exponent: i8) -> Option<i64> {
        let shift = i32::from(self.exponent) - i32::from(exponent);
        let power = 10_i128.checked_pow(shift.unsigned_abs())?;
        let mantissa = i128::from(self.mantissa);
        let scaled = if shift >= 0 { mantissa.checked_mul(power)? } else { mantissa.div_euclid(power) };
        i64::try_from(scaled).ok()
    }

    /// The value in units of ten to the power of minus nine: at most 63 + 60 bits.
    fn scaled(self) -> i128 {
        let steps = i32::from(self.exponent) + i32::from(Self::MAX_EXPONENT);
        i128::from(self.mantissa) * 10_i128.pow(steps.unsigned_abs())
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.scaled().cmp(&other.scaled()).then(self.exponent.cmp(&other.exponent))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, exponent } = *self;
        if exponent > 0 {
            return write!(f, "{mantissa}e{exponent}");
        }
        if exponent == 0 {
            return write!(f, "{mantissa}");
        }
        let decimals = usize::from(exponent.unsigned_abs());
        let one = 10_u64.pow(u32::from(exponent.unsigned_abs()));
        let sign = if mantissa < 0 { "-" } else { "" };
        let (whole, part) = (mantissa.unsigned_abs() / one, mantissa.unsigned_abs() % one);
        write!(f, "{sign}{whole}.{part:0decimals$}")
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (digits, exponent) = if let Some((whole, power)) = text.split_once('e') {
            let [power @ b'1'..=b'9'] = power.as_bytes() else { return Err(NotADecimal) };
            (whole.to_owned(), i8::try_from(power - b'0').map_err(|_| NotADecimal)?)
        } else if let Some((whole, part)) = text.split_once('.') {
            let decimals = i8::try_from(part.len()).map_err(|_| NotADecimal)?;
            if whole.is_empty() || whole == "-" || decimals == 0 {
                return Err(NotADecimal);
            }
            (format!("{whole}{part}"), -decimals)
        } else {
            (text.to_owned(), 0)
        };
        let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotADecimal);
        }
        let mantissa = digits.parse().map_err(|_| NotADecimal)?;
        Self::new(mantissa, exponent).ok_or(NotADecimal)
    }
}

json_text!(
    Decimal,
    r"^-?[0-9]{1,19}(\.[0-9]{1,9}|e[1-9])?$",
    "An exact decimal with the meter's own resolution: never read it as a float."
);

/// A text is not an exact decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a decimal is written like 123.456 or 12e3, with at most 9 decimals and 18 digits")]
pub struct NotADecimal;

/// What a number counts. There is one unit for each kind, so that two values never differ in scale only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Cubic metres, `m3`.
    CubicMetre,
    /// Kilowatt hours, `kWh`.
    KilowattHour,
    /// Gigajoules, `GJ`: heat meters set up for joules.
    Gigajoule,
    /// Cubic metres times degrees Celsius, `m3°C`: the registers E8 and E9 of heat meters.
    CubicMetreDegree,
    /// Bar, `bar`.
    Bar,
    /// Litres per hour, `l/h`.
    LitrePerHour,
    /// Degrees Celsius, `°C`.
    Celsius,
    /// Pulses of an input whose weight is not known, `pulses`.
    Pulses,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CubicMetre,
        Self::KilowattHour,
        Self::Gigajoule,
        Self::CubicMetreDegree,
        Self::Bar,
        Self::LitrePerHour,
        Self::Celsius,
        Self::Pulses,
    ];

    /// The sign on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CubicMetre => "m3",
            Self::KilowattHour => "kWh",
            Self::Gigajoule => "GJ",
            Self::CubicMetreDegree => "m3°C",
            Self::Bar => "bar",
            Self::LitrePerHour => "l/h",
            Self::Celsius => "°C",
            Self::Pulses => "pulses",
        }
    }
}

/// A number with its unit, written `123.456 m3`.
///
/// Ordered by unit, then by value: values of one unit compare as numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    /// What it counts.
    pub unit: Unit,
    /// How much.
    pub value: Decimal,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit.as_str())
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let (value, unit) = text.split_once(' ').ok_or(NotAQuantity::Shape)?;
        let unit = Unit::ALL.into_iter().find(|known| known.as_str() == unit).ok_or(NotAQuantity::Unit)?;
        Ok(Self { unit, value: value.parse()? })
    }
}

json_text!(
    Quantity,
    r"^-?[0-9]{1,19}(\.[0-9]{1,9}|e[1-9])? (m3|kWh|GJ|m3°C|bar|l/h|°C|pulses)$",
    "An exact decimal, a space and its unit, such as 123.456 m3."
);

/// A text is not a number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAQuantity {
    /// No space between number and unit.
    #[error("a quantity is a number, one space and a unit, such as 123.456 m3")]
    Shape,
    /// A unit that this version does not know.
    #[error("a unit is one of m3, kWh, GJ, m3°C, bar, l/h, °C, pulses")]
    Unit,
    /// The number.
    #[error(transparent)]
    Decimal(#[from] NotADecimal),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn resolution_survives_and_signs_are_right() {
        for (mantissa, exponent, text) in [
            (-50, -3, "-0.050"),
            (0, -1, "0.0"),
            (12, 3, "12e3"),
            (7, 0, "7"),
            (i64::MIN, -9, "-9223372036.854775808"),
        ] {
            let number = Decimal::new(mantissa, exponent).unwrap();
            assert_eq!(number.to_string(), text);
            assert_eq!(text.parse(), Ok(number));
        }
    }

    #[test]
    fn texts_that_are_no_decimal_are_refused() {
        for bad in
            ["", "-", "+1", "1.", ".5", "-.5", "1e0", "1e10", "1e-3", "1.2e3", "0x1", "1.0000000001", "NaN"]
        {
            assert_eq!(bad.parse::<Decimal>(), Err(NotADecimal), "{bad}");
        }
        assert_eq!("9223372036854775808".parse::<Decimal>(), Err(NotADecimal));
    }

    #[test]
    fn order_is_by_value_across_resolutions() {
        assert!(decimal("1.05") < decimal("1.1"));
        assert!(decimal("-2e3") < decimal("-1999.999"));
        assert!(decimal("1.0") < decimal("1"), "the finer of two equals comes first");
    }

    #[test]
    fn whole_units_round_down() {
        assert_eq!(decimal("1.2345678").in_units_of(-6), Some(1_234_567));
        assert_eq!(decimal("-0.0000001").in_units_of(-6), Some(-1));
        assert_eq!(decimal("12e3").in_units_of(0), Some(12_000));
        assert_eq!(decimal("9223372036854775807").in_units_of(-1), None);
    }

    #[test]
    fn a_unit_belongs_to_every_quantity() {
        assert_eq!("1 m3".parse(), Ok(Quantity { unit: Unit::CubicMetre, value: decimal("1") }));
        assert_eq!("1".parse::<Quantity>(), Err(NotAQuantity::Shape));
        assert_eq!("1 furlong".parse::<Quantity>(), Err(NotAQuantity::Unit));
    }
}
