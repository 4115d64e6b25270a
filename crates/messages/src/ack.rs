//! What the portal has stored: `ack/<stream>`, retained, written by the portal after its database commit, read by the
//! gateway, which frees nothing before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{Epoch, Nonce, Seq};

/// The acknowledgement of one stream of one gateway.
///
/// ```
/// use messages::{Ack, batch::{Epoch, Seq}};
/// let ack: Ack = serde_json::from_str(
///     r#"{"generation":1795482007,"epochs":[{"epoch":"0000000000000000000000000000c0de","seq":41}]}"#,
/// )?;
/// assert_eq!(ack.cursor(Epoch::durable(0xC0DE)).map(|cursor| cursor.seq), Some(Seq::new(41)));
/// assert!(ack.cursor(Epoch::durable(0xFEED)).is_none(), "not our numbering: to be ignored");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The portal's store, counted up by each restore of a backup. A lower `seq` counts only under a higher generation.
    pub generation: u64,
    /// The gateway's durable epoch, and at most the newest throw-away one.
    pub epochs: Vec<Cursor>,
}

/// How far one epoch is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    /// Which numbering.
    pub epoch: Epoch,
    /// The highest number up to which everything is stored or missing for good; 0 for nothing yet.
    pub seq: Seq,
    /// The nonce of the batch with that number; absent if that number is 0 or missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

impl Ack {
    /// The cursor of an epoch, if it is named.
    #[must_use]
    pub fn cursor(&self, epoch: Epoch) -> Option<&Cursor> {
        self.epochs.iter().find(|cursor| cursor.epoch == epoch)
    }
}
