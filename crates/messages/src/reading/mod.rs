//! The hour row: what a gateway heard of one meter around one full hour.
//!
//! Written by collect about two minutes after the boundary, sent on the stream `readings`, read by the portal. Rows of
//! one key are combined by [`join`], so that order, repetition and a second gateway never matter.

mod code;
mod join;
mod register;
mod registers;

use std::collections::{BTreeMap, BTreeSet};

use litemap::LiteMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use code::{Code, DurationClass, Minutes, NotADurationClass, NotMinutes};
pub use join::{DifferentKeys, join};
pub use register::{Extremes, Register, Role, SNAP};

use crate::{Hour, MeterId, Other};

/// Registers by role: mostly one, seldom more than four.
pub type Registers = LiteMap<Role, Register>;

/// What one run of one gateway knows of a meter at the boundary `T`, and of the hour before it. Key: meter and boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HourRow {
    /// Which meter.
    pub meter: MeterId,
    /// The full hour `T` that the registers stand nearest to.
    pub boundary: Hour,
    /// For each register of the meter's profile, the reading nearest to `T`, with its own time.
    #[serde(default, skip_serializing_if = "Registers::is_empty", deserialize_with = "registers::map")]
    #[schemars(with = "BTreeMap<Role, Register>")]
    pub registers: Registers,
    /// Lowest and highest flow heard in the hour before `T`, litres per hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Extremes>,
    /// Lowest and highest temperature of the water in that hour, degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water: Option<Extremes>,
    /// Lowest and highest temperature around the meter in that hour, degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Extremes>,
    /// Every info code seen in that hour.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub codes: BTreeSet<Code>,
    /// The meter's own count of hours with a code during the last 30 days, in classes; class 0 is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Code, DurationClass>,
    /// For each code, in how many minutes of that hour it was seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub minutes: BTreeMap<Code, Minutes>,
    /// Telegrams heard in that hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub telegrams: u32,
    /// The strongest of them, dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rssi: Option<i16>,
    /// All of it comes from sealed frames that were opened later, when the key arrived: history, never a reason to mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// A value was read through an inferred layout, not one learnt from a full telegram of the meter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// What the telegrams were checked by.
    pub checked: Checked,
    /// Fields of a later version, kept as they are.
    #[serde(flatten)]
    pub other: Other,
}

impl HourRow {
    /// A row that says nothing yet, to be filled in.
    #[must_use]
    pub fn new(meter: MeterId, boundary: Hour, checked: Checked) -> Self {
        Self {
            meter,
            boundary,
            registers: Registers::new(),
            flow: None,
            water: None,
            ambient: None,
            codes: BTreeSet::new(),
            classes: BTreeMap::new(),
            minutes: BTreeMap::new(),
            telegrams: 0,
            rssi: None,
            late: false,
            inferred: false,
            checked,
            other: Other::default(),
        }
    }
}

/// What proves that a telegram is genuine, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// Not encrypted: the meter has no key. Anyone can say anything.
    Plain,
    /// Encrypted, with a checksum inside: shows that the key is right, but not who sent it (AES-CTR can be altered).
    Checksum,
    /// A message authentication code or tag was verified.
    Authenticated,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
