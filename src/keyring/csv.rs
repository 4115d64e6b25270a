//! Key files as tables: `id,key` in the forms that spreadsheets and meter makers' tools write.
//!
//! Comma, semicolon or tabulator; byte order mark, CRLF, double quotes and a header line as they come. Without a header
//! the first column is the meter and the second its key. A column `q4` gives the meter's overload flow. There is no
//! standard for these files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;
use wmbus::{AddressError, Key, Manufacturer};
use zeroize::Zeroizing;

use super::{Flow, KeyError, MAX_KEYS, MeterKey, Selector, parse_key};

/// A key table in memory, which is cleared when dropped.
pub struct KeyTable {
    text: Zeroizing<Vec<u8>>,
}

impl KeyTable {
    /// The largest table that is read: 16 MB.
    pub const MAX_BYTES: usize = 16_000_000;

    /// Reads a file.
    ///
    /// # Errors
    /// Those of the file system; `FileTooLarge` above [`KeyTable::MAX_BYTES`].
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // Reserved at once: a buffer that grew would leave copies of keys behind.
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut text = Zeroizing::new(Vec::with_capacity(size.min(Self::MAX_BYTES).saturating_add(1)));
        let limit = u64::try_from(Self::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut text)?;
        if text.len() > Self::MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Self { text })
    }

    /// Takes the bytes of a file that was read elsewhere.
    #[must_use]
    pub const fn from_bytes(text: Zeroizing<Vec<u8>>) -> Self {
        Self { text }
    }

    /// Every row in order: its meter and key, or what is wrong with it. One bad row does not spoil the others.
    pub fn rows(&self) -> impl Iterator<Item = Result<(Selector, Key), CsvProblem>> {
        self.entries().map(|entry| entry.map(|(_, entry)| (entry.meter, entry.key)))
    }

    /// The same with all that a row gives, and its line from 1.
    pub fn entries(&self) -> impl Iterator<Item = Result<(usize, MeterKey), CsvProblem>> {
        let text = self.text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.text);
        let mut lines = text
            .split(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| (index.saturating_add(1), line.trim_ascii()))
            .filter(|(_, line)| !line.is_empty())
            .peekable();
        let first = lines.peek().map_or(&[][..], |(_, line)| *line);
        let delimiter = b";\t".iter().find(|mark| first.contains(mark)).copied().unwrap_or(b',');
        let (columns, is_header) = Columns::of(first, delimiter);
        lines.skip(usize::from(is_header)).map(move |(line, text)| match columns.read(text, delimiter) {
            Ok(entry) => Ok((line, entry)),
            Err(fault) => Err(CsvProblem { line, fault }),
        })
    }

    /// No more rows than this; of more than a keyring takes, one more than that.
    #[must_use]
    pub fn most_rows(&self) -> usize {
        let ends = self.text.iter().filter(|byte| **byte == b'\n').take(MAX_KEYS);
        ends.count().saturating_add(1)
    }

    /// Whether it is text whose first line has columns.
    pub(super) fn looks_like_one(&self) -> bool {
        let control = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n".contains(byte);
        if self.text.iter().take(4096).any(control) {
            return false;
        }
        let text = self.text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.text);
        let line = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        line.is_some_and(|line| line.iter().any(|byte| b",;\t".contains(byte)))
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyTable(..)")
    }
}

/// A row that gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct CsvProblem {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: CsvFault,
}

/// What is wrong with a row. It never repeats what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CsvFault {
    /// A byte that is not UTF-8 where the meter or its key should be.
    #[error("is not UTF-8 text; save the file as CSV UTF-8")]
    NotText,
    /// Too few columns.
    #[error("has no column for {0}; write a line such as 76348799,KEY")]
    Missing(Column),
    /// The meter cannot be read.
    #[error("the meter cannot be read: {0}")]
    Meter(AddressError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(KeyError),
    /// The flow cannot be read.
    #[error("the flow Q4 cannot be read; write cubic metres per hour, such as 5 or 3.125")]
    Flow,
}

/// A column that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Column {
    /// The meter's number or address.
    #[error("the meter")]
    Id,
    /// Its key.
    #[error("the key")]
    Key,
}

#[derive(Clone, Copy)]
struct Columns {
    id: Option<usize>,
    key: Option<usize>,
    manufacturer: Option<usize>,
    q4: Option<usize>,
}

impl Columns {
    /// What the first line says, and whether it is a header at all.
    fn of(line: &[u8], delimiter: u8) -> (Self, bool) {
        let named = |field: &[u8], wanted: &str| {
            // The line may be all of the file.
            let field = field.get(..LONGEST_HEAD).unwrap_or(field);
            let name: String = String::from_utf8_lossy(field).to_lowercase();
            name.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-')).eq(wanted.chars())
        };
        let fields = || Fields { rest: Some(line), delimiter };
        let find =
            |names: &[&str]| names.iter().find_map(|name| fields().position(|field| named(field, name)));
        let (id, key) = (find(ID), find(KEY));
        if id.is_none() && key.is_none() {
            return (Self { id: Some(0), key: Some(1), manufacturer: None, q4: None }, false);
        }
        (Self { id, key, manufacturer: find(MANUFACTURER), q4: find(Q4) }, true)
    }

    fn read(self, line: &[u8], delimiter: u8) -> Result<MeterKey, CsvFault> {
        let field =
            |column: Option<usize>| column.and_then(|c| Fields { rest: Some(line), delimiter }.nth(c));
        let text =
            |column| field(column).map(|bytes| std::str::from_utf8(bytes).map_err(|_| CsvFault::NotText));
        let id = text(self.id).ok_or(CsvFault::Missing(Column::Id))??;
        let key = text(self.key).ok_or(CsvFault::Missing(Column::Key))??;
        let mut selector = Selector::parse_padded(id).map_err(CsvFault::Meter)?;
        if let (Selector::Number(serial), Some(manufacturer)) = (selector, text(self.manufacturer))
            && let manufacturer = manufacturer?
            && !manufacturer.is_empty()
        {
            let manufacturer: Manufacturer = manufacturer.parse().map_err(CsvFault::Meter)?;
            selector = Selector::Maker(manufacturer, serial);
        }
        let q4 = match text(self.q4) {
            Some(flow) if !flow?.is_empty() => Some(Flow::parse(flow?).ok_or(CsvFault::Flow)?),
            _ => None,
        };
        Ok(MeterKey { meter: selector, key: parse_key(key).map_err(CsvFault::Key)?, q4 })
    }
}

/// The fields of one line, without the quotes around them; a delimiter between quotes belongs to its field.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == self.delimiter && !quoted
        });
        let (field, rest) = match end.and_then(|end| rest.split_at_checked(end)) {
            Some((field, rest)) => (field, rest.get(1..)),
            None => (rest, None),
        };
        self.rest = rest;
        let field = field.trim_ascii();
        Some(
            field
                .strip_prefix(b"\"")
                .and_then(|field| field.strip_suffix(b"\""))
                .unwrap_or(field)
                .trim_ascii(),
        )
    }
}

/// No head that counts is as long.
const LONGEST_HEAD: usize = 64;

// What such columns are called in the wild, without spaces, hyphens and underscores, the surest name first: a meter's
// serial number is what it sends by radio, its "meter number" may be the utility's own.
const ID: &[&str] = &[
    "serial",
    "serialno",
    "serialnumber",
    "sarjanumero",
    "id",
    "address",
    "meterid",
    "meterno",
    "meternumber",
    "meter",
    "mittarinumero",
    "mittari",
];
const KEY: &[&str] =
    &["key", "dek", "aes", "aeskey", "encryptionkey", "decryptionkey", "avain", "salausavain"];
const MANUFACTURER: &[&str] = &["manufacturer", "vendor", "vendorid", "mfr"];
const Q4: &[&str] = &["q4"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY_A: &str = "A1A2A3A4A5A6A7A8A9AAABACADAEAFA0";
    const KEY_B: &str = "00-11-22-33-44-55-66-77-88-99-AA-BB-CC-DD-EE-FF";

    fn rows(text: &str) -> Vec<Result<(String, Key), CsvProblem>> {
        let table = KeyTable::from_bytes(Zeroizing::new(text.as_bytes().to_vec()));
        table.rows().map(|row| row.map(|(selector, key)| (selector.to_string(), key))).collect()
    }

    #[test]
    fn two_plain_columns_need_no_header() {
        let good = Ok(("76348799".to_owned(), parse_key(KEY_A).unwrap()));
        assert_eq!(rows(&format!("76348799,{KEY_A}")), std::slice::from_ref(&good));
        assert_eq!(rows(&format!("id,key\n76348799,{KEY_A}\n")), [good]);
    }

    #[test]
    fn semicolons_byte_order_mark_crlf_quotes_and_more_columns_are_read() {
        let text = format!(
            "\u{feff}Serial number;\"Meter; name\";DEK;Vendor Id\r\n4711;\"a; b\";\"0x{KEY_A}\";KAW\r\n\r\n76348799;;{KEY_B};\r\n"
        );
        assert_eq!(
            rows(&text),
            [
                Ok(("KAW.00004711".to_owned(), parse_key(KEY_A).unwrap())),
                Ok(("76348799".to_owned(), parse_key(KEY_B).unwrap()))
            ]
        );
    }

    #[test]
    fn tabulators_and_a_column_of_flows_are_read() {
        let text = format!("Mittarinumero\tQ4\tAvain\n1\t3,125\t{KEY_A}\n2\t\t{KEY_A}\n3\tfast\t{KEY_A}\n");
        let table = KeyTable::from_bytes(Zeroizing::new(text.into_bytes()));
        let flows: Vec<_> = table.entries().map(|row| row.map(|(line, entry)| (line, entry.q4))).collect();
        let bad = CsvProblem { line: 4, fault: CsvFault::Flow };
        assert_eq!(flows, [Ok((2, Some(Flow::litres_per_hour(3125)))), Ok((3, None)), Err(bad)]);
    }

    #[test]
    fn the_serial_number_goes_before_the_utilitys_own() {
        let read = rows(&format!("Meter number,Serial number,Key\n4711,76348799,{KEY_A}\n"));
        assert_eq!(read, [Ok(("76348799".to_owned(), parse_key(KEY_A).unwrap()))]);
    }

    #[test]
    fn bad_rows_say_their_line_and_do_not_spoil_the_others() {
        let text = format!("id,key\n7634879x,{KEY_A}\n1,A1A2\n2\n3,1.2E+31\n4,{KEY_A}\n");
        let rows = rows(&text);
        let faults: Vec<_> = rows.iter().map(|row| row.as_ref().err().copied()).collect();
        assert_eq!(
            faults,
            [
                Some(CsvProblem { line: 2, fault: CsvFault::Meter(AddressError::Serial) }),
                Some(CsvProblem { line: 3, fault: CsvFault::Key(KeyError::Length { digits: 4 }) }),
                Some(CsvProblem { line: 4, fault: CsvFault::Missing(Column::Key) }),
                Some(CsvProblem { line: 5, fault: CsvFault::Key(KeyError::Number) }),
                None,
            ]
        );
    }

    #[test]
    fn a_header_without_a_key_column_is_said_for_every_row() {
        let fault = CsvFault::Missing(Column::Key);
        assert_eq!(rows("id,name\n1,a\n"), [Err(CsvProblem { line: 2, fault })]);
    }

    #[test]
    fn a_key_in_the_wrong_column_is_not_repeated() {
        for text in [format!("{KEY_A},76348799"), format!("id,key\n{KEY_A};x\n"), format!("1,{KEY_A}0")] {
            for row in rows(&text) {
                let error = row.unwrap_err();
                assert!(!format!("{error} {error:?}").contains("A1A2A3"));
            }
        }
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.csv");
        File::create(&path).unwrap().set_len(KeyTable::MAX_BYTES as u64 + 1).unwrap();
        assert_eq!(KeyTable::read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_problems(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            prop_assert!(KeyTable::from_bytes(Zeroizing::new(bytes)).rows().count() <= lines);
        }

        #[test]
        fn any_almost_table_is_rows_or_problems(text in "(\u{feff})?((id|key|[0-9]{8}|[0-9A-F]{32}|\"|)[,;\n\r]){0,20}") {
            let lines = text.split('\n').count();
            prop_assert!(rows(&text).len() <= lines);
        }
    }
}
