//! Whether the broker would have us, for `vesigate check` while the delivering half does not run: it connects by the
//! gateway's own name, and whoever else uses that name would lose its connection.

use std::path::Path;
use std::time::Duration;

use messages::state::{Presence, State};
use messages::topic::{Gateway, Leaf, Topic};
use tokio::time::timeout;

use super::identity::{Facts, candidates};
use super::mqtt::{Event, Fault, Line, Message, Options, Outcome};
use super::session::json;
use super::tls::{Calendar, client_config};
use crate::config::{self, Credentials, Transport};
use crate::world::Clock;

/// TCP, TLS, MQTT and the answers together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a broker that has us was found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// It lets us write where nobody has a reason to: its access list is missing.
    pub writes_anywhere: bool,
}

/// Connects, reads our own documents, says that we are stopped, which is true, and tries to write where no access list lets
/// us. (Reading is no test: mosquitto refuses no subscription, it delivers nothing.)
///
/// # Errors
/// Why the broker would not have us.
pub async fn probe(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    clock: &Clock,
) -> Result<Probed, Fault> {
    let name = || Gateway::new(config.utility.as_str().parse()?, config.gateway.as_str().parse()?);
    let gateway = name().map_err(|error| Fault::Files(error.to_string()))?;
    let options = options(config, credentials, folder, clock, &gateway)?;
    timeout(PATIENCE, converse(options, &gateway)).await.unwrap_or(Err(Fault::Silent))
}

/// Until when the certificate is valid that the broker would be shown, seconds since 1970; `None` without one.
#[must_use]
pub fn certificate_ends(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    clock: &Clock,
) -> Option<i64> {
    let Transport::Tls(tls) = &config.transport else { return None };
    let now = Calendar::new(clock.clone()).now();
    let shown = candidates(tls.client.as_ref()?, credentials, folder, now).ok()?.into_iter().next()?;
    Facts::of(shown.chain.first()?).map(|facts| facts.validity.until)
}

fn options(
    config: &config::Uplink,
    credentials: &Credentials,
    folder: &Path,
    clock: &Clock,
    gateway: &Gateway,
) -> Result<Options, Fault> {
    let calendar = Calendar::new(clock.clone());
    let fault = |error: super::tls::TlsFault| Fault::Files(error.to_string());
    let tls = match &config.transport {
        Transport::Plain => None,
        Transport::Tls(tls) => {
            let client = tls.client.as_ref();
            let found = client.map(|client| candidates(client, credentials, folder, calendar.now()));
            let shown = found.transpose().map_err(fault)?.and_then(|found| found.into_iter().next());
            Some(client_config(tls, shown, &calendar).map_err(fault)?)
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
        will: (gateway.topic(Leaf::State).to_string(), json(&State::LAST_WILL)),
    })
}

async fn converse(options: Options, gateway: &Gateway) -> Result<Probed, Fault> {
    let mut line: Line<()> = Line::open(options);
    until(&mut line, |event| matches!(event, Event::Up(_)).then_some(())).await?;
    line.subscribe(Topic::downlink_filters(gateway));
    until(&mut line, |event| matches!(event, Event::Subscribed).then_some(())).await?;
    let stopped = json(&State { presence: Presence::Stopped, at: None });
    match publish(&mut line, gateway.topic(Leaf::State).to_string(), stopped, true).await? {
        Outcome::Taken | Outcome::Nobody => {}
        Outcome::NotAuthorised => return Err(Fault::PublishRefused),
        Outcome::Refused(reason) => return Err(Fault::NotTaken(reason)),
        Outcome::Unanswered => return Err(Fault::Closed),
    }
    let strange = publish(&mut line, format!("vesi/1/{gateway}/probe"), Vec::new(), false).await;
    let writes_anywhere = matches!(strange, Ok(Outcome::Taken | Outcome::Nobody));
    line.close().await;
    Ok(Probed { writes_anywhere })
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
