//! One mail at a time: on its way, or with an outcome that is not stored yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};

use crate::alarm::Outgoing;
use crate::alarm::send::{Outcome, Post, Smtp};
use crate::config::{Config, Credentials};

/// How long a mail on its way is waited for when this half stops: short of what systemd allows.
const LAST: Duration = Duration::from_secs(15);

/// Where mails go from, one by one.
#[derive(Debug)]
pub(super) struct Desk {
    /// `None` if mails are off.
    post: Option<Post>,
    on_its_way: Option<JoinHandle<(String, Outcome)>>,
    /// What the server said, until it is stored.
    unsettled: Option<(String, Outcome)>,
}

impl Desk {
    /// For the server that the configuration names.
    pub(super) fn new(config: &Config, credentials: &Credentials) -> Result<Self, String> {
        let smtp = config.mail.as_ref().map(|mail| Smtp::new(mail, credentials)).transpose();
        let smtp = smtp.map_err(|error| format!("mail.password_file: {error}"))?;
        Ok(Self { post: smtp.map(|smtp| Post::Smtp(Arc::new(smtp))), on_its_way: None, unsettled: None })
    }

    /// Another server from now on; the mail on its way goes on.
    pub(super) fn replace_by(&mut self, other: Self) {
        self.post = other.post;
    }

    /// Whether another mail may be sent.
    pub(super) const fn is_free(&self) -> bool {
        self.post.is_some() && self.on_its_way.is_none() && self.unsettled.is_none()
    }

    /// Sends a mail; [`Desk::sent`] tells of it.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        let Some(post) = self.post.clone() else { return };
        self.on_its_way = Some(spawn_local(async move {
            let outcome = post.send(&outgoing.mail).await;
            (outgoing.message, outcome)
        }));
    }

    /// What became of the mail on its way; never, if there is none. Safe to cancel.
    pub(super) async fn sent(&mut self) -> Option<(String, Outcome)> {
        let Some(task) = &mut self.on_its_way else { return std::future::pending().await };
        let sent = task.await.ok();
        self.on_its_way = None;
        sent
    }

    /// The same when this half stops: waits for a moment, so that the mail is not sent again.
    pub(super) async fn wait_for_last(&mut self) -> Option<Option<(String, Outcome)>> {
        self.on_its_way.as_ref()?;
        tokio::time::timeout(LAST, self.sent()).await.ok()
    }

    /// To be stored in the next turn, and again until that works.
    pub(super) fn settle_later(&mut self, sent: Option<(String, Outcome)>) {
        self.unsettled = sent.or_else(|| self.unsettled.take());
    }

    /// What is to be stored.
    pub(super) fn unsettled(&self) -> Option<(&str, &Outcome)> {
        self.unsettled.as_ref().map(|(message, outcome)| (message.as_str(), outcome))
    }

    /// It is stored.
    pub(super) fn settled(&mut self) {
        self.unsettled = None;
    }
}
