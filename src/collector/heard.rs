//! Every meter that is heard, ours or not: what an installer wants to see of the radio.
//!
//! In memory only: neighbours' meters are neither stored nor sent. Bounded: when there are too many, the half of the
//! foreign ones that was not heard for longest goes. Nothing is allocated for a meter that is known.

mod beat;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use messages::Quantity;
use messages::event::Refusal;
use messages::reading::{Code, Role};
use wmbus::Meter;

use super::hour::facts::Facts;
use super::open::{Protected, Reception};
use crate::receiver::LinkMode;
use crate::world::Uptime;

pub use beat::{Beat, Recent};

/// Foreign meters that are remembered.
pub const MOST_FOREIGN: usize = 2000;
/// The same telegram again within so many milliseconds came through a repeater or a second receiver.
const ECHO: u64 = 8000;

/// All meters that were heard since the start.
#[derive(Debug, Default)]
pub struct HeardTable {
    meters: HashMap<Meter, Box<Entry>>,
    /// Their addresses in order, for those who ask page by page.
    order: BTreeSet<[u8; 8]>,
    foreign: usize,
}

/// A telegram as the table sees it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Its bytes.
    pub frame: &'a [u8],
    /// How it was heard.
    pub reception: Reception,
    /// How it is protected, as far as that could be read.
    pub protected: Option<Protected>,
    /// Whether the meter is ours: it is never forgotten.
    pub own: bool,
}

/// What is known of one meter. Moments in milliseconds of uptime.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// When it was first heard.
    pub first: u64,
    /// When it was last heard.
    pub last: u64,
    /// Telegrams, without echoes.
    pub telegrams: u32,
    /// Telegrams that came again, by a repeater or another receiver.
    pub echoes: u32,
    /// Installation telegrams among them.
    pub installation: u32,
    /// When the last of those was heard.
    pub installed: Option<u64>,
    /// How strong it was, in dBm.
    pub rssi: Option<i16>,
    /// How strong it was at best.
    pub best_rssi: Option<i16>,
    /// How it is sent.
    pub link_mode: Option<LinkMode>,
    /// How it is protected, by the telegrams that count for its beat.
    pub protected: Option<Protected>,
    /// Telegrams that were opened.
    pub opened: u32,
    /// Why the last one was refused, if it was.
    pub refusal: Option<Refusal>,
    /// Which receivers have heard it, a bit for each.
    pub receivers: u16,
    /// What the last one that was opened said.
    pub reading: Option<Box<Reading>>,
    /// How often it sends, and what of that is heard.
    pub beat: Beat,
    /// It is ours.
    own: bool,
    /// The end of the last telegram: enciphered, it is different in each.
    tail: u64,
}

/// What a telegram said.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// When it was heard, milliseconds of uptime.
    pub at: u64,
    /// The volume.
    pub volume: Option<Quantity>,
    /// The info codes.
    pub codes: Vec<Code>,
}

/// What became of a telegram, as far as the table tells it.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Opened.
    Opened,
    /// An installation telegram.
    Installation,
    /// Refused.
    Refused(Refusal),
    /// Nothing was tried, or there was nothing to open.
    Left,
}

impl HeardTable {
    /// Takes a telegram of a meter, what became of it, and what it says if it was opened and is believed.
    pub fn hear(&mut self, meter: Meter, sight: &Sight<'_>, fate: Fate, facts: Option<&Facts>) {
        if let Some(entry) = self.meters.get_mut(&meter) {
            if sight.own && !entry.own {
                entry.own = true;
                self.foreign = self.foreign.saturating_sub(1);
            }
            entry.hear(sight, fate, facts);
            return;
        }
        if !sight.own {
            if self.foreign >= MOST_FOREIGN {
                self.make_room();
            }
            self.foreign = self.foreign.saturating_add(1);
        }
        let first = millis(sight.reception.at);
        let mut entry = Entry { first, own: sight.own, ..Entry::default() };
        entry.hear(sight, fate, facts);
        self.meters.insert(meter, Box::new(entry));
        self.order.insert(meter.to_link());
    }

    /// A telegram of a meter came again: by another receiver, or twice by one.
    pub fn hear_again(&mut self, meter: Meter, reception: Reception) {
        if let Some(entry) = self.meters.get_mut(&meter) {
            entry.receive(reception);
            entry.echoes = entry.echoes.saturating_add(1);
        }
    }

    /// What is known of a meter.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<&Entry> {
        self.meters.get(&meter).map(Box::as_ref)
    }

    /// The meters whose addresses come after this one, or all, in order.
    pub fn after(&self, after: Option<[u8; 8]>) -> impl Iterator<Item = Meter> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range((start, Bound::Unbounded)).copied().map(Meter::from_link)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meters.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// How many of them are not ours.
    #[must_use]
    pub const fn foreign(&self) -> usize {
        self.foreign
    }

    /// Which meters are ours has changed.
    pub fn sort_out(&mut self, own: impl Fn(Meter) -> bool) {
        for (meter, entry) in &mut self.meters {
            entry.own = own(*meter);
            if !entry.own {
                entry.reading = None;
                entry.beat.doubt();
            }
        }
        self.foreign = self.meters.values().filter(|entry| !entry.own).count();
        if self.foreign > MOST_FOREIGN {
            self.make_room();
        }
    }

    /// A receiver is gone; another may get its number.
    pub fn forget_receiver(&mut self, number: u8) {
        for entry in self.meters.values_mut() {
            entry.receivers &= !bit(number);
        }
    }

    /// Forgets a meter.
    pub fn forget(&mut self, meter: Meter) {
        if self.meters.remove(&meter).is_some_and(|entry| !entry.own) {
            self.foreign = self.foreign.saturating_sub(1);
        }
    }

    /// Forgets what a meter has said, if that is to be forgotten.
    pub fn forget_reading(&mut self, meter: Meter, is_meant: impl FnOnce(u64) -> bool) {
        if let Some(entry) = self.meters.get_mut(&meter) {
            entry.reading.take_if(|reading| is_meant(reading.at));
        }
    }

    /// The half of the foreign ones goes that was not heard for longest, so that the work is rare.
    fn make_room(&mut self) {
        let foreign = self.meters.values().filter(|entry| !entry.own);
        let mut last: Vec<u64> = foreign.map(|entry| entry.last).collect();
        let middle = last.len() / 2;
        if last.is_empty() {
            return;
        }
        let (_, median, _) = last.select_nth_unstable(middle);
        let median = *median;
        let order = &mut self.order;
        self.meters.retain(|meter, entry| {
            let stays = entry.own || entry.last > median;
            if !stays {
                order.remove(&meter.to_link());
            }
            stays
        });
        self.foreign = self.meters.values().filter(|entry| !entry.own).count();
    }
}

impl Entry {
    fn hear(&mut self, sight: &Sight<'_>, fate: Fate, facts: Option<&Facts>) {
        let at = millis(sight.reception.at);
        let tail = sight.frame.last_chunk().map_or(0, |tail| u64::from_le_bytes(*tail));
        let passed = at.saturating_sub(self.last);
        self.receive(sight.reception);
        if self.telegrams > 0 && tail == self.tail && passed < ECHO {
            self.echoes = self.echoes.saturating_add(1);
            return;
        }
        self.telegrams = self.telegrams.saturating_add(1);
        // Installation telegrams come out of turn, and in the clear.
        let installs = matches!(fate, Fate::Installation);
        if !installs && self.beat.count(at, matches!(fate, Fate::Opened)) {
            self.protected = sight.protected.or(self.protected);
        }
        (self.last, self.tail) = (at, tail);
        self.came_to(fate);
        if let Some(facts) = facts {
            self.says(facts);
        }
    }

    fn receive(&mut self, Reception { rssi, via, .. }: Reception) {
        self.rssi = rssi.or(self.rssi);
        self.best_rssi = self.best_rssi.max(rssi);
        self.link_mode = via.link_mode.or(self.link_mode);
        self.receivers |= via.receiver.map_or(0, bit);
    }

    fn came_to(&mut self, fate: Fate) {
        match fate {
            Fate::Opened => (self.opened, self.refusal) = (self.opened.saturating_add(1), None),
            Fate::Installation => {
                self.installation = self.installation.saturating_add(1);
                self.installed = Some(self.last);
            }
            Fate::Refused(refusal) => self.refusal = Some(refusal),
            Fate::Left => {}
        }
    }

    fn says(&mut self, facts: &Facts) {
        let reading = self.reading.get_or_insert_default();
        let volume = facts.registers.iter().find(|(role, _)| *role == Role::Volume);
        reading.at = self.last;
        reading.volume = volume.map(|(_, volume)| *volume).or(reading.volume);
        if facts.tells_codes {
            reading.codes.clone_from(&facts.codes);
        }
    }

    /// Whether a receiver has heard it.
    #[must_use]
    pub fn was_heard_by(&self, receiver: u8) -> bool {
        self.receivers & bit(receiver) != 0
    }
}

/// Milliseconds of an uptime.
#[must_use]
pub fn millis(at: Uptime) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

/// Receivers beyond the sixteenth are not told apart.
fn bit(receiver: u8) -> u16 {
    1u16.checked_shl(u32::from(receiver)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
