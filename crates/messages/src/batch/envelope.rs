//! Where a batch stands in its stream.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Missing, NotMissing};
use crate::text::{Id, json_text, lower_hex};

/// What the user properties of a message on `uplink` say.
///
/// ```
/// use messages::batch::{Envelope, Epoch, Missing, Nonce, Seq, Stream};
/// let envelope = Envelope {
///     stream: Stream::Readings,
///     epoch: Epoch::durable(0x5EED),
///     seq: Seq::FIRST,
///     nonce: Nonce::from_random(7),
///     missing: Missing::default(),
/// };
/// assert_eq!(Envelope::from_properties(&envelope.to_properties())?, envelope);
/// # Ok::<(), messages::batch::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Which of the ordered streams.
    pub stream: Stream,
    /// Which numbering.
    pub epoch: Epoch,
    /// The batch's number in it.
    pub seq: Seq,
    /// Drawn when the batch was stored; another content under the same number is told by it.
    pub nonce: Nonce,
    /// Numbers of this epoch that will never come.
    pub missing: Missing,
}

impl Envelope {
    /// As user properties: `stream`, `epoch`, `seq`, `nonce`, and `missing` if anything is.
    #[must_use]
    pub fn to_properties(&self) -> Vec<(String, String)> {
        let mut properties = vec![
            ("stream".to_owned(), self.stream.to_string()),
            ("epoch".to_owned(), self.epoch.to_string()),
            ("seq".to_owned(), self.seq.to_string()),
            ("nonce".to_owned(), self.nonce.to_string()),
        ];
        if !self.missing.is_empty() {
            properties.push(("missing".to_owned(), self.missing.to_string()));
        }
        properties
    }

    /// Reads user properties, in any order; names of a later version are skipped.
    ///
    /// # Errors
    /// A property is absent (except `missing`), given twice, or unreadable. Such a batch is never acknowledged.
    pub fn from_properties(properties: &[(String, String)]) -> Result<Self, EnvelopeError> {
        let seq: Seq = required(properties, "seq")?.parse().map_err(|_| EnvelopeError::Seq)?;
        if seq == Seq::NONE {
            return Err(EnvelopeError::Seq);
        }
        Ok(Self {
            stream: required(properties, "stream")?.parse().map_err(|_| EnvelopeError::Stream)?,
            epoch: required(properties, "epoch")?.parse()?,
            seq,
            nonce: required(properties, "nonce")?.parse()?,
            missing: optional(properties, "missing")?.map_or_else(|| Ok(Missing::default()), str::parse)?,
        })
    }
}

fn required<'a>(properties: &'a [(String, String)], name: &'static str) -> Result<&'a str, EnvelopeError> {
    optional(properties, name)?.ok_or(EnvelopeError::Absent(name))
}

fn optional<'a>(
    properties: &'a [(String, String)],
    name: &'static str,
) -> Result<Option<&'a str>, EnvelopeError> {
    let mut values = properties.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.next().is_some() { Err(EnvelopeError::Twice(name)) } else { Ok(first) }
}

/// Why user properties are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// A property that must be there is not.
    #[error("the user property `{0}` is absent")]
    Absent(&'static str),
    /// A property that stands there twice says nothing.
    #[error("the user property `{0}` is there twice")]
    Twice(&'static str),
    /// Not one of the three streams.
    #[error("the stream is not readings, events or mails")]
    Stream,
    /// Not a number from 1.
    #[error("the seq is not a whole number from 1")]
    Seq,
    /// The epoch.
    #[error(transparent)]
    Epoch(#[from] NotAnEpoch),
    /// The nonce.
    #[error(transparent)]
    Nonce(#[from] NotANonce),
    /// The missing ranges.
    #[error(transparent)]
    Missing(#[from] NotMissing),
}

/// The ordered streams, apart so that an alarm never waits behind a backlog of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Hour rows; written by collect.
    Readings,
    /// Episodes, meter status, problems; written by collect.
    Events,
    /// Alarms raised, mails, requests done; written by deliver.
    Mails,
}

impl Stream {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Readings, Self::Events, Self::Mails];

    /// The name in properties and in `ack/<stream>`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Events => "events",
            Self::Mails => "mails",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stream {
    type Err = NotAStream;

    fn from_str(text: &str) -> Result<Self, NotAStream> {
        Self::ALL.into_iter().find(|stream| stream.as_str() == text).ok_or(NotAStream)
    }
}

json_text!(Stream, "^(readings|events|mails)$", "An ordered stream.");

/// A text is not one of the three streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a stream is readings, events or mails")]
pub struct NotAStream;

/// Which numbering a batch belongs to: a random id kept in the gateway's database file.
///
/// 32 lower-case hexadecimal digits; with `ram-` before them it is a throw-away epoch, for batches sent while the
/// gateway cannot store any. Such numbers begin anew with every run and nothing waits for their gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    throw_away: bool,
    id: Id,
}

impl Epoch {
    /// The epoch of a database, from 128 random bits.
    #[must_use]
    pub const fn durable(random: u128) -> Self {
        Self { throw_away: false, id: Id::from_random(random) }
    }

    /// An epoch for batches that were never stored, from 128 random bits.
    #[must_use]
    pub const fn throw_away(random: u128) -> Self {
        Self { throw_away: true, id: Id::from_random(random) }
    }

    /// Whether its batches were never stored.
    #[must_use]
    pub const fn is_throw_away(self) -> bool {
        self.throw_away
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.throw_away { "ram-" } else { "" }, self.id)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Epoch {
    type Err = NotAnEpoch;

    fn from_str(text: &str) -> Result<Self, NotAnEpoch> {
        let (throw_away, id) = text.strip_prefix("ram-").map_or((false, text), |id| (true, id));
        Ok(Self { throw_away, id: id.parse().map_err(|_| NotAnEpoch)? })
    }
}

json_text!(Epoch, "^(ram-)?[0-9a-f]{32}$", "A random id of a numbering; ram- marks a throw-away one.");

/// A text is not an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an epoch has 32 lower-case hexadecimal digits, with ram- before them if it is thrown away")]
pub struct NotAnEpoch;

/// A batch's number in its epoch and stream, from 1, without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Seq(u64);

impl Seq {
    /// Before the first: what an acknowledgement says when nothing is stored yet.
    pub const NONE: Self = Self(0);
    /// The first.
    pub const FIRST: Self = Self(1);

    /// A number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one after; the last number stays itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Seq {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EnvelopeError::Seq);
        }
        text.parse().map(Self).map_err(|_| EnvelopeError::Seq)
    }
}

/// A random number stored with a batch, 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(u64);

impl Nonce {
    /// A nonce from 64 random bits.
    #[must_use]
    pub const fn from_random(random: u64) -> Self {
        Self(random)
    }

    /// The 64 bits, for a database column.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        lower_hex(text, 16).and_then(|bits| u64::try_from(bits).ok()).map(Self).ok_or(NotANonce)
    }
}

json_text!(Nonce, "^[0-9a-f]{16}$", "A random number stored with a batch.");

/// A text is not a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a nonce has 16 lower-case hexadecimal digits")]
pub struct NotANonce;

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = vec![("stream", "mails"), ("epoch", "00000000000000000000000000000001"), ("seq", "7")];
        all.push(("nonce", "000000000000000a"));
        all.extend(changes);
        all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn unknown_properties_are_skipped() {
        let envelope = Envelope::from_properties(&properties(&[("colour", "blue")])).unwrap();
        assert_eq!(envelope.seq, Seq::new(7));
        assert!(envelope.missing.is_empty());
    }

    #[test]
    fn what_is_absent_double_or_wrong_is_named() {
        let read = |changes| Envelope::from_properties(&properties(changes));
        assert_eq!(read(&[("seq", "8")]), Err(EnvelopeError::Twice("seq")));
        assert_eq!(Envelope::from_properties(&[]), Err(EnvelopeError::Absent("seq")));
        assert_eq!(read(&[("missing", "3-2")]), Err(EnvelopeError::Missing(NotMissing::Order)));
        let mut wrong = properties(&[]);
        wrong[2].1 = "0".to_owned();
        assert_eq!(Envelope::from_properties(&wrong), Err(EnvelopeError::Seq));
        wrong[2].1 = "+7".to_owned();
        assert_eq!(Envelope::from_properties(&wrong), Err(EnvelopeError::Seq));
    }

    #[test]
    fn a_throw_away_epoch_shows_it() {
        let epoch: Epoch = "ram-000000000000000000000000000000ff".parse().unwrap();
        assert_eq!(epoch, Epoch::throw_away(0xFF));
        assert!(epoch.is_throw_away());
        assert_ne!(epoch, Epoch::durable(0xFF));
    }
}
