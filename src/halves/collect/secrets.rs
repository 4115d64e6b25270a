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

    /// Changes the file as it is now; `change` says what came of it, and whether the file is to be written.
    pub(super) fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Keyring) -> Result<(T, bool), E>,
    ) -> Result<Changed<T>, ChangeError<E>> {
        let not_now = |error: std::io::Error| {
            ChangeError::NotNow(format!("{} cannot be locked: {error}", self.path.display()))
        };
        make_folder(&self.path).map_err(not_now)?;
        let _lock = lock(&self.path).map_err(not_now)?;
        let mut keys = self.load().map_err(ChangeError::NotNow)?;
        let (done, is_other) = change(&mut keys).map_err(ChangeError::No)?;
        if !is_other {
            return Ok(Changed { done, keys: None, unsure: None });
        }
        let saved = keys.save(&self.path, &self.seal);
        let why = |error: &SaveError| format!("{} {error}", self.path.display());
        match saved {
            Ok(()) => Ok(Changed { done, keys: Some(keys), unsure: None }),
            Err(error @ SaveError::Unsure(_)) => {
                Ok(Changed { done, keys: Some(keys), unsure: Some(why(&error)) })
            }
            Err(error @ SaveError::Untouched(_)) => Err(ChangeError::NotNow(why(&error))),
        }
    }
}

/// A change that is made.
#[derive(Debug)]
pub(super) struct Changed<T> {
    /// What came of it.
    pub(super) done: T,
    /// The keyring as the file has it now, if it was written.
    pub(super) keys: Option<Keyring>,
    /// Why it may not outlast a power cut.
    pub(super) unsure: Option<String>,
}

/// Why a change is not made.
#[derive(Debug)]
pub(super) enum ChangeError<E> {
    /// The change itself says no: whenever it is tried, as long as the keys are the same.
    No(E),
    /// Something is in the way that may pass.
    NotNow(String),
}

/// The meter list, or what is wrong with it, which the log says, too. The configuration was checked with it.
pub(super) fn meter_list(config: &Config) -> Result<MeterList, String> {
    let Some(path) = &config.meter_list else { return Ok(MeterList::default()) };
    MeterList::load(path, &config.contacts).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::error!("{problem}");
        }
        problems.join("\n")
    })
}
