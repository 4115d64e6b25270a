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
