//! `[mail]`: the server that takes our mails.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lettre::message::Mailbox;

use super::section::Section;
use super::uplink::{Host, Login};

/// How mails are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The server.
    pub server: Host,
    /// Its port.
    pub port: u16,
    /// How the line is protected.
    pub security: MailSecurity,
    /// User and password.
    pub login: Option<Login>,
    /// Who sends.
    pub from: Email,
    /// Who gets the answers, if not the sender.
    pub reply_to: Option<Email>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Mail {
    /// `None` if it is off, or if something it needs is missing or wrong, which is then noted.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let enabled = section.flag("enabled", false);
        let server = Host::read(section, "server");
        let security = section.choice(
            "security",
            &[("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls), ("none", MailSecurity::None)],
        );
        let security = security.unwrap_or(MailSecurity::StartTls);
        let port = section.number("port", 1..=65_535);
        let login = Login::read(section);
        let from = Email::read(section, "from");
        let reply_to = Email::read(section, "reply_to");
        let timeout = section.duration("timeout", Duration::from_secs(5)..=Duration::from_secs(600));
        if security == MailSecurity::None && server.as_ref().is_some_and(|server| !server.is_loopback()) {
            section.reject(
                "security",
                "sends mails and passwords in the clear to another machine",
                "write \"starttls\" or \"tls\"",
            );
        }
        if !enabled {
            return None;
        }
        section.missing("server", "write server = \"smtp.example.org\"");
        section.missing("from", "write from = \"Waterworks <alarm@example.org>\"");
        let default_port = match security {
            MailSecurity::StartTls => 587,
            MailSecurity::Tls => 465,
            MailSecurity::None => 25,
        };
        Some(Self {
            server: server?,
            port: port.unwrap_or(default_port),
            security,
            login,
            from: from?,
            reply_to,
            timeout: timeout.unwrap_or(Duration::from_secs(60)),
        })
    }
}

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS after STARTTLS; a server that offers none is refused.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: to this machine only.
    None,
}

/// A mail address, with or without a name; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(Mailbox);

impl Email {
    /// The address, for a mail's head.
    #[must_use]
    pub const fn mailbox(&self) -> &Mailbox {
        &self.0
    }

    pub(super) fn read(section: &Section<'_>, key: &'static str) -> Option<Self> {
        section.text(key, "write \"name@example.org\" or \"Name <name@example.org>\"", |text| {
            text.parse().map_err(|NotAnEmail| "is not a mail address")
        })
    }
}

/// A text is no mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write name@example.org or \"Name <name@example.org>\"")]
pub struct NotAnEmail;

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let short = text.len() <= 320 && !text.contains(char::is_control);
        let mailbox = if short { text.parse().ok() } else { None };
        mailbox.map(Self).ok_or(NotAnEmail)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}
