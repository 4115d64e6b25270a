//! What `vesigate scan` asks the receiving half: every meter that is heard, ours or not.

use messages::event::Refusal;
use messages::reading::Code;
use messages::{Quantity, Time};
use serde::{Deserialize, Serialize};

use crate::collector::open::Protected;
use crate::receiver::LinkMode;

/// So many meters in one page: about 100 kB.
pub const PAGE: usize = 200;

/// Some of the meters heard since the start, in the order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeardPage {
    /// The meters.
    pub meters: Vec<HeardMeter>,
    /// What to ask for next; absent at the end. Meters that come and go between two questions may be missed.
    pub next: Option<[u8; 8]>,
    /// How many there are in all.
    pub total: usize,
    /// How many of them are not ours: neither listed nor with a key.
    pub foreign: usize,
}

/// One meter. How long ago something was is told in milliseconds, since the clock need not be right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardMeter {
    /// Its address: `KAM.76348799.1B.16`.
    pub meter: String,
    /// What its manufacturer calls it, if that is known.
    pub model: Option<String>,
    /// Whether it is listed, or has a key.
    pub expected: bool,
    /// Whether the meter list has it.
    #[serde(default)]
    pub listed: bool,
    /// Whether there is a key for it.
    pub has_key: bool,
    /// When it was last heard, if the clock is trusted.
    pub heard: Option<Time>,
    /// How long ago that was.
    pub heard_ago: u64,
    /// How long ago it was first heard.
    pub first_ago: u64,
    /// Telegrams since then, without echoes.
    pub telegrams: u32,
    /// Telegrams that came again within seconds, through a repeater or another receiver.
    pub echoes: u32,
    /// Its own interval between telegrams, milliseconds.
    pub interval: Option<u64>,
    /// Telegrams that tell how well it is heard: without installation telegrams, and of a meter whose telegrams open without
    /// those that do not.
    pub counted: u32,
    /// How long ago the last of those was.
    pub counted_ago: Option<u64>,
    /// Those of the last hour, or of the last sixteen intervals if it sends seldom.
    pub recent: u32,
    /// In how many milliseconds.
    pub recent_over: u64,
    /// How strong the last one was, in dBm.
    pub rssi: Option<i16>,
    /// How strong it was at best.
    pub best_rssi: Option<i16>,
    /// How it is sent, where the receiver can tell.
    pub link_mode: Option<LinkMode>,
    /// How it says that it is protected; absent if no telegram that counts could be read so far.
    pub protected: Option<Protected>,
    /// Telegrams that were opened and are not contradicted.
    pub opened: u32,
    /// Why the last telegram was refused, if it was. A meter that is not expected is not tried.
    pub refusal: Option<Refusal>,
    /// What the last believable telegram said.
    pub reading: Option<HeardReading>,
    /// Installation telegrams among the telegrams.
    pub installation: u32,
    /// How long ago the last of those was.
    pub installation_ago: Option<u64>,
    /// The receivers that have heard it.
    pub receivers: Vec<String>,
}

/// What a telegram said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardReading {
    /// How long ago.
    pub ago: u64,
    /// The volume.
    pub volume: Option<Quantity>,
    /// The info codes.
    pub codes: Vec<Code>,
}
