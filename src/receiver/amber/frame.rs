//! The frames between host and Amber module, as Wuerth's manuals of the AMB8465-M and AMB3665 give them.
//!
//! ```text
//! FF | command | n | n bytes of payload | xx          xx: all bytes before it, XORed
//! ```
//!
//! Answers always come so, a telegram only if the module's memory says so. Otherwise it comes *transparent*: from its length
//! byte on, with neither start nor checksum. 255 is no length there, so that an FF is always a start. With the signal
//! strength attached, the length counts it, too.

use std::time::Duration;

use crate::receiver::{
    CommandBytes,
    framing::{Found, Framing},
};

/// A received telegram.
pub(super) const TELEGRAM: u8 = 0x03;
/// What marks an answer: it is the command with this bit set.
pub(super) const ANSWER: u8 = 0x80;

const START: u8 = 0xFF;
/// C, M and A field.
const SHORTEST: u8 = 9;

/// A message from the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Message<'a> {
    /// An answer, or a telegram, in a frame.
    Framed { command: u8, payload: &'a [u8] },
    /// A telegram without a frame; its length byte is left out.
    Transparent(&'a [u8]),
}

/// How the module hands out telegrams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Output {
    pub(super) framed: bool,
    pub(super) rssi: bool,
}

/// The frames of one module.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Known once its memory was read. Before that, only frames are looked for.
    pub(super) output: Option<Output>,
}

impl Framing for Frames {
    type Message<'a> = Message<'a>;

    /// At 9600 baud a long telegram takes a quarter of a second, and USB bridges hand bytes over in pieces.
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        let found = match (bytes, self.output) {
            ([START, ..], _) => framed(bytes),
            (_, Some(Output { framed: false, rssi })) => transparent(bytes, rssi),
            _ => {
                let length = bytes.iter().position(|&byte| byte == START).unwrap_or(bytes.len());
                Some(Found::Garbage { length })
            }
        };
        found.unwrap_or(Found::Incomplete)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A command. Payloads are a few bytes; one that does not fit gives an empty command.
pub(super) fn request(command: u8, payload: &[u8]) -> CommandBytes {
    fn build(command: u8, payload: &[u8]) -> Option<CommandBytes> {
        let mut bytes = CommandBytes::new();
        bytes.try_extend_from_slice(&[START, command, u8::try_from(payload.len()).ok()?]).ok()?;
        bytes.try_extend_from_slice(payload).ok()?;
        let checksum = checksum(&bytes);
        bytes.try_push(checksum).ok()?;
        Some(bytes)
    }
    build(command, payload).unwrap_or_default()
}

/// Signal strength in dBm of a raw one: half of it as a signed number, less 74; halves are rounded up.
pub(super) fn rssi_dbm(raw: u8) -> i16 {
    (i16::from(raw.cast_signed()) + 1).div_euclid(2) - 74
}

/// `None` while bytes are missing.
fn framed(bytes: &[u8]) -> Option<Found<Message<'_>>> {
    let (&command, rest) = bytes.get(1..)?.split_first()?;
    if !known(command) {
        return Some(Found::Garbage { length: 1 });
    }
    let (&length, rest) = rest.split_first()?;
    let (payload, rest) = rest.split_at_checked(usize::from(length))?;
    let covered = bytes.len() - rest.len();
    if checksum(bytes.get(..covered)?) != *rest.first()? {
        return Some(Found::BadChecksum { length: 1 });
    }
    Some(Found::Whole { message: Message::Framed { command, payload }, length: covered + 1 })
}

/// Telegrams and the answers to all commands of the manuals. Some firmware sends indications of its own; they are skipped
/// like noise.
fn known(command: u8) -> bool {
    command == TELEGRAM
        || (command & ANSWER != 0
            && matches!(command & !ANSWER, 0x00 | 0x04..=0x06 | 0x09..=0x0D | 0x10 | 0x11 | 0x30 | 0x31 | 0x50..=0x52))
}

/// `None` while bytes are missing. Since there is no checksum, everything that can be wrong with a beginning is looked at.
fn transparent(bytes: &[u8], rssi: bool) -> Option<Found<Message<'_>>> {
    let mut head = bytes.iter().copied();
    let length = head.next()?;
    let (control, manufacturer) = (head.next(), head.next().zip(head.next()));
    if length < SHORTEST + u8::from(rssi)
        || control.is_some_and(|control| !sent_by_meters(control))
        || manufacturer.is_some_and(|(low, high)| !three_letters(u16::from_le_bytes([low, high])))
    {
        return Some(Found::Garbage { length: 1 });
    }
    let length = usize::from(length) + 1;
    let telegram = bytes.get(1..length)?;
    Some(Found::Whole { message: Message::Transparent(telegram), length })
}

/// C fields of meters (EN 13757-4): SND-NR, SND-IR, ACC-NR, ACC-DMD, ACK, RSP-UD.
fn sent_by_meters(control: u8) -> bool {
    matches!(control, 0x44 | 0x46 | 0x47 | 0x48 | 0x00 | 0x08 | 0x10 | 0x18 | 0x20 | 0x28 | 0x30 | 0x38)
}

/// A manufacturer is three letters of five bits each; the highest bit may be set for an address that is unique only within
/// an installation.
fn three_letters(manufacturer: u16) -> bool {
    [0, 5, 10].into_iter().all(|shift| matches!(manufacturer >> shift & 0x1F, 1..=26))
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
