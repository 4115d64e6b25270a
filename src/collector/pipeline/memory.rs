//! What a run begins with: what the one before it stored.

use std::collections::HashMap;

use messages::Time;
use messages::batch::Record;
use wmbus::Meter;

use super::{Collector, Echoes, Settings, q4};
use crate::collector::checkpoint::{self, MeterEntry};
use crate::collector::codes::{Codes, Thresholds, Track};
use crate::collector::heard::HeardTable;
use crate::collector::meter::MeterState;
use crate::collector::open::{Expected, Opener};
use crate::collector::outbox::Outbox;
use crate::collector::times::Times;
use crate::health::clock::Calendar;
use crate::health::status::Telegrams;
use crate::keyring::Keyring;
use crate::world::{BootId, Uptime};

/// What the store holds when a run begins.
#[derive(Debug, Default)]
pub struct Memory {
    /// [`Part::Meters`](crate::store::Part::Meters).
    pub meters: Vec<u8>,
    /// [`Part::MetersSince`](crate::store::Part::MetersSince).
    pub meters_since: Vec<u8>,
    /// [`Part::Episodes`](crate::store::Part::Episodes).
    pub episodes: Vec<u8>,
    /// [`Part::Layouts`](crate::store::Part::Layouts).
    pub layouts: Vec<u8>,
    /// The records of the newest blocks of readings: what they hold is not written again, whatever the parts say.
    pub newest: Vec<Record>,
    /// Meters with sealed frames, and how many.
    pub sealed: Vec<(Meter, u64)>,
}

impl Collector {
    /// A run that begins at the uptime `start`, when the kernel's clock says `kernel`.
    #[must_use]
    pub fn new(
        settings: Settings,
        keys: Keyring,
        boot: &BootId,
        (start, kernel, calendar): (Uptime, i64, Calendar),
        memory: &Memory,
    ) -> Self {
        let entries =
            || checkpoint::read_meters(&memory.meters).chain(checkpoint::read_meters(&memory.meters_since));
        let newest = entries().map(|entry| entry.heard).max().unwrap_or_default();
        let times = Times::new(calendar, start, kernel, newest);
        let now = times.steady(start);
        let mut collector = Self {
            thresholds: settings.thresholds.clone(),
            settings,
            keys: std::sync::Arc::new(keys),
            times,
            boot: boot.as_str().to_owned(),
            opener: Opener::default(),
            echoes: Echoes::default(),
            meters: HashMap::new(),
            heard: HeardTable::default(),
            counts: Telegrams::default(),
            out: Outbox::default(),
            told: Thresholds::new(),
            swept: None,
            looked: now,
            whole_at: now,
            unplaced_at: now,
            to_open: Vec::new(),
        };
        checkpoint::read_layouts(&memory.layouts, collector.opener.learned());
        let since = checkpoint::read_meters(&memory.meters_since).map(|entry| entry.meter);
        collector.out.since = since.collect();
        for entry in entries() {
            collector.recall(entry);
        }
        for record in &memory.newest {
            if let Record::Hour(row) = record {
                collector.recall_row(row.meter.as_str(), row.boundary.time());
            }
        }
        let mut tracks: HashMap<Meter, Vec<Track>> = HashMap::new();
        for (meter, track) in checkpoint::read_episodes(&memory.episodes, &collector.boot) {
            tracks.entry(meter).or_default().push(track);
        }
        for (meter, tracks) in tracks {
            if let Some((state, _)) = collector.at_work(meter, true) {
                state.codes = Codes::restore(tracks);
            }
        }
        // Where several claim a number, those with the most frames keep their place.
        let mut sealed = memory.sealed.clone();
        sealed.sort_unstable_by_key(|(_, stored)| *stored);
        for (meter, stored) in &sealed {
            if let Some((state, _)) = collector.at_work(*meter, false) {
                state.sealed.get_or_insert_default().set_stored(*stored);
            }
            if collector.keys.get(*meter).is_some() {
                collector.to_open.push(*meter);
            }
        }
        collector
    }

    fn recall(&mut self, entry: MeterEntry) {
        let MeterEntry { meter, known, heard, written, told, protection } = entry;
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        let has_history = known.is_some() || written.is_some();
        if !expected.contains(meter) || !(has_history || expected.names(meter)) {
            return;
        }
        let q4 = q4(&self.settings, &self.keys, meter);
        if let Some(mut state) = MeterState::new(meter, q4, known, written) {
            state.reception.heard(heard);
            state.reception.told = told;
            state.protection = protection;
            self.meters.insert(meter, Box::new(state));
        }
    }

    fn recall_row(&mut self, meter: &str, boundary: Time) {
        let Ok(meter) = meter.parse::<Meter>() else { return };
        if let Some(state) = self.meters.get_mut(&meter) {
            state.keeper.recall(boundary);
        }
    }
}

/// What is stored of a meter, if there is anything.
pub(super) fn entry(meter: Meter, state: &MeterState) -> Option<MeterEntry> {
    let known = state.guard.newest();
    let heard = state.reception.heard.unwrap_or_default();
    let written = state.keeper.written();
    let told = state.reception.told;
    let anything = known.is_some() || written.is_some() || told.is_some();
    let protection = state.protection;
    anything.then_some(MeterEntry { meter, known, heard, written, told, protection })
}
