//! Where readings go: enrolment at a portal, or a broker by hand.

use std::path::{Path, PathBuf};

use super::pending::{Pending, read, typed};
use super::talk::Talk;
use super::{Setup, host_and_port, server_of};
use crate::check::{self, Area, Finding, Verdict};
use crate::config::{self, Config, Name, Secret};
use crate::setup::draft::Draft;
use crate::setup::place::Place;
use crate::uplink::enrol::{Enrolment, PortalAddress, broker};
use crate::world::Clock;
use messages::enrol::EnrolAnswer;
use toml_edit::{InlineTable, Value};

const PASSWORD: &str = "broker.password";

/// What else the step needs.
pub(super) struct Around<'a> {
    pub(super) setup: &'a Setup,
    pub(super) place: &'a Place,
    /// The uplink that is configured now.
    pub(super) former: Option<config::Uplink>,
}

/// Sets `[uplink]`, and tries it.
pub(super) async fn step(
    around: &Around<'_>,
    talk: &mut Talk,
    draft: &mut Draft,
    pending: &mut Pending,
) -> Result<(), String> {
    Talk::heading("Uplink");
    let (mut change, mut first) = (true, true);
    loop {
        talk.forget(Area::Broker);
        if change && !choose(around, talk, draft, pending, first)? {
            return Ok(());
        }
        // What flags say is not asked for.
        let asks = talk.asks && !(first && around.setup.has_uplink_flags());
        first = false;
        let Some(config) = around.setup.meaning_or_tell(asks, draft)? else {
            change = true;
            continue;
        };
        let mut works = true;
        for finding in try_broker(around, &config, pending).await? {
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
    pending: &mut Pending,
    first: bool,
) -> Result<bool, String> {
    let setup = around.setup;
    if first && setup.no_uplink {
        draft.set("uplink", "enabled", false);
        Talk::tell("off: nothing leaves this machine");
        return Ok(false);
    }
    if let Some(portal) = setup.portal.as_ref().filter(|_| first) {
        return enrol(around, draft, pending, Some(portal)).map(|()| true);
    }
    if let Some(broker) = setup.broker.as_ref().filter(|_| first) {
        by_flags(setup, draft, pending, broker)?;
        return Ok(true);
    }
    if let Some(former) = around.former.as_ref().filter(|_| first) {
        let keep = format!(
            "Keep {}:{} as {}/{}?",
            former.host.as_str(),
            former.port,
            former.utility,
            former.gateway
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
        return enrol(around, draft, pending, None).map(|()| true);
    }
    if !Talk::yes("Is there a broker?", false)? {
        draft.set("uplink", "enabled", false);
        Talk::tell("off: nothing leaves this machine");
        return Ok(false);
    }
    by_questions(draft, pending)?;
    Ok(true)
}

fn enrol(
    around: &Around<'_>,
    draft: &mut Draft,
    pending: &mut Pending,
    portal: Option<&PortalAddress>,
) -> Result<(), String> {
    let setup = around.setup;
    let config = draft.config(&setup.config).unwrap_or_default();
    let store = around.place.enrolment();
    if let Some((answer, enrolment)) = store.unfinished() {
        let name = format!("{}/{}", answer.utility, answer.gateway);
        if portal.is_some()
            || Talk::yes(&format!("Take up the enrolment as {name} that was not finished?"), true)?
        {
            Talk::tell(&format!("enrolled as {name} before; that is taken up"));
            return enter(around.place, draft, pending, &answer, &enrolment);
        }
    }
    loop {
        let portal = match portal {
            Some(portal) => portal.clone(),
            None => Talk::ask_as("The portal's address", None, |text| {
                PortalAddress::parse(text).map_err(|error| error.to_string())
            })?,
        };
        let token = match setup.token()? {
            Some(token) => token,
            None if crate::cli::prompt::is_possible() => typed("Token")?,
            None => {
                return Err("say where the token is: --token-file FILE, or - for standard input".to_owned());
            }
        };
        // The key is on disk before the portal is asked: if the answer gets lost, the same key gets the same answer.
        let told = |error| format!("{} cannot be written: {error}: run this with sudo", store.key.display());
        around.place.make_folder().map_err(told)?;
        let enrolment = store.key_or_new().map_err(|error| error.to_string())?;
        around.place.write_secret(&store.key, enrolment.private_key.as_bytes()).map_err(told)?;
        let keys = around.place.public_keys(&config)?;
        match enrolment.ask(&portal, setup.portal_ca.as_deref(), token.trim(), keys) {
            Ok(answer) => {
                // The token is used up now: whatever comes in between, this is not lost.
                let text = serde_json::to_vec(&answer).map_err(|error| error.to_string())?;
                around.place.write_secret(&store.answer, &text).map_err(told)?;
                Talk::tell(&format!("enrolled as {}/{}", answer.utility, answer.gateway));
                return enter(around.place, draft, pending, &answer, &enrolment);
            }
            Err(error) if setup.portal.is_some() => return Err(error.to_string()),
            Err(error) => {
                Talk::tell(&error.to_string());
                if !Talk::yes("Try again?", true)? {
                    return Err("not enrolled: nothing was changed".to_owned());
                }
            }
        }
    }
}

/// What enrolment brought, in files by the gateway's name, so that those of another one stay.
fn enter(
    place: &Place,
    draft: &mut Draft,
    pending: &mut Pending,
    answer: &EnrolAnswer,
    enrolment: &Enrolment,
) -> Result<(), String> {
    let file = |end: &str| place.beside(&format!("{}-{}{end}", answer.utility, answer.gateway));
    let (ca, certificate, key) = (file(".ca.pem"), file(".pem"), file(".key"));
    pending.hold(ca.clone(), Secret::from(answer.broker_ca.as_str()), true);
    pending.hold(certificate.clone(), Secret::from(answer.certificate.as_str()), true);
    pending.hold(key.clone(), Secret::from(enrolment.private_key.as_str()), false);
    let store = place.enrolment();
    pending.remove_at_end(store.key);
    pending.remove_at_end(store.answer);
    let (host, port) = broker(answer).map_err(|error| error.to_string())?;
    draft.set("gateway", "utility", answer.utility.to_string());
    draft.set("gateway", "name", answer.gateway.to_string());
    address(draft, host, Some(port));
    tls(draft, &ca, Some((&certificate, &key)));
    for key in ["user", "password_file", "acknowledge"] {
        draft.unset("uplink", key);
    }
    Ok(())
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

fn by_flags(setup: &Setup, draft: &mut Draft, pending: &mut Pending, broker: &str) -> Result<(), String> {
    for (key, value) in [("utility", &setup.utility), ("name", &setup.name)] {
        if let Some(value) = value {
            draft.set("gateway", key, value.as_str());
        }
    }
    let (host, port) = host_and_port(broker)?;
    address(draft, &host, port);
    // What the flags do not name was for the broker before.
    for key in ["tls", "insecure_plaintext", "user", "password_file", "acknowledge"] {
        draft.unset("uplink", key);
    }
    if let Some(ca) = &setup.ca {
        let client = setup.certificate.as_deref().zip(setup.key.as_deref());
        own_tls(draft, pending, ca, client)?;
    }
    if setup.insecure_plaintext {
        draft.set("uplink", "insecure_plaintext", true);
    }
    if setup.no_portal {
        draft.set("uplink", "acknowledge", "broker");
    }
    if let Some(user) = &setup.user {
        let password = setup.password_file.as_deref().ok_or("--user needs --password-file")?;
        draft.set("uplink", "user", user.as_str());
        pending.password(draft, "uplink", PASSWORD, &read(password)?);
    }
    Ok(())
}

/// TLS with files of our own, of which the service gets copies: it may not see where they are.
fn own_tls(
    draft: &mut Draft,
    pending: &mut Pending,
    ca: &Path,
    client: Option<(&Path, &Path)>,
) -> Result<(), String> {
    let is_the_systems = ca.starts_with("/etc/ssl") || ca.starts_with("/usr/share");
    let ca = if is_the_systems { ca.to_owned() } else { pending.copy(ca, "broker-ca.pem", true)? };
    let client = match client {
        Some((certificate, key)) => {
            Some((pending.copy(certificate, "gateway.pem", true)?, pending.copy(key, "gateway.key", false)?))
        }
        None => None,
    };
    tls(draft, &ca, client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())));
    Ok(())
}

fn by_questions(draft: &mut Draft, pending: &mut Pending) -> Result<(), String> {
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
    for key in ["tls", "insecure_plaintext", "user", "password_file", "acknowledge"] {
        draft.unset("uplink", key);
    }
    if !here && Talk::yes("Is the line protected by TLS (else all on the way read along)?", true)? {
        let ca = "File of the broker's authority (PEM)";
        let ca = Talk::ask_as(ca, Some("/etc/ssl/certs/ca-certificates.crt"), readable)?;
        let client = match Talk::ask_perhaps("File of our own certificate")? {
            Some(certificate) => {
                let certificate = readable(&certificate)?;
                Some((certificate, Talk::ask_as("File of its private key", None, readable)?))
            }
            None => None,
        };
        let client = client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        own_tls(draft, pending, &ca, client)?;
    } else if !here {
        draft.set("uplink", "insecure_plaintext", true);
    }
    if let Some(user) = Talk::ask_perhaps("User at the broker")? {
        draft.set("uplink", "user", user);
        pending.password(draft, "uplink", PASSWORD, &typed("Password")?);
    }
    if !Talk::yes("Does a portal take the readings from there, and acknowledge them?", true)? {
        draft.set("uplink", "acknowledge", "broker");
    }
    Ok(())
}

/// A file that can be read, by its whole path.
fn readable(file: &str) -> Result<PathBuf, String> {
    let told = |error| format!("{file} cannot be read: {error}");
    std::fs::File::open(file).and_then(|_| std::path::absolute(file)).map_err(told)
}

async fn try_broker(
    around: &Around<'_>,
    config: &Config,
    pending: &mut Pending,
) -> Result<Vec<Finding>, String> {
    let same = |former: &config::Uplink| {
        let now = config.uplink.as_ref();
        now.is_some_and(|now| {
            (&now.host, &now.utility, &now.gateway) == (&former.host, &former.utility, &former.gateway)
        })
    };
    // Whoever connects by the gateway's name ends the line that it has.
    let idle = matches!(check::deliver(config).await, Err(error) if error.says_it_does_not_run());
    if !idle && around.former.as_ref().is_some_and(same) {
        let text = "not tried, since the running gateway has the line: `vesigate check` asks it";
        return Ok(vec![Finding::new(Area::Broker, Verdict::Skipped, text)]);
    }
    let config = pending.tried(config)?;
    Ok(check::broker(&config, &pending.credentials(), &Clock::system()).await)
}
