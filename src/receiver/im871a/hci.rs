//! The frames between host and iM871A, as IMST's WMBus HCI specification gives them.
//!
//! ```text
//! A5 | ce | id | n | n bytes of payload | tttttttt | r | cccc
//! ```
//!
//! * `c`: what is attached: 0x20 a timestamp, 0x40 an RSSI, 0x80 a CRC; 0x10 is reserved and 0 - `e`: endpoint
//! * `t`: the dongle's clock, little endian - `r`: raw RSSI - `c`: CRC-16/X-25 from `ce` to the byte before it, low byte first
//!
//! A dongle that was seen to attach CRCs always does: from then on a frame without one is garbage. Otherwise four bytes of
//! noise could pass for a header and swallow the telegrams that follow.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use crc::{CRC_16_IBM_SDLC, Crc};

use crate::receiver::CommandBytes;

/// Device management endpoint.
pub(super) const DEVICE: u8 = 1;
/// Radio link endpoint.
pub(super) const RADIO: u8 = 2;

/// A silence this long inside a frame means that the rest never comes. A frame takes 46 ms at 57600 baud.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const START: u8 = 0xA5;
const WITH_CRC: u8 = 0x80;
const WITH_RSSI: u8 = 0x40;
const WITH_TIMESTAMP: u8 = 0x20;
const RESERVED: u8 = 0x10;
const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// A message from the dongle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) endpoint: u8,
    pub(super) id: u8,
    pub(super) payload: &'a [u8],
    pub(super) timestamped: bool,
    pub(super) rssi: Option<u8>,
}

/// A request with CRC. Payloads are a few bytes; one that does not fit a command gives an empty command.
pub(super) fn request(id: u8, payload: &[u8]) -> CommandBytes {
    fn build(id: u8, payload: &[u8]) -> Option<CommandBytes> {
        let mut bytes = CommandBytes::new();
        bytes
            .try_extend_from_slice(&[START, WITH_CRC | DEVICE, id, u8::try_from(payload.len()).ok()?])
            .ok()?;
        bytes.try_extend_from_slice(payload).ok()?;
        let crc = X25.checksum(bytes.split_first()?.1);
        bytes.try_extend_from_slice(&crc.to_le_bytes()).ok()?;
        Some(bytes)
    }
    build(id, payload).unwrap_or_default()
}

/// Signal strength in dBm of a raw RSSI: raw * 8/15 - 126.67, rounded (the formula public drivers agree on).
pub(super) fn rssi_dbm(raw: u8) -> i16 {
    // In thirtieths of a dBm; half of one dBm added, so that rounding down rounds to the nearest.
    (i16::from(raw) * 16 - 3800 + 15).div_euclid(30)
}

/// Finds frames in a stream of bytes, whatever else is in it.
#[derive(Debug)]
pub(super) struct Deframer {
    buffer: ArrayVec<u8, 1024>,
    last_byte: Option<Instant>,
    crc_expected: bool,
    noise: Noise,
}

/// What the line brought beside frames, since the start of the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Noise {
    pub(super) garbage_bytes: u64,
    pub(super) bad_checksums: u64,
    pub(super) partial_frames: u64,
}

impl Deframer {
    pub(super) fn new() -> Self {
        Self { buffer: ArrayVec::new(), last_byte: None, crc_expected: false, noise: Noise::default() }
    }

    /// Forgets what it saw, but not what it counted: another dongle may answer now.
    pub(super) fn clear(&mut self) {
        *self = Self { noise: self.noise, ..Self::new() };
    }

    pub(super) fn noise(&self) -> Noise {
        self.noise
    }

    /// When the frame that has begun will be given up.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.last_byte.filter(|_| !self.buffer.is_empty()).map(|last| last + LONGEST_PAUSE)
    }

    /// Takes bytes in; calls `each` with every message and the time of its last byte.
    pub(super) fn push(
        &mut self,
        now: Instant,
        mut input: &[u8],
        mut each: impl FnMut(Instant, Message<'_>),
    ) {
        self.give_up(now, &mut each);
        while !input.is_empty() {
            // Never 0: an incomplete frame, all that stays behind, is shorter than the buffer.
            let room = self.buffer.remaining_capacity().min(input.len());
            let Some((piece, rest)) = input.split_at_checked(room.max(1)) else { return };
            if self.buffer.try_extend_from_slice(piece).is_err() {
                self.buffer.clear();
            }
            self.last_byte = Some(now);
            self.settle(false, now, &mut each);
            input = rest;
        }
    }

    /// Gives up a frame whose rest is overdue, and looks for complete ones behind its false or broken beginning.
    pub(super) fn give_up(&mut self, now: Instant, each: impl FnMut(Instant, Message<'_>)) {
        if let (Some(due), Some(last)) = (self.gives_up_at(), self.last_byte)
            && now >= due
        {
            self.noise.partial_frames += 1;
            self.settle(true, last, each);
        }
    }

    fn settle(&mut self, complete: bool, heard_at: Instant, mut each: impl FnMut(Instant, Message<'_>)) {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let used = match look(rest, self.crc_expected) {
                Found::Frame { message, length, crc } => {
                    self.crc_expected |= crc;
                    each(heard_at, message);
                    length
                }
                Found::Incomplete if !complete => break,
                Found::Garbage { length } => {
                    self.noise.garbage_bytes += length as u64;
                    length
                }
                Found::Incomplete => {
                    self.noise.garbage_bytes += 1;
                    1
                }
                Found::BadChecksum => {
                    self.noise.bad_checksums += 1;
                    self.noise.garbage_bytes += 1;
                    1
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        let used = self.buffer.len() - rest.len();
        self.buffer.drain(..used);
    }
}

enum Found<'a> {
    Frame {
        message: Message<'a>,
        length: usize,
        crc: bool,
    },
    /// A frame begins here; its end has not come.
    Incomplete,
    /// A frame begins here, but only if noise says so.
    BadChecksum,
    /// So many bytes that no frame begins with.
    Garbage {
        length: usize,
    },
}

/// What the first bytes are. A frame is skipped byte by byte unless it is whole and its CRC right, so that a beginning
/// seen in noise cannot hide a real one behind it.
fn look(bytes: &[u8], crc_expected: bool) -> Found<'_> {
    let Some(start) = bytes.iter().position(|&byte| byte == START) else {
        return Found::Garbage { length: bytes.len() };
    };
    if start > 0 {
        return Found::Garbage { length: start };
    }
    let mut head = bytes.iter().copied().skip(1);
    let (control, id, payload) = (head.next(), head.next(), head.next());
    if control.is_some_and(|control| !plausible_control(control, crc_expected))
        || control.zip(id).is_some_and(|(control, id)| !plausible_id(control, id))
    {
        return Found::Garbage { length: 1 };
    }
    let (Some(control), Some(id), Some(payload)) = (control, id, payload) else { return Found::Incomplete };
    whole(bytes, control, id, usize::from(payload)).unwrap_or(Found::Incomplete)
}

/// Takes a frame apart; `None` while bytes are missing.
fn whole(bytes: &[u8], control: u8, id: u8, payload: usize) -> Option<Found<'_>> {
    let has = |flag: u8| control & flag != 0;
    let (_, rest) = bytes.split_at_checked(4)?;
    let (payload, rest) = rest.split_at_checked(payload)?;
    let (timestamp, rest) = rest.split_at_checked(if has(WITH_TIMESTAMP) { 4 } else { 0 })?;
    let (rssi, rest) = rest.split_at_checked(usize::from(has(WITH_RSSI)))?;
    let covered = bytes.len() - rest.len();
    let length = covered + if has(WITH_CRC) { 2 } else { 0 };
    if has(WITH_CRC) {
        let crc = u16::from_le_bytes(*rest.first_chunk()?);
        if X25.checksum(bytes.get(1..covered)?) != crc {
            return Some(Found::BadChecksum);
        }
    }
    let message = Message {
        endpoint: control & 0x0F,
        id,
        payload,
        timestamped: !timestamp.is_empty(),
        rssi: rssi.first().copied(),
    };
    Some(Found::Frame { message, length, crc: has(WITH_CRC) })
}

fn plausible_control(control: u8, crc_expected: bool) -> bool {
    matches!(control & 0x0F, DEVICE | RADIO)
        && control & RESERVED == 0
        && (control & WITH_CRC != 0 || !crc_expected)
}

/// The dongle sends replies (even numbers) and indications of these two endpoints.
fn plausible_id(control: u8, id: u8) -> bool {
    match control & 0x0F {
        DEVICE => (0x02..=0x27).contains(&id),
        _ => (0x02..=0x05).contains(&id),
    }
}

#[cfg(test)]
mod tests;
