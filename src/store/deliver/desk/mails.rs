//! The mail queue.

use messages::mail::MailKind;
use messages::reading::Code;
use messages::{Id, MeterId, Span, Time};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Desk, parsed, time};
use crate::store::StoreError;

/// A mail to one contact: what it is to be told, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMail {
    /// Its Message-ID, without brackets.
    pub message: String,
    /// The alarm, or the request, that it is about.
    pub about: Id,
    /// Which meter.
    pub meter: MeterId,
    /// Which code; `None` in a test mail.
    pub code: Option<Code>,
    /// What it tells.
    pub kind: MailKind,
    /// Of a repeat: which one, from 1.
    pub repeat: u32,
    /// To whom.
    pub contact: Id,
    /// The episode as it is told; `None` in a test mail.
    pub span: Option<Span>,
    /// When it was queued.
    pub queued: Time,
    /// When it is given up.
    pub until: Time,
    /// When it is tried next.
    pub due: Time,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it waits for the server as a whole: it is due as soon as the server has taken another one.
    pub server: bool,
    /// What became of it.
    pub state: MailState,
    /// When that came about.
    pub at: Time,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// To be sent.
    Waiting,
    /// The server took it.
    Sent,
    /// The server refused it for good.
    Refused,
    /// Tried until its time was over.
    GivenUp,
    /// Not to be sent any more, unless the reason goes.
    Dropped,
}

impl MailState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Sent, Self::Refused, Self::GivenUp, Self::Dropped];

    const fn number(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Sent => 1,
            Self::Refused => 2,
            Self::GivenUp => 3,
            Self::Dropped => 4,
        }
    }
}

impl Desk<'_> {
    /// The mails about an alarm or a request.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn mails_about(&self, about: Id) -> Result<Vec<QueuedMail>, StoreError> {
        self.list(&format!("SELECT {MAIL} FROM mail WHERE about = ?1"), [about.to_string()], read_mail)
    }

    /// A mail.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn mail(&self, message: &str) -> Result<Option<QueuedMail>, StoreError> {
        Ok(self.list(&format!("SELECT {MAIL} FROM mail WHERE message = ?1"), [message], read_mail)?.pop())
    }

    /// The mail that is to be tried first among those due at `now`: alarms before tests, then the one due longest.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn first_due(&self, now: Time) -> Result<Option<QueuedMail>, StoreError> {
        let sql = format!(
            "SELECT {MAIL} FROM mail WHERE state = 0 AND due <= ?1
             ORDER BY kind = 'test', due, queued, message LIMIT 1"
        );
        Ok(self.list(&sql, [now.unix()], read_mail)?.pop())
    }

    /// When the next mail is due.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn next_due(&self) -> Result<Option<Time>, StoreError> {
        let sql = "SELECT min(due) FROM mail WHERE state = 0";
        let due: Option<i64> = self.transaction.query_row(sql, [], |row| row.get(0))?;
        Ok(due.and_then(Time::from_unix))
    }

    /// Stores a mail.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_mail(&self, mail: &QueuedMail) -> Result<(), StoreError> {
        self.execute(
            &format!(
                "INSERT OR REPLACE INTO mail({MAIL})
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
            ),
            params![
                mail.message,
                mail.about.to_string(),
                mail.meter.as_str(),
                mail.code.as_ref().map(Code::as_str),
                mail.kind.as_str(),
                mail.repeat,
                mail.contact.to_string(),
                mail.span.map(|span| span.from.unix()),
                mail.span.and_then(|span| span.to).map(Time::unix),
                mail.queued.unix(),
                mail.until.unix(),
                mail.due.unix(),
                mail.attempts,
                mail.server,
                mail.state.number(),
                mail.at.unix()
            ],
        )
    }

    /// Makes mails that wait for the server as a whole due at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn server_is_back(&self, now: Time) -> Result<(), StoreError> {
        self.execute(
            "UPDATE mail SET due = ?1, server = 0 WHERE state = 0 AND server = 1 AND due > ?1",
            [now.unix()],
        )
    }

    /// The mails that are due at `now`, oldest first, at most `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn all_due(&self, now: Time, most: u32) -> Result<Vec<QueuedMail>, StoreError> {
        let sql = format!("SELECT {MAIL} FROM mail WHERE state = 0 AND due <= ?1 ORDER BY due LIMIT ?2");
        self.list(&sql, params![now.unix(), most], read_mail)
    }
}

/// The columns that [`read_mail`] takes, in its order.
pub(super) const MAIL: &str = "message, about, meter, code, kind, repeat, contact, from_time, to_time, queued, until, due, \
                    attempts, server, state, at";

pub(super) fn read_mail(row: &Row<'_>) -> rusqlite::Result<Option<QueuedMail>> {
    let message = row.get(0)?;
    let (about, meter, code) = (parsed(row, 1)?, parsed(row, 2)?, parsed(row, 3)?);
    let (kind, repeat, contact) = (parsed(row, 4)?, row.get(5)?, parsed(row, 6)?);
    let (from, to) = (time(row, 7)?, time(row, 8)?);
    let (queued, until, due) = (time(row, 9)?, time(row, 10)?, time(row, 11)?);
    let (attempts, server) = (row.get(12)?, row.get(13)?);
    let state: u8 = row.get(14)?;
    let at = time(row, 15)?;
    Ok((|| {
        Some(QueuedMail {
            message,
            about: about?,
            meter: meter?,
            code,
            kind: kind?,
            repeat,
            contact: contact?,
            span: from.map(|from| Span { from, to }),
            queued: queued?,
            until: until?,
            due: due?,
            attempts,
            server,
            state: MailState::ALL.into_iter().find(|known| known.number() == state)?,
            at: at?,
        })
    })())
}
