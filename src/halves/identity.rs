//! A half's own key pair: what is sealed to its public key, only this half can open.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use messages::seal::SecretKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keyring;
use crate::world::random;

/// Reads the secret key at `path`, or makes one there if nothing is there, for its owner only.
///
/// # Errors
/// [`IdentityError`]
pub fn read_or_create(path: &Path) -> Result<SecretKey, IdentityError> {
    let error = |why| IdentityError { path: path.to_owned(), why };
    match read(path) {
        Err(Why::Io(io::ErrorKind::NotFound)) => {}
        other => return other.map_err(error),
    }
    let io = |e: io::Error| error(Why::Io(e.kind()));
    keyring::make_folder(path).map_err(io)?;
    let bytes = Zeroizing::new(random::<32>());
    keyring::replace(path, |file| file.write_all(bytes.as_slice())).map_err(|error| io(error.into()))?;
    read(path).map_err(error)
}

fn read(path: &Path) -> Result<SecretKey, Why> {
    let file = std::fs::File::open(path).map_err(|error| Why::Io(error.kind()))?;
    let mode = file.metadata().map_err(|error| Why::Io(error.kind()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Why::Readable { mode: mode & 0o777 });
    }
    // One byte more, so that a longer file shows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    file.take(33).read_to_end(&mut bytes).map_err(|error| Why::Io(error.kind()))?;
    let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| Why::NotAKey)?;
    Ok(SecretKey::from_bytes(bytes))
}

/// Why a key pair is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("key {}: {why}", path.display())]
pub struct IdentityError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a key's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// Others than its owner may read it.
    #[error("mode {mode:03o} lets others in: remove the file, and what was sealed to it is sealed anew")]
    Readable {
        /// Its mode.
        mode: u32,
    },
    /// Not 32 bytes.
    #[error("is not a key of 32 bytes: remove the file, and what was sealed to it is sealed anew")]
    NotAKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deliver/key");
        let first = read_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_create(&path).unwrap().public(), first.public());
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_no_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, [7; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read_or_create(&path).unwrap_err().why, Why::Readable { mode: 0o640 });
        std::fs::write(&path, [7; 33]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_or_create(&path).unwrap_err().why, Why::NotAKey);
        assert_eq!(std::fs::read(&path).unwrap().len(), 33);
    }
}
