//! Plain values for home automation: from hour rows and episodes as they are read for sending. Off by default, outside
//! the acknowledged streams: what is lost comes again with the next hour.

use std::collections::{BTreeMap, BTreeSet};

use messages::batch::{Body, Record};
use messages::event::{Episode, Standing};
use messages::home_assistant::{Discovery, Values, discovery};
use messages::reading::{Code, HourRow, Role};
use messages::topic::Leaf;
use messages::{MeterId, Quantity, Time};

use super::mqtt::Message;
use super::session::{Session, Tag, json};
use crate::config;

/// Meters that are told of; a home has a few, a utility that switches this on has its own idea.
const MOST_METERS: usize = 2000;
/// Meters published in one go, so that batches find room beside them.
const AT_ONCE: usize = 4;

/// What home automation was and is to be told.
#[derive(Debug)]
pub(super) struct HomeAssistant {
    prefix: String,
    meters: BTreeMap<MeterId, Shown>,
    /// Meters with newer values than were told.
    due: BTreeSet<MeterId>,
}

#[derive(Debug, Default)]
struct Shown {
    at: Option<Time>,
    registers: BTreeMap<Role, Quantity>,
    codes: BTreeSet<Code>,
    /// Codes that were ever seen: each has a sensor.
    known: BTreeSet<Code>,
    announced: bool,
}

/// Codes of a water meter that always have a sensor.
const USUAL: [Code; 4] = [Code::Leak, Code::Burst, Code::Dry, Code::Reverse];

impl HomeAssistant {
    pub(super) fn new(config: config::HomeAssistant) -> Self {
        Self { prefix: config.prefix, meters: BTreeMap::new(), due: BTreeSet::new() }
    }

    pub(super) fn line_up(&mut self) {
        for shown in self.meters.values_mut() {
            shown.announced = false;
        }
        self.due = self.meters.keys().copied().collect();
    }

    /// Takes what a block has that is newer.
    pub(super) fn read(&mut self, body: &Body) {
        let Ok(records) = body.decode() else { return };
        for record in records.into_iter().flatten() {
            match record {
                Record::Hour(row) if !row.late => self.row(&row),
                Record::Episode(episode) if !episode.late => self.episode(&episode),
                _ => {}
            }
        }
    }

    fn row(&mut self, row: &HourRow) {
        let Some(shown) = self.meter(row.meter) else { return };
        let heard = row.boundary.time();
        if shown.at.is_some_and(|at| heard < at) {
            return;
        }
        shown.at = Some(heard);
        for (role, register) in &row.registers {
            shown.registers.insert(role.clone(), register.value);
        }
        shown.codes.clone_from(&row.codes);
        shown.known.extend(row.codes.iter().cloned());
        self.due.insert(row.meter);
    }

    fn episode(&mut self, episode: &Episode) {
        let Some(seen) = episode.seen else { return };
        let Some(shown) = self.meter(episode.meter) else { return };
        if shown.at.is_some_and(|at| seen < at) {
            return;
        }
        shown.at = Some(seen);
        if episode.standing == Standing::Ended {
            shown.codes.remove(&episode.code);
        } else {
            shown.codes.insert(episode.code.clone());
        }
        shown.known.insert(episode.code.clone());
        self.due.insert(episode.meter);
    }

    fn meter(&mut self, meter: MeterId) -> Option<&mut Shown> {
        if self.meters.len() >= MOST_METERS && !self.meters.contains_key(&meter) {
            return None;
        }
        Some(self.meters.entry(meter).or_default())
    }
}

impl Session {
    /// Publishes values that are due.
    pub(super) fn send_home(&mut self) {
        if self.link.subscribed.is_none() {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(home) = &mut self.home else { return };
            let Some(meter) = home.due.pop_first() else { return };
            let Some(shown) = home.meters.get_mut(&meter) else { continue };
            let Some(at) = shown.at.filter(|_| !shown.registers.is_empty()) else { continue };
            let announce = !std::mem::replace(&mut shown.announced, true);
            let codes: BTreeSet<Code> = shown.known.iter().cloned().chain(USUAL).collect();
            let codes: Vec<Code> = codes.into_iter().collect();
            let announced = if announce {
                discovery(&home.prefix, &self.gateway, meter, &shown.registers, &codes)
            } else {
                Vec::new()
            };
            let registers = shown.registers.iter().map(|(role, quantity)| (role.clone(), quantity.value));
            let values = Values { at, registers: registers.collect(), codes: shown.codes.clone() };
            for Discovery { topic, payload } in announced {
                let payload = json(&payload);
                let content_type = "application/json";
                let properties = Vec::new();
                let message = Message { topic, payload, retain: true, content_type, properties };
                self.link.publish(Tag::Other, message);
            }
            let message = self.document(Leaf::Meter(meter), json(&values));
            self.link.publish(Tag::Other, message);
        }
    }
}
