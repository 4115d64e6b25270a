//! How a gateway is: `status`, retained, written by the gateway on change and every few minutes, read by the portal.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{Epoch, Seq, Stream};
use crate::seal::PublicKey;
use crate::text::words;
use crate::{MeterId, Time};

/// At most this many parked batches and meters behind are listed in a status; the counts beside them are complete.
pub const MAX_LISTED: usize = 500;

/// How a gateway is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// When this was so; absent while the clock is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What runs there.
    pub versions: Versions,
    /// Seconds since the start of the program.
    pub uptime_s: u64,
    /// What waits, per stream.
    pub backlog: BTreeMap<Stream, Backlog>,
    /// The receivers, in the order of the configuration.
    pub receivers: Vec<Receiver>,
    /// How far the portal's documents are applied.
    pub config: Applied,
    /// Meter keys are to be sealed to this one; collect opens them.
    pub collect_key: PublicKey,
    /// `config/<meter>` is to be sealed to this one; deliver opens it.
    pub deliver_key: PublicKey,
    /// A PKCS#10 request in PEM for a new client certificate, when the old one ages; the answer comes in `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_request: Option<String>,
    /// Until when the present client certificate is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Time>,
    /// Batches that killed the connection twice and wait until they are sent again by hand; at most [`MAX_LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Parked>,
    /// What the gateway knows of the time.
    pub clock: Clock,
    /// Where it keeps things.
    pub disk: Disk,
    /// Readings that were never placed on the calendar and went after 100 days.
    #[serde(default)]
    pub never_placed: u64,
}

/// What runs on a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// The version of vesigate.
    pub vesigate: String,
    /// The operating system's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The machine's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// What waits in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    /// The durable epoch.
    pub epoch: Epoch,
    /// The newest batch that is stored; 0 for none.
    pub head: Seq,
    /// The newest acknowledgement that was accepted.
    pub acknowledged: Seq,
    /// Batches that wait.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
    /// Batches of this epoch given up before they were acknowledged.
    #[serde(default)]
    pub lost: u64,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receiver {
    /// Its name in the gateway's configuration.
    pub name: String,
    /// Which protocol it speaks, such as `im871a`.
    pub protocol: String,
    /// Its firmware, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Whether it works.
    pub state: ReceiverState,
    /// Since when; absent while the clock cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Frames since the start of the program.
    #[serde(default)]
    pub frames: u64,
    /// Bytes skipped as garbage since then.
    #[serde(default)]
    pub garbage: u64,
    /// When a frame was last received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Time>,
}

words! {
    /// Whether a receiver works.
    ReceiverState {
        /// It receives.
        Receiving = "receiving",
        /// It is being set up.
        Starting = "starting",
        /// Its port is there and it does not answer.
        Mute = "mute",
        /// Its port is gone.
        Gone = "gone",
    }
}

/// How far the portal's documents are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The version of `config` that is in force; 0 for none.
    pub version: u64,
    /// How many meters of that list have another version in force than listed.
    #[serde(default)]
    pub behind: u64,
    /// Those meters with the version in force there, 0 for none; at most [`MAX_LISTED`]. All others are as listed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meters: BTreeMap<MeterId, u64>,
}

/// A parked batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Its stream.
    pub stream: Stream,
    /// Its number in the durable epoch.
    pub seq: Seq,
    /// What the broker or the connection said, in English.
    pub reason: String,
}

/// What a gateway knows of the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// How far it is to be trusted.
    pub trust: ClockTrust,
    /// When it was last synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<Time>,
    /// Readings that wait to be placed on the calendar.
    #[serde(default)]
    pub unplaced: u64,
}

words! {
    /// How far a clock is to be trusted.
    ClockTrust {
        /// Synchronised during this boot.
        Trusted = "trusted",
        /// A battery-backed clock that the configuration vouches for.
        Rtc = "rtc",
        /// Not yet: readings wait to be placed on the calendar.
        Untrusted = "untrusted",
    }
}

/// Where a gateway keeps things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// Whether it can be written.
    pub state: DiskState,
    /// Bytes that our files take.
    pub used: u64,
    /// Bytes that they may take.
    pub budget: u64,
    /// Bytes free on the file system.
    pub free: u64,
}

words! {
    /// Whether a disk can be written.
    DiskState {
        /// It can.
        Writable = "writable",
        /// It is full: batches are kept in memory only.
        Full = "full",
        /// It is read-only: batches are kept in memory only.
        ReadOnly = "read_only",
    }
}
