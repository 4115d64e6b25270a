//! Passwords and private keys: never in the configuration file, but in files of their own or in credentials that the
//! service manager passes on.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::section::Section;
use crate::keyring::SealFault;

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that not everybody may read.
    File(PathBuf),
    /// A credential, by its name.
    Credential(String),
}

impl SecretSource {
    /// The largest secret that is read: 64 kB, enough for any private key.
    const MOST: usize = 65_536;

    /// Reads the secret; a line break at its end is not part of it.
    ///
    /// # Errors
    /// When it cannot be read, or everybody may read it.
    pub fn read(&self, credentials: &Credentials) -> Result<Secret, SecretError> {
        if let Some(secret) = credentials.held(self) {
            return Ok(secret);
        }
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => credentials.find(name)?,
        };
        let file = std::fs::File::open(&path).map_err(|error| SecretError::Io(error.kind()))?;
        let about = file.metadata().map_err(|error| SecretError::Io(error.kind()))?;
        if !about.is_file() {
            return Err(SecretError::NotAFile);
        }
        let mode = about.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(SecretError::Readable { mode: mode & 0o777 });
        }
        // Reserved at once: a buffer that grew would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(Self::MOST.saturating_add(1)));
        let limit = u64::try_from(text.capacity()).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut text).map_err(|error| SecretError::Io(error.kind()))?;
        if text.len() > Self::MOST {
            return Err(SecretError::TooLong);
        }
        while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            text.pop();
        }
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(Secret(text)) }
    }

    /// A file by its whole path, or a credential by its name.
    pub(super) fn from_section(section: &Section<'_>, key: &'static str) -> Option<Self> {
        let instead = "write the whole path of a file that holds the secret, or the name of a credential";
        section.text(key, instead, |text| {
            if text.starts_with('/') {
                Ok(Self::File(PathBuf::from(text)))
            } else if Credentials::is_name(text) {
                Ok(Self::Credential(text.to_owned()))
            } else {
                Err("is neither an absolute path nor the name of a credential")
            }
        })
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl fmt::Debug for SecretSource {
    /// Says of which kind it is only: somebody may have put the secret itself there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File(..)",
            Self::Credential(_) => "Credential(..)",
        })
    }
}

/// A password or private key, cleared when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes, for the protocol that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text; `None` if it is not UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where credentials are: in the directory in which systemd shows a service its own; for a command that somebody types
/// also where systemd takes them from. Secrets that are on no disk yet, to be tried, go before all of that.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    directory: Option<PathBuf>,
    /// The root directory of the stores.
    stores: Option<PathBuf>,
    held: Vec<(SecretSource, Secret)>,
}

/// Where the service manager looks for credentials, below the root directory.
pub(super) const STORES: [&str; 3] = ["etc/credstore", "run/credstore", "usr/lib/credstore"];

impl Credentials {
    /// None, or those in `directory`; `main` passes `$CREDENTIALS_DIRECTORY`.
    #[must_use]
    pub const fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, stores: None, held: Vec::new() }
    }

    /// The same for a command that somebody types: the service manager passes none on to it, so it looks where that one
    /// would, below `root`.
    #[must_use]
    pub const fn by_hand(directory: Option<PathBuf>, root: PathBuf) -> Self {
        Self { directory, stores: Some(root), held: Vec::new() }
    }

    /// From now on what this source names is this secret, whatever its file holds.
    pub fn hold(&mut self, source: SecretSource, secret: Secret) {
        self.held.retain(|(held, _)| *held != source);
        self.held.push((source, secret));
    }

    fn held(&self, source: &SecretSource) -> Option<Secret> {
        self.held.iter().find(|(held, _)| held == source).map(|(_, secret)| secret.clone())
    }

    /// Below which directory the stores are, for a command that somebody types.
    pub(super) fn stores(&self) -> Option<&Path> {
        self.stores.as_deref()
    }

    /// Whether a command that somebody types cannot tell, since the service may well read the secret.
    #[must_use]
    pub const fn leaves_to_service(&self, error: SecretError) -> bool {
        let by_others = matches!(
            error,
            SecretError::Encrypted
                | SecretError::NotStored
                | SecretError::Io(io::ErrorKind::PermissionDenied)
        );
        self.stores.is_some() && by_others
    }

    /// The same of the seal key.
    #[must_use]
    pub const fn leave_seal_to_service(&self, why: SealFault) -> bool {
        let by_others = matches!(why, SealFault::Encrypted | SealFault::Io(io::ErrorKind::PermissionDenied));
        self.stores.is_some() && by_others
    }

    fn find(&self, name: &str) -> Result<PathBuf, SecretError> {
        let passed_on = self.path(name);
        let Some(root) = &self.stores else { return passed_on.ok_or(SecretError::NoCredentials) };
        let is_there = |path: &PathBuf| path.try_exists().map_err(|error| SecretError::Io(error.kind()));
        if let Some(path) = passed_on
            && is_there(&path)?
        {
            return Ok(path);
        }
        for store in STORES {
            let path = root.join(store).join(name);
            if is_there(&path)? {
                return Ok(path);
            }
            if is_there(&root.join(format!("{store}.encrypted")).join(name))? {
                return Err(SecretError::Encrypted);
            }
        }
        Err(SecretError::NotStored)
    }

    /// Where the credential `name` is, if there are any.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.directory.as_ref().filter(|_| Self::is_name(name)).map(|directory| directory.join(name))
    }

    /// Whether `text` can be a credential's name: it cannot leave the directory.
    pub(super) fn is_name(text: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.')
    }
}

/// Why a secret is not to be had. It says nothing of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The file system's reason.
    #[error("cannot be read: {0}")]
    Io(io::ErrorKind),
    /// A directory or a device.
    #[error("is not a file")]
    NotAFile,
    /// Everybody on the machine may read it.
    #[error("lets everybody in (mode {mode:03o})")]
    Readable {
        /// Its mode.
        mode: u32,
    },
    /// A credential is named, but the service manager passes none on.
    #[error("is the name of a credential, but the service has got no credentials")]
    NoCredentials,
    /// Only the service manager can decrypt it.
    #[error("is an encrypted credential, which only the service gets")]
    Encrypted,
    /// A credential that a command finds in no store.
    #[error("is the name of a credential that no credential store has (/etc/credstore)")]
    NotStored,
    /// Above 64 kB.
    #[error("is longer than any secret")]
    TooLong,
    /// Nothing in it.
    #[error("is empty")]
    Empty,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mode: u32, content: &[u8]) -> (tempfile::TempDir, Credentials, SecretSource) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vesigate.mail");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let credentials = Credentials::new(Some(directory.path().to_owned()));
        (directory, credentials, SecretSource::File(path))
    }

    #[test]
    fn a_file_and_a_credential_give_the_same_secret_without_its_line_break() {
        let (_directory, credentials, file) = written(0o640, b"hunter2\r\n");
        for source in [file, SecretSource::Credential("vesigate.mail".to_owned())] {
            assert_eq!(source.read(&credentials).unwrap().expose_text(), Some("hunter2"));
        }
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let (_directory, credentials, file) = written(0o644, b"hunter2");
        assert_eq!(file.read(&credentials), Err(SecretError::Readable { mode: 0o644 }));
    }

    #[test]
    fn a_secret_that_is_held_goes_before_the_file() {
        let (_directory, mut credentials, file) = written(0o600, b"former");
        credentials.hold(file.clone(), Secret::from("typed"));
        credentials.hold(file.clone(), Secret::from("typed again"));
        assert_eq!(file.read(&credentials).unwrap().expose_text(), Some("typed again"));
    }

    #[test]
    fn empty_long_and_absent_secrets_are_told_apart() {
        let read = |content: &[u8]| {
            let (_directory, credentials, file) = written(0o600, content);
            file.read(&credentials).map(|_| ())
        };
        assert_eq!(read(b"\n"), Err(SecretError::Empty));
        assert_eq!(read(&[b'x'; 65_536]), Ok(()));
        assert_eq!(read(&[b'x'; 65_537]), Err(SecretError::TooLong));
        let absent = SecretSource::Credential("other".to_owned());
        assert_eq!(absent.read(&Credentials::default()), Err(SecretError::NoCredentials));
        let (_directory, credentials, _) = written(0o600, b"x");
        assert_eq!(absent.read(&credentials), Err(SecretError::Io(io::ErrorKind::NotFound)));
    }

    #[test]
    fn a_command_finds_a_credential_where_the_service_manager_does() {
        let root = tempfile::tempdir().unwrap();
        let credentials = Credentials::by_hand(None, root.path().to_owned());
        let read = || SecretSource::Credential("vesigate.mail".to_owned()).read(&credentials);
        let absent = read().unwrap_err();
        assert_eq!(absent, SecretError::NotStored);
        let store = root.path().join("etc/credstore");
        std::fs::create_dir_all(&store).unwrap();
        std::fs::write(store.join("vesigate.mail"), "hunter2").unwrap();
        std::fs::set_permissions(store.join("vesigate.mail"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
        assert_eq!(read().unwrap().expose_text(), Some("hunter2"));
        std::fs::rename(&store, root.path().join("etc/credstore.encrypted")).unwrap();
        let encrypted = read().unwrap_err();
        assert_eq!(encrypted, SecretError::Encrypted);
        // The service itself knows all there is to know.
        for error in [absent, encrypted] {
            assert!(credentials.leaves_to_service(error));
            assert!(!Credentials::default().leaves_to_service(error));
        }
        assert!(!credentials.leaves_to_service(SecretError::Empty));
    }

    #[test]
    fn names_of_credentials_cannot_leave_their_directory() {
        for bad in ["", ".", "..", "a/b", "../x", ".hidden"] {
            assert_eq!(Credentials::new(Some("/run".into())).path(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let (_directory, credentials, file) = written(0o600, b"hunter2");
        let inline = SecretSource::Credential("hunter2".to_owned());
        assert!(!format!("{inline:?} {:?}", file.read(&credentials)).contains("hunter2"));
    }
}
