//! What protects a telegram, and the keys that open it.

pub(crate) mod cipher;
pub(crate) mod mode;

pub use cipher::{Cipher, Key, KeyError};

use core::fmt;

/// How a telegram was protected. A meter keeps to one scheme, so a change is a downgrade or a new meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Not enciphered.
    None,
    /// AES-128-CTR in the extended link layer (EN 13757-4): enciphered, not authentic.
    EllCtr,
    /// Transport mode 5, AES-128-CBC: enciphered, not authentic.
    Mode5,
    /// Transport mode 7, AES-128-CBC with derived keys and a CMAC: authentic.
    Mode7,
    /// Transport mode 10, AES-128-CCM with a derived key: authentic.
    Mode10,
}

impl Scheme {
    /// Whether nobody without the key can make a telegram that passes.
    #[must_use]
    pub const fn is_authentic(self) -> bool {
        matches!(self, Self::Mode7 | Self::Mode10)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::EllCtr => "ELL AES-128-CTR",
            Self::Mode5 => "TPL mode 5 (AES-128-CBC)",
            Self::Mode7 => "TPL mode 7 (AES-128-CBC, CMAC)",
            Self::Mode10 => "TPL mode 10 (AES-128-CCM)",
        })
    }
}

/// What was checked and found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Verified {
    /// The payload CRC of the extended link layer.
    pub payload_crc: bool,
    /// The two bytes `2F 2F` that modes 5 and 7 start with.
    pub marker: bool,
    /// The CMAC of the authentication layer.
    pub mac: bool,
    /// The tag of AES-CCM.
    pub tag: bool,
}

impl Verified {
    /// Names of what was verified.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [(self.payload_crc, "payload_crc"), (self.marker, "2f2f"), (self.mac, "mac"), (self.tag, "tag")]
            .into_iter()
            .filter_map(|(verified, word)| verified.then_some(word))
    }
}

/// How a telegram came to be readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// As its headers say.
    pub scheme: Scheme,
    /// What was checked.
    pub verified: Verified,
    /// Its header says enciphered, its body was plain: somebody had opened it before. Only logs hold such frames.
    pub already_open: bool,
    /// The number that rises with every telegram, where the scheme has one that is bound to the content.
    pub counter: Option<u32>,
}
