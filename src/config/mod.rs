//! The gateway's configuration file: read once, checked whole, every problem told at once.
//!
//! Problems name file, line, key and what would be right, and repeat no value: any of them may be a secret in the wrong
//! place. Secrets themselves are never in the file; it names files or credentials that hold them.

mod alarm;
mod collect;
mod detect;
mod document;
mod feed;
mod files;
mod gateway;
mod mail;
mod meters;
mod problem;
mod receiver;
mod secret;
mod section;
mod status;
#[cfg(test)]
mod tests;
mod uplink;
mod value;

use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use crate::keyring::Flow;
pub use alarm::{Alarm, CODES, Contact, ContactMeters, Rule};
pub use collect::{Collect, Keys};
pub use detect::{Detect, DoNotTouch};
pub use feed::{Feed, FeedFormat, FeedName, FeedSource, NotAFeedName};
pub use files::Half;
pub use gateway::{Clock, Gateway, Language, Name, Zone};
pub use mail::{Email, Mail, MailSecurity, NotAnEmail};
pub use meters::{ListedMeter, MeterList};
pub use problem::Problem;
pub use receiver::{Modes, Receiver, ReceiverKind};
pub use secret::{Credentials, Secret, SecretError, SecretSource};
pub use status::{Metrics, Status};
pub use uplink::{
    Acknowledge, ClientCertificate, HomeAssistant, Host, Login, NotAHost, Tls, Transport, Uplink,
};

use document::{Document, Places};
use section::Section;

/// Everything the file says, checked. `Debug` shows neither secrets nor mail addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[[receiver]]`
    pub receivers: Vec<Receiver>,
    /// `[[feed]]`
    pub feeds: Vec<Feed>,
    /// `[detect]`
    pub detect: Detect,
    /// `[keys]`
    pub keys: Keys,
    /// The meter list, `file` of `[meters]`.
    pub meter_list: Option<PathBuf>,
    /// `[collect]`
    pub collect: Collect,
    /// `[uplink]`, if it is on
    pub uplink: Option<Uplink>,
    /// `[mail]`, if it is on
    pub mail: Option<Mail>,
    /// `[alarm]`
    pub alarm: Alarm,
    /// `[[contact]]`
    pub contacts: Vec<Contact>,
    /// `[status]`
    pub status: Status,
    /// `[home_assistant]`, if it is on
    pub home_assistant: Option<HomeAssistant>,
    file: FileName,
    places: Places,
}

/// The name under which the file was loaded, for problems that show later; no part of what it means.
#[derive(Clone, Debug, Default)]
struct FileName(PathBuf);

impl PartialEq for FileName {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        let gateway = Gateway::default();
        Self {
            keys: Keys::default_in(&gateway.data_dir),
            gateway,
            receivers: Vec::new(),
            feeds: Vec::new(),
            detect: Detect::default(),
            meter_list: None,
            collect: Collect::default(),
            uplink: None,
            mail: None,
            alarm: Alarm::default(),
            contacts: Vec::new(),
            status: Status::default(),
            home_assistant: None,
            file: FileName::default(),
            places: Places::default(),
        }
    }
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong in it, in the order of its lines.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let unreadable = |wrong: String, instead: &str| {
            let (file, instead) = (path.to_owned(), instead.to_owned());
            vec![Problem { file, line: 0, column: 0, key: String::new(), wrong, instead }]
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(
            |error| unreadable(format!("cannot be read: {}", error.kind()), "name a file that can be read"),
        )?;
        if bytes.len() > MOST_BYTES {
            return Err(unreadable("is too long".to_owned(), "write at most 256 kB"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable("is not UTF-8 text".to_owned(), "save it as UTF-8"))?;
        Self::parse(path, &text)
    }

    /// Reads and checks `text`, which came from a file called `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (config, places, problems) = Document::parse(file, text).read(Self::read);
        if problems.is_empty() {
            Ok(Self { file: FileName(file.to_owned()), places, ..config })
        } else {
            Err(problems)
        }
    }

    /// A problem with `key` (such as `receiver[1].path`) that only showed when it was used, with its place in the file.
    #[must_use]
    pub fn problem(&self, key: &str, wrong: impl Into<String>, instead: impl Into<String>) -> Problem {
        let (line, column) = self.places.get(key).map_or((0, 0), |place| (place.line, place.column));
        let (wrong, instead) = (wrong.into(), instead.into());
        Problem { file: self.file.0.clone(), line, column, key: key.to_owned(), wrong, instead }
    }

    fn read(root: &Section<'_>) -> Self {
        let gateway = root.section("gateway", Gateway::read);
        let (uplink_enabled, uplink) = root.section("uplink", |section| {
            let enabled = section.flag("enabled", false);
            (enabled, Uplink::read(section, enabled, &gateway))
        });
        let detect = root.section("detect", Detect::read);
        Self {
            receivers: Receiver::read_all(root, &detect),
            feeds: Feed::read_all(root),
            detect,
            keys: root.section("keys", |section| Keys::read(section, &gateway.data_dir)),
            meter_list: root.section("meters", |section| section.path("file")),
            collect: root.section("collect", Collect::read),
            uplink,
            mail: root.section("mail", Mail::read),
            alarm: root.section("alarm", Alarm::read),
            contacts: Contact::read_all(root, &gateway),
            status: root.section("status", Status::read),
            home_assistant: root
                .section("home_assistant", |section| HomeAssistant::read(section, uplink_enabled)),
            gateway,
            file: FileName::default(),
            places: Places::default(),
        }
    }
}

/// The largest file that is read.
const MOST_BYTES: usize = 256_000;
