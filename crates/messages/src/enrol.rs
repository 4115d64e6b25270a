//! How a gateway joins: HTTPS `POST /enrol` to the portal, once, with a token from the back office.
//!
//! Request and answer are JSON. Status 200: [`EnrolAnswer`]. 403: the token is unknown, used or expired. 429: too many
//! attempts. A token is good for one key: the same token with the same key in its request, within the token's hour, gets
//! the same answer again, since an answer may get lost on its way.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::personal::Personal;
use crate::seal::PublicKey;
use crate::topic::Name;

/// What the gateway sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolRequest {
    /// The single-use token that the installer was given.
    pub token: Personal,
    /// A PKCS#10 certificate request in PEM, P-256; its subject is ignored.
    pub csr: String,
    /// Collect's public key: meter keys are sealed to it.
    pub collect_key: PublicKey,
    /// Deliver's public key: configuration is sealed to it.
    pub deliver_key: PublicKey,
}

/// What the portal answers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolAnswer {
    /// The utility that the gateway belongs to.
    pub utility: Name,
    /// The gateway's name.
    pub gateway: Name,
    /// Its client certificate in PEM, common name `utility/gateway`, intermediates after it.
    pub certificate: String,
    /// The authority that signs the broker's certificate, in PEM.
    pub broker_ca: String,
    /// The broker's `host:port`.
    pub broker: String,
}

impl fmt::Debug for EnrolAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolAnswer({}/{} at {})", self.utility, self.gateway, self.broker)
    }
}
