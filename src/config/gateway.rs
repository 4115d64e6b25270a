//! `[gateway]`: who this is and where it keeps its things.

use std::fmt;
use std::path::{Path, PathBuf};

use super::section::Section;

/// Who this gateway is and where it keeps its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The utility it belongs to; needed for the uplink.
    pub utility: Option<Name>,
    /// Its own name within the utility; needed for the uplink.
    pub name: Option<Name>,
    /// Where stores and keys lie.
    pub data_dir: PathBuf,
    /// The language of mails to contacts that name none.
    pub language: Language,
    /// The time zone of mails and night hours, by its IANA name.
    pub zone: Zone,
    /// When the clock is to be trusted.
    pub clock: Clock,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            utility: None,
            name: None,
            data_dir: PathBuf::from("/var/lib/vesigate"),
            language: Language::Fi,
            zone: Zone("Europe/Helsinki".to_owned()),
            clock: Clock::Auto,
        }
    }
}

impl Gateway {
    /// Where the half that receives keeps its store; the other half reads it. The service finds this directory made,
    /// and cannot rename it: what is to be set aside lies in a directory below.
    #[must_use]
    pub fn collect_dir(&self) -> PathBuf {
        self.data_dir.join("collect")
    }

    /// Where the half that delivers keeps its store; as [`Gateway::collect_dir`].
    #[must_use]
    pub fn deliver_dir(&self) -> PathBuf {
        self.data_dir.join("deliver")
    }

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let name = |key| {
            section.text(key, "write 1 to 32 of A-Z, a-z, 0-9, _ and -, but not portal", |text| {
                Name::new(text).ok_or("is not such a name")
            })
        };
        Self {
            utility: name("utility"),
            name: name("name"),
            data_dir: section.path("data_dir").unwrap_or(default.data_dir),
            language: Language::read(section).unwrap_or(default.language),
            zone: section
                .text("zone", "write an IANA name such as \"Europe/Helsinki\"", |text| {
                    Zone::new(text).ok_or("is not a time zone")
                })
                .unwrap_or(default.zone),
            clock: section
                .choice("clock", &[("auto", Clock::Auto), ("rtc", Clock::Rtc)])
                .unwrap_or(default.clock),
        }
    }
}

/// A name that is safe in MQTT topics, certificates and file names: 1 to 32 of `A-Z a-z 0-9 _ -`. `portal`, in any
/// case, is reserved for the portal's own identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// `text` as a name, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let good =
            (1..=32).contains(&text.len()) && text.bytes().all(fits) && !text.eq_ignore_ascii_case("portal");
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The languages of mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Finnish.
    Fi,
    /// Swedish.
    Sv,
    /// English.
    En,
}

impl Language {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        section.choice("language", &[("fi", Self::Fi), ("sv", Self::Sv), ("en", Self::En)])
    }
}

impl From<Language> for messages::config::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Fi => Self::Fi,
            Language::Sv => Self::Sv,
            Language::En => Self::En,
        }
    }
}

/// The IANA name of a time zone. That its shape is right is checked here; whether the machine knows it, by
/// [`Config::check_files`](super::Config::check_files).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(String);

impl Zone {
    fn new(text: &str) -> Option<Self> {
        let part = |part: &str| {
            part.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        };
        (text.len() <= 64 && text.split('/').all(part)).then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the machine's time zone files hold it; true where there are no such files to look into.
    pub(super) fn is_known(&self) -> bool {
        let files = Path::new("/usr/share/zoneinfo");
        !files.is_dir() || files.join(&self.0).is_file()
    }
}

/// When the clock is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Once a time service has set it.
    Auto,
    /// From the start: the machine has a battery-backed clock.
    Rtc,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_topics_and_files() {
        for good in ["oulu", "Pump-house_2", "x"] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "+", "#", "..", "ä", "Portal", &"a".repeat(33)] {
            assert_eq!(Name::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn zones_cannot_leave_their_directory() {
        for good in ["UTC", "Europe/Helsinki", "America/Argentina/Buenos_Aires", "Etc/GMT+2"] {
            assert!(Zone::new(good).is_some(), "{good}");
        }
        for bad in ["", "../etc/passwd", "/etc", "Europe/", "Europe/../x", "a b"] {
            assert_eq!(Zone::new(bad), None, "{bad}");
        }
    }
}
