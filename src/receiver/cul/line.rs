//! What a CUL sends: lines of text.
//!
//! ```text
//! b 2A44...29AF ll rr     a telegram in format A with all its CRCs, link quality, raw signal strength
//! bY2C44...FD65 ll rr     one in format B
//! ```
//!
//! Digits are upper case, so that a small b always begins a telegram, also where the end of the line before was lost. The
//! last two bytes come only if asked for; whether they are there shows in the length. Boards with several radios put stars
//! in front of the lines of the others. Where the firmware's output buffer is too small for a telegram, it leaves out the
//! rest of the line, also in the middle of a byte.

use arrayvec::ArrayVec;

use crate::receiver::{FrameBytes, LinkCrcs, framing::Found};

/// Longer than any line: two letters, 290 bytes of telegram, two of reception, the end, and some stars.
const LONGEST_LINE: usize = 600;

/// A whole line.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
pub(super) enum Message<'a> {
    /// A telegram with its CRCs, unchecked.
    Telegram { bytes: FrameBytes, crcs: LinkCrcs, rssi: Option<u8> },
    /// Something that may be an answer, without the end of the line.
    Text(&'a [u8]),
}

/// What the first bytes are.
pub(super) fn look(bytes: &[u8]) -> Found<Message<'_>> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n') else {
        let endless = bytes.len() >= LONGEST_LINE;
        return if endless { Found::Garbage { length: LONGEST_LINE } } else { Found::Incomplete };
    };
    let length = end + 1;
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    let begins = line.iter().rposition(|&byte| byte == b'b').unwrap_or(line.len());
    let (before, rest) = line.split_at(begins);
    match telegram(rest) {
        Reads::Telegram(message) if before.iter().all(|&byte| byte == b'*') => {
            Found::Whole { message, length }
        }
        // Looked at again without what stands in front.
        Reads::Telegram(_) if matches!(telegram(before), Reads::CutOff) => {
            Found::Truncated { length: begins }
        }
        Reads::Telegram(_) => Found::Garbage { length: begins },
        Reads::CutOff => Found::Truncated { length },
        Reads::Otherwise if may_answer(line) => Found::Whole { message: Message::Text(line), length },
        Reads::Otherwise => Found::Garbage { length },
    }
}

/// What a line reads as.
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
enum Reads {
    Telegram(Message<'static>),
    /// The beginning of one.
    CutOff,
    Otherwise,
}

fn telegram(line: &[u8]) -> Reads {
    let (format_b, digits) = match line {
        [b'b', b'Y', digits @ ..] => (true, digits),
        [b'b', digits @ ..] => (false, digits),
        _ => return Reads::Otherwise,
    };
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) {
        return Reads::Otherwise;
    }
    let bytes: ArrayVec<u8, { FrameBytes::CAPACITY }> =
        digits.chunks_exact(2).map_while(byte).take(FrameBytes::CAPACITY).collect();
    let Some(&length) = bytes.first() else { return Reads::CutOff };
    let crcs = if format_b { LinkCrcs::FormatB } else { LinkCrcs::FormatA };
    let Some(size) = crcs.size(length) else { return Reads::Otherwise };
    let Some((telegram, reception)) = bytes.split_at_checked(size) else { return Reads::CutOff };
    let rssi = match *reception {
        [_quality, rssi] => Some(rssi),
        // Of the reception's bytes, some may be left out: the telegram is whole all the same.
        [] | [_] => None,
        _ => return Reads::Otherwise,
    };
    match FrameBytes::try_from(telegram) {
        Ok(bytes) => Reads::Telegram(Message::Telegram { bytes, crcs, rssi }),
        Err(_) => Reads::Otherwise,
    }
}

/// Two digits.
fn byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether the firmware answers so to any of our commands; an empty line does no harm either.
fn may_answer(line: &[u8]) -> bool {
    line.starts_with(b"V ")
        || line.starts_with(b"? (")
        || matches!(line, b"" | b"SMODE" | b"TMODE" | b"CMODE" | b"OFF")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::protocol::rssi_dbm;

    /// A public MULTICAL 21 test telegram.
    const A: &str = "b2A442D2C998734761B16F1488D2091D37CAC21576C7802FF2071000410E91308190000441308190000615B7F616779691329AF";
    const B: &str =
        "bY2C442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713FD65";

    fn found(line: &str) -> Found<Message<'_>> {
        look(line.as_bytes())
    }

    fn telegram_of(line: &str) -> (Vec<u8>, LinkCrcs, Option<u8>) {
        match found(line) {
            Found::Whole { message: Message::Telegram { bytes, crcs, rssi }, length } => {
                assert_eq!(length, line.len());
                (bytes.to_vec(), crcs, rssi)
            }
            _ => panic!("{line}"),
        }
    }

    fn hex(digits: &str) -> Vec<u8> {
        digits.as_bytes().chunks(2).map(|digits| byte(digits).unwrap()).collect()
    }

    #[test]
    fn both_formats_are_read_with_and_without_reception() {
        for (line, crcs, digits) in [(A, LinkCrcs::FormatA, &A[1..]), (B, LinkCrcs::FormatB, &B[2..])] {
            assert_eq!(telegram_of(&format!("{line}8210\r\n")), (hex(digits), crcs, Some(0x10)));
            assert_eq!(telegram_of(&format!("{line}\r\n")), (hex(digits), crcs, None));
        }
        assert_eq!(rssi_dbm(0x10), -66);
        assert_eq!((rssi_dbm(0xFA), rssi_dbm(0x80), rssi_dbm(0x7F)), (-77, -138, -10));
    }

    #[test]
    fn crcs_are_those_that_the_codec_takes_out() {
        let (a, ..) = telegram_of(&format!("{A}8210\r\n"));
        let (b, ..) = telegram_of(&format!("{B}8210\r\n"));
        let (a, b) = (wmbus::Frame::format_a(&a).unwrap(), wmbus::Frame::format_b(&b).unwrap());
        assert_eq!((a.bytes(), a.trailing(), b.trailing()), (b.bytes(), 0, 0));
    }

    #[test]
    fn a_line_cut_off_anywhere_is_counted_as_such() {
        for digits in 0..A.len() {
            let line = format!("{}\r\n", &A[..digits]);
            match (digits, found(&line)) {
                (0, Found::Whole { message: Message::Text(b""), .. }) => {}
                (_, Found::Truncated { length }) => assert_eq!(length, line.len()),
                _ => panic!("{line}"),
            }
        }
        // Of what follows the telegram, anything may be missing.
        for reception in ["8", "82", "821"] {
            assert_eq!(telegram_of(&format!("{A}{reception}\r\n")).2, None);
        }
    }

    #[test]
    fn a_telegram_is_found_behind_stars_noise_and_a_line_without_end() {
        assert_eq!(telegram_of(&format!("**{A}8210\r\n")).2, Some(0x10));
        for before in ["\u{e4}\0", "b2A", "V 1.67 nanoCUL", "F12345678", "*b"] {
            let line = format!("{before}{A}8210\r\n");
            match found(&line) {
                Found::Truncated { length } => assert_eq!((length, before), (3, "b2A")),
                Found::Garbage { length } => assert_eq!(length, before.len()),
                _ => panic!("{line}"),
            }
            telegram_of(&line[before.len()..]);
        }
    }

    #[test]
    fn what_is_no_telegram_and_no_answer_is_garbage() {
        for line in
            ["F12345678\r\n", "b08442D2C99873476\r\n", "b2A44x\r\n", &format!("{A}821000\r\n"), "bY0B44\n"]
        {
            match found(line) {
                Found::Garbage { length } => assert_eq!(length, line.len()),
                Found::Truncated { .. } => assert_eq!(line, "bY0B44\n"),
                _ => panic!("{line}"),
            }
        }
    }

    #[test]
    fn a_line_without_end_is_waited_for_and_an_endless_one_is_not() {
        assert!(matches!(found(A), Found::Incomplete));
        assert!(matches!(found(&"b".repeat(599)), Found::Incomplete));
        assert!(matches!(found(&"b".repeat(700)), Found::Garbage { length: 600 }));
    }
}
