//! How the collector stands, for `vesigate status`.

use std::collections::HashMap;

use messages::event::Reception as Standing;
use wmbus::{Meter, Serial};

use super::Collector;
use crate::collector::open::Expected;
use crate::health::status::{MAX_LISTED, Meters, Refusing, Telegrams};
use crate::keyring::Selector;
use crate::keyring::trial::{KeyTest, Tested};
use crate::world::Uptime;

impl Collector {
    /// Telegrams since the start, by what became of them.
    #[must_use]
    pub const fn telegrams(&self) -> &Telegrams {
        &self.counts
    }

    /// Running episodes.
    #[must_use]
    pub fn episodes(&self) -> u64 {
        to_u64(self.meters.values().map(|state| state.codes.running().count()).sum())
    }

    /// Hour rows given out since the start.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.out.written
    }

    /// Readings that wait here for their place on the calendar.
    #[must_use]
    pub fn unplaced(&self) -> u64 {
        to_u64(self.out.unplaced.len())
    }

    /// Expected meters that are heard, and whether their keys open them.
    #[must_use]
    pub fn heard_meters(&self, uptime: Uptime) -> Vec<(Meter, bool)> {
        let now = self.times.steady(uptime);
        let heard = self.meters.iter().filter(|(_, state)| state.reception.heard.is_some());
        heard.map(|(meter, state)| (*meter, state.reception.opens(now))).collect()
    }

    /// Frames in memory that no key has opened.
    pub fn waiting_frames(&self) -> impl Iterator<Item = &[u8]> {
        self.meters.values().filter_map(|state| state.sealed.as_ref()).flat_map(|waiting| waiting.frames())
    }

    /// Meters that are heard and not expected, whose number has a key under another manufacturer or type.
    #[must_use]
    pub fn misfiled(&self) -> Vec<KeyTest> {
        let filed: HashMap<Serial, Selector> =
            self.keys.list().into_iter().map(|listed| (listed.selector.serial(), listed.selector)).collect();
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        let foreign = self.heard.after(None).filter(|meter| !expected.contains(*meter));
        let misfiled = foreign.filter_map(|meter| {
            let filed_under = filed.get(&meter.serial)?.to_string();
            let meter = meter.to_string();
            Some(KeyTest {
                meter,
                result: Tested::OtherName,
                filed_under: Some(filed_under),
                mark: None,
                opens_with: None,
            })
        });
        misfiled.collect()
    }

    /// How many meters are how.
    #[must_use]
    pub fn meters(&self, uptime: Uptime) -> Meters {
        let now = self.times.steady(uptime);
        let listed = self.settings.list.iter();
        let without_key = listed.filter(|(selector, _)| !self.keys.has(*selector)).count();
        let mut meters = Meters {
            expected: to_u64(self.keys.len().saturating_add(without_key)),
            keys: to_u64(self.keys.len()),
            foreign: to_u64(self.heard.foreign()),
            ..Meters::default()
        };
        for state in self.meters.values() {
            meters.heard += u64::from(state.reception.heard.is_some());
            meters.opened += u64::from(state.reception.opened_by_its_key().is_some());
            meters.sealed += state.sealed.as_ref().map_or(0, |waiting| waiting.kept());
            match state.reception.standing(now) {
                Some(Standing::NoKey) => meters.no_key += 1,
                Some(Standing::WrongKey) => meters.wrong_key += 1,
                Some(Standing::Silent) => meters.silent += 1,
                _ => {}
            }
        }
        meters
    }

    /// Meters with refused telegrams or readings that wait, at most [`MAX_LISTED`].
    #[must_use]
    pub fn refusing(&self, uptime: Uptime) -> Vec<Refusing> {
        let now = self.times.steady(uptime);
        let mut listed: Vec<Refusing> = self
            .meters
            .values()
            .filter_map(|state| {
                let refusing = Refusing {
                    meter: state.id,
                    reception: state.reception.standing(now).unwrap_or(Standing::Heard),
                    refused: state.refusals(),
                    quarantined: to_u64(state.guard.quarantined()),
                    sealed: state.sealed.as_ref().map_or(0, |waiting| waiting.kept()),
                };
                let nothing =
                    refusing.refused.is_empty() && refusing.quarantined == 0 && refusing.sealed == 0;
                (!nothing).then_some(refusing)
            })
            .collect();
        listed.sort_unstable_by_key(|refusing| refusing.meter);
        listed.truncate(MAX_LISTED);
        listed
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
