//! Whether the broker would have us, for `vesigate check` while the delivering half surely does not run: it connects by the
//! gateway's own name, and whoever else uses that name would lose its connection.

use std::path::Path;
use std::time::Duration;

use messages::state::{Presence, State};
use messages::topic::{Gateway, Leaf, Topic};
use tokio::time::timeout;

use super::identity::{Identity, candidates};
use super::mqtt::{Event, Fault, Line, Message, Options, Outcome};
use super::renewal::is_late;
use super::session::json;
use super::tls::{Calendar, TlsFault, client_config};
use crate::config::{self, Credentials, Tls, Transport};

/// Another gateway by our name has lost its line to us by now, and comes back within this time.
const LINGER: Duration = Duration::from_secs(5);
/// TCP, TLS, MQTT and the answers together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a broker that has us was found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// It lets us write where nobody has a reason to: its access list is missing.
    pub writes_anywhere: bool,
}

/// Connects, reads our own documents, says that we are stopped, which is true, and tries to write where no access list lets
/// us. (Reading is no test: mosquitto refuses no subscription, it delivers nothing.) There is no last will that could say
/// something else later, however it ends.
///
/// # Errors
/// Why the broker would not have us.
pub async fn probe(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    calendar: &Calendar,
) -> Result<Probed, Fault> {
    let name = || Gateway::new(config.utility.as_str().parse()?, config.gateway.as_str().parse()?);
    let gateway = name().map_err(|error| Fault::Files(error.to_string()))?;
    let mut line = Line::open(options(config, credentials, folder, calendar, &gateway)?);
    let probed = timeout(PATIENCE, converse(&mut line, &gateway)).await.unwrap_or(Err(Fault::Silent));
    line.close().await;
    probed
}

/// The certificate that the broker would be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its end, seconds since 1970.
    pub until: i64,
    /// The portal has had the time to renew it, and has not.
    pub late: bool,
}

/// What the broker would be shown; `None` without a certificate.
#[must_use]
pub fn certificate(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    calendar: &Calendar,
) -> Option<Certificate> {
    let Transport::Tls(tls) = &config.transport else { return None };
    let validity = shown(tls, credentials, folder, calendar).ok()??.facts?.validity;
    Some(Certificate { until: validity.until, late: is_late(validity, calendar.now()) })
}

fn shown(
    tls: &Tls,
    credentials: &Credentials,
    folder: &Path,
    calendar: &Calendar,
) -> Result<Option<Identity>, TlsFault> {
    let Some(client) = &tls.client else { return Ok(None) };
    Ok(candidates(client, credentials, folder, calendar.now())?.into_iter().next())
}

fn options(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    calendar: &Calendar,
    gateway: &Gateway,
) -> Result<Options, Fault> {
    let fault = |error: TlsFault| Fault::Files(error.to_string());
    let tls = match &config.transport {
        Transport::Plain => None,
        Transport::Tls(tls) => {
            let shown = shown(tls, credentials, folder, calendar).map_err(fault)?;
            Some(client_config(tls, shown, calendar).map_err(fault)?)
        }
    };
    let login = match &config.login {
        None => None,
        Some(login) => {
            let password = login.password.read(credentials);
            let password = password
                .map_err(|error| Fault::Files(format!("the password of uplink.password_file {error}")))?;
            Some((login.user.clone(), password))
        }
    };
    Ok(Options {
        host: config.host.as_str().to_owned(),
        port: config.port,
        name: gateway.to_string(),
        tls,
        login,
        keep_alive: config.keep_alive,
        will: None,
    })
}

async fn converse(line: &mut Line<()>, gateway: &Gateway) -> Result<Probed, Fault> {
    until(line, |event| matches!(event, Event::Up(_)).then_some(())).await?;
    line.subscribe(Topic::downlink_filters(gateway));
    until(line, |event| matches!(event, Event::Subscribed).then_some(())).await?;
    let stopped = json(&State { presence: Presence::Stopped, at: None });
    match publish(line, gateway.topic(Leaf::State).to_string(), stopped, true).await? {
        Outcome::Taken | Outcome::Nobody => {}
        Outcome::NotAuthorised => return Err(Fault::PublishRefused),
        Outcome::Refused(reason) => return Err(Fault::NotTaken(reason)),
        Outcome::Unanswered => return Err(Fault::Closed),
    }
    match timeout(LINGER, until(line, |_| None::<()>)).await {
        // Not every broker says why it hangs up.
        Ok(Err(Fault::Twin | Fault::Closed)) => return Err(Fault::Twin),
        Ok(Err(fault)) => return Err(fault),
        Ok(Ok(())) | Err(_) => {}
    }
    let strange = publish(line, format!("vesi/1/{gateway}/probe"), Vec::new(), false).await;
    Ok(Probed { writes_anywhere: matches!(strange, Ok(Outcome::Taken | Outcome::Nobody)) })
}

async fn publish(
    line: &mut Line<()>,
    topic: String,
    payload: Vec<u8>,
    retain: bool,
) -> Result<Outcome, Fault> {
    let content_type = "application/json";
    line.publish((), Message { topic, payload, retain, content_type, properties: Vec::new() });
    until(line, |event| if let Event::Outcome((), outcome) = event { Some(outcome) } else { None }).await
}

async fn until<T>(line: &mut Line<()>, mut is: impl FnMut(Event<()>) -> Option<T>) -> Result<T, Fault> {
    loop {
        match line.event().await {
            Event::Down(fault) => return Err(fault),
            event => {
                if let Some(found) = is(event) {
                    return Ok(found);
                }
            }
        }
    }
}
