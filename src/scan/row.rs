//! One meter as the installer sees it.

use messages::event::Refusal;
use messages::reading::Code;
use serde::Serialize;

use super::report::harmless;
use super::verdict::{Reception, Verdict, span};
use crate::collector::open::Protected;
use crate::health::heard::HeardMeter;
use crate::receiver::LinkMode;

/// One meter: what was heard, and what that means. As JSON all of it in one object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was heard of it.
    #[serde(flatten)]
    pub heard: HeardMeter,
    /// What it is called in the meter list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is.
    pub whose: Whose,
    /// Whether it can be read.
    pub key: Opens,
    /// How well it is heard.
    pub reception: Reception,
}

/// Whose a meter is, what matters most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// It stands in the meter list.
    Listed,
    /// There is a key for it, but it is not listed.
    Own,
    /// Neither: a neighbour's, or one that nobody has told of yet.
    Foreign,
}

impl Whose {
    /// The letter before the meter.
    #[must_use]
    pub const fn mark(self) -> char {
        match self {
            Self::Listed => '*',
            Self::Own => '+',
            Self::Foreign => ' ',
        }
    }

    /// As a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Own => "own",
            Self::Foreign => "foreign",
        }
    }
}

/// Whether a meter is encrypted, has a key and opens with it, in one word; what needs work first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Opens {
    /// Its key does not open it.
    WrongKey,
    /// It is expected and encrypted, and there is no key.
    NoKey,
    /// It opens, and is refused for another reason.
    Refused,
    /// There is a key that has not been tried: nothing to open was heard.
    Untried,
    /// Its key opens it.
    Opens,
    /// It is not encrypted.
    Plain,
    /// It is encrypted, and not ours.
    Sealed,
    /// Nothing but installation telegrams was heard, or headers that cannot be read.
    Unknown,
}

impl Opens {
    fn of(heard: &HeardMeter) -> Self {
        match &heard.refusal {
            Some(Refusal::WrongKey) => return Self::WrongKey,
            Some(Refusal::NoKey) => return Self::NoKey,
            Some(_) => return Self::Refused,
            None => {}
        }
        match heard.protected {
            Some(Protected::Plain) => Self::Plain,
            _ if heard.opened > 0 => Self::Opens,
            _ if heard.has_key => Self::Untried,
            Some(_) if heard.expected => Self::NoKey,
            Some(_) => Self::Sealed,
            None => Self::Unknown,
        }
    }

    /// In six letters at most.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::WrongKey => "wrong",
            Self::NoKey => "no key",
            Self::Refused => "refusd",
            Self::Untried => "key",
            Self::Opens => "opens",
            Self::Plain => "plain",
            Self::Sealed => "sealed",
            Self::Unknown => "?",
        }
    }

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongKey => "its key does not open it",
            Self::NoKey => "encrypted, there is no key",
            Self::Refused => "opened, but refused",
            Self::Untried => "there is a key, nothing to open was heard yet",
            Self::Opens => "encrypted, opens",
            Self::Plain => "not encrypted",
            Self::Sealed => "encrypted, not ours",
            Self::Unknown => "nothing was heard that tells how it is protected",
        }
    }
}

impl Row {
    pub(super) fn new(heard: HeardMeter, reception: Reception) -> Self {
        let whose = match (heard.listed, heard.expected) {
            (true, _) => Whose::Listed,
            (false, true) => Whose::Own,
            (false, false) => Whose::Foreign,
        };
        Self { name: None, whose, key: Opens::of(&heard), reception, heard }
    }

    /// Manufacturer and number, without version and type.
    #[must_use]
    pub fn short_id(&self) -> &str {
        let mut dots = self.heard.meter.match_indices('.');
        let end = dots.nth(1).map(|(at, _)| at);
        end.and_then(|end| self.heard.meter.get(..end)).unwrap_or(&self.heard.meter)
    }

    /// The model, or nothing.
    #[must_use]
    pub fn model(&self) -> &str {
        self.heard.model.as_deref().unwrap_or("")
    }

    /// The link mode, or nothing.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        match self.heard.link_mode {
            Some(LinkMode::S1) => "S1",
            Some(LinkMode::T1) => "T1",
            Some(LinkMode::C1) => "C1",
            Some(LinkMode::N1) => "N1",
            None => "",
        }
    }

    /// The volume with its unit, or nothing.
    #[must_use]
    pub fn volume(&self) -> String {
        let volume = self.heard.reading.as_ref().and_then(|reading| reading.volume);
        volume.map_or_else(String::new, |volume| volume.to_string())
    }

    /// The volume's number, or nothing.
    #[must_use]
    pub fn volume_number(&self) -> String {
        let volume = self.heard.reading.as_ref().and_then(|reading| reading.volume);
        volume.map_or_else(String::new, |volume| volume.value.to_string())
    }

    /// The info codes as words.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        let reading = self.heard.reading.iter();
        reading.flat_map(|reading| &reading.codes).map(Code::as_str).collect()
    }

    /// Whether an installation telegram was heard.
    #[must_use]
    pub const fn is_installing(&self) -> bool {
        self.heard.installation > 0
    }

    /// The verdict on its reception.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.reception.verdict
    }

    /// Verdict and reasons in a sentence.
    #[must_use]
    pub fn verdict_words(&self) -> String {
        let reasons: Vec<_> = self.reception.reasons.iter().map(ToString::to_string).collect();
        if reasons.is_empty() {
            return self.verdict().to_string();
        }
        format!("{}: {}", self.verdict(), reasons.join(", "))
    }

    /// How long ago it was heard, short.
    #[must_use]
    pub fn ago(&self) -> String {
        let seconds = self.heard.heard_ago / 1000;
        match seconds {
            0..1000 => format!("{seconds}s"),
            1000..60_000 => format!("{}m", seconds / 60),
            60_000..360_000 => format!("{}h", seconds / 3600),
            _ => format!("{}d", (seconds / 86_400).min(999)),
        }
    }

    /// How strong it is: five steps of 10 dB; five from -60 dBm on, none below -100.
    #[must_use]
    pub fn bars(&self) -> usize {
        let Some(rssi) = self.heard.rssi else { return 0 };
        let above = rssi.clamp(-110, -60).saturating_add(110) / 10;
        usize::try_from(above).unwrap_or_default()
    }

    /// The installation telegrams in words.
    #[must_use]
    pub fn installation_words(&self) -> String {
        let ago =
            self.heard.installation_ago.map_or_else(String::new, |ago| format!(", last {} ago", span(ago)));
        match self.heard.installation {
            0 => String::new(),
            1 => format!("1 installation telegram{ago}"),
            count => format!("{count} installation telegrams{ago}"),
        }
    }

    /// The heads of [`csv`](Self::csv).
    pub const CSV_HEAD: [&str; 18] = [
        "id",
        "name",
        "model",
        "whose",
        "rssi_dbm",
        "best_rssi_dbm",
        "heard_s_ago",
        "telegrams",
        "interval_s",
        "heard_percent",
        "mode",
        "key",
        "volume",
        "unit",
        "codes",
        "reception",
        "reasons",
        "installation_telegrams",
    ];

    /// As the fields of a CSV file.
    #[must_use]
    pub fn csv(&self) -> Vec<String> {
        let heard = &self.heard;
        let or_empty = |value: Option<String>| value.unwrap_or_default();
        let reasons: Vec<_> = self.reception.reasons.iter().map(ToString::to_string).collect();
        let unit = heard.reading.as_ref().and_then(|reading| reading.volume).map(|volume| volume.unit);
        vec![
            heard.meter.clone(),
            harmless(self.name.as_deref().unwrap_or_default()),
            self.model().to_owned(),
            self.whose.as_str().to_owned(),
            or_empty(heard.rssi.map(|rssi| rssi.to_string())),
            or_empty(heard.best_rssi.map(|rssi| rssi.to_string())),
            (heard.heard_ago / 1000).to_string(),
            heard.telegrams.to_string(),
            or_empty(heard.interval.map(|interval| format!("{}.{}", interval / 1000, interval % 1000 / 100))),
            or_empty(self.reception.share.map(|share| share.to_string())),
            self.mode().to_owned(),
            self.key.short().to_owned(),
            self.volume_number(),
            or_empty(unit.map(|unit| unit.as_str().to_owned())),
            self.codes().join(" "),
            self.verdict().as_str().to_owned(),
            reasons.join("; "),
            heard.installation.to_string(),
        ]
    }
}
