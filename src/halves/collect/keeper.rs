//! Changes of the keyring: one at a time, beside the loop that hears meters. Reading, sealing and writing a large one
//! takes seconds on a small machine.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::secrets::{ChangeError, Vault};
use crate::halves::control::Answer;
use crate::halves::questions::KeysAdded;
use crate::keyring::{Inserted, Keyring, MeterKey, Selector};

/// So many changes wait for the one under way; further ones are to be asked for later.
const WAITING: usize = 8;

/// A change, not begun yet.
pub(super) type Work = Box<dyn FnOnce(&Vault) -> Outcome + Send + Sync>;

/// What came of a change.
pub(super) struct Outcome {
    /// For whoever asked for it.
    pub(super) answer: Answer,
    /// The keys from now on, if they are others.
    pub(super) keys: Option<Keyring>,
    /// Whose keys are others.
    pub(super) changed: HashSet<Selector>,
    /// Whose key was given on its own, other or not.
    pub(super) named: Option<Selector>,
}

impl Outcome {
    /// Nothing was done.
    pub(super) fn of(answer: Answer) -> Self {
        Self { answer, keys: None, changed: HashSet::new(), named: None }
    }
}

/// Makes the changes.
pub(super) struct Keeper {
    /// The file.
    pub(super) vault: Arc<Vault>,
    waiting: VecDeque<(Work, oneshot::Sender<Answer>)>,
    running: Option<(JoinHandle<Outcome>, oneshot::Sender<Answer>)>,
    /// The file is to be loaded again.
    reload: bool,
}

impl Keeper {
    pub(super) const fn new(vault: Arc<Vault>) -> Self {
        Self { vault, waiting: VecDeque::new(), running: None, reload: false }
    }

    /// Whether a change would be turned away.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING
    }

    /// Makes a change when those before it are made.
    pub(super) fn ask(&mut self, work: Work, answer: oneshot::Sender<Answer>) {
        if self.is_full() {
            let _ = answer.send(Answer::Later("too many changes of keys at a time".to_owned()));
            return;
        }
        self.waiting.push_back((work, answer));
        self.begin();
    }

    /// Loads the file again: somebody may have brought another one.
    pub(super) fn reload(&mut self) {
        self.reload = true;
        self.begin();
    }

    /// The next change that is made; never, while there is none. May be dropped at any time.
    pub(super) async fn done(&mut self) -> (Outcome, oneshot::Sender<Answer>) {
        loop {
            let Some((task, _)) = &mut self.running else { return std::future::pending().await };
            let outcome = task.await;
            let ended = self.running.take();
            self.begin();
            if let (Ok(outcome), Some((_, answer))) = (outcome, ended) {
                return (outcome, answer);
            }
        }
    }

    /// Waits for the change under way; those behind it are not begun any more.
    pub(super) async fn finish(&mut self) {
        self.waiting.clear();
        self.reload = false;
        if let Some((task, answer)) = self.running.take()
            && let Ok(outcome) = task.await
        {
            let _ = answer.send(outcome.answer);
        }
    }

    fn begin(&mut self) {
        while self.running.is_none() {
            let (work, answer) = if std::mem::take(&mut self.reload) {
                (Box::new(load) as Work, oneshot::channel().0)
            } else if let Some((work, answer)) = self.waiting.pop_front() {
                // Whoever has not waited for it was told that it may not be done.
                if answer.is_closed() {
                    continue;
                }
                (work, answer)
            } else {
                return;
            };
            let vault = self.vault.clone();
            self.running = Some((spawn_blocking(move || work(&vault)), answer));
        }
    }
}

fn load(vault: &Vault) -> Outcome {
    match vault.load() {
        Ok(keys) => Outcome { keys: Some(keys), ..Outcome::of(Answer::of(&())) },
        Err(reason) => {
            tracing::error!("{reason}; the keys that were loaded before stay in force");
            Outcome::of(Answer::Later(reason))
        }
    }
}

/// Adds all of them or none.
pub(super) fn insert<'a>(
    vault: &Vault,
    new: impl IntoIterator<Item = &'a MeterKey>,
    answer: impl FnOnce(KeysAdded) -> Answer,
) -> Outcome {
    let done = vault.change(|keys| {
        let (mut added, mut changed) = (KeysAdded::default(), HashSet::new());
        for entry in new {
            if keys.compare(&MeterKey { q4: None, ..entry.clone() }) != Inserted::Same {
                changed.insert(entry.meter);
            }
            added.count(keys.put(entry).map_err(|full| format!("{full}; no key was added"))?);
        }
        Ok(((added, changed), added.added + added.replaced > 0))
    });
    settle(done, |(added, changed)| (answer(added), changed))
}

/// Removes all of them or none.
pub(super) fn remove(vault: &Vault, meters: &[Selector]) -> Outcome {
    let done = vault.change(|keys| {
        for selector in meters {
            if !keys.remove(*selector) {
                return Err(format!(
                    "there is no key under the name {selector} (\"vesigate keys list\" shows the names); no key was removed"
                ));
            }
        }
        Ok((meters.len(), !meters.is_empty()))
    });
    settle(done, |count| (Answer::of(&count), HashSet::new()))
}

fn settle<T>(
    done: Result<(T, Option<Keyring>), ChangeError<String>>,
    tell: impl FnOnce(T) -> (Answer, HashSet<Selector>),
) -> Outcome {
    match done {
        Ok((done, keys)) => {
            let (answer, changed) = tell(done);
            Outcome { answer, keys, changed, named: None }
        }
        Err(ChangeError::No(why)) => Outcome::of(Answer::Refused(why)),
        Err(ChangeError::NotNow(why)) => Outcome::of(Answer::Later(why)),
        Err(ChangeError::Unsure(why, keys)) => {
            Outcome { keys: Some(keys), ..Outcome::of(Answer::Later(why)) }
        }
    }
}
