//! `config`: what concerns the whole gateway. Not sealed: it names no person.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Language, Rules};
use crate::MeterId;

/// The retained document `config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayConfig {
    /// Counted up with each change; an older version than the one in force is ignored.
    pub version: u64,
    /// Every meter with a document `config/<meter>`, and the version of it in force. What a gateway has for a meter that
    /// is not in a newer list is deleted.
    pub meters: BTreeMap<MeterId, u64>,
    /// The rules where a meter's own document has none.
    #[serde(default)]
    pub rules: Rules,
    /// The utility's settings.
    pub utility: UtilitySettings,
    /// A new client certificate in PEM, answering the request in `status`; kept until the request is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// How a utility appears in mails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UtilitySettings {
    /// Its name, as customers know it.
    pub name: String,
    /// The name of its time zone (IANA), such as `Europe/Helsinki`.
    pub time_zone: String,
    /// The language for contacts of the utility itself.
    pub language: Language,
    /// The telephone number for leaks at any hour, as printed in mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_phone: Option<String>,
    /// Where customers sign in, as printed in mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_url: Option<String>,
}
