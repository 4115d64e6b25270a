//! Telegrams of real meters, kept outside the repository because they are other people's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// A telegram and what must come out of it.
#[derive(Clone, Debug, Deserialize)]
pub struct RealTelegram {
    /// The file's line.
    #[serde(skip)]
    pub line: usize,
    telegram: String,
    key: Option<String>,
    manufacturer: String,
    id: String,
    version: String,
    #[serde(rename = "type")]
    device: String,
    /// Values by name, with the unit as suffix.
    #[serde(default)]
    pub expected: BTreeMap<String, serde_json::Value>,
}

impl RealTelegram {
    /// The sealed telegrams, in the order of each meter's counter; `None`, and a line that says why, where they are not.
    #[must_use]
    pub fn sealed() -> Option<Vec<Self>> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/telegrams");
        let folder = std::env::var_os("VESI_TELEGRAMS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
        let Ok(text) = std::fs::read_to_string(folder.join("kamstrup_sealed.jsonl")) else {
            crate::skip(&format!(
                "{} is not there; VESI_TELEGRAMS may name the folder of the real telegrams",
                folder.display()
            ));
            return None;
        };
        let read = |(at, line): (usize, &str)| Self { line: at + 1, ..serde_json::from_str(line).unwrap() };
        let mut telegrams: Vec<Self> = text.lines().enumerate().map(read).collect();
        telegrams.sort_by_key(|telegram| (telegram.meter(), telegram.counter()));
        Some(telegrams)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&self.telegram[at..at + 2], 16).unwrap();
        (0..self.telegram.len()).step_by(2).map(digit).collect()
    }

    /// Whose it is, as messages write it.
    #[must_use]
    pub fn meter(&self) -> String {
        format!("{}.{}.{}.{}", self.manufacturer, self.id, self.version, self.device).to_uppercase()
    }

    /// The row of a key table.
    #[must_use]
    pub fn key_row(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("{},{key}", self.meter()))
    }

    /// The session number of the extended link layer, else the access number.
    #[must_use]
    pub fn counter(&self) -> u32 {
        let bytes = self.bytes();
        match bytes[10] {
            0x8D => u32::from_le_bytes(bytes[13..17].try_into().unwrap()),
            _ => u32::from(bytes[11]),
        }
    }
}
