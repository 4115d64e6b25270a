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

use crc::{CRC_16_IBM_SDLC, Crc};

use crate::receiver::{
    CommandBytes,
    framing::{Found, Framing},
};

/// Device management endpoint.
pub(super) const DEVICE: u8 = 1;
/// Radio link endpoint.
pub(super) const RADIO: u8 = 2;

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

/// The frames of one dongle.
#[derive(Debug, Default)]
pub(super) struct Hci {
    crc_expected: bool,
}

impl Hci {
    /// Those of one that is known to attach checksums.
    pub(super) fn with_checksums() -> Self {
        Self { crc_expected: true }
    }
}

impl Framing for Hci {
    type Message<'a> = Message<'a>;

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        let (found, crc) = look(bytes, self.crc_expected);
        self.crc_expected |= crc;
        found
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

/// What the first bytes are, and whether they are a frame with a right CRC.
fn look(bytes: &[u8], crc_expected: bool) -> (Found<Message<'_>>, bool) {
    let start = bytes.iter().position(|&byte| byte == START).unwrap_or(bytes.len());
    if start > 0 {
        return (Found::Garbage { length: start }, false);
    }
    let mut head = bytes.iter().copied().skip(1);
    let (control, id, payload) = (head.next(), head.next(), head.next());
    if control.is_some_and(|control| !plausible_control(control, crc_expected))
        || control.zip(id).is_some_and(|(control, id)| !plausible_id(control, id))
    {
        return (Found::Garbage { length: 1 }, false);
    }
    let whole = control.zip(id).zip(payload);
    let whole =
        whole.and_then(|((control, id), payload)| whole_frame(bytes, control, id, usize::from(payload)));
    whole.unwrap_or((Found::Incomplete, false))
}

/// Takes a frame apart; `None` while bytes are missing.
fn whole_frame(bytes: &[u8], control: u8, id: u8, payload: usize) -> Option<(Found<Message<'_>>, bool)> {
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
            return Some((Found::BadChecksum { length: 1 }, false));
        }
    }
    let message = Message {
        endpoint: control & 0x0F,
        id,
        payload,
        timestamped: !timestamp.is_empty(),
        rssi: rssi.first().copied(),
    };
    Some((Found::Whole { message, length }, has(WITH_CRC)))
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
