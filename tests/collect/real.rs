//! The real telegrams that Kamstrup meters sent, as recordings beside the repository have them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use wmbus::{Frame, Meter, Sealed};

/// One recorded telegram.
pub(crate) struct Recorded {
    pub(crate) meter: Meter,
    pub(crate) key: String,
    pub(crate) frame: Vec<u8>,
    /// Minutes of the meter's own counter, and the number within the minute.
    pub(crate) counter: u32,
    pub(crate) expected: Value,
}

/// All recorded telegrams, by meter and counter; `None` where there are none.
pub(crate) fn recorded() -> Option<BTreeMap<Meter, Vec<Recorded>>> {
    let folder = std::env::var_os("VESI_TELEGRAMS").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/telegrams");
    let text = std::fs::read_to_string(folder.unwrap_or(beside).join("kamstrup_sealed.jsonl")).ok()?;
    let mut meters: BTreeMap<Meter, Vec<Recorded>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let frame = unhex(line["telegram"].as_str().unwrap());
        let mut copy = Frame::bare(&frame).unwrap();
        let sealed = Sealed::read(&mut copy).unwrap();
        let meter = sealed.meter();
        let session = sealed.extended().and_then(|link| link.session);
        let key = line["key"].as_str().unwrap_or_default().to_owned();
        let counter = session.map_or(0, |session| session.counter());
        let expected = line["expected"].clone();
        meters.entry(meter).or_default().push(Recorded { meter, key, frame, counter, expected });
    }
    for telegrams in meters.values_mut() {
        telegrams.sort_by_key(|telegram| telegram.counter);
    }
    Some(meters)
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
