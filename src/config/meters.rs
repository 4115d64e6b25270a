//! The meter list: which meters are expected, what they are called, how much flow they are made for, who is told.
//!
//! A CSV file with a header: `id` (number or address), and as wanted `name`, `metering_point`, `q4` (m3/h), `contacts`
//! (names of `[[contact]]`, separated by spaces). Other columns are passed over, so that an export of the billing system
//! will do. Comma or semicolon.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use wmbus::Meter;

use super::alarm::Contact;
use super::gateway::Name;
use super::problem::Problem;
use crate::keyring::{Flow, Selector};

/// The expected meters.
#[derive(Clone, Debug, Default)]
pub struct MeterList(HashMap<Selector, ListedMeter>);

/// One expected meter. `Debug` does not show what it is called: that may be somebody's address.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedMeter {
    /// What people call it.
    pub name: Option<Box<str>>,
    /// The utility's number of its place.
    pub metering_point: Option<Box<str>>,
    /// Its overload flow.
    pub q4: Option<Flow>,
    /// Who is told of its alarms, besides those who are told of all.
    pub contacts: Vec<Name>,
}

impl fmt::Debug for ListedMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedMeter").field("q4", &self.q4).finish_non_exhaustive()
    }
}

impl MeterList {
    /// The most meters in a list.
    pub const MOST: usize = 250_000;

    /// Reads a list; `contacts` are those that its rows may name.
    ///
    /// # Errors
    /// Everything that is wrong in it, by line; no more than a hundred problems.
    pub fn load(path: &Path, contacts: &[Contact]) -> Result<Self, Vec<Problem>> {
        match std::fs::File::open(path) {
            Ok(file) => Self::read(path, file, contacts),
            Err(error) => Err(vec![problem(
                path,
                0,
                "",
                &format!("cannot be read: {}", error.kind()),
                "name a file that can be read",
            )]),
        }
    }

    /// The row for `meter`, the most specific one.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<&ListedMeter> {
        Selector::candidates(meter).iter().find_map(|selector| self.0.get(selector))
    }

    /// Whether a row has just this name.
    #[must_use]
    pub fn has(&self, name: Selector) -> bool {
        self.0.contains_key(&name)
    }

    /// All rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Selector, &ListedMeter)> {
        self.0.iter().map(|(selector, meter)| (*selector, meter))
    }

    /// How many meters are expected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a list that stands in the file of this name.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn read(path: &Path, file: impl Read, contacts: &[Contact]) -> Result<Self, Vec<Problem>> {
        let whole = |wrong: &str, instead: &str| vec![problem(path, 0, "", wrong, instead)];
        let mut text = Vec::new();
        let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        if file.take(limit).read_to_end(&mut text).is_err() || text.len() > MOST_BYTES {
            return Err(whole("cannot be read, or is longer than 32 MB", "name a smaller file"));
        }
        let text = String::from_utf8(text).map_err(|_| whole("is not UTF-8 text", "save it as CSV UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let delimiter = if text.lines().next().is_some_and(|line| line.contains(';')) { b';' } else { b',' };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header = reader
            .headers()
            .map_err(|_| whole("is not a CSV file", "begin it with a line such as id,name,q4"))?;
        let columns = Columns::of(header)
            .ok_or_else(|| whole("has no column id", "begin it with a line such as id,name,q4"))?;
        columns.rows(path, &mut reader, contacts)
    }
}

struct Columns {
    id: usize,
    name: Option<usize>,
    metering_point: Option<usize>,
    q4: Option<usize>,
    contacts: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Option<Self> {
        let find = |name: &str| {
            header.iter().position(|field| field.to_lowercase().replace([' ', '-'], "_") == name)
        };
        Some(Self {
            id: find("id")?,
            name: find("name"),
            metering_point: find("metering_point"),
            q4: find("q4"),
            contacts: find("contacts"),
        })
    }

    fn rows(
        &self,
        path: &Path,
        reader: &mut csv::Reader<&[u8]>,
        contacts: &[Contact],
    ) -> Result<MeterList, Vec<Problem>> {
        let mut meters = HashMap::new();
        let mut problems = Vec::new();
        let mut row = csv::StringRecord::new();
        loop {
            // The text is UTF-8 and rows may have any length, so that nothing is left that could be wrong.
            if !matches!(reader.read_record(&mut row), Ok(true)) || problems.len() >= MOST_PROBLEMS {
                break;
            }
            let line = row.position().map_or(0, csv::Position::line);
            let mut wrong = |key: &str, wrong: &str, instead: &str| {
                problems.push(problem(path, line, key, wrong, instead));
            };
            let Ok(selector) = Selector::parse_padded(row.get(self.id).unwrap_or_default()) else {
                wrong("id", "is not a meter", "write its eight digits, or an address such as KAM.76348799");
                continue;
            };
            let meter = self.meter(&row, contacts, &mut wrong);
            if meters.len() >= MeterList::MOST {
                wrong("", "is one meter too many", "list at most 250000");
                break;
            }
            if meters.insert(selector, meter).is_some() {
                wrong("id", "stands here a second time", "keep one row for each meter");
            }
        }
        if problems.is_empty() { Ok(MeterList(meters)) } else { Err(problems) }
    }

    fn meter(
        &self,
        row: &csv::StringRecord,
        contacts: &[Contact],
        wrong: &mut impl FnMut(&str, &str, &str),
    ) -> ListedMeter {
        let field =
            |column: Option<usize>| column.and_then(|column| row.get(column)).filter(|text| !text.is_empty());
        let q4 = field(self.q4).and_then(|text| {
            let flow = Flow::parse(text);
            if flow.is_none() {
                wrong("q4", "is not a flow", "write cubic metres per hour, such as 5 or 3.125");
            }
            flow
        });
        let mut told = Vec::new();
        for name in field(self.contacts).unwrap_or_default().split_ascii_whitespace() {
            match contacts.iter().find(|contact| contact.name.as_str() == name) {
                Some(contact) => told.push(contact.name.clone()),
                None => wrong(
                    "contacts",
                    "is not the name of a [[contact]]",
                    "write names of contacts with spaces between",
                ),
            }
        }
        let text = |column| field(column).map(|text| text.chars().take(200).collect::<String>().into());
        ListedMeter { name: text(self.name), metering_point: text(self.metering_point), q4, contacts: told }
    }
}

fn problem(file: &Path, line: u64, key: &str, wrong: &str, instead: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line: usize::try_from(line).unwrap_or(usize::MAX),
        column: usize::from(line > 0),
        key: key.to_owned(),
        wrong: wrong.to_owned(),
        instead: instead.to_owned(),
    }
}

const MOST_BYTES: usize = 32_000_000;
const MOST_PROBLEMS: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Config;
    use super::*;

    fn contacts() -> Vec<Contact> {
        let text = "[[contact]]\nname = \"on-call\"\nemail = \"a@b.fi\"\n[[contact]]\nname = \"boss\"\nemail = \"c@d.fi\"";
        Config::parse(Path::new("x"), text).unwrap().contacts
    }

    fn read(text: &str) -> Result<MeterList, Vec<String>> {
        MeterList::read(Path::new("m.csv"), text.as_bytes(), &contacts())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_is_read_with_its_columns_in_any_order() {
        let list = read(
            "\u{feff}Name;Q4;ID;Billing;Contacts;Metering point\r\n\"Aino; Kuja 1\";3,125;4711;x;on-call boss;MP 7\r\n;;KAM.76348799;;;\r\n",
        )
        .unwrap();
        assert_eq!(list.len(), 2);
        let meter = list.get("KAW.00004711.1B.16".parse().unwrap()).unwrap();
        assert_eq!(meter.name.as_deref(), Some("Aino; Kuja 1"));
        assert_eq!(meter.metering_point.as_deref(), Some("MP 7"));
        assert_eq!(meter.q4, Some(Flow::litres_per_hour(3125)));
        assert_eq!(meter.contacts.iter().map(Name::as_str).collect::<Vec<_>>(), ["on-call", "boss"]);
        assert_eq!(list.get("KAW.76348799.1B.16".parse().unwrap()), None);
        assert!(!format!("{list:?}").contains("Aino"));
    }

    #[test]
    fn every_bad_row_is_said_by_line() {
        let problems = read("id,q4,contacts\nx,,\n1,5 l/h,\n2,,nobody\n00000002,,\n").unwrap_err();
        assert_eq!(
            problems,
            [
                "m.csv:2: id: is not a meter; write its eight digits, or an address such as KAM.76348799",
                "m.csv:3: q4: is not a flow; write cubic metres per hour, such as 5 or 3.125",
                "m.csv:4: contacts: is not the name of a [[contact]]; write names of contacts with spaces between",
                "m.csv:5: id: stands here a second time; keep one row for each meter",
            ]
        );
        assert_eq!(
            read("name\nx\n").unwrap_err(),
            ["m.csv: has no column id; begin it with a line such as id,name,q4"]
        );
    }

    #[test]
    fn a_key_in_a_wrong_column_is_not_repeated() {
        let key = "A1A2A3A4A5A6A7A8A9AAABACADAEAFA0";
        let problems = read(&format!("id,q4,contacts\n{key},,\n1,{key},{key}\n")).unwrap_err();
        assert_eq!(problems.len(), 3);
        assert!(!problems.concat().contains("A1A2"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_problems(bytes in proptest::collection::vec(any::<u8>(), 0..300), header: bool) {
            let start: &[u8] = if header { b"id,q4,contacts\n" } else { b"" };
            let read = MeterList::read(Path::new("m.csv"), [start, &bytes].concat().as_slice(), &contacts());
            if let Err(problems) = read {
                prop_assert!((1..=MOST_PROBLEMS + 3).contains(&problems.len()));
            }
        }
    }
}
