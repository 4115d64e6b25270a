//! What one telegram says alone.
//!
//! The guard judges a telegram by its counter and its register. Whoever changes a telegram without the key can leave
//! both as they are and change the rest: an info code, a duration class, a temperature. So a telegram that says
//! something new is held until the next one: what neither the one before nor the next one says too is disputed. It
//! makes no code, no class and no extreme of an hour, and its register counts only where there is no other.
//!
//! A real code is not over between one telegram and the next: meters send every few seconds and judge by the minute. A
//! next telegram that comes too late to know proves nothing, and neither does silence: what nothing follows counts.

use std::time::Duration;

use arrayvec::ArrayVec;
use messages::Quantity;
use messages::reading::{Code, DurationClass};

use super::hour::facts::Facts;
use super::open::Opened;
use crate::world::Uptime;

/// A next telegram that comes later may have missed a code that was there.
const NEXT: Duration = Duration::from_secs(600);
/// A temperature that is told by one telegram only is disputed if its neighbours lie within so much time...
const SOON: Duration = Duration::from_secs(60);
/// ...and both differ from it by more than so many thousandths of a degree: water and brass are not that fast.
const LEAP: i64 = 10_000;

/// Telegrams of one meter between the guard and the hour.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    /// What the last telegram said that counted.
    before: Option<Said>,
    /// It says something new.
    held: Option<Box<Opened>>,
}

/// A telegram that need not wait any longer.
#[derive(Debug)]
pub struct Weighed<T> {
    /// The telegram.
    pub opened: T,
    /// Whether its neighbours do not agree with it.
    pub disputed: bool,
}

/// At most the one that was held, and the one that was heard.
pub type All<T> = ArrayVec<Weighed<T>, 2>;

/// What is compared.
#[derive(Clone, Debug)]
struct Said {
    at: Uptime,
    codes: Vec<Code>,
    classes: Vec<(Code, DurationClass)>,
    water: Option<Quantity>,
    ambient: Option<Quantity>,
}

impl Doubts {
    /// Takes a telegram that the guard believes; gives those that are decided now, oldest first.
    pub fn weigh(&mut self, opened: Box<Opened>) -> All<Box<Opened>> {
        let mut all = All::new();
        if !opened.facts.tells_codes {
            // It can neither confirm nor contradict.
            all.push(counts(opened));
            return all;
        }
        if let Some(held) = self.held.take() {
            let disputed = is_disputed(&held, self.before.as_ref(), &opened);
            if !disputed {
                self.remember(&held);
            }
            all.push(Weighed { opened: held, disputed });
        }
        if is_news(&opened, self.before.as_ref()) {
            self.held = Some(opened);
        } else {
            self.remember(&opened);
            all.push(counts(opened));
        }
        all
    }

    /// What is held, and what the guard holds, as they would count if nothing more were heard.
    pub fn waiting<'a>(&'a self, next: Option<&'a Opened>) -> All<&'a Opened> {
        let mut all = All::new();
        if let Some(held) = self.held.as_deref() {
            let decides = next.filter(|next| next.facts.tells_codes);
            let disputed = decides.is_some_and(|next| is_disputed(held, self.before.as_ref(), next));
            all.push(Weighed { opened: held, disputed });
        }
        all.extend(next.map(counts));
        all
    }

    /// Drops what is held unless it is to be kept, and what was said last.
    pub fn retain(&mut self, keep: impl FnOnce(&Opened) -> bool) {
        self.before = None;
        self.held.take_if(|held| !keep(held));
    }

    /// Nothing more will be heard: what is held counts.
    pub fn end(&mut self) -> Option<Box<Opened>> {
        self.held.take()
    }

    /// Most telegrams say what the one before said: nothing is allocated for them.
    fn remember(&mut self, opened: &Opened) {
        let Facts { codes, classes, water, ambient, .. } = &opened.facts;
        let said = self.before.get_or_insert_with(|| Said {
            at: opened.reception.at,
            codes: Vec::new(),
            classes: Vec::new(),
            water: None,
            ambient: None,
        });
        said.codes.clone_from(codes);
        said.classes.clone_from(classes);
        (said.at, said.water, said.ambient) = (opened.reception.at, *water, *ambient);
    }
}

const fn counts<T>(opened: T) -> Weighed<T> {
    Weighed { opened, disputed: false }
}

/// Whether a telegram says something that the one before it did not.
fn is_news(opened: &Opened, before: Option<&Said>) -> bool {
    let facts = &opened.facts;
    let leaps = |before: &Said| {
        opened.reception.at.since(before.at) <= SOON
            && (leap(before.water, facts.water).is_some() || leap(before.ambient, facts.ambient).is_some())
    };
    before.is_some_and(leaps)
        || facts.codes.iter().any(|code| !before.is_some_and(|before| before.codes.contains(code)))
        || facts.classes.iter().any(|class| !before.is_some_and(|before| has(&before.classes, class)))
}

/// Whether a telegram says something that neither the one before it nor the next one does.
fn is_disputed(held: &Opened, before: Option<&Said>, next: &Opened) -> bool {
    let (facts, gap) = (&held.facts, next.reception.at.since(held.reception.at));
    if gap > NEXT {
        return false;
    }
    let alone = |code: &&Code| {
        !before.is_some_and(|before| before.codes.contains(code)) && !next.facts.codes.contains(code)
    };
    let higher = |class: &&(Code, DurationClass)| {
        !before.is_some_and(|before| has(&before.classes, class)) && !has(&next.facts.classes, class)
    };
    let leaps = |before: &Said| {
        let out_and_back = |a, b, c| leap(a, b).is_some() && leap(a, b) == leap(c, b);
        gap <= SOON
            && held.reception.at.since(before.at) <= SOON
            && (out_and_back(before.water, facts.water, next.facts.water)
                || out_and_back(before.ambient, facts.ambient, next.facts.ambient))
    };
    facts.codes.iter().any(|code| alone(&code))
        || facts.classes.iter().any(|class| higher(&class))
        || before.is_some_and(leaps)
}

/// Whether there is a class of the same code that is no lower.
fn has(classes: &[(Code, DurationClass)], (code, class): &(Code, DurationClass)) -> bool {
    classes.iter().any(|(other, known)| other == code && known >= class)
}

/// Whether two temperatures lie further apart than they can, and whether the second is the higher one.
fn leap(one: Option<Quantity>, other: Option<Quantity>) -> Option<bool> {
    let milli = |quantity: Quantity| quantity.value.in_units_of(-3);
    let (one, other) = (milli(one?)?, milli(other?)?);
    (one.abs_diff(other) > LEAP.unsigned_abs()).then_some(other > one)
}

#[cfg(test)]
mod tests;
