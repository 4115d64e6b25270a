//! One meter's AES key as people see it: what key files write, and what may be shown.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;
use wmbus::Key;
use zeroize::Zeroizing;

/// Reads 32 hexadecimal digits as key files write them: spaces, hyphens and colons between them and a leading `0x` do
/// no harm.
///
/// # Errors
/// What is wrong with the text, without the text.
pub fn parse_key(text: &str) -> Result<Key, KeyError> {
    let text = text.trim();
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut key = Zeroizing::new([0u8; 16]);
    let mut digits = 0usize;
    for letter in text.chars().filter(|letter| !matches!(letter, ' ' | '-' | ':')) {
        let value = letter.to_digit(16).and_then(|value| u8::try_from(value).ok());
        let value = value.ok_or_else(|| not_hex(text))?;
        if let Some(byte) = key.get_mut(digits / 2) {
            *byte = *byte << 4 | value;
        }
        digits = digits.saturating_add(1);
    }
    match digits {
        0 => Err(KeyError::Empty),
        32 => Ok(Key::new(*key)),
        digits => Err(KeyError::Length { digits }),
    }
}

fn not_hex(text: &str) -> KeyError {
    let number = text.contains(['E', 'e', '+']) && text.contains([',', '.', '+']);
    let number = number && text.bytes().all(|letter| letter.is_ascii_digit() || b"Ee+-,.".contains(&letter));
    if number { KeyError::Number } else { KeyError::NotHex }
}

/// A short mark of a key, for comparing lists: it does not give the key away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 4]);

impl Fingerprint {
    /// The mark of `key`.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        let digest = Sha256::new().chain_update(b"vesigate meter key").chain_update(key.bytes()).finalize();
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        Self([a, b, c, d])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not a key. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("there is no key; write its 32 hexadecimal digits")]
    Empty,
    /// Too short or too long.
    #[error("the key has {digits} hexadecimal digits instead of 32")]
    Length {
        /// How many there are.
        digits: usize,
    },
    /// Something else than hexadecimal digits.
    #[error("the key is not hexadecimal; write 32 digits of 0-9 and A-F")]
    NotHex,
    /// A spreadsheet took it for a number.
    #[error("a spreadsheet has turned the key into a number; format the column as text and export it again")]
    Number,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "000102030405060708090A0B0C0D0E0F";

    #[test]
    fn a_key_is_read_in_every_form_that_key_files_use() {
        let key = parse_key(HEX).unwrap();
        assert_eq!(key.bytes(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        for text in [
            "000102030405060708090a0b0c0d0e0f",
            "0x000102030405060708090A0B0C0D0E0F",
            "00-01-02-03-04-05-06-07-08-09-0A-0B-0C-0D-0E-0F",
            " 00:01:02:03 04:05:06:07 08:09:0A:0B 0C:0D:0E:0F ",
        ] {
            assert_eq!(parse_key(text), Ok(key.clone()));
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        assert_eq!(parse_key(""), Err(KeyError::Empty));
        assert_eq!(parse_key("0001"), Err(KeyError::Length { digits: 4 }));
        assert_eq!(parse_key(&format!("{HEX}00")), Err(KeyError::Length { digits: 34 }));
        assert_eq!(parse_key("1.23E+31"), Err(KeyError::Number));
        assert_eq!(parse_key("1,23E+31"), Err(KeyError::Number));
        assert_eq!(parse_key(&format!("{HEX}g")), Err(KeyError::NotHex));
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_shows_none_of_their_digits() {
        let key = parse_key(HEX).unwrap();
        let shown = Fingerprint::of(&key).to_string();
        assert_eq!(shown.len(), 8);
        assert!(!HEX.to_lowercase().contains(&shown));
        assert_ne!(Fingerprint::of(&key), Fingerprint::of(&Key::new([7; 16])));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_an_error_without_its_digits(text in "[0-9A-Fa-f]{0,40}.{0,3}") {
            if let Err(error) = parse_key(&text) {
                prop_assert!(text.len() < 8 || !error.to_string().contains(&text));
            }
        }
    }
}
