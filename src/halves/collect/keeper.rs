//! Changes of the keyring: one at a time, beside the loop that hears meters. Reading, sealing and writing a large one
//! takes seconds on a small machine.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::secrets::{ChangeError, Changed, Vault};
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

    /// Makes a change when those before it are made.
    pub(super) fn ask(&mut self, work: Work, answer: oneshot::Sender<Answer>) {
        if self.waiting.len() >= WAITING {
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
            self.running = Some((beside(move || work(&vault)), answer));
        }
    }
}

/// Does what handles keys on a thread for it. The thread then sleeps or does something else, and what calls leave on its
/// stack would lie there for long: it is cleared.
pub(super) fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_blocking(move || {
        let done = deeper(work);
        clear_below();
        done
    })
}

/// In a frame of its own, so that all of it is below the caller's.
#[inline(never)]
fn deeper<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Clears what calls have left on the stack, below the caller.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "as deep as the calls that it clears behind")]
pub(super) fn clear_below() {
    // Mutable, else it would be no part of the stack; and without a reader the writing would be left out.
    let mut room = [0u8; DEPTH];
    std::hint::black_box(&mut room);
}

/// More than the calls take that load, seal or try keys.
const DEPTH: usize = 1 << 17;

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
    done: Result<Changed<T>, ChangeError<String>>,
    tell: impl FnOnce(T) -> (Answer, HashSet<Selector>),
) -> Outcome {
    match done {
        Ok(Changed { done, keys, unsure }) => {
            let (answer, changed) = tell(done);
            Outcome { answer: unsure.map_or(answer, Answer::Later), keys, changed, named: None }
        }
        Err(ChangeError::No(why)) => Outcome::of(Answer::Refused(why)),
        Err(ChangeError::NotNow(why)) => Outcome::of(Answer::Later(why)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Credentials};
    use crate::keyring::parse_key;

    const KEY: &str = "000102030405060708090A0B0C0D0E0F";

    fn entry(name: &str) -> MeterKey {
        MeterKey { meter: name.parse().unwrap(), key: parse_key(KEY).unwrap(), q4: None }
    }

    fn vault(folder: &Path, keyring: &str) -> Vault {
        let data = folder.join("data");
        let text = format!(
            "[gateway]\ndata_dir = {data:?}\n[keys]\nfile = {:?}\nseal_file = {:?}\n",
            folder.join(keyring),
            folder.join("seal")
        );
        Vault::open(&Config::parse(folder, &text).unwrap(), &Credentials::default()).unwrap().0
    }

    fn add(vault: &Vault, name: &str) -> Answer {
        insert(vault, [&entry(name)], |added| Answer::of(&added)).answer
    }

    #[test]
    fn a_file_that_cannot_be_loaded_or_saved_now_is_to_be_tried_again_and_a_name_that_is_not_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = folder.path().join("keys/keyring");
        let good = vault(folder.path(), "keys/keyring");
        assert!(matches!(remove(&good, &["00000001".parse().unwrap()]).answer, Answer::Refused(_)));
        // Not to be loaded.
        std::fs::create_dir(&keyring).unwrap();
        assert!(matches!(add(&good, "00000001"), Answer::Later(_)));
        assert!(matches!(remove(&good, &["00000001".parse().unwrap()]).answer, Answer::Later(_)));
        assert!(matches!(load(&good).answer, Answer::Later(_)));
        // Not to be locked.
        std::fs::remove_dir_all(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("keys"), "").unwrap();
        assert!(matches!(add(&good, "00000001"), Answer::Later(_)));
        // Not to be saved: the name of the file beside it is longer than names may be.
        let long = vault(folder.path(), &"k".repeat(250));
        let Answer::Later(why) = add(&long, "00000001") else { panic!("saved") };
        assert!(why.ends_with("nothing was changed"), "{why}");
        // It passes.
        std::fs::remove_file(folder.path().join("keys")).unwrap();
        assert!(matches!(add(&good, "00000001"), Answer::Ok(_)));
        assert!(matches!(remove(&good, &["00000001".parse().unwrap()]).answer, Answer::Ok(_)));
    }

    #[tokio::test]
    async fn changes_are_made_one_after_the_other_and_too_many_are_to_be_asked_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Arc::new(vault(folder.path(), "keyring")));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let (first, told) = oneshot::channel();
        let work = move |vault: &Vault| {
            wait.lock().unwrap().recv().unwrap();
            Outcome::of(add(vault, "00000001"))
        };
        keeper.ask(Box::new(work), first);
        let mut answers = vec![told];
        for name in 2..=WAITING + 2 {
            let (answer, told) = oneshot::channel();
            keeper.ask(Box::new(move |vault| Outcome::of(add(vault, &format!("{name:08}")))), answer);
            answers.push(told);
        }
        // Nobody waits for the second one any more, and the last one has no place.
        drop(answers.remove(1));
        assert!(matches!(answers.pop().unwrap().try_recv(), Ok(Answer::Later(_))));
        go.send(()).unwrap();
        for mut told in answers {
            let (outcome, answer) = keeper.done().await;
            assert!(matches!(outcome.answer, Answer::Ok(_)));
            answer.send(outcome.answer).unwrap();
            assert!(matches!(told.try_recv(), Ok(Answer::Ok(_))));
        }
        let keys = keeper.vault.load().unwrap();
        let names: Vec<_> = keys.list().iter().map(|listed| listed.selector.to_string()).collect();
        let asked = [1, 3, 4, 5, 6, 7, 8, 9].map(|name| format!("{name:08}"));
        assert_eq!(names, asked);
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_change_under_way_and_the_others_are_to_be_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Arc::new(vault(folder.path(), "keyring")));
        let ((first, mut told), (second, mut untold)) = (oneshot::channel(), oneshot::channel());
        keeper.ask(Box::new(|vault| Outcome::of(add(vault, "00000001"))), first);
        keeper.ask(Box::new(|vault| Outcome::of(add(vault, "00000002"))), second);
        keeper.finish().await;
        assert!(matches!(told.try_recv(), Ok(Answer::Ok(_))));
        assert!(untold.try_recv().is_err());
        assert_eq!(keeper.vault.load().unwrap().len(), 1);
    }
}
