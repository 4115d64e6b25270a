//! The lines of `rtl_wmbus`, a receiver in software.
//!
//! ```text
//! C1;1;1;2024-01-15 10:20:30.000;112;97;76348799;0x2a442d2c9987...
//! |  | | |                       |   |  |        the telegram in digits, its CRCs taken out
//! |  | | |                       |   |  the meter's number
//! |  | | when: by builds in UTC or local time, so that it is of no use
//! |  | |                         two levels of the demodulator, which are no dBm
//! |  | whether every symbol was one of the "3 out of 6" code
//! |  whether the CRCs were right
//! how it was sent: T1, C1 or S1; with -v behind the name of the demodulator, rla; or t2a;
//! ```
//!
//! A telegram is taken if both flags are 1. In C1 and S1, which have no such code, `rtl_wmbus` always writes 1 for the
//! second one; a line of theirs with anything else is torn, and not taken either.
//!
//! Builds differ: old ones write two telegrams, with and without CRCs (the last one is the right one), and older ones
//! forget to take the CRCs of frame format B out of its length byte. Anything else is text: of `rtl_wmbus` itself or of
//! the programs before it, where somebody joined their standard error to the pipe.

use arrayvec::ArrayVec;

use crate::receiver::{FrameBytes, LinkMode};

/// Longer than any line: 60 characters, and twice a telegram of 290 bytes in digits.
pub(super) const LONGEST_LINE: usize = 1536;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
pub(super) enum Said {
    /// A telegram whose flags are good.
    Telegram {
        /// Its bytes, beginning with the length byte.
        bytes: FrameBytes,
        /// How it was sent.
        link_mode: LinkMode,
        /// Its length byte counted CRCs that are not there, or its line had a digit too many: that was put right.
        mended: bool,
    },
    /// One whose CRCs were wrong.
    BadCrc,
    /// One with symbols that are none of the code.
    BadCoding,
    /// It begins like a telegram and is none.
    Malformed,
    /// Text.
    Log,
    /// `rtl_wmbus` ends.
    Exiting,
}

/// What a line says, without its end.
pub(super) fn read(line: &[u8]) -> Said {
    let line = line.trim_ascii();
    if line.starts_with(b"rtl_wmbus: exiting") {
        return Said::Exiting;
    }
    let behind = [&b"rla;"[..], b"t2a;"].iter().find_map(|name| line.strip_prefix(*name));
    let (link_mode, rest) = match behind.unwrap_or(line) {
        [b'T', b'1', b';', rest @ ..] => (LinkMode::T1, rest),
        [b'C', b'1', b';', rest @ ..] => (LinkMode::C1, rest),
        [b'S', b'1', b';', rest @ ..] => (LinkMode::S1, rest),
        _ => return Said::Log,
    };
    let fields: ArrayVec<&[u8], 9> = rest.split(|byte| *byte == b';').take(9).collect();
    let [crc, coding, _, _, _, _, telegram @ ..] = fields.as_slice() else { return Said::Malformed };
    let digits = match telegram {
        [only] => only.strip_prefix(b"0x"),
        [with_crcs, without] if with_crcs.starts_with(b"0x") => without.strip_prefix(b"0x"),
        _ => None,
    };
    match (*crc, *coding, digits) {
        (b"1", b"1", Some(digits)) => telegram_of(digits, link_mode).unwrap_or(Said::Malformed),
        (b"0", b"0" | b"1", Some(_)) => Said::BadCrc,
        (b"1", b"0", Some(_)) => Said::BadCoding,
        _ => Said::Malformed,
    }
}

fn telegram_of(digits: &[u8], link_mode: LinkMode) -> Option<Said> {
    let odd = digits.len() % 2 == 1;
    let pair = |pair: &[u8]| {
        pair.iter().try_fold(0u8, |byte, digit| {
            let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            value.map(|value| byte << 4 | value)
        })
    };
    if digits.len() / 2 > LONGEST || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let bytes: ArrayVec<u8, LONGEST> = digits.chunks_exact(2).map_while(pair).take(LONGEST).collect();
    let (&said, behind) = bytes.split_first()?;
    let length = u8::try_from(behind.len()).ok().filter(|length| *length >= SHORTEST)?;
    let counted_crcs = match said.checked_sub(length)? {
        0 => false,
        // One CRC, or two in long frames.
        2 | 4 if link_mode == LinkMode::C1 => true,
        _ => return None,
    };
    let bytes = FrameBytes::with_length(length, behind).ok()?;
    Some(Said::Telegram { bytes, link_mode, mended: odd || counted_crcs })
}

/// C, M and A field.
const SHORTEST: u8 = 9;
/// A length byte and as many bytes as it can say.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: &str = "2a442d2c998734761b168d2091d37cac21576c7802ff207100041308190000441308190000615b7f616713";

    fn line(mode: &str, flags: &str, hex: &str) -> String {
        format!("{mode};{flags};2024-01-15 10:20:30.000;112;97;76348799;0x{hex}")
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// Its bytes in hexadecimal, its mode, whether it was mended.
    fn telegram(line: &str) -> Option<(Vec<u8>, LinkMode, bool)> {
        match read(line.as_bytes()) {
            Said::Telegram { bytes, link_mode, mended } => Some((bytes.to_vec(), link_mode, mended)),
            _ => None,
        }
    }

    #[test]
    fn a_line_with_good_flags_is_a_telegram_in_every_mode() {
        let modes = [("C1", LinkMode::C1), ("T1", LinkMode::T1), ("S1", LinkMode::S1)];
        for (mode, link_mode) in modes {
            for name in ["", "rla;", "t2a;"] {
                let line = line(&format!("{name}{mode}"), "1;1", T);
                assert_eq!(telegram(&line), Some((bytes(T), link_mode, false)), "{line}");
            }
        }
    }

    #[test]
    fn a_telegram_is_taken_only_if_its_crcs_and_its_coding_are_good() {
        for mode in ["T1", "C1", "S1", "rla;T1"] {
            assert_eq!(read(line(mode, "0;1", T).as_bytes()), Said::BadCrc);
            assert_eq!(read(line(mode, "0;0", T).as_bytes()), Said::BadCrc);
            assert_eq!(read(line(mode, "1;0", T).as_bytes()), Said::BadCoding);
            for torn in ["1;", ";1", "11;1", "1;11", "1;2", "x;1"] {
                assert_eq!(read(line(mode, torn, T).as_bytes()), Said::Malformed, "{torn}");
            }
        }
    }

    #[test]
    fn of_two_telegrams_on_a_line_the_last_one_counts() {
        let with_crcs =
            "2c442d2c998734761b168d2091d37cac21576c7802ff207100041308190000441308190000615b7f616713fd65";
        let line = format!("{};0x{T}", line("C1", "1;1", with_crcs));
        assert_eq!(telegram(&line), Some((bytes(T), LinkMode::C1, false)));
        assert_eq!(read(format!("{line};0x{T}").as_bytes()), Said::Malformed);
    }

    #[test]
    fn a_length_that_counts_crcs_is_put_right_where_frame_format_b_is() {
        for said in ["2c", "2e"] {
            let wrong = format!("{said}{}", &T[2..]);
            assert_eq!(telegram(&line("C1", "1;1", &wrong)), Some((bytes(T), LinkMode::C1, true)));
            assert_eq!(read(line("T1", "1;1", &wrong).as_bytes()), Said::Malformed);
        }
        for said in ["2b", "28", "26", "30"] {
            let wrong = format!("{said}{}", &T[2..]);
            assert_eq!(read(line("C1", "1;1", &wrong).as_bytes()), Said::Malformed, "{said}");
        }
    }

    #[test]
    fn a_digit_too_many_is_dropped() {
        assert_eq!(telegram(&line("T1", "1;1", &format!("{T}0"))), Some((bytes(T), LinkMode::T1, true)));
        assert_eq!(read(line("T1", "1;1", &T[..T.len() - 1]).as_bytes()), Said::Malformed);
    }

    #[test]
    fn text_is_told_from_torn_telegrams() {
        for text in
            ["", "Found 1 device(s):", "T1", "X1;1;1", "rla;", "rtl_wmbus: something", "usb error;T1;1;1;"]
        {
            assert_eq!(read(text.as_bytes()), Said::Log, "{text}");
        }
        for torn in [
            "T1;",
            "C1;1;1;2024",
            "S1;1;1;t;1;2;76348799;",
            "T1;1;1;t;1;2;76348799;0x",
            "T1;1;1;t;1;2;3;2a44",
        ] {
            assert_eq!(read(torn.as_bytes()), Said::Malformed, "{torn}");
        }
        assert_eq!(read(b"rtl_wmbus: exiting"), Said::Exiting);
    }

    #[test]
    fn lengths_end_at_what_a_telegram_can_have() {
        let hex = |length: u8| format!("{length:02x}{}", "44".repeat(usize::from(length)));
        assert_eq!(telegram(&line("T1", "1;1", &hex(255))).unwrap().0.len(), 256);
        assert!(telegram(&line("T1", "1;1", &hex(9))).is_some());
        assert_eq!(read(line("T1", "1;1", &hex(8)).as_bytes()), Said::Malformed);
        assert_eq!(read(line("T1", "1;1", &format!("{}44", hex(255))).as_bytes()), Said::Malformed);
        assert!(line("rla;C1", "1;1", &"44".repeat(290)).len() + 2 + 2 * 290 < LONGEST_LINE);
    }

    proptest! {
        #[test]
        fn any_bytes_say_something_and_a_telegram_agrees_with_its_length(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Said::Telegram { bytes, .. } = read(&line) {
                prop_assert_eq!(bytes.len(), usize::from(bytes[0]) + 1);
            }
        }

        #[test]
        fn any_change_of_a_line_gives_the_telegram_or_one_that_agrees_with_its_length(
            at in 0..120usize, remove in 0..6usize, insert in "[0-9a-f;x]{0,6}"
        ) {
            let mut text = line("C1", "1;1", T);
            let at = at % text.len();
            let end = (at + remove).min(text.len());
            text.replace_range(at..end, &insert);
            if let Said::Telegram { bytes, .. } = read(text.as_bytes()) {
                prop_assert_eq!(bytes.len(), usize::from(bytes[0]) + 1);
                prop_assert!(bytes.len() >= 10);
            }
        }

        #[test]
        fn every_telegram_is_read_back(body in proptest::collection::vec(any::<u8>(), 9..=255), upper in any::<bool>()) {
            let mut whole = vec![u8::try_from(body.len()).unwrap()];
            whole.extend(&body);
            let hex: String = whole.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect();
            prop_assert_eq!(telegram(&line("T1", "1;1", &hex)), Some((whole, LinkMode::T1, false)));
        }
    }
}
