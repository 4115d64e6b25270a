//! The questions to one port, one after the other until somebody answers: without a clock and without a port.
//!
//! They are asked in an order that is safe (see [`Sign::ALL`]), each at the speeds at which it may be answered. A round of all
//! questions takes less than five seconds; where few are in question, they are asked several times in that time.
//!
//! An answer may stand in a queue behind telegrams. So as long as something comes, it is waited for, up to about a second at
//! the delivered speed of an Amber; and where the line did not pause at all meanwhile, nothing else is said at that speed: an
//! Amber may be at the other end that has had no time to answer, and would transmit it.

use std::time::{Duration, Instant};

use super::{
    Kind,
    sign::{Seen, Sign},
};
use crate::receiver::{Action, CommandBytes, Info};

/// After the speed was changed: until the line is quiet, and the dongle at its other end, too.
const SETTLE: Duration = Duration::from_millis(100);
/// Until what was said last has left the line.
const DRAIN: Duration = Duration::from_millis(50);
/// All rounds together.
const MOST: Duration = Duration::from_millis(4_900);
const MOST_ROUNDS: u32 = 4;
/// How much longer answers are waited for in all because something else comes.
const TRAFFIC: Duration = Duration::from_millis(600);
/// In a pause so long, an Amber answers.
const PAUSE: Duration = Duration::from_millis(60);
/// No answer is so long. Of more, the end counts.
const KEPT: usize = 1024;

/// A receiver that has answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// At which speed, in baud.
    pub baud: u32,
    /// What it says of itself.
    pub info: Info,
}

/// One conversation with a port.
#[derive(Debug)]
pub struct Probe {
    /// Questions still to be asked, the next one last.
    attempts: Vec<Attempt>,
    now: Option<Attempt>,
    stage: Stage,
    baud: u32,
    /// When something was sent last.
    spoken: Option<Instant>,
    input: Vec<u8>,
    /// When it was asked, or something came after that.
    heard: Option<Instant>,
    /// The line has been quiet for a while since it was asked.
    paused: bool,
    /// What is left of [`TRAFFIC`].
    traffic: Duration,
    /// Speeds at which somebody talked without end while an Amber was asked.
    talking: Vec<u32>,
    found: Option<Found>,
    /// How many times longer than real devices need.
    patience: u32,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    sign: Sign,
    baud: u32,
    wait: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// A quiet line at the right speed.
    Settling(Instant),
    /// An answer, to the second question if `second`; `usual` is what it takes at most on a quiet line.
    Asked { usual: Instant, until: Instant, second: bool },
    /// The end of what was said.
    Leaving(Instant),
    /// Nothing: it is over.
    Over,
}

impl Probe {
    /// To find out which of these kinds is there, if any.
    pub fn new(kinds: &[Kind]) -> Self {
        let signs = Sign::ALL.into_iter().filter(|sign| kinds.iter().any(|kind| sign.is_of(*kind)));
        let round: Vec<Attempt> = signs
            .flat_map(|sign| sign.speeds().iter().map(move |speed| (sign, *speed)))
            .map(|(sign, (baud, wait))| Attempt { sign, baud, wait: Duration::from_millis(wait) })
            .collect();
        let takes: Duration = round.iter().map(|attempt| attempt.takes()).sum();
        let rounds = MOST.as_millis().checked_div(takes.as_millis()).unwrap_or(0);
        let rounds = usize::try_from(rounds).unwrap_or(usize::MAX).clamp(1, MOST_ROUNDS as usize);
        let mut attempts = round.repeat(rounds);
        attempts.reverse();
        let baud = attempts.last().map_or(9_600, |attempt| attempt.baud);
        Self {
            attempts,
            now: None,
            stage: Stage::Over,
            baud,
            spoken: None,
            input: Vec::new(),
            heard: None,
            paused: false,
            traffic: TRAFFIC,
            talking: Vec::new(),
            found: None,
            patience: 1,
        }
    }

    /// The same for virtual receivers on machines that have other things to do.
    #[must_use]
    pub fn patient(self, times: u32) -> Self {
        let patience = times.max(1);
        Self { patience, traffic: TRAFFIC * patience, ..self }
    }

    /// The speed that the line is to have now, in baud. It changes only while nothing is on its way.
    pub fn baud(&self) -> u32 {
        self.baud
    }

    /// The port is open.
    pub fn begin(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.next(now, out);
    }

    /// Bytes from the port.
    pub fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>) {
        let (Some(attempt), Stage::Asked { usual, until, second }) = (self.now, self.stage) else { return };
        self.look_for_pause(now);
        let until = until.max((now + attempt.wait * self.patience).min(usual + self.traffic));
        self.stage = Stage::Asked { usual, until, second };
        self.input.extend_from_slice(input);
        let surplus = self.input.len().saturating_sub(KEPT);
        self.input.drain(..surplus);
        match attempt.sign.look(&self.input, second) {
            Seen::Nothing => {}
            Seen::Ask(command) => {
                self.input.clear();
                self.spoken = Some(now);
                out.push(Action::Write(command));
                self.use_up_traffic(now);
                self.listen(now, now + Sign::SECOND * self.patience, true, out);
            }
            Seen::Is(kind, info) => {
                self.found = Some(Found { kind, baud: self.baud, info });
                self.leave(now, attempt, out);
            }
        }
    }

    /// The time of the last [`Action::Wake`] has come. Harmless if called too early.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        match (self.stage, self.now) {
            (Stage::Settling(until), Some(attempt)) if now >= until => {
                self.input.clear();
                self.spoken = Some(now);
                out.push(Action::Write(attempt.sign.question()));
                self.listen(now, now + attempt.wait * self.patience, false, out);
            }
            (Stage::Asked { until, .. }, Some(attempt)) if now >= until => {
                self.look_for_pause(now);
                if attempt.sign == Sign::Amber && !self.paused {
                    self.talking.push(attempt.baud);
                }
                self.leave(now, attempt, out);
            }
            (Stage::Leaving(until), _) if now >= until => self.next(now, out),
            // Too early, perhaps because it is to wait longer than it was when the time was asked for.
            (stage, _) => self.wait(stage, out),
        }
    }

    /// Who answered, once it is over; `Some(None)` if nobody did.
    pub fn outcome(&self) -> Option<Option<Found>> {
        matches!(self.stage, Stage::Over).then_some(self.found)
    }

    /// What is to be said if nothing more is asked.
    pub fn farewell(&self) -> Option<CommandBytes> {
        let asked = matches!(self.stage, Stage::Asked { .. });
        self.now.filter(|_| asked).and_then(|attempt| attempt.sign.farewell())
    }

    fn listen(&mut self, now: Instant, until: Instant, second: bool, out: &mut Vec<Action>) {
        (self.heard, self.paused) = (None, false);
        self.look_for_pause(now);
        self.wait(Stage::Asked { usual: until, until, second }, out);
    }

    fn look_for_pause(&mut self, now: Instant) {
        let since = self.heard.replace(now);
        self.paused |= since.is_some_and(|since| now >= since + PAUSE * self.patience);
    }

    fn use_up_traffic(&mut self, now: Instant) {
        if let Stage::Asked { usual, .. } = self.stage {
            self.traffic = self.traffic.saturating_sub(now.saturating_duration_since(usual));
        }
    }

    fn leave(&mut self, now: Instant, attempt: Attempt, out: &mut Vec<Action>) {
        self.use_up_traffic(now);
        match attempt.sign.farewell() {
            Some(farewell) => {
                self.spoken = Some(now);
                out.push(Action::Write(farewell));
                self.wait(Stage::Leaving(now + DRAIN), out);
            }
            None => self.next(now, out),
        }
    }

    /// The next question, unless somebody has answered or there is none.
    fn next(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Self { attempts, talking, .. } = self;
        let may_be_said = |attempt: &Attempt| attempt.sign == Sign::Amber || !talking.contains(&attempt.baud);
        let next = std::iter::from_fn(|| attempts.pop()).find(may_be_said);
        self.now = next.filter(|_| self.found.is_none());
        let Some(attempt) = self.now else {
            self.stage = Stage::Over;
            return;
        };
        self.baud = attempt.baud;
        let quiet = self.spoken.map_or(now, |spoken| spoken + attempt.sign.quiet_before());
        self.wait(Stage::Settling(quiet.max(now + SETTLE)), out);
    }

    fn wait(&mut self, stage: Stage, out: &mut Vec<Action>) {
        self.stage = stage;
        if let Stage::Settling(until) | Stage::Asked { until, .. } | Stage::Leaving(until) = stage {
            out.push(Action::Wake(until));
        }
    }
}

impl Attempt {
    /// As long as it takes when nobody answers.
    fn takes(&self) -> Duration {
        let farewell = if self.sign.farewell().is_some() { DRAIN } else { Duration::ZERO };
        SETTLE.max(self.sign.quiet_before()) + self.wait + farewell
    }
}

#[cfg(test)]
mod tests;
