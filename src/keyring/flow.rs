//! A flow, as key files, meter lists and the configuration write it.

/// A flow in whole litres per hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow(u32);

impl Flow {
    /// `litres` per hour.
    #[must_use]
    pub const fn litres_per_hour(litres: u32) -> Self {
        Self(litres)
    }

    /// Litres per hour.
    #[must_use]
    pub const fn as_litres_per_hour(self) -> u32 {
        self.0
    }

    /// Reads `5 m3/h` or `3.125 m3/h`; a bare number is in cubic metres per hour. Zero is no flow that a meter is made
    /// for, and 10 000 is beyond every water meter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix("m3/h").or_else(|| text.strip_suffix("m³/h")).unwrap_or(text).trim();
        let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
        let digits =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 4) || !digits(fraction, 3) {
            return None;
        }
        let litres = whole.parse::<u32>().ok()?.checked_mul(1000)?;
        let litres = litres.checked_add(format!("{fraction:0<3}").parse().ok()?)?;
        (litres > 0).then_some(Self(litres))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flows_are_read_with_their_unit() {
        assert_eq!(Flow::parse("3.125 m3/h"), Some(Flow::litres_per_hour(3125)));
        assert_eq!(Flow::parse("2,5"), Some(Flow::litres_per_hour(2500)));
        for text in ["", "0", "0.000 m3/h", "1.2345", "10000", "5 l/h", ".5", "+5"] {
            assert_eq!(Flow::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_flow_or_none(text in "[0-9]{0,22}.{0,6}") {
            let _: Option<Flow> = Flow::parse(&text);
        }
    }
}
