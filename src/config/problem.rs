//! What is wrong in a configuration file, where, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// One thing to put right. It never repeats a value of the file: any of them may be a secret in the wrong place.
///
/// Shown as `vesigate.toml:12: uplink.port: is out of range; write a number from 1 to 65535`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1; 0 where the file as a whole is meant, or something that is not in it.
    pub line: usize,
    /// The column, from 1, in characters; 0 with line 0.
    pub column: usize,
    /// The key with its section, such as `uplink.port`; empty where no key is meant.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What to write instead.
    pub instead: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}; {}", self.wrong, self.instead)
    }
}

/// Where in the file something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The place of the byte at `offset` of `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
        let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let column = before.get(start..).map_or(0, |row| row.chars().count()).saturating_add(1);
        Self { line, column }
    }
}

/// The one of `known` that `typed` was most probably meant to be: at most a third of its letters differ.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, word)| distance.saturating_mul(3) <= word.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Levenshtein's distance, row by row.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            *cell = diagonal.saturating_add(usize::from(x != y)).min(above.min(left).saturating_add(1));
            (diagonal, left) = (above, *cell);
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("", "ab", 2), ("host", "hots", 2), ("port", "prt", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["host", "port", "keep_alive"];
        assert_eq!(nearest("prot", known.into_iter()), None);
        assert_eq!(nearest("prt", known.into_iter()), Some("port"));
        assert_eq!(nearest("keepalive", known.into_iter()), Some("keep_alive"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        assert_eq!(Place::of("ä = 1\nöb = 2", 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of("ä = 1\nöb = 2", 9), Place { line: 2, column: 2 });
        assert_eq!(Place::of("a", 99), Place { line: 1, column: 2 });
    }
}
