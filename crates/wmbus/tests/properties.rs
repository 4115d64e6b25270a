//! What holds for every telegram, whatever it says: round trips, damage, fragments, memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first thing that is not as expected"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use wmbus::afl::{Afl, MAX_MESSAGE, Mac, Reassembler};
use wmbus::compact::{BUILT_IN, Signature};
use wmbus::encode::{Protection, Shape, format_a, format_b, telegram};
use wmbus::frame::Format;
use wmbus::link::{Communication, Session};
use wmbus::record::Records;
use wmbus::security::{Scheme, Security};
use wmbus::telegram::{Link, open_message};
use wmbus::transport::{Application, Status, Transport};
use wmbus::{Cipher, Frame, Key, Learned, Meter, Policy, Refused, Sealed, Telegram};

/// Head and data of one record.
type Parts = (Vec<u8>, Vec<u8>);

/// Any record whose head says its length.
fn record() -> impl Strategy<Value = Parts> {
    let length = |dif: u8| match dif & 0x0F {
        length @ 1..=4 => usize::from(length),
        5 | 0xC => 4,
        7 => 8,
        9 => 1,
        0xA => 2,
        0xB => 3,
        _ => 6,
    };
    let field = prop::sample::select(&[1u8, 2, 3, 4, 5, 6, 7, 9, 0xA, 0xB, 0xC, 0xE][..]);
    let vif = prop_oneof![0u8..0x7C, Just(0x7E)];
    (field, 0u8..8, vec(any::<u8>(), 0..3), vif, vec(any::<u8>(), 0..3), any::<[u8; 8]>()).prop_map(
        move |(field, high, difes, vif, vifes, data)| {
            let mut head = vec![field | high << 4 | extends(&difes)];
            extend(&mut head, &difes);
            head.push(vif | extends(&vifes));
            extend(&mut head, &vifes);
            (head, data[..length(field)].to_vec())
        },
    )
}

fn extends(more: &[u8]) -> u8 {
    if more.is_empty() { 0 } else { 0x80 }
}

/// Extension bytes: all but the last say that another follows.
fn extend(head: &mut Vec<u8>, bytes: &[u8]) {
    for (at, byte) in bytes.iter().enumerate() {
        head.push(byte & 0x7F | if at + 1 < bytes.len() { 0x80 } else { 0 });
    }
}

fn records() -> impl Strategy<Value = Vec<Parts>> {
    vec(record(), 1..8)
}

fn body(records: &[Parts]) -> Vec<u8> {
    records.iter().flat_map(|(head, data)| [head.clone(), data.clone()]).flatten().collect()
}

fn meter() -> impl Strategy<Value = Meter> {
    any::<[u8; 8]>().prop_map(Meter::from_link)
}

/// A protection before it has its key.
#[derive(Clone, Copy, Debug)]
struct Plan {
    scheme: Scheme,
    extended: bool,
    communication: u8,
    access: u8,
    status: u8,
    counter: u32,
}

impl Plan {
    fn protection(self, cipher: &Cipher) -> Protection<'_> {
        let Self { access, counter, .. } = self;
        let (status, session) = (Status(self.status), Session(counter));
        let communication = Communication(self.communication);
        match (self.scheme, self.extended) {
            (Scheme::None, true) => Protection::EllClear { communication, access, session },
            (Scheme::None, false) => Protection::Mode0 { access, status },
            (Scheme::EllCtr, _) => Protection::EllCtr { cipher, communication, access, session },
            (Scheme::Mode5, _) => Protection::Mode5 { cipher, access, status },
            (Scheme::Mode7, _) => Protection::Mode7 { cipher, access, status, counter },
            (Scheme::Mode10, _) => Protection::Mode10 { cipher, access, status, counter },
        }
    }
}

fn plan(schemes: &'static [Scheme]) -> impl Strategy<Value = Plan> {
    let scheme = prop::sample::select(schemes);
    (scheme, any::<bool>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u32>()).prop_map(
        |(scheme, extended, communication, access, status, counter)| Plan {
            scheme,
            extended,
            communication,
            access,
            status,
            counter,
        },
    )
}

const ALL: &[Scheme] = &[Scheme::None, Scheme::EllCtr, Scheme::Mode5, Scheme::Mode7, Scheme::Mode10];

fn cipher() -> Cipher {
    Cipher::new(Key::new([0xA5; 16]))
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![Just(Shape::Full), Just(Shape::Compact)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(
        meter in meter(), plan in plan(ALL), shape in shape(), records in records(),
    ) {
        let cipher = cipher();
        let body = body(&records);
        let sent = telegram(meter, plan.protection(&cipher), shape, &body).unwrap();
        // Heads with the signature of a built-in row are not learned.
        let signature = Signature::of(&records.iter().flat_map(|(head, _)| head.clone()).collect::<Vec<_>>());
        prop_assume!(!BUILT_IN.iter().any(|row| row.signature == signature));
        let mut learned = Learned::default();
        for _ in 0..2 {
            learned.learn(meter.into(), Application::Records, &body);
        }
        let key = (plan.scheme != Scheme::None).then_some(&cipher);
        let heard = [
            Frame::bare(sent.bytes()).unwrap(),
            Frame::format_a(&format_a(&sent).unwrap()).unwrap(),
            Frame::format_b(&format_b(&sent).unwrap()).unwrap(),
        ];
        for (mut frame, format) in heard.into_iter().zip([Format::Bare, Format::A, Format::B]) {
            prop_assert_eq!((frame.format(), frame.trailing(), frame.bytes()), (format, 0, sent.bytes()));
            let telegram = Sealed::read(&mut frame).unwrap().open(key, Policy::Strict).unwrap();
            prop_assert_eq!((telegram.meter(), telegram.security.scheme), (meter, plan.scheme));
            let counter = match plan.scheme {
                Scheme::Mode7 | Scheme::Mode10 => Some(plan.counter),
                Scheme::EllCtr => Some(plan.counter & 0x1FFF_FFFF),
                Scheme::None if plan.extended => Some(plan.counter & 0x1FFF_FFFF),
                Scheme::None | Scheme::Mode5 => None,
            };
            prop_assert_eq!(telegram.security.counter, counter);
            let (items, _) = telegram.items(&learned).unwrap();
            let read: Vec<Parts> = Records::from(items)
                .map(|record| record.map(|r| (r.header.bytes.to_vec(), r.data.to_vec())).unwrap())
                .collect();
            prop_assert_eq!(&read, &records);
        }
    }

    /// A CRC finds every single flipped bit of its block. Format B hides its L-field in the first block and lets it say
    /// where that block ends: a smaller L may, once in 65 536, cut the frame, and then says that bytes were left over.
    #[test]
    fn one_flipped_bit_on_the_air_is_an_error(
        meter in meter(), plan in plan(ALL), records in records(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let cipher = cipher();
        let sent = telegram(meter, plan.protection(&cipher), Shape::Full, &body(&records)).unwrap();
        let mut air = format_a(&sent).unwrap();
        *at.get_mut(&mut air) ^= 1 << bit;
        prop_assert!(Frame::format_a(&air).is_err());
        let mut air = format_b(&sent).unwrap();
        let place = at.index(air.len());
        air[place] ^= 1 << bit;
        match Frame::format_b(&air) {
            Err(_) => {}
            Ok(frame) => prop_assert!(place == 0 && frame.trailing() > 0),
        }
    }

    /// Without CRCs of the link layer, the protection itself is all there is. What each scheme promises for one flipped
    /// bit, when the telegram opens all the same:
    #[test]
    fn one_flipped_bit_in_a_bare_frame_is_an_error_or_shows(
        meter in meter(), plan in plan(&ALL[1..]), records in records(), at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let cipher = cipher();
        let sent = telegram(meter, plan.protection(&cipher), Shape::Full, &body(&records)).unwrap();
        let genuine = Opened::strictly(sent.bytes(), &cipher).unwrap();
        let mut bytes = sent.bytes().to_vec();
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let Some(got) = Opened::strictly(&bytes, &cipher) else { return Ok(()) };
        prop_assert_eq!(got.security.scheme, genuine.security.scheme, "no other scheme passes");
        match plan.scheme {
            // C, access number and the bits of repeaters are outside. Address, CC and session go into the key stream: with
            // another, the payload CRC fits once in 65 536, and the telegram is that of another meter or counter.
            Scheme::EllCtr => {
                let shows = got.key_stream() != genuine.key_stream();
                prop_assert!(shows || got.same_content(&genuine), "byte {place}");
                prop_assert!(place < 17, "a bit of what is enciphered");
            }
            // Enciphered, not authentic: anything may pass whose first two bytes stay. It is never called authentic.
            Scheme::Mode5 => prop_assert!(!got.security.scheme.is_authentic() && !got.security.verified.mac),
            // C, the control word of the AFL, and of the address all but the number, which is in the derived key: the
            // telegram is that of another meter, whose key would have been asked for.
            Scheme::Mode7 => {
                prop_assert!(got.same_content(&genuine) && got.transport == genuine.transport);
                prop_assert!([1, 2, 3, 8, 9, 12, 13].contains(&place), "byte {place}");
            }
            // C alone: the address is in the nonce.
            Scheme::Mode10 => {
                prop_assert!(got.same_content(&genuine) && got.transport == genuine.transport);
                prop_assert_eq!((place, got.link.meter), (1, genuine.link.meter));
            }
            Scheme::None => unreachable!(),
        }
    }

    #[test]
    fn a_message_in_fragments_is_the_message(
        meter in meter(), counter in any::<u32>(), records in records(), cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let cipher = cipher();
        let protection = Protection::Mode7 { cipher: &cipher, access: 1, status: Status(0), counter };
        let whole = telegram(meter, protection, Shape::Full, &body(&records)).unwrap();
        let (head, message) = whole.bytes().split_at(MODE7_MESSAGE_AT);
        let (link, afl) = head.split_at(10);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
        cuts.extend([0, message.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &message[pair[0]..pair[1]]).collect();
        let mut reassembler = Reassembler::default();
        let mut assembled = None;
        for (at, piece) in pieces.iter().enumerate() {
            let mut frame = fragment(link, afl, at, at + 1 == pieces.len(), piece);
            let sealed = Sealed::read(&mut frame).unwrap();
            let (fields, bytes) = sealed.fragment().unwrap();
            prop_assert_eq!(bytes, *piece);
            assembled = reassembler.add(sealed.link().meter, &fields, bytes, 0).map(|m| (sealed.link(), m));
            prop_assert_eq!(assembled.is_some(), at + 1 == pieces.len());
            prop_assert_eq!(sealed.open(Some(&cipher), Policy::Strict).unwrap_err(), Refused::Fragment);
        }
        let (link, mut message) = assembled.unwrap();
        let got = open_message(link, &mut message, Some(&cipher), Policy::Strict).unwrap();
        let genuine = Opened::strictly(whole.bytes(), &cipher).unwrap();
        prop_assert_eq!((got.body, got.security), (genuine.body.as_slice(), genuine.security));
    }

    #[test]
    fn no_sequence_of_fragments_breaks_or_fills_the_reassembler(
        pieces in vec((0u8..8, 0u8..20, any::<bool>(), 0usize..256, 0u64..90, any::<Option<u16>>()), 0..400),
    ) {
        let mut reassembler = Reassembler::default();
        let mut now = 0;
        for (who, number, more, length, later, message_length) in pieces {
            now += later / 8;
            let meter = Meter::from_link([0x2D, 0x2C, who, 0, 0, 0, 1, 7]);
            let fragment_control = u16::from(number) | u16::from(more) << 14;
            let afl = Afl {
                fragment_control,
                message_control: None,
                key_information: None,
                counter: None,
                mac: Mac::default(),
                message_length,
            };
            if let Some(message) = reassembler.add(meter, &afl, &[0x2F; 256][..length], now) {
                prop_assert!(message.bytes.len() <= MAX_MESSAGE);
                prop_assert!(message.afl.message_length.is_none_or(|l| usize::from(l) == message.bytes.len()));
            }
        }
        prop_assert!(size_of::<Reassembler>() < 5 * MAX_MESSAGE, "all its memory is its own");
    }

    #[test]
    fn learned_layouts_survive_a_restart(frames in vec((meter(), records()), 0..90)) {
        let mut learned = Learned::default();
        for (meter, records) in &frames {
            for _ in 0..2 {
                learned.learn((*meter).into(), Application::Records, &body(records));
            }
        }
        let mut restored = Learned::default();
        for layout in learned.stored() {
            prop_assert!(restored.restore(layout));
        }
        prop_assert!(restored.stored().eq(learned.stored()));
        prop_assert!(learned.stored().count() <= 64);
    }
}

/// Where the transport layer starts in a frame of the encoder's mode 7.
const MODE7_MESSAGE_AT: usize = 27;

/// One fragment of a message: the first has the fields of the whole, all have their number.
fn fragment(link: &[u8], afl: &[u8], at: usize, last: bool, piece: &[u8]) -> Frame {
    let number = u16::try_from(at + 1).unwrap() | if last { 0 } else { 1 << 14 };
    let fields = if at == 0 { &afl[4..] } else { &[] };
    let control = number | if at == 0 { u16::from_le_bytes([afl[2], afl[3]]) } else { 0 };
    let mut bytes = link.to_vec();
    bytes.extend([0x90, u8::try_from(2 + fields.len()).unwrap()]);
    bytes.extend(control.to_le_bytes());
    bytes.extend(fields);
    bytes.extend(piece);
    bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
    Frame::bare(&bytes).unwrap()
}

/// What a telegram says, without its frame.
struct Opened {
    link: Link,
    communication: Option<u8>,
    session: Option<Session>,
    transport: Option<Transport>,
    security: Security,
    application: Application,
    body: Vec<u8>,
    protected: usize,
}

impl Opened {
    fn strictly(bytes: &[u8], cipher: &Cipher) -> Option<Self> {
        let mut frame = Frame::bare(bytes).ok()?;
        let telegram: Telegram<'_> =
            Sealed::read(&mut frame).ok()?.open(Some(cipher), Policy::Strict).ok()?;
        Some(Self {
            link: telegram.link,
            communication: telegram.extended.map(|extended| extended.communication.without_repeater()),
            session: telegram.extended.and_then(|extended| extended.session),
            transport: telegram.transport,
            security: telegram.security,
            application: telegram.application,
            body: telegram.body.to_vec(),
            protected: telegram.protected,
        })
    }

    /// What goes into the counter block of the extended link layer.
    fn key_stream(&self) -> (Meter, Option<u8>, Option<Session>) {
        (self.link.meter, self.communication, self.session)
    }

    fn same_content(&self, other: &Self) -> bool {
        (self.application, &self.body, self.protected, self.security)
            == (other.application, &other.body, other.protected, other.security)
    }
}
