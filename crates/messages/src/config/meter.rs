//! `config/<meter>`: what alarms of one meter need. The outer document is for everybody to carry, the inner one for
//! deliver alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Contact, ContactKind, Rules, Snooze};
use crate::mail::MailKind;
use crate::personal::Personal;
use crate::reading::Code;
use crate::seal::{PublicKey, SealError, SealedBox, SecretKey};
use crate::text::Id;
use crate::{MeterId, Span, Time};

/// At most this many contacts of each kind.
pub const MAX_CONTACTS: usize = 5;

/// The retained document `config/<meter>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Raw", into = "Raw")]
#[schemars(with = "Raw")]
pub struct MeterConfig {
    /// Counted up with each change; an older version than the one in force is ignored.
    pub version: u64,
    /// What it says.
    pub part: Part,
}

/// What a meter's document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything about this meter is deleted: contacts, rules, label, key.
    Tombstone,
    /// What is in force.
    Live {
        /// A [`Delivery`] sealed to deliver's key; absent for a gateway that has nothing to mail or to do.
        deliver: Option<SealedBox>,
        /// The meter's key sealed to collect's key by the utility's own tool; neither portal, broker nor deliver can
        /// open it. Absent if the gateway has it already or gets it another way.
        key: Option<SealedBox>,
    },
}

impl MeterConfig {
    /// Seals a document to deliver's key. `random`: 32 fresh random bytes, never used again.
    ///
    /// # Errors
    /// Too many contacts, or too large.
    pub fn seal(
        delivery: &Delivery,
        to: &PublicKey,
        random: [u8; 32],
        key: Option<SealedBox>,
    ) -> Result<Self, OpenError> {
        delivery.check()?;
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(delivery).map_err(|_| OpenError::Unreadable)?);
        let deliver = Some(SealedBox::seal(to, &plain, random)?);
        Ok(Self { version: delivery.version, part: Part::Live { deliver, key } })
    }

    /// Opens the part for deliver; `None` if there is none. `meter` is the one of the topic.
    ///
    /// # Errors
    /// Sealed to another key, unreadable, or sealed for another meter or version than the outside says: whoever carries
    /// sealed documents could otherwise exchange them.
    pub fn open(&self, meter: MeterId, secret: &SecretKey) -> Result<Option<Delivery>, OpenError> {
        let Part::Live { deliver: Some(sealed), .. } = &self.part else { return Ok(None) };
        let plain = sealed.open(secret)?;
        // The parser's own message could repeat what it read.
        let delivery: Delivery = serde_json::from_slice(&plain).map_err(|_| OpenError::Unreadable)?;
        if (delivery.meter, delivery.version) != (meter, self.version) {
            return Err(OpenError::Exchanged);
        }
        delivery.check()?;
        Ok(Some(delivery))
    }
}

/// Why a sealed document cannot be made or opened. Nothing of its content is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The box.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Not the JSON of a [`Delivery`].
    #[error("the sealed document is unreadable")]
    Unreadable,
    /// Meter or version inside differ from those outside.
    #[error("the sealed document belongs to another meter or version")]
    Exchanged,
    /// More than [`MAX_CONTACTS`] of one kind.
    #[error("more than {MAX_CONTACTS} contacts of one kind")]
    TooManyContacts,
}

/// The inside of `config/<meter>`: what deliver needs to mail about one meter. Written by the portal, read by deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Which meter; must be the one of the topic.
    pub meter: MeterId,
    /// Which version; must be the one outside.
    pub version: u64,
    /// Whether this gateway mails for the meter; without it nobody is mailed, whatever else is here.
    pub alarm_gateway: bool,
    /// Who hears of alarms; at most [`MAX_CONTACTS`] of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// The meter's own rules; a code without one follows the gateway's.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// Codes that are silent for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snoozes: Vec<Snooze>,
    /// What mails call the place: a street address, a name for the meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Personal>,
    /// Mails that were already sent, by other gateways or the portal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mailed: Vec<Mailed>,
    /// Mails that the portal has taken over and that this gateway must not send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Mailed>,
    /// Things to do once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
}

impl Delivery {
    fn check(&self) -> Result<(), OpenError> {
        let of = |kind| self.contacts.iter().filter(|contact| contact.kind == kind).count();
        let most = of(ContactKind::Utility).max(of(ContactKind::Customer));
        if most > MAX_CONTACTS { Err(OpenError::TooManyContacts) } else { Ok(()) }
    }
}

/// A mail that was sent, or that is somebody's to send: it counts for every episode of the code whose span meets this
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mailed {
    /// Which code.
    pub code: Code,
    /// The stretch that it was about.
    pub span: Span,
    /// To whom.
    pub contact: Id,
    /// What it told.
    pub kind: MailKind,
    /// Of a repeat: which one, from 1; otherwise 0.
    #[serde(default)]
    pub repeat: u32,
}

/// Something to do once. Ids of finished requests are kept; the outcome goes to the stream `mails`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// Not to be done after this.
    pub expires: Time,
    /// What to do.
    #[serde(flatten)]
    pub work: RequestedWork,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum RequestedWork {
    /// Mail a test to a contact of this document.
    TestMail {
        /// To whom.
        contact: Id,
    },
    /// Erase the meter's rows, events and mails of a stretch of time.
    Erase {
        /// From when on.
        from: Time,
        /// Up to when, exclusive.
        to: Time,
    },
    /// Something of a later version: reported as not understood.
    #[serde(other)]
    Unknown,
}

/// The document as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MeterConfig")]
struct Raw {
    /// Counted up with each change.
    version: u64,
    /// `true`: everything about this meter is deleted, and there is nothing else in the document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tombstone: bool,
    /// The part for deliver, sealed to its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deliver: Option<SealedBox>,
    /// The meter's key, sealed to collect's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<SealedBox>,
}

impl TryFrom<Raw> for MeterConfig {
    type Error = NotAMeterConfig;

    fn try_from(raw: Raw) -> Result<Self, NotAMeterConfig> {
        let part = match raw {
            Raw { tombstone: true, deliver: None, key: None, .. } => Part::Tombstone,
            Raw { tombstone: true, .. } => return Err(NotAMeterConfig),
            Raw { deliver, key, .. } => Part::Live { deliver, key },
        };
        Ok(Self { version: raw.version, part })
    }
}

impl From<MeterConfig> for Raw {
    fn from(config: MeterConfig) -> Self {
        let (tombstone, deliver, key) = match config.part {
            Part::Tombstone => (true, None, None),
            Part::Live { deliver, key } => (false, deliver, key),
        };
        Self { version: config.version, tombstone, deliver, key }
    }
}

/// A tombstone that carries something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a tombstone carries nothing else")]
pub struct NotAMeterConfig;

#[cfg(test)]
mod tests {
    use super::*;

    const METER: &str = "KAM.76348799.1B.16";

    fn delivery() -> Delivery {
        let json = format!(r#"{{"meter":"{METER}","version":3,"alarm_gateway":true,"label":"Kuusikuja 5"}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn what_the_portal_seals_only_deliver_opens() {
        let secret = SecretKey::from_bytes([1; 32]);
        let config = MeterConfig::seal(&delivery(), &secret.public(), [2; 32], None).unwrap();
        let wire = serde_json::to_string(&config).unwrap();
        assert!(!wire.contains("Kuusikuja"));
        let config: MeterConfig = serde_json::from_str(&wire).unwrap();
        assert_eq!(config.open(METER.parse().unwrap(), &secret), Ok(Some(delivery())));
        let other = SecretKey::from_bytes([9; 32]);
        assert_eq!(config.open(METER.parse().unwrap(), &other), Err(OpenError::Seal(SealError::NotOurs)));
    }

    #[test]
    fn a_document_moved_to_another_meter_or_version_is_refused() {
        let secret = SecretKey::from_bytes([1; 32]);
        let config = MeterConfig::seal(&delivery(), &secret.public(), [2; 32], None).unwrap();
        let elsewhere = "KAM.76348800.1B.16".parse().unwrap();
        assert_eq!(config.open(elsewhere, &secret), Err(OpenError::Exchanged));
        let newer = MeterConfig { version: 4, ..config };
        assert_eq!(newer.open(METER.parse().unwrap(), &secret), Err(OpenError::Exchanged));
    }

    #[test]
    fn a_tombstone_is_a_document_and_carries_nothing() {
        let tombstone = MeterConfig { version: 4, part: Part::Tombstone };
        let wire = serde_json::to_string(&tombstone).unwrap();
        assert_eq!(wire, r#"{"version":4,"tombstone":true}"#);
        assert_eq!(serde_json::from_str::<MeterConfig>(&wire).unwrap(), tombstone);
        assert!(
            serde_json::from_str::<MeterConfig>(r#"{"version":4,"tombstone":true,"key":"AAAA"}"#).is_err()
        );
    }

    #[test]
    fn an_unknown_request_leaves_the_document_readable() {
        let id = Id::from_random(1);
        let json = format!(r#"{{"id":"{id}","expires":"2026-12-01T00:00:00Z","do":"dance","with":"me"}}"#);
        let request: Request = serde_json::from_str(&json).unwrap();
        assert_eq!(request.work, RequestedWork::Unknown);
    }

    #[test]
    fn debug_shows_no_personal_data() {
        assert!(!format!("{:?}", delivery()).contains("Kuusikuja"));
    }
}
