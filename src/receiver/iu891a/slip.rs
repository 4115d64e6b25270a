//! The frames between host and iU891A: SLIP (RFC 1055) around IMST's HCI.
//!
//! ```text
//! C0 | ss id body cccc, escaped | C0
//! ```
//!
//! * `s`: service access point - `c`: CRC-16/X-25 from `s` to the end of the body, low byte first
//! * escaped: `C0` as `DB DC` and `DB` as `DB DD`, in the CRC, too
//!
//! Any number of `C0` may stand between frames, also a single one for the end of one and the beginning of the next.

use arrayvec::ArrayVec;
use crc::{CRC_16_IBM_SDLC, Crc};

use crate::receiver::{
    CommandBytes,
    framing::{Found, Framing},
};

const END: u8 = 0xC0;
const ESCAPE: u8 = 0xDB;
const ESCAPED_END: u8 = 0xDC;
const ESCAPED_ESCAPE: u8 = 0xDD;
const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// The longest telegram and what comes with it: SAP, id, eight bytes about its reception, CRC.
const LONGEST: usize = 256 + 12;

/// A message from the dongle, its escapes resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) sap: u8,
    pub(super) id: u8,
    pub(super) body: ArrayVec<u8, LONGEST>,
}

/// A request. Bodies are a few bytes; one that does not fit a command gives an empty command.
pub(super) fn request(sap: u8, id: u8, body: &[u8]) -> CommandBytes {
    let mut digest = X25.digest();
    digest.update(&[sap, id]);
    digest.update(body);
    let crc = digest.finalize().to_le_bytes();
    let content = [sap, id].into_iter().chain(body.iter().copied()).chain(crc);
    let mut command = CommandBytes::new();
    let mut push = |bytes: &[u8]| command.try_extend_from_slice(bytes);
    let build = || {
        push(&[END])?;
        for byte in content {
            match byte {
                END => push(&[ESCAPE, ESCAPED_END])?,
                ESCAPE => push(&[ESCAPE, ESCAPED_ESCAPE])?,
                byte => push(&[byte])?,
            }
        }
        push(&[END])
    };
    if build().is_err() {
        command.clear();
    }
    command
}

/// Ends whatever half a frame the dongle has taken in from somebody before; it ignores empty frames. So many of them are
/// customary.
pub(super) fn flush() -> CommandBytes {
    [END; 30].into_iter().collect()
}

/// The frames of one dongle.
#[derive(Debug, Default)]
pub(super) struct Slip;

impl Framing for Slip {
    type Message<'a> = Message;

    fn look(&mut self, bytes: &[u8]) -> Found<Message> {
        let padding = bytes.iter().take_while(|&&byte| byte == END).count();
        if padding > 0 {
            return Found::Padding { length: padding };
        }
        let Some(length) = bytes.iter().position(|&byte| byte == END) else { return Found::Incomplete };
        let content = bytes.get(..length).unwrap_or_default();
        // Its end mark stays: it may be the beginning of the next.
        match message(content) {
            Some(message) => Found::Whole { message, length },
            None if length < 4 => Found::Garbage { length },
            None => Found::BadChecksum { length },
        }
    }
}

/// A frame's content, if it is whole and right.
fn message(escaped: &[u8]) -> Option<Message> {
    let mut content = unescaped(escaped)?;
    let crc = [content.pop()?, content.pop()?];
    if X25.checksum(&content) != u16::from_be_bytes(crc) {
        return None;
    }
    let [sap, id] = *content.first_chunk()?;
    content.drain(..2);
    Some(Message { sap, id, body: content })
}

fn unescaped(bytes: &[u8]) -> Option<ArrayVec<u8, LONGEST>> {
    let (mut content, mut bytes) = (ArrayVec::new(), bytes.iter());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            &ESCAPE => match *bytes.next()? {
                ESCAPED_END => END,
                ESCAPED_ESCAPE => ESCAPE,
                _ => return None,
            },
            byte => *byte,
        };
        content.try_push(byte).ok()?;
    }
    Some(content)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::receiver::framing::{Deframer, Noise};

    /// A public MULTICAL 21 test telegram.
    const TELEGRAM: &str = "2A 44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 00 \
        44 13 08 19 00 00 61 5B 7F 61 67 13";

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    /// The messages in a line that is quiet afterwards, and what was beside them.
    fn messages(bytes: &[u8]) -> (Vec<Message>, Noise) {
        let (mut deframer, now, mut out) = (Deframer::new(), Instant::now(), Vec::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = deframer.fill(now, rest);
            while let Some((_, message)) = deframer.next(&mut Slip) {
                out.push(message);
            }
            deframer.compact();
        }
        deframer.give_up::<Slip>(now + Slip::LONGEST_PAUSE);
        while let Some((_, message)) = deframer.next(&mut Slip) {
            out.push(message);
        }
        (out, deframer.noise())
    }

    fn only(text: &str) -> Message {
        let (messages, noise) = messages(&hex(text));
        assert_eq!(noise, Noise::default());
        let [message] = messages.try_into().unwrap();
        message
    }

    #[test]
    fn worked_examples_of_requests() {
        assert_eq!(request(1, 1, &[]).as_slice(), hex("C0 01 01 16 07 C0"));
        assert_eq!(request(1, 3, &[]).as_slice(), hex("C0 01 03 04 24 C0"));
        assert_eq!(request(9, 0x81, &[]).as_slice(), hex("C0 09 81 DE 4D C0"));
        assert_eq!(request(9, 1, &[]).as_slice(), hex("C0 09 01 D6 C9 C0"));
        assert_eq!(
            request(9, 3, &hex("03 06 00 00 00 00 00 00 00 00 00")).as_slice(),
            hex("C0 09 03 03 06 00 00 00 00 00 00 00 00 00 A1 76 C0")
        );
        assert!(request(9, 3, &[0xC0; 60]).is_empty(), "and one that is too long is none");
    }

    #[test]
    fn worked_examples_of_replies() {
        for (frame, sap, id, body) in [
            ("C0 01 02 00 A0 AF C0", 1, 2, "00"),
            (
                "C0 01 04 00 6E BE 2D 06 00 00 00 00 00 00 00 00 00 C8 CF C0",
                1,
                4,
                "00 6E BE 2D 06 00 00 00 00 00 00 00 00 00",
            ),
            ("C0 09 82 00 25 B3 00 20 20 95 01 00 21 83 C0", 9, 0x82, "00 25 B3 00 20 20 95 01 00"),
            (
                "C0 09 02 00 03 00 00 00 00 00 00 00 00 00 00 0A CD C0",
                9,
                2,
                "00 03 00 00 00 00 00 00 00 00 00 00",
            ),
            ("C0 09 04 00 B2 3D C0", 9, 4, "00"),
            ("C0 09 04 03 29 0F C0", 9, 4, "03"),
        ] {
            let message = only(frame);
            assert_eq!((message.sap, message.id, message.body.to_vec()), (sap, id, hex(body)));
        }
    }

    #[test]
    fn a_checksum_and_a_body_with_escapes_are_read() {
        let plain = format!("C0 09 20 9F 43 6D 38 00 00 02 B5 {TELEGRAM} 7F DB DD C0");
        assert_eq!(only(&plain).body.get(8..), Some(&*hex(TELEGRAM)));
        let escaped = format!("C0 09 20 DB DD DB DC 6D 38 00 00 02 DB DC {TELEGRAM} B8 37 C0");
        let body = only(&escaped).body;
        assert_eq!(body.get(..8), Some(&*hex("DB C0 6D 38 00 00 02 C0")));
        assert_eq!(body.get(8..), Some(&*hex(TELEGRAM)));
        let capture = "C0 09 20 9F 43 6D 38 00 00 02 E7 18 44 AE 4C 44 55 22 33 68 07 7A 55 00 00 00 04 13 89 E2 01 00 02 \
            3B 00 00 AF 59 C0";
        assert_eq!(only(capture).body.len(), 8 + 25);
    }

    #[test]
    fn padding_and_shared_end_marks_are_no_noise() {
        let (found, noise) = messages(&hex("C0 C0 C0 01 02 00 A0 AF C0 09 04 00 B2 3D C0 C0 C0 C0"));
        assert_eq!((found.len(), noise), (2, Noise::default()));
    }

    #[test]
    fn what_is_damaged_costs_only_itself() {
        let good = "C0 01 02 00 A0 AF C0 ";
        for (bad, bad_checksums, partial_frames) in [
            ("FE D5 00 ", 0, 0),
            ("C0 01 02 00 A0 AE C0 ", 1, 0),
            ("C0 01 02 00 A0 DB C0 ", 1, 0),
            ("C0 01 02 00 DB 00 C0 ", 1, 0),
            ("C0 09 20 9F 43 6D ", 1, 0),
        ] {
            let (found, noise) = messages(&hex(&format!("{good}{bad}{good}")));
            assert_eq!((found.len(), noise.bad_checksums), (2, bad_checksums), "{bad}");
            assert_eq!(noise.partial_frames, partial_frames, "{bad}");
        }
        let (found, noise) = messages(&hex(&format!("{good}C0 09 20 9F 43 6D")));
        assert_eq!((found.len(), noise.partial_frames, noise.garbage_bytes), (1, 1, 5));
    }

    #[test]
    fn what_no_dongle_sends_is_bounded() {
        let mut line = vec![0x55; 3000];
        line.extend(hex("C0 01 02 00 A0 AF C0"));
        let (found, noise) = messages(&line);
        assert_eq!((found.len(), noise.garbage_bytes), (1, 3000));
    }
}
