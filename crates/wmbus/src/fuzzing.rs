//! What must hold for any bytes at all: the bodies of the fuzz targets, run by the tests too.
//!
//! Blind bytes hardly ever pass a CRC or a MAC, so [`open`] has the encoder make valid telegrams from them, whole and
//! then damaged, and the checks stay as they are on the air.

#![expect(clippy::expect_used, reason = "a body stops at the first thing that does not hold")]

use std::string::ToString;
use std::vec::Vec;

use crate::afl::Reassembler;
use crate::compact::Compact;
use crate::encode::{self, Protection, Shape, compact_body};
use crate::link::{Communication, Session};
use crate::record::{Item, Items, Record, Records, Value};
use crate::security::Scheme;
use crate::telegram::open_message;
use crate::transport::{Application, Status};
use crate::{Cipher, Decimal, Frame, FrameError, Key, Learned, Meter, Policy, Reading, Sealed, Telegram};

const KEY: [u8; 16] = [0x42; 16];

type Reads = fn(&[u8]) -> Result<Frame, FrameError>;

/// Any bytes, as a receiver might deliver them, in every shape a frame can have.
pub fn frame(bytes: &[u8]) {
    let readers: [Reads; 5] = [Frame::detect, Frame::bare, Frame::format_a, Frame::format_b, Frame::wired];
    let cipher = Cipher::new(Key::new(KEY));
    for read in readers {
        let Ok(frame) = read(bytes) else { continue };
        let length = frame.bytes().first().copied().map(usize::from);
        assert_eq!(length, Some(frame.bytes().len() - 1), "the L-field counts what follows it");
        assert!(frame.bytes().len() + usize::from(frame.trailing()) <= bytes.len().max(frame.bytes().len()));
        if let Ok(bare) = Frame::bare(frame.bytes()) {
            on_the_air_and_back(&bare);
        }
        for key in [None, Some(&cipher)] {
            for policy in [Policy::Strict, Policy::AlsoOpened] {
                open_anything(&mut frame.clone(), key, policy);
            }
        }
    }
}

fn on_the_air_and_back(bare: &Frame) {
    let air = encode::format_a(bare).expect("there is room for the longest frame");
    assert_eq!(Frame::format_a(&air).expect("what was written is read").bytes(), bare.bytes());
    if let Ok(air) = encode::format_b(bare) {
        assert_eq!(Frame::format_b(&air).expect("what was written is read").bytes(), bare.bytes());
    }
}

fn open_anything(frame: &mut Frame, key: Option<&Cipher>, policy: Policy) {
    let Ok(sealed) = Sealed::read(frame) else { return };
    let (meter, link, enciphered) = (sealed.meter(), sealed.link(), sealed.is_enciphered());
    let whole = sealed.fragment().and_then(|(afl, piece)| {
        let mut reassembler = Reassembler::default();
        let first = reassembler.add(meter, &afl, piece, 0);
        first.or_else(|| reassembler.add(meter, &afl, piece, 0))
    });
    if let Some(mut message) = whole
        && let Ok(telegram) = open_message(link, &mut message, key, policy)
    {
        holds(&telegram, key.is_some(), policy);
    }
    if let Ok(telegram) = sealed.open(key, policy) {
        assert!(enciphered || telegram.security.scheme == Scheme::None);
        holds(&telegram, key.is_some(), policy);
    }
}

/// What is true of every telegram that was opened.
fn holds(telegram: &Telegram<'_>, has_key: bool, policy: Policy) {
    let security = telegram.security;
    assert!(telegram.protected <= telegram.body.len());
    if policy == Policy::Strict {
        assert!(!security.already_open);
        assert_eq!(
            has_key,
            security.scheme != Scheme::None,
            "a key and no protection, or protection and no key"
        );
        assert_eq!(security.scheme.is_authentic(), security.verified.mac || security.verified.tag);
    }
    let mut learned = Learned::default();
    for _ in 0..2 {
        learned.learn(telegram.meter().into(), telegram.application, telegram.body);
    }
    if let Ok(reading) = telegram.reading(&learned) {
        let info = reading.info.into_iter();
        info.for_each(|info| assert!(info.codes().count() + info.durations().count() <= 64));
        let words = reading.status.into_iter().flat_map(|status| status.words());
        assert!(words.count() <= 8);
    }
}

/// Bytes as the ingredients of a telegram that is valid, then damaged: kind, shape, meter, counter, where and how to
/// damage it, records.
pub fn open(bytes: &[u8]) {
    let Some(([kind, shape, counter, place, damage], rest)) = bytes.split_first_chunk::<5>() else { return };
    let Some((meter, records)) = rest.split_first_chunk::<8>() else { return };
    let meter = Meter::from_link(*meter);
    let shape = if shape & 1 == 0 { Shape::Full } else { Shape::Compact };
    let cipher = Cipher::new(Key::new(KEY));
    let (protection, scheme) = protection(*kind, *counter, &cipher);
    let Ok(frame) = encode::telegram(meter, protection, shape, records) else { return };
    let key = (scheme != Scheme::None).then_some(&cipher);

    let mut opened = frame.clone();
    let telegram = Sealed::read(&mut opened).and_then(|sealed| sealed.open(key, Policy::Strict));
    let telegram = telegram.expect("what was written is read");
    assert_eq!((telegram.meter(), telegram.security.scheme), (meter, scheme));
    holds(&telegram, key.is_some(), Policy::Strict);
    if shape == Shape::Full {
        let (body, filler) = telegram.body.split_at(records.len());
        assert_eq!(body, records);
        assert!(filler.len() < 16 && filler.iter().all(|byte| *byte == 0x2F));
    }

    let mut damaged = frame.bytes().to_vec();
    let place = usize::from(*place) % damaged.len();
    if let Some(byte) = damaged.get_mut(place) {
        *byte ^= damage;
    }
    // From the CI on, the authentic schemes let nothing pass for authentic; of the AFL, its control word is not covered.
    let control_word = scheme == Scheme::Mode7 && matches!(place, 12 | 13);
    if *damage != 0 && scheme.is_authentic() && place >= 10 && !control_word {
        let mut frame = Frame::bare(&damaged).expect("its length is as before");
        let opened = Sealed::read(&mut frame).and_then(|sealed| sealed.open(key, Policy::Strict));
        let passed = opened.is_ok_and(|telegram| telegram.security.scheme.is_authentic());
        assert!(!passed, "byte {place} changed by {damage:02X}");
    }
    self::frame(&damaged);
}

fn protection(kind: u8, counter: u8, cipher: &Cipher) -> (Protection<'_>, Scheme) {
    let (access, status) = (counter, Status(kind));
    let (communication, session) = (Communication(kind), Session(u32::from(counter) << 4));
    let counter = u32::from(counter) << 8;
    match kind % 6 {
        0 => (Protection::EllClear { communication, access, session }, Scheme::None),
        1 => (Protection::EllCtr { cipher, communication, access, session }, Scheme::EllCtr),
        2 => (Protection::Mode0 { access, status }, Scheme::None),
        3 => (Protection::Mode5 { cipher, access, status }, Scheme::Mode5),
        4 => (Protection::Mode7 { cipher, access, status, counter }, Scheme::Mode7),
        _ => (Protection::Mode10 { cipher, access, status, counter }, Scheme::Mode10),
    }
}

/// Any bytes, as the body of a telegram: records, a layout to learn, a compact frame.
pub fn records(bytes: &[u8]) {
    let meter = Meter::from_link([0x2D, 0x2C, 0x78, 0x56, 0x34, 0x12, 0x1B, 0x16]);
    let mut at = 0;
    let mut walked = Vec::new();
    for item in Items::full(bytes) {
        if let Ok(Item::Record(record)) = &item {
            assert!(usize::from(record.at) >= at, "forwards only");
            at = usize::from(record.at) + record.header.bytes.len() + record.data.len();
            assert!(at <= bytes.len());
            value(record);
            walked.push((record.header.bytes, record.data));
        }
    }
    drop(Reading::of(meter, Records::full(bytes)));

    let mut learned = Learned::default();
    for application in [Application::FormatFrame, Application::Records, Application::Records] {
        learned.learn(meter.into(), application, bytes);
    }
    let mut again = Learned::default();
    for layout in learned.stored() {
        assert!(again.restore(layout), "what was stored can be taken back");
    }
    assert!(again.stored().eq(learned.stored()));
    if let Ok(compact) = Compact::read(bytes) {
        assert!(compact.items(&learned, meter).map_or(0, |(items, _)| items.count()) <= bytes.len());
    }
    // A full frame that could be learned comes back from its compact form.
    if let (1.., Ok(body)) = (learned.stored().count(), compact_body(bytes)) {
        let compact = Compact::read(&body).expect("signature and CRC are there");
        let (items, _) = compact.items(&again, meter).expect("the layout is known");
        let back: Vec<_> = Records::from(items)
            .map(|record| {
                record.map(|record| (record.header.bytes, record.data)).expect("it was read before")
            })
            .collect();
        assert_eq!(back, walked);
    }
}

fn value(record: &Record<'_>) {
    match record.value {
        Value::Number(number) => arithmetic(number),
        Value::Text(text) => assert!(!text.to_string().contains(char::is_control)),
        Value::Date(date) => drop(date.to_string()),
        Value::DateTime(moment) => drop(moment.to_string()),
        Value::Time(time) => drop(time.to_string()),
        Value::Bytes(bytes) => assert!(bytes.len() <= record.data.len()),
        Value::Absent(why) => assert!(!why.words().is_empty()),
    }
}

/// What holds for every decimal number.
fn arithmetic(number: Decimal) {
    let same = Decimal::new(number.mantissa(), number.exponent());
    assert_eq!((number == same, number.cmp(&same)), (true, core::cmp::Ordering::Equal));
    assert!(number.to_string().len() <= 160);
    if let Some(scaled) = number.scaled_to(-3) {
        assert_eq!(Decimal::new(scaled, -3), number, "exact or not at all");
    }
    if let Some(twice) = number.plus(number) {
        assert_eq!(twice.cmp(&number), number.mantissa().cmp(&0));
    }
    if let Some(shifted) = number.shifted(1) {
        assert_eq!(shifted.shifted(-1), Some(number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    const RECORDS: &[&[u8]] = &[&[], &[4, 0x13, 1, 0, 0, 0], &[2, 0x6C, 0x5F, 0x38]];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_break_a_frame(bytes in vec(any::<u8>(), 0..300)) {
            super::frame(&bytes);
        }

        #[test]
        fn no_bytes_break_a_frame_that_looks_like_one(
            mut bytes in vec(any::<u8>(), 10..256),
            ci in prop::sample::select(&[0x72u8, 0x78, 0x79, 0x7A, 0x7B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90][..]),
        ) {
            bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
            bytes[1] = 0x44;
            if let Some(place) = bytes.get_mut(10) {
                *place = ci;
            }
            super::frame(&bytes);
        }

        #[test]
        fn what_is_sealed_opens_and_what_is_damaged_does_not(
            bytes in vec(any::<u8>(), 13..200),
            records in prop::sample::select(RECORDS),
        ) {
            super::open(&bytes);
            super::open(&[&bytes[..13], records].concat());
        }

        #[test]
        fn no_bytes_break_the_walk_over_records(bytes in vec(any::<u8>(), 0..200)) {
            super::records(&bytes);
        }
    }
}
