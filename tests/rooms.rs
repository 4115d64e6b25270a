//! The table of rooms in `docs/ARCHITECTURE.md` says who knows whom; here it is held against the code.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Known to all: time and random bits.
const WORLD: &str = "world";
/// Workspace members that rooms of the gateway may know.
const CRATES: [&str; 2] = ["wmbus", "messages"];

type Known = BTreeMap<String, BTreeSet<String>>;

#[test]
fn each_room_knows_those_that_the_table_names_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms: BTreeSet<String> = fs::read_dir(root.join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !["lib", "main"].contains(&name.as_str()))
        .collect();
    let (told, all_knowing) = table(&fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap(), &rooms);
    let named: BTreeSet<String> = told.keys().chain(&all_knowing).cloned().collect();
    assert_eq!(named, rooms, "every room has a row");
    let mut found = Known::new();
    for room in &rooms {
        let mut known = BTreeSet::new();
        let path = root.join("src").join(room);
        if path.is_dir() {
            read(&path, &rooms, &mut known);
        } else {
            mentions(&fs::read_to_string(path.with_extension("rs")).unwrap(), &rooms, &mut known);
        }
        known.remove(room);
        assert!(!known.contains("cli"), "{room} knows the command line");
        known.remove(WORLD);
        found.insert(room.clone(), known);
    }
    found.retain(|room, _| !all_knowing.contains(room));
    assert_eq!(found, told, "left: the code, right: docs/ARCHITECTURE.md, whose last column is to be mended");
}

/// Whom each room knows by the table, and the rooms that know everything.
fn table(text: &str, rooms: &BTreeSet<String>) -> (Known, BTreeSet<String>) {
    let (mut told, mut all_knowing) = (Known::new(), BTreeSet::new());
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, room, _, knows, _] = cells[..] else { continue };
        let Some(room) = room.strip_prefix("`src/").and_then(|room| room.strip_suffix('`')) else { continue };
        if knows.starts_with("everything") {
            all_knowing.insert(room.to_owned());
            continue;
        }
        let words = knows.split('`').skip(1).step_by(2);
        let known = words.filter(|word| rooms.contains(*word) || CRATES.contains(word));
        told.insert(room.to_owned(), known.map(str::to_owned).collect());
    }
    (told, all_knowing)
}

fn read(folder: &Path, rooms: &BTreeSet<String>, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        // Only compiled for tests.
        if ["tests", "simulation"].contains(&stem) {
            continue;
        }
        if path.is_dir() {
            read(&path, rooms, known);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            mentions(&fs::read_to_string(&path).unwrap(), rooms, known);
        }
    }
}

/// Whom a file names, comments and tests at its end apart.
fn mentions(text: &str, rooms: &BTreeSet<String>, known: &mut BTreeSet<String>) {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        for (_, rest) in line.match_indices("crate::").map(|(at, word)| line.split_at(at + word.len())) {
            let names = rest.strip_prefix('{').unwrap_or(rest);
            let names = names.split([',', '{']).map(|name| first_word(name.trim()));
            // Of a list in braces all, else the first.
            let many = if rest.starts_with('{') { usize::MAX } else { 1 };
            known.extend(names.take(many).filter(|name| rooms.contains(*name)).map(str::to_owned));
        }
        let is_named = |name: &&str| line.split(|letter: char| !is_of_word(letter)).any(|word| word == *name);
        let crates = CRATES.into_iter().filter(|name| line.contains(&format!("{name}::")));
        known.extend(crates.filter(is_named).map(str::to_owned));
    }
}

fn first_word(text: &str) -> &str {
    text.split(|letter: char| !is_of_word(letter)).next().unwrap_or_default()
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
