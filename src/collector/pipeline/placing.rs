//! Readings that were heard before the clock was trusted get their place on the calendar.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messages::Time;
use wmbus::Meter;

use super::Collector;
use crate::collector::guard::Counter;
use crate::collector::unplaced::{self, Kept};
use crate::health::clock::Calendar;
use crate::store::{Anchor, Unplaced};
use crate::world::Uptime;

/// So many meters must agree on when the machine was started, within so many seconds.
const ENOUGH: usize = 3;
const AGREE: u64 = 120;

impl Collector {
    /// Which uptime is which UTC.
    #[must_use]
    pub const fn calendar(&self) -> &Calendar {
        &self.times.calendar
    }

    /// The clock was set, for the first time since this start of the machine or again. What was dated stays; `stored`
    /// are the readings without a place that the store keeps, with the calendar of their start of the machine.
    pub fn anchor(&mut self, calendar: Calendar, stored: Vec<(Unplaced, Calendar)>, uptime: Uptime) {
        let first = !self.times.calendar.is_trusted();
        self.times.calendar = calendar;
        if let Some((uptime, utc_ms)) = calendar.anchor() {
            self.out.anchor = Some(Anchor { boot: self.boot.clone(), uptime, utc_ms });
        }
        if !first {
            return;
        }
        self.out.hurry();
        self.for_each(|meter, state, desk| {
            let mut told = Vec::new();
            state.codes.placed(state.id, desk.times, &mut told);
            for episode in told {
                desk.out.episode(meter, episode);
            }
        });
        let here = std::mem::take(&mut self.out.unplaced).into_iter().map(|reading| (reading, calendar));
        self.place(stored.into_iter().chain(here), uptime);
    }

    /// The calendar of a start of the machine that never had the time, by the minutes that meters count: how many they
    /// have counted since a kept reading tells when that was. `None` unless enough meters agree.
    #[must_use]
    pub fn calendar_by_meters<'a>(&self, readings: impl Iterator<Item = &'a Unplaced>) -> Option<Calendar> {
        let mut starts: BTreeMap<Meter, i64> = BTreeMap::new();
        for reading in readings {
            let start = || {
                let then = unplaced::read(&reading.body)?.minutes?;
                let state = self.meters.get(&reading.meter)?;
                // Heard during this run, so that its moment is dated by a trusted clock.
                state.reception.opened?.1?;
                let known = state.guard.known()?;
                let Some(Counter::Session(number)) = known.counter else { return None };
                let passed = i64::from((number >> 4).checked_sub(then)?).checked_mul(60)?;
                let now = self.times.utc_steady(known.at)?.unix();
                now.checked_sub(passed)?.checked_sub(i64::try_from(reading.uptime).ok()?)
            };
            if let Some(start) = start() {
                starts.insert(reading.meter, start);
            }
        }
        let mut starts: Vec<i64> = starts.into_values().collect();
        starts.sort_unstable();
        let median = *starts.get(starts.len() / 2)?;
        let agree = starts.iter().filter(|start| start.abs_diff(median) <= AGREE).count();
        (agree >= ENOUGH).then(|| Calendar::anchored(Uptime::default(), median.saturating_mul(1000)))
    }

    /// Makes ordinary rows of readings whose start of the machine has a calendar; `uptime` is now.
    pub fn place(&mut self, readings: impl Iterator<Item = (Unplaced, Calendar)>, uptime: Uptime) {
        let mut placed: BTreeMap<Meter, Vec<(Time, Kept)>> = BTreeMap::new();
        let mut boots = BTreeSet::new();
        for (reading, calendar) in readings {
            let at = calendar.place(Uptime(Duration::from_secs(reading.uptime)));
            if let (Some(at), Some(kept)) = (at, unplaced::read(&reading.body)) {
                placed.entry(reading.meter).or_default().push((at, kept));
            }
            boots.insert(reading.boot);
        }
        self.out.placed.extend(boots);
        let now = self.times.steady(uptime);
        let time = self.times.utc(uptime);
        for (meter, mut readings) in placed {
            readings.sort_by_key(|(at, _)| *at);
            let Some((state, desk)) = self.at_work(meter, true) else { continue };
            for (at, Kept { facts, rssi, .. }) in readings {
                let due: Vec<_> = state.keeper.due(at).collect();
                let first = state.keeper.hear(&facts, at, rssi);
                for row in due.into_iter().chain(first) {
                    desk.out.row(meter, row, now);
                }
            }
            for row in time.into_iter().flat_map(|time| state.keeper.due(time)) {
                desk.out.row(meter, row, now);
            }
        }
    }
}
