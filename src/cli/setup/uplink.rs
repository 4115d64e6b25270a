//! Where readings go: enrolment at a portal, or a broker by hand.

use std::path::{Path, PathBuf};

use messages::enrol::EnrolAnswer;
use toml_edit::{InlineTable, Value};
use zeroize::Zeroizing;

use super::talk::Talk;
use super::{Secrets, Setup, host_and_port, server_of};
use crate::check::{self, Area, Finding, Verdict};
use crate::config::{Config, Credentials, Name};
use crate::setup::draft::Draft;
use crate::setup::place::Place;
use crate::uplink::enrol::{Enrolment, PortalAddress, broker};
use crate::world::Clock;

/// The user name of a portal's password login.
const PASSWORD: &str = "broker.password";

/// What else the step needs.
pub(super) struct Around<'a> {
    pub(super) setup: &'a Setup,
    pub(super) place: &'a Place,
    /// Whether the delivering half runs: then nobody else may connect by its name.
    pub(super) runs: bool,
}

/// Sets `[uplink]`, and tries it.
pub(super) async fn step(
    around: &Around<'_>,
    talk: &mut Talk,
    draft: &mut Draft,
    secrets: &mut Secrets,
) -> Result<(), String> {
    Talk::heading("Uplink");
    let (mut change, mut first) = (true, true);
    loop {
        talk.forget(Area::Broker);
        if change && !choose(around, talk, draft, secrets, first)? {
            return Ok(());
        }
        first = false;
        let Some(config) = around.setup.meaning_or_tell(talk, draft)? else {
            change = true;
            continue;
        };
        let mut works = true;
        for finding in try_broker(around, &config, &secrets.credentials()).await {
            works &= finding.verdict != Verdict::Bad;
            talk.found(finding);
        }
        match talk.again(works)? {
            Some(answers) => change = answers,
            None => return Ok(()),
        }
    }
}

/// False if there is nothing to try.
fn choose(
    around: &Around<'_>,
    talk: &Talk,
    draft: &mut Draft,
    secrets: &mut Secrets,
    first: bool,
) -> Result<bool, String> {
    let setup = around.setup;
    let present = draft.config(&setup.config).ok().and_then(|config| config.uplink);
    if setup.no_uplink {
        draft.set("uplink", "enabled", false);
        Talk::tell("off: nothing leaves this machine");
        return Ok(false);
    }
    if let Some(portal) = &setup.portal {
        return enrol(around, draft, Some(portal)).map(|()| true);
    }
    if let Some(broker) = &setup.broker {
        by_flags(setup, draft, secrets, broker)?;
        return Ok(true);
    }
    if let Some(present) = present.as_ref().filter(|_| first) {
        let keep = format!(
            "Keep {}:{} as {}/{}?",
            present.host.as_str(),
            present.port,
            present.utility,
            present.gateway
        );
        if !talk.asks || Talk::yes(&keep, true)? {
            return Ok(true);
        }
    }
    if !talk.asks {
        return Err(
            "say where readings go: --portal ADDRESS with --token-file, --broker HOST, or --no-uplink"
                .to_owned(),
        );
    }
    Talk::tell("Readings go to your utility's portal, or to a broker of your own (MQTT).");
    if Talk::yes("Have you got a token to enrol this gateway at a portal?", true)? {
        return enrol(around, draft, None).map(|()| true);
    }
    if !Talk::yes("Is there a broker?", false)? {
        draft.set("uplink", "enabled", false);
        Talk::tell("off: nothing leaves this machine");
        return Ok(false);
    }
    by_questions(draft, secrets, around.place)?;
    Ok(true)
}

fn enrol(around: &Around<'_>, draft: &mut Draft, portal: Option<&PortalAddress>) -> Result<(), String> {
    let setup = around.setup;
    let config = draft.config(&setup.config).unwrap_or_default();
    loop {
        let portal = match portal {
            Some(portal) => portal.clone(),
            None => match PortalAddress::parse(&Talk::ask("The portal's address", None)?) {
                Ok(portal) => portal,
                Err(error) => {
                    Talk::tell(&error.to_string());
                    continue;
                }
            },
        };
        let token = match setup.token()? {
            Some(token) => token,
            None if setup.portal.is_none() || crate::cli::prompt::is_possible() => Talk::secret("Token")?,
            None => {
                return Err("say where the token is: --token-file FILE, or - for standard input".to_owned());
            }
        };
        // The key is on disk before the portal is asked: if the answer gets lost, the same key gets the same answer.
        let kept = around.place.beside("enrolment.key");
        let enrolment = match std::fs::read_to_string(&kept).map(Zeroizing::new) {
            Ok(key) => Enrolment::again(&key).or_else(|_| Enrolment::new()),
            Err(_) => Enrolment::new(),
        };
        let enrolment = enrolment.map_err(|error| error.to_string())?;
        let told = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| format!("{path} cannot be written: {error}: run this with sudo")
        };
        around.place.make_folder().map_err(told(&setup.config))?;
        around.place.write_secret(&kept, enrolment.private_key.as_bytes()).map_err(told(&kept))?;
        let keys = around.place.public_keys(&config)?;
        match enrolment.ask(&portal, setup.portal_ca.as_deref(), token.trim(), keys) {
            Ok(answer) => {
                let files = Files::of(around.place, &answer);
                files.write(around.place, &answer, &enrolment).map_err(told(&files.certificate))?;
                let _ = std::fs::remove_file(&kept);
                files.enter(draft, &answer)?;
                Talk::tell(&format!("enrolled as {}/{}", answer.utility, answer.gateway));
                return Ok(());
            }
            Err(error) => {
                if !error.is_open() {
                    let _ = std::fs::remove_file(&kept);
                }
                if setup.portal.is_some() {
                    return Err(error.to_string());
                }
                Talk::tell(&error.to_string());
                if !Talk::yes("Try again?", true)? {
                    return Err("not enrolled: nothing was changed".to_owned());
                }
            }
        }
    }
}

/// What enrolment brings, by the gateway's name, so that those of another one stay.
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(place: &Place, answer: &EnrolAnswer) -> Self {
        let file = |end: &str| place.beside(&format!("{}-{}{end}", answer.utility, answer.gateway));
        Self { ca: file(".ca.pem"), certificate: file(".pem"), key: file(".key") }
    }

    fn write(&self, place: &Place, answer: &EnrolAnswer, enrolment: &Enrolment) -> std::io::Result<()> {
        place.write_secret(&self.key, enrolment.private_key.as_bytes())?;
        place.write(&self.certificate, &answer.certificate)?;
        place.write(&self.ca, &answer.broker_ca)
    }

    fn enter(&self, draft: &mut Draft, answer: &EnrolAnswer) -> Result<(), String> {
        let (host, port) = broker(answer).map_err(|error| error.to_string())?;
        draft.set("gateway", "utility", answer.utility.to_string());
        draft.set("gateway", "name", answer.gateway.to_string());
        address(draft, host, Some(port));
        tls(draft, &self.ca, Some((&self.certificate, &self.key)));
        for key in ["user", "password_file", "insecure_plaintext", "acknowledge"] {
            draft.unset("uplink", key);
        }
        Ok(())
    }
}

fn address(draft: &mut Draft, host: &str, port: Option<u16>) {
    draft.set("uplink", "enabled", true);
    draft.set("uplink", "host", host);
    match port {
        Some(port) => draft.set("uplink", "port", i64::from(port)),
        None => draft.unset("uplink", "port"),
    }
}

fn tls(draft: &mut Draft, ca: &Path, client: Option<(&Path, &Path)>) {
    let text = |path: &Path| Value::from(path.display().to_string());
    let mut table = InlineTable::new();
    table.insert("ca", text(ca));
    if let Some((certificate, key)) = client {
        table.insert("certificate", text(certificate));
        table.insert("key", text(key));
    }
    draft.set("uplink", "tls", table);
    draft.unset("uplink", "insecure_plaintext");
}

fn by_flags(setup: &Setup, draft: &mut Draft, secrets: &mut Secrets, broker: &str) -> Result<(), String> {
    for (key, value) in [("utility", &setup.utility), ("name", &setup.name)] {
        if let Some(value) = value {
            draft.set("gateway", key, value.as_str());
        }
    }
    let (host, port) = host_and_port(broker)?;
    address(draft, &host, port);
    match &setup.ca {
        Some(ca) => tls(draft, ca, setup.certificate.as_deref().zip(setup.key.as_deref())),
        None => draft.unset("uplink", "tls"),
    }
    if setup.insecure_plaintext {
        draft.set("uplink", "insecure_plaintext", true);
    }
    if let Some(user) = &setup.user {
        let password = setup.password_file.as_deref().ok_or("--user needs --password-file")?;
        draft.set("uplink", "user", user.as_str());
        secrets.take_file(draft, "uplink", PASSWORD, password)?;
    }
    Ok(())
}

fn by_questions(draft: &mut Draft, secrets: &mut Secrets, place: &Place) -> Result<(), String> {
    let present = server_of(draft, "uplink", "host");
    let (host, port) = Talk::ask_as("The broker (host or host:port)", present.as_deref(), host_and_port)?;
    address(draft, &host, port);
    let name = |text: &str| {
        let name = Name::new(text).map(|name| name.to_string());
        name.ok_or_else(|| "Write 1 to 32 of A-Z, a-z, 0-9, _ and -, but not portal.".to_owned())
    };
    for (key, question) in
        [("utility", "The utility's name in the topics"), ("name", "This gateway's name in the topics")]
    {
        let present = draft.text_of("gateway", key);
        draft.set("gateway", key, Talk::ask_as(question, present.as_deref(), name)?);
    }
    let here = ["localhost", "127.0.0.1", "::1"].contains(&host.as_str());
    let with_tls =
        !here && Talk::yes("Is the line protected by TLS (else all on the way read along)?", true)?;
    if with_tls {
        let ca = "File of the broker's authority (PEM)";
        let ca = Talk::ask_as(ca, Some("/etc/ssl/certs/ca-certificates.crt"), readable)?;
        let client = match Talk::ask_perhaps("File of our own certificate")? {
            Some(certificate) => {
                let key = place.beside("gateway.key").display().to_string();
                Some((certificate, Talk::ask_as("File of its private key", Some(&key), readable)?))
            }
            None => None,
        };
        let client = client.as_ref().map(|(certificate, key)| (Path::new(certificate), Path::new(key)));
        tls(draft, Path::new(&ca), client);
    } else {
        draft.unset("uplink", "tls");
        if !here {
            draft.set("uplink", "insecure_plaintext", true);
        }
    }
    match Talk::ask_perhaps("User at the broker")? {
        Some(user) => {
            draft.set("uplink", "user", user);
            secrets.take(draft, "uplink", PASSWORD, &Talk::secret("Password")?);
        }
        None => {
            draft.unset("uplink", "user");
            draft.unset("uplink", "password_file");
        }
    }
    Ok(())
}

/// The name of a file that can be read.
fn readable(file: &str) -> Result<String, String> {
    let told = |error| format!("{file} cannot be read: {error}");
    std::fs::File::open(file).map(|_| file.to_owned()).map_err(told)
}

async fn try_broker(around: &Around<'_>, config: &Config, credentials: &Credentials) -> Vec<Finding> {
    if around.runs {
        let text = "not tried, since the running gateway has the line: `vesigate check` asks it";
        return vec![Finding::new(Area::Broker, Verdict::Skipped, text)];
    }
    check::broker(config, credentials, &Clock::system()).await
}
