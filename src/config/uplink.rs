//! `[uplink]` and `[home_assistant]`: the MQTT broker.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::gateway::{Gateway, Name};
use super::secret::SecretSource;
use super::section::Section;

/// How readings and events reach the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The utility's part of the topics.
    pub utility: Name,
    /// The gateway's part of the topics.
    pub gateway: Name,
    /// The broker.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How the line is protected.
    pub transport: Transport,
    /// User and password, beside or instead of a client certificate.
    pub login: Option<Login>,
    /// What frees stored rows.
    pub acknowledge: Acknowledge,
    /// How many batches may be under way unacknowledged.
    pub window: u16,
    /// MQTT's keep-alive.
    pub keep_alive: Duration,
    /// After how long without an acknowledgement sending starts again.
    pub progress_timeout: Duration,
}

impl Uplink {
    /// `None` if it is off, or if something it needs is missing or wrong, which is then noted.
    pub(super) fn read(section: &Section<'_>, enabled: bool, gateway: &Gateway) -> Option<Self> {
        let host = Host::read(section, "host");
        let tls = section.optional("tls", Tls::read);
        let plain = section.flag("insecure_plaintext", false);
        let login = Login::read(section);
        let port = section.number("port", 1..=65_535);
        let acknowledge = section
            .choice("acknowledge", &[("portal", Acknowledge::Portal), ("broker", Acknowledge::Broker)]);
        let window = section.number("window", 1..=256);
        let keep_alive = section.duration("keep_alive", 5 * SECOND..=300 * SECOND);
        let progress_timeout = section.duration("progress_timeout", 10 * SECOND..=3600 * SECOND);
        if !enabled {
            return None;
        }
        for (key, value) in [("utility", &gateway.utility), ("name", &gateway.name)] {
            if value.is_none() {
                section.reject(
                    "enabled",
                    &format!("needs {key} in [gateway]"),
                    &format!("write {key} = \"...\" there"),
                );
            }
        }
        section.missing("host", "write host = \"broker.example.org\"");
        let host = host?;
        let transport = match tls {
            Some(tls) => {
                let tls = tls?;
                if plain {
                    section.reject("insecure_plaintext", "contradicts tls", "remove one of the two");
                }
                if tls.client.is_none() && login.is_none() {
                    section.reject(
                        "tls",
                        "does not say who we are",
                        "add certificate and key, or user and password_file",
                    );
                }
                Transport::Tls(tls)
            }
            None if plain || host.is_loopback() => Transport::Plain,
            None => {
                section.missing(
                    "tls",
                    "write tls = { ca = \"/etc/vesigate/ca.pem\", certificate = ..., key = ... }",
                );
                return None;
            }
        };
        let default_port = if matches!(transport, Transport::Plain) { 1883 } else { 8883 };
        Some(Self {
            utility: gateway.utility.clone()?,
            gateway: gateway.name.clone()?,
            host,
            port: port.unwrap_or(default_port),
            transport,
            login,
            acknowledge: acknowledge.unwrap_or(Acknowledge::Portal),
            window: window.unwrap_or(16),
            keep_alive: keep_alive.unwrap_or(15 * SECOND),
            progress_timeout: progress_timeout.unwrap_or(60 * SECOND),
        })
    }
}

/// The name or address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    pub(super) fn read(section: &Section<'_>, key: &'static str) -> Option<Self> {
        section.text(key, "write a host name or an IP address, without a port", |text| {
            text.parse().map_err(|NotAHost| "is neither a host name nor an IP address")
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.eq_ignore_ascii_case("localhost")
            || self.0.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let name = (1..=253).contains(&text.len()) && text.bytes().all(fits);
        let good = name || text.parse::<IpAddr>().is_ok();
        good.then(|| Self(text.to_owned())).ok_or(NotAHost)
    }
}

/// A text is neither a host name nor an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a host name nor an IP address")]
pub struct NotAHost;

/// How the line is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Not at all: to this machine, or on the operator's own word.
    Plain,
    /// TLS.
    Tls(Tls),
}

/// TLS to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that the broker's certificate is checked against (PEM).
    pub ca: PathBuf,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
    /// Revoked certificates (PEM).
    pub crl: Option<PathBuf>,
}

impl Tls {
    fn read(section: &Section<'_>) -> Option<Self> {
        section.missing("ca", "write ca = \"/etc/vesigate/ca.pem\", or the system's list of authorities");
        let certificate = section.path("certificate");
        let key = SecretSource::from_section(section, "key");
        if section.has("certificate") != section.has("key") {
            let absent = if section.has("key") { "certificate" } else { "key" };
            section.missing(absent, "write certificate and key, or neither");
        }
        let client = certificate.zip(key).map(|(certificate, key)| ClientCertificate { certificate, key });
        let crl = section.path("crl");
        Some(Self { ca: section.path("ca")?, client, crl })
    }
}

/// Our own certificate and its private key (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, with the chain below the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: SecretSource,
}

/// User and password of a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Where the password is.
    pub password: SecretSource,
}

impl Login {
    /// `user` and `password_file` of a section: both or neither.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let user = section.text("user", "write 1 to 255 characters", |text| {
            (1..=255).contains(&text.len()).then(|| text.to_owned()).ok_or("is empty or too long")
        });
        let password = SecretSource::from_section(section, "password_file");
        if section.has("user") != section.has("password_file") {
            let absent = if section.has("user") { "password_file" } else { "user" };
            section.missing(absent, "write user and password_file, or neither");
        }
        user.zip(password).map(|(user, password)| Self { user, password })
    }
}

impl fmt::Debug for Login {
    /// Without the user, who is often known by a mail address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Whose word frees stored rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// The portal's, after it has stored them.
    Portal,
    /// The broker's: for a head-end that sends no acknowledgements of its own. What the broker loses is lost.
    Broker,
}

/// Values and discovery for Home Assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistant {
    /// The topic below which Home Assistant looks for devices.
    pub prefix: String,
}

impl HomeAssistant {
    /// `None` if it is off or wrong.
    pub(super) fn read(section: &Section<'_>, uplink_enabled: bool) -> Option<Self> {
        let enabled = section.flag("enabled", false);
        let prefix = section.text("prefix", "write a topic such as \"homeassistant\"", |text| {
            let level = |level: &str| {
                !level.is_empty() && !level.contains(['+', '#']) && !level.contains(char::is_control)
            };
            let good = text.len() <= 128 && !text.starts_with('$') && text.split('/').all(level);
            good.then(|| text.to_owned()).ok_or("is not a topic")
        });
        if enabled && !uplink_enabled {
            section.reject("enabled", "needs the uplink", "write enabled = true in [uplink]");
        }
        enabled.then(|| Self { prefix: prefix.unwrap_or_else(|| "homeassistant".to_owned()) })
    }
}

const SECOND: Duration = Duration::from_secs(1);
