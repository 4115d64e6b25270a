//! Reads the keys of one section: each value checked where it stands, every fault noted, none fatal.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, join};
use super::value::{duration, show_duration, show_size, size};

/// A `[section]` of the file, or one that is not there and has all its defaults.
pub(super) struct Section<'d> {
    pub(super) document: &'d Document<'d>,
    name: String,
    table: Option<&'d DeTable<'d>>,
    offset: Option<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    pub(super) fn new(
        document: &'d Document<'d>,
        name: String,
        table: Option<&'d DeTable<'d>>,
        offset: Option<usize>,
    ) -> Self {
        Self { document, name, table, offset, asked: RefCell::default() }
    }

    /// A section below this one; read with its defaults if it is not there.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Self) -> T) -> T {
        let (table, offset) = match self.find(key) {
            None => (None, None),
            Some((value, offset)) => {
                let table = value.get_ref().as_table();
                if table.is_none() {
                    self.reject(key, "is not a section", &format!("write [{}]", join(&self.name, key)));
                }
                (table, Some(offset))
            }
        };
        self.below(join(&self.name, key), table, offset, read)
    }

    /// A table below this one if it is there, in whatever form: `[section]` or `key = { ... }`.
    pub(super) fn optional<T>(&self, key: &'static str, read: impl FnOnce(&Self) -> T) -> Option<T> {
        self.find(key).map(|_| self.section(key, read))
    }

    /// Repeated sections, `[[key]]`; at most `most`.
    pub(super) fn sections<T>(&self, key: &'static str, most: usize, read: impl Fn(&Self) -> T) -> Vec<T> {
        let instead = format!("write [[{}]]", join(&self.name, key));
        let Some((value, _)) = self.find(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.reject(key, "is not a repeated section", &instead);
            return Vec::new();
        };
        if items.len() > most {
            self.reject(key, "is there too often", &format!("write at most {most} of them"));
        }
        let item = |(index, item): (usize, &'d Spanned<DeValue<'d>>)| {
            let name = format!("{}[{}]", join(&self.name, key), index.saturating_add(1));
            let table = item.get_ref().as_table();
            if table.is_none() {
                self.document.problem(Some(item.span().start), name.clone(), "is not a section", &instead);
            }
            self.below(name, table, Some(item.span().start), &read)
        };
        items.iter().take(most).enumerate().map(item).collect()
    }

    fn below<T>(
        &self,
        name: String,
        table: Option<&'d DeTable<'d>>,
        offset: Option<usize>,
        read: impl FnOnce(&Self) -> T,
    ) -> T {
        let section = Section::new(self.document, name, table, offset);
        let made = read(&section);
        section.finish();
        made
    }

    /// Notes every key that nobody has asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if !asked.contains(name) {
                self.document.unknown(&self.name, name, key.span().start);
            }
        }
    }

    /// Whether `key` is there, rightly or wrongly.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Whether `key` holds just this text.
    pub(super) fn is_text(&self, key: &'static str, text: &str) -> bool {
        self.find(key).is_some_and(|(value, _)| value.get_ref().as_str() == Some(text))
    }

    /// Whether `key` holds a list.
    pub(super) fn has_list(&self, key: &'static str) -> bool {
        self.find(key).is_some_and(|(value, _)| value.get_ref().is_array())
    }

    /// Notes that `key` is wrong, where it stands.
    pub(super) fn reject(&self, key: &'static str, wrong: &str, instead: &str) {
        let offset = self.find(key).map(|(_, offset)| offset).or(self.offset);
        self.document.problem(offset, join(&self.name, key), wrong, instead);
    }

    /// Notes that `key` is needed and not there. A key that is there, but wrong, has its problem already.
    pub(super) fn missing(&self, key: &'static str, instead: &str) {
        if !self.has(key) {
            self.document.missing(self.offset, join(&self.name, key), instead);
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.value(key, "write true or false", |value| value.as_bool().ok_or("is neither true nor false"))
            .unwrap_or(default)
    }

    /// A whole number of `range`.
    pub(super) fn number<N: TryFrom<u64>>(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<N> {
        let instead = format!("write a number from {} to {}", range.start(), range.end());
        self.value(key, &instead, |value| {
            let number = value.as_integer().ok_or("is not a whole number")?;
            let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let number = number.filter(|number| range.contains(number)).ok_or("is out of range")?;
            N::try_from(number).map_err(|_| "is out of range")
        })
    }

    /// A time of `range`, such as `"10 h"`.
    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
        self.text(key, &format!("write a time from \"{from}\" to \"{to}\""), |text| {
            let duration = duration(text).ok_or("is not a time with its unit")?;
            if range.contains(&duration) { Ok(duration) } else { Err("is out of range") }
        })
    }

    /// A size of `range` in bytes, such as `"200 MB"`.
    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (from, to) = (show_size(*range.start()), show_size(*range.end()));
        self.text(key, &format!("write a size from \"{from}\" to \"{to}\""), |text| {
            let size = size(text).ok_or("is not a size with its unit")?;
            if range.contains(&size) { Ok(size) } else { Err("is out of range") }
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Clone>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.text(key, &format!("write {}", names.join(" or ")), |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| meaning.clone()).ok_or("is none of the words it may be")
        })
    }

    /// An absolute path.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key, "write the whole path, beginning with /", |text| {
            let fits = text.starts_with('/') && text.len() <= 4096 && !text.contains('\0');
            if fits { Ok(PathBuf::from(text)) } else { Err("is not an absolute path") }
        })
    }

    /// A text that `read` understands.
    pub(super) fn text<T>(
        &self,
        key: &'static str,
        instead: &str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        self.value(key, instead, |value| read(value.as_str().ok_or("is not a text in quotes")?))
    }

    /// A list of texts that `read` understands, at most `most`; one bad entry spoils the list, and is said by number.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        most: usize,
        instead: &str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let (value, offset) = self.find(key)?;
        let Some(items) = value.get_ref().as_array().filter(|items| items.len() <= most) else {
            self.document.problem(Some(offset), join(&self.name, key), "is not such a list", instead);
            return None;
        };
        let read_item = |(index, item): (usize, &Spanned<DeValue<'_>>)| {
            let read = item.get_ref().as_str().ok_or("is not a text in quotes").and_then(&read);
            read.map_err(|wrong| {
                let key = format!("{}[{}]", join(&self.name, key), index.saturating_add(1));
                self.document.problem(Some(item.span().start), key, wrong, instead);
            })
        };
        let read: Vec<Result<T, ()>> = items.iter().enumerate().map(read_item).collect();
        read.into_iter().collect::<Result<_, _>>().ok()
    }

    fn value<T>(
        &self,
        key: &'static str,
        instead: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, &'static str>,
    ) -> Option<T> {
        let (value, offset) = self.find(key)?;
        read(value.get_ref())
            .map_err(|wrong| self.document.problem(Some(offset), join(&self.name, key), wrong, instead))
            .ok()
    }

    /// The value of `key` and where the key stands; from now on it is a known one.
    fn find(&self, key: &'static str) -> Option<(&'d Spanned<DeValue<'d>>, usize)> {
        let first = self.asked.borrow_mut().insert(key);
        if first {
            self.document.know(&self.name, key);
        }
        let (name, value) = self.table?.get_key_value(key)?;
        let offset = name.span().start;
        if first {
            self.document.stands(join(&self.name, key), offset);
        }
        Some((value, offset))
    }
}
