//! The keyring at work: what the receiving half answers about keys. Every change is all or nothing: the file is written
//! first, and what is in force follows it.

use std::sync::Arc;

use messages::MeterId;
use messages::seal::SealedBox;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wmbus::{Frame, Key, Meter};

use super::Half;
use super::keeper::{self, Outcome};
use crate::decode::unhex;
use crate::halves::control::Answer;
use crate::halves::questions::{KEYS_AT_ONCE, KeyMark, NewKey};
use crate::keyring::trial::{KeyTest, MAX_METERS, Trials};
use crate::keyring::{Inserted, Keyring, MAX_KEYS, MeterKey, Selector};
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
    pub(super) fn add(&mut self, new: &[NewKey], answer: oneshot::Sender<Answer>) {
        let new = match read_all(new) {
            Ok(new) => new,
            Err(why) => return say(answer, Answer::Refused(why)),
        };
        let work = move |vault: &_| {
            let outcome = keeper::insert(vault, &new, |added| Answer::of(&added));
            // Whoever gives one meter its key again says that it was set up anew; a whole file is read again for
            // others' sake.
            match (&outcome.answer, new.as_slice()) {
                (Answer::Ok(_), [MeterKey { meter, .. }]) => Outcome { named: Some(*meter), ..outcome },
                _ => outcome,
            }
        };
        self.keeper.ask(Box::new(work), answer);
    }

    /// A change is made.
    pub(super) fn made(&mut self, outcome: Outcome, answer: oneshot::Sender<Answer>) {
        let Outcome { answer: told, keys, changed, named } = outcome;
        let now = self.daemon.world.clock.uptime();
        if let Some(keys) = keys {
            self.collector.set_keys(keys);
            // What was recorded under another key does not open.
            let is_changed = |meter| Selector::candidates(meter).iter().any(|name| changed.contains(name));
            self.collector.forget_protection(is_changed, now);
            // Where telegrams were opened with keys that are gone now.
            keeper::clear_below();
        }
        if let Some(named) = named {
            self.collector.forget_protection(|heard| named.matches(heard), now);
        }
        say(answer, told);
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
    pub(super) fn apply(&mut self, import: u64, count: usize, answer: oneshot::Sender<Answer>) {
        let staged = self.staged.take_if(|staged| staged.import == import);
        let Some(whole) = staged.filter(|staged| staged.count() == count) else {
            let why = "the import was interrupted; no key was added: try it again";
            return say(answer, Answer::Refused(why.to_owned()));
        };
        let work =
            move |vault: &_| keeper::insert(vault, whole.keys.iter().flatten(), |added| Answer::of(&added));
        self.keeper.ask(Box::new(work), answer);
    }

    /// Forgets an import that does not go on.
    pub(super) fn forget_staged(&mut self, now: Uptime) {
        self.staged.take_if(|staged| now.since(staged.at).as_secs() >= FORGOTTEN_AFTER);
    }

    /// Removes keys, all or none.
    pub(super) fn remove(&mut self, meters: &[String], answer: oneshot::Sender<Answer>) {
        let meters: Result<Vec<Selector>, String> = meters.iter().map(|meter| read_name(meter)).collect();
        match meters {
            Ok(meters) => self.keeper.ask(Box::new(move |vault| keeper::remove(vault, &meters)), answer),
            Err(why) => say(answer, Answer::Refused(why)),
        }
    }

    /// A key that the utility sealed to this gateway.
    pub(super) fn take_key(&mut self, meter: MeterId, sealed: SealedBox, answer: oneshot::Sender<Answer>) {
        let Ok(selector) = meter.as_str().parse::<Meter>() else {
            return say(answer, Answer::Refused(format!("{meter} is not a meter")));
        };
        let work = move |vault: &super::secrets::Vault| match sealed.open_key(meter, &vault.secret) {
            Ok(key) => {
                let entry = MeterKey { meter: Selector::Full(selector), key: Key::new(*key), q4: None };
                keeper::insert(vault, [&entry], |_| Answer::of(&()))
            }
            Err(error) => Outcome::of(Answer::Refused(error.to_string())),
        };
        self.keeper.ask(Box::new(work), answer);
    }

    /// Which meters open with their keys, by what is heard, or by frames that somebody brings. The search for other keys
    /// that open them tries hundreds of thousands, beside the loop and for one caller at a time.
    pub(super) async fn test(&mut self, frames: Option<Vec<String>>, answer: oneshot::Sender<Answer>) {
        let Ok(place) = self.testing.clone().try_acquire_owned() else {
            return say(answer, Answer::Later("another test of keys is going on".to_owned()));
        };
        let keys = self.collector.keys().clone();
        let test = match frames {
            Some(frames) => {
                Test { keys, known: Vec::new(), frames: Frames::Brought(frames), more: Vec::new() }
            }
            None => {
                let (known, frames) = self.to_be_tested().await;
                Test { keys, known, frames: Frames::Heard(frames), more: self.collector.misfiled() }
            }
        };
        // It ends by itself, and nothing waits for it but the caller.
        drop(keeper::beside(move || test.run(answer, place)));
    }

    /// Meters that are heard and whether they open, and frames of those that do not.
    async fn to_be_tested(&self) -> (Vec<(Meter, bool)>, Vec<Vec<u8>>) {
        let mut heard = self.collector.heard_meters(self.daemon.world.clock.uptime());
        heard.truncate(MAX_METERS);
        let mut frames = Vec::new();
        for (meter, _) in heard.iter().filter(|(_, opens)| !opens).take(MOST_READ) {
            let meter = *meter;
            if let Ok(Some(Ok(stored))) = self.writer.ask(move |store| store.sealed(meter)).await {
                frames.extend(stored.into_iter().map(|sealed| sealed.frame));
            }
        }
        frames.extend(self.collector.waiting_frames().map(<[u8]>::to_vec));
        (heard, frames)
    }
}

/// A test of keys, with all that it needs.
struct Test {
    keys: Arc<Keyring>,
    known: Vec<(Meter, bool)>,
    frames: Frames,
    /// What is known without a test.
    more: Vec<KeyTest>,
}

enum Frames {
    /// In hexadecimal.
    Brought(Vec<String>),
    Heard(Vec<Vec<u8>>),
}

impl Test {
    fn run(self, answer: oneshot::Sender<Answer>, place: OwnedSemaphorePermit) {
        let mut trials = Trials::new(&self.keys);
        for (meter, opens) in self.known {
            trials.know(meter, opens);
        }
        match &self.frames {
            Frames::Brought(frames) => {
                let read = frames.iter().filter_map(|frame| Frame::detect(&unhex(frame).ok()?).ok());
                read.for_each(|frame| trials.hear(frame));
            }
            Frames::Heard(frames) => {
                let read = frames.iter().filter_map(|frame| Frame::bare(frame).ok());
                read.for_each(|frame| trials.hear(frame));
            }
        }
        let mut tests = trials.results();
        tests.extend(self.more);
        tests.truncate(MAX_METERS);
        say(answer, Answer::of(&tests));
        drop(place);
    }
}

/// Whoever asked may have gone.
fn say(to: oneshot::Sender<Answer>, answer: Answer) {
    let _ = to.send(answer);
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
