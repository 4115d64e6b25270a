//! What the running gateway says of itself, and what can be said in its place while it does not run.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use messages::status::{Receiver, ReceiverState};

use super::{Area, Finding, Verdict};
use crate::config::{self, Config, Credentials, Feed, MeterList};
use crate::halves::control::AskError;
use crate::health::status::{CollectStatus, FeedStatus};
use crate::keyring::{Keyring, Selector};

/// So many seconds after the start it says little that no meter was heard.
const WARMING_UP: u64 = 120;
/// So many meters are named; of more, how many there are.
const NAMED: usize = 5;

/// Whether a half runs.
pub(super) fn runs(half: &str, error: Option<&AskError>) -> Finding {
    match error {
        None => Finding::new(Area::Halves, Verdict::Good, format!("{half} runs")),
        Some(error) => {
            let text = format!("{half}: {error} (systemctl start vesigate-{half})");
            Finding::new(Area::Halves, Verdict::Doubtful, text)
        }
    }
}

pub(super) fn receivers(config: &Config, collect: Option<&CollectStatus>) -> Vec<Finding> {
    if config.receivers.is_empty() && config.feeds.is_empty() {
        let text =
            "none is configured: add a [[receiver]] section; `ls /dev/serial/by-id` shows what is plugged in";
        return vec![Finding::new(Area::Receiver, Verdict::Bad, text)];
    }
    match collect {
        Some(collect) => {
            let feed = |receiver: &Receiver| collect.feeds.iter().find(|feed| feed.name == receiver.name);
            let found = |receiver| {
                feed(receiver).map_or_else(|| running(receiver), |feed| fed(config, receiver, feed))
            };
            collect.receivers.iter().map(found).collect()
        }
        None => config.receivers.iter().map(idle).chain(config.feeds.iter().map(unfed)).collect(),
    }
}

fn fed(config: &Config, receiver: &Receiver, feed: &FeedStatus) -> Finding {
    let name = &feed.name;
    let entry = config.feeds.iter().find(|entry| entry.name.as_str() == name);
    let start = || entry.map_or_else(|| "it is in the configuration no more".to_owned(), Feed::how_to_start);
    let (verdict, text) = match (&feed.trouble, feed.connected) {
        (_, false) => (Verdict::Bad, format!("feed {name}: its feeder is not connected: {}", start())),
        (Some(trouble), true) => (Verdict::Bad, format!("feed {name}: {trouble}")),
        (None, true) if receiver.frames == 0 => (
            Verdict::Doubtful,
            format!(
                "feed {name}: it runs and has heard nothing yet: `vesigate feed {name} --print` tries it"
            ),
        ),
        (None, true) => {
            (Verdict::Good, format!("feed {name}: {}, {} frames", receiver.protocol, receiver.frames))
        }
    };
    Finding::new(Area::Receiver, verdict, text)
}

fn unfed(feed: &Feed) -> Finding {
    let text = format!("feed {0}: collect does not run; `vesigate feed {0} --print` tries it", feed.name);
    Finding::new(Area::Receiver, Verdict::Skipped, text)
}

fn running(receiver: &Receiver) -> Finding {
    let Receiver { name, protocol, state, frames, garbage, .. } = receiver;
    let (verdict, text) = match state {
        ReceiverState::Receiving if *frames == 0 => (
            Verdict::Doubtful,
            format!("{name}: {protocol} is set up and has heard nothing yet: is its antenna connected?"),
        ),
        ReceiverState::Receiving => {
            (Verdict::Good, format!("{name}: {protocol}, {frames} frames, {garbage} bytes of garbage"))
        }
        ReceiverState::Starting => (Verdict::Doubtful, format!("{name}: {protocol} is being set up")),
        // The problem itself is listed with what to do.
        other => (Verdict::Bad, format!("{name}: {other}")),
    };
    Finding::new(Area::Receiver, verdict, text)
}

fn idle(receiver: &config::Receiver) -> Finding {
    let path = receiver.path.display();
    let open = || {
        let kind = fs::metadata(&receiver.path)?.file_type();
        if !kind.is_char_device() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::fs::access(&receiver.path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
            .map_err(io::Error::from)
    };
    let (verdict, text) = match open().map_err(|error: io::Error| error.kind()) {
        Ok(()) => (Verdict::Good, format!("{path} is there; collect does not run and cannot try it")),
        Err(io::ErrorKind::NotFound) => {
            (Verdict::Bad, format!("{path} is not there: plug the receiver in, or correct the path"))
        }
        Err(io::ErrorKind::PermissionDenied) => (
            Verdict::Bad,
            format!("{path} may not be used: add the user to the group dialout, or run this as root"),
        ),
        Err(_) => (Verdict::Bad, format!("{path} is no serial port")),
    };
    Finding::new(Area::Receiver, verdict, text)
}

pub(super) fn meters(
    config: &Config,
    credentials: &Credentials,
    collect: Option<&CollectStatus>,
) -> Vec<Finding> {
    let mut findings = vec![keys(config, credentials)];
    let Some(collect) = collect else { return findings };
    let meters = &collect.meters;
    let of = format!("{} expected, {} heard, {} opened", meters.expected, meters.heard, meters.opened);
    let wrong = [
        (meters.no_key, "heard without a key: `vesigate keys import`"),
        (meters.wrong_key, "whose key does not open them: ask for their keys again"),
        (meters.silent, "silent for a day: has the meter or the antenna moved?"),
        (
            meters.expected.saturating_sub(meters.heard),
            "not heard since the start: out of reach, or not sending",
        ),
    ];
    let wrong: Vec<_> =
        wrong.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let verdict = match (meters.opened, wrong.is_empty()) {
        (0, _) if collect.uptime_s < WARMING_UP => Verdict::Doubtful,
        (0, _) => Verdict::Bad,
        (_, false) => Verdict::Doubtful,
        (_, true) => Verdict::Good,
    };
    findings.push(Finding::new(Area::Meters, verdict, of));
    findings.extend(wrong.into_iter().map(|text| Finding::new(Area::Meters, Verdict::Doubtful, text)));
    findings
}

/// Whether the keyring opens, and whether every listed meter has its key.
fn keys(config: &Config, credentials: &Credentials) -> Finding {
    let finding = |verdict, text: String| Finding::new(Area::Meters, verdict, text);
    if !config.keys.file.exists() {
        let text = "there are no keys yet: `vesigate keys import FILE` reads the utility's key file";
        return finding(Verdict::Bad, text.to_owned());
    }
    let seal = match config.keys.seal(credentials) {
        Ok(seal) => seal,
        Err(error) => return finding(Verdict::Skipped, format!("the keys cannot be looked at: {error}")),
    };
    let ring = match Keyring::open(&config.keys.file, &seal) {
        Ok(ring) => ring,
        Err(error) => return finding(Verdict::Bad, error.to_string()),
    };
    let list = config.meter_list.as_ref().and_then(|path| MeterList::load(path, &config.contacts).ok());
    let without: Vec<Selector> = list
        .iter()
        .flat_map(MeterList::iter)
        .map(|(selector, _)| selector)
        .filter(|selector| !has(&ring, *selector))
        .collect();
    if without.is_empty() {
        return finding(
            Verdict::Good,
            format!(
                "{} keys, {} meters listed, none of them without",
                ring.len(),
                list.map_or(0, |list| list.len())
            ),
        );
    }
    let named: Vec<_> = without.iter().take(NAMED).map(ToString::to_string).collect();
    let more = without.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    finding(
        Verdict::Doubtful,
        format!("{} keys; listed without a key: {}{more}", ring.len(), named.join(", ")),
    )
}

/// A key may be stored under a number where the list has an address, and the other way round.
fn has(ring: &Keyring, selector: Selector) -> bool {
    match selector {
        Selector::Full(meter) => ring.get(meter).is_some(),
        other => {
            ring.has(other)
                || ring.list().iter().any(|listed| match listed.selector {
                    Selector::Full(meter) => other.matches(meter),
                    _ => false,
                })
        }
    }
}
