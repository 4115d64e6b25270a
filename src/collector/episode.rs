//! Episodes: stretches in which a meter reports a code.
//!
//! One begins with the first of two telegrams in a row that have the code, and ends when the meter has been heard
//! without it for two hours. Silence neither ends an episode nor makes it older: nobody knows what the meter would
//! have said. After a day of silence it becomes unknown, and goes on if the code is there on return.

/// Heard without the code for so long, it is over.
const OVER_AFTER: u64 = 2 * HOUR;
/// Two telegrams further apart than this count as this far apart: what lies between was not heard.
const LONGEST_STEP: u64 = HOUR;
/// Silent for so long, it is unknown.
const UNKNOWN_AFTER: u64 = 24 * HOUR;
const HOUR: u64 = 3600;

/// An episode's random name, drawn when it begins and the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpisodeId(pub [u8; 16]);

/// An episode as it stands. Times are seconds of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Its name.
    pub id: EpisodeId,
    /// When the first telegram with the code was heard.
    pub started: u64,
    /// When the last telegram with the code was heard.
    pub last_seen: u64,
    /// For how many seconds it is known to have lasted: silence is not counted.
    pub lasted: u64,
    /// Whether the meter has been silent for a day.
    pub unknown: bool,
    /// For how many seconds the meter has been heard without the code.
    pub without: u64,
    /// When the meter was last heard with a word of codes.
    pub heard: u64,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has begun.
    Began(Episode),
    /// It is over: the code was last seen at `last_seen`.
    Ended(Episode),
    /// The meter has been silent for a day.
    Unknown(Episode),
    /// The meter is back, and so is the code.
    Resumed(Episode),
}

/// Follows one code of one meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracker {
    /// The code is not there.
    #[default]
    Idle,
    /// One telegram has had it.
    Once {
        /// When.
        at: u64,
    },
    /// It is there.
    Running(Episode),
}

impl Tracker {
    /// Goes on with an episode that was stored.
    #[must_use]
    pub const fn restore(episode: Episode) -> Self {
        Self::Running(episode)
    }

    /// The episode, if there is one.
    #[must_use]
    pub const fn episode(&self) -> Option<Episode> {
        match self {
            Self::Running(episode) => Some(*episode),
            _ => None,
        }
    }

    /// A believed telegram that carries a word of codes: `present` says whether this one is in it. A telegram without
    /// such a word says nothing and is not given here. `draw` makes a new name.
    pub fn hear(&mut self, present: bool, at: u64, draw: impl FnOnce() -> EpisodeId) -> Option<Change> {
        match (&mut *self, present) {
            (Self::Idle, false) => None,
            (Self::Once { .. }, false) => {
                *self = Self::Idle;
                None
            }
            (Self::Idle, true) => {
                *self = Self::Once { at };
                None
            }
            (Self::Once { at: started }, true) => {
                let episode = Episode::begin(draw(), *started, at);
                *self = Self::Running(episode);
                Some(Change::Began(episode))
            }
            (Self::Running(episode), true) => episode.seen(at),
            (Self::Running(episode), false) => {
                let over = episode.not_seen(at)?;
                *self = Self::Idle;
                Some(over)
            }
        }
    }

    /// Time has passed without a telegram.
    pub fn tick(&mut self, now: u64) -> Option<Change> {
        let Self::Running(episode) = self else { return None };
        if episode.unknown || now.saturating_sub(episode.heard) < UNKNOWN_AFTER {
            return None;
        }
        episode.unknown = true;
        Some(Change::Unknown(*episode))
    }
}

impl Episode {
    fn begin(id: EpisodeId, started: u64, at: u64) -> Self {
        let lasted = at.saturating_sub(started).min(LONGEST_STEP);
        Self { id, started, last_seen: at, lasted, unknown: false, without: 0, heard: at }
    }

    fn seen(&mut self, at: u64) -> Option<Change> {
        self.lasted = self.lasted.saturating_add(self.step(at));
        self.last_seen = self.last_seen.max(at);
        self.without = 0;
        core::mem::take(&mut self.unknown).then_some(Change::Resumed(*self))
    }

    fn not_seen(&mut self, at: u64) -> Option<Change> {
        self.without = self.without.saturating_add(self.step(at));
        (self.without >= OVER_AFTER).then_some(Change::Ended(*self))
    }

    /// Seconds since the meter was last heard, as far as they count.
    fn step(&mut self, at: u64) -> u64 {
        let step = at.saturating_sub(self.heard).min(LONGEST_STEP);
        self.heard = self.heard.max(at);
        step
    }
}

#[cfg(test)]
mod tests;
