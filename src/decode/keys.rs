//! Keys for `decode`: one for everything, or a list by meter number.

use std::collections::HashMap;
use std::io::Read;

use wmbus::{Key, Meter, Serial};

/// Keys by meter number.
#[derive(Debug, Default)]
pub struct KeyList {
    any: Option<Key>,
    by_serial: HashMap<Serial, Key>,
}

impl KeyList {
    /// One key for every meter.
    #[must_use]
    pub fn one(key: Key) -> Self {
        Self { any: Some(key), by_serial: HashMap::new() }
    }

    /// Reads a CSV file with the columns `id` and `key`.
    ///
    /// # Errors
    /// If a line cannot be read; the error names the line and never repeats a key.
    pub fn read(file: impl Read) -> Result<Self, KeyListError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(file);
        let headers = reader.headers().map_err(|_| KeyListError::Unreadable)?.clone();
        let column =
            |name: &str| headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name);
        let (Some(id), Some(key)) = (column("id"), column("key")) else { return Err(KeyListError::Columns) };
        let mut by_serial = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(|_| KeyListError::Unreadable)?;
            let line = record.position().map_or(0, csv::Position::line);
            let id = record.get(id).unwrap_or_default();
            let serial = id.parse().map_err(|error| KeyListError::Line(line, format!("{error}")))?;
            let key = record.get(key).unwrap_or_default().parse();
            by_serial.insert(serial, key.map_err(|error| KeyListError::Line(line, format!("{error}")))?);
        }
        Ok(Self { any: None, by_serial })
    }

    /// The key of a meter.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<&Key> {
        self.by_serial.get(&meter.serial).or(self.any.as_ref())
    }
}

/// Why a list of keys cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyListError {
    /// The first line does not name the two columns.
    #[error("the first line must name the columns id and key")]
    Columns,
    /// A line that is no meter number and key.
    #[error("line {0}: {1}")]
    Line(u64, String),
    /// Not CSV, or not text.
    #[error("not a CSV file")]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_keys_by_meter_number() {
        let csv = "\u{feff}id, key\r\n76348799, 28F64A24988064A079AA2C807D6102AE\r\n";
        let keys = KeyList::read(csv.as_bytes()).unwrap();
        assert!(keys.get("KAM.76348799.1B.16".parse().unwrap()).is_some());
        assert!(keys.get("KAM.76348798.1B.16".parse().unwrap()).is_none());
    }

    #[test]
    fn errors_name_the_line_and_never_the_key() {
        let csv = "id,key\n76348799,28F64A24988064A079AA2C807D6102AX\n";
        let error = KeyList::read(csv.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 2: a key is 32 hexadecimal digits, character 32 is none");
        assert_eq!(KeyList::read("a,b\n".as_bytes()).unwrap_err(), KeyListError::Columns);
    }
}
