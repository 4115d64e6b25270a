//! Whether a gateway is there: `state`, retained, written by the gateway and by its last will, read by the portal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Whether a gateway is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// The presence.
    pub presence: Presence,
    /// When it was said; absent in the last will, and while the clock is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

impl State {
    /// The last will, to be deposited when connecting.
    pub const LAST_WILL: Self = Self { presence: Presence::Lost, at: None };
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Connected; published after each connection.
    Online,
    /// Stopped in good order; published before disconnecting.
    Stopped,
    /// The connection broke: the last will.
    Lost,
}
