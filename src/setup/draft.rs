//! A configuration file that is being written: the one that is there, or the commented example, with some keys set.
//! Whatever else stands in it, comments included, stays as it is.

use std::path::Path;

use similar::TextDiff;
use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use crate::config::{Config, Problem};

/// The example with every key in it, each commented out.
const EXAMPLE: &str = include_str!("../../config/vesigate.toml");

/// The file.
#[derive(Clone, Debug)]
pub struct Draft {
    /// As it is on disk.
    former: Option<String>,
    document: DocumentMut,
}

/// Sections of which there may be several, and before which section of the example theirs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// `[[receiver]]`, told apart by `path`.
    Receiver,
    /// `[[contact]]`, told apart by `name`.
    Contact,
}

impl Many {
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Receiver => ("receiver", "path", "[detect]"),
            Self::Contact => ("contact", "name", "[status]"),
        }
    }
}

impl Draft {
    /// From what is on disk, or, if nothing is there, from the example.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn begin(former: Option<String>) -> Result<Self, DraftError> {
        let text = former.as_deref().unwrap_or(EXAMPLE);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = text.parse().map_err(|_| DraftError)?;
        Ok(Self { former, document })
    }

    /// Whether a file is there already.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        self.former.is_some()
    }

    /// What is on disk.
    #[must_use]
    pub fn former(&self) -> Option<&str> {
        self.former.as_deref()
    }

    /// Sets a key. A line of the example that holds it as a comment becomes the key.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if self.get(section, key).is_none() && self.uncomment(section, key, &value) {
            return;
        }
        let table = self.document.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let Some(table) = table.as_table_like_mut() else { return };
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(present) if means_the_same(present, &value) => {}
            Some(present) => {
                // A comment behind it stays.
                let decor = present.decor().clone();
                *present = value;
                *present.decor_mut() = decor;
            }
            None => drop(table.insert(key, Item::Value(value))),
        }
    }

    /// Takes a key out.
    pub fn unset(&mut self, section: &str, key: &str) {
        if let Some(table) = self.document.get_mut(section).and_then(Item::as_table_like_mut) {
            table.remove(key);
        }
    }

    /// What a key says now.
    #[must_use]
    pub fn text_of(&self, section: &str, key: &str) -> Option<String> {
        let value = self.get(section, key)?.as_value()?;
        Some(value.as_str().map_or_else(|| value.to_string().trim().to_owned(), str::to_owned))
    }

    fn get(&self, section: &str, key: &str) -> Option<&Item> {
        self.document.get(section)?.get(key)
    }

    /// Makes of these all the sections of their kind. Of one that is there already other keys and comments stay.
    pub fn set_all(&mut self, many: Many, sections: Vec<Table>) {
        let (name, told_apart, before) = many.names();
        let text = |table: &Table| table.get(told_apart).and_then(Item::as_str).map(str::to_owned);
        let present = self.document.get(name).and_then(Item::as_array_of_tables).cloned();
        let Some(present) = present else { return self.insert(name, before, &sections) };
        let mut merged = ArrayOfTables::new();
        for section in sections {
            let same = present.iter().find(|present| text(present) == text(&section));
            // What is said of one kind of receiver, such as its speed, is not true of another.
            let kind = |table: &Table| table.get("kind").and_then(Item::as_str).map(str::to_owned);
            let same = same.filter(|same| !section.contains_key("kind") || kind(same) == kind(&section));
            let mut table = same.cloned().unwrap_or_default();
            for (key, item) in section {
                let present = table.get(&key).and_then(Item::as_value).zip(item.as_value());
                if !present.is_some_and(|(present, item)| means_the_same(present, item)) {
                    table.insert(&key, item);
                }
            }
            merged.push(table);
        }
        // What stands above the first is about all of them.
        let above = present.iter().next().and_then(|first| first.decor().prefix().cloned());
        if let (Some(first), Some(above)) = (merged.get_mut(0), above) {
            first.decor_mut().set_prefix(above);
        }
        if merged.is_empty() {
            self.document.remove(name);
        } else {
            self.document.insert(name, Item::ArrayOfTables(merged));
        }
    }

    /// One more section of its kind, or other keys for the one that is there.
    pub fn add(&mut self, many: Many, section: Table) {
        let (name, told_apart, _) = many.names();
        let present = self.document.get(name).and_then(Item::as_array_of_tables);
        let mut sections: Vec<Table> =
            present.map_or_else(Vec::new, |present| present.iter().cloned().collect());
        let text = |table: &Table| table.get(told_apart).and_then(Item::as_str).map(str::to_owned);
        sections.retain(|present| text(present) != text(&section));
        // Their own keys are merged with what is there.
        sections.push(section);
        self.set_all(many, sections);
    }

    /// New sections, before that one, or at the end.
    fn insert(&mut self, name: &str, before: &str, sections: &[Table]) {
        let mut fresh = String::new();
        for section in sections {
            fresh = format!("{fresh}[[{name}]]\n{section}\n");
        }
        let text = self.document.to_string();
        let at = text.lines().position(|line| line.trim_end() == before);
        let (head, tail): (Vec<&str>, Vec<&str>) = match at {
            Some(at) => (text.lines().take(at).collect(), text.lines().skip(at).collect()),
            None => (text.lines().chain([""]).collect(), Vec::new()),
        };
        self.read_again(&format!("{}\n{fresh}{}\n", head.join("\n"), tail.join("\n")));
    }

    /// Makes the section's line `#key = ...` the key; false if there is none.
    fn uncomment(&mut self, section: &str, key: &str, value: &Value) -> bool {
        let text = self.document.to_string();
        let header = format!("[{section}]");
        let (mut inside, mut done) = (false, false);
        let mut lines = Vec::new();
        for line in text.lines() {
            let ends = line.starts_with('[') || line.starts_with("#[");
            inside = if ends { line.trim_end() == header } else { inside };
            let commented = line.strip_prefix('#').and_then(|rest| rest.strip_prefix(key));
            if inside && !done && commented.is_some_and(|rest| rest.trim_start().starts_with('=')) {
                lines.push(format!("{key} = {}", value.to_string().trim()));
                done = true;
            } else {
                lines.push(line.to_owned());
            }
        }
        done && self.read_again(&(lines.join("\n") + "\n"))
    }

    fn read_again(&mut self, text: &str) -> bool {
        let Ok(document) = text.parse() else { return false };
        self.document = document;
        true
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// What it means.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn config(&self, file: &Path) -> Result<Config, Vec<Problem>> {
        Config::parse(file, &self.text())
    }

    /// Against what is on disk, as `diff -u` shows it; of a new file the lines that say something. `None` if nothing is
    /// different.
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        let text = self.text();
        let Some(former) = &self.former else {
            let says = |line: &&str| !line.trim_start().starts_with('#') && !line.trim().is_empty();
            let lines: Vec<&str> = text.lines().filter(says).collect();
            return Some(without_empty_sections(&lines));
        };
        let diff = TextDiff::from_lines(former.as_str(), &text);
        let shown = diff.unified_diff().context_radius(2).to_string();
        (!shown.is_empty()).then_some(shown)
    }
}

/// Whether only the way of writing differs.
fn means_the_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.value() == other.value(),
        (Value::Integer(one), Value::Integer(other)) => one.value() == other.value(),
        (Value::Boolean(one), Value::Boolean(other)) => one.value() == other.value(),
        _ => one.to_string().trim() == other.to_string().trim(),
    }
}

/// Sections without a key say nothing.
fn without_empty_sections(lines: &[&str]) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at.saturating_add(1));
        let is_header = line.starts_with('[');
        if is_header && next.is_none_or(|next| next.starts_with('[')) {
            continue;
        }
        if is_header && !text.is_empty() {
            text.push('\n');
        }
        text = text + line + "\n";
    }
    text
}

/// What is on disk is no TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not TOML")]
pub struct DraftError;

#[cfg(test)]
mod tests;
