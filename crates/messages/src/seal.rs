//! Sealed boxes: only the owner of the secret key can open them, whoever carries them (libsodium's `crypto_box_seal`:
//! X25519, XSalsa20-Poly1305, the nonce from BLAKE2b of both public keys).
//!
//! The portal seals `config/<meter>` to deliver's key, the utility's own tool seals meter keys to collect's key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_box::aead::rand_core::{CryptoRng, Error as RngError, RngCore};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::MeterId;
use crate::text::json_text;

/// A sealed box has at most this many bytes.
pub const MAX_SEALED: usize = 256 * 1024;

/// A public key of collect or deliver: 32 bytes, in Base64 on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(crypto_box::PublicKey);

/// The secret key that belongs to it. Never printed. Wiped when dropped, and it stays in one place until then; what the
/// library makes of it for one use is wiped after that use, but for what its functions leave on the stack.
#[derive(Clone)]
pub struct SecretKey(Box<Zeroizing<[u8; 32]>>);

/// A sealed box, in Base64 on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBox(Vec<u8>);

impl SecretKey {
    /// From 32 bytes: random ones for a new key, kept ones for an old.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// The 32 bytes, to be kept where only their owner can read.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(**self.0)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.with(crypto_box::SecretKey::public_key))
    }

    /// Lends it in the library's form, which wipes only one of its two copies when it is dropped.
    fn with<T>(&self, use_it: impl FnOnce(&crypto_box::SecretKey) -> T) -> T {
        let mut key = Box::new(crypto_box::SecretKey::from_bytes(**self.0));
        let done = use_it(&key);
        *key = crypto_box::SecretKey::from_bytes([0; 32]);
        // Without a reader behind it the writing could be left out.
        std::hint::black_box(&key);
        done
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret key]")
    }
}

impl PublicKey {
    /// From its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(crypto_box::PublicKey::from_bytes(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl SealedBox {
    /// Seals `plain` to `key`. `random` makes the one-time key: 32 fresh random bytes for each box, never used again.
    ///
    /// # Errors
    /// More than [`MAX_SEALED`] bytes.
    ///
    /// ```
    /// use messages::seal::{SealedBox, SecretKey};
    /// let secret = SecretKey::from_bytes([7; 32]); // random in earnest
    /// let sealed = SealedBox::seal(&secret.public(), b"for deliver only", [9; 32])?;
    /// assert_eq!(sealed.open(&secret)?.as_slice(), b"for deliver only");
    /// # Ok::<(), messages::seal::SealError>(())
    /// ```
    pub fn seal(key: &PublicKey, plain: &[u8], random: [u8; 32]) -> Result<Self, SealError> {
        let sealed =
            key.0.seal(&mut Given(Zeroizing::new(random)), plain).map_err(|_| SealError::TooLarge)?;
        if sealed.len() > MAX_SEALED { Err(SealError::TooLarge) } else { Ok(Self(sealed)) }
    }

    /// Opens it; the plain text is wiped when dropped.
    ///
    /// # Errors
    /// It was sealed to another key, or altered.
    pub fn open(&self, key: &SecretKey) -> Result<Zeroizing<Vec<u8>>, SealError> {
        key.with(|key| key.unseal(&self.0)).map(Zeroizing::new).map_err(|_| SealError::NotOurs)
    }

    /// Seals a meter's key to collect's key, together with the meter's name: whoever carries boxes could otherwise exchange
    /// them. `random` as for [`SealedBox::seal`].
    ///
    /// # Errors
    /// None: a key and a name are short. The signature is that of [`SealedBox::seal`].
    ///
    /// ```
    /// use messages::seal::{SealedBox, SecretKey};
    /// let (collect, meter) = (SecretKey::from_bytes([7; 32]), "KAM.76348799.1B.16".parse().unwrap());
    /// let sealed = SealedBox::seal_key(meter, &[6; 16], &collect.public(), [9; 32])?;
    /// assert_eq!(*sealed.open_key(meter, &collect)?, [6; 16]);
    /// assert!(sealed.open_key("KAM.00000001.1B.16".parse().unwrap(), &collect).is_err());
    /// # Ok::<(), messages::seal::SealError>(())
    /// ```
    pub fn seal_key(
        meter: MeterId,
        key: &[u8; 16],
        to: &PublicKey,
        random: [u8; 32],
    ) -> Result<Self, SealError> {
        let name = meter.as_str();
        let mut plain = Zeroizing::new(Vec::with_capacity(name.len().saturating_add(key.len())));
        plain.extend_from_slice(key);
        plain.extend_from_slice(name.as_bytes());
        Self::seal(to, &plain, random)
    }

    /// Opens what [`SealedBox::seal_key`] has sealed for this meter.
    ///
    /// # Errors
    /// It was sealed to another gateway or altered, or it is no key of this meter.
    pub fn open_key(&self, meter: MeterId, secret: &SecretKey) -> Result<Zeroizing<[u8; 16]>, SealError> {
        let plain = self.open(secret)?;
        match plain.split_first_chunk() {
            Some((key, name)) if name == meter.as_str().as_bytes() => Ok(Zeroizing::new(*key)),
            _ => Err(SealError::OtherMeter),
        }
    }

    /// The bytes of a box as they are; whether they are one shows when it is opened.
    ///
    /// # Errors
    /// More than [`MAX_SEALED`] bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SealError> {
        if bytes.len() > MAX_SEALED { Err(SealError::TooLarge) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a box cannot be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// More than [`MAX_SEALED`] bytes.
    #[error("more than {MAX_SEALED} bytes")]
    TooLarge,
    /// Sealed to another key, or altered on the way.
    #[error("sealed to another key, or altered")]
    NotOurs,
    /// Not the key of the meter that it is said to be for.
    #[error("no key, or the key of another meter")]
    OtherMeter,
}

/// The random bytes that the caller brought, as the generator that the library asks.
struct Given(Zeroizing<[u8; 32]>);

impl RngCore for Given {
    fn next_u32(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill_bytes(&mut word);
        u32::from_le_bytes(word)
    }

    fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.fill_bytes(&mut word);
        u64::from_le_bytes(word)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        // A one-time key takes exactly these 32 bytes, once.
        for (to, from) in out.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RngError> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Given {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PublicKey {
    type Err = NotBase64;

    fn from_str(text: &str) -> Result<Self, NotBase64> {
        let bytes = STANDARD.decode(text).map_err(|_| NotBase64)?;
        bytes.try_into().map(Self::from_bytes).map_err(|_| NotBase64)
    }
}

json_text!(PublicKey, "^[A-Za-z0-9+/]{43}=$", "An X25519 public key in Base64.");

impl fmt::Display for SealedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for SealedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[sealed, {} bytes]", self.0.len())
    }
}

impl FromStr for SealedBox {
    type Err = NotBase64;

    fn from_str(text: &str) -> Result<Self, NotBase64> {
        let bytes = STANDARD.decode(text).map_err(|_| NotBase64)?;
        Self::from_bytes(bytes).map_err(|_| NotBase64)
    }
}

json_text!(SealedBox, "^[A-Za-z0-9+/]*={0,2}$", "A sealed box (X25519, XSalsa20-Poly1305) in Base64.");

/// A text is not a key or box in Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not Base64 of the right length")]
pub struct NotBase64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_or_an_altered_box_opens_nothing() {
        let (ours, theirs) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
        let sealed = SealedBox::seal(&ours.public(), b"secret", [3; 32]).unwrap();
        assert_eq!(sealed.open(&theirs), Err(SealError::NotOurs));
        for index in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(SealedBox::from_bytes(bytes).unwrap().open(&ours), Err(SealError::NotOurs));
        }
        assert_eq!(SealedBox::from_bytes(Vec::new()).unwrap().open(&ours), Err(SealError::NotOurs));
    }

    #[test]
    fn two_boxes_of_one_text_differ_with_their_random() {
        let key = SecretKey::from_bytes([1; 32]).public();
        assert_ne!(SealedBox::seal(&key, b"x", [3; 32]), SealedBox::seal(&key, b"x", [4; 32]));
    }

    #[test]
    fn keys_never_show() {
        assert_eq!(format!("{:?}", SecretKey::from_bytes([1; 32])), "[secret key]");
    }
}
