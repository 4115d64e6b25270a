//! The keyring at work: what the receiving half answers about keys. Every change is all or nothing: the file is written
//! first, and what is in force follows it.

use std::collections::HashSet;

use messages::MeterId;
use messages::seal::SealedBox;
use wmbus::{Frame, Key, Meter};

use super::Half;
use crate::decode::unhex;
use crate::halves::questions::{KEYS_AT_ONCE, KeyMark, KeysAdded, NewKey};
use crate::keyring::trial::{KeyTest, MAX_METERS, Trials};
use crate::keyring::{Inserted, MAX_KEYS, MeterKey, Selector};
use crate::world::Uptime;

/// An import that does not go on for so many seconds is forgotten.
const FORGOTTEN_AFTER: u64 = 60;
/// Meters whose stored frames are read for a test.
const MOST_READ: usize = 100;

/// Keys of an import, until all of them are here.
pub(super) struct Staged {
    import: u64,
    /// In the pieces in which they came: a list that grew would leave copies of keys behind.
    keys: Vec<Vec<MeterKey>>,
    at: Uptime,
}

impl Staged {
    fn count(&self) -> usize {
        self.keys.iter().map(Vec::len).sum()
    }
}

impl Half {
    /// Whose keys there are, behind `after`.
    pub(super) fn marks(&self, after: Option<&str>) -> Result<Vec<KeyMark>, String> {
        let after: Option<Selector> = after.map(read_name).transpose()?;
        let list = self.collector.keys().list();
        let behind = list.iter().filter(|listed| after.is_none_or(|after| listed.selector > after));
        Ok(behind.take(KEYS_AT_ONCE).map(KeyMark::of).collect())
    }

    /// All keys or none.
    pub(super) fn add(&mut self, new: &[NewKey]) -> Result<KeysAdded, String> {
        let new = read_all(new)?;
        let added = self.insert(&new)?;
        // Whoever gives one meter its key again says that it was set up anew; a whole file is read again for others'
        // sake.
        if let [MeterKey { meter, .. }] = *new {
            let now = self.daemon.world.clock.uptime();
            self.collector.forget_protection(|heard| meter.matches(heard), now);
        }
        Ok(added)
    }

    /// What adding them would do.
    pub(super) fn compare(&self, new: &[NewKey]) -> Result<Vec<Inserted>, String> {
        let keys = self.collector.keys();
        Ok(read_all(new)?.iter().map(|entry| keys.compare(entry)).collect())
    }

    /// Keeps a piece of an import.
    pub(super) fn stage(&mut self, import: u64, new: &[NewKey]) -> Result<usize, String> {
        let at = self.daemon.world.clock.uptime();
        if self.staged.as_ref().is_some_and(|staged| staged.import != import) {
            return Err("another import of keys is going on: try again in a minute".to_owned());
        }
        let keys = read_all(new)?;
        let staged = self.staged.get_or_insert_with(|| Staged { import, keys: Vec::new(), at });
        if staged.count().saturating_add(keys.len()) > MAX_KEYS {
            self.staged = None;
            return Err(format!("more than {MAX_KEYS} keys; no key was added"));
        }
        staged.at = at;
        staged.keys.push(keys);
        Ok(staged.count())
    }

    /// Adds an import.
    pub(super) fn apply(&mut self, import: u64, count: usize) -> Result<KeysAdded, String> {
        let staged = self.staged.take_if(|staged| staged.import == import);
        let whole = staged.filter(|staged| staged.count() == count);
        let whole = whole.ok_or("the import was interrupted; no key was added: try it again")?;
        self.insert(whole.keys.iter().flatten())
    }

    /// Forgets an import that does not go on.
    pub(super) fn forget_staged(&mut self, now: Uptime) {
        self.staged.take_if(|staged| now.since(staged.at).as_secs() >= FORGOTTEN_AFTER);
    }

    /// Removes keys, all or none.
    pub(super) fn remove(&mut self, meters: &[String]) -> Result<usize, String> {
        let mut keys = self.vault.load()?;
        for meter in meters {
            let selector = read_name(meter)?;
            if !keys.remove(selector) {
                return Err(format!(
                    "there is no key under the name {selector} (\"vesigate keys list\" shows the names); no key was removed"
                ));
            }
        }
        self.vault.save(&keys)?;
        self.collector.set_keys(keys);
        Ok(meters.len())
    }

    /// A key that the utility sealed to this gateway.
    pub(super) fn take_key(&mut self, meter: MeterId, sealed: &SealedBox) -> Result<(), String> {
        let selector: Meter = meter.as_str().parse().map_err(|_| format!("{meter} is not a meter"))?;
        let key = sealed.open_key(meter, &self.vault.secret).map_err(|error| error.to_string())?;
        let entry = MeterKey { meter: Selector::Full(selector), key: Key::new(*key), q4: None };
        self.insert(&[entry]).map(|_| ())
    }

    /// Which meters open with their keys, by what is heard, or by frames that somebody brings.
    pub(super) async fn test(&mut self, frames: Option<Vec<String>>) -> Result<Vec<KeyTest>, String> {
        if let Some(frames) = frames {
            let mut trials = Trials::new(self.collector.keys());
            let read = frames.iter().filter_map(|frame| Frame::detect(&unhex(frame).ok()?).ok());
            read.for_each(|frame| trials.hear(frame));
            return Ok(trials.results());
        }
        let uptime = self.daemon.world.clock.uptime();
        let mut heard = self.collector.heard_meters(uptime);
        heard.truncate(MAX_METERS);
        let mut stored = Vec::new();
        for (meter, opens) in heard.iter().filter(|(_, opens)| !opens).take(MOST_READ) {
            let meter = *meter;
            debug_assert!(!opens);
            if let Ok(Some(Ok(frames))) = self.writer.ask(move |store| store.sealed(meter)).await {
                stored.extend(frames.into_iter().map(|sealed| sealed.frame));
            }
        }
        let mut trials = Trials::new(self.collector.keys());
        for (meter, opens) in heard {
            trials.know(meter, opens);
        }
        let frames = stored.iter().map(Vec::as_slice).chain(self.collector.waiting_frames());
        frames.filter_map(|frame| Frame::bare(frame).ok()).for_each(|frame| trials.hear(frame));
        let mut tests = trials.results();
        tests.extend(self.collector.misfiled());
        tests.truncate(MAX_METERS);
        Ok(tests)
    }

    fn insert<'a>(&mut self, new: impl IntoIterator<Item = &'a MeterKey>) -> Result<KeysAdded, String> {
        let mut keys = self.vault.load()?;
        let (mut added, mut changed) = (KeysAdded::default(), HashSet::new());
        for entry in new {
            if keys.compare(&MeterKey { q4: None, ..entry.clone() }) != Inserted::Same {
                changed.insert(entry.meter);
            }
            added.count(keys.put(entry).map_err(|full| full.to_string())?);
        }
        if added.added + added.replaced > 0 {
            self.vault.save(&keys)?;
            self.collector.set_keys(keys);
            // What was recorded under another key does not open.
            let now = self.daemon.world.clock.uptime();
            let is_changed = |meter| Selector::candidates(meter).iter().any(|name| changed.contains(name));
            self.collector.forget_protection(is_changed, now);
        }
        Ok(added)
    }
}

fn read_name(text: &str) -> Result<Selector, String> {
    text.parse().map_err(|_| "a name is not a meter's".to_owned())
}

fn read_all(new: &[NewKey]) -> Result<Vec<MeterKey>, String> {
    if new.len() > KEYS_AT_ONCE {
        return Err(format!("more than {KEYS_AT_ONCE} keys at once"));
    }
    let mut keys = Vec::with_capacity(new.len());
    for new in new {
        keys.push(new.read().map_err(|error| format!("{error}; no key was added"))?);
    }
    Ok(keys)
}
