//! `[alarm]` and `[[contact]]`: what is mailed when, and to whom of the utility.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use wmbus::Meter;
use wmbus::meter::InfoCode;

use super::gateway::{Gateway, Language, Name};
use super::mail::Email;
use super::section::Section;
use crate::keyring::Selector;

/// The codes of water meters that have rules, by the names they have in the file.
pub const CODES: [(&str, InfoCode); 10] = [
    ("leak", InfoCode::Leak),
    ("burst", InfoCode::Burst),
    ("dry", InfoCode::Dry),
    ("reverse", InfoCode::Reverse),
    ("tamper", InfoCode::Tamper),
    ("low_battery", InfoCode::LowBattery),
    ("ambient_temperature_low", InfoCode::AmbientTemperatureLow),
    ("ambient_temperature_high", InfoCode::AmbientTemperatureHigh),
    ("flow_above_q4", InfoCode::FlowAboveQ4),
    ("no_consumption", InfoCode::NoConsumption),
];

/// When an episode of a code becomes a mail. Codes without a rule are not mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    rules: BTreeMap<InfoCode, Rule>,
}

/// When an episode becomes a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How long it must have lasted.
    pub after: Duration,
    /// How long after a mail the next one follows.
    pub repeat_every: Duration,
    /// How many such further mails there are at most.
    pub repeat_up_to: u8,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { rules: CODES.iter().map(|(_, code)| (*code, Rule::default_of(*code))).collect() }
    }
}

impl Alarm {
    /// The rule of `code`, if it is to be mailed at all.
    #[must_use]
    pub fn rule(&self, code: InfoCode) -> Option<Rule> {
        self.rules.get(&code).copied()
    }

    pub(super) fn read(section: &Section<'_>) -> Self {
        let rule = |(word, code): &(&'static str, InfoCode)| {
            let rule = section.section(word, |rule| Rule::read(rule, Rule::default_of(*code)));
            rule.map(|rule| (*code, rule))
        };
        Self { rules: CODES.iter().filter_map(rule).collect() }
    }
}

impl Rule {
    /// A leak must last ten hours, everything else is mailed at once; the meter itself has waited a day before it
    /// says leak.
    const fn default_of(code: InfoCode) -> Self {
        let after = if matches!(code, InfoCode::Leak) { 10 * 3600 } else { 0 };
        Self {
            after: Duration::from_secs(after),
            repeat_every: Duration::from_secs(24 * 3600),
            repeat_up_to: 0,
        }
    }

    /// `None` for a code that is never mailed.
    fn read(section: &Section<'_>, default: Self) -> Option<Self> {
        let longest = Duration::from_secs(30 * 86_400);
        let never = section.is_text("after", "never");
        let after = if never { None } else { section.duration("after", Duration::ZERO..=longest) };
        let rule = Self {
            after: after.unwrap_or(default.after),
            repeat_every: section
                .duration("repeat_every", Duration::from_secs(3600)..=longest)
                .unwrap_or(default.repeat_every),
            repeat_up_to: section.number("repeat_up_to", 0..=100).unwrap_or(default.repeat_up_to),
        };
        (!never).then_some(rule)
    }
}

/// Somebody at the utility who is told of alarms.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its name in the meter list.
    pub name: Name,
    /// The address.
    pub email: Email,
    /// The language of its mails.
    pub language: Language,
    /// The codes it is told of.
    pub codes: Vec<InfoCode>,
    /// The meters it is told of.
    pub meters: ContactMeters,
}

impl Contact {
    /// More than a utility has people to tell.
    const MOST: usize = 100;

    pub(super) fn read_all(root: &Section<'_>, gateway: &Gateway) -> Vec<Self> {
        let contacts: Vec<Self> = root
            .sections("contact", Self::MOST, |section| Self::read(section, gateway))
            .into_iter()
            .flatten()
            .collect();
        let mut names: Vec<&Name> = contacts.iter().map(|contact| &contact.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            root.reject("contact", "has the same name twice", "give each contact its own name");
        }
        contacts
    }

    fn read(section: &Section<'_>, gateway: &Gateway) -> Option<Self> {
        section.missing("name", "write name = \"on-call\"");
        section.missing("email", "write email = \"name@example.org\"");
        let name = section.text("name", "write 1 to 32 of A-Z, a-z, 0-9, _ and -", |text| {
            Name::new(text).ok_or("is not such a name")
        });
        let email = Email::read(section, "email");
        let language = Language::read(section).unwrap_or(gateway.language);
        let known: Vec<&str> = CODES.iter().map(|(word, _)| *word).collect();
        let codes =
            section.list("codes", CODES.len(), &format!("write a list of {}", known.join(", ")), |text| {
                CODES
                    .iter()
                    .find(|(word, _)| *word == text)
                    .map(|(_, code)| *code)
                    .ok_or("is not the name of a code")
            });
        let codes = codes.unwrap_or_else(|| CODES.iter().map(|(_, code)| *code).collect());
        let meters = ContactMeters::read(section);
        Some(Self { name: name?, email: email?, language, codes, meters })
    }
}

impl fmt::Debug for Contact {
    /// Shows what it is told of, not who it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("language", &self.language)
            .field("codes", &self.codes)
            .finish_non_exhaustive()
    }
}

/// The meters a contact is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactMeters {
    /// Every meter that is heard with its key.
    All,
    /// Those whose rows in the meter list name the contact.
    Listed,
    /// These, and those whose rows name the contact.
    These(Vec<Selector>),
}

impl ContactMeters {
    /// Whether `meter` is one of them by itself, without the meter list.
    #[must_use]
    pub fn contains(&self, meter: Meter) -> bool {
        match self {
            Self::All => true,
            Self::Listed => false,
            Self::These(selectors) => selectors.iter().any(|selector| selector.matches(meter)),
        }
    }

    fn read(section: &Section<'_>) -> Self {
        let instead = "write a list of meters such as [\"76348799\"], or \"all\", or \"listed\"";
        let read = if section.has_list("meters") {
            let selectors = section.list("meters", 10_000, instead, |text| {
                text.parse().map_err(|_| "is not a meter such as 76348799 or KAM.76348799")
            });
            selectors.map(Self::These)
        } else {
            section.text("meters", instead, |text| match text {
                "all" => Ok(Self::All),
                "listed" => Ok(Self::Listed),
                _ => Err("is neither all nor listed nor a list"),
            })
        };
        read.unwrap_or(Self::All)
    }
}
