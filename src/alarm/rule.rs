//! When an episode is an alarm, and what a contact is told of it next. Pure: facts in, decision out.

use std::collections::BTreeMap;

use messages::event::Standing;
use messages::mail::MailKind;
use messages::{Id, Span, Time};

use crate::store::KnownEpisode;

/// Episodes of one meter and code less than so many seconds apart are one.
pub const ONE_WITHIN: i64 = 2 * HOUR;
/// Told no more than so many seconds after an episode was over: later nobody wonders whether it still runs.
const OVER_IS_NEWS: i64 = 5 * 24 * HOUR;
/// An episode that was over before anybody here heard of it is an alarm for so many seconds.
const ENDED_IS_NEWS: i64 = 24 * HOUR;
const HOUR: i64 = 3600;

/// When an episode of a code is an alarm, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// It is one once it has lasted so many seconds.
    pub after: u64,
    /// While it goes on, a mail follows after so many seconds.
    pub every: i64,
    /// At most so many times.
    pub times: u32,
}

impl Rule {
    /// The rule in minutes, as the receiving half is told it: it writes a record when an episode has lasted so long.
    #[must_use]
    pub fn threshold(self) -> u32 {
        u32::try_from(self.after.div_ceil(60)).unwrap_or(u32::MAX)
    }
}

impl From<messages::config::Rule> for Rule {
    fn from(rule: messages::config::Rule) -> Self {
        let (every, times) = rule.repeat.map_or((24, 0), |repeat| (repeat.every_hours.get(), repeat.times));
        Self {
            after: u64::from(rule.after_minutes).saturating_mul(60),
            every: i64::from(every).saturating_mul(HOUR),
            times,
        }
    }
}

impl From<crate::config::Rule> for Rule {
    fn from(rule: crate::config::Rule) -> Self {
        Self {
            after: rule.after.as_secs(),
            every: i64::try_from(rule.repeat_every.as_secs()).unwrap_or(i64::MAX).max(HOUR),
            times: u32::from(rule.repeat_up_to),
        }
    }
}

/// Episodes of one meter and code that are one for everybody who reads them.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// Its parts, earliest first.
    pub parts: Vec<KnownEpisode>,
    /// When it began.
    pub started: Time,
    /// When the code was last seen.
    pub seen: Time,
    /// For how many seconds it is known to have lasted.
    pub lasted: u64,
    /// Whether it goes on.
    pub standing: Standing,
}

impl Merged {
    /// Merges the episodes of one meter and code. Those that have no place on the calendar yet are left out.
    #[must_use]
    pub fn of(mut episodes: Vec<KnownEpisode>) -> Vec<Self> {
        episodes.retain(|known| known.episode.started.is_some() && known.episode.seen.is_some());
        episodes.sort_by_key(|known| (known.episode.started, known.episode.seen, known.episode.id));
        let mut merged: Vec<Self> = Vec::new();
        for known in episodes {
            let (Some(started), Some(seen)) = (known.episode.started, known.episode.seen) else { continue };
            let last = merged.last_mut().filter(|last| {
                // Whatever it says of itself, it is over if another one has begun: a gateway follows one at a time.
                let before = Span { from: last.started, to: Some(last.seen) };
                before.meets(Span { from: started, to: Some(seen) }, ONE_WITHIN)
            });
            match last {
                Some(last) => last.add(known, seen),
                None => merged.push(Self {
                    started,
                    seen,
                    lasted: known.episode.lasted,
                    standing: known.episode.standing,
                    parts: vec![known],
                }),
            }
        }
        let newest = merged.len().saturating_sub(1);
        for older in merged.iter_mut().take(newest) {
            older.standing = Standing::Ended;
        }
        merged
    }

    fn add(&mut self, known: KnownEpisode, seen: Time) {
        self.lasted = self.lasted.saturating_add(known.episode.lasted);
        self.seen = self.seen.max(seen);
        self.standing = known.episode.standing;
        self.parts.push(known);
    }

    /// The alarm that was raised for it, if one was: the first, if parts had one each.
    #[must_use]
    pub fn alarm(&self) -> Option<Id> {
        self.parts.iter().find_map(|known| known.alarm)
    }

    /// The id that an alarm for it is raised under.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        self.parts.first().map(|known| known.episode.id)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.standing == Standing::Ended
    }

    /// From when to when; open while it goes on.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.started, to: self.is_over().then_some(self.seen) }
    }

    /// Whether an alarm is to be raised for it. What was last seen before `floor` is history.
    #[must_use]
    pub fn is_alarm(&self, rule: Rule, floor: Time, now: Time) -> bool {
        let news = !self.is_over() || now.unix().saturating_sub(self.seen.unix()) <= ENDED_IS_NEWS;
        self.lasted >= rule.after && self.seen >= floor && news
    }
}

/// What one contact was told of an alarm, and what is under way: by kind, and of repeats by number.
pub type Told = BTreeMap<(MailKind, u32), Fate>;

/// How it stands with one thing that a contact is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits in the queue.
    Waiting,
    /// It was sent then; by somebody else, that is only known to be before.
    Sent(Time),
    /// It could not be sent, and is not tried again.
    Failed,
    /// Somebody else has taken it over.
    Claimed,
}

/// What comes next for a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A mail is to be queued.
    Now(Piece),
    /// Nothing before this.
    At(Time),
    /// Nothing, until something else changes.
    Nothing,
}

/// One thing to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It is raised.
    Raised,
    /// It goes on, for the n-th time, from 1.
    Repeated(u32),
    /// It is over.
    Over,
}

impl Piece {
    /// As it is written: its kind and its number.
    #[must_use]
    pub const fn written(self) -> (MailKind, u32) {
        match self {
            Self::Raised => (MailKind::Raised, 0),
            Self::Repeated(number) => (MailKind::Repeated, number),
            Self::Over => (MailKind::Over, 0),
        }
    }
}

/// What a contact is to be told next of an alarm.
#[must_use]
pub fn next(merged: &Merged, rule: Rule, told: &Told, now: Time) -> Next {
    let fate = |piece: Piece| told.get(&piece.written());
    let was_told = matches!(fate(Piece::Raised), Some(Fate::Sent(_)));
    if merged.is_over() {
        let news = now.unix().saturating_sub(merged.seen.unix()) <= OVER_IS_NEWS;
        return if was_told && news && fate(Piece::Over).is_none() {
            Next::Now(Piece::Over)
        } else {
            Next::Nothing
        };
    }
    match fate(Piece::Raised) {
        None => Next::Now(Piece::Raised),
        Some(Fate::Sent(_)) if merged.standing == Standing::Active => repeat(rule, told, now),
        Some(_) => Next::Nothing,
    }
}

fn repeat(rule: Rule, told: &Told, now: Time) -> Next {
    let (mut newest, mut number) = (Time::MIN, 0);
    for ((kind, repeat), fate) in told {
        match (kind, fate) {
            (MailKind::Repeated, Fate::Waiting | Fate::Claimed) => return Next::Nothing,
            (MailKind::Raised | MailKind::Repeated, Fate::Sent(at)) => newest = newest.max(*at),
            _ => {}
        }
        if *kind == MailKind::Repeated {
            number = number.max(*repeat);
        }
    }
    if number >= rule.times {
        return Next::Nothing;
    }
    match newest.unix().checked_add(rule.every).and_then(Time::from_unix) {
        Some(due) if due > now => Next::At(due),
        Some(_) => Next::Now(Piece::Repeated(number.saturating_add(1))),
        None => Next::Nothing,
    }
}

#[cfg(test)]
mod tests;
