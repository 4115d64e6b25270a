//! Keys, and the ciphers EN 13757 uses, from the `aes` family of crates.

use core::fmt;
use core::str::FromStr;

use aes::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use aes::{Aes128, Aes128Dec, Aes128Enc};
use ccm::aead::AeadInOut;
use cmac::digest::InnerInit;
use cmac::{Cmac, Mac as _};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// AES-128-CCM as OMS security profile D has it: a tag of eight bytes, a nonce of thirteen.
type Ccm = ccm::Ccm<Aes128, ccm::consts::U8, ccm::consts::U13>;

const BLOCK: usize = 16;
pub(crate) const TAG: usize = 8;

/// A meter's AES-128 key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; BLOCK]);

impl Key {
    /// A key from its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; BLOCK]) -> Self {
        Self(bytes)
    }

    /// The bytes, for sealing them at rest.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; BLOCK] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why a text is not a key. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not 32 characters.
    #[error("a key is 32 hexadecimal digits, this has {0} characters")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("a key is 32 hexadecimal digits, character {0} is none")]
    Digit(usize),
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != 2 * BLOCK {
            return Err(KeyError::Length(text.chars().count()));
        }
        let mut key = Self([0; BLOCK]);
        for (at, digit) in text.chars().enumerate() {
            let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
            let (Some(byte), Some(value)) = (key.0.get_mut(at / 2), value) else {
                return Err(KeyError::Digit(at + 1));
            };
            *byte = *byte << 4 | value;
        }
        Ok(key)
    }
}

/// A key with its schedule made ready, so that the work is done once per meter and not once per telegram.
#[derive(Clone)]
pub struct Cipher {
    key: Key,
    schedule: Aes128Enc,
}

impl Cipher {
    /// Makes a key ready.
    #[must_use]
    pub fn new(key: Key) -> Self {
        let schedule = Aes128Enc::new(&key.0.into());
        Self { key, schedule }
    }

    /// The key itself.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// AES-128-CTR, the same both ways; the block counts as one number, high byte first.
    ///
    /// The keystream is made four blocks at a time: software AES, which small ARM boards need, works on as many at once,
    /// and a telegram hardly ever needs more.
    pub(crate) fn ctr(&self, block: &[u8; BLOCK], bytes: &mut [u8]) {
        let mut counter = u128::from_be_bytes(*block);
        for part in bytes.chunks_mut(4 * BLOCK) {
            let mut stream = [0, 1, 2, 3].map(|n| counter.wrapping_add(n).to_be_bytes().into());
            self.schedule.encrypt_blocks(&mut stream);
            for (block, key) in part.chunks_mut(BLOCK).zip(&stream) {
                block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            }
            counter = counter.wrapping_add(4);
        }
    }

    /// AES-CMAC over parts that do not lie side by side.
    pub(crate) fn cmac<const N: usize>(&self, parts: [&[u8]; N]) -> [u8; BLOCK] {
        let mut mac = Cmac::<Aes128Enc>::inner_init(self.schedule.clone());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

/// AES-128-CBC without padding. Bytes beyond whole blocks stay as they are.
pub(crate) fn cbc_decrypt(key: &Key, vector: &[u8; BLOCK], bytes: &mut [u8]) {
    let mut mode = cbc::Decryptor::<Aes128Dec>::new(&key.0.into(), vector.into());
    for block in bytes.as_chunks_mut::<BLOCK>().0 {
        mode.decrypt_block(block.into());
    }
}

/// The other way.
pub(crate) fn cbc_encrypt(key: &Key, vector: &[u8; BLOCK], bytes: &mut [u8]) {
    let mut mode = cbc::Encryptor::<Aes128Enc>::new(&key.0.into(), vector.into());
    for block in bytes.as_chunks_mut::<BLOCK>().0 {
        mode.encrypt_block(block.into());
    }
}

/// AES-128-CCM; whether the tag fits. Nothing is deciphered when it does not.
pub(crate) fn ccm_decrypt(
    key: &Key,
    nonce: &[u8; 13],
    head: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG],
) -> bool {
    Ccm::new(&key.0.into()).decrypt_inout_detached(nonce.into(), head, bytes.into(), tag.into()).is_ok()
}

/// The other way; gives the tag. `None` if the bytes are more than the mode can hold (65 535).
pub(crate) fn ccm_encrypt(key: &Key, nonce: &[u8; 13], head: &[u8], bytes: &mut [u8]) -> Option<[u8; TAG]> {
    Ccm::new(&key.0.into()).encrypt_inout_detached(nonce.into(), head, bytes.into()).ok().map(Into::into)
}

/// Compares codes in a time that does not tell where they differ.
pub(crate) fn same_code(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;

    fn array<const N: usize>(hex: &str) -> [u8; N] {
        unhex(hex).try_into().unwrap()
    }

    #[test]
    fn cmac_gives_the_second_example_of_rfc_4493() {
        let cipher = Cipher::new(Key::new(array("2B7E151628AED2A6ABF7158809CF4F3C")));
        let message = unhex("6BC1BEE22E409F96E93D7E117393172A");
        assert_eq!(cipher.cmac([&message[..5], &message[5..]]), array("070A16B46B4D4144F79BDD9DD04A287C"));
    }

    #[test]
    fn the_counter_mode_gives_the_example_of_nist_sp_800_38a() {
        let cipher = Cipher::new(Key::new(array("2B7E151628AED2A6ABF7158809CF4F3C")));
        let counter = array("F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF");
        let plain = unhex(
            "6BC1BEE22E409F96E93D7E117393172A AE2D8A571E03AC9C9EB76FAC45AF8E51 \
             30C81C46A35CE411E5FBC1191A0A52EF F69F2445DF4F9B17AD2B417BE66C3710",
        );
        let mut bytes = plain.clone();
        cipher.ctr(&counter, &mut bytes);
        let expected = unhex(
            "874D6191B620E3261BEF6864990DB6CE 9806F66B7970FDFF8617187BB9FFFDFF \
             5AE4DF3EDBD5D35E5B4F09020DB03EAB 1E031DDA2FBE03D1792170A0F3009CEE",
        );
        assert_eq!(bytes, expected);
        // Beyond four blocks the counter goes on, and from its highest value to zero.
        let mut long = [plain.as_slice(), &plain[..20]].concat();
        cipher.ctr(&counter, &mut long);
        let mut rest = plain[..20].to_vec();
        cipher.ctr(&array("F0F1F2F3F4F5F6F7F8F9FAFBFCFDFF03"), &mut rest);
        assert_eq!(long[64..], rest);
        let (mut wrapped, mut zero) = ([0; 32], [0; 16]);
        cipher.ctr(&[0xFF; 16], &mut wrapped);
        cipher.ctr(&[0; 16], &mut zero);
        assert_eq!(wrapped[16..], zero);
    }

    #[test]
    fn the_ciphers_undo_themselves() {
        let cipher = Cipher::new(Key::new([7; 16]));
        let plain: [u8; 40] = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let mut bytes = plain;
        cipher.ctr(&[9; 16], &mut bytes);
        assert_ne!(bytes, plain);
        cipher.ctr(&[9; 16], &mut bytes);
        assert_eq!(bytes, plain);
        cbc_encrypt(cipher.key(), &[1; 16], &mut bytes);
        assert_eq!(bytes[32..], plain[32..], "no whole block");
        cbc_decrypt(cipher.key(), &[1; 16], &mut bytes);
        assert_eq!(bytes, plain);
        let mut tag = ccm_encrypt(cipher.key(), &[2; 13], b"head", &mut bytes).unwrap();
        assert!(ccm_decrypt(cipher.key(), &[2; 13], b"head", &mut bytes, &tag));
        assert_eq!(bytes, plain);
        tag[0] ^= 1;
        assert!(!ccm_decrypt(cipher.key(), &[2; 13], b"head", &mut bytes, &tag));
    }

    #[test]
    fn a_key_is_read_strictly_and_never_shown() {
        let key: Key = "28F64A24988064A079AA2C807D6102ae".parse().unwrap();
        assert_eq!(key.bytes()[15], 0xAE);
        assert_eq!(std::format!("{key:?} {:?}", Cipher::new(key.clone())), "Key(…) Cipher(…)");
        assert_eq!("28F6".parse::<Key>(), Err(KeyError::Length(4)));
        assert_eq!("28F64A24988064A079AA2C807D6102x0".parse::<Key>(), Err(KeyError::Digit(31)));
        assert_eq!(
            "ää28F64A24988064A079AA2C807D61".parse::<Key>(),
            Err(KeyError::Digit(1)),
            "32 bytes, 30 characters"
        );
    }
}
