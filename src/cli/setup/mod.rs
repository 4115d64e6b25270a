//! `vesigate setup`: from a blank machine to a gateway that runs. What can be found out is not asked; every answer can come
//! from a flag; nothing is written before the difference was shown.

mod finish;
mod mail;
mod pending;
mod receivers;
mod talk;
mod uplink;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use self::pending::Pending;
use self::receivers::Wanted;
use self::talk::Talk;
use self::uplink::Around;
use super::common::finish;
use crate::check;
use crate::config::{Config, Host, Problem};
use crate::setup::draft::Draft;
use crate::setup::place::Place;
use crate::uplink::enrol::PortalAddress;
use crate::world::Clock;

/// Set this gateway up: receivers, portal or broker, alarm mails, clock
///
/// Asks for what it cannot find out, and tries every answer: is a dongle there, does the portal take the token, does the
/// broker let this gateway in, does the mail server, is the clock set. Then shows what the configuration file will say (of
/// one that is there: the difference), asks, and writes it; the former one stays beside it as .former. With flags for
/// everything nobody is asked: add --yes. Run it as root.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Setup {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG, value_parser = absolute)]
    config: PathBuf,

    /// Write without asking
    #[arg(short, long)]
    yes: bool,

    /// Ask nothing, even at a terminal: take flags, what is found, and what is configured already
    #[arg(long)]
    no_questions: bool,

    /// Only show what would be written; without enrolment
    #[arg(long, conflicts_with_all = ["yes", "portal"])]
    dry_run: bool,

    /// What was found and done, as one JSON object on standard output
    #[arg(long)]
    json: bool,

    /// A receiver, instead of those that are found; KIND as in the configuration, without it "auto"
    #[arg(long = "receiver", value_name = "PATH[=KIND[@BAUD]]", help_heading = "Receivers")]
    receivers: Vec<Wanted>,

    /// Look for no receivers
    #[arg(long, conflicts_with = "receivers", help_heading = "Receivers")]
    no_receiver: bool,

    /// Enrol at the portal at this address
    #[arg(long, value_name = "ADDRESS", value_parser = PortalAddress::parse, help_heading = "Uplink", conflicts_with_all = ["broker", "no_uplink"])]
    portal: Option<PortalAddress>,

    /// The file with the token from the back office; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Uplink")]
    token_file: Option<PathBuf>,

    /// The authority that signed the portal's certificate (PEM), if it is not one of the system's
    #[arg(long, value_name = "FILE", help_heading = "Uplink")]
    portal_ca: Option<PathBuf>,

    /// A broker instead of a portal
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Uplink", requires_all = ["utility", "name"])]
    broker: Option<String>,

    /// The utility's name in the topics
    #[arg(long, value_name = "NAME", help_heading = "Uplink")]
    utility: Option<String>,

    /// This gateway's name in the topics
    #[arg(long, value_name = "NAME", help_heading = "Uplink")]
    name: Option<String>,

    /// The authority that signed the broker's certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Uplink", requires = "broker")]
    ca: Option<PathBuf>,

    /// Our own certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Uplink", requires_all = ["ca", "key"])]
    certificate: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Uplink", requires = "certificate")]
    key: Option<PathBuf>,

    /// User at the broker
    #[arg(long, value_name = "USER", help_heading = "Uplink", requires_all = ["broker", "password_file"])]
    user: Option<String>,

    /// The file with the user's password; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Uplink", requires = "user")]
    password_file: Option<PathBuf>,

    /// No portal acknowledges what the broker takes: its own word frees stored rows
    #[arg(long, help_heading = "Uplink", requires = "broker")]
    no_portal: bool,

    /// Go without TLS to a broker on another machine: everybody on the way can read and change what is sent
    #[arg(long, help_heading = "Uplink", requires = "broker", conflicts_with = "ca")]
    insecure_plaintext: bool,

    /// Send readings nowhere
    #[arg(long, help_heading = "Uplink", conflicts_with = "broker")]
    no_uplink: bool,

    /// The mail server
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Alarm mails", requires = "mail_from")]
    mail_server: Option<String>,

    /// How the line to it is protected
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Security::Starttls, help_heading = "Alarm mails")]
    mail_security: Security,

    /// Who sends, such as "Waterworks <alarm@example.org>"
    #[arg(long, value_name = "SENDER", help_heading = "Alarm mails", requires = "mail_server")]
    mail_from: Option<String>,

    /// User at the mail server
    #[arg(long, value_name = "USER", help_heading = "Alarm mails", requires_all = ["mail_server", "mail_password_file"])]
    mail_user: Option<String>,

    /// The file with the user's password; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Alarm mails", requires = "mail_user")]
    mail_password_file: Option<PathBuf>,

    /// The utility's own people who are told of every alarm, with a mail address
    #[arg(long, value_name = "ADDRESS", help_heading = "Alarm mails", requires = "mail_server")]
    contact: Option<String>,

    /// Mail no alarms from here
    #[arg(long, help_heading = "Alarm mails", conflicts_with = "mail_server")]
    no_mail: bool,

    /// The language of mails to contacts that name none: fi, sv or en
    #[arg(long, value_name = "LANGUAGE", value_parser = ["fi", "sv", "en"])]
    language: Option<String>,

    /// The machine has a battery-backed clock, which is right from the start
    #[arg(long)]
    rtc: bool,

    /// Where the gateway's stores and keys lie, if not in /var/lib/vesigate
    #[arg(long, value_name = "FOLDER", value_parser = absolute)]
    data_dir: Option<PathBuf>,

    /// Where the gateway's sockets lie, if not in /run/vesigate
    #[arg(long, value_name = "FOLDER", value_parser = absolute)]
    sockets: Option<PathBuf>,

    /// Another root folder
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
}

/// As the words of `security` in `[mail]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Security {
    /// TLS after STARTTLS
    Starttls,
    /// TLS from the first byte
    Tls,
    /// Not at all, to this machine only
    None,
}

impl Security {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  sudo vesigate setup
  sudo vesigate setup --dry-run --no-uplink --no-mail
  sudo vesigate setup --yes --portal https://portal.example.org \\
      --token-file token.txt --no-mail
  sudo vesigate setup --yes --receiver /dev/ttyUSB0=im871a --no-mail \\
      --broker broker.example.org --utility waterworks --name pump-2 \\
      --ca ca.pem --user waterworks/pump-2 --password-file broker.txt

Exit codes: 0 written, and everything that was tried works; 1 written, but something does not work, or it was not
wanted; 2 it could not run, and nothing was written";

impl Setup {
    pub(super) fn run(self) -> u8 {
        finish("setup", self.try_run())
    }

    fn try_run(&self) -> Result<u8, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(self.talk())
    }

    async fn talk(&self) -> Result<u8, String> {
        let mut draft = self.begin()?;
        let is_root = rustix::process::geteuid().is_root();
        let folder = self.config.parent().filter(|folder| !folder.as_os_str().is_empty());
        let place = Place::new(folder.unwrap_or_else(|| Path::new(".")), is_root);
        let mut talk = Talk::new(self.no_questions);
        if !(talk.asks || self.yes || self.dry_run) {
            return Err("nobody can be asked here: look at this with --dry-run, then say --yes".to_owned());
        }
        let mut pending = Pending::new(&place);
        self.greet(&talk, &draft, is_root);
        self.general(&talk, &mut draft)?;

        let config = self.meaning(&draft)?;
        receivers::step(self, &mut talk, &mut draft, &config).await?;
        self.clock(&mut talk, &mut draft).await?;
        let around = Around { setup: self, place: &place, former: config.uplink.clone() };
        uplink::step(&around, &mut talk, &mut draft, &mut pending).await?;
        mail::step(self, &mut talk, &mut draft, &mut pending).await?;
        pending.only_named(&draft.text());
        finish::step(self, &mut talk, &draft, &place, &pending).await
    }

    fn begin(&self) -> Result<Draft, String> {
        let former = match std::fs::read_to_string(&self.config) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(format!("{} cannot be read: run this with sudo", self.config.display()));
            }
            Err(error) => return Err(format!("{} cannot be read: {error}", self.config.display())),
        };
        let is_there = former.is_some();
        let draft = Draft::begin(former);
        let draft = draft.map_err(|error| {
            format!("{} is there, but {error}: mend it, or move it away to start anew", self.config.display())
        })?;
        if is_there {
            self.meaning(&draft)?;
        }
        Ok(draft)
    }

    fn meaning(&self, draft: &Draft) -> Result<Config, String> {
        draft.config(&self.config).map_err(|problems| refused(&problems))
    }

    /// The same; `None`, and the reason told, if somebody can give other answers.
    fn meaning_or_tell(&self, asks: bool, draft: &Draft) -> Result<Option<Config>, String> {
        match self.meaning(draft) {
            Ok(config) => Ok(Some(config)),
            Err(reason) if asks => {
                Talk::tell(&reason);
                Ok(None)
            }
            Err(reason) => Err(reason),
        }
    }

    fn greet(&self, talk: &Talk, draft: &Draft, is_root: bool) {
        let file = self.config.display();
        if draft.is_change() {
            Talk::tell(&format!("{file} is there: what it says is kept unless you change it here."));
        } else {
            Talk::tell(&format!("This writes {file}."));
        }
        if talk.asks {
            Talk::tell(
                "Enter takes what stands in [brackets]. Nothing is changed before you have seen it and said yes.",
            );
        }
        if !is_root {
            Talk::tell(
                "Not run as root: ports may be out of reach, and files may not be written. `sudo` helps.",
            );
        }
    }

    fn general(&self, talk: &Talk, draft: &mut Draft) -> Result<(), String> {
        for (section, key, value) in
            [("gateway", "data_dir", &self.data_dir), ("status", "sockets", &self.sockets)]
        {
            if let Some(folder) = value {
                draft.set(section, key, folder.display().to_string());
            }
        }
        if self.rtc {
            draft.set("gateway", "clock", "rtc");
        }
        if let Some(language) = &self.language {
            draft.set("gateway", "language", language.as_str());
        } else if talk.asks && !draft.is_change() {
            draft.set(
                "gateway",
                "language",
                Talk::ask_which("Language of alarm mails", &["fi", "sv", "en"], "fi")?,
            );
        }
        if self.meaning(draft)?.meter_list.is_none() {
            let folder = self.config.parent().unwrap_or_else(|| Path::new("."));
            draft.set("meters", "file", folder.join("meters.csv").display().to_string());
        }
        Ok(())
    }

    async fn clock(&self, talk: &mut Talk, draft: &mut Draft) -> Result<(), String> {
        Talk::heading("Clock");
        let config = self.meaning(draft)?;
        let finding = check::clock(&config, &Clock::system()).await;
        let works = finding.verdict != check::Verdict::Bad;
        talk.found(finding);
        if !works
            && talk.asks
            && Talk::yes("Has this machine got a battery-backed clock that is right?", false)?
        {
            draft.set("gateway", "clock", "rtc");
            talk.forget(check::Area::Clock);
            talk.found(check::clock(&self.meaning(draft)?, &Clock::system()).await);
        }
        Ok(())
    }

    const fn has_uplink_flags(&self) -> bool {
        self.no_uplink || self.portal.is_some() || self.broker.is_some()
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>, String> {
        self.token_file.as_deref().map(pending::read).transpose()
    }
}

/// Everything that is wrong, a line each.
fn refused(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

/// The server that a section names, as [`host_and_port`] reads it.
fn server_of(draft: &Draft, section: &str, key: &str) -> Option<String> {
    let host = draft.text_of(section, key)?;
    Some(match draft.text_of(section, "port") {
        Some(port) if !host.contains(':') => format!("{host}:{port}"),
        _ => host,
    })
}

/// A path as the configuration wants it.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    // What a link leads to is written, the link stays.
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))
}

/// `host` or `host:port`.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| format!("{text}: the port is a number from 1 to 65535."))?))
        }
        _ => (text, None),
    };
    if host.parse::<Host>().is_err() {
        return Err(format!("{host} is neither the name of a server nor an IP address."));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_come_with_a_port() {
        assert_eq!(host_and_port("a.fi").unwrap(), ("a.fi".to_owned(), None));
        assert_eq!(host_and_port("a.fi:8884").unwrap(), ("a.fi".to_owned(), Some(8884)));
        assert_eq!(host_and_port("fe80::1").unwrap(), ("fe80::1".to_owned(), None));
        for bad in ["a.fi:mqtt", "a.fi:0", "a b", ""] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
