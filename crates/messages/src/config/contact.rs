//! Who hears of an alarm.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::personal::{Email, Personal};
use crate::reading::Code;
use crate::text::Id;

/// Somebody who gets mails about one meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// The portal's id; reports name the contact by it alone.
    pub id: Id,
    /// Where to.
    pub email: Email,
    /// In which language.
    pub language: Language,
    /// About which codes.
    pub codes: BTreeSet<Code>,
    /// Whose contact.
    pub kind: ContactKind,
    /// Whether the address was confirmed; nobody else is mailed.
    pub confirmed: bool,
    /// Until when, from the tenancy; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
    /// The opaque link that ends these mails (List-Unsubscribe); absent for contacts of the utility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Personal>,
}

/// The language of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Finnish.
    Fi,
    /// Swedish.
    Sv,
    /// English.
    En,
}

/// Whose contact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    /// The utility's own: stays without the portal.
    Utility,
    /// A customer's: lapses after 30 days without contact with the portal.
    Customer,
}
