use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::framing::{Deframer, Noise};

const LONGEST_PAUSE: Duration = Hci::LONGEST_PAUSE;

/// A public MULTICAL 21 test telegram without its length byte, 0x2A.
const TELEGRAM: &str = "44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 00 44 13 \
    08 19 00 00 61 5B 7F 61 67 13";

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Owned {
    endpoint: u8,
    id: u8,
    payload: Vec<u8>,
    timestamped: bool,
    rssi: Option<u8>,
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        let Message { endpoint, id, payload, timestamped, rssi } = message;
        Self { endpoint, id, payload: payload.into(), timestamped, rssi }
    }
}

/// A deframer and the frames it is to find.
struct Line {
    deframer: Deframer,
    hci: Hci,
}

impl Line {
    fn new() -> Self {
        Self { deframer: Deframer::new(), hci: Hci::default() }
    }

    fn noise(&self) -> Noise {
        self.deframer.noise()
    }

    fn drain(&mut self, out: &mut Vec<Owned>) {
        while let Some((_, message)) = self.deframer.next(&mut self.hci) {
            out.push(message.into());
        }
        self.deframer.compact();
    }
}

fn push(line: &mut Line, now: Instant, bytes: &[u8]) -> Vec<Owned> {
    let (mut out, mut rest) = (give_up(line, now), bytes);
    while !rest.is_empty() {
        rest = line.deframer.fill(now, rest);
        line.drain(&mut out);
    }
    out
}

fn give_up(line: &mut Line, now: Instant) -> Vec<Owned> {
    let mut out = Vec::new();
    line.deframer.give_up::<Hci>(now);
    line.drain(&mut out);
    out
}

/// A frame as the dongle sends it, with CRC.
fn framed(endpoint: u8, id: u8, payload: &[u8], rssi: Option<u8>) -> Vec<u8> {
    let flags = WITH_CRC | if rssi.is_some() { WITH_RSSI } else { 0 };
    let mut bytes = vec![START, flags | endpoint, id, u8::try_from(payload.len()).unwrap()];
    bytes.extend_from_slice(payload);
    bytes.extend(rssi);
    let crc = X25.checksum(&bytes[1..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn requests_are_the_bytes_of_the_specification() {
    assert_eq!(request(0x01, &[]).as_slice(), hex("A5 81 01 00 24 89"));
    assert_eq!(request(0x0F, &[]).as_slice(), hex("A5 81 0F 00 34 13"));
    assert_eq!(request(0x05, &[]).as_slice(), hex("A5 81 05 00 44 EE"));
    assert_eq!(
        request(0x03, &hex("00 02 0A 30 01 00")).as_slice(),
        hex("A5 81 03 06 00 02 0A 30 01 00 80 BF")
    );
    assert_eq!(
        request(0x03, &hex("00 03 00 03 08 00")).as_slice(),
        hex("A5 81 03 06 00 03 00 03 08 00 B8 D6")
    );
}

#[test]
fn a_telegram_is_read_with_and_without_crc_timestamp_and_rssi() {
    let cases = [
        ("A5 C2 03 2A", "5E 9F 89", false, Some(0x5E)),
        ("A5 E2 03 2A", "33 22 11 00 5E D8 24", true, Some(0x5E)),
        ("A5 42 03 2A", "5E", false, Some(0x5E)),
        ("A5 62 03 2A", "33 22 11 00 5E", true, Some(0x5E)),
        ("A5 22 03 2A", "33 22 11 00", true, None),
        ("A5 02 03 2A", "", false, None),
    ];
    for (head, tail, timestamped, rssi) in cases {
        let expected = Owned { endpoint: RADIO, id: 3, payload: hex(TELEGRAM), timestamped, rssi };
        let heard = push(&mut Line::new(), Instant::now(), &hex(&format!("{head} {TELEGRAM} {tail}")));
        assert_eq!(heard, [expected], "{head}");
    }
}

#[test]
fn a_captured_ping_reply_is_read() {
    let expected = Owned { endpoint: DEVICE, id: 2, payload: vec![], timestamped: false, rssi: None };
    assert_eq!(push(&mut Line::new(), Instant::now(), &hex("A5 81 02 00 4C A3")), [expected]);
}

#[test]
fn rssi_is_rounded_to_whole_dbm() {
    // -76.54, -126.67, +9.33
    assert_eq!((rssi_dbm(0x5E), rssi_dbm(0), rssi_dbm(255)), (-77, -127, 9));
}

#[test]
fn a_dongle_that_sends_crcs_is_not_believed_without() {
    let (mut line, now) = (Line::new(), Instant::now());
    assert_eq!(push(&mut line, now, &hex("A5 01 02 00")).len(), 1, "it may be one that never does");
    assert_eq!(push(&mut line, now, &hex("A5 81 02 00 4C A3")).len(), 1);
    assert_eq!(push(&mut line, now, &hex("A5 01 02 00")).len(), 0);
    assert_eq!(line.noise(), Noise { garbage_bytes: 4, ..Noise::default() });
}

#[test]
fn a_bad_checksum_costs_that_frame_only() {
    let (mut line, ping) = (Line::new(), hex("A5 81 02 00 4C A3"));
    let bytes = [hex("A5 81 02 00 4C A2"), ping].concat();
    assert_eq!(push(&mut line, Instant::now(), &bytes).len(), 1);
    assert_eq!(line.noise(), Noise { garbage_bytes: 6, bad_checksums: 1, partial_frames: 0, truncated: 0 });
}

#[test]
fn a_frame_that_stays_unfinished_is_given_up_and_frees_those_behind_its_beginning() {
    let (mut line, start) = (Line::new(), Instant::now());
    // Noise that announces 255 bytes, then two whole frames.
    let bytes = [hex("A5 C2 03 FF"), hex("A5 81 02 00 4C A3").repeat(2)].concat();
    assert_eq!(push(&mut line, start, &bytes), []);
    let due = line.deframer.gives_up_at::<Hci>().unwrap();
    assert_eq!(due, start + LONGEST_PAUSE);
    assert_eq!(give_up(&mut line, due - Duration::from_millis(1)), []);
    assert_eq!(give_up(&mut line, due).len(), 2);
    assert_eq!(line.noise(), Noise { garbage_bytes: 4, bad_checksums: 0, partial_frames: 1, truncated: 0 });
    assert_eq!(line.deframer.gives_up_at::<Hci>(), None);
}

#[test]
fn a_pause_inside_a_frame_ends_it_even_if_nobody_ticks() {
    let (mut line, start) = (Line::new(), Instant::now());
    assert_eq!(push(&mut line, start, &hex("A5 81 02")), []);
    assert_eq!(push(&mut line, start + LONGEST_PAUSE, &hex("00 4C A3")), []);
    assert_eq!(push(&mut line, start + LONGEST_PAUSE, &hex("A5 81 02 00 4C A3")).len(), 1);
}

#[test]
fn length_bytes_0_and_255_are_ordinary() {
    let now = Instant::now();
    for length in [0, 255] {
        let frame = framed(RADIO, 3, &vec![0x44; length], Some(1));
        assert_eq!(push(&mut Line::new(), now, &frame)[0].payload.len(), length);
    }
}

prop_compose! {
    fn message()(device in any::<bool>(), id in 2u8..=5, payload in vec(any::<u8>(), 0..=255), rssi in any::<Option<u8>>()) -> Owned {
        Owned { endpoint: if device { DEVICE } else { RADIO }, id, payload, timestamped: false, rssi }
    }
}

/// Noise that likes to look like the beginning of a frame.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(START), Just(0xC2), Just(0x81), Just(0x03), Just(0xFF)];
    vec(byte, 0..60)
}

proptest! {
    #[test]
    fn garbage_costs_no_frame_however_the_stream_is_split(
        parts in vec((noise(), message()), 1..8),
        splits in vec(1usize..80, 1..20),
    ) {
        let (mut line, now) = (Line::new(), Instant::now());
        let mut heard = push(&mut line, now, &framed(DEVICE, 2, &[], None));
        let (mut bytes, mut expected) = (Vec::new(), heard.clone());
        for (garbage, message) in parts {
            bytes.extend(garbage);
            bytes.extend(framed(message.endpoint, message.id, &message.payload, message.rssi));
            expected.push(message);
        }
        let mut rest = bytes.as_slice();
        for split in splits.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*split));
            heard.extend(push(&mut line, now, piece));
            rest = after;
            if rest.is_empty() { break }
        }
        heard.extend(give_up(&mut line, now + LONGEST_PAUSE));
        // The CRC of a false frame is right once in 65536 times; then, and only then, one real frame may be lost.
        heard.retain(|message| expected.contains(message));
        prop_assert!(heard.len() + 1 >= expected.len());
        prop_assert_eq!(line.deframer.waiting(), 0);
    }

    #[test]
    fn any_bytes_leave_less_than_one_frame_behind(bytes in vec(noise(), 0..40)) {
        let (mut line, now) = (Line::new(), Instant::now());
        for piece in bytes {
            push(&mut line, now, &piece);
            prop_assert!(line.deframer.waiting() < 4 + 255 + 4 + 1 + 2);
        }
    }
}
