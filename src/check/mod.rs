//! Everything about a gateway that can be looked at, one finding a line, and what to do about each bad one.
//!
//! A running gateway is asked how it is; what surely does not run is tried in its place: the broker is connected to, the
//! mail server is greeted. Nothing is changed here, and no mail is sent unless that is wanted; the broker is told that the
//! gateway is stopped.

mod daemon;
mod machine;
mod outside;
mod test_mail;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Config, Credentials, Email, Half, SecretError};
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::health::status::DeliverStatus;
use crate::store::{CollectReader, DeliverReader};
use crate::uplink::Calendar;
use crate::world::Clock;

/// How long a half may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The configuration file.
    Configuration,
    /// The files it names, and who may read them.
    Files,
    /// The two halves.
    Halves,
    /// The dongles.
    Receiver,
    /// The clock.
    Clock,
    /// The disk.
    Disk,
    /// The databases.
    Store,
    /// Keys, and the meters that they are for.
    Meters,
    /// The broker.
    Broker,
    /// The mail server.
    Mail,
}

/// How it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not wanted, or cannot be looked at from here.
    Skipped,
    /// Works, and deserves a look.
    Doubtful,
    /// Does not work.
    Bad,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub area: Area,
    /// How it was found.
    pub verdict: Verdict,
    /// What was found; of something bad also what to do about it.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(area: Area, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { area, verdict, text: text.into() }
    }
}

/// Looks at everything and tells each finding as soon as it is known.
pub async fn run(file: &Path, credentials: &Credentials, clock: &Clock, tell: &mut impl FnMut(Finding)) {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                tell(Finding::new(Area::Configuration, Verdict::Bad, problem.to_string()));
            }
            return;
        }
    };
    tell(Finding::new(Area::Configuration, Verdict::Good, summary(&config)));
    for finding in files(&config, credentials) {
        tell(finding);
    }
    let (collect, deliver) = tokio::join!(
        how_is(config.status.collect_sockets(), &OfCollect::Status),
        how_is(config.status.deliver_sockets(), &OfDeliver::Status),
    );
    let store = CollectReader::file(&config.gateway.collect_dir());
    tell(daemon::runs("collect", collect.as_ref().err(), &store));
    let store = DeliverReader::file(&config.gateway.deliver_dir());
    tell(daemon::runs("deliver", deliver.as_ref().err(), &store));

    for finding in daemon::receivers(&config, collect.as_ref()) {
        tell(finding);
    }
    let collect = collect.ok();
    let trusted = machine::trusted(&config, clock, collect.as_ref()).await;
    tell(machine::clock(trusted));
    for finding in machine::disk(&config).into_iter().chain(machine::stores(&config)) {
        tell(finding);
    }
    for finding in daemon::meters(&config, credentials, collect.as_ref()) {
        tell(finding);
    }
    let calendar = calendar(&config, clock, trusted.is_some());
    // All that took its time: it may have been started meanwhile.
    let deliver = match deliver {
        Err(error) if error.says_it_does_not_run() => self::deliver(&config).await,
        other => other,
    };
    for finding in outside::broker(&config, credentials, &calendar, deliver.as_ref()).await {
        tell(finding);
    }
    let deliver = deliver.ok();
    tell(outside::mail(&config, credentials).await);
    let problems = collect
        .iter()
        .flat_map(|half| half.problems.iter().filter(|problem| !daemon::is_of_receiver(half, problem)));
    for problem in problems.chain(deliver.iter().flat_map(|half| &half.problems)) {
        tell(Finding::new(Area::Halves, Verdict::Bad, problem.text.clone()));
    }
}

/// Whether the clock is to be trusted.
pub async fn clock(config: &Config, clock: &Clock) -> Finding {
    machine::clock(machine::trusted(config, clock, None).await)
}

/// Whether the mail server would take mail; none is sent.
pub async fn mail(config: &Config, credentials: &Credentials) -> Finding {
    outside::mail(config, credentials).await
}

/// Sends a test mail to this address, or to every contact of the configuration; each is a finding.
pub async fn send_test_mail(
    config: &Config,
    credentials: &Credentials,
    clock: &Clock,
    to: Option<&Email>,
) -> Vec<Finding> {
    test_mail::send(config, credentials, clock, to).await
}

/// Whether the broker lets this gateway in. Only for when the delivering half surely does not run.
pub async fn broker(config: &Config, credentials: &Credentials, clock: &Clock) -> Vec<Finding> {
    let trusted = machine::trusted(config, clock, None).await.is_some();
    let idle = AskError::Io(std::io::ErrorKind::NotFound);
    outside::broker(config, credentials, &calendar(config, clock, trusted), Err(&idle)).await
}

/// How the delivering half is, if it runs and answers.
///
/// # Errors
/// What the question came to.
pub async fn deliver(config: &Config) -> Result<DeliverStatus, AskError> {
    how_is(config.status.deliver_sockets(), &OfDeliver::Status).await
}

async fn how_is<A: DeserializeOwned>(sockets: PathBuf, question: &impl Serialize) -> Result<A, AskError> {
    let answer = tokio::time::timeout(PATIENCE, ask(&sockets.join("control.sock"), question)).await;
    answer.unwrap_or(Err(AskError::Io(std::io::ErrorKind::TimedOut)))
}

/// What is taken for the time, as the delivering half would.
fn calendar(config: &Config, clock: &Clock, trusted: bool) -> Calendar {
    let calendar = Calendar::new(clock.clone());
    let newest = CollectReader::open(&config.gateway.collect_dir()).and_then(|reader| reader.newest());
    if let Ok(Some(newest)) = newest {
        calendar.stored(newest.unix());
    }
    calendar.trust(trusted);
    calendar
}

fn summary(config: &Config) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    let feeds = match config.feeds.len() {
        0 => String::new(),
        count => format!(", {count} feed(s)"),
    };
    format!(
        "{} receiver(s){feeds}, uplink {}, mail {}, {} contact(s) of our own",
        config.receivers.len(),
        on(config.uplink.is_some()),
        on(config.mail.is_some()),
        config.contacts.len()
    )
}

fn files(config: &Config, credentials: &Credentials) -> Vec<Finding> {
    let halves = [Half::Collect, Half::Deliver];
    let problems = halves.iter().flat_map(|half| config.check_files(*half, credentials));
    let mut found: Vec<Finding> = Vec::new();
    for problem in problems {
        let finding = Finding::new(Area::Files, Verdict::Bad, problem.to_string());
        // Both halves need the meter list.
        if !found.contains(&finding) {
            found.push(finding);
        }
    }
    found.extend(
        config
            .secrets()
            .into_iter()
            .filter_map(|(key, _)| left_to_service(config, credentials, Area::Files, key)),
    );
    if found.is_empty() {
        found.push(Finding::new(Area::Files, Verdict::Good, "all files that it names can be read"));
    }
    found
}

/// A finding if a secret whose key begins so can be read by the service only.
fn left_to_service(config: &Config, credentials: &Credentials, area: Area, keys: &str) -> Option<Finding> {
    let secrets = config.secrets().into_iter().filter(|(key, _)| key.starts_with(keys));
    let mut left = secrets.filter_map(|(key, source)| {
        let error = source.read(credentials).err().filter(|error| credentials.leaves_to_service(*error))?;
        // Something may load it from elsewhere.
        let verdict = if error == SecretError::NotStored { Verdict::Doubtful } else { Verdict::Skipped };
        Some(Finding::new(area, verdict, format!("not tried from here: {key} {error}")))
    });
    left.next()
}
