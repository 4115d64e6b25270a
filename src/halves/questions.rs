//! What the halves can be asked over their control sockets.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::batch::{Body, ContentType, Epoch, Nonce, Seq, Stream};
use messages::seal::SealedBox;
use messages::{MeterId, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[cfg(doc)]
use crate::keyring::trial::KeyTest;
use crate::keyring::{Flow, Inserted, Listed, MeterKey, Selector, parse_key};
use crate::store::Block;

/// Questions to the receiving half.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OfCollect {
    /// How are you? Answer: [`CollectStatus`](crate::health::status::CollectStatus).
    Status,
    /// Whose keys are there? Answer: a list of [`KeyMark`], in order, at most [`KEYS_AT_ONCE`].
    KeysList {
        /// Behind this one; from the beginning if absent.
        #[serde(default)]
        after: Option<String>,
    },
    /// Add these keys, all or none. Answer: [`KeysAdded`].
    KeysAdd {
        /// The keys.
        keys: Vec<NewKey>,
    },
    /// What would adding these keys do? Answer: a list of [`Inserted`], one for each.
    KeysCompare {
        /// The keys.
        keys: Vec<NewKey>,
    },
    /// Take these keys of a long import, without adding them yet. Only one import goes on at a time, and one that does
    /// not go on is forgotten. Answer: how many are here now.
    KeysStage {
        /// Tells imports apart.
        import: u64,
        /// Some of its keys.
        keys: Vec<NewKey>,
    },
    /// Add all keys of an import, or none. Answer: [`KeysAdded`].
    KeysApply {
        /// Which.
        import: u64,
        /// How many keys it has.
        count: usize,
    },
    /// Remove the keys filed under exactly these names, all or none. Answer: how many.
    KeysRemove {
        /// The names.
        meters: Vec<String>,
    },
    /// Which of the meters that are heard open with their keys? Answer: a list of [`KeyTest`].
    KeysTest {
        /// Try these frames, in hexadecimal, instead of what is heard.
        #[serde(default)]
        frames: Option<Vec<String>>,
    },
    /// Add a meter's key that the utility sealed to this half. Answer: nothing.
    MeterKey {
        /// Whose key.
        meter: MeterId,
        /// The key, as [`SealedBox::seal_key`] seals it.
        sealed: SealedBox,
    },
    /// Erase what is kept of a meter from `from` until before `to`. Answer: nothing.
    Erase {
        /// Of which meter.
        meter: MeterId,
        /// From when on.
        from: Time,
        /// Up to when, exclusive.
        to: Time,
    },
    /// Which meters are heard? Answer: [`HeardPage`](crate::health::heard::HeardPage).
    Heard {
        /// The `next` of the page before; absent for the first one.
        #[serde(default)]
        after: Option<[u8; 8]>,
    },
    /// Load the configuration and the meter list again, as SIGHUP does. Answer: nothing, once it is in force;
    /// refused with what is wrong if it is not.
    Reload,
    /// Which telegrams were heard, as they came? Kept from the first question on, while questions go on coming. Answer:
    /// [`TapPage`](super::tap::TapPage).
    Tap {
        /// The `next` of the page before; absent to begin.
        #[serde(default)]
        after: Option<u64>,
    },
    /// Which blocks wait in memory because the disk cannot be written? Answer: a list of [`InMemory`].
    InMemory,
}

/// All that the delivering half may ask the receiving one, over a socket of its own: it talks to a network, and whoever
/// breaks into it shall not rule the keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ByDeliver {
    /// As [`OfCollect::Status`].
    Status,
    /// As [`OfCollect::MeterKey`].
    MeterKey {
        /// Whose key.
        meter: MeterId,
        /// The key, as [`SealedBox::seal_key`] seals it.
        sealed: SealedBox,
    },
    /// As [`OfCollect::Erase`].
    Erase {
        /// Of which meter.
        meter: MeterId,
        /// From when on.
        from: Time,
        /// Up to when, exclusive.
        to: Time,
    },
    /// As [`OfCollect::InMemory`].
    InMemory,
}

impl From<ByDeliver> for OfCollect {
    fn from(question: ByDeliver) -> Self {
        match question {
            ByDeliver::Status => Self::Status,
            ByDeliver::MeterKey { meter, sealed } => Self::MeterKey { meter, sealed },
            ByDeliver::Erase { meter, from, to } => Self::Erase { meter, from, to },
            ByDeliver::InMemory => Self::InMemory,
        }
    }
}

/// Questions to the delivering half.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OfDeliver {
    /// How are you? Answer: [`DeliverStatus`](crate::health::status::DeliverStatus).
    Status,
    /// Load the configuration and the meter list again, as SIGHUP does. Answer: nothing, once it is in force;
    /// refused with what is wrong if it is not.
    Reload,
    /// Which episodes, alarms and mails are there? Answer: [`AlarmReport`](super::reports::AlarmReport).
    Alarms {
        /// Those that go on or wait, and what has happened since then.
        since: Time,
        /// Of this meter only.
        #[serde(default)]
        meter: Option<MeterId>,
    },
    /// How do the streams stand? Answer: a list of [`StreamReport`](super::reports::StreamReport).
    Outbox,
    /// Send a parked batch again. Answer: nothing.
    Unpark {
        /// Of which stream.
        stream: Stream,
        /// Its number.
        seq: Seq,
    },
}

/// A key to be added. `Debug` does not show it.
#[derive(Serialize, Deserialize)]
pub struct NewKey {
    /// Whose: a number, `MANUFACTURER.NUMBER` or a full address.
    pub meter: String,
    /// 32 hexadecimal digits.
    pub key: Zeroizing<String>,
    /// The overload flow, in litres an hour, if the key file gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q4: Option<u32>,
}

impl NewKey {
    /// For sending it.
    #[must_use]
    pub fn of(entry: &MeterKey) -> Self {
        let mut key = Zeroizing::new(String::with_capacity(32));
        for byte in entry.key.bytes() {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        Self { meter: entry.meter.to_string(), key, q4: entry.q4.map(Flow::as_litres_per_hour) }
    }

    /// What was sent.
    ///
    /// # Errors
    /// What is wrong, for people, without the key.
    pub fn read(&self) -> Result<MeterKey, String> {
        let meter: Selector = self.meter.parse().map_err(|_| "a name is not a meter's".to_owned())?;
        let key = parse_key(&self.key).map_err(|error| format!("{meter}: {error}"))?;
        Ok(MeterKey { meter, key, q4: self.q4.map(Flow::litres_per_hour) })
    }
}

/// Keys in one question or answer at most.
pub const KEYS_AT_ONCE: usize = 10_000;

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("meter", &self.meter).finish_non_exhaustive()
    }
}

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMark {
    /// Whose.
    pub meter: String,
    /// What may be shown of it.
    pub mark: String,
    /// The overload flow, in litres an hour, if the key file gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q4: Option<u32>,
}

impl KeyMark {
    /// What may be shown of a key.
    #[must_use]
    pub fn of(listed: &Listed) -> Self {
        Self {
            meter: listed.selector.to_string(),
            mark: listed.fingerprint.to_string(),
            q4: listed.q4.map(Flow::as_litres_per_hour),
        }
    }
}

/// What adding keys did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAdded {
    /// New ones.
    pub added: usize,
    /// There already.
    pub same: usize,
    /// Meters that had another key.
    pub replaced: usize,
}

impl KeysAdded {
    /// One more.
    pub const fn count(&mut self, inserted: Inserted) {
        let count = match inserted {
            Inserted::New => &mut self.added,
            Inserted::Same => &mut self.same,
            Inserted::Replaced => &mut self.replaced,
        };
        *count = count.saturating_add(1);
    }
}

/// A block that waits in memory, under a throw-away numbering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InMemory {
    /// Its stream.
    pub stream: Stream,
    /// The throw-away numbering.
    pub epoch: Epoch,
    /// Its number in it.
    pub seq: Seq,
    /// Its nonce.
    pub nonce: Nonce,
    /// Whether the body is deflated.
    pub deflated: bool,
    /// The body, in Base64.
    pub body: String,
}

impl InMemory {
    /// How to read the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        if self.deflated { ContentType::Deflated } else { ContentType::Json }
    }

    /// The block; `None` if its body is not Base64.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let body = Body { content_type: self.content_type(), bytes: STANDARD.decode(&self.body).ok()? };
        Some(Block { seq: self.seq, nonce: self.nonce, records: 0, stored: None, body })
    }
}
