//! The mails: what happened, where, since when, how much, what to do; as text and as HTML, in the reader's language.
//!
//! What comes from documents and lists is hostile: it is cleaned of control characters, bounded, escaped in HTML, and no
//! link is printed that is not plain https.

mod en;
mod fi;
mod form;
mod sv;
mod words;

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use messages::config::{ContactKind, Language};
use messages::reading::Code;
use messages::{MeterId, Span, Time};

use super::book::House;
use words::Words;

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An alarm is raised.
    Raised,
    /// It goes on.
    Repeated,
    /// It is over.
    Over,
    /// A test.
    Test,
}

/// What a mail says.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Which code; `None` in a test.
    pub code: Option<&'a Code>,
    /// Which meter; `None` in a test that is about none.
    pub meter: Option<MeterId>,
    /// What people call its place.
    pub place: Option<&'a str>,
    /// The utility's number of its place.
    pub point: Option<&'a str>,
    /// Since when, and until when if it is over.
    pub span: Option<Span>,
    /// At least so many litres run each hour, if that is known.
    pub flow: Option<u64>,
    /// The reader's language.
    pub language: Language,
    /// Who reads it.
    pub audience: ContactKind,
    /// The link that ends these mails.
    pub unsubscribe: Option<&'a str>,
    /// What all mails of the utility share.
    pub house: &'a House,
}

/// The head of a mail.
#[derive(Clone, Debug)]
pub struct Head {
    /// Who sends.
    pub from: Mailbox,
    /// Who gets the answers, if not the sender.
    pub reply_to: Option<Mailbox>,
    /// To whom.
    pub to: Mailbox,
    /// The Message-ID, without brackets.
    pub message: String,
    /// When.
    pub date: Time,
}

/// A mail as it is sent. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// From whom to whom.
    pub envelope: Envelope,
    /// Head and body.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Written(..)")
    }
}

/// Writes a mail.
///
/// # Errors
/// What the mail library finds wrong with the addresses.
pub fn write(letter: &Letter<'_>, head: Head) -> Result<Written, lettre::error::Error> {
    let content = Words::of(letter.language).content(letter, &zone(&letter.house.zone));
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(head.date.unix().unsigned_abs());
    // The same whenever it is written again, and in no part: no word here has this form.
    let boundary = format!("=_{}", head.message.split('.').next().unwrap_or_default());
    let mut message = lettre::Message::builder()
        .from(head.from)
        .to(head.to)
        .subject(&content.subject)
        .date(date)
        .message_id(Some(format!("<{}>", head.message)))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Content-Language", content.tag));
    if let Some(reply_to) = head.reply_to {
        message = message.reply_to(reply_to);
    }
    if let Some(url) = letter.unsubscribe.and_then(link) {
        message = message
            .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    }
    let part = |content_type, body: String| {
        SinglePart::builder().header(content_type).header(ContentTransferEncoding::QuotedPrintable).body(body)
    };
    let message = message.multipart(
        MultiPart::alternative()
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, form::text(&content)))
            .singlepart(part(ContentType::TEXT_HTML, form::html(&content))),
    )?;
    Ok(Written { envelope: message.envelope().clone(), bytes: message.formatted() })
}

/// A head's line whose value is plain ASCII without line breaks.
fn header(name: &'static str, value: &str) -> HeaderValue {
    // Written as it is: the library would fold a long link, which readers of List-Unsubscribe do not expect.
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(name),
        value.to_owned(),
        value.to_owned(),
    )
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// A text from outside on one line: without control characters, without marks that turn the direction of writing, not
/// longer than fits a subject.
fn clean(text: &str) -> String {
    let turns = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let spaced: String =
        text.chars().map(|letter| if letter.is_control() || turns(letter) { ' ' } else { letter }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// A link that may be printed: https, and nothing in it that ends a link, an attribute or a line.
fn link(url: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"'`\\{}|^".contains(&byte);
    let good = url.len() <= 500 && url.starts_with("https://") && url.bytes().all(plain);
    good.then_some(url)
}

/// The most characters of a text from outside.
const LONGEST: usize = 120;

#[cfg(test)]
mod tests;
