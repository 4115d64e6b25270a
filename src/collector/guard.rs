//! Which telegrams of a meter are believed.
//!
//! AES-CTR with a CRC is not authentic: whoever hears a telegram can send it again, or change it and mend its checksums
//! without the key. So a telegram is held until the next one agrees with it, and what cannot be is quarantined:
//!
//! - A counter that does not rise is a replay; the very same telegram twice is a duplicate (a repeater, a second
//!   receiver).
//! - A register that falls (unless the meter says that water flows backwards), rises faster than twice the meter's
//!   highest flow and ten litres, or a counter that runs ahead of the clock: quarantined until three telegrams in a row
//!   agree with each other.
//! - A telegram that contradicts the one before it: both wait, and what the later ones disagree with is dropped. If they
//!   agree with two of the same counter, both of these are dropped: one is forged, and nothing tells which.
//! - A counter that starts anew (the meter was serviced) is believed after eight telegrams in at least ten minutes in
//!   which nothing of the old counter was heard.
//!
//! A forged telegram that no later one contradicts cannot be told from a genuine one; the threat model says so.

use arrayvec::ArrayVec;

/// Chains of telegrams that agree, side by side. More means that somebody plays with us; the oldest goes.
const MAX_CHAINS: usize = 3;
/// So many telegrams must agree before an implausible register is believed.
const QUARANTINE: usize = 3;
/// Telegrams of a new counter before it is believed, and for how long it must have been heard.
const RESET_TELEGRAMS: u32 = 8;
const RESET_SECONDS: u64 = 600;
/// What a register may rise beyond its rate: rounding, and the water of the telegram's own delay.
const SLACK_MILLILITRES: i64 = 10_000;
/// How far a meter's minute counter may run ahead of ours: three minutes, and two of a hundred.
const AHEAD_MINUTES: u64 = 3;
const AHEAD_PER_CENT: u64 = 2;

/// A counter that rises with every telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Minutes since the meter was started, and a number within the minute in the low four bits (ELL session number).
    Session(u32),
    /// Messages (modes 7 and 10).
    Message(u32),
}

impl Counter {
    const fn number(self) -> u32 {
        match self {
            Self::Session(number) | Self::Message(number) => number,
        }
    }
}

/// What the guard looks at in a telegram, and what it holds back with it.
#[derive(Clone, Debug)]
pub struct Heard<T> {
    /// Its counter; mode 5 has none.
    pub counter: Option<Counter>,
    /// The register that consumption is computed from, in millilitres; `None` if it was not sent.
    pub register: Option<i64>,
    /// Whether the meter says that water flows backwards.
    pub reverse: bool,
    /// A digest of the plain text: equal for the same telegram only.
    pub digest: u64,
    /// When, in seconds of a clock that never jumps.
    pub at: u64,
    /// What is passed on once it is believed.
    pub payload: T,
}

impl<T> Heard<T> {
    /// The same with another payload.
    pub fn with<U>(self, payload: impl FnOnce(T) -> U) -> Heard<U> {
        let Self { counter, register, reverse, digest, at, payload: old } = self;
        Heard { counter, register, reverse, digest, at, payload: payload(old) }
    }
}

/// What became of a telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It agrees with what came before; it waits for the next one, or for [`Guard::settle`].
    Accepted,
    /// Heard before.
    Duplicate,
    /// Its counter does not rise.
    Replayed,
    /// Implausible: it waits for others that agree.
    Quarantined,
    /// It contradicts the telegram before it: both wait.
    Contradicted,
}

/// Telegrams that have become believable with the last one, oldest first.
pub type Believed<T> = ArrayVec<T, QUARANTINE>;

/// Guards one meter.
#[derive(Clone, Debug)]
pub struct Guard<T> {
    /// Millilitres an hour that can never be exceeded: twice Q4.
    limit: i64,
    /// The last telegram that was believed.
    known: Option<Point>,
    chains: ArrayVec<Chain<T>, MAX_CHAINS>,
    /// A counter below the known one that may be a new beginning.
    reset: Option<Reset>,
}

/// Where a meter stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its counter.
    pub counter: Option<Counter>,
    /// Its register in millilitres.
    pub register: Option<i64>,
    /// When.
    pub at: u64,
    /// The digest of that telegram.
    pub digest: u64,
}

/// Telegrams that agree with each other, the last of them still waiting.
#[derive(Clone, Debug)]
struct Chain<T> {
    /// Whether its first follows plausibly from what is known.
    plausible: bool,
    last: Point,
    waiting: Believed<T>,
}

#[derive(Clone, Copy, Debug)]
struct Reset {
    first_at: u64,
    telegrams: u32,
    last: Point,
}

impl<T> Guard<T> {
    /// For a meter whose highest flow Q4 is so many millilitres an hour, and where it stood when last believed.
    #[must_use]
    pub fn new(q4: i64, known: Option<Point>) -> Self {
        Self { limit: q4.saturating_mul(2), known, chains: ArrayVec::new(), reset: None }
    }

    /// Where the meter stood when it was last believed, for storing.
    #[must_use]
    pub const fn known(&self) -> Option<Point> {
        self.known
    }

    /// Millilitres an hour that can never be exceeded.
    #[must_use]
    pub const fn limit(&self) -> i64 {
        self.limit
    }

    /// Drops what waits but for what is to be kept. Counters and registers stay: later telegrams are judged by them.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for chain in &mut self.chains {
            chain.waiting.retain(|payload| keep(payload));
        }
    }

    /// Another highest flow, from the next telegram on.
    pub const fn set_q4(&mut self, q4: i64) {
        self.limit = q4.saturating_mul(2);
    }

    /// How many telegrams wait because they are implausible, or contradict each other.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        let disputed = self.chains.len() > 1;
        self.chains.iter().filter(|chain| disputed || !chain.plausible).map(|chain| chain.waiting.len()).sum()
    }

    /// Takes a telegram; gives what became of it, and the telegrams that are believed now.
    pub fn hear(&mut self, heard: Heard<T>) -> (Verdict, Believed<T>) {
        let point =
            Point { counter: heard.counter, register: heard.register, at: heard.at, digest: heard.digest };
        if self.is_duplicate(&point) {
            return (Verdict::Duplicate, Believed::new());
        }
        if self.is_replay(&point) && !self.begins_anew(&point) {
            return (Verdict::Replayed, Believed::new());
        }
        let extended = self.chains.iter().position(|chain| self.follows(&chain.last, &heard));
        let Some(at) = extended else { return self.begin(point, heard) };
        if self.is_ambiguous(at, &heard) {
            self.chains.clear();
            return self.begin(point, heard);
        }
        self.extend(at, point, heard.payload)
    }

    /// The telegram of this counter and digest, if it is held and another may still come.
    pub fn held(&mut self, counter: Option<Counter>, digest: u64) -> Option<&mut T> {
        let same = |chain: &&mut Chain<T>| chain.last.counter == counter && chain.last.digest == digest;
        self.chains.iter_mut().find(same)?.waiting.last_mut()
    }

    /// Whether a telegram agrees with two that have the same counter. A meter gives it to one only, so the other is
    /// forged, and nothing will tell which.
    fn is_ambiguous(&self, at: usize, heard: &Heard<T>) -> bool {
        let Some(chain) = self.chains.get(at).filter(|chain| chain.last.counter.is_some()) else {
            return false;
        };
        let mut later = self.chains.iter().skip(at.saturating_add(1));
        later.any(|other| other.last.counter == chain.last.counter && self.follows(&other.last, heard))
    }

    /// The telegram that nothing has contradicted until now, if there is just one chain of plausible ones: it counts for
    /// what is written now, and goes on waiting.
    #[must_use]
    pub fn waiting(&self) -> Option<&T> {
        self.uncontested().and_then(|chain| chain.waiting.last())
    }

    /// Where the meter stood at the last telegram that nothing has contradicted.
    #[must_use]
    pub fn newest(&self) -> Option<Point> {
        self.uncontested().map(|chain| chain.last).or(self.known)
    }

    fn uncontested(&self) -> Option<&Chain<T>> {
        let [chain] = self.chains.as_slice() else { return None };
        chain.plausible.then_some(chain)
    }

    /// Nothing more will be heard: gives the telegram that waits, if nothing has contradicted it.
    pub fn settle(&mut self) -> Option<T> {
        let [chain] = self.chains.as_mut_slice() else { return None };
        let payload = if chain.plausible { chain.waiting.pop() } else { None }?;
        self.known = Some(chain.last);
        Some(payload)
    }

    fn is_duplicate(&self, point: &Point) -> bool {
        let same = |other: &Point| other.counter == point.counter && other.digest == point.digest;
        // Without a counter the same text may come again an hour later and be news; within seconds it is an echo.
        let echo = |other: &Point| point.counter.is_some() || point.at.saturating_sub(other.at) < 5;
        let seen = |other: &Point| same(other) && echo(other);
        self.known.as_ref().is_some_and(seen) || self.chains.iter().any(|chain| seen(&chain.last))
    }

    /// Whether the counter does not rise above what is known. A telegram with the counter of one that still waits is
    /// no replay: one of the two is forged, and the later ones decide.
    fn is_replay(&self, point: &Point) -> bool {
        let known = self.known.and_then(|known| known.counter);
        matches!((known, point.counter), (Some(known), Some(new)) if new.number() <= known.number())
    }

    /// Watches a counter that has fallen; `true` once it is believed to have started anew.
    fn begins_anew(&mut self, point: &Point) -> bool {
        let follows = |reset: &Reset| {
            counter_rises(reset.last.counter, point.counter, point.at.saturating_sub(reset.last.at))
                && point.register >= reset.last.register
        };
        let not_lower = self.known.is_none_or(|known| point.register >= known.register);
        let reset = match self.reset.filter(follows) {
            Some(reset) => Reset { telegrams: reset.telegrams.saturating_add(1), last: *point, ..reset },
            None => Reset { first_at: point.at, telegrams: 1, last: *point },
        };
        self.reset = not_lower.then_some(reset);
        let long = point.at.saturating_sub(reset.first_at) >= RESET_SECONDS;
        let done = not_lower && long && reset.telegrams >= RESET_TELEGRAMS;
        if done {
            self.reset = None;
            self.chains.clear();
            self.known = self.known.map(|known| Point { counter: None, ..known });
        }
        done
    }

    fn follows(&self, before: &Point, heard: &Heard<T>) -> bool {
        let elapsed = heard.at.saturating_sub(before.at);
        counter_rises(before.counter, heard.counter, elapsed)
            && register_plausible(before.register, heard.register, heard.reverse, elapsed, self.limit)
    }

    /// The telegram agrees with a chain: what waited there is believed, and chains it disagrees with are dropped.
    fn extend(&mut self, at: usize, point: Point, payload: T) -> (Verdict, Believed<T>) {
        // Whatever else waits was contradicted by this one.
        let mut chain = self.chains.remove(at);
        self.chains.clear();
        self.reset = None;
        let enough = chain.plausible || chain.waiting.len() + 1 >= QUARANTINE;
        let mut believed = Believed::new();
        if enough {
            core::mem::swap(&mut believed, &mut chain.waiting);
            self.known = Some(chain.last);
            chain.plausible = true;
        }
        chain.last = point;
        chain.waiting.push(payload);
        self.chains.push(chain);
        (if enough { Verdict::Accepted } else { Verdict::Quarantined }, believed)
    }

    /// The telegram agrees with nothing that waits.
    fn begin(&mut self, point: Point, heard: Heard<T>) -> (Verdict, Believed<T>) {
        let plausible = self.known.is_none_or(|known| self.follows(&known, &heard));
        let verdict = match (plausible, self.chains.is_empty()) {
            (false, _) => Verdict::Quarantined,
            (true, true) => Verdict::Accepted,
            (true, false) => Verdict::Contradicted,
        };
        if self.chains.is_full() {
            self.chains.remove(0);
        }
        let mut waiting = Believed::new();
        waiting.push(heard.payload);
        self.chains.push(Chain { plausible, last: point, waiting });
        (verdict, Believed::new())
    }
}

fn counter_rises(before: Option<Counter>, now: Option<Counter>, elapsed: u64) -> bool {
    match (before, now) {
        (Some(before), Some(now)) if now.number() <= before.number() => false,
        (Some(Counter::Session(before)), Some(Counter::Session(now))) => {
            let minutes = u64::from((now >> 4) - (before >> 4));
            let ours = elapsed / 60;
            minutes <= ours + ours * AHEAD_PER_CENT / 100 + AHEAD_MINUTES
        }
        _ => true,
    }
}

/// `limit` in millilitres an hour. A telegram without a register contradicts nothing.
fn register_plausible(
    before: Option<i64>,
    now: Option<i64>,
    reverse: bool,
    elapsed: u64,
    limit: i64,
) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return true };
    let elapsed = i128::from(elapsed);
    let most = i128::from(limit) * elapsed / 3600 + i128::from(SLACK_MILLILITRES);
    let rise = i128::from(now) - i128::from(before);
    if rise >= 0 { rise <= most } else { reverse && -rise <= most }
}

#[cfg(test)]
mod tests;
