//! The rows of the files, and where they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use wmbus::Key;
use wmbus::frame::Format;

use crate::differences::End;

/// One line of a file.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    #[serde(skip)]
    pub(crate) file: &'static str,
    #[serde(skip)]
    pub(crate) line: usize,
    pub(crate) manufacturer: String,
    pub(crate) version: String,
    pub(crate) id: String,
    pub(crate) dll_crc: String,
    pub(crate) sequence: Option<Sequence>,
    telegram: String,
    telegram_frame_a: Option<String>,
    telegram_frame_b: Option<String>,
    key: Option<String>,
    payload_state: Option<String>,
    expected: Option<BTreeMap<String, serde_json::Value>>,
    observed: Option<BTreeMap<String, serde_json::Value>>,
}

/// Telegrams of one meter, in order.
#[derive(Debug, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) group: String,
}

const FILES: [&str; 3] = ["kamstrup", "kamstrup_sealed", "water_other"];

/// All rows; `None`, and a line that says why, where the files are not.
pub(crate) fn load() -> Option<Vec<Row>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/telegrams");
    let folder = std::env::var_os("VESI_TELEGRAMS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: {} is not there; VESI_TELEGRAMS may name the folder", folder.display());
        return None;
    }
    let mut rows = Vec::new();
    for file in FILES {
        let text = std::fs::read_to_string(folder.join(file).with_extension("jsonl")).unwrap();
        for (at, line) in text.lines().enumerate() {
            let row: Row = serde_json::from_str(line).unwrap();
            rows.push(Row { file, line: at + 1, ..row });
        }
    }
    Some(rows)
}

/// `(file, lines)`.
pub(crate) type Rows = (&'static str, &'static [usize]);

/// `file:line` of each.
pub(crate) fn places((file, lines): &Rows) -> impl Iterator<Item = String> {
    lines.iter().map(move |line| format!("{file}:{line}"))
}

impl Row {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// No rows at all stand for every row.
    pub(crate) fn is_one_of(&self, rows: &[Rows]) -> bool {
        rows.is_empty() || rows.iter().any(|(file, lines)| *file == self.file && lines.contains(&self.line))
    }

    /// A key of another length belongs to a cipher that is not AES-128: none for us.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key.as_ref().and_then(|key| key.parse().ok())
    }

    /// The telegram bare, and in the formats of the air where the row has them.
    pub(crate) fn shapes(&self) -> Vec<(String, Option<Format>)> {
        let air = [(&self.telegram_frame_a, Format::A), (&self.telegram_frame_b, Format::B)];
        let air = air.into_iter().filter_map(|(hex, format)| Some((hex.clone()?, Some(format))));
        std::iter::once((self.telegram.clone(), None)).chain(air).collect()
    }

    /// The values stated, or, where there are none, those seen.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &serde_json::Value)> {
        let values = self.expected.as_ref().or(self.observed.as_ref());
        values.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// How the telegram ends by what the row itself says about it.
    pub(crate) fn stated_end(&self) -> Option<End> {
        match self.payload_state.as_deref() {
            _ if self.dll_crc == "bad_length" => Some(End::FrameTruncated),
            Some("encrypted, no key") => Some(End::NoKey),
            Some("encrypted, key WRONG") => Some(End::WrongKey),
            Some("mfct specific payload") => Some(End::MakersOwn),
            _ => None,
        }
    }

    pub(crate) fn must_not_open(&self) -> bool {
        self.stated_end().is_some()
    }
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
