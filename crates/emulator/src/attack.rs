//! What anybody within radio reach can send without a meter's key.
//!
//! AES-CTR with a CRC hides a telegram's content and protects nothing else: whoever knows or guesses what a telegram says
//! can make it say something else, and every check of a receiver passes. Only what came before, and what comes after,
//! gives a forger away. These functions make such telegrams for tests; none of them uses a key.
//!
//! The session number goes into the cipher, so a forger cannot invent one: a forged telegram has the number of the genuine
//! one that it was made from. If the receiver heard that one, the forgery is a second telegram of the same number; if the
//! forger kept it from being heard, it is an only one. To play an old telegram again, keep its bytes.

use wmbus::{
    Meter, crc,
    encode::{EncodeError, Protection, RecordWriter, Shape, compact_body, telegram},
    link::{Communication, Session},
    record::{Item, Items},
};

/// Where the enciphered part begins behind an extended link layer with a session number.
const SEALED_AT: usize = 17;

/// Changes what an AES-CTR telegram says from `known` to `wanted` (both all records of a full frame, heads and data), and
/// mends payload CRC and, in a compact frame, full-frame CRC. No key is needed. `None` if lengths do not fit.
pub fn forge(telegram: &[u8], shape: Shape, known: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let (known, wanted) = (payload(shape, known)?, payload(shape, wanted)?);
    let (head, sealed) = telegram.split_at_checked(SEALED_AT)?;
    if [known.len(), wanted.len()] != [sealed.len(); 2] {
        return None;
    }
    let mut forged = head.to_vec();
    forged.extend(sealed.iter().zip(known.iter().zip(&wanted)).map(|(byte, (old, new))| byte ^ old ^ new));
    Some(forged)
}

/// An old telegram that looks new at a glance: its access number, which no check covers, is another.
pub fn with_access_number(telegram: &[u8], access: u8) -> Vec<u8> {
    let mut bytes = telegram.to_vec();
    bytes.iter_mut().skip(12).take(1).for_each(|byte| *byte = access);
    bytes
}

/// A telegram in the clear in the name of a meter, with a payload CRC as it must be.
///
/// # Errors
/// If the records do not fit, or cannot be sent as a compact frame.
pub fn in_the_clear(
    meter: Meter,
    session: Session,
    shape: Shape,
    records: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    let protection = Protection::EllClear { communication: Communication(0x20), access: 1, session };
    telegram(meter, protection, shape, records).map(|frame| frame.bytes().to_vec())
}

/// The same records with another volume: the data of the record `04 13` (litres), `04 14` or `04 15` in its own unit.
/// `None` if there is no such record.
pub fn with_volume(records: &[u8], volume: i32) -> Option<Vec<u8>> {
    let mut writer = RecordWriter::default();
    let mut found = false;
    for item in Items::full(records) {
        let Ok(Item::Record(record)) = item else { return None };
        let data = match record.header.bytes {
            [0x04, 0x13..=0x15] => {
                found = true;
                &volume.to_le_bytes()
            }
            _ => record.data,
        };
        writer.raw(record.header.bytes, data).ok()?;
    }
    found.then(|| writer.bytes().to_vec())
}

/// What is enciphered: payload CRC, CI, body.
fn payload(shape: Shape, records: &[u8]) -> Option<Vec<u8>> {
    let mut payload = match shape {
        Shape::Full => [&[0x78], records].concat(),
        Shape::Compact => [&[0x79], &*compact_body(records).ok()?].concat(),
    };
    payload.splice(0..0, crc::of(&payload).to_le_bytes());
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        meter::{self, Kind},
        town::{Resident, Town},
    };
    use wmbus::{Frame, Learned, Policy, Refused, Sealed, What};

    const NOW: i64 = 1_795_600_800_000;

    fn meter(kind: Kind) -> meter::Meter {
        Resident::new(kind, 9, 0).meter
    }

    fn volume(meter: &meter::Meter, bytes: &[u8]) -> Result<String, Refused> {
        let mut frame = Frame::bare(bytes).unwrap();
        let opened = Sealed::read(&mut frame)?.open(Some(meter.cipher()), Policy::Strict)?;
        Ok(opened.reading(&Learned::default()).unwrap().now(What::Volume).unwrap().to_string())
    }

    #[test]
    fn a_forged_telegram_passes_every_check_of_the_codec() {
        for kind in [Kind::Multical21, Kind::FlowIq2200, Kind::Multical403] {
            let mut meter = meter(kind);
            let first = meter.beat().first_from(NOW);
            for number in first..first + 8 {
                let genuine = meter.telegram(number).unwrap();
                let known = meter.records(meter.beat().due(number) / 1_000).unwrap().bytes().to_vec();
                let wanted = with_volume(&known, 1_234_500).unwrap();
                let forged = forge(&genuine, meter.shape(number), &known, &wanted).unwrap();
                let expected = if kind == Kind::Multical403 { "12345.00" } else { "1234.500" };
                assert_eq!(volume(&meter, &forged).as_deref(), Ok(expected), "{kind:?} {number}");
                assert_eq!(forged[..SEALED_AT], genuine[..SEALED_AT], "the same session number");
            }
        }
    }

    #[test]
    fn an_authenticated_telegram_cannot_be_forged() {
        let mut meter = meter(Kind::FlowIq2200Oms);
        let mut bytes = meter.telegram(1).unwrap();
        let last_of_volume = bytes.len() - 20;
        bytes[last_of_volume] ^= 1;
        assert!(volume(&meter, &bytes).is_err());
    }

    #[test]
    fn a_telegram_in_the_clear_is_well_formed_and_refused_by_whoever_has_a_key() {
        let mut meter = meter(Kind::Multical21);
        let records = meter.records(NOW / 1_000).unwrap().bytes().to_vec();
        let bytes = in_the_clear(meter.address(), meter.session(5), Shape::Full, &records).unwrap();
        let open =
            |key| Sealed::read(&mut Frame::bare(&bytes).unwrap()).unwrap().open(key, Policy::Strict).is_ok();
        assert!(open(None));
        assert!(!open(Some(meter.cipher())));
    }

    #[test]
    fn an_access_number_is_covered_by_nothing() {
        let mut town = Town::new(1, 3, NOW);
        let sent = town.next_telegram().unwrap().unwrap();
        let changed = with_access_number(&sent.telegram, sent.telegram[12].wrapping_add(1));
        assert_ne!(changed, sent.telegram);
        let meter = &town.residents()[0].meter;
        assert_eq!(volume(meter, &changed), volume(meter, &sent.telegram));
    }

    #[test]
    fn what_does_not_fit_is_not_forged() {
        let mut meter = meter(Kind::Multical21);
        let known = meter.records(NOW / 1_000).unwrap().bytes().to_vec();
        let telegram = meter.telegram(8).unwrap();
        assert_eq!(forge(&telegram, Shape::Full, &known, &known[..known.len() - 3]), None);
        assert_eq!(forge(&telegram[..10], Shape::Full, &known, &known), None);
        assert_eq!(with_volume(&[0x02, 0xFF, 0x20, 0, 0], 1), None);
    }
}
