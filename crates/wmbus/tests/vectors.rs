//! Telegrams made with this crate's encoder, and the worked examples of the standards, with what must come out:
//! `tests/vectors/*.toml`, one file per family, one for what goes wrong, one for the standards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first thing that is not as expected"
)]

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use wmbus::meter::{Amount, Measure, PROFILES, oms};
use wmbus::{Cipher, Frame, Learned, Policy, Reading, Sealed};

/// One file. Its telegrams come in order and teach each other their layouts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    hex: String,
    key: Option<String>,
    /// Open it as logs are opened, not as the air is.
    #[serde(default)]
    from_a_log: bool,
    /// Why it is refused; without this it gives a reading.
    refused: Option<String>,
    opened: Option<Opened>,
}

/// What is known of a telegram that is not refused.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    meter: String,
    format: String,
    scheme: String,
    verified: Vec<String>,
    counter: Option<u32>,
    #[serde(default)]
    relayed: bool,
    #[serde(default)]
    already_open: bool,
    /// Bytes of the body behind the enciphered part.
    #[serde(default)]
    unprotected: usize,
    layout: Option<String>,
    profile: String,
    reading: Vec<String>,
}

const FILES: usize = 9;
const VECTORS: usize = 78;

#[test]
fn every_vector_comes_out_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), FILES);
    let (mut count, mut profiles, mut faults) = (0, BTreeSet::new(), Vec::new());
    for path in paths {
        let file: File = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut learned = Learned::default();
        for vector in file.vector {
            count += 1;
            let got = vector.open(&mut learned);
            profiles.extend(got.as_ref().ok().map(|opened| opened.profile.clone()));
            let expected = match (vector.refused, vector.opened) {
                (Some(refused), None) => Err(refused),
                (None, Some(opened)) => Ok(opened),
                _ => panic!("{}: either refused or a reading", vector.name),
            };
            if got != expected {
                let file = path.display();
                faults.push(format!("{file}, {}:\n     got {got:?}\nexpected {expected:?}", vector.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert_eq!(count, VECTORS, "telegrams in the files");
    for profile in PROFILES.into_iter().chain([&oms::PROFILE]) {
        assert!(profiles.contains(profile.name), "no telegram for {}", profile.name);
    }
}

impl Vector {
    fn open(&self, learned: &mut Learned) -> Result<Opened, String> {
        let cipher = self.key.as_ref().map(|key| Cipher::new(key.parse().unwrap()));
        let policy = if self.from_a_log { Policy::AlsoOpened } else { Policy::Strict };
        let mut frame = Frame::detect(&unhex(&self.hex)).map_err(|error| error.to_string())?;
        let format = frame.format().to_string();
        let opened = Sealed::read(&mut frame).and_then(|sealed| sealed.open(cipher.as_ref(), policy));
        let telegram = opened.map_err(|refused| refused.to_string())?;
        learned.learn(telegram.meter().into(), telegram.application, telegram.body);
        let reading = telegram.reading(learned).map_err(|error| error.to_string())?;
        let security = telegram.security;
        Ok(Opened {
            meter: telegram.meter().to_string(),
            format,
            scheme: security.scheme.to_string(),
            verified: security.verified.words().map(str::to_owned).collect(),
            counter: security.counter,
            relayed: telegram.relayed(),
            already_open: security.already_open,
            unprotected: telegram.body.len() - telegram.protected,
            layout: reading.layout.map(|source| source.word().to_owned()),
            profile: reading.profile.name.to_owned(),
            reading: lines(&reading),
        })
    }
}

/// A reading, a line for each measure, one for the info codes, one for each duration, one for the status byte.
fn lines(reading: &Reading) -> Vec<String> {
    let mut lines: Vec<String> = reading.measures.iter().map(line).collect();
    if let Some(info) = reading.info {
        let codes: Vec<_> = info.codes().map(|code| code.to_string()).collect();
        lines.push(format!("info: {}", codes.join(" ")).trim_end().to_owned());
        let lasted = info.durations().filter(|(_, class)| class.number() > 0);
        lines.extend(lasted.map(|(code, class)| format!("{code} for {}", class.words())));
    }
    let words = reading.status.map(|status| status.words().collect::<Vec<_>>().join(" "));
    lines.extend(words.map(|words| format!("status: {words}").trim_end().to_owned()));
    lines
}

fn line(measure: &Measure) -> String {
    let Measure { what, statistic, period, tariff, subunit, amount, unit } = measure;
    let amount = match amount {
        Amount::Number(number) => number.to_string(),
        Amount::Date(date) => date.to_string(),
        Amount::DateTime(moment) => moment.to_string(),
        Amount::Opaque(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Amount::Absent => "absent".to_owned(),
    };
    let mut line = format!("{} {} {} {amount} {unit}", what.word(), statistic.word(), period.word());
    line.truncate(line.trim_end().len());
    if *tariff > 0 {
        line.push_str(&format!(", tariff {tariff}"));
    }
    if *subunit > 0 {
        line.push_str(&format!(", subunit {subunit}"));
    }
    line
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}
