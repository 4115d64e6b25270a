//! A configuration file as a table that knows where everything stands, and the collection of what is wrong in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeTable;

use super::problem::{Place, Problem, nearest};
use super::section::Section;

/// Where each key of a file stands, for problems that only show later, such as a file that cannot be read.
///
/// It is no part of what a configuration means: any two are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    pub(super) fn get(&self, key: &str) -> Option<Place> {
        self.0.get(key).copied()
    }
}

/// One file while it is read.
pub(super) struct Document<'a> {
    file: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    /// Not all of the text could be read, so that nothing is known to be missing.
    torn: bool,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    problems: Vec<Problem>,
    places: Places,
    /// (section, key), without the numbers of repeated sections.
    known: Vec<(String, &'static str)>,
    /// (section, key, offset) of keys that nobody asked for.
    unknown: Vec<(String, String, usize)>,
}

impl<'a> Document<'a> {
    /// Parses `text`. What is no TOML becomes a problem in our own words, since TOML's messages quote the file.
    pub(super) fn parse(file: &'a Path, text: &'a str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let torn = !errors.is_empty();
        let document = Self { file, text, table: table.into_inner(), torn, seen: RefCell::default() };
        let mut last = 0;
        for error in errors.iter().take(MAX_PROBLEMS) {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let line = Place::of(text, offset).line;
            // One mistake often makes several errors on its line.
            if line == last {
                continue;
            }
            last = line;
            let (wrong, instead) = if error.message().contains("duplicate") {
                ("stands here a second time", "keep one of the two")
            } else {
                ("cannot be read", "write key = \"text\", key = 12, key = true, [section] or # comment")
            };
            document.problem(Some(offset), String::new(), wrong, instead);
        }
        document
    }

    /// Reads all sections with `read` and returns what it made and every problem, in the order of the file.
    pub(super) fn read<T>(self, read: impl FnOnce(&Section<'_>) -> T) -> (T, Places, Vec<Problem>) {
        let root = Section::new(&self, String::new(), Some(&self.table), None);
        let made = read(&root);
        root.finish();
        let mut seen = self.seen.into_inner();
        let mut problems = std::mem::take(&mut seen.problems);
        for (section, key, offset) in seen.unknown.iter().take(MAX_PROBLEMS) {
            problems.push(seen.unknown_key(self.file, Place::of(self.text, *offset), section, key));
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.truncate(MAX_PROBLEMS);
        (made, seen.places, problems)
    }

    /// Notes that something needed is not there.
    pub(super) fn missing(&self, offset: Option<usize>, key: String, instead: &str) {
        if !self.torn {
            self.problem(offset, key, "is missing", instead);
        }
    }

    pub(super) fn problem(&self, offset: Option<usize>, key: String, wrong: &str, instead: &str) {
        let place = offset.map(|offset| Place::of(self.text, offset));
        let (line, column) = place.map_or((0, 0), |place| (place.line, place.column));
        let (wrong, instead) = (wrong.to_owned(), instead.to_owned());
        let problem = Problem { file: self.file.to_owned(), line, column, key, wrong, instead };
        self.seen.borrow_mut().problems.push(problem);
    }

    pub(super) fn stands(&self, key: String, offset: usize) {
        let place = Place::of(self.text, offset);
        self.seen.borrow_mut().places.0.insert(key, place);
    }

    pub(super) fn know(&self, section: &str, key: &'static str) {
        self.seen.borrow_mut().known.push((plain(section), key));
    }

    /// Keys that were asked for and are not in the file.
    #[cfg(test)]
    pub(super) fn keys_not_shown(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let numbered = |key: &str| key.replace("[1]", "").replace("[2]", "");
        let shown: std::collections::BTreeSet<String> =
            seen.places.0.keys().map(|key| numbered(key)).collect();
        let known = seen.known.iter().map(|(section, key)| join(section, key));
        known.filter(|key| !shown.contains(key)).collect()
    }

    pub(super) fn unknown(&self, section: &str, key: &str, offset: usize) {
        self.seen.borrow_mut().unknown.push((section.to_owned(), key.to_owned(), offset));
    }
}

impl Seen {
    fn unknown_key(&self, file: &Path, place: Place, section: &str, key: &str) -> Problem {
        let here = plain(section);
        let near =
            nearest(key, self.known.iter().filter(|(section, _)| *section == here).map(|(_, key)| *key));
        let elsewhere = self.known.iter().find(|(section, known)| *known == key && *section != here);
        let instead = match (near, elsewhere) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, Some((section, _))) if section.is_empty() => {
                "write it above the first [section]".to_owned()
            }
            (None, Some((section, _))) => format!("it belongs into [{section}]"),
            (None, None) => "remove it, or look its name up in the example file".to_owned(),
        };
        Problem {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            key: join(section, &shown(key)),
            wrong: "is not known here".to_owned(),
            instead,
        }
    }
}

/// `receiver[2]` without its number, `receiver`.
fn plain(section: &str) -> String {
    section.split_once('[').map_or(section, |(name, _)| name).to_owned()
}

/// `section.key`.
pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// A key of the file as it may be shown: what is too long or too odd for one may be a secret.
fn shown(key: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if key.len() <= 24 && key.bytes().all(fits) { key.to_owned() } else { "(a key not shown)".to_owned() }
}

/// As many problems as anybody mends in one go.
const MAX_PROBLEMS: usize = 100;
