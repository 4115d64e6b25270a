//! What each half says about itself: the answers to `status` on its control socket, and what `vesigate status` shows.

use std::collections::BTreeMap;

use messages::batch::{Epoch, Seq, Stream};
use messages::event::{Reception, Refusal};
use messages::seal::PublicKey;
use messages::status::{Applied, Clock, Disk, Parked, Receiver};
use messages::{MeterId, Time};
use serde::{Deserialize, Serialize};

use super::problem::Listed;
use crate::feed::Counts;

/// At most this many meters with refused telegrams are listed; the counts beside them are complete.
pub const MAX_LISTED: usize = 500;

/// How the receiving half is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectStatus {
    /// Its version.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// What it takes for the time, if it is trusted.
    pub at: Option<Time>,
    /// What it knows of the time.
    pub clock: Clock,
    /// The receivers and behind them the feeds, in the order of the configuration.
    pub receivers: Vec<Receiver>,
    /// What is known of the feeds besides.
    #[serde(default)]
    pub feeds: Vec<FeedStatus>,
    /// The streams it writes.
    pub streams: BTreeMap<Stream, StreamStatus>,
    /// Where it keeps things.
    pub disk: Disk,
    /// Its public key: meter keys are sealed to it.
    pub collect_key: PublicKey,
    /// Meters.
    pub meters: Meters,
    /// Telegrams since it was started, by what became of them.
    pub telegrams: Telegrams,
    /// Running episodes.
    pub episodes: u64,
    /// Hour rows written since it was started.
    pub rows: u64,
    /// Readings that were never placed on the calendar and are gone.
    pub never_placed: u64,
    /// Meters with refused telegrams or waiting readings; at most [`MAX_LISTED`].
    pub refusing: Vec<Refusing>,
    /// What is wrong.
    pub problems: Vec<Listed>,
    /// Problems since it was started, by kind.
    pub problems_begun: BTreeMap<String, u64>,
}

/// A feed, with what its feeder says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// Its name, as among the receivers.
    pub name: String,
    /// Whether its feeder is connected.
    pub connected: bool,
    /// Why its source does not run, if it does not.
    pub trouble: Option<String>,
    /// How often its source was started again.
    pub restarts: u64,
    /// Telegrams that the feeder could not hand over.
    pub dropped: u64,
    /// What came from its source since the feeder was started.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One stream of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its numbering.
    pub epoch: Epoch,
    /// The newest block; 0 for none.
    pub head: Seq,
    /// What is acknowledged.
    pub acknowledged: Seq,
    /// Blocks kept.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that wait in memory because the disk cannot be written.
    pub in_memory: u64,
    /// Blocks given up before they were acknowledged.
    pub lost: u64,
}

/// How many meters are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meters {
    /// On the meter list, or with a key of their own.
    pub expected: u64,
    /// Keys in the keyring.
    pub keys: u64,
    /// Expected ones heard since the start.
    pub heard: u64,
    /// Of these, with telegrams that were opened.
    pub opened: u64,
    /// Expected ones that are heard and have no key.
    pub no_key: u64,
    /// Expected ones whose key does not open them.
    pub wrong_key: u64,
    /// Opened before, not heard for a day.
    pub silent: u64,
    /// Neither listed nor with a key: not stored, not sent.
    pub foreign: u64,
    /// Sealed frames that wait for a key.
    pub sealed: u64,
}

/// What became of telegrams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telegrams {
    /// From receivers.
    pub heard: u64,
    /// Opened and believed, or waiting for the next one to agree.
    pub accepted: u64,
    /// The same again: a repeater, a second receiver.
    pub duplicates: u64,
    /// Of meters that are not expected.
    pub foreign: u64,
    /// Installation telegrams, which are never readings.
    pub installation: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Found no room in a queue.
    pub dropped: u64,
}

/// A meter with refused telegrams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusing {
    /// Which.
    pub meter: MeterId,
    /// The outcome of what is heard of it.
    pub reception: Reception,
    /// By reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Readings that wait until others agree.
    pub quarantined: u64,
    /// Sealed frames kept.
    pub sealed: u64,
}

/// How the delivering half is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverStatus {
    /// Its version.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// What it takes for the time, if it is trusted.
    pub at: Option<Time>,
    /// The uplink; absent if it is off.
    pub uplink: Option<UplinkStatus>,
    /// The mails; absent if they are off.
    pub mail: Option<MailStatus>,
    /// The store of the receiving half, if it cannot be read.
    pub store: Option<String>,
    /// Its public key: `config/<meter>` is sealed to it.
    pub deliver_key: PublicKey,
    /// What is wrong.
    pub problems: Vec<Listed>,
    /// Problems since it was started, by kind.
    pub problems_begun: BTreeMap<String, u64>,
}

/// The uplink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Whether the broker's line is up.
    pub connected: bool,
    /// Since when it is so.
    pub since: Option<Time>,
    /// Why it is not, with what to do.
    pub error: Option<String>,
    /// Connections made since the start.
    pub connections: u64,
    /// Per stream: newest, acknowledged by the portal, under way.
    pub streams: BTreeMap<Stream, Sending>,
    /// How far the portal's documents are applied.
    pub config: Applied,
    /// When the portal was last heard.
    pub portal_seen: Option<Time>,
    /// Until when our certificate is valid.
    pub certificate_expires: Option<Time>,
    /// Batches that wait until they are sent again by hand.
    pub parked: Vec<Parked>,
}

/// How sending a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Its numbering.
    pub epoch: Epoch,
    /// The newest block.
    pub head: Seq,
    /// What the portal has acknowledged.
    pub acknowledged: Seq,
    /// Batches under way.
    pub in_flight: u64,
    /// Batches sent since the start, repetitions included.
    pub sent: u64,
}

/// The mails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MailStatus {
    /// Waiting.
    pub queued: u64,
    /// Taken by the server since the start.
    pub sent: u64,
    /// Refused for good since the start.
    pub refused: u64,
    /// Given up after five days, since the start.
    pub given_up: u64,
    /// Alarms that run.
    pub alarms: u64,
    /// What the server said last, if the last attempt failed; never an address.
    pub error: Option<String>,
}
