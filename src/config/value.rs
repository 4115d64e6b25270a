//! Values with a unit: `10 h`, `200 MB`.

use std::time::Duration;

/// Reads a length of time: a whole number and `ms`, `s`, `min`, `h` or `days`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Writes a length of time as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0 s".to_owned(),
        _ if duration.subsec_millis() > 0 => format!("{} ms", duration.as_millis()),
        s if s % 86_400 == 0 => format!("{} days", s / 86_400),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// Reads a size in bytes: a whole number and `kB`, `MB` or `GB` (powers of ten, as on memory cards).
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Writes a size as [`size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        b if b % 1_000_000_000 == 0 => format!("{} GB", b / 1_000_000_000),
        b if b % 1_000_000 == 0 => format!("{} MB", b / 1_000_000),
        b => format!("{} kB", b / 1_000),
    }
}

/// The number and the unit of `10 h` or `10h`.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        assert_eq!(duration("10 h"), Some(Duration::from_secs(36_000)));
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("250 ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("35 days"), Some(Duration::from_secs(35 * 86_400)));
        assert_eq!(size("200 MB"), Some(200_000_000));
        assert_eq!(size("64kB"), Some(64_000));
    }

    #[test]
    fn what_has_no_unit_or_too_many_digits_is_refused() {
        for text in
            ["", "10", "h", "10 weeks", "-1 s", "1.5 h", "99999999999999999999 s", "18446744073709551615 h"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "200", "200 mb", "200 MiB", "99999999999 GB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_none(text in "[0-9]{0,22}.{0,6}") {
            let _: (Option<Duration>, Option<u64>) = (duration(&text), size(&text));
        }

        #[test]
        fn what_is_shown_is_read_back(millis in 0u64..1_000_000_000_000, kilobytes in 0u64..1_000_000_000) {
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(millis))), Some(Duration::from_millis(millis)));
            prop_assert_eq!(size(&show_size(kilobytes * 1000)), Some(kilobytes * 1000));
        }
    }
}
