//! Where the keys are: with the running half, or in its file.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::config::{Config, Credentials, Keys};
use crate::halves::control::{AskError, ask, is_there};
use crate::halves::questions::{KEYS_AT_ONCE, KeyMark, KeysAdded, NewKey, OfCollect};
use crate::keyring::trial::KeyTest;
use crate::keyring::{Inserted, Keyring, MeterKey, SealError, SealKey, Selector, lock, make_folder};
use crate::world::random;

/// Where keys are read and changed.
pub(super) enum Place {
    /// The running half has them; what is changed is in force at once.
    Running(Line),
    /// It does not run: its file.
    File(Box<Ring>),
}

impl Place {
    /// With the running half if it runs, else in the file.
    pub(super) fn find(config: &Config) -> Result<Self, String> {
        let line = Line::to(socket(config))?;
        match line.try_ask::<Vec<Inserted>>(&OfCollect::KeysCompare { keys: Vec::new() })? {
            Some(_) => Ok(Self::Running(line)),
            None => Ring::open(config).map(|ring| Self::File(Box::new(ring))).map_err(|error| {
                if rustix::process::geteuid().is_root() {
                    return error;
                }
                format!(
                    "{error}. The gateway does not run, so this works on its files: use sudo, or start it"
                )
            }),
        }
    }

    /// Every key's name and mark.
    pub(super) fn list(&self) -> Result<Vec<KeyMark>, String> {
        let line = match self {
            Self::File(ring) => return Ok(ring.keys.list().iter().map(KeyMark::of).collect()),
            Self::Running(line) => line,
        };
        let mut all: Vec<KeyMark> = Vec::new();
        loop {
            let after = all.last().map(|last| last.meter.clone());
            let some: Vec<KeyMark> = line.ask(&OfCollect::KeysList { after })?;
            let more = some.len() >= KEYS_AT_ONCE;
            all.extend(some);
            if !more {
                return Ok(all);
            }
        }
    }

    /// What adding these would do.
    pub(super) fn compare(&self, new: &[&MeterKey]) -> Result<Vec<Inserted>, String> {
        let line = match self {
            Self::File(ring) => return Ok(new.iter().map(|entry| ring.keys.compare(entry)).collect()),
            Self::Running(line) => line,
        };
        let mut done = Vec::with_capacity(new.len());
        let mut progress = Progress::new("comparing", new.len());
        for some in new.chunks(KEYS_AT_ONCE) {
            let keys = some.iter().map(|entry| NewKey::of(entry)).collect();
            done.extend(line.ask::<Vec<Inserted>>(&OfCollect::KeysCompare { keys })?);
            progress.at(done.len());
        }
        Ok(done)
    }

    /// Adds all of them or none.
    pub(super) fn add(&mut self, new: &[&MeterKey]) -> Result<KeysAdded, String> {
        let in_file = self.change_file(|keys| {
            let mut added = KeysAdded::default();
            for entry in new {
                added.count(keys.put(entry).map_err(|full| format!("{full}; no key was added"))?);
            }
            Ok(added)
        });
        let line = match in_file? {
            Change::Done(added) => return Ok(added),
            Change::ByThis(line) => line,
        };
        let keys = |some: &[&MeterKey]| some.iter().map(|entry| NewKey::of(entry)).collect();
        if new.len() <= KEYS_AT_ONCE {
            return line.change(&OfCollect::KeysAdd { keys: keys(new) });
        }
        let import = u64::from_le_bytes(random());
        let mut progress = Progress::new("importing", new.len());
        for some in new.chunks(KEYS_AT_ONCE) {
            progress.at(line.ask(&OfCollect::KeysStage { import, keys: keys(some) })?);
        }
        line.change(&OfCollect::KeysApply { import, count: new.len() })
    }

    /// Removes all of them or none.
    pub(super) fn remove(&mut self, meters: &[Selector]) -> Result<(), String> {
        let in_file = self.change_file(|keys| {
            for meter in meters {
                if !keys.remove(*meter) {
                    return Err(format!(
                        "there is no key under the name {meter} (\"vesigate keys list\" shows the names); no key was removed"
                    ));
                }
            }
            Ok(())
        });
        match in_file? {
            Change::Done(()) => Ok(()),
            Change::ByThis(line) => {
                let meters = meters.iter().map(ToString::to_string).collect();
                line.change::<usize>(&OfCollect::KeysRemove { meters }).map(|_| ())
            }
        }
    }

    /// Changes the file if the half does not run. It may have been started since it was looked for; then it is the one
    /// to be asked.
    fn change_file<T>(
        &mut self,
        change: impl FnOnce(&mut Keyring) -> Result<T, String>,
    ) -> Result<Change<'_, T>, String> {
        if let Self::File(ring) = self {
            if let Some(done) = ring.change(change)? {
                return Ok(Change::Done(done));
            }
            *self = Self::Running(Line::to(ring.socket.clone())?);
        }
        match self {
            Self::Running(line) => Ok(Change::ByThis(line)),
            Self::File(_) => Err("the gateway was started meanwhile: try again".to_owned()),
        }
    }
}

/// Who makes a change.
enum Change<'a, T> {
    /// It is made, in the file.
    Done(T),
    /// The running half is to be asked.
    ByThis(&'a Line),
}

fn socket(config: &Config) -> PathBuf {
    config.status.collect_sockets().join("control.sock")
}

/// The line to the running half.
pub(super) struct Line {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Line {
    fn to(socket: PathBuf) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Self { socket, runtime })
    }

    /// The answer; `None` if the half does not run.
    fn try_ask<A: DeserializeOwned>(&self, question: &OfCollect) -> Result<Option<A>, String> {
        match self.runtime.block_on(ask(&self.socket, question)) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.says_it_does_not_run() => Ok(None),
            Err(error @ AskError::Refused(_)) => Err(error.to_string()),
            Err(error) => Err(format!("the gateway runs, but {error}")),
        }
    }

    /// The same for what changes something: without an answer it is not known whether it does.
    fn change<A: DeserializeOwned>(&self, question: &OfCollect) -> Result<A, String> {
        match self.runtime.block_on(ask(&self.socket, question)) {
            Ok(answer) => Ok(answer),
            Err(error) if error.says_it_does_not_run() => {
                Err("the gateway has stopped meanwhile; no key was changed: try again".to_owned())
            }
            Err(error @ (AskError::Refused(_) | AskError::Io(io::ErrorKind::PermissionDenied))) => {
                Err(error.to_string())
            }
            Err(error) => Err(format!(
                "the gateway runs, but {error}: what you asked for may have been done all the same; look with \"vesigate keys list\", and try again if not"
            )),
        }
    }

    fn ask<A: DeserializeOwned>(&self, question: &OfCollect) -> Result<A, String> {
        self.try_ask(question)?.ok_or_else(|| "the gateway has stopped meanwhile: try again".to_owned())
    }

    /// Which meters open with their keys.
    pub(super) fn test(&self, frames: Option<Vec<String>>) -> Result<Vec<KeyTest>, String> {
        self.ask(&OfCollect::KeysTest { frames })
    }
}

/// The keyring's file and what opens it.
pub(super) struct Ring {
    /// As they were when it was looked.
    pub(super) keys: Keyring,
    config: Keys,
    credentials: Credentials,
    socket: PathBuf,
}

impl Ring {
    /// Only looks: nothing is made or written.
    fn open(config: &Config) -> Result<Self, String> {
        let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let (config, socket) = (config.keys.clone(), socket(config));
        let seal =
            config.kept_seal_by_hand(&credentials, Path::new("/")).map_err(|error| error.to_string())?;
        let keys = seal.map_or_else(|| Ok(Keyring::new()), |seal| load(&config.file, &seal))?;
        for damage in keys.damaged().iter().take(MOST_DAMAGES) {
            let _ = writeln!(io::stderr(), "vesigate keys: {}: {damage}", config.file.display());
        }
        if let more @ 1.. = keys.damaged().len().saturating_sub(MOST_DAMAGES) {
            let _ = writeln!(io::stderr(), "vesigate keys: and {more} more");
        }
        Ok(Self { keys, config, credentials, socket })
    }

    /// Changes the file as it is now, whoever has changed it since it was looked at; `None` if the half runs, which then
    /// is the one to change it.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Keyring) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let path = &self.config.file;
        let failed =
            |error: io::Error| format!("{} cannot be written: {error}; no key was changed", path.display());
        make_folder(path).map_err(failed)?;
        let _lock = lock(path).map_err(failed)?;
        // The half opens its socket before it loads the file, which it does under the lock.
        if is_there(&self.socket) {
            return Ok(None);
        }
        let wrong = |error: SealError| error.to_string();
        let stores = Path::new("/");
        let kept = self.config.kept_seal_by_hand(&self.credentials, stores).map_err(wrong)?;
        let mut keys = kept.map_or_else(|| Ok(Keyring::new()), |seal| load(path, &seal))?;
        let done = change(&mut keys)?;
        let seal = self.config.seal_by_hand(&self.credentials, stores).map_err(wrong)?;
        keys.save(path, &seal).map_err(|error| format!("{} {error}", path.display()))?;
        self.keys = keys;
        Ok(Some(done))
    }
}

fn load(path: &Path, seal: &SealKey) -> Result<Keyring, String> {
    Keyring::open(path, seal).map_err(|error| format!("{} {error}", path.display()))
}

/// So many damaged entries are named.
const MOST_DAMAGES: usize = 20;

/// Tells on a terminal how far a long piece of work is.
struct Progress {
    what: &'static str,
    all: usize,
    shown: bool,
}

impl Progress {
    fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, shown: all > KEYS_AT_ONCE && io::stderr().is_terminal() }
    }

    fn at(&mut self, done: usize) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{}: {done} of {} keys", self.what, self.all);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}
