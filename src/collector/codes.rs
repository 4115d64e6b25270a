//! A meter's episodes, one tracker for each code, and the records that tell of them.
//!
//! A record is written when an episode begins, goes on after silence, becomes unknown, ends, gets its place on the
//! calendar, or has just lasted as long as a rule says; so whoever reads the records can apply the rules by them alone.

use std::collections::{BTreeMap, BTreeSet};

use messages::event::{Episode as Told, Standing};
use messages::reading::Code;
use messages::{Id, MeterId, Other, Time};

use super::episode::{Change, Episode, EpisodeId, Tracker};
use super::times::{Place, Times};
use crate::world::{Uptime, random};

/// After how many seconds an episode of a code is worth a record.
pub type Thresholds = BTreeMap<Code, BTreeSet<u64>>;

/// The codes of one meter that are there, or were a moment ago.
#[derive(Clone, Debug, Default)]
pub struct Codes(Vec<Track>);

/// One code.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Which.
    pub code: Code,
    /// Its state, by the steady clock.
    pub tracker: Tracker,
    /// When the episode began.
    pub started: Place,
    /// When its code was last seen.
    pub seen: Place,
}

impl Codes {
    /// Goes on with episodes that were stored.
    #[must_use]
    pub const fn restore(tracks: Vec<Track>) -> Self {
        Self(tracks)
    }

    /// The running episodes.
    pub fn running(&self) -> impl Iterator<Item = (&Track, Episode)> {
        self.0.iter().filter_map(|track| Some((track, track.tracker.episode()?)))
    }

    /// Forgets what was there within the span, `to` exclusive, or has no place in time. A code that is still there begins
    /// anew.
    pub fn erase(&mut self, from: Time, to: Time) {
        self.0.retain(|track| {
            let (started, seen) = (track.started.utc(), track.seen.utc());
            let (first, last) = (started.or(seen), seen.or(started));
            first.is_some_and(|first| first >= to) || last.is_some_and(|last| last < from)
        });
    }

    /// Whether any episode runs.
    #[must_use]
    pub fn any(&self) -> bool {
        self.running().next().is_some()
    }

    /// A believed telegram that carries a word of codes was heard at `heard`.
    pub fn hear(
        &mut self,
        meter: MeterId,
        codes: &[Code],
        heard: Uptime,
        times: &Times,
        thresholds: &Thresholds,
        out: &mut Vec<Told>,
    ) {
        if self.0.is_empty() && codes.is_empty() {
            return;
        }
        for code in codes {
            if !self.0.iter().any(|track| track.code == *code) {
                let (code, tracker) = (code.clone(), Tracker::default());
                self.0.push(Track { code, tracker, started: Place::Lost, seen: Place::Lost });
            }
        }
        let at = times.steady(heard);
        self.0.retain_mut(|track| {
            let present = codes.contains(&track.code);
            let before = track.tracker.episode();
            let change = track.tracker.hear(present, at, || EpisodeId(random()));
            if let Some(Change::Began(episode)) = change {
                track.started = times.place_steady(episode.started);
            }
            if present {
                track.seen = times.place(heard);
            }
            match change {
                Some(Change::Ended(episode)) => out.push(track.told(meter, &episode, Standing::Ended)),
                Some(Change::Began(episode) | Change::Resumed(episode) | Change::Unknown(episode)) => {
                    out.push(track.told(meter, &episode, Standing::Active));
                }
                None => {
                    let now = track.tracker.episode();
                    if let (Some(before), Some(now)) = (before, now)
                        && crosses(thresholds.get(&track.code), before.lasted, now.lasted)
                    {
                        out.push(track.told(meter, &now, Standing::Active));
                    }
                }
            }
            !matches!(track.tracker, Tracker::Idle)
        });
    }

    /// Time has passed; `now` by the steady clock.
    pub fn tick(&mut self, meter: MeterId, now: u64, out: &mut Vec<Told>) {
        for track in &mut self.0 {
            if let Some(Change::Unknown(episode)) = track.tracker.tick(now) {
                out.push(track.told(meter, &episode, Standing::Unknown));
            }
        }
    }

    /// How the running episodes stand.
    pub fn report(&self, meter: MeterId, out: &mut Vec<Told>) {
        for (track, episode) in self.running().filter(|(_, episode)| !episode.unknown) {
            out.push(track.told(meter, &episode, Standing::Active));
        }
    }

    /// The calendar is known now: episodes get their dates.
    pub fn placed(&mut self, meter: MeterId, times: &Times, out: &mut Vec<Told>) {
        for track in &mut self.0 {
            let before = (track.started, track.seen);
            (track.started, track.seen) = (track.started.settled(times), track.seen.settled(times));
            if before != (track.started, track.seen)
                && let Some(episode) = track.tracker.episode()
            {
                let standing = if episode.unknown { Standing::Unknown } else { Standing::Active };
                out.push(track.told(meter, &episode, standing));
            }
        }
    }
}

impl Track {
    fn told(&self, meter: MeterId, episode: &Episode, standing: Standing) -> Told {
        Told {
            id: Id::from_random(u128::from_be_bytes(episode.id.0)),
            meter,
            code: self.code.clone(),
            started: self.started.utc(),
            seen: self.seen.utc(),
            lasted: episode.lasted,
            standing,
            late: false,
            other: Other::default(),
        }
    }
}

/// Whether an episode has come to last as long as one of the thresholds.
fn crosses(thresholds: Option<&BTreeSet<u64>>, before: u64, now: u64) -> bool {
    let passed = before.saturating_add(1)..=now;
    before < now && thresholds.is_some_and(|thresholds| thresholds.range(passed).next().is_some())
}
