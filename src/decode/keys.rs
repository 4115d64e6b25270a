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

    /// Reads a CSV file with the columns `id` and `key`, separated by commas or semicolons. Lines that are no meter
    /// number and key are left out and given back, so that one bad line does not hide the rest.
    ///
    /// # Errors
    /// If there is no such file in it at all. No error ever repeats a key.
    pub fn read(mut file: impl Read) -> Result<(Self, Vec<KeyListError>), KeyListError> {
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|_| KeyListError::Unreadable)?;
        let text = text.trim_start_matches('\u{feff}');
        let separator = if text.lines().next().is_some_and(|line| line.contains(';')) { b';' } else { b',' };
        let mut reader = csv::ReaderBuilder::new();
        let mut reader =
            reader.trim(csv::Trim::All).flexible(true).delimiter(separator).from_reader(text.as_bytes());
        let headers = reader.headers().map_err(|_| KeyListError::Unreadable)?.clone();
        let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
        let (Some(id), Some(key)) = (column("id"), column("key")) else { return Err(KeyListError::Columns) };
        let (mut keys, mut bad) = (Self::default(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(|_| KeyListError::Unreadable)?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |column: usize| record.get(column).unwrap_or_default();
            match (cell(id).parse(), cell(key).parse()) {
                (Ok(serial), Ok(key)) => drop(keys.by_serial.insert(serial, key)),
                (Err(error), _) => bad.push(KeyListError::Line(line, error.to_string())),
                (_, Err(error)) => bad.push(KeyListError::Line(line, error.to_string())),
            }
        }
        Ok((keys, bad))
    }

    /// The key for a telegram: that of the meter it tells of, else that of the radio adapter that sent it.
    #[must_use]
    pub fn get(&self, meter: Meter, sender: Meter) -> Option<&Key> {
        [meter, sender].iter().find_map(|meter| self.by_serial.get(&meter.serial)).or(self.any.as_ref())
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

    fn meter(serial: &str) -> Meter {
        format!("KAM.{serial}.1B.16").parse().unwrap()
    }

    #[test]
    fn a_list_gives_keys_by_meter_number() {
        for csv in [
            "\u{feff}id, key\r\n76348799, 28F64A24988064A079AA2C807D6102AE\r\n",
            "Key;Name;ID\n28F64A24988064A079AA2C807D6102AE;\"Aino; 2\";76348799\n",
        ] {
            let (keys, bad) = KeyList::read(csv.as_bytes()).unwrap();
            assert!(keys.get(meter("76348799"), meter("00000000")).is_some());
            assert!(keys.get(meter("00000000"), meter("76348799")).is_some(), "behind a radio adapter");
            assert!(keys.get(meter("76348798"), meter("00000000")).is_none());
            assert_eq!(bad, []);
        }
    }

    #[test]
    fn a_bad_line_is_named_without_its_key_and_hides_no_other() {
        let csv = "id,key\n76348799,28F64A24988064A079AA2C807D6102AX\n1234,00\n76348798,28F64A24988064A079AA2C807D6102AE\n";
        let (keys, bad) = KeyList::read(csv.as_bytes()).unwrap();
        let bad: Vec<_> = bad.iter().map(ToString::to_string).collect();
        assert_eq!(bad[0], "line 2: a key is 32 hexadecimal digits, character 32 is none");
        assert_eq!(bad[1], "line 3: a meter number has eight digits, such as 76348799");
        assert!(keys.get(meter("76348798"), meter("76348798")).is_some());
        assert_eq!(KeyList::read("a,b\n".as_bytes()).unwrap_err(), KeyListError::Columns);
    }
}
