//! The secrets of the receiving half: the keyring, and the key that the utility seals meter keys to.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use messages::seal::SecretKey;
use zeroize::Zeroizing;

use crate::config::{Config, Credentials, MeterList};
use crate::halves::Fatal;
use crate::keyring::Keyring;
use crate::keyring::SealKey;
use crate::world::random;

/// Where meter keys lie, and what opens them.
#[derive(Debug)]
pub(super) struct Vault {
    path: PathBuf,
    seal: SealKey,
    /// Opens meter keys that were sealed to this gateway.
    pub(super) secret: SecretKey,
}

impl Vault {
    /// As the configuration says; our own key is made at the first start.
    pub(super) fn open(config: &Config, credentials: &Credentials) -> Result<Self, Fatal> {
        let seal = config.keys.seal(credentials).map_err(|error| Fatal::Keys(error.to_string()))?;
        let path = config.gateway.data_dir.join("keys").join("collect");
        let secret = own_key(&path).map_err(|error| Fatal::File { path, error })?;
        Ok(Self { path: config.keys.file.clone(), seal, secret })
    }

    /// The keyring as its file has it.
    pub(super) fn load(&self) -> Result<Keyring, String> {
        let keys = Keyring::open(&self.path, &self.seal)
            .map_err(|error| format!("{} {error}", self.path.display()))?;
        for damage in keys.damaged() {
            tracing::warn!("{}: {damage}", self.path.display());
        }
        Ok(keys)
    }

    /// Writes the keyring's file.
    pub(super) fn save(&self, keys: &Keyring) -> Result<(), String> {
        if let Some(directory) = self.path.parent() {
            let _ = std::fs::create_dir_all(directory);
        }
        keys.save(&self.path, &self.seal)
            .map_err(|error| format!("{} cannot be written: {error}", self.path.display()))
    }
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

/// Reads the key at `path`, or makes one.
fn own_key(path: &Path) -> io::Result<SecretKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    match File::open(path) {
        Ok(mut file) => {
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(io::Error::other("others may read it: run chmod 600 on it"));
            }
            file.read_exact(bytes.as_mut_slice())
                .map_err(|_| io::Error::other("is no key: bring it back from the backup, or delete it"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            *bytes = random();
            make(path, bytes.as_slice())?;
        }
        Err(error) => return Err(error),
    }
    Ok(SecretKey::from_bytes(*bytes))
}

/// Writes a new file, whole or not at all.
fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(directory)?;
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}
