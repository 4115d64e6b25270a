//! The key that seals the keyring: a systemd credential, or a file of mode 0600 made at the first start.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The 32-byte key under which meter keys lie on the disk.
pub struct SealKey {
    cipher: XChaCha20Poly1305,
    id: [u8; 8],
}

impl SealKey {
    /// Takes the key itself.
    #[must_use]
    pub fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        let digest =
            Sha256::new().chain_update(b"vesigate seal key").chain_update(bytes.as_slice()).finalize();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest);
        let cipher = XChaCha20Poly1305::new(&Key::from(**bytes));
        Self { cipher, id: [a, b, c, d, e, f, g, h] }
    }

    /// Reads it from a file of 32 bytes, or of 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, SealError> {
        let error = |why| SealError { path: path.to_owned(), why };
        let file = std::fs::File::open(path).map_err(|e| error(SealFault::Io(e.kind())))?;
        let mode = file.metadata().map_err(|e| error(SealFault::Io(e.kind())))?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(error(SealFault::Readable { mode: mode & 0o777 }));
        }
        // One byte more than the longest form, so that a longer file shows.
        let mut text = Zeroizing::new(Vec::with_capacity(67));
        file.take(67).read_to_end(&mut text).map_err(|e| error(SealFault::Io(e.kind())))?;
        parse(&text).map(|bytes| Self::new(&bytes)).ok_or_else(|| error(SealFault::NotAKey))
    }

    /// Reads `path`, or makes a new key there if nothing is there.
    ///
    /// Call it with an existing keyring only when the file is known to exist: a new key would not open it.
    ///
    /// # Errors
    /// As [`SealKey::read`], and when the new file cannot be written.
    pub fn read_or_create(path: &Path) -> Result<Self, SealError> {
        match Self::read(path) {
            Err(SealError { why: SealFault::Io(io::ErrorKind::NotFound), .. }) => {}
            other => return other,
        }
        create(path).map_err(|e| SealError { path: path.to_owned(), why: SealFault::Io(e.kind()) })?;
        Self::read(path)
    }

    /// A mark of this key, stored in the keyring's header to tell a wrong key from damage.
    pub(super) fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Seals `secret` in place and returns its tag; `None` (and `secret` still in the clear) if the cipher refuses,
    /// which it does for texts above 256 GB only.
    pub(super) fn seal(&self, nonce: &[u8; 24], bound_to: &[u8], secret: &mut [u8; 16]) -> Option<[u8; 16]> {
        let nonce = XNonce::from(*nonce);
        self.cipher
            .encrypt_inout_detached(&nonce, bound_to, secret.as_mut_slice().into())
            .ok()
            .map(Into::into)
    }

    /// Opens `secret` in place; false (and `secret` of no use) when it is not what was sealed.
    pub(super) fn open(
        &self,
        nonce: &[u8; 24],
        bound_to: &[u8],
        secret: &mut [u8; 16],
        tag: &[u8; 16],
    ) -> bool {
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        self.cipher.decrypt_inout_detached(&nonce, bound_to, secret.as_mut_slice().into(), &tag).is_ok()
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(bytes) = <[u8; 32]>::try_from(text) {
        return Some(Zeroizing::new(bytes));
    }
    let digits = text.trim_ascii_end();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(bytes)
}

/// Writes a new key beside `path` and moves it there, so that a power cut leaves a whole key or none.
fn create(path: &Path) -> io::Result<()> {
    super::file::make_folder(path)?;
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(io::Error::other)?;
    Ok(super::file::replace(path, |file| file.write_all(bytes.as_slice()))?)
}

/// Why the seal key is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("seal key {}: {why}", path.display())]
pub struct SealError {
    /// The file or credential.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: SealFault,
}

/// What is wrong with a seal key's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealFault {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// Everybody on the machine may read or write it.
    #[error("mode {mode:03o} lets others in; run chmod 600 on it, and seal anew if others have been there")]
    Readable {
        /// Its mode.
        mode: u32,
    },
    /// Only the service manager can decrypt it.
    #[error(
        "is an encrypted credential, which only the service gets: start the gateway (systemctl start vesigate.target), then this command talks to it"
    )]
    Encrypted,
    /// Neither 32 bytes nor 64 digits.
    #[error("is neither 32 bytes nor 64 hexadecimal digits")]
    NotAKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mode: u32, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn thirty_two_bytes_and_sixty_four_digits_are_the_same_key() {
        let (_a, bytes) = written(0o600, &[0xAB; 32]);
        let (_b, digits) = written(0o600, format!("{}\n", "aB".repeat(32)).as_bytes());
        assert_eq!(SealKey::read(&bytes).unwrap().id(), SealKey::read(&digits).unwrap().id());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_directory, path) = written(0o604, &[0xAB; 32]);
        assert_eq!(SealKey::read(&path).unwrap_err().why, SealFault::Readable { mode: 0o604 });
    }

    #[test]
    fn other_contents_are_no_key_and_are_not_repeated() {
        for content in [&b"hunter2"[..], &[b'g'; 64], &[0; 33], &[b'0'; 5000], b""] {
            let (_directory, path) = written(0o600, content);
            let error = SealKey::read(&path).unwrap_err();
            assert_eq!(error.why, SealFault::NotAKey);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_new_key_is_made_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal");
        let first = SealKey::read_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SealKey::read_or_create(&path).unwrap().id(), first.id());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SealKey::new(&Zeroizing::new([0xAB; 32]))), "SealKey(..)");
    }
}
