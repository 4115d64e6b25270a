//! `[keys]` and `[collect]`: what the receiving half needs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::secret::{Credentials, STORES};
use super::section::Section;
use crate::keyring::{Flow, SealError, SealFault, SealKey};

/// Where meter keys lie, and the key that seals them.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The sealed keyring.
    pub file: PathBuf,
    /// The credential that holds the seal key; used when the service manager passes it on.
    pub seal_credential: String,
    /// The file that holds the seal key otherwise; made at the first start.
    pub seal_file: PathBuf,
}

impl fmt::Debug for Keys {
    /// Without the credential's name: somebody may have put the key itself there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("file", &self.file)
            .field("seal_file", &self.seal_file)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn default_in(data_dir: &Path) -> Self {
        let keys = data_dir.join("keys");
        Self {
            file: keys.join("keyring"),
            seal_credential: "vesigate.seal".to_owned(),
            seal_file: keys.join("seal"),
        }
    }

    /// The seal key: the credential if there is one, else the file. The file is made if there is no keyring yet that
    /// another key may have sealed.
    ///
    /// # Errors
    /// When it is not to be had, or others may read it.
    pub fn seal(&self, credentials: &Credentials) -> Result<SealKey, SealError> {
        self.or_made(self.kept_seal(credentials)?)
    }

    /// The seal key; `None` if there is none, and no keyring that it would have sealed.
    fn kept_seal(&self, credentials: &Credentials) -> Result<Option<SealKey>, SealError> {
        match credentials.path(&self.seal_credential).filter(|path| path.exists()) {
            Some(path) => SealKey::read(&path).map(Some),
            None if self.file.exists() || self.seal_file.exists() => SealKey::read(&self.seal_file).map(Some),
            None => Ok(None),
        }
    }

    fn or_made(&self, kept: Option<SealKey>) -> Result<SealKey, SealError> {
        kept.map_or_else(|| SealKey::read_or_create(&self.seal_file), Ok)
    }

    /// The same for a command that somebody types: the service manager passes no credentials on to it, so it looks where
    /// that one would. Without this a command would make a second seal key that the service never reads.
    ///
    /// # Errors
    /// As [`Keys::seal`], and when the credential is one that only the service manager can decrypt.
    pub fn seal_by_hand(&self, credentials: &Credentials, stores: &Path) -> Result<SealKey, SealError> {
        self.or_made(self.kept_seal_by_hand(credentials, stores)?)
    }

    /// The same for one that only looks: `None` if there is none, and no keyring that it would have sealed.
    ///
    /// # Errors
    /// As [`Keys::seal_by_hand`].
    pub fn kept_seal_by_hand(
        &self,
        credentials: &Credentials,
        stores: &Path,
    ) -> Result<Option<SealKey>, SealError> {
        match self.seal_place(credentials, stores)? {
            Some(path) => SealKey::read(&path).map(Some),
            None => self.kept_seal(credentials),
        }
    }

    /// Where [`Keys::seal_by_hand`] finds the seal key; `None` if there is none yet.
    ///
    /// # Errors
    /// When it is a credential that only the service manager can decrypt.
    pub fn seal_place(&self, credentials: &Credentials, stores: &Path) -> Result<Option<PathBuf>, SealError> {
        if let Some(path) = credentials.path(&self.seal_credential).filter(|path| path.exists()) {
            return Ok(Some(path));
        }
        for store in STORES {
            let path = stores.join(store).join(&self.seal_credential);
            if path.exists() {
                return Ok(Some(path));
            }
            let path = stores.join(format!("{store}.encrypted")).join(&self.seal_credential);
            if path.exists() {
                return Err(SealError { path, why: SealFault::Encrypted });
            }
        }
        Ok(Some(self.seal_file.clone()).filter(|path| path.exists()))
    }

    /// The one or the other, as these credentials are a service's or a command's.
    ///
    /// # Errors
    /// As [`Keys::seal`] and [`Keys::seal_by_hand`].
    pub fn seal_for(&self, credentials: &Credentials) -> Result<SealKey, SealError> {
        match credentials.stores() {
            Some(root) => self.seal_by_hand(credentials, root),
            None => self.seal(credentials),
        }
    }

    pub(super) fn read(section: &Section<'_>, data_dir: &Path) -> Self {
        let default = Self::default_in(data_dir);
        let credential = section.text("seal_credential", "write a name such as \"vesigate.seal\"", |text| {
            Credentials::is_name(text).then(|| text.to_owned()).ok_or("is not the name of a credential")
        });
        Self {
            file: section.path("file").unwrap_or(default.file),
            seal_credential: credential.unwrap_or(default.seal_credential),
            seal_file: section.path("seal_file").unwrap_or(default.seal_file),
        }
    }
}

/// How readings are gathered, checked and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// How long rows of an hour are gathered into one block.
    pub block_every: Duration,
    /// The most rows in one block.
    pub block_rows: u32,
    /// The overload flow Q4 of meters for which neither key file nor list gives one; readings that rise twice as fast
    /// are set aside.
    pub default_q4: Flow,
    /// The most bytes the store may take.
    pub store_budget: u64,
    /// How long acknowledged rows stay at least, unless the budget needs the space.
    pub keep_acknowledged: Duration,
    /// How long any row stays at most.
    pub keep_at_most: Duration,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            block_every: Duration::from_secs(60),
            block_rows: 5000,
            default_q4: Flow::litres_per_hour(5000),
            store_budget: 200_000_000,
            keep_acknowledged: 35 * DAY,
            keep_at_most: 100 * DAY,
        }
    }
}

impl Collect {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let q4 = section.text("default_q4", "write a flow such as \"5 m3/h\" or \"3.125 m3/h\"", |text| {
            Flow::parse(text).ok_or("is not a flow in cubic metres per hour")
        });
        let read = Self {
            block_every: section
                .duration("block_every", Duration::from_secs(1)..=Duration::from_secs(600))
                .unwrap_or(default.block_every),
            block_rows: section.number("block_rows", 1..=50_000).unwrap_or(default.block_rows),
            default_q4: q4.unwrap_or(default.default_q4),
            store_budget: section
                .size("store_budget", 20_000_000..=20_000_000_000)
                .unwrap_or(default.store_budget),
            keep_acknowledged: section
                .duration("keep_acknowledged", DAY..=100 * DAY)
                .unwrap_or(default.keep_acknowledged),
            keep_at_most: section.duration("keep_at_most", DAY..=100 * DAY).unwrap_or(default.keep_at_most),
        };
        if read.keep_acknowledged > read.keep_at_most {
            section.reject(
                "keep_acknowledged",
                "is longer than keep_at_most",
                "write a time that is not longer than keep_at_most",
            );
        }
        read
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_command_finds_the_seal_key_where_the_service_manager_does() {
        let root = tempfile::tempdir().unwrap();
        let keys = Keys::default_in(root.path());
        let by_hand = || keys.seal_by_hand(&Credentials::default(), root.path());
        let store = root.path().join("etc/credstore");
        fs::create_dir_all(&store).unwrap();
        fs::write(store.join("vesigate.seal"), [7; 32]).unwrap();
        // Readable for everybody: found and refused, no other one made.
        fs::set_permissions(store.join("vesigate.seal"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert_eq!(by_hand().unwrap_err().why, SealFault::Readable { mode: 0o644 });
        fs::set_permissions(store.join("vesigate.seal"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        assert!(by_hand().is_ok() && !keys.seal_file.exists());
        fs::rename(&store, root.path().join("etc/credstore.encrypted")).unwrap();
        assert_eq!(by_hand().unwrap_err().why, SealFault::Encrypted);
        fs::remove_dir_all(root.path().join("etc")).unwrap();
        assert!(by_hand().is_ok() && keys.seal_file.exists());
    }
}
