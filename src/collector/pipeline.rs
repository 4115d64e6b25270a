//! The collector: frames and time go in, commits come out.

mod echo;
mod erasing;
mod memory;
mod placing;
mod report;
mod room;
mod scan;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use messages::Time;
use messages::batch::{Record, Seq, Stream};
use messages::event::{Reception as Standing, Refusal};
use wmbus::Meter;

use super::checkpoint;
use super::codes::Thresholds;
use super::guard::Verdict;
use super::heard::{Fate, HeardTable, Sight};
use super::meter::{Desk, MeterState};
use super::open::{Expected, Opened, Opener, Outcome, Reception};
use super::outbox::Outbox;
use super::sealed::{self, Waiting};
use super::times::Times;
use crate::config::MeterList;
use crate::health::status::Telegrams;
use crate::keyring::Keyring;
use crate::store::{Commit, Part, SealedFrame};
use crate::world::Uptime;
use echo::Echoes;

pub use memory::Memory;

const HOUR: i64 = 3600;
/// The rows of a boundary are written so many seconds after it.
const GRACE: i64 = 120;
/// Everything that only needs a look now and then gets one so often.
const LOOK_EVERY: u64 = 60;
/// Without a calendar, readings are stored so often.
const UNPLACED_EVERY: u64 = 600;

/// What the configuration says to the collector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Q4 of meters whose list row gives none, millilitres an hour.
    pub q4: i64,
    /// How many seconds rows are gathered into a block.
    pub block_every: u64,
    /// The most rows in a block.
    pub block_rows: usize,
    /// The meter list.
    pub list: MeterList,
    /// After how many seconds an episode of a code is worth a record, by the configuration's rules.
    pub thresholds: Thresholds,
}

/// Everything between the receivers and the store.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    keys: Arc<Keyring>,
    times: Times,
    boot: String,
    opener: Opener,
    echoes: Echoes,
    meters: HashMap<Meter, Box<MeterState>>,
    heard: HeardTable,
    counts: Telegrams,
    out: Outbox,
    /// The configuration's thresholds and those that deliver has told.
    thresholds: Thresholds,
    told: Thresholds,
    /// The last boundary whose rows were written, unix seconds.
    swept: Option<i64>,
    looked: u64,
    /// When all meters were last stored, and readings without a place, steady seconds.
    whole_at: u64,
    unplaced_at: u64,
    /// Meters whose key has changed and whose sealed frames are to be opened.
    to_open: Vec<Meter>,
}

impl Collector {
    /// Takes a frame without link-layer checksums.
    pub fn hear(&mut self, frame: &[u8], reception: Reception) {
        count(&mut self.counts.heard);
        if let Some(before) = self.echoes.hear(frame, reception.at) {
            return self.hear_again(before, frame, reception);
        }
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        let (headers, outcome) = self.opener.look(frame, reception, expected);
        self.echoes.became(&outcome);
        let protected = headers.map(|headers| headers.protected);
        let sight = Sight { frame, reception, protected, own: true };
        match outcome {
            Outcome::Opened(meter, opened) => self.opened(meter, opened, &sight),
            Outcome::Foreign(meter) => {
                count(&mut self.counts.foreign);
                let installs = headers.is_some_and(|headers| headers.installation);
                let fate = if installs { Fate::Installation } else { Fate::Left };
                self.heard.hear(meter, &Sight { own: false, ..sight }, fate, None);
            }
            Outcome::Installation(meter) => {
                count(&mut self.counts.installation);
                self.sign_of_life(meter, &sight, Fate::Installation);
            }
            Outcome::Nothing(meter) => self.sign_of_life(meter, &sight, Fate::Left),
            Outcome::Refused(meter, refusal) => {
                self.refuse(meter, &refusal, &sight);
                self.count_refused(refusal);
            }
            Outcome::Unreadable => self.count_refused(Refusal::Damaged),
        }
    }

    fn opened(&mut self, meter: Meter, opened: Box<Opened>, sight: &Sight<'_>) {
        let Some((state, mut desk)) = self.at_work(meter, true) else { return };
        state.reception.heard(desk.times.steady(sight.reception.at));
        if state.is_downgrade(&opened) {
            state.refuse(&Refusal::Downgraded);
            desk.heard.hear(meter, sight, Fate::Refused(Refusal::Downgraded), None);
            return self.count_refused(Refusal::Downgraded);
        }
        let verdict = state.hear(meter, opened, &mut desk);
        let (fate, refusal) = match verdict {
            Verdict::Accepted | Verdict::Contradicted => (Fate::Opened, None),
            Verdict::Duplicate => (Fate::Left, None),
            Verdict::Replayed => (Fate::Refused(Refusal::Replayed), Some(Refusal::Replayed)),
            Verdict::Quarantined => (Fate::Refused(Refusal::Implausible), Some(Refusal::Implausible)),
        };
        let newest = if verdict == Verdict::Accepted { state.guard.waiting() } else { None };
        desk.heard.hear(meter, sight, fate, newest.map(|opened| &opened.facts));
        match (verdict, refusal) {
            (Verdict::Duplicate, _) => count(&mut self.counts.duplicates),
            (_, None) => count(&mut self.counts.accepted),
            (_, Some(refusal)) => self.count_refused(refusal),
        }
    }

    /// A frame came whose link-layer checksums show that it was damaged on the way.
    pub fn hear_damaged(&mut self) {
        count(&mut self.counts.heard);
        self.count_refused(Refusal::Damaged);
    }

    /// Time has passed. Called about each second.
    pub fn tick(&mut self, uptime: Uptime) {
        let now = self.times.steady(uptime);
        if let Some(time) = self.times.utc(uptime) {
            let over = (time.unix() - GRACE).div_euclid(HOUR) * HOUR;
            match self.swept {
                None => self.swept = Some(over),
                Some(swept) if swept < over => {
                    self.swept = Some(over);
                    self.sweep(time, now);
                }
                Some(_) => {}
            }
        } else if now.saturating_sub(self.unplaced_at) >= UNPLACED_EVERY {
            self.unplaced_at = now;
            self.for_each(|meter, state, desk| state.keep_waiting(meter, desk));
            self.out.whole = !self.out.unplaced.is_empty() && now.saturating_sub(self.whole_at) >= 3600;
            self.out.hurry();
        }
        if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            let time = self.times.utc(uptime);
            self.for_each(|meter, state, desk| look(meter, state, desk, now, time));
        }
    }

    /// What is to be stored now, if anything is. To be asked until it gives nothing.
    pub fn take_commit(&mut self, uptime: Uptime) -> Option<Commit> {
        let now = self.times.steady(uptime);
        let Settings { block_every, block_rows, .. } = self.settings;
        self.out.is_due(now, block_every, block_rows).then(|| self.commit(now, uptime))
    }

    /// An orderly stop: everything that is there, as one commit.
    pub fn stop(&mut self, uptime: Uptime) -> Option<Commit> {
        let now = self.times.steady(uptime);
        let time = self.times.utc(uptime);
        self.for_each(|meter, state, desk| {
            state.end(meter, desk);
            for row in state.keeper.stop() {
                desk.out.row(meter, row, now);
            }
            if let (Some(time), Some(waiting)) = (time, &mut state.sealed) {
                waiting.due(meter, time, true, &mut desk.out.sealed);
            }
        });
        self.out.whole = self.meters.values().any(|state| state.reception.heard.is_some());
        self.out.hurry();
        self.out.is_due(now, 0, 1).then(|| self.commit(now, uptime))
    }

    /// An event of the half itself.
    pub fn event(&mut self, record: Record, uptime: Uptime) {
        self.out.event(record, self.times.steady(uptime), true);
    }

    /// What waits is to be stored now.
    pub fn hurry(&mut self) {
        self.out.hurry();
    }

    /// What the portal has; stored with the next block.
    pub fn acknowledged(&mut self, stream: Stream, seq: Seq) {
        let known = self.out.acknowledged.entry(stream).or_default();
        *known = (*known).max(seq);
    }

    /// The rules in force at deliver: after how many seconds an episode of a code is worth a record.
    pub fn told(&mut self, thresholds: Thresholds) {
        self.told = thresholds;
        self.join_thresholds();
    }

    /// Another configuration.
    pub fn reload(&mut self, settings: Settings) {
        self.settings = settings;
        self.join_thresholds();
        let Self { settings, meters, keys, heard, .. } = self;
        let expected = Expected { keys, list: &settings.list };
        heard.sort_out(|meter| expected.contains(meter));
        meters.retain(|meter, state| {
            state.guard.set_q4(q4(settings, keys, *meter));
            expected.contains(*meter)
        });
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// Other keys. Sealed frames that one of them may open are to be asked for, see [`Self::to_open`].
    pub fn set_keys(&mut self, keys: Keyring) {
        self.keys = Arc::new(keys);
        self.opener.forget_keys();
        for (meter, state) in &mut self.meters {
            state.guard.set_q4(q4(&self.settings, &self.keys, *meter));
        }
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        self.heard.sort_out(|meter| expected.contains(meter));
        let waiting = self.meters.iter().filter(|(_, state)| state.sealed.is_some());
        let waiting: Vec<Meter> = waiting.map(|(meter, _)| *meter).collect();
        self.to_open.extend(waiting.into_iter().filter(|meter| self.keys.get(*meter).is_some()));
        self.to_open.sort_unstable();
        self.to_open.dedup();
    }

    /// Somebody has given these meters their key anew, who may also have set them to another protection: whatever their
    /// telegrams are protected by next is believed.
    pub fn forget_protection(&mut self, meant: impl Fn(Meter) -> bool, uptime: Uptime) {
        let now = self.times.steady(uptime);
        for (meter, state) in self.meters.iter_mut().filter(|(meter, _)| meant(**meter)) {
            if state.forget_protection(now) {
                self.out.touched.insert(*meter);
                // It is to be stored also if nothing else is.
                self.out.whole = true;
            }
        }
        self.out.hurry();
    }

    /// A meter with a key whose stored sealed frames are to be read and given to [`Self::open_sealed`], before its
    /// next telegram.
    pub fn to_open(&mut self) -> Option<Meter> {
        self.to_open.pop()
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_to_open(&self) -> bool {
        !self.to_open.is_empty()
    }

    /// The sealed frames of a meter, oldest first.
    pub fn open_sealed(&mut self, meter: Meter, mut frames: Vec<SealedFrame>, uptime: Uptime) {
        let now = self.times.steady(uptime);
        let q4 = q4(&self.settings, &self.keys, meter);
        let Some(state) = self.meters.get_mut(&meter) else { return };
        let stored = frames.len();
        frames.extend(state.sealed.take().map(|waiting| waiting.drain(meter)).unwrap_or_default());
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        let start = sealed::Start { q4, known: state.guard.known(), protection: state.protection };
        let history = sealed::open(meter, frames.clone(), start, &mut self.opener, expected);
        if !history.opened {
            // Still not the right key: all of it goes on waiting.
            let mut waiting = Waiting::default();
            waiting.set_stored(u64::try_from(frames.len()).unwrap_or_default());
            state.sealed = Some(Box::new(waiting));
            self.out.sealed.extend(frames.split_off(stored.min(frames.len())));
            return;
        }
        state.guard = super::guard::Guard::new(q4, history.known);
        state.protection = history.protection;
        for row in history.rows {
            self.out.row(meter, row, now);
        }
        for episode in history.episodes {
            self.out.event(Record::Episode(episode), now, false);
        }
        self.out.opened.push(meter);
        self.out.touched.insert(meter);
        self.out.hurry();
    }

    /// Rows of the boundary that is over, and everything that goes with them.
    fn sweep(&mut self, time: Time, now: u64) {
        self.for_each(|meter, state, desk| {
            state.sweep(meter, (time, now), desk);
            let mut told = Vec::new();
            state.codes.report(state.id, &mut told);
            for episode in told {
                desk.out.episode(meter, episode);
            }
            if let Some(waiting) = &mut state.sealed {
                waiting.due(meter, time, false, &mut desk.out.sealed);
            }
        });
        // Nothing heard, nothing written.
        if self.out.rows() > 0 {
            self.out.whole = true;
        }
        self.out.hurry();
    }

    fn sign_of_life(&mut self, meter: Meter, sight: &Sight<'_>, fate: Fate) {
        let at = self.times.steady(sight.reception.at);
        if let Some((state, desk)) = self.at_work(meter, false) {
            state.reception.heard(at);
            desk.heard.hear(meter, sight, fate, None);
        }
    }

    fn refuse(&mut self, meter: Meter, refusal: &Refusal, sight: &Sight<'_>) {
        let Sight { frame, reception, .. } = *sight;
        let Some((state, desk)) = self.at_work(meter, false) else { return };
        desk.heard.hear(meter, sight, Fate::Refused(refusal.clone()), None);
        let now = desk.times.steady(reception.at);
        state.reception.heard(now);
        state.refuse(refusal);
        // While the key opens others, what it does not open is noise, or somebody else's under the meter's name.
        let unopened = matches!(refusal, Refusal::NoKey | Refusal::WrongKey)
            && state.reception.standing(now) != Some(Standing::Heard);
        // Without a calendar there is no boundary to keep a frame for.
        if let (true, Some(at)) = (unopened, desk.times.utc(reception.at)) {
            state.sealed.get_or_insert_default().keep(frame, at, reception.rssi);
        }
    }

    /// A meter's state, made if there is none, and what it works with.
    fn at_work(&mut self, meter: Meter, opened: bool) -> Option<(&mut MeterState, Desk<'_>)> {
        self.make_room(meter, opened);
        let Self { settings, keys, times, boot, opener, meters, out, heard, thresholds, .. } = self;
        let state = match meters.entry(meter) {
            Entry::Occupied(state) => state.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Box::new(MeterState::new(meter, q4(settings, keys, meter), None, None)?))
            }
        };
        Some((state, Desk { times, thresholds, opener, out, heard, boot }))
    }

    fn for_each(&mut self, mut work: impl FnMut(Meter, &mut MeterState, &mut Desk<'_>)) {
        let Self { times, boot, opener, meters, out, heard, thresholds, .. } = self;
        let mut desk = Desk { times, thresholds, opener, out, heard, boot };
        for (meter, state) in meters {
            work(*meter, state, &mut desk);
        }
    }

    fn join_thresholds(&mut self) {
        self.thresholds = self.settings.thresholds.clone();
        for (code, after) in &self.told {
            self.thresholds.entry(code.clone()).or_default().extend(after);
        }
    }

    fn count_refused(&mut self, refusal: Refusal) {
        count(self.counts.refused.entry(refusal).or_default());
    }

    fn commit(&mut self, now: u64, uptime: Uptime) -> Commit {
        let mut commit = self.out.take(self.settings.block_rows);
        commit.at = self.times.utc(uptime);
        commit.parts = self.parts(now);
        commit
    }

    /// What is to be remembered with what is committed.
    fn parts(&mut self, now: u64) -> Vec<(Part, Vec<u8>)> {
        let mut parts = Vec::new();
        let touched = std::mem::take(&mut self.out.touched);
        if std::mem::take(&mut self.out.whole) {
            self.whole_at = now;
            let all = self.meters.iter().filter(|(meter, state)| self.is_worth_storing(**meter, state));
            let all = all.filter_map(|(meter, state)| memory::entry(*meter, state));
            parts.push((Part::Meters, checkpoint::write_meters(all)));
            if !std::mem::take(&mut self.out.since).is_empty() {
                parts.push((Part::MetersSince, checkpoint::write_meters(std::iter::empty())));
            }
        } else if !touched.is_empty() {
            self.out.since.extend(touched);
            let some = self.out.since.iter();
            let some = some.filter_map(|meter| Some((*meter, self.meters.get(meter)?)));
            let some = some.filter(|(meter, state)| self.is_worth_storing(*meter, state));
            let some = some.filter_map(|(meter, state)| memory::entry(meter, state));
            parts.push((Part::MetersSince, checkpoint::write_meters(some)));
        }
        if std::mem::take(&mut self.out.episodes) {
            let running = self.meters.iter().flat_map(|(meter, state)| {
                state.codes.running().map(|(track, episode)| (*meter, track, episode))
            });
            parts.push((Part::Episodes, checkpoint::write_episodes(&self.boot, running)));
        }
        if std::mem::take(&mut self.out.layouts) {
            parts.push((Part::Layouts, checkpoint::write_layouts(self.opener.learned())));
        }
        parts
    }
}

/// What is seen to about each minute.
fn look(meter: Meter, state: &mut MeterState, desk: &mut Desk<'_>, now: u64, time: Option<Time>) {
    let mut told = Vec::new();
    state.codes.tick(state.id, now, &mut told);
    for episode in told {
        desk.out.episode(meter, episode);
    }
    if let Some(time) = time {
        state.tell(now, time, desk.out, meter);
    }
}

/// The highest flow of a meter, millilitres an hour: from the list, else from its key file.
fn q4(settings: &Settings, keys: &Keyring, meter: Meter) -> i64 {
    let listed = settings.list.get(meter).and_then(|listed| listed.q4).or_else(|| keys.q4(meter));
    listed.map_or(settings.q4, |flow| i64::from(flow.as_litres_per_hour()).saturating_mul(1000))
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;
