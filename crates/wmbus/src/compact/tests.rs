use super::*;
use crate::hex::unhex;
use crate::record::{Item, Records, Value};
use crate::transport::Application;
use std::string::ToString;
use std::vec::Vec;

fn meter() -> Meter {
    "KAM.76348799.1B.16".parse().unwrap()
}

/// EN 13757-3, G.5: three records as full frame and as compact frame.
const FULL: &str = "0202D204 02152E16 022A3423";
const COMPACT: &str = "313B 42A6 D2042E163423";

#[test]
fn every_built_in_row_has_the_signature_of_its_heads_and_can_be_used() {
    for row in &BUILT_IN {
        assert_eq!(Signature::of(row.heads), row.signature, "{}", row.seen_on);
        assert!(usable(row.heads), "{}", row.signature);
    }
    assert!(BUILT_IN.is_sorted_by(|one, other| one.signature < other.signature), "searched by halving");
}

#[test]
fn a_layout_is_used_after_two_full_frames_that_agree() {
    let (full, compact) = (unhex(FULL), unhex(COMPACT));
    let mut learned = Learned::default();
    let compact = Compact::read(&compact).unwrap();
    assert_eq!(compact.signature.to_string(), "313B");
    let unknown = CompactError::UnknownSignature(compact.signature);
    assert_eq!(learned.learn(meter().into(), Application::Records, &full), Outcome::SeenOnce);
    assert_eq!(compact.items(&learned, meter()).unwrap_err(), unknown);
    assert_eq!(learned.learn(meter().into(), Application::Records, &full), Outcome::Learned);
    let (items, source) = compact.items(&learned, meter()).unwrap();
    assert_eq!(source, Source::Learned);
    let rebuilt: Vec<_> = Records::from(items).map(|record| record.unwrap().value).collect();
    let sent: Vec<_> = Records::full(&full).map(|record| record.unwrap().value).collect();
    assert_eq!(rebuilt, sent);
    let other = "KAM.76348799.1C.16".parse().unwrap();
    assert_eq!(compact.items(&learned, other).unwrap_err(), unknown, "another kind of meter");
}

#[test]
fn layouts_survive_a_restart_and_nothing_else_does() {
    let mut learned = Learned::default();
    learned.learn(meter().into(), Application::Records, &unhex(FULL));
    assert_eq!(learned.stored().count(), 0, "seen once is not learned");
    learned.learn(meter().into(), Application::Records, &unhex(FULL));
    let mut restored = Learned::default();
    for stored in learned.stored() {
        assert!(restored.restore(stored));
        assert!(!restored.restore(stored), "known already");
    }
    assert!(Compact::read(&unhex(COMPACT)).unwrap().items(&restored, meter()).is_ok());
    assert!(
        !restored.restore(StoredLayout { kind: meter().into(), heads: &[0x0D, 0x13] }),
        "variable length"
    );
}

#[test]
fn wrong_length_and_wrong_crc_are_refused() {
    let mut learned = Learned::default();
    for _ in 0..2 {
        learned.learn(meter().into(), Application::Records, &unhex(FULL));
    }
    let check = |hex: &str| Compact::read(&unhex(hex)).unwrap().items(&learned, meter()).map(drop);
    assert_eq!(check("313B 42A6 D2042E1634"), Err(CompactError::Length));
    assert_eq!(check("313B 42A6 D2042E16342300"), Err(CompactError::Length));
    assert_eq!(check("313B 42A6 D2042E163424"), Err(CompactError::FullCrc(Signature(0x3B31))));
    assert_eq!(Compact::read(&[1, 2, 3]), Err(CompactError::Truncated));
}

#[test]
fn the_table_opens_a_multical_21_that_was_never_heard_in_full() {
    let body = unhex("EDA8 6AB6 7100 08190000 08190000 7F 13");
    let learned = Learned::default();
    let (items, source) = Compact::read(&body).unwrap().items(&learned, meter()).unwrap();
    assert_eq!(source, Source::BuiltIn);
    let volume = items.filter_map(Result::ok).nth(1).unwrap();
    assert!(
        matches!(volume, Item::Record(record) if record.value == Value::Number(crate::Decimal::new(6408, -3)))
    );
}

/// Volume with three extensions that were picked for their signature.
fn heads_with(signature: Signature) -> [u8; 5] {
    let all =
        (0..1u32 << 21).map(|n| [n & 0x7F, n >> 7 & 0x7F, n >> 14].map(|byte| u8::try_from(byte).unwrap()));
    let mut heads = all.map(|[x, y, z]| [0x04, 0x93, 0x80 | x, 0x80 | y, z]);
    heads.find(|heads| Signature::of(heads) == signature).unwrap()
}

#[test]
fn a_forged_layout_does_not_take_the_place_of_one_in_the_table() {
    let mut learned = Learned::default();
    for (row, outcome) in [(0xEDA8u16, Outcome::NotLearned), (0x6821, Outcome::Learned)] {
        let signature = Signature(row.swap_bytes());
        let full = [heads_with(signature).as_slice(), &[1, 2, 3, 4]].concat();
        learned.learn(meter().into(), Application::Records, &full);
        assert_eq!(learned.learn(meter().into(), Application::Records, &full), outcome, "{signature}");
        let stored = StoredLayout { kind: meter().into(), heads: &full[..5] };
        assert_eq!(Learned::default().restore(stored), outcome == Outcome::Learned);
    }
    let body = unhex("EDA8 6AB6 7100 08190000 08190000 7F 13");
    assert_eq!(Compact::read(&body).unwrap().items(&learned, meter()).unwrap().1, Source::BuiltIn);
}

#[test]
fn a_record_of_a_compact_frame_says_where_its_data_stands_in_the_body() {
    let body = unhex("EDA8 6AB6 7100 08190000 08190000 7F 13");
    let learned = Learned::default();
    let (items, _) = Compact::read(&body).unwrap().items(&learned, meter()).unwrap();
    for record in Records::from(items).map(Result::unwrap) {
        let at = usize::from(record.at);
        assert_eq!(body.get(at..at + record.data.len()), Some(record.data));
    }
}

#[test]
fn a_format_frame_teaches_too_and_a_wrong_one_does_not() {
    let mut learned = Learned::default();
    let good = unhex("08 313B 02020215022A");
    assert_eq!(learned.learn(meter().into(), Application::FormatFrame, &good), Outcome::SeenOnce);
    let bad = unhex("08 313C 02020215022A");
    assert_eq!(learned.learn(meter().into(), Application::FormatFrame, &bad), Outcome::NotLearned);
    let manufacturer = unhex("0202D204 0F0102");
    assert_eq!(learned.learn(meter().into(), Application::Records, &manufacturer), Outcome::NotLearned);
}

#[test]
fn memory_is_bounded_and_unconfirmed_layouts_give_way() {
    let mut learned = Learned::default();
    let frame = |n: u8| [0x04, 0x80 | (n & 0x0F), n >> 4, 1, 2, 3, 4];
    for n in 0..=255 {
        learned.learn(meter().into(), Application::Records, &frame(n));
    }
    assert!(matches!(learned.learn(meter().into(), Application::Records, &frame(255)), Outcome::Learned));
}

#[test]
fn a_log_reader_learns_from_one_frame() {
    let mut learned = Learned::trusting();
    assert_eq!(learned.learn(meter().into(), Application::Records, &unhex(FULL)), Outcome::Learned);
    assert!(Compact::read(&unhex(COMPACT)).unwrap().items(&learned, meter()).is_ok());
}
