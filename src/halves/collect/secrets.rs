//! The secrets of the receiving half: the keyring, and the key that the utility seals meter keys to.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use messages::seal::SecretKey;

use crate::config::{Config, Credentials, MeterList};
use crate::halves::{Fatal, identity};
use crate::keyring::{Keyring, SaveError, SealKey, lock, make_folder};

/// Where meter keys lie, and what opens them. What it does waits for the disk: not for the loop that hears meters.
#[derive(Debug)]
pub(super) struct Vault {
    path: PathBuf,
    seal: SealKey,
    /// Opens meter keys that were sealed to this gateway.
    pub(super) secret: SecretKey,
    /// So many damages of the file have been told.
    told: AtomicUsize,
}

impl Vault {
    /// As the configuration says, with the keyring as its file has it; our own key is made at the first start.
    pub(super) fn open(config: &Config, credentials: &Credentials) -> Result<(Self, Keyring), Fatal> {
        let path = config.keys.file.clone();
        // Whoever changes the file while nothing listens at our socket does it under this lock; the socket is there by
        // now. Where there is nothing to be locked, there is nothing that somebody changes.
        let made = make_folder(&path).and_then(|()| lock(&path));
        if let Err(error) = &made {
            tracing::warn!("the folder of {} cannot be locked: {error}", path.display());
        }
        let seal = config.keys.seal(credentials).map_err(|error| Fatal::Keys(error.to_string()))?;
        let own = config.gateway.data_dir.join("keys").join("collect");
        let secret = identity::read_or_create(&own).map_err(|error| Fatal::Keys(error.to_string()))?;
        let vault = Self { path, seal, secret, told: AtomicUsize::new(0) };
        let keys = vault.load().map_err(Fatal::Keys)?;
        Ok((vault, keys))
    }

    /// The keyring as its file has it.
    pub(super) fn load(&self) -> Result<Keyring, String> {
        let keys = Keyring::open(&self.path, &self.seal)
            .map_err(|error| format!("{} {error}", self.path.display()))?;
        let count = keys.damaged().len();
        if let Some(first) = keys.damaged().first()
            && self.told.load(Ordering::Relaxed) != count
        {
            tracing::warn!("{}: {count} damages, the first is: {first}", self.path.display());
        }
        self.told.store(count, Ordering::Relaxed);
        Ok(keys)
    }

    /// Changes the file as it is now; `change` says what came of it, and whether the file is to be written. The keyring
    /// is the one that the file has afterwards, if it was written.
    pub(super) fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Keyring) -> Result<(T, bool), E>,
    ) -> Result<(T, Option<Keyring>), ChangeError<E>> {
        let not_now = |error: std::io::Error| {
            ChangeError::NotNow(format!("{} cannot be locked: {error}", self.path.display()))
        };
        make_folder(&self.path).map_err(not_now)?;
        let _lock = lock(&self.path).map_err(not_now)?;
        let mut keys = self.load().map_err(ChangeError::NotNow)?;
        let (done, changed) = change(&mut keys).map_err(ChangeError::No)?;
        if !changed {
            return Ok((done, None));
        }
        match keys.save(&self.path, &self.seal) {
            Ok(()) => Ok((done, Some(keys))),
            Err(error @ SaveError::Untouched(_)) => {
                Err(ChangeError::NotNow(format!("{} {error}", self.path.display())))
            }
            Err(error @ SaveError::Unsure(_)) => {
                Err(ChangeError::Unsure(format!("{} {error}", self.path.display()), keys))
            }
        }
    }
}

/// Why a change is not made, or not for certain.
#[derive(Debug)]
pub(super) enum ChangeError<E> {
    /// The change itself says no: whenever it is tried, as long as the keys are the same.
    No(E),
    /// Something is in the way that may pass. Nothing has changed.
    NotNow(String),
    /// The file is this one now, but may not outlast a power cut.
    Unsure(String, Keyring),
}

/// The meter list; one that cannot be read is an empty one, said in the log. The configuration was checked with it.
pub(super) fn meter_list(config: &Config) -> Option<MeterList> {
    let Some(path) = &config.meter_list else { return Some(MeterList::default()) };
    match MeterList::load(path, &config.contacts) {
        Ok(list) => Some(list),
        Err(problems) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            None
        }
    }
}
