//! Record values against another implementation, the crate `m-bus-application-layer`: length, function, storage,
//! tariff, subunit, unit, power of ten and value of each record, compared exactly. Where the two differ on purpose, a
//! table says which records those are, what each of the two makes of them, and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "a test may stop at the first thing that is not as expected; the other crate's numbers are floats, and \
              they must be the very same"
)]

mod case;
mod differences;
mod payloads;
mod units;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use wmbus::record::{DataField, Item, Items, Value};

use case::Case;
use differences::DIFFERENCES;

/// What a run came to.
#[derive(Default)]
struct Tally {
    records: usize,
    /// Records that differ in nothing.
    equal: usize,
    /// Entries of the table and how often each was needed.
    used: BTreeMap<usize, usize>,
    faults: Vec<String>,
}

impl Tally {
    /// Compares every record of a plain full body.
    fn body(&mut self, name: &str, body: &[u8]) {
        for item in Items::full(body) {
            let Ok(Item::Record(record)) = item else { continue };
            if record.header.field == DataField::Variable && record.data == [0xE0] {
                // A binary number of no bytes makes the other crate overflow (in a debug build it panics).
                assert!(matches!(record.value, Value::Absent(_)), "{name}: {:?}", record.value);
                continue;
            }
            let case = Case::new(record, &body[usize::from(record.at)..]);
            self.records += 1;
            let differing = case.differing();
            self.equal += usize::from(differing.is_empty());
            for (aspect, text) in differing {
                match DIFFERENCES.iter().position(|d| d.aspects.contains(&aspect) && (d.holds)(&case)) {
                    Some(at) => *self.used.entry(at).or_default() += 1,
                    None => self.faults.push(format!("{name}: {:02X?}: {aspect:?}: {text}", case.bytes())),
                }
            }
        }
    }

    fn check(&self) {
        let shown = self.faults.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(self.faults.is_empty(), "{} faults:\n{shown}", self.faults.len());
    }
}

#[test]
fn the_records_of_every_vector_agree_or_differ_for_a_reason() {
    let mut tally = Tally::default();
    for (name, body) in payloads::of_vectors() {
        tally.body(&name, &body);
    }
    tally.check();
    println!("{} records, {} equal in all", tally.records, tally.equal);
    assert!(tally.records > 300 && tally.equal * 2 > tally.records, "{} of {}", tally.equal, tally.records);
}

#[test]
fn the_records_of_every_real_telegram_agree_or_differ_for_a_reason() {
    let Some(payloads) = payloads::of_real_telegrams() else { return };
    let mut tally = Tally::default();
    for (name, body) in payloads {
        tally.body(&name, &body);
    }
    tally.check();
    println!("{} records, {} equal in all", tally.records, tally.equal);
    assert!(tally.records > 1000 && tally.equal * 2 > tally.records, "{} of {}", tally.equal, tally.records);
}

#[test]
fn every_difference_in_the_table_is_there() {
    let mut tally = Tally::default();
    for difference in DIFFERENCES {
        let used = tally.used.clone();
        tally.body(difference.why, &payloads::unhex(difference.example));
        let at = DIFFERENCES.iter().position(|other| std::ptr::eq(other, difference)).unwrap();
        assert!(
            tally.used.get(&at) > used.get(&at),
            "{} does not show: {}",
            difference.example,
            difference.why
        );
    }
    tally.check();
}

/// The head of a record of any kind: DIF and DIFE, VIF and VIFE, the text of a plain-text unit.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let vib = prop_oneof![
        8 => (0u8..0x7C).prop_map(|vif| vec![vif]),
        3 => (0u8..0x80).prop_map(|code| vec![0xFD, code]),
        3 => (0u8..0x80).prop_map(|code| vec![0xFB, code]),
        1 => prop::sample::select(&[0x7Bu8, 0x7D, 0x7E, 0x7F][..]).prop_map(|vif| vec![vif]),
    ];
    let vifes = prop_oneof![
        6 => Just(vec![]),
        4 => vec(0u8..0x80, 1..4),
        2 => vec(prop::sample::select(&[0x3Cu8, 0x3B, 0x72, 0x75, 0x7D, 0x79, 0x22, 0x12][..]), 1..3),
    ];
    (any::<u8>(), vec(0u8..0x80, 0..4), vib, vifes).prop_map(|(dif, difes, mut vib, vifes)| {
        let mut head = vec![dif & 0x7F];
        head.extend(difes);
        let difs = head.len();
        extend(&mut head[..difs]);
        vib.extend(vifes);
        extend(&mut vib);
        head.extend(vib);
        head
    })
}

/// Sets the extension bit of all but the last.
fn extend(bytes: &mut [u8]) {
    if let Some((_, but_the_last)) = bytes.split_last_mut() {
        but_the_last.iter_mut().for_each(|byte| *byte |= 0x80);
    }
}

/// Data for a head; digits more often than not where digits are meant.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let lvar = prop_oneof![0u8..20, 0xC0u8..=0xC9, 0xD0u8..=0xD9, 0xE1u8..=0xEF, 0xF0u8..=0xF6];
    let text = vec(0x20u8..0x7F, 0..12);
    let bytes = prop_oneof![
        3 => vec(any::<u8>(), 70),
        2 => vec((0u8..10, 0u8..10).prop_map(|(high, low)| high << 4 | low), 70),
        1 => vec(prop::sample::select(&[0u8, 0xFF, 0x80, 0x7F][..]), 70),
    ];
    (head(), lvar, text, bytes, any::<bool>()).prop_map(|(mut head, lvar, text, data, minus)| {
        let vib = head.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        if head[vib] & 0x7F == 0x7C {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend(text);
        }
        let length = match head[0] & 0x0F {
            length @ 0..=4 => usize::from(length),
            5 | 0xC => 4,
            7 => 8,
            9 => 1,
            0xA => 2,
            0xB => 3,
            0xD => {
                head.push(lvar);
                match lvar {
                    0xF0.. => 64,
                    0xC0.. => usize::from(lvar & 0x0F),
                    text => usize::from(text),
                }
            }
            _ => 6,
        };
        head.extend(&data[..length]);
        if let (true, 9..=0xE, Some(last)) = (minus, head[0] & 0x0F, head.last_mut()) {
            *last |= 0xF0;
        }
        head
    })
}

/// A fault names the record's bytes, so nothing needs to be shrunk.
#[test]
fn records_of_any_kind_agree_or_differ_for_a_reason() {
    let strategy = (record(), vec(any::<u8>(), 0..8));
    let mut runner = TestRunner::default();
    let mut tally = Tally::default();
    for _ in 0..20_000 {
        let (record, more) = strategy.new_tree(&mut runner).unwrap().current();
        tally.body("made up", &[record, more].concat());
    }
    tally.check();
    assert!(tally.equal * 4 > tally.records, "{} of {}", tally.equal, tally.records);
}
