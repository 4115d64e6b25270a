//! What deliver did: alarms raised, mails, requests. Written by deliver, sent on the stream `mails`, read by the portal.
//!
//! A person appears here by the portal's own contact id only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Code;
use crate::text::{Id, words};
use crate::{MeterId, Other, Span, Time};

/// An episode has lasted as long as its rule says. Raised once per episode, whether or not anybody is there to be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// The episode that it is raised for.
    pub episode: Id,
    /// Which meter.
    pub meter: MeterId,
    /// Which code.
    pub code: Code,
    /// When it was raised.
    pub at: Time,
    /// The episode as far as it was known then.
    pub span: Span,
    /// How many contacts a mail was queued for: 0 says that nobody hears of it from this gateway.
    pub contacts: u32,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailReport {
    /// The Message-ID without brackets: a hash of episode, contact and kind, the same whenever the mail is sent again.
    #[schemars(length(max = 250))]
    pub message: String,
    /// Which meter.
    pub meter: MeterId,
    /// What it is about.
    pub kind: MailKind,
    /// Of a repeat: which one, from 1; otherwise 0.
    #[serde(default)]
    pub repeat: u32,
    /// Which code; absent in a test mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The episode as it was told; absent in a test mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// To whom.
    pub contact: Id,
    /// When.
    pub at: Time,
    /// What became of it.
    pub outcome: MailOutcome,
    /// The server's reply code, such as 250 or 550; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<u16>,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

words! {
    /// What a mail is about.
    MailKind {
        /// An alarm was raised.
        Raised = "raised",
        /// It goes on (a repeat).
        Repeated = "repeated",
        /// The episode is over.
        Over = "over",
        /// A test that somebody asked for.
        Test = "test",
    }
}

words! {
    /// What became of a mail.
    MailOutcome {
        /// The server took it.
        Sent = "sent",
        /// The server refused it for good (5xx); it is not tried again.
        Refused = "refused",
        /// It was tried for five days.
        GivenUp = "given_up",
        /// No longer to be sent: snoozed, unsubscribed, claimed by the portal, or over before it was sent.
        Dropped = "dropped",
    }
}

/// What became of a request from `config/<meter>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestReport {
    /// The request's id.
    pub id: Id,
    /// Which meter.
    pub meter: MeterId,
    /// When it was finished.
    pub at: Time,
    /// What became of it.
    pub outcome: RequestOutcome,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

words! {
    /// What became of a request.
    RequestOutcome {
        /// Done.
        Done = "done",
        /// It came after its expiry.
        Expired = "expired",
        /// This version does not know what was asked.
        NotUnderstood = "not_understood",
        /// Tried and failed.
        Failed = "failed",
    }
}
