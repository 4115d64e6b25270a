//! `[[feed]]`: telegrams that come from elsewhere than a dongle: out of a chain of programs, or over TCP.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::section::Section;

/// One source of telegrams that a feeder (`vesigate feed NAME`) attends to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Its name: feeders say it, and status and metrics show it.
    pub name: FeedName,
    /// Where telegrams come from.
    pub source: FeedSource,
    /// How they are written.
    pub format: FeedFormat,
    /// After how long without any telegram it counts as silent; by what is usual at the site if not given.
    pub silent_after: Option<Duration>,
}

impl Feed {
    /// More than one small computer has room for.
    pub const MOST: usize = 8;

    /// What is to be typed for its feeder to run.
    #[must_use]
    pub fn how_to_start(&self) -> String {
        let name = &self.name;
        match self.source {
            FeedSource::Input => format!("PROGRAM | vesigate feed {name} -"),
            _ => format!("systemctl enable --now vesigate-feed@{name}"),
        }
    }

    pub(super) fn read_all(root: &Section<'_>) -> Vec<Self> {
        let feeds: Vec<Option<Self>> = root.sections("feed", Self::MOST, Self::read);
        let feeds: Vec<Self> = feeds.into_iter().flatten().collect();
        let twice = |(index, one): (usize, &Self)| {
            feeds.iter().skip(index.saturating_add(1)).any(|other| other.name == one.name)
        };
        if feeds.iter().enumerate().any(twice) {
            root.reject("feed", "has the same name twice", "give each feed its own name");
        }
        feeds
    }

    fn read(section: &Section<'_>) -> Option<Self> {
        section.missing("name", "write name = \"roof\", say");
        let name = section.text("name", "write 1 to 32 of a-z, 0-9 and -", |text| {
            text.parse().map_err(|NotAFeedName| "is not a name")
        });
        let source = FeedSource::read(section);
        let format = section.choice("format", &FeedFormat::WORDS);
        let format = match source {
            Some(FeedSource::Command(_)) if !section.has("format") => Some(FeedFormat::RtlWmbus),
            _ => {
                section.missing("format", "write \"rtl-wmbus\", \"hex\" or \"raw\"");
                format
            }
        };
        let silent_after =
            section.duration("silent_after", Duration::from_secs(60)..=Duration::from_secs(7 * 86_400));
        Some(Self { name: name?, source: source?, format: format?, silent_after })
    }
}

/// The name of a feed: 1 to 32 of a-z, 0-9 and -, not beginning with -.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedName(String);

impl FeedName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FeedName {
    type Err = NotAFeedName;

    fn from_str(text: &str) -> Result<Self, NotAFeedName> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=32).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-');
        if good { Ok(Self(text.to_owned())) } else { Err(NotAFeedName) }
    }
}

impl TryFrom<String> for FeedName {
    type Error = NotAFeedName;

    fn try_from(text: String) -> Result<Self, NotAFeedName> {
        text.parse()
    }
}

impl From<FeedName> for String {
    fn from(name: FeedName) -> Self {
        name.0
    }
}

/// A text cannot be the name of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a feed's name is 1 to 32 of a-z, 0-9 and -, such as roof")]
pub struct NotAFeedName;

/// Where telegrams come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedSource {
    /// What a line for the shell writes to its standard output.
    Command(String),
    /// What a program elsewhere sends over TCP to whoever connects.
    Connect {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// What somebody writes into the feeder's standard input.
    Input,
}

impl fmt::Debug for FeedSource {
    /// Without the line for the shell: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(_) => f.write_str("Command(..)"),
            Self::Connect { host, port } => write!(f, "Connect({host}:{port})"),
            Self::Input => f.write_str("Input"),
        }
    }
}

impl FeedSource {
    /// `command`, `connect` or, where only a format is given, standard input.
    fn read(section: &Section<'_>) -> Option<Self> {
        let command = section.text("command", "write one line for the shell", |text| {
            let one_line = (1..=1000).contains(&text.trim().len()) && !text.contains(char::is_control);
            one_line.then(|| Self::Command(text.trim().to_owned())).ok_or("is not one line")
        });
        let connect = section.text("connect", "write \"host:port\", such as \"192.0.2.7:4321\"", |text| {
            Self::address(text).ok_or("is no host with a port")
        });
        match (section.has("command"), section.has("connect")) {
            (true, true) => {
                section.reject("connect", "stands beside command", "keep one of the two");
                None
            }
            (true, false) => command,
            (false, true) => connect,
            (false, false) if section.has("format") => Some(Self::Input),
            (false, false) => {
                section.missing(
                    "command",
                    "write command or connect; for telegrams from standard input, format alone",
                );
                None
            }
        }
    }

    fn address(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let good = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => (1..=253).contains(&host.len()) && host.bytes().all(fits),
        };
        good.then(|| Self::Connect { host: inner.unwrap_or(host).to_owned(), port })
    }
}

/// How telegrams are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedFormat {
    /// The lines of `rtl_wmbus`.
    RtlWmbus,
    /// Telegrams in hexadecimal digits.
    Hex,
    /// Telegrams in bytes, one behind the other.
    Raw,
}

impl FeedFormat {
    /// All of them, by the words of the configuration.
    const WORDS: [(&'static str, Self); 3] =
        [("rtl-wmbus", Self::RtlWmbus), ("hex", Self::Hex), ("raw", Self::Raw)];

    /// Its word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "roof-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<FeedName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "Roof", "a_b", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(bad.parse::<FeedName>(), Err(NotAFeedName), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        let connect = |host: &str, port| Some(FeedSource::Connect { host: host.to_owned(), port });
        assert_eq!(FeedSource::address("pump.example.org:4321"), connect("pump.example.org", 4321));
        assert_eq!(FeedSource::address("[fe80::1]:1"), connect("fe80::1", 1));
        for bad in ["", "host", "host:0", "host:70000", "::1:4321", "[host]:1", "a b:1", ":1", "[::1]"] {
            assert_eq!(FeedSource::address(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_debug_line_does_not_show_the_command() {
        assert_eq!(format!("{:?}", FeedSource::Command("secret".to_owned())), "Command(..)");
    }
}
