//! When an episode becomes a mail.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::reading::Code;

/// A rule per code; a code without one raises no alarm.
pub type Rules = BTreeMap<Code, Rule>;

/// When an episode of a code raises an alarm, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// An alarm is raised once the episode has lasted this many minutes.
    pub after_minutes: u32,
    /// Mails while it goes on; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// Mails while an alarm goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repeat {
    /// Every so many hours.
    #[schemars(range(min = 1))]
    pub every_hours: std::num::NonZeroU32,
    /// At most so many times.
    pub times: u32,
}

/// No mails about one code of one meter until a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snooze {
    /// Which code.
    pub code: Code,
    /// Until when.
    pub until: Time,
}
