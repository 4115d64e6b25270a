//! The authentication and fragmentation layer (EN 13757-7, 6; OMS Volume 2, 6), CI `90`.

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::address::Meter;
use crate::reader::{Reader, Truncated};

/// The CI-field that opens the layer.
pub(crate) const CI: u8 = 0x90;

/// Fields of one fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Afl {
    /// Fragmentation control: bit 14 more fragments, 13 MCL, 12 ML, 11 MCR, 10 MAC, 9 KI, 7 to 0 fragment number.
    pub fragment_control: u16,
    /// Message control: which fields the message has, and in bits 3 to 0 the kind of authentication.
    pub message_control: Option<u8>,
    /// Key information: version in the high byte, derivation and key number in the low one.
    pub key_information: Option<u16>,
    /// Message counter; must rise with every message.
    pub counter: Option<u32>,
    /// The authentication code, as many bytes as the kind says.
    pub mac: Mac,
    /// Bytes of the whole message behind this field, in fragmented messages.
    pub message_length: Option<u16>,
}

/// An authentication code of up to sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mac {
    bytes: [u8; 16],
    length: u8,
}

impl Mac {
    /// The bytes that were sent: the leftmost of the full code.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut mac = Self::default();
        for (to, from) in mac.bytes.iter_mut().zip(bytes) {
            *to = *from;
            mac.length += 1;
        }
        mac
    }
}

impl Afl {
    /// The fragment's number: 0 for a message in one piece, else counted from 1.
    #[must_use]
    pub const fn fragment(&self) -> u8 {
        (self.fragment_control & 0xFF) as u8
    }

    /// Whether more fragments follow.
    #[must_use]
    pub const fn more(&self) -> bool {
        self.fragment_control >> 14 & 1 == 1
    }

    /// How many bytes of authentication code the kind in MCL stands for (EN 13757-7, table 10).
    #[must_use]
    pub const fn mac_length(message_control: u8) -> Option<usize> {
        Some(match message_control & 0x0F {
            0 => 0,
            3 => 2,
            4 => 4,
            5 => 8,
            6 | 8 => 12,
            7 | 9 => 16,
            _ => return None,
        })
    }

    /// Whether the code is an AES-CMAC of eight bytes or more, as long as its kind says: the only codes this crate
    /// takes for proof. Who may choose two bytes, or one, needs to guess no more than that.
    #[must_use]
    pub fn is_cmac(&self) -> bool {
        self.message_control.is_some_and(|control| {
            matches!(control & 0x0F, 5..=7) && Self::mac_length(control) == Some(self.mac.bytes().len())
        })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, AflError> {
        let length = reader.byte()?;
        let mut fields = Reader::new(reader.take(usize::from(length))?);
        let fragment_control = u16::from_le_bytes(*fields.array()?);
        let has = |bit: u16| fragment_control >> bit & 1 == 1;
        let message_control = if has(13) { Some(fields.byte()?) } else { None };
        let key_information = if has(9) { Some(u16::from_le_bytes(*fields.array()?)) } else { None };
        let counter = if has(11) { Some(u32::from_le_bytes(*fields.array()?)) } else { None };
        let mac = if has(10) {
            // Later fragments may carry the code without MCL: then it is what the length leaves.
            let after = if has(12) { 2 } else { 0 };
            let length = match message_control {
                Some(control) => Self::mac_length(control).ok_or(AflError::Authentication(control & 0x0F))?,
                None => fields.rest().len().saturating_sub(after).min(16),
            };
            Mac::of(fields.take(length)?)
        } else {
            Mac::default()
        };
        let message_length = if has(12) { Some(u16::from_le_bytes(*fields.array()?)) } else { None };
        if !fields.rest().is_empty() {
            return Err(AflError::Length);
        }
        Ok(Self { fragment_control, message_control, key_information, counter, mac, message_length })
    }

    /// The fields a MAC covers, in wire order: MCL, KI, MCR, ML. What MCL announces for the message counts, wherever
    /// in the fragments it was sent.
    pub(crate) fn authenticated_head(&self) -> ArrayVec<u8, 9> {
        let mut head = ArrayVec::new();
        head.extend(self.message_control);
        head.extend(self.key_information.into_iter().flat_map(u16::to_le_bytes));
        head.extend(self.counter.into_iter().flat_map(u32::to_le_bytes));
        head.extend(self.message_length.into_iter().flat_map(u16::to_le_bytes));
        head
    }
}

/// Why an authentication and fragmentation layer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AflError {
    /// It ends before its fields do.
    #[error("the authentication layer ends too early")]
    Truncated,
    /// Its length leaves bytes that no field claims.
    #[error("the authentication layer's length does not fit its fields")]
    Length,
    /// A kind of authentication that is reserved.
    #[error("authentication kind {0} is reserved")]
    Authentication(u8),
}

impl From<Truncated> for AflError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// The longest message put together: OMS limits one to what sixteen fragments hold.
pub const MAX_MESSAGE: usize = 1024;
const MAX_FRAGMENTS: u8 = 16;
/// A fragment that waits longer for the next one is given up.
const MAX_AGE_SECONDS: u64 = 60;

/// Puts the fragments of messages together: a few meters at a time, bounded in bytes, fragments and age, so that
/// nobody on the air can fill memory.
#[derive(Debug, Default)]
pub struct Reassembler {
    open: ArrayVec<Open, 4>,
}

/// A message put together: its first fragment's fields and the bytes from the transport layer's CI on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Fields of the message, gathered from its fragments.
    pub afl: Afl,
    /// Transport layer and application, from the CI on.
    pub bytes: ArrayVec<u8, MAX_MESSAGE>,
}

#[derive(Debug)]
struct Open {
    meter: Meter,
    next: u8,
    since: u64,
    message: Message,
}

impl Reassembler {
    /// Takes one fragment: the link-layer address it came from, its fields, the bytes behind them, and the second it
    /// was heard (any clock that rises). Gives the message when this was its last piece.
    ///
    /// A fragment out of order, too old, or too much drops the message begun; the oldest gives way to a new meter.
    pub fn add(&mut self, meter: Meter, afl: &Afl, bytes: &[u8], now: u64) -> Option<Message> {
        self.open.retain(|open| now.saturating_sub(open.since) <= MAX_AGE_SECONDS);
        let begun = self.open.iter().position(|open| open.meter == meter);
        if afl.fragment() == 1 {
            if let Some(at) = begun.or_else(|| self.open.is_full().then_some(0)) {
                self.open.remove(at);
            }
            let message = Message { afl: *afl, bytes: ArrayVec::new() };
            self.open.push(Open { meter, next: 1, since: now, message });
        }
        let at = self.open.iter().position(|open| open.meter == meter)?;
        let fits = self.open.get_mut(at).is_some_and(|open| open.append(afl, bytes));
        if fits && afl.more() {
            return None;
        }
        let message = self.open.remove(at).message;
        (fits && message.is_whole()).then_some(message)
    }
}

impl Open {
    fn append(&mut self, afl: &Afl, bytes: &[u8]) -> bool {
        if afl.fragment() != self.next || self.next > MAX_FRAGMENTS {
            return false;
        }
        self.next = self.next.saturating_add(1);
        let fields = &mut self.message.afl;
        fields.key_information = fields.key_information.or(afl.key_information);
        fields.counter = fields.counter.or(afl.counter);
        fields.message_length = fields.message_length.or(afl.message_length);
        if !afl.mac.bytes().is_empty() {
            fields.mac = afl.mac;
        }
        self.message.bytes.try_extend_from_slice(bytes).is_ok()
    }
}

impl Message {
    /// Whether as many bytes came as the message said.
    fn is_whole(&self) -> bool {
        self.afl.message_length.is_none_or(|length| usize::from(length) == self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;

    fn fragment(number: u8, more: bool) -> Afl {
        Afl {
            fragment_control: u16::from(number) | u16::from(more) << 14,
            message_control: None,
            key_information: None,
            counter: None,
            mac: Mac::default(),
            message_length: None,
        }
    }

    fn meter(last: u8) -> Meter {
        Meter::from_link([0x2D, 0x2C, last, 0, 0, 0, 1, 7])
    }

    #[test]
    fn the_layer_of_the_technical_report_is_read() {
        let bytes = unhex("0F 002C 25 B30A0000 AF5D74DF73A600D9 72");
        let mut reader = Reader::new(&bytes);
        let afl = Afl::read(&mut reader).unwrap();
        assert_eq!((afl.counter, afl.mac.bytes().len(), afl.fragment()), (Some(0x0AB3), 8, 0));
        assert_eq!(reader.rest(), [0x72]);
        assert_eq!(afl.authenticated_head().as_slice(), unhex("25 B30A0000"));
    }

    #[test]
    fn a_code_that_can_be_guessed_is_no_proof() {
        let with = |message_control: u8, length: usize| Afl {
            message_control: Some(message_control),
            mac: Mac::of(&[7; 16][..length]),
            ..fragment(1, false)
        };
        assert!(with(0x25, 8).is_cmac() && with(0x27, 16).is_cmac());
        assert!(!with(0x23, 2).is_cmac() && !with(0x24, 4).is_cmac(), "short by its kind");
        assert!(!with(0x25, 1).is_cmac(), "cut in a later fragment");
        assert!(!with(0x28, 12).is_cmac(), "a GMAC");
    }

    #[test]
    fn fragments_in_order_become_a_message() {
        let mut whole = Reassembler::default();
        assert_eq!(whole.add(meter(1), &fragment(1, true), &[1, 2], 0), None);
        assert_eq!(whole.add(meter(2), &fragment(1, true), &[9], 0), None, "another meter in between");
        assert_eq!(whole.add(meter(1), &fragment(2, true), &[3], 1), None);
        assert_eq!(whole.add(meter(1), &fragment(3, false), &[4], 2).unwrap().bytes.as_slice(), [1, 2, 3, 4]);
        assert_eq!(whole.add(meter(1), &fragment(3, false), &[4], 2), None, "nothing is open any more");
    }

    #[test]
    fn a_gap_a_wrong_length_and_age_drop_the_message() {
        let mut whole = Reassembler::default();
        whole.add(meter(1), &fragment(1, true), &[1], 0);
        assert_eq!(whole.add(meter(1), &fragment(3, false), &[2], 0), None);
        whole.add(meter(1), &fragment(1, true), &[1], 0);
        assert_eq!(whole.add(meter(1), &fragment(2, false), &[2], 61), None);
        let long = Afl { message_length: Some(9), ..fragment(1, true) };
        whole.add(meter(1), &long, &[1], 0);
        assert_eq!(whole.add(meter(1), &fragment(2, false), &[2], 0), None);
    }

    #[test]
    fn memory_stays_bounded_whoever_sends() {
        let mut whole = Reassembler::default();
        for number in 0..=255 {
            assert_eq!(whole.add(meter(number), &fragment(1, true), &[0; 200], 0), None);
        }
        assert!(whole.open.len() <= 4);
        for number in 2..=20 {
            assert_eq!(whole.add(meter(255), &fragment(number, true), &[0; 200], 0), None);
        }
        assert_eq!(whole.add(meter(255), &fragment(21, false), &[0], 0), None, "too much");
    }
}
