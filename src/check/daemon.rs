//! What the running gateway says of itself, and what can be said in its place while it does not run.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use messages::status::{Receiver, ReceiverState};

use super::{Area, Finding, Verdict};
use crate::config::{self, Config, Credentials, Feed, MeterList};
use crate::halves::control::AskError;
use crate::health::problem::Listed;
use crate::health::status::{CollectStatus, FeedStatus};
use crate::keyring::{Keyring, Selector};

/// So many seconds after the start it says little that no meter was heard.
const WARMING_UP: u64 = 120;
/// So many meters are named; of more, how many there are.
const NAMED: usize = 5;

/// Whether a half runs. One that has run before should; one that has no store yet was never started, which is how a
/// gateway is while it is being set up.
pub(super) fn runs(half: &str, error: Option<&AskError>, store: &Path) -> Finding {
    let finding = |verdict, text| Finding::new(Area::Halves, verdict, text);
    let Some(error) = error else { return finding(Verdict::Good, format!("{half} runs")) };
    match error {
        error if error.says_it_does_not_run() => {
            if matches!(store.try_exists(), Ok(false)) {
                let text = format!("{half} was never started (systemctl enable --now vesigate-{half})");
                return finding(Verdict::Doubtful, text);
            }
            let text = format!(
                "{half} does not run (systemctl start vesigate-{half}; journalctl -u vesigate-{half} says why it ended)"
            );
            finding(Verdict::Bad, text)
        }
        AskError::Io(io::ErrorKind::PermissionDenied) => {
            finding(Verdict::Doubtful, format!("{half}: {error}"))
        }
        AskError::Refused(_) | AskError::Later(_) => {
            finding(Verdict::Doubtful, format!("{half} runs and will not say how it is: {error}; try again"))
        }
        AskError::Io(_) => {
            finding(Verdict::Bad, format!("{half}: {error} (systemctl restart vesigate-{half})"))
        }
        AskError::Unreadable => finding(Verdict::Bad, format!("{half}: {error}")),
    }
}

pub(super) fn receivers(config: &Config, collect: Result<&CollectStatus, &AskError>) -> Vec<Finding> {
    if config.receivers.is_empty() && config.feeds.is_empty() {
        let text =
            "none is configured: add a [[receiver]] section; `ls /dev/serial/by-id` shows what is plugged in";
        return vec![Finding::new(Area::Receiver, Verdict::Bad, text)];
    }
    match collect {
        Ok(collect) => {
            let feed = |receiver: &Receiver| collect.feeds.iter().find(|feed| feed.name == receiver.name);
            let found = |receiver| {
                feed(receiver).map_or_else(
                    || running(receiver, problem_of(collect, receiver)),
                    |feed| fed(config, receiver, feed),
                )
            };
            collect.receivers.iter().map(found).collect()
        }
        Err(error) => {
            let idle = config.receivers.iter().map(|receiver| idle(receiver, error));
            idle.chain(config.feeds.iter().map(|feed| unfed(feed, error))).collect()
        }
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

fn unfed(feed: &Feed, error: &AskError) -> Finding {
    let text = format!("feed {0}: collect: {error}; `vesigate feed {0} --print` tries it", feed.name);
    Finding::new(Area::Receiver, Verdict::Skipped, text)
}

/// What runs of a receiver, as the half tells it: with what to do.
fn problem_of<'a>(collect: &'a CollectStatus, receiver: &Receiver) -> Option<&'a str> {
    let problem = collect.problems.iter().find(|listed| listed.place.as_ref() == Some(&receiver.name));
    problem.map(|listed| listed.text.as_str())
}

/// Whether a problem is told as a finding about its receiver.
pub(super) fn is_of_receiver(collect: &CollectStatus, listed: &Listed) -> bool {
    collect.receivers.iter().any(|receiver| listed.place.as_ref() == Some(&receiver.name))
}

fn running(receiver: &Receiver, problem: Option<&str>) -> Finding {
    let Receiver { name, protocol, state, frames, garbage, .. } = receiver;
    let (verdict, text) = match (problem, state) {
        (Some(problem), _) if problem.starts_with(name.as_str()) => (Verdict::Bad, problem.to_owned()),
        (Some(problem), _) => (Verdict::Bad, format!("{name}: {problem}")),
        (None, ReceiverState::Receiving) if *frames == 0 => (
            Verdict::Doubtful,
            format!("{name}: {protocol} is set up and has heard nothing yet: is its antenna connected?"),
        ),
        (None, ReceiverState::Receiving) => {
            (Verdict::Good, format!("{name}: {protocol}, {frames} frames, {garbage} bytes of garbage"))
        }
        (None, ReceiverState::Starting) => (Verdict::Doubtful, format!("{name}: {protocol} is being set up")),
        // It becomes a problem, with what to do, after some seconds.
        (None, other) => (Verdict::Bad, format!("{name}: {other}; look again in a minute")),
    };
    Finding::new(Area::Receiver, verdict, text)
}

fn idle(receiver: &config::Receiver, error: &AskError) -> Finding {
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
        Ok(()) if error.says_it_does_not_run() => {
            (Verdict::Good, format!("{path} is there; collect does not run and cannot try it"))
        }
        Ok(()) => {
            (Verdict::Skipped, format!("{path} is there; of collect, which has it, is known only: {error}"))
        }
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
            "not heard since the start: out of reach, or not sending (`vesigate meters` names them)",
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
    match config.keys.file.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let text = "there are no keys yet: `vesigate keys import FILE` reads the utility's key file";
            return finding(Verdict::Bad, text.to_owned());
        }
        Err(error) => {
            return finding(Verdict::Skipped, format!("the keys cannot be looked at: {}", error.kind()));
        }
    }
    let seal = match config.keys.seal_for(credentials) {
        Ok(seal) => seal,
        Err(error) if credentials.leave_seal_to_service(error.why) => {
            return finding(Verdict::Skipped, format!("the keys cannot be looked at: {error}"));
        }
        Err(error) => return finding(Verdict::Bad, format!("the keys cannot be opened: {error}")),
    };
    let ring = match Keyring::open(&config.keys.file, &seal) {
        Ok(ring) => ring,
        Err(error) => return finding(Verdict::Bad, error.to_string()),
    };
    let list = config.meter_list.as_ref().and_then(|path| MeterList::load(path, &config.contacts).ok());
    let listed = list.iter().flat_map(MeterList::iter).map(|(selector, _)| selector);
    let without = without_key(&ring, listed);
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

/// Those of these meters that have no key. A key may be stored under a number where the list has an address, and the
/// other way round.
fn without_key(ring: &Keyring, listed: impl Iterator<Item = Selector>) -> Vec<Selector> {
    let meant: HashSet<Selector> = ring
        .list()
        .into_iter()
        .flat_map(|entry| match entry.selector {
            Selector::Full(meter) => Selector::candidates(meter).to_vec(),
            other => vec![other],
        })
        .collect();
    let has = |selector: &Selector| match *selector {
        Selector::Full(meter) => ring.get(meter).is_some(),
        other => meant.contains(&other),
    };
    listed.filter(|selector| !has(selector)).collect()
}

#[cfg(test)]
mod tests {
    use wmbus::Key;

    use super::*;

    fn selector(text: &str) -> Selector {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_found_under_a_number_and_under_an_address() {
        let mut ring = Keyring::new();
        for name in ["KAM.00000001.1B.16", "00000002", "KAM.00000003"] {
            ring.insert(selector(name), Key::new([7; 16])).unwrap();
        }
        let has = [
            "00000001",
            "KAM.00000001",
            "KAM.00000001.1B.16",
            "00000002",
            "KAM.00000002.1B.16",
            "KAM.00000003",
            "KAM.00000003.1B.16",
        ];
        let has_not = ["00000004", "AXI.00000001", "KAM.00000001.1B.07", "AXI.00000003"];
        let listed = has.iter().chain(&has_not).map(|name| selector(name));
        assert_eq!(without_key(&ring, listed), has_not.map(selector));
    }

    #[test]
    fn a_large_ring_is_gone_through_once_and_not_for_each_listed_meter() {
        // One pass over the ring for each listed meter takes minutes.
        let mut ring = Keyring::new();
        for number in 0..20_000 {
            ring.insert(selector(&format!("KAM.{number:08}.1B.16")), Key::new([7; 16])).unwrap();
        }
        let listed = (19_000..21_000).map(|number| selector(&format!("{number:08}")));
        assert_eq!(without_key(&ring, listed).len(), 1000);
    }

    #[test]
    fn how_a_half_is_follows_from_why_it_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (store, none) = (folder.path().join("store"), folder.path().join("none"));
        fs::write(&store, "").unwrap();
        let said = |error: AskError, store: &Path| {
            let Finding { verdict, text, .. } = runs("collect", Some(&error), store);
            (verdict, text)
        };
        let io = AskError::Io;
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused] {
            let (verdict, text) = said(io(kind), &store);
            assert!(verdict == Verdict::Bad && text.contains("systemctl start"), "{text}");
            let (verdict, text) = said(io(kind), &none);
            assert!(verdict == Verdict::Doubtful && text.contains("never started"), "{text}");
        }
        let (verdict, text) = said(io(io::ErrorKind::TimedOut), &none);
        assert!(verdict == Verdict::Bad && text.contains("restart"), "{text}");
        let (verdict, text) = said(AskError::Unreadable, &none);
        assert!(verdict == Verdict::Bad && text.contains("restart"), "{text}");
        assert_eq!(said(io(io::ErrorKind::PermissionDenied), &store).0, Verdict::Doubtful);
        for error in [AskError::Refused, AskError::Later] {
            assert_eq!(said(error("it is stopping".to_owned()), &store).0, Verdict::Doubtful);
        }
        assert_eq!(runs("collect", None, &none).verdict, Verdict::Good);
    }
}
