//! The other direction: telegrams as meters send them, for virtual meters and for tests that read back what was
//! written.

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::address::Meter;
use crate::compact::Signature;
use crate::crc;
use crate::frame::{Frame, MAX_FRAME};
use crate::link::{Communication, Session};
use crate::record::{DataField, Item, Items};
use crate::security::mode::{MARKER, Purpose, counter_block, derive, nonce_mode10, vector_mode5};
use crate::security::{Cipher, cipher};
use crate::transport::Status;

/// A frame of 256 bytes with a CRC for each of its seventeen blocks.
pub const MAX_AIR: usize = MAX_FRAME + 2 * 17;

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// More than a frame or an enciphered part can hold.
    #[error("too long for one frame")]
    TooLong,
    /// A number that the record's head has no room for.
    #[error("the number does not fit the record's data field")]
    Number,
    /// Records that a compact frame cannot stand for.
    #[error("these records cannot be sent as a compact frame")]
    NotCompact,
}

/// Records, one after the other.
#[derive(Clone, Debug, Default)]
pub struct RecordWriter {
    bytes: ArrayVec<u8, MAX_FRAME>,
}

impl RecordWriter {
    /// A record from its head and its data as sent.
    ///
    /// # Errors
    /// If there is no room.
    pub fn raw(&mut self, head: &[u8], data: &[u8]) -> Result<&mut Self, EncodeError> {
        let before = self.bytes.len();
        let pushed =
            self.bytes.try_extend_from_slice(head).and_then(|()| self.bytes.try_extend_from_slice(data));
        if pushed.is_err() {
            self.bytes.truncate(before);
            return Err(EncodeError::TooLong);
        }
        Ok(self)
    }

    /// A record with a binary integer; its head says how many bytes.
    ///
    /// # Errors
    /// If the number needs more bytes, the head is not one of a binary integer, or there is no room.
    pub fn integer(&mut self, head: &[u8], number: i64) -> Result<&mut Self, EncodeError> {
        let length = match head.first().map(|dif| dif & 0x0F) {
            Some(length @ (1..=4 | 6)) => usize::from(length),
            Some(7) => 8,
            _ => return Err(EncodeError::Number),
        };
        let bytes = number.to_le_bytes();
        let (kept, cut) = bytes.split_at(length);
        let sign_fits = cut.iter().all(|byte| *byte == 0) || cut.iter().all(|byte| *byte == 0xFF);
        if sign_fits { self.raw(head, kept) } else { Err(EncodeError::Number) }
    }

    /// The bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether the application's bytes go out with their heads or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// With heads.
    Full,
    /// Without: signature, full-frame CRC, data (EN 13757-3, annex G).
    Compact,
}

/// How a telegram is protected.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// An extended link layer with a session number that says "in the clear"; a payload CRC all the same.
    EllClear {
        /// Communication control.
        communication: Communication,
        /// Access number.
        access: u8,
        /// Session number; its encryption bits are set to 0.
        session: Session,
    },
    /// AES-128-CTR in the extended link layer, as Kamstrup's water meters have it.
    EllCtr {
        /// The meter's key.
        cipher: &'a Cipher,
        /// Communication control.
        communication: Communication,
        /// Access number.
        access: u8,
        /// Session number; its encryption bits are set to 1.
        session: Session,
    },
    /// A short transport header, in the clear.
    Mode0 {
        /// Access number.
        access: u8,
        /// Status byte.
        status: Status,
    },
    /// Mode 5, all records enciphered.
    Mode5 {
        /// The meter's key.
        cipher: &'a Cipher,
        /// Access number.
        access: u8,
        /// Status byte.
        status: Status,
    },
    /// Mode 7 with an authentication of eight bytes, all records enciphered.
    Mode7 {
        /// The meter's key.
        cipher: &'a Cipher,
        /// Access number.
        access: u8,
        /// Status byte.
        status: Status,
        /// Message counter.
        counter: u32,
    },
    /// Mode 10 with a tag of eight bytes.
    Mode10 {
        /// The meter's key.
        cipher: &'a Cipher,
        /// Access number.
        access: u8,
        /// Status byte.
        status: Status,
        /// Message counter.
        counter: u32,
    },
}

const SND_NR: u8 = 0x44;

/// A telegram of a meter: unsolicited data (SND-NR), protected, without link-layer CRCs.
///
/// ```
/// use wmbus::encode::{Protection, RecordWriter, Shape, telegram};
/// use wmbus::link::{Communication, Session};
/// use wmbus::{Cipher, Key, Learned, Policy, Sealed, What};
///
/// let cipher = Cipher::new(Key::new([7; 16]));
/// let mut records = RecordWriter::default();
/// records.integer(&[0x04, 0x13], 12_345)?;
/// let session = Session(16);
/// let protection = Protection::EllCtr { cipher: &cipher, communication: Communication(0x20), access: 1, session };
/// let meter = "KAW.87654321.3C.16".parse()?;
/// let mut frame = telegram(meter, protection, Shape::Full, records.bytes())?;
///
/// let telegram = Sealed::read(&mut frame)?.open(Some(&cipher), Policy::Strict)?;
/// let reading = telegram.reading(&Learned::default())?;
/// assert_eq!(reading.now(What::Volume).map(|v| v.to_string()).as_deref(), Some("12.345"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the records do not fit, or cannot be sent as a compact frame.
pub fn telegram(
    meter: Meter,
    protection: Protection<'_>,
    shape: Shape,
    records: &[u8],
) -> Result<Frame, EncodeError> {
    let compact = match shape {
        Shape::Full => None,
        Shape::Compact => Some(compact_body(records)?),
    };
    let body = compact.as_deref().unwrap_or(records);
    let mut frame = Out::new(meter);
    match protection {
        Protection::EllClear { communication, access, session } => {
            let session = Session(session.counter());
            frame.extended_link(communication, access, session)?.payload(shape, body)?;
        }
        Protection::EllCtr { cipher, communication, access, session } => {
            let session = Session(session.counter() | 1 << 29);
            frame.extended_link(communication, access, session)?.payload(shape, body)?;
            cipher.ctr(&counter_block(meter, communication, session), frame.tail(PAYLOAD_AT));
        }
        Protection::Mode0 { access, status } => {
            frame.push(&[short_ci(shape), access, status.0, 0, 0])?.push(body)?;
        }
        Protection::Mode5 { cipher, access, status } => {
            let [low, high] = configuration(5, blocks(body)?);
            frame.push(&[short_ci(shape), access, status.0, low, high])?;
            let at = frame.bytes.len();
            frame.marked(body)?;
            cipher::cbc_encrypt(cipher.key(), &vector_mode5(meter, access), frame.tail(at));
        }
        Protection::Mode7 { cipher, access, status, counter } => {
            frame.mode7(cipher, meter, [short_ci(shape), access, status.0], counter, body)?;
        }
        Protection::Mode10 { cipher, access, status, counter } => {
            frame.mode10(cipher, meter, [short_ci(shape), access, status.0], counter, body)?;
        }
    }
    frame.finish()
}

/// Where the payload CRC stands behind an extended link layer of the second kind.
const PAYLOAD_AT: usize = 17;

struct Out {
    bytes: ArrayVec<u8, MAX_FRAME>,
}

impl Out {
    fn new(meter: Meter) -> Self {
        let mut bytes = ArrayVec::new();
        bytes.extend([0, SND_NR]);
        bytes.extend(meter.to_link());
        Self { bytes }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<&mut Self, EncodeError> {
        self.bytes.try_extend_from_slice(bytes).map_err(|_| EncodeError::TooLong)?;
        Ok(self)
    }

    fn tail(&mut self, at: usize) -> &mut [u8] {
        self.bytes.get_mut(at..).unwrap_or_default()
    }

    fn extended_link(
        &mut self,
        communication: Communication,
        access: u8,
        session: Session,
    ) -> Result<&mut Self, EncodeError> {
        self.push(&[0x8D, communication.0, access])?.push(&session.0.to_le_bytes())
    }

    /// CI without a transport header, behind the payload CRC.
    fn payload(&mut self, shape: Shape, body: &[u8]) -> Result<(), EncodeError> {
        let ci = match shape {
            Shape::Full => 0x78,
            Shape::Compact => 0x79,
        };
        let mut sum = crc::Running::new();
        sum.add(&[ci]);
        sum.add(body);
        self.push(&sum.value().to_le_bytes())?.push(&[ci])?.push(body).map(drop)
    }

    /// The marker, the body, fillers up to a whole block.
    fn marked(&mut self, body: &[u8]) -> Result<(), EncodeError> {
        self.push(&MARKER)?.push(body)?;
        for _ in 0..(MARKER.len() + body.len()).next_multiple_of(16) - MARKER.len() - body.len() {
            self.push(&[0x2F])?;
        }
        Ok(())
    }

    /// Authentication layer with MCL, MCR and MAC, then the transport layer.
    fn mode7(
        &mut self,
        cipher: &Cipher,
        meter: Meter,
        [ci, access, status]: [u8; 3],
        counter: u32,
        body: &[u8],
    ) -> Result<(), EncodeError> {
        const MAC_8_WITH_COUNTER: u8 = 0x25;
        let [c0, c1, c2, c3] = counter.to_le_bytes();
        let head = [MAC_8_WITH_COUNTER, c0, c1, c2, c3];
        self.push(&[crate::afl::CI, 0x0F, 0x00, 0x2C])?.push(&head)?;
        let mac_at = self.bytes.len();
        self.push(&[0; 8])?;
        let message_at = self.bytes.len();
        let [low, high] = configuration(7, blocks(body)?);
        self.push(&[ci, access, status, low, high, 0x10])?;
        let body_at = self.bytes.len();
        self.marked(body)?;
        let key = derive(cipher, Purpose::Encipher, counter, meter);
        cipher::cbc_encrypt(&key, &[0; 16], self.tail(body_at));
        let authentication = Cipher::new(derive(cipher, Purpose::Authenticate, counter, meter));
        let mac = authentication.cmac([&head, self.tail(message_at)]);
        for (to, from) in self.tail(mac_at).iter_mut().zip(mac.iter().take(8)) {
            *to = *from;
        }
        Ok(())
    }

    fn mode10(
        &mut self,
        cipher: &Cipher,
        meter: Meter,
        [ci, access, status]: [u8; 3],
        counter: u32,
        body: &[u8],
    ) -> Result<(), EncodeError> {
        // All bytes enciphered, a counter follows, mode 10; derivation A; a tag of eight bytes.
        let head = [ci, access, status, 0xFF, 0x2A, 0x10, 0x01];
        self.push(&head)?.push(&counter.to_le_bytes())?;
        let at = self.bytes.len();
        self.push(body)?;
        let key = derive(cipher, Purpose::Encipher, counter, meter);
        let tag = cipher::ccm_encrypt(&key, &nonce_mode10(meter, counter), &head, self.tail(at));
        self.push(&tag.ok_or(EncodeError::TooLong)?).map(drop)
    }

    fn finish(mut self) -> Result<Frame, EncodeError> {
        let length = u8::try_from(self.bytes.len() - 1).map_err(|_| EncodeError::TooLong)?;
        if let Some(field) = self.bytes.first_mut() {
            *field = length;
        }
        Frame::bare(&self.bytes).map_err(|_| EncodeError::TooLong)
    }
}

const fn short_ci(shape: Shape) -> u8 {
    match shape {
        Shape::Full => 0x7A,
        Shape::Compact => 0x7B,
    }
}

/// Blocks of sixteen bytes for marker and body.
fn blocks(body: &[u8]) -> Result<u8, EncodeError> {
    // Fifteen means "all that fits" in older profiles; fourteen is safe with every reader.
    match u8::try_from((MARKER.len() + body.len()).div_ceil(16)) {
        Ok(blocks @ ..=14) => Ok(blocks),
        _ => Err(EncodeError::TooLong),
    }
}

const fn configuration(mode: u8, blocks: u8) -> [u8; 2] {
    [blocks << 4, mode]
}

/// The body of the compact frame that stands for these records.
///
/// # Errors
/// If there is manufacturer data or data of variable length in them.
pub fn compact_body(records: &[u8]) -> Result<ArrayVec<u8, MAX_FRAME>, EncodeError> {
    let (mut heads, mut full) = (crc::Running::new(), crc::Running::new());
    let mut data = ArrayVec::<u8, MAX_FRAME>::new();
    for item in Items::full(records) {
        match item.map_err(|_| EncodeError::NotCompact)? {
            Item::Record(record) if record.header.field != DataField::Variable => {
                heads.add(record.header.bytes);
                full.add(record.header.bytes);
                full.add(record.data);
                data.try_extend_from_slice(record.data).map_err(|_| EncodeError::TooLong)?;
            }
            Item::Filler { .. } => {}
            _ => return Err(EncodeError::NotCompact),
        }
    }
    let mut body = ArrayVec::new();
    let Signature(signature) = Signature(heads.value());
    body.extend(signature.to_le_bytes());
    body.extend(full.value().to_le_bytes());
    body.try_extend_from_slice(&data).map_err(|_| EncodeError::TooLong)?;
    Ok(body)
}

/// A frame as format A on the air: a CRC behind the first ten bytes, then behind each sixteen.
///
/// # Errors
/// Never for a frame of this crate; the room is that of the longest.
pub fn format_a(frame: &Frame) -> Result<ArrayVec<u8, MAX_AIR>, EncodeError> {
    let (first, rest) = frame.bytes().split_at(frame.bytes().len().min(10));
    let mut air = ArrayVec::new();
    for block in core::iter::once(first).chain(rest.chunks(16)) {
        push_block(&mut air, block)?;
    }
    Ok(air)
}

/// A frame as format B on the air: its L-field counts the CRCs.
///
/// # Errors
/// If the frame is so long that the L-field cannot count the CRCs too.
pub fn format_b(frame: &Frame) -> Result<ArrayVec<u8, MAX_AIR>, EncodeError> {
    let bytes = frame.bytes();
    let crcs = if bytes.len() > 126 { 4 } else { 2 };
    let length = u8::try_from(bytes.len() - 1 + crcs).map_err(|_| EncodeError::TooLong)?;
    let mut counted: ArrayVec<u8, MAX_FRAME> = bytes.iter().copied().collect();
    if let Some(field) = counted.first_mut() {
        *field = length;
    }
    let mut air = ArrayVec::new();
    for block in counted.chunks(126) {
        push_block(&mut air, block)?;
    }
    Ok(air)
}

fn push_block(air: &mut ArrayVec<u8, MAX_AIR>, block: &[u8]) -> Result<(), EncodeError> {
    let pushed = air.try_extend_from_slice(block);
    pushed
        .and_then(|()| air.try_extend_from_slice(&crc::of(block).to_be_bytes()))
        .map_err(|_| EncodeError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;

    /// The whole frames of public examples come out byte by byte.
    #[test]
    fn a_multical_21_is_written_as_it_was_heard() {
        let cipher = Cipher::new("28F64A24988064A079AA2C807D6102AE".parse().unwrap());
        let protection = Protection::EllCtr {
            cipher: &cipher,
            communication: Communication(0x20),
            access: 0x91,
            session: Session(0x21AC_7CD3),
        };
        let records = unhex("02FF207100041308190000441308190000615B7F616713");
        let frame =
            telegram("KAM.76348799.1B.16".parse().unwrap(), protection, Shape::Full, &records).unwrap();
        let heard = "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24";
        assert_eq!(frame.bytes(), unhex(heard));
        let air =
            "2C442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC2427BD";
        assert_eq!(format_b(&frame).unwrap().as_slice(), unhex(air));
        let air = "2A442D2C998734761B16F1488D2091D37CAC21E1D68CDAFFCD3DC452995DBD802913FF7B1706CA9E355D6C2701CCE1A52414F0";
        assert_eq!(format_a(&frame).unwrap().as_slice(), unhex(air));
    }

    #[test]
    fn mode_10_is_written_as_it_was_heard() {
        // That meter sent its header behind a first kind of extended link layer, which covers nothing of what follows.
        let cipher = Cipher::new("BF902DD6DFADAFE83E4AE6832B5FA14C".parse().unwrap());
        let protection =
            Protection::Mode10 { cipher: &cipher, access: 0x30, status: Status(0x10), counter: 939_916 };
        let records = unhex("046D1C2A2F3C04150000000002FF25010406FF1BFFFFFFFFFFFF446D0020213C441500000000");
        let frame =
            telegram("KAW.53820306.3C.16".parse().unwrap(), protection, Shape::Full, &records).unwrap();
        let heard = "7A3010FF2A10018C570E006DA7632471F42B0A3CECCD461353573ED02B87118BC5FFE982F7F00A0274543BC51938F8B9C8BB8928114D60788A";
        assert_eq!(frame.bytes()[10..], unhex(heard));
    }

    #[test]
    fn the_compact_example_of_the_standard_is_written() {
        let body = compact_body(&unhex("0202D20402152E16022A3423")).unwrap();
        assert_eq!(body.as_slice(), unhex("313B42A6D2042E163423"));
        assert_eq!(compact_body(&unhex("0F0102")), Err(EncodeError::NotCompact));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut records = RecordWriter::default();
        assert!(matches!(records.integer(&[0x02, 0x13], 70_000), Err(EncodeError::Number)));
        assert!(matches!(records.integer(&[0x0C, 0x13], 1), Err(EncodeError::Number)));
        assert!(records.integer(&[0x02, 0x13], -1).is_ok());
        assert_eq!(records.bytes(), [0x02, 0x13, 0xFF, 0xFF]);
        assert!(matches!(records.raw(&[0; 200], &[0; 100]), Err(EncodeError::TooLong)));
        assert_eq!(records.bytes().len(), 4, "nothing half written");
        let clear = Protection::Mode0 { access: 0, status: Status(0) };
        let meter = "KAM.00000001.1B.16".parse().unwrap();
        assert_eq!(telegram(meter, clear, Shape::Full, &[0x2F; 250]).unwrap_err(), EncodeError::TooLong);
    }
}
