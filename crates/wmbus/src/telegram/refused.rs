//! The typed reasons for refusing a telegram.

use thiserror::Error;

use crate::afl::AflError;
use crate::link::Control;

/// Why a telegram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is enciphered and no key was given.
    #[error("no key")]
    NoKey,
    /// The key does not open it. A bare frame damaged on the way looks the same.
    #[error("wrong key, or damaged on the way: the {0} does not fit")]
    WrongKey(Check),
    /// A key was given and the telegram came in the clear.
    #[error("not encrypted although this meter has a key")]
    NotEncrypted,
    /// Broken.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// Something that this crate cannot open, or that nobody has described in public.
    #[error("unsupported: {0}")]
    Unsupported(Unsupported),
    /// The key of the link layer's address opens it, and its header names another meter: nothing binds the two, and who
    /// changes an enciphered header without the key can name any.
    #[error("opened with the key of one meter, it names another")]
    OtherMeter,
    /// A frame without data by its kind.
    #[error("no data: {}", .0.name())]
    NoData(Control),
    /// One of several fragments; give it to a [`Reassembler`](crate::afl::Reassembler).
    #[error("a fragment of a longer message")]
    Fragment,
}

/// The check that a wrong key fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Check {
    /// The payload CRC of the extended link layer.
    #[error("payload CRC")]
    PayloadCrc,
    /// The marker `2F 2F`.
    #[error("marker 2F2F")]
    Marker,
    /// The CMAC of the authentication layer.
    #[error("authentication code")]
    Mac,
    /// The CCM tag.
    #[error("authentication tag")]
    Tag,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// It ends inside this part.
    #[error("it ends inside the {0}")]
    Truncated(&'static str),
    /// The payload CRC of a telegram in the clear.
    #[error("the payload CRC does not fit")]
    PayloadCrc,
    /// The authentication and fragmentation layer.
    #[error("{0}")]
    Afl(AflError),
}

/// What is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A CI-field that no meter sends with data, or whose layout is not public.
    #[error("CI-field {0:02X}")]
    Ci(u8),
    /// A security mode of the transport layer.
    #[error("security mode {0}")]
    Mode(u8),
    /// An encryption of the extended link layer other than AES-128-CTR.
    #[error("link-layer encryption {0}")]
    LinkEncryption(u8),
    /// A key derivation other than function A.
    #[error("key derivation {0}")]
    KeyDerivation(u8),
    /// A mode that must be authentic, with an authentication that is missing or of an unknown shape.
    #[error("this kind of authentication")]
    Authentication,
    /// A wired frame that names no meter.
    #[error("wired frame without a long header")]
    WiredWithoutAddress,
}
