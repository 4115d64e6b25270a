//! What happens between the hours: episodes, the standing of meters, problems of the gateway. Written by collect, sent
//! on the stream `events`, read by the portal.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Code;
use crate::text::{Id, words};
use crate::{MeterId, Other, Time};

/// A stretch in which a meter shows a code, as one gateway knows it now. Each change is a record of its own; reports of
/// one id are combined by [`Episode::joined`].
///
/// Episodes of one meter and code whose spans overlap or lie less than two hours apart are one for everybody who reads
/// them, whichever gateway they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Episode {
    /// Drawn when it began; ids of other gateways for the same stretch differ.
    pub id: Id,
    /// Which meter.
    pub meter: MeterId,
    /// Which code.
    pub code: Code,
    /// When the first of two agreeing telegrams was heard; absent while the gateway's clock cannot place it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// When the code was last seen; absent while the clock cannot place it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Time>,
    /// For how many seconds telegrams are known to have shown it, up to `seen`: silence is not counted.
    #[serde(default)]
    pub lasted: u64,
    /// Whether it goes on.
    pub standing: Standing,
    /// Known only from frames opened later: history, never a reason to mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

/// Whether an episode goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The code is there.
    Active,
    /// The meter has been silent for 24 hours; it goes on if the code is there on return.
    Unknown,
    /// Telegrams without the code were heard for two hours. Final.
    Ended,
}

impl Episode {
    /// Both reports of one episode as one: earliest start, latest sight; the end is final, and short of it the standing
    /// of the later sight counts (unknown before active, since silence follows the last sight). Commutative,
    /// associative, idempotent, for reports of one id.
    #[must_use]
    pub fn joined(&self, later: &Self) -> Self {
        let rank = |episode: &Self| (episode.standing == Standing::Ended, episode.seen, episode.standing);
        let standing = if rank(self) >= rank(later) { self.standing } else { later.standing };
        Self {
            id: self.id,
            meter: self.meter,
            code: self.code.clone(),
            started: match (self.started, later.started) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
            seen: self.seen.max(later.seen),
            lasted: self.lasted.max(later.lasted),
            standing,
            late: self.late && later.late,
            other: self.other.joined(&later.other),
        }
    }
}

/// How a gateway stands with a meter that it expects. Sent when the standing changes, and daily while something is
/// refused or waits. The counts are those of the gateway's running store, growing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterStatus {
    /// Which meter.
    pub meter: MeterId,
    /// When this was so.
    pub at: Time,
    /// The outcome of what is heard.
    pub reception: Reception,
    /// When a telegram of it was last opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Time>,
    /// Readings that wait until others agree with them.
    #[serde(default)]
    pub quarantined: u64,
    /// Sealed frames kept until a key opens them.
    #[serde(default)]
    pub sealed: u64,
    /// Telegrams refused, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<Refusal, u64>,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

words! {
    /// The outcome of what is heard of a meter.
    Reception {
        /// Telegrams are opened.
        Heard = "heard",
        /// It is heard, but there is no key for it.
        NoKey = "no_key",
        /// It is heard, but its key does not open it.
        WrongKey = "wrong_key",
        /// Nothing has been heard for 24 hours.
        Silent = "silent",
    }
}

words! {
    /// Why a telegram was refused.
    Refusal {
        /// A checksum or the layout is wrong.
        Damaged = "damaged",
        /// The key does not open it.
        WrongKey = "wrong_key",
        /// There is no key.
        NoKey = "no_key",
        /// It came in the clear although the meter has a key.
        NotEncrypted = "not_encrypted",
        /// It was protected less than telegrams of the meter that were believed before.
        Downgraded = "downgraded",
        /// Its counter was there before.
        Replayed = "replayed",
        /// It cannot be true beside the register before it.
        Implausible = "implausible",
        /// Its form is not implemented.
        Unsupported = "unsupported",
    }
}

/// Something is wrong with the gateway itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Drawn when it began: the end carries the same.
    pub id: Id,
    /// What.
    pub problem: ProblemKind,
    /// Which receiver, file or server, if there are several. No personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub place: Option<String>,
    /// Since when; absent while the clock cannot place it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

words! {
    /// What is wrong with a gateway.
    ProblemKind {
        /// A receiver is gone or does not answer.
        ReceiverGone = "receiver_gone",
        /// A receiver answers and hears nothing at all.
        ReceiverDeaf = "receiver_deaf",
        /// The disk, or our part of it, is full.
        DiskFull = "disk_full",
        /// The disk cannot be written.
        DiskReadOnly = "disk_read_only",
        /// The store was damaged and has been replaced.
        StoreDamaged = "store_damaged",
        /// The store is a copy of another or was restored: its epoch is new.
        StoreCloned = "store_cloned",
        /// Batches were given up before they were acknowledged.
        Pruned = "pruned",
        /// A batch is parked since it killed the connection twice.
        Parked = "parked",
        /// The clock is not trusted.
        ClockUntrusted = "clock_untrusted",
        /// The mail server refuses or cannot be reached.
        MailServer = "mail_server",
        /// Another client uses our name at the broker.
        BrokerTwin = "broker_twin",
        /// Our certificate expires soon or has expired.
        CertificateExpiring = "certificate_expiring",
        /// A document from the portal could not be applied.
        ConfigRefused = "config_refused",
    }
}
