//! Where the keys are: with the running half, or in its file.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::config::{Config, Credentials};
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{KEYS_AT_ONCE, KeyMark, KeysAdded, NewKey, OfCollect};
use crate::keyring::trial::KeyTest;
use crate::keyring::{Inserted, Keyring, MeterKey, SealKey, Selector};
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
        let line = Line::to(config)?;
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
        match self {
            Self::File(ring) => {
                let mut added = KeysAdded::default();
                for entry in new {
                    added.count(ring.keys.put(entry).map_err(|full| full.to_string())?);
                }
                ring.save()?;
                Ok(added)
            }
            Self::Running(line) if new.len() <= KEYS_AT_ONCE => {
                line.ask(&OfCollect::KeysAdd { keys: new.iter().map(|entry| NewKey::of(entry)).collect() })
            }
            Self::Running(line) => {
                let import = u64::from_le_bytes(random());
                let mut progress = Progress::new("importing", new.len());
                for some in new.chunks(KEYS_AT_ONCE) {
                    let keys = some.iter().map(|entry| NewKey::of(entry)).collect();
                    progress.at(line.ask(&OfCollect::KeysStage { import, keys })?);
                }
                line.ask(&OfCollect::KeysApply { import, count: new.len() })
            }
        }
    }

    /// Removes all of them or none.
    pub(super) fn remove(&mut self, meters: &[Selector]) -> Result<(), String> {
        match self {
            Self::File(ring) => {
                for meter in meters {
                    if !ring.keys.remove(*meter) {
                        return Err(format!(
                            "there is no key under the name {meter} (\"vesigate keys list\" shows the names); no key was removed"
                        ));
                    }
                }
                ring.save()
            }
            Self::Running(line) => {
                let meters = meters.iter().map(ToString::to_string).collect();
                line.ask::<usize>(&OfCollect::KeysRemove { meters }).map(|_| ())
            }
        }
    }
}

/// The line to the running half.
pub(super) struct Line {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Line {
    fn to(config: &Config) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Self { socket: config.status.collect_sockets().join("control.sock"), runtime })
    }

    /// The answer; `None` if the half does not run.
    fn try_ask<A: DeserializeOwned>(&self, question: &OfCollect) -> Result<Option<A>, String> {
        match self.runtime.block_on(ask(&self.socket, question)) {
            Ok(answer) => Ok(Some(answer)),
            Err(AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => Ok(None),
            Err(error @ AskError::Refused(_)) => Err(error.to_string()),
            Err(error) => Err(format!("the gateway runs, but {error}")),
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
    pub(super) keys: Keyring,
    path: PathBuf,
    seal: SealKey,
}

impl Ring {
    fn open(config: &Config) -> Result<Self, String> {
        let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let seal =
            config.keys.seal_by_hand(&credentials, Path::new("/")).map_err(|error| error.to_string())?;
        let path = config.keys.file.clone();
        let keys = Keyring::open(&path, &seal).map_err(|error| format!("{} {error}", path.display()))?;
        for damage in keys.damaged() {
            let _ = writeln!(io::stderr(), "vesigate keys: {}: {damage}", path.display());
        }
        Ok(Self { keys, path, seal })
    }

    fn save(&self) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("{} cannot be written: {error}; no key was changed", self.path.display())
        };
        self.keys.save(&self.path, &self.seal).map_err(failed)
    }
}

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
