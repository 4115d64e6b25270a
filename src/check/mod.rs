//! Everything about a gateway that can be looked at, one finding a line, and what to do about each bad one.
//!
//! A running gateway is asked how it is; what does not run is tried in its place: the broker is connected to, the mail
//! server is greeted. Nothing is changed, and no mail is sent.

mod daemon;
mod machine;
mod outside;

use std::path::Path;

use serde::Serialize;

use crate::config::{Config, Credentials, Half};
use crate::halves::control::ask;
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::world::Clock;

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
    fn new(area: Area, verdict: Verdict, text: impl Into<String>) -> Self {
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
    let socket = |half: std::path::PathBuf| half.join("control.sock");
    let collect = ask(&socket(config.status.collect_sockets()), &OfCollect::Status).await;
    let deliver = ask(&socket(config.status.deliver_sockets()), &OfDeliver::Status).await;
    tell(daemon::runs("collect", collect.as_ref().err()));
    tell(daemon::runs("deliver", deliver.as_ref().err()));
    let (collect, deliver) = (collect.ok(), deliver.ok());

    for finding in daemon::receivers(&config, collect.as_ref()) {
        tell(finding);
    }
    tell(machine::clock(&config, clock, collect.as_ref()).await);
    for finding in machine::disk(&config).into_iter().chain(machine::stores(&config)) {
        tell(finding);
    }
    for finding in daemon::meters(&config, credentials, collect.as_ref()) {
        tell(finding);
    }
    for finding in outside::broker(&config, credentials, clock, deliver.as_ref()).await {
        tell(finding);
    }
    tell(outside::mail(&config, credentials).await);
    let problems = collect.iter().flat_map(|half| &half.problems);
    for problem in problems.chain(deliver.iter().flat_map(|half| &half.problems)) {
        tell(Finding::new(Area::Halves, Verdict::Bad, problem.text.clone()));
    }
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
    let bad: Vec<_> =
        problems.map(|problem| Finding::new(Area::Files, Verdict::Bad, problem.to_string())).collect();
    if bad.is_empty() {
        vec![Finding::new(Area::Files, Verdict::Good, "all files that it names can be read")]
    } else {
        bad
    }
}
