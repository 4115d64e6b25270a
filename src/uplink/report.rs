//! `status`: how the gateway is, for the portal, on change and every few minutes; and how the uplink is, for this half.

use std::time::Duration;

use messages::status::{Applied, Backlog, MAX_LISTED, Parked, Status, Versions};
use messages::topic::Leaf;
use messages::{Time, batch::Stream};
use tokio::time::Instant;

use super::session::{Session, Tag, json};
use crate::health::status::{CollectStatus, Sending, UplinkStatus};

/// How often, at least.
const EVERY: Duration = Duration::from_secs(300);
/// After a change, at most so often.
const PAUSE: Duration = Duration::from_secs(15);
/// How often collect is asked how it is.
const ASK: Duration = Duration::from_secs(30);

/// What was reported, and what is known of the other half.
#[derive(Debug, Default)]
pub(super) struct Report {
    collect: Option<CollectStatus>,
    asked: Option<Instant>,
    sent: Option<(Instant, Essence)>,
    /// When the line came up or went, if the clock can tell.
    since: Option<(bool, Option<Time>)>,
    system: Option<Versions>,
}

/// What makes a status worth sending at once when it changes.
#[derive(Clone, Debug, PartialEq)]
struct Essence {
    applied: Applied,
    parked: Vec<Parked>,
    receivers: Vec<messages::status::ReceiverState>,
    trust: messages::status::ClockTrust,
    disk: messages::status::DiskState,
    keys: (messages::seal::PublicKey, messages::seal::PublicKey),
    certificate: (Option<String>, Option<Time>),
}

impl Report {
    pub(super) fn line_up(&mut self) {
        self.sent = None;
        self.asked = None;
    }

    pub(super) fn collect(&mut self, status: CollectStatus) {
        self.collect = Some(status);
    }
}

impl Session {
    /// Publishes `status`, if it is due.
    pub(super) fn send_status(&mut self) {
        let now = Instant::now();
        let due = |then: Option<Instant>, pause| {
            then.is_none_or(|then| now.saturating_duration_since(then) >= pause)
        };
        if due(self.report.asked, ASK) {
            self.report.asked = Some(now);
            self.jobs.ask_status();
        }
        if self.link.up.is_none() || !due(self.report.sent.as_ref().map(|(then, _)| *then), PAUSE) {
            return;
        }
        let Some(status) = self.status() else { return };
        let essence = Essence {
            applied: status.config.clone(),
            parked: status.parked.clone(),
            receivers: status.receivers.iter().map(|receiver| receiver.state.clone()).collect(),
            trust: status.clock.trust.clone(),
            disk: status.disk.state.clone(),
            keys: (status.collect_key.clone(), status.deliver_key.clone()),
            certificate: (status.certificate_request.clone(), status.certificate_expires),
        };
        let changed = self.report.sent.as_ref().is_none_or(|(_, last)| *last != essence);
        if changed || due(self.report.sent.as_ref().map(|(then, _)| *then), EVERY) {
            let message = self.document(Leaf::Status, json(&status));
            if message.size() <= self.link.largest.unwrap_or(usize::MAX)
                && self.link.publish(Tag::Other, message)
            {
                self.report.sent = Some((now, essence));
            }
        }
    }

    fn status(&mut self) -> Option<Status> {
        let versions = self.report.system.get_or_insert_with(versions).clone();
        let parked = self.parked();
        let certificate_expires = self.renewal.expires();
        let collect = self.report.collect.as_ref()?;
        let mut backlog = std::collections::BTreeMap::new();
        for (stream, outbox) in &self.sending.streams {
            let Some(epoch) = outbox.epoch() else { continue };
            let (head, acknowledged) = (outbox.head(), outbox.acknowledged());
            let kept = collect.streams.get(stream).copied();
            let batches = head.number().saturating_sub(acknowledged.number());
            // Blocks have much the same size; to count them all would read the whole file.
            let bytes = kept.map_or(0, |kept| {
                kept.bytes
                    .checked_div(kept.blocks.max(1))
                    .unwrap_or(0)
                    .saturating_mul(batches)
                    .min(kept.bytes)
            });
            let oldest = self.oldest(*stream);
            let lost = kept.map_or(0, |kept| kept.lost);
            backlog.insert(*stream, Backlog { epoch, head, acknowledged, batches, bytes, oldest, lost });
        }
        Some(Status {
            at: self.shared.now(),
            versions,
            uptime_s: collect.uptime_s,
            backlog,
            receivers: collect.receivers.clone(),
            config: self.downlink.applied(),
            collect_key: collect.collect_key.clone(),
            deliver_key: self.setup.key.public(),
            certificate_request: self.renewal.request(),
            certificate_expires,
            parked,
            clock: collect.clock.clone(),
            disk: collect.disk.clone(),
            never_placed: collect.never_placed,
        })
    }

    fn parked(&self) -> Vec<Parked> {
        let streams = self.sending.streams.iter();
        streams
            .flat_map(|(stream, outbox)| {
                outbox.parked().iter().map(|(seq, reason)| Parked {
                    stream: *stream,
                    seq: *seq,
                    reason: reason.clone(),
                })
            })
            .take(MAX_LISTED)
            .collect()
    }

    /// How the uplink is, for whoever asks this half.
    pub(super) fn refresh_status(&mut self) {
        let connected = self.link.up.is_some();
        let now = self.shared.now();
        if self.report.since.is_none_or(|(was, _)| was != connected) {
            self.report.since = Some((connected, now));
        }
        let streams = self.sending.streams.iter().filter_map(|(stream, outbox)| {
            let in_flight = u64::try_from(outbox.in_flight()).unwrap_or(u64::MAX);
            let (head, acknowledged, sent) = (outbox.head(), outbox.acknowledged(), outbox.sent_ever());
            Some((*stream, Sending { epoch: outbox.epoch()?, head, acknowledged, in_flight, sent }))
        });
        let status = UplinkStatus {
            connected,
            since: self.report.since.and_then(|(_, since)| since),
            error: self.link.fault.as_ref().map(ToString::to_string),
            connections: self.link.connections,
            streams: streams.collect(),
            config: self.downlink.applied(),
            portal_seen: self.downlink.portal_seen,
            certificate_expires: self.renewal.expires(),
            parked: self.parked(),
        };
        self.shared.status.send_replace(Some(status));
    }

    /// When the oldest block that waits was stored.
    fn oldest(&self, stream: Stream) -> Option<Time> {
        self.sending.oldest_waiting(&self.shared, stream)
    }
}

/// What runs here.
fn versions() -> Versions {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let system = text("/etc/os-release").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').chars().take(100).collect())
    });
    let machine = text("/proc/device-tree/model")
        .map(|model| model.trim_end_matches(['\0', '\n']).chars().take(100).collect());
    Versions { vesigate: env!("CARGO_PKG_VERSION").to_owned(), system, machine }
}
