//! Telegrams of real meters, kept outside the repository because they are other people's: each must give the values
//! that another program or the meter's display gave, unless a table says where and why we differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod differences;
mod names;
mod rows;
mod values;

use std::collections::BTreeSet;

use wmbus::frame::{Format, Frame, FrameError};
use wmbus::record::Item;
use wmbus::telegram::Check;
use wmbus::transport::Application;
use wmbus::{Cipher, Learned, Policy, Refused, Sealed, Telegram};

use differences::{DIFFERENCES, ENDS, End, Why};
use rows::Row;

/// What the whole run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Telegrams given to the codec; one row may hold several shapes of one telegram.
    telegrams: usize,
    /// Of these, opened and read.
    readings: usize,
    /// Values found equal.
    equal: usize,
    /// Values that differ on purpose.
    differing: usize,
    /// Values of telegrams that must not be read.
    unread: usize,
}

#[derive(Default)]
struct Run {
    tally: Tally,
    faults: Vec<String>,
    differences_used: BTreeSet<(usize, String)>,
    ends_used: BTreeSet<(usize, String)>,
}

#[test]
fn every_real_telegram_gives_its_values_or_a_stated_reason() {
    let Some(rows) = rows::load() else { return };
    let mut run = Run::default();
    let mut group = (String::new(), Learned::default());
    for row in &rows {
        // Telegrams of one sequence teach each other; all others start knowing nothing.
        let sequence = row.sequence.as_ref().map(|s| format!("{} {}", row.file, s.group)).unwrap_or_default();
        if sequence.is_empty() || sequence != group.0 {
            group = (sequence, Learned::default());
        }
        for (hex, format) in row.shapes() {
            run.telegram(row, &hex, format, &mut group.1);
        }
    }
    run.check_tables();
    assert!(run.faults.is_empty(), "{} faults:\n{}", run.faults.len(), run.faults.join("\n"));
    let expected = Tally { telegrams: 219, readings: 186, equal: 1904, differing: 311, unread: 292 };
    assert_eq!(run.tally, expected, "not as many rows and values as there are");
}

impl Run {
    fn fault(&mut self, row: &Row, text: &str) {
        self.faults.push(format!("{}:{} {}: {text}", row.file, row.line, row.id));
    }

    fn telegram(&mut self, row: &Row, hex: &str, format: Option<Format>, learned: &mut Learned) {
        self.tally.telegrams += 1;
        let stated = ENDS.iter().position(|(rows, ..)| row.is_one_of(rows));
        let cipher = row.key().map(Cipher::new);
        match read(row, hex, format, cipher.as_ref(), learned) {
            Ok((values, makers_own)) => {
                self.tally.readings += 1;
                if stated.is_some() || row.must_not_open() {
                    self.fault(row, "gives a reading and must not");
                }
                for (name, value) in row.values() {
                    self.value(row, name, value, &values, makers_own);
                }
            }
            Err(end) => {
                let expected = stated.map(|at| ENDS[at].1).or_else(|| row.stated_end());
                if let Some(at) = stated {
                    self.ends_used.insert((at, row.place()));
                }
                if expected != Some(end) {
                    self.fault(row, &format!("ends in {end:?}, expected {expected:?}"));
                }
                self.tally.unread += row.values().count();
            }
        }
    }

    fn value(
        &mut self,
        row: &Row,
        name: &str,
        expected: &serde_json::Value,
        got: &values::Values<'_>,
        makers_own: bool,
    ) {
        let stated = DIFFERENCES.iter().position(|d| d.names.contains(&name) && row.is_one_of(d.rows));
        let ours = names::find(row, name).map(|selector| got.select(&selector));
        let equal = ours.as_ref().map(|ours| ours.as_ref().is_some_and(|ours| ours.equals(name, expected)));
        match (stated, equal) {
            (None, Some(true)) => self.tally.equal += 1,
            (None, Some(false)) => {
                self.fault(row, &format!("{name} should be {expected}, is {ours:?}"));
            }
            (None, None) => self.fault(row, &format!("{name} ({expected}) has no mapping and no reason")),
            (Some(at), Some(true)) => {
                self.fault(
                    row,
                    &format!("{name} agrees, its reason is not needed: {:?}", DIFFERENCES[at].why),
                );
            }
            (Some(at), _) => {
                if DIFFERENCES[at].why == Why::MakersOwn && !makers_own {
                    self.fault(
                        row,
                        &format!("{name}: nothing in the telegram is named the manufacturer's own"),
                    );
                }
                self.differences_used.insert((at, row.place()));
                self.differences_used.insert((at, name.to_owned()));
                self.tally.differing += 1;
            }
        }
    }

    /// Every entry of the tables was needed, for each row and each name that it lists.
    fn check_tables(&mut self) {
        for (at, (rows, ..)) in ENDS.iter().enumerate() {
            for place in rows.iter().flat_map(rows::places) {
                if !self.ends_used.contains(&(at, place.clone())) {
                    self.faults.push(format!("the stated end of {place} is not needed"));
                }
            }
        }
        for (at, difference) in DIFFERENCES.iter().enumerate() {
            let places = difference.rows.iter().flat_map(rows::places);
            for used in places.chain(difference.names.iter().map(|name| (*name).to_owned())) {
                if !self.differences_used.contains(&(at, used.clone())) {
                    self.faults.push(format!("the difference {used} ({:?}) is not needed", difference.why));
                }
            }
        }
    }
}

/// Reads one telegram; the values live as long as the test.
fn read(
    row: &Row,
    hex: &str,
    format: Option<Format>,
    cipher: Option<&Cipher>,
    learned: &mut Learned,
) -> Result<(values::Values<'static>, bool), End> {
    let bytes = rows::unhex(hex);
    let frame = Frame::detect(&bytes).map_err(|error| match error {
        FrameError::Truncated { .. } => End::FrameTruncated,
        other => panic!("{}:{}: {other}", row.file, row.line),
    })?;
    let expected = format.unwrap_or(if row.dll_crc == "n/a" { Format::Wired } else { Format::Bare });
    assert_eq!(frame.format(), expected, "{}:{}", row.file, row.line);
    assert_eq!(frame.trailing() > 0, row.dll_crc == "bad_length", "{}:{}", row.file, row.line);
    // The records borrow from the frame; a test may leak it.
    let frame = Box::leak(Box::new(frame));
    let policy = if cipher.is_some() { Policy::Strict } else { Policy::AlsoOpened };
    let telegram =
        Sealed::read(frame).and_then(|sealed| sealed.open(cipher, policy)).map_err(
            |refused| match refused {
                Refused::NoKey => End::NoKey,
                Refused::WrongKey(Check::PayloadCrc) => End::WrongKey,
                Refused::Unsupported(what) => End::Unsupported(what),
                other => panic!("{}:{}: {other}", row.file, row.line),
            },
        )?;
    learned.learn(telegram.meter().into(), telegram.application, telegram.body);
    let telegram: &'static Telegram<'static> = Box::leak(Box::new(telegram));
    let learned: &'static Learned = Box::leak(Box::new(learned.clone()));
    let reading = telegram.reading(learned).map_err(End::of)?;
    assert_eq!(reading.left_out, 0, "{}:{}", row.file, row.line);
    let (items, _) = telegram.items(learned).map_err(End::of)?;
    let items: Vec<Item<'_>> = items.collect::<Result<_, _>>().expect("the reading has walked over them");
    let makers_own = items.iter().any(|item| match item {
        Item::Manufacturer { .. } => true,
        Item::Record(record) => record.manufacturer_extensions().is_some(),
        Item::Filler { .. } => false,
    }) || matches!(telegram.application, Application::Manufacturer(_));
    Ok((values::Values { telegram, reading, items }, makers_own))
}
