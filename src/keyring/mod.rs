//! Meter keys: read from key files, looked up for each telegram, sealed at rest.
//!
//! Key files often give a meter's number only, so an entry may name a number, a manufacturer and a number, or a full
//! address; the most specific entry wins. Keys never appear in errors, logs or `Debug` output; lists show fingerprints.

mod csv;
mod file;
mod flow;
pub mod fuzzing;
pub mod import;
mod key;
mod seal;
mod selector;
#[cfg(test)]
mod tests;
pub mod trial;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wmbus::{Key, Meter};

pub use csv::{Column, CsvFault, CsvProblem, KeyTable};
pub use file::SaveError;
pub(crate) use file::{lock, make_folder, replace};
pub use flow::Flow;
pub use key::{Fingerprint, KeyError, parse_key};
pub use seal::{SealError, SealFault, SealKey};
pub use selector::Selector;

/// The most keys a keyring takes: a bound on memory, well above what one gateway hears.
pub const MAX_KEYS: usize = 250_000;

/// All keys, in memory: about 40 bytes each, one to three hash lookups per telegram whatever their number.
///
/// Keys lie in chunks that never move, so that growing leaves no copies behind.
#[derive(Debug, Default)]
pub struct Keyring {
    places: HashMap<Selector, u32>,
    /// Overload flows Q4, of those whose key file gave one.
    flows: HashMap<Selector, Flow>,
    chunks: Vec<Box<[Key; CHUNK]>>,
    free: Vec<u32>,
    damaged: Vec<Damage>,
}

impl Keyring {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the file at `path`; a file that does not exist is an empty keyring.
    ///
    /// Damaged entries are left out and listed by [`Keyring::damaged`]; the next [`Keyring::save`] drops them.
    ///
    /// # Errors
    /// When the file cannot be read, was sealed with another key, or nothing in it can be opened.
    pub fn open(path: &Path, seal: &SealKey) -> Result<Self, OpenError> {
        file::read(path, seal)
    }

    /// Writes everything to `path`, whole or not at all (also when the power fails), readable by its owner only.
    ///
    /// # Errors
    /// Those of the file system, and whether the file that was there before is untouched.
    pub fn save(&self, path: &Path, seal: &SealKey) -> Result<(), SaveError> {
        file::write(path, self, seal)
    }

    /// The key for `meter`: of its full address, else of manufacturer and number, else of the number.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<&Key> {
        self.find(meter).map(|(_, key)| key)
    }

    /// The key for `meter`, and under which name it is filed.
    #[must_use]
    pub fn find(&self, meter: Meter) -> Option<(Selector, &Key)> {
        let candidates = Selector::candidates(meter).into_iter();
        candidates.filter_map(|selector| Some((selector, self.exact(selector)?))).next()
    }

    /// The overload flow that the meter's key file gave.
    #[must_use]
    pub fn q4(&self, meter: Meter) -> Option<Flow> {
        Selector::candidates(meter).into_iter().find_map(|selector| self.flows.get(&selector).copied())
    }

    /// Whether exactly this selector has a key.
    #[must_use]
    pub fn has(&self, selector: Selector) -> bool {
        self.places.contains_key(&selector)
    }

    /// Adds a key, or replaces the one that exactly this selector has.
    ///
    /// # Errors
    /// When [`MAX_KEYS`] are there.
    pub fn insert(&mut self, selector: Selector, key: Key) -> Result<Inserted, Full> {
        if let Some(place) = self.places.get(&selector).copied() {
            let Some(slot) = self.slot(place) else { return Err(Full) };
            let done = if *slot == key { Inserted::Same } else { Inserted::Replaced };
            *slot = key;
            return Ok(done);
        }
        let place = self.vacant().ok_or(Full)?;
        let slot = self.slot(place).ok_or(Full)?;
        *slot = key;
        self.places.insert(selector, place);
        Ok(Inserted::New)
    }

    /// Adds a key with its overload flow. Without a flow, one that is there stays.
    ///
    /// # Errors
    /// When [`MAX_KEYS`] are there.
    pub fn put(&mut self, entry: &MeterKey) -> Result<Inserted, Full> {
        let other_flow = self.is_other_flow(entry);
        let inserted = self.insert(entry.meter, entry.key.clone())?;
        if let Some(flow) = entry.q4 {
            self.flows.insert(entry.meter, flow);
        }
        Ok(if inserted == Inserted::Same && other_flow { Inserted::Replaced } else { inserted })
    }

    /// What [`Keyring::put`] would do.
    #[must_use]
    pub fn compare(&self, entry: &MeterKey) -> Inserted {
        match self.exact(entry.meter) {
            None => Inserted::New,
            Some(key) if *key != entry.key || self.is_other_flow(entry) => Inserted::Replaced,
            Some(_) => Inserted::Same,
        }
    }

    fn is_other_flow(&self, entry: &MeterKey) -> bool {
        entry.q4.is_some_and(|flow| self.flows.get(&entry.meter) != Some(&flow))
    }

    /// Removes the key of exactly this selector; false if there is none.
    pub fn remove(&mut self, selector: Selector) -> bool {
        self.flows.remove(&selector);
        let Some(place) = self.places.remove(&selector) else { return false };
        if let Some(slot) = self.slot(place) {
            *slot = Key::new([0; 16]);
        }
        self.free.push(place);
        true
    }

    /// Every entry, sorted, without its key.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let mut list: Vec<Listed> = self
            .iter()
            .map(|(selector, key)| Listed {
                selector,
                fingerprint: Fingerprint::of(key),
                q4: self.flows.get(&selector).copied(),
            })
            .collect();
        list.sort_unstable_by_key(|listed| listed.selector);
        list
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What could not be read at [`Keyring::open`].
    #[must_use]
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    fn with_capacity(keys: usize) -> Self {
        Self { places: HashMap::with_capacity(keys), ..Self::default() }
    }

    fn exact(&self, selector: Selector) -> Option<&Key> {
        let place = usize::try_from(*self.places.get(&selector)?).ok()?;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    fn iter(&self) -> impl Iterator<Item = (Selector, &Key)> {
        self.places.keys().filter_map(|selector| Some((*selector, self.exact(*selector)?)))
    }

    fn slot(&mut self, place: u32) -> Option<&mut Key> {
        let place = usize::try_from(place).ok()?;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// A place that no key has; the chunk for it is made when needed.
    fn vacant(&mut self) -> Option<u32> {
        if self.places.len() >= MAX_KEYS {
            return None;
        }
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        let next = self.places.len();
        if next / CHUNK == self.chunks.len() {
            self.chunks.push(Box::new([const { Key::new([0; 16]) }; CHUNK]));
        }
        u32::try_from(next).ok()
    }
}

const CHUNK: usize = 256;

/// A key as a key file gives it, with what else of it is of use here. `Debug` does not show the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterKey {
    /// Whose.
    pub meter: Selector,
    /// The key.
    pub key: Key,
    /// The meter's overload flow, if the file gives it.
    pub q4: Option<Flow>,
}

/// What an insertion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inserted {
    /// The selector had no key.
    New,
    /// It had this very key.
    Same,
    /// It had another key or flow, which is gone.
    Replaced,
}

/// There are [`MAX_KEYS`] keys already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the keyring is full: it holds {MAX_KEYS} keys")]
pub struct Full;

/// One line of a list of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose key.
    pub selector: Selector,
    /// What may be shown of it.
    pub fingerprint: Fingerprint,
    /// The overload flow, if its key file gave one.
    pub q4: Option<Flow>,
}

/// Something of the keyring's file that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// One key is lost.
    #[error("entry {number}{} is damaged; add its key again", selector.map_or_else(String::new, |s| format!(" ({s})")))]
    Entry {
        /// Its position in the file, from 1.
        number: usize,
        /// Whose key it was, if that can still be read.
        selector: Option<Selector>,
    },
    /// The header is damaged; no key is lost by it.
    #[error("the header is damaged; the keys are whole")]
    Header,
    /// The end of the file is missing.
    #[error("the file is cut short: {missing} keys are missing; add them again")]
    CutShort {
        /// How many entries.
        missing: usize,
    },
}

/// Why a keyring does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system's reason.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// Another seal key made it; the keys in it are whole.
    #[error(
        "was sealed with another seal key; bring that one back, or set the keyring aside and add the keys again"
    )]
    WrongSeal,
    /// Not one entry opens, and the header does not tell why.
    #[error("is not a keyring, or is damaged from end to end; set it aside and add the keys again")]
    Unreadable,
}
