//! What an RC1180 sends. There is no frame around anything: what bytes mean depends on what was asked.
//!
//! ```text
//! L ... [rr] [cccc]       idle: a telegram, its raw signal strength, a CRC; L counts all of them
//! 3E                      in configuration: the prompt
//! 256 bytes 3E            the memory
//! ```
//!
//! * `c`: CRC-16/EN-13757 from L to the byte before it, low byte first, taken before L counted it
//!
//! A telegram that was on its way when the configuration was entered comes before the first prompt.

use std::time::Duration;

use crc::{CRC_16_EN_13757, Crc};

use super::memory::Memory;
use crate::receiver::{
    FrameBytes,
    bare::{self, Bare, Begins, Size},
    framing::{Found, Framing},
    protocol::SHORTEST_TELEGRAM,
};

const PROMPT: u8 = b'>';
const CRC_LENGTH: u8 = 2;
const EN_13757: Crc<u16> = Crc::<u16>::new(&CRC_16_EN_13757);

/// A message from the module.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the memory comes once in a conversation and goes nowhere")]
pub(super) enum Message<'a> {
    /// A telegram from its length byte on, with what is attached.
    Telegram(&'a [u8]),
    /// It is in configuration, and ready for a command.
    Prompt,
    /// Its permanent settings.
    Memory(Memory),
}

/// What the open question is answered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Expected {
    /// There is none.
    #[default]
    Telegrams,
    Prompt,
    Memory,
}

/// What is attached to telegrams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Output {
    pub(super) rssi: bool,
    pub(super) crc: bool,
}

/// The messages of one module.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) expected: Expected,
    /// Known once the memory was read.
    pub(super) output: Option<Output>,
}

impl Framing for Frames {
    type Message<'a> = Message<'a>;

    const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.find(bytes, false)
    }

    fn look_at_rest<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.find(bytes, true)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Frames {
    fn find<'a>(&self, bytes: &'a [u8], at_rest: bool) -> Found<Message<'a>> {
        let begins = bare::begins(bytes, self.extra());
        let found = match (self.expected, bytes) {
            (Expected::Prompt, [PROMPT, ..]) => Some(Found::Whole { message: Message::Prompt, length: 1 }),
            // In configuration nothing is received: what follows the telegram can only be the answer.
            (Expected::Prompt | Expected::Memory, _) if begins == Begins::Yes => self.telegram(bytes),
            (Expected::Prompt, _) if begins == Begins::No => Some(Found::Garbage { length: 1 }),
            (Expected::Prompt, _) => None,
            (Expected::Memory, _) => memory(bytes),
            (Expected::Telegrams, _) => {
                return bare::look(self, bytes, at_rest).and_then(|bytes| self.checked(bytes));
            }
        };
        found.unwrap_or(Found::Incomplete)
    }

    /// `None` while bytes are missing.
    fn telegram<'a>(&self, bytes: &'a [u8]) -> Option<Found<Message<'a>>> {
        let length = usize::from(*bytes.first()?) + 1;
        let telegram = bytes.get(..length)?;
        Some(self.checked(telegram))
    }

    fn checked<'a>(&self, telegram: &'a [u8]) -> Found<Message<'a>> {
        if self.output.is_some_and(|output| output.crc) && !crc_fits(telegram) {
            return Found::BadChecksum { length: 1 };
        }
        Found::Whole { message: Message::Telegram(telegram), length: telegram.len() }
    }
}

impl Bare for Frames {
    fn extra(&self) -> u8 {
        self.output.map_or(0, Output::length)
    }

    fn size(&self, bytes: &[u8], _at_rest: bool) -> Option<Size> {
        let length = usize::from(*bytes.first()?) + 1;
        // A wrong CRC proves something, too: that the next one is to be looked for in it.
        Some(Size { length, proven: self.output.is_some_and(|output| output.crc) })
    }
}

impl Output {
    fn length(self) -> u8 {
        u8::from(self.rssi) + if self.crc { CRC_LENGTH } else { 0 }
    }

    /// The telegram alone, with its own length byte, and its raw signal strength. `None` if it is too short.
    pub(super) fn telegram(self, bytes: &[u8]) -> Option<(FrameBytes, Option<u8>)> {
        let (_, body) = bytes.split_first()?;
        let (body, attached) = body.split_at_checked(body.len().checked_sub(usize::from(self.length()))?)?;
        let rssi = attached.first().copied().filter(|_| self.rssi);
        let length = u8::try_from(body.len()).ok().filter(|_| body.len() >= SHORTEST_TELEGRAM)?;
        Some((FrameBytes::with_length(length, body).ok()?, rssi))
    }
}

/// Signal strength in dBm of a raw one: half of it below 0; halves are rounded up.
pub(super) fn rssi_dbm(raw: u8) -> i16 {
    -i16::from(raw / 2)
}

fn crc_fits(telegram: &[u8]) -> bool {
    let (Some((covered, crc)), Some(length)) = (telegram.split_last_chunk(), telegram.first()) else {
        return false;
    };
    let mut digest = EN_13757.digest();
    digest.update(&[length.wrapping_sub(CRC_LENGTH)]);
    digest.update(covered.get(1..).unwrap_or_default());
    digest.finalize() == u16::from_le_bytes(*crc)
}

/// `None` while bytes are missing. A prompt that came late stands in front of it.
fn memory(bytes: &[u8]) -> Option<Found<Message<'_>>> {
    let (memory, rest) = bytes.split_first_chunk()?;
    Some(match rest.first()? {
        &PROMPT => Found::Whole { message: Message::Memory(Memory(*memory)), length: memory.len() + 1 },
        _ => Found::Garbage { length: 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public MULTICAL 21 test telegram without its length byte, 2A.
    const BODY: &str = "44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 00 44 13 08 \
        19 00 00 61 5B 7F 61 67 13";

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn frames(expected: Expected, output: Option<Output>) -> Frames {
        Frames { expected, output }
    }

    #[test]
    fn telegrams_are_read_with_and_without_what_is_attached() {
        for (first, attached, rssi, crc) in
            [("2A", "", false, false), ("2B", "96", true, false), ("2D", "96 30 82", true, true)]
        {
            let (bytes, output) = (hex(&format!("{first} {BODY} {attached}")), Output { rssi, crc });
            let mut frames = frames(Expected::Telegrams, Some(output));
            let Found::Whole { message: Message::Telegram(telegram), length } = frames.look_at_rest(&bytes)
            else {
                panic!("{attached}");
            };
            assert_eq!(length, bytes.len());
            let (telegram, raw) = output.telegram(telegram).unwrap();
            assert_eq!(*telegram, hex(&format!("2A {BODY}")));
            assert_eq!(raw, rssi.then_some(0x96));
        }
        assert_eq!((rssi_dbm(0x96), rssi_dbm(0x97), rssi_dbm(0)), (-75, -75, 0));
    }

    #[test]
    fn with_a_crc_any_damaged_byte_is_noticed() {
        let whole = hex(&format!("2D {BODY} 96 30 82"));
        let mut frames = frames(Expected::Telegrams, Some(Output { rssi: true, crc: true }));
        for at in 4..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(matches!(frames.look_at_rest(&damaged), Found::BadChecksum { length: 1 }), "byte {at}");
        }
    }

    #[test]
    fn a_prompt_is_one_only_where_it_is_expected() {
        let prompt = |expected| frames(expected, None).look(b">");
        assert!(matches!(prompt(Expected::Prompt), Found::Whole { message: Message::Prompt, length: 1 }));
        assert!(matches!(prompt(Expected::Memory), Found::Incomplete));
        assert!(matches!(prompt(Expected::Telegrams), Found::Incomplete));
    }

    #[test]
    fn the_memory_ends_with_a_prompt_and_may_follow_late_ones() {
        let mut frames = frames(Expected::Memory, None);
        let mut dump = vec![0xFF; 257];
        dump[256] = PROMPT;
        assert!(matches!(frames.look(&dump[..256]), Found::Incomplete));
        assert!(matches!(frames.look(&dump), Found::Whole { message: Message::Memory(_), length: 257 }));
        assert!(matches!(frames.look(&[b">", &dump[..]].concat()), Found::Garbage { length: 1 }));
    }

    #[test]
    fn what_is_too_short_for_its_attachments_is_no_telegram() {
        let output = Output { rssi: true, crc: true };
        assert_eq!(output.telegram(&[2, 0x44, 0x2D]), None);
        assert_eq!(output.telegram(&[11, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), None);
        assert_eq!(output.telegram(&[]), None);
    }
}
