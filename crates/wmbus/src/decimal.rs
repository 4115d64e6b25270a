//! Exact numbers: an integer and a power of ten, as meters send them.

use core::cmp::Ordering;
use core::fmt::{self, Write as _};

use arrayvec::ArrayString;

/// `mantissa` x 10^`exponent`, never rounded.
///
/// ```
/// use wmbus::Decimal;
/// let volume = Decimal::new(6408, -3);
/// assert_eq!(volume.to_string(), "6.408");
/// assert_eq!(volume.scaled_to(-6), Some(6_408_000));
/// assert_eq!(Decimal::new(10, -1), Decimal::new(1, 0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    mantissa: i64,
    exponent: i8,
}

impl Decimal {
    /// `mantissa` x 10^`exponent`.
    #[must_use]
    pub const fn new(mantissa: i64, exponent: i8) -> Self {
        Self { mantissa, exponent }
    }

    /// The integer in front.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// The number in units of 10^`exponent`, if it is a whole number of them and fits.
    #[must_use]
    pub fn scaled_to(self, exponent: i8) -> Option<i64> {
        let shift = i32::from(self.exponent) - i32::from(exponent);
        let factor = 10i64.checked_pow(shift.unsigned_abs());
        match (shift >= 0, factor) {
            _ if self.mantissa == 0 => Some(0),
            (true, Some(factor)) => self.mantissa.checked_mul(factor),
            (false, Some(factor)) if self.mantissa % factor == 0 => Some(self.mantissa / factor),
            _ => None,
        }
    }

    /// The same with the power of ten moved by `by`; `None` beyond what can be held.
    #[must_use]
    pub fn shifted(self, by: i8) -> Option<Self> {
        self.exponent.checked_add(by).map(|exponent| Self { exponent, ..self })
    }

    /// The exact sum, if it can be held.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let sum = self.scaled_to(exponent)?.checked_add(other.scaled_to(exponent)?)?;
        Some(Self::new(sum, exponent))
    }

    /// The shortest decimal number that reads back as this floating-point number; `None` for infinities and no number.
    #[must_use]
    pub fn from_real32(value: f32) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        // The library prints the shortest digits that read back the same: `1.25e-3`.
        let mut text = ArrayString::<32>::new();
        write!(text, "{value:e}").ok()?;
        let (digits, exponent) = text.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut mantissa = ArrayString::<32>::new();
        write!(mantissa, "{whole}{fraction}").ok()?;
        let exponent = exponent.parse::<i8>().ok()?.checked_sub(i8::try_from(fraction.len()).ok()?)?;
        Some(Self::new(mantissa.parse().ok()?, exponent))
    }

    /// Without zeros at the end of the integer.
    fn reduced(self) -> (i64, i32) {
        let (mut mantissa, mut exponent) = (self.mantissa, i32::from(self.exponent));
        if mantissa == 0 {
            return (0, 0);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        (mantissa, exponent)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.reduced() == other.reduced()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((a, i), (b, j)) = (self.reduced(), other.reduced());
        if a.signum() != b.signum() || i == j {
            return a.cmp(&b);
        }
        // Up to 19 digits each: an i128 holds the difference of 19 powers of ten; beyond, the larger power wins.
        let (low, wide) = (i.min(j), i.abs_diff(j) > 19);
        if wide {
            let by_power = i.cmp(&j);
            return if a < 0 { by_power.reverse() } else { by_power };
        }
        let scale = |mantissa: i64, exponent: i32| i128::from(mantissa) * 10i128.pow(exponent.abs_diff(low));
        scale(a, i).cmp(&scale(b, j))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = ArrayString::<24>::new();
        write!(digits, "{}", self.mantissa.unsigned_abs())?;
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let zeros = |f: &mut fmt::Formatter<'_>, n: usize| (0..n).try_for_each(|_| f.write_char('0'));
        let power = usize::from(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            write!(f, "{sign}{digits}")?;
            return zeros(f, if self.mantissa == 0 { 0 } else { power });
        }
        match digits.len().checked_sub(power) {
            Some(point) if point > 0 => {
                let (whole, fraction) = digits.split_at(point);
                write!(f, "{sign}{whole}.{fraction}")
            }
            _ => {
                write!(f, "{sign}0.")?;
                zeros(f, power - digits.len())?;
                f.write_str(&digits)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_print_exactly() {
        for (mantissa, exponent, text) in [
            (6408, -3, "6.408"),
            (-25, -1, "-2.5"),
            (3, 3, "3000"),
            (7, -3, "0.007"),
            (0, -3, "0.000"),
            (0, 5, "0"),
            (-7, -1, "-0.7"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            assert_eq!(Decimal::new(mantissa, exponent).to_string(), text);
        }
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        assert_eq!(Decimal::new(1200, -3), Decimal::new(12, -1));
        assert_eq!(Decimal::new(0, 7), Decimal::new(0, -7));
        assert!(Decimal::new(-1, 3) < Decimal::new(-999, 0));
        assert!(Decimal::new(1, 100) > Decimal::new(i64::MAX, 0));
        assert!(Decimal::new(-1, 100) < Decimal::new(i64::MIN, 0));
        assert!(Decimal::new(1, -100) > Decimal::new(0, 0));
    }

    #[test]
    fn floating_point_numbers_become_the_shortest_decimal() {
        assert_eq!(Decimal::from_real32(22.5), Some(Decimal::new(225, -1)));
        assert_eq!(Decimal::from_real32(-0.1), Some(Decimal::new(-1, -1)));
        assert_eq!(Decimal::from_real32(f32::MIN_POSITIVE).map(|d| d.to_string().len()), Some(2 + 45));
        assert_eq!(Decimal::from_real32(f32::MAX).unwrap(), Decimal::new(34_028_235, 31));
        assert_eq!(Decimal::from_real32(f32::NAN), None);
    }

    #[test]
    fn scaling_refuses_what_would_round_or_overflow() {
        assert_eq!(Decimal::new(6408, -3).scaled_to(0), None);
        assert_eq!(Decimal::new(i64::MAX, 0).scaled_to(-1), None);
        assert_eq!(Decimal::new(5, 2).scaled_to(1), Some(50));
        assert_eq!(Decimal::new(1, 0).plus(Decimal::new(1, -3)), Some(Decimal::new(1001, -3)));
    }
}
