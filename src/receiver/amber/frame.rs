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
    bare::{sent_by_meters, three_letters},
    framing::{Found, Framing},
};

/// A received telegram.
pub(super) const TELEGRAM: u8 = 0x03;
/// Answers: the command with its highest bit set.
pub(super) const MODE_SET: u8 = 0x84;
pub(super) const RESTARTS: u8 = 0x85;
pub(super) const MEMORY: u8 = 0x8A;
pub(super) const SERIAL_NUMBER: u8 = 0x8B;
pub(super) const FIRMWARE: u8 = 0x8C;

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

/// `None` while bytes are missing.
fn framed(bytes: &[u8]) -> Option<Found<Message<'_>>> {
    let (command, payload) = match frame_at(bytes) {
        Frame::None => return Some(Found::Garbage { length: 1 }),
        Frame::Incomplete { .. } => return None,
        Frame::BadChecksum => return Some(Found::BadChecksum { length: 1 }),
        Frame::Whole { command, payload } => (command, payload),
    };
    let (message, length) = (Message::Framed { command, payload }, payload.len() + 4);
    // A frame cut short, followed by one that begins alike as all of the same meter do, has a right checksum: what is the
    // same in both cancels out. So another frame that begins inside, and is right, is the real one.
    let mut undecided = false;
    for start in 1..length - 1 {
        match frame_at(bytes.get(start..).unwrap_or_default()) {
            Frame::Whole { .. } => return Some(Found::Garbage { length: start }),
            // A start alone says too little to wait for.
            Frame::Incomplete { plausible: true } => undecided = true,
            _ => {}
        }
    }
    Some(if undecided { Found::Likely { message, length } } else { Found::Whole { message, length } })
}

/// Command and payload of the frame that begins here, if all of it is there and right.
pub(super) fn whole_at(bytes: &[u8]) -> Option<(u8, &[u8])> {
    if let Frame::Whole { command, payload } = frame_at(bytes) { Some((command, payload)) } else { None }
}

enum Frame<'a> {
    Whole { command: u8, payload: &'a [u8] },
    Incomplete { plausible: bool },
    BadChecksum,
    None,
}

/// What frame the first byte is the beginning of.
fn frame_at(bytes: &[u8]) -> Frame<'_> {
    let (start, command, length) = (bytes.first(), bytes.get(1).copied(), bytes.get(2).copied());
    if start != Some(&START) || command.is_some_and(|command| !may_be(command, length)) {
        return Frame::None;
    }
    let whole = || {
        let (covered, rest) = bytes.split_at_checked(usize::from(length?) + 3)?;
        Some((command?, covered.get(3..)?, checksum(covered) == *rest.first()?))
    };
    match whole() {
        Some((command, payload, true)) => Frame::Whole { command, payload },
        Some((_, _, false)) => Frame::BadChecksum,
        None => Frame::Incomplete { plausible: command.is_some() },
    }
}

/// Telegrams, and the answers to what is asked here, each of its own length. Some firmware sends indications of its own; they
/// are skipped like noise. A checksum of eight bits makes it worth while to look closely.
fn may_be(command: u8, length: Option<u8>) -> bool {
    let lengths = match command {
        TELEGRAM => SHORTEST..=u8::MAX,
        MODE_SET | RESTARTS => 1..=1,
        MEMORY => 2..=u8::MAX,
        SERIAL_NUMBER => 4..=4,
        FIRMWARE => 3..=3,
        _ => return false,
    };
    length.is_none_or(|length| lengths.contains(&length))
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
    let whole = bytes.get(..length)?;
    // A false or broken beginning must not swallow the telegrams behind it.
    if let Some(start) = (1..length).find(|start| whole.get(*start..).is_some_and(surely_begins)) {
        return Some(Found::Garbage { length: start });
    }
    Some(Found::Whole { message: Message::Transparent(whole.get(1..)?), length })
}

/// Whether this is the beginning of a telegram without much doubt: a meter's unasked message, a manufacturer, eight decimal
/// digits, a known device type, a CI field with which such messages go on. Of random bytes one in a million is.
fn surely_begins(bytes: &[u8]) -> bool {
    let Some(&[length, control, low, high, a, b, c, d, _version, device, ci]) = bytes.first_chunk() else {
        return false;
    };
    length >= SHORTEST
        && matches!(control, 0x44 | 0x46)
        && three_letters(u16::from_le_bytes([low, high]))
        && [a, b, c, d].into_iter().all(|byte| byte >> 4 <= 9 && byte & 0x0F <= 9)
        && device <= 0x37
        && matches!(ci, 0x72 | 0x78..=0x7A | 0x8C..=0x90)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
