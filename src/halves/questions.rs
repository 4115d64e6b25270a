//! What the halves can be asked over their control sockets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::batch::{Body, ContentType, Epoch, Nonce, Seq, Stream};
use messages::seal::SealedBox;
use messages::{MeterId, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::Block;

/// Questions to the receiving half.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OfCollect {
    /// How are you? Answer: [`CollectStatus`](crate::health::status::CollectStatus).
    Status,
    /// Whose keys are there? Answer: a list of [`KeyMark`].
    KeysList,
    /// Add these keys, all or none. Answer: [`KeysAdded`].
    KeysAdd {
        /// The keys.
        keys: Vec<NewKey>,
    },
    /// Add a meter's key that the utility sealed to this half. Answer: nothing.
    MeterKey {
        /// Whose key.
        meter: MeterId,
        /// The key, 16 bytes once opened.
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

/// Questions to the delivering half.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OfDeliver {
    /// How are you? Answer: [`DeliverStatus`](crate::health::status::DeliverStatus).
    Status,
    /// Which episodes, alarms and mails are there? Answer: [`AlarmReport`](super::reports::AlarmReport).
    Alarms {
        /// Those that go on or wait, and what has happened since then.
        since: Time,
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
}

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
