//! What the portal says: acknowledgements, settings, the meters' documents.
//!
//! A document counts if its version is newer than the one in force; one that cannot be read or opened changes nothing.
//! The list in `config` decides which meters have one: what is not in a newer list is deleted, and a document of a meter
//! that is not listed is not taken, so that one left behind at the broker cannot bring contacts back.

use std::collections::BTreeSet;

use messages::batch::{Epoch, Record};
use messages::config::{Delivery, GatewayConfig, MeterConfig, Part, RequestedWork};
use messages::event::ProblemKind;
use messages::mail::{RequestOutcome, RequestReport};
use messages::status::{Applied, MAX_LISTED};
use messages::topic::{Leaf, Topic};
use messages::{Ack, MeterId, Other, Time};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::jobs::{Done, Erasure};
use super::mqtt::Came;
use super::session::Session;
use crate::halves::control::AskError;

/// The largest document that is read.
const LARGEST: usize = 1 << 20;
/// Meters with something to hand over or to do, looked at in one go.
const AT_ONCE: usize = 16;
/// How long after the list a document that it names may take, before the broker is asked for all once more.
const OVERDUE: std::time::Duration = std::time::Duration::from_secs(5);

/// The portal's documents, as far as they are not in the store.
#[derive(Debug, Default)]
pub(super) struct Downlink {
    /// The list came over this line.
    listed: bool,
    /// How far the documents are applied; renewed when one changes.
    applied: Option<Applied>,
    changes: u64,
    /// The store that all this is about.
    store: Option<Epoch>,
    /// Meters whose documents may hold a key to hand over or an erasure to do.
    open: Option<BTreeSet<MeterId>>,
    /// Meters whose newest document was refused.
    refused: BTreeSet<MeterId>,
    /// `config` itself was refused.
    list_refused: bool,
    /// Since when a document is behind that may have come before the list; asked for again once.
    overdue: Option<Instant>,
    /// When the portal was last heard, and when that was last written down.
    pub(super) portal_seen: Option<Time>,
    portal_noted: Option<Time>,
}

impl Downlink {
    pub(super) fn line_up(&mut self) {
        self.listed = false;
        self.overdue = None;
    }

    /// Whether all that the portal wants to be in force is.
    pub(super) fn settled(&self) -> bool {
        self.listed && self.applied.as_ref().is_some_and(|applied| applied.behind == 0)
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn applied(&self) -> Applied {
        self.applied.clone().unwrap_or_default()
    }
}

impl Session {
    /// A message of the portal. What is not for us, or cannot be read, changes nothing.
    pub(super) fn came(&mut self, came: Came) {
        let Ok(Topic { gateway, leaf }) = came.topic.parse() else { return };
        if gateway != self.gateway || came.payload.len() > LARGEST {
            return;
        }
        if !came.retained {
            self.portal_seen();
        }
        match leaf {
            Leaf::Ack(stream) => match serde_json::from_slice::<Ack>(&came.payload) {
                Ok(ack) => self.acknowledged(stream, &ack),
                Err(_) => debug!(%stream, "an acknowledgement cannot be read"),
            },
            Leaf::GatewayConfig => self.take_list(&came.payload),
            Leaf::Config(meter) => self.take_document(meter, &came.payload),
            _ => {}
        }
        self.signal();
    }

    fn portal_seen(&mut self) {
        let Some(now) = self.shared.now() else { return };
        let down = &mut self.downlink;
        down.portal_seen = Some(now);
        // Contacts lapse after 30 days; to the hour is exact enough, and spares the card.
        if down.portal_noted.is_none_or(|noted| now.unix().saturating_sub(noted.unix()) >= 3600) {
            down.portal_noted = Some(now);
            self.shared.note(self.shared.store.borrow_mut().set_portal_seen(now));
        }
    }

    fn take_list(&mut self, payload: &[u8]) {
        // An empty retained payload means that nothing is retained, never that nobody is to be told.
        if payload.is_empty() {
            return;
        }
        // The parser's own message could repeat what it read.
        let Ok(config) = serde_json::from_slice::<GatewayConfig>(payload) else {
            self.downlink.list_refused = true;
            self.refusal();
            return;
        };
        self.downlink.list_refused = false;
        self.downlink.listed = true;
        let known = self.shared.store.borrow().gateway_config();
        let version = self.shared.note(known).flatten().map_or(0, |known| known.version);
        if config.version > version {
            let stored = self.shared.store.borrow_mut().set_gateway_config(&config);
            if self.shared.note(stored).is_some() {
                info!(version = config.version, meters = config.meters.len(), "settings of the portal");
                self.downlink.refused.retain(|meter| config.meters.contains_key(meter));
                self.changed();
            }
        }
        self.refusal();
        self.renew_applied();
        self.renewal.look_again();
        self.downlink.overdue =
            (self.downlink.applied().behind > 0).then(|| Instant::now().checked_add(OVERDUE)).flatten();
    }

    fn take_document(&mut self, meter: MeterId, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let taken = self.check_document(meter, payload);
        match taken {
            Ok(None) => return,
            Ok(Some(document)) => {
                let stored = self.shared.store.borrow_mut().set_document(meter, &document);
                if self.shared.note(stored).is_none() {
                    return;
                }
                self.downlink.refused.remove(&meter);
                if let Some(open) = &mut self.downlink.open {
                    open.insert(meter);
                }
                self.changed();
            }
            Err(why) => {
                warn!("a document of the portal is refused: {why}");
                if self.downlink.refused.len() < MAX_LISTED {
                    self.downlink.refused.insert(meter);
                }
            }
        }
        self.refusal();
        self.renew_applied();
    }

    /// The document, if it is to be taken.
    fn check_document(&self, meter: MeterId, payload: &[u8]) -> Result<Option<MeterConfig>, String> {
        let store = self.shared.store.borrow();
        let list = self.shared.note(store.gateway_config()).flatten();
        if list.is_some_and(|list| !list.meters.contains_key(&meter)) {
            return Ok(None);
        }
        let document: MeterConfig =
            serde_json::from_slice(payload).map_err(|_| "it cannot be read".to_owned())?;
        let known = self.shared.note(store.document(meter)).flatten().map_or(0, |known| known.version);
        if document.version <= known {
            return Ok(None);
        }
        document.open(meter, &self.setup.key).map_err(|error| error.to_string())?;
        Ok(Some(document))
    }

    fn changed(&mut self) {
        self.downlink.changes = self.downlink.changes.saturating_add(1);
    }

    /// Tells that documents are refused, or no longer.
    fn refusal(&self) {
        let down = &self.downlink;
        let count = down.refused.len() + usize::from(down.list_refused);
        let first =
            down.refused.first().map_or_else(|| "config".to_owned(), |meter| format!("config/{meter}"));
        let text = (count > 0).then(|| {
            format!(
                "{count} documents of the portal are refused, the first is {first}: what was in force stays; have the \
                 portal seal them anew to this gateway's key"
            )
        });
        self.shared.problem(ProblemKind::ConfigRefused, None, text.as_deref());
    }

    pub(super) fn renew_applied(&mut self) {
        let store = self.shared.store.borrow();
        let Some(list) = self.shared.note(store.gateway_config()) else { return };
        let Some(held) = self.shared.note(store.documents()) else { return };
        drop(store);
        let held: std::collections::BTreeMap<MeterId, u64> = held.into_iter().collect();
        let Some(list) = list else {
            self.downlink.applied = Some(Applied::default());
            return;
        };
        let mut applied = Applied { version: list.version, ..Applied::default() };
        for (meter, version) in &list.meters {
            let here = held.get(meter).copied().unwrap_or(0);
            // A document may come before the list that names it.
            if here < *version {
                applied.behind = applied.behind.saturating_add(1);
            }
            if here != *version && applied.meters.len() < MAX_LISTED {
                applied.meters.insert(*meter, here);
            }
        }
        self.downlink.applied = Some(applied);
    }

    /// Hands keys over and does what is asked for, a little at a time.
    pub(super) fn apply_documents(&mut self) {
        self.meet_store();
        if self.downlink.applied.is_none() {
            self.renew_applied();
        }
        let now = Instant::now();
        if self.downlink.overdue.is_some_and(|overdue| now >= overdue) {
            self.downlink.overdue = None;
            if self.downlink.applied().behind > 0 {
                // The document came before the list that allows it: the broker sends what it keeps once more.
                self.link.subscribe(Topic::downlink_filters(&self.gateway));
            }
        }
        if self.downlink.open.is_none() {
            let held = self.shared.note(self.shared.store.borrow().documents());
            self.downlink.open = held.map(|held| held.into_iter().map(|(meter, _)| meter).collect());
        }
        for _ in 0..AT_ONCE {
            let Some(meter) = self.downlink.open.as_ref().and_then(|open| open.first().copied()) else {
                return;
            };
            if self.something_to_do(meter) {
                return;
            }
            if let Some(open) = &mut self.downlink.open {
                open.remove(&meter);
            }
        }
    }

    /// The store is replaced if it is damaged, or was in memory. What was in force by the one before may not be in it: the
    /// broker sends all that it keeps once more.
    fn meet_store(&mut self) {
        let epoch = self.shared.store.borrow().epoch();
        let down = &mut self.downlink;
        if down.store.replace(epoch).is_none_or(|known| known == epoch) {
            return;
        }
        (down.listed, down.applied, down.open) = (false, None, None);
        self.changed();
        self.link.subscribe(Topic::downlink_filters(&self.gateway));
    }

    /// Begins the next thing to do of a meter's document; `false` if there is nothing (more).
    fn something_to_do(&mut self, meter: MeterId) -> bool {
        let document = self.shared.note(self.shared.store.borrow().document(meter)).flatten();
        let Some(document) = document else { return false };
        let Part::Live { key, .. } = &document.part else { return false };
        if let Some(sealed) = key {
            let handed = self.shared.note(self.shared.store.borrow().handed(meter)).unwrap_or(0);
            if handed < document.version {
                if self.jobs.takes_key() {
                    self.jobs.hand_key(meter, document.version, sealed.clone());
                }
                return true;
            }
        }
        match document.open(meter, &self.setup.key) {
            Ok(Some(delivery)) => self.next_request(&delivery),
            Ok(None) | Err(_) => false,
        }
    }

    fn next_request(&mut self, delivery: &Delivery) -> bool {
        for request in &delivery.requests {
            let done = self.shared.note(self.shared.store.borrow().is_erased(request.id));
            if done != Some(false) {
                continue;
            }
            match request.work {
                RequestedWork::Erase { from, to } => {
                    let expired = self.shared.now().is_some_and(|now| now > request.expires);
                    if expired {
                        self.report_request(request.id, delivery.meter, RequestOutcome::Expired);
                        continue;
                    }
                    if self.jobs.takes_erasure() {
                        self.jobs.erase(Erasure { id: request.id, meter: delivery.meter, from, to });
                    }
                    return true;
                }
                // The mails' side does these.
                RequestedWork::Unknown | RequestedWork::TestMail { .. } => {}
            }
        }
        false
    }

    fn report_request(&self, id: messages::Id, meter: MeterId, outcome: RequestOutcome) {
        let now = self.shared.now();
        let at = now.or_else(|| Time::from_unix(self.calendar.now())).unwrap_or(Time::MIN);
        let report = Record::Request(RequestReport { id, meter, at, outcome, other: Other::default() });
        self.shared.note(self.shared.store.borrow_mut().set_erased(id, &report, now));
        self.shared.news.notify_one();
    }

    /// Collect has answered.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Status(Ok(status)) => self.report.collect(*status),
            Done::Status(Err(_)) | Done::InMemory(Err(_)) => {}
            Done::Key(meter, version, Ok(())) => {
                self.shared.note(self.shared.store.borrow().set_handed(meter, version));
                info!("the receiving half has got a meter's key");
            }
            Done::Key(meter, version, Err(AskError::Refused(why))) => {
                warn!("a meter's sealed key is refused: {why}");
                // Not again until a newer document brings another one.
                self.shared.note(self.shared.store.borrow().set_handed(meter, version));
                if self.downlink.refused.len() < MAX_LISTED {
                    self.downlink.refused.insert(meter);
                }
                self.refusal();
            }
            Done::Erased(Erasure { id, meter, from, to }, Ok(())) => {
                let erased = self.shared.store.borrow_mut().erase(meter, from, to);
                if self.shared.note(erased).is_some() {
                    self.report_request(id, meter, RequestOutcome::Done);
                }
            }
            Done::Erased(Erasure { id, meter, .. }, Err(AskError::Refused(why))) => {
                warn!("an erasure is refused: {why}");
                self.report_request(id, meter, RequestOutcome::Failed);
            }
            // It does not run, or cannot do it now: the next tick tries again.
            Done::Key(_, _, Err(_)) | Done::Erased(_, Err(_)) => {}
            Done::InMemory(Ok(blocks)) => self.send_from_memory(blocks),
        }
    }
}
