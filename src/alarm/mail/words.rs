//! What every language has to have words for, and how they become one mail.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use messages::config::{ContactKind, Language};
use messages::reading::Code;
use messages::{MeterId, Time};

use super::{Kind, Letter, clean, link};

/// The words of a language.
pub(super) struct Words {
    /// Its tag, for screen readers.
    pub(super) tag: &'static str,
    /// A code.
    pub(super) code: fn(&Code) -> CodeWords,
    /// Before the name of an alarm that goes on.
    pub(super) reminder: &'static str,
    /// Before the name of an alarm that is over.
    pub(super) over: &'static str,
    /// A sentence for an alarm that goes on.
    pub(super) goes_on: &'static str,
    /// The name of a test, and what it says.
    pub(super) test: (&'static str, &'static str),
    /// Names of facts.
    pub(super) place: &'static str,
    pub(super) point: &'static str,
    pub(super) meter: &'static str,
    pub(super) since: &'static str,
    pub(super) until: &'static str,
    pub(super) flow: &'static str,
    /// "Water meter 123", where there is no other name for the place.
    pub(super) meter_number: fn(&str) -> String,
    /// "at least 12 litres an hour (288 litres a day)".
    pub(super) at_least: fn(u64, u64) -> String,
    /// A local date and time.
    pub(super) moment: fn(DateTime) -> String,
    /// Above what to do.
    pub(super) what_to_do: &'static str,
    /// What the utility's own people do.
    pub(super) staff: &'static str,
    /// The emergency telephone.
    pub(super) phone: fn(&str) -> String,
    /// Before the link to the portal, and its text.
    pub(super) portal: &'static str,
    /// Before the link that ends the mails, and its text.
    pub(super) unsubscribe: &'static str,
    /// That a machine has sent it.
    pub(super) automatic: &'static str,
}

/// The words for a code.
pub(super) struct CodeWords {
    /// What the alarm is called, as it stands within a sentence.
    pub(super) name: &'static str,
    /// What the meter says, and what it may mean.
    pub(super) what: String,
    /// What is over, as a sentence.
    pub(super) over: &'static str,
    /// What else there is to know.
    pub(super) note: Option<&'static str>,
    /// What the customer can do.
    pub(super) advice: &'static [&'static str],
}

/// A mail in words, not yet text or HTML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) tag: &'static str,
    pub(super) subject: String,
    pub(super) heading: String,
    pub(super) paragraphs: Vec<String>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) notes: Vec<String>,
    pub(super) advice: Option<(&'static str, Vec<&'static str>)>,
    pub(super) closing: Vec<Line>,
}

/// A line at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    Link { text: &'static str, url: String },
}

impl Words {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::Fi => &super::fi::WORDS,
            Language::Sv => &super::sv::WORDS,
            Language::En => &super::en::WORDS,
        }
    }

    pub(super) fn content(&self, letter: &Letter<'_>, zone: &TimeZone) -> Content {
        let place = letter.place.map(clean).filter(|place| !place.is_empty());
        let point = letter.point.map(clean).filter(|point| !point.is_empty());
        let serial = letter.meter.as_ref().map(MeterId::serial);
        let site = place.clone().or_else(|| serial.map(self.meter_number));
        let told = letter.code.map(|code| (self.code)(code));
        let (name, paragraphs, note) = match (letter.kind, &told) {
            (Kind::Test, _) | (_, None) => (self.test.0.to_owned(), vec![self.test.1.to_owned()], None),
            (Kind::Raised, Some(told)) => (capital(told.name), vec![told.what.clone()], told.note),
            (Kind::Repeated, Some(told)) => (
                format!("{}: {}", self.reminder, told.name),
                vec![self.goes_on.to_owned(), told.what.clone()],
                told.note,
            ),
            (Kind::Over, Some(told)) => {
                (format!("{}: {}", self.over, told.name), vec![told.over.to_owned()], None)
            }
        };
        let mut facts = Vec::new();
        facts.extend(place.map(|place| (self.place, place)));
        facts.extend(point.map(|point| (self.point, point)));
        facts.extend(serial.map(|serial| (self.meter, serial.to_owned())));
        if let Some(span) = letter.span {
            facts.push((self.since, (self.moment)(local(span.from, zone))));
            facts.extend(span.to.map(|to| (self.until, (self.moment)(local(to, zone)))));
        }
        if let Some(litres) = letter.flow.filter(|litres| *litres > 0) {
            facts.push((self.flow, (self.at_least)(litres, litres.saturating_mul(24))));
        }
        let advice = told.filter(|_| matches!(letter.kind, Kind::Raised | Kind::Repeated)).map(|told| {
            let advice = match letter.audience {
                ContactKind::Customer => told.advice.to_vec(),
                ContactKind::Utility => vec![self.staff],
            };
            (self.what_to_do, advice)
        });
        Content {
            tag: self.tag,
            subject: site.map_or_else(|| name.clone(), |site| format!("{name} – {site}")),
            heading: name,
            paragraphs,
            facts,
            notes: note.map(str::to_owned).into_iter().collect(),
            advice,
            closing: self.closing(letter),
        }
    }

    fn closing(&self, letter: &Letter<'_>) -> Vec<Line> {
        let house = letter.house;
        let mut closing = Vec::new();
        let alarming = matches!(letter.kind, Kind::Raised | Kind::Repeated);
        let phone = house.phone.as_deref().map(clean).filter(|phone| alarming && !phone.is_empty());
        closing.extend(phone.map(|phone| Line::Text((self.phone)(&phone))));
        let url = house.url.as_deref().and_then(link);
        closing.extend(url.map(|url| Line::Link { text: self.portal, url: url.to_owned() }));
        let unsubscribe = letter.unsubscribe.and_then(link);
        closing.extend(unsubscribe.map(|url| Line::Link { text: self.unsubscribe, url: url.to_owned() }));
        closing.push(Line::Text(self.automatic.to_owned()));
        closing.extend(house.name.as_deref().map(clean).filter(|name| !name.is_empty()).map(Line::Text));
        closing
    }
}

/// A moment in the utility's time zone.
fn local(time: Time, zone: &TimeZone) -> DateTime {
    zone.to_datetime(Timestamp::from_second(time.unix()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// With a capital letter at its start.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Whole numbers in groups of three, with spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    grouped
}
