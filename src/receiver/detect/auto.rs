//! A receiver of unknown kind: asks first who is there, each time it may be another one, and is then that kind.
//!
//! A USB device with a serial number of its own that has answered once is not asked again when it is plugged in again.
//!
//! One that falls silent is first treated as its own kind treats it; only when that gives up for want of any answer, or the
//! port has gone away meanwhile, is it asked again who it is.

use std::time::{Duration, Instant};

use super::{Found, Kind, Probe, Usb};
use crate::receiver::{Action, CommandBytes, Counters, Dongle, Fault};

/// Until a port where nobody answered is asked again: at first soon, since a dongle may still be starting. One where nobody
/// ever answered is then left alone until another device is plugged in: it may be something that is disturbed by questions.
const WAITS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(120), Duration::from_secs(300), Duration::from_secs(900)];

/// Between two looks at the clock when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// What may be at the port now, or why nothing is to be asked there; looked at before each opening and each question.
pub type Look = Box<dyn Fn() -> Result<Candidates, Fault> + Send + Sync>;

/// What may be at a port.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Candidates {
    /// It is one of these.
    pub kinds: Vec<Kind>,
    /// The USB device, if it has a serial number that no other has.
    pub device: Option<Usb>,
}

/// Makes the driver of a receiver that was found; `None` if there is none that fits the configuration.
pub type Make = Box<dyn Fn(&Found) -> Option<Box<dyn Dongle>> + Send + Sync>;

/// The state machine of a receiver of unknown kind.
pub struct Auto {
    look: Look,
    make: Make,
    state: State,
    /// The USB device that is known to be what it is driven as.
    device: Option<Usb>,
    /// Who was there last, and its driver.
    known: Option<(Found, Box<dyn Dongle>)>,
    /// What drivers counted that are no longer in use.
    before: Counters,
    /// How often nobody answered, since somebody did.
    unanswered: usize,
    /// Somebody has answered, and has not gone away since.
    answered: bool,
    /// What its driver wants to be said before the port is closed, as it wants.
    farewell: Option<CommandBytes>,
    /// The actions of one call, before they are handed on.
    actions: Vec<Action>,
    silent_after: Option<Duration>,
    patience: u32,
}

enum State {
    /// Not open, and if it was closed by ourselves, it is the same device that will be opened.
    Closed { same: bool },
    /// Being asked.
    Probing(Box<Probe>),
    /// Nobody answered, and the port was closed and opened once for that; asked again then, if at all.
    Resting(Option<Instant>),
    /// Known.
    Driving,
}

impl std::fmt::Debug for Auto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auto")
            .field("known", &self.known.as_ref().map(|(found, _)| found))
            .finish_non_exhaustive()
    }
}

impl Auto {
    /// For a port of which `look` says what may be there; `make` makes their drivers.
    pub fn new(look: Look, make: Make) -> Self {
        Self {
            look,
            make,
            state: State::Closed { same: false },
            device: None,
            known: None,
            before: Counters::default(),
            unanswered: 0,
            answered: false,
            farewell: None,
            actions: Vec::new(),
            silent_after: None,
            patience: 1,
        }
    }

    /// The same for virtual receivers on machines that have other things to do.
    #[must_use]
    pub fn patient(self, times: u32) -> Self {
        Self { patience: times, ..self }
    }

    fn probe(&mut self, candidates: Candidates, now: Instant, out: &mut Vec<Action>) {
        let mut probe = Probe::new(&candidates.kinds).patient(self.patience);
        probe.begin(now, out);
        self.state = State::Probing(Box::new(probe));
        self.device = candidates.device;
        self.probed(now, out);
    }

    /// Whether the probe has come to an end.
    fn probed(&mut self, now: Instant, out: &mut Vec<Action>) {
        let State::Probing(probe) = &self.state else { return };
        match probe.outcome() {
            None => {}
            Some(None) => {
                self.forget();
                self.fail(Fault::NobodyAnswers, now, out);
            }
            Some(Some(found)) => self.drive(found, now, out),
        }
    }

    fn fail(&mut self, fault: Fault, now: Instant, out: &mut Vec<Action>) {
        let wait = WAITS.get(self.unanswered.saturating_sub(1));
        let wait = wait.or_else(|| WAITS.last().filter(|_| self.answered));
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered == 1 {
            // So that it is told. Asked once more at once, since opening the port may have let it reboot.
            self.state = State::Closed { same: false };
            out.push(Action::Reopen(fault));
        } else {
            self.rest(wait.map(|wait| now + *wait), now, out);
        }
    }

    fn rest(&mut self, until: Option<Instant>, now: Instant, out: &mut Vec<Action>) {
        self.state = State::Resting(until);
        out.push(Action::Wake(until.unwrap_or(now + IDLE)));
    }

    /// Nothing is to be asked, nor the port to be kept open.
    fn leave_alone(&mut self, fault: Fault, out: &mut Vec<Action>) {
        self.state = State::Closed { same: false };
        out.push(Action::Reopen(fault));
    }

    fn drive(&mut self, found: Found, now: Instant, out: &mut Vec<Action>) {
        let same = self.known.as_ref().is_some_and(|(known, _)| {
            (known.kind, known.baud, known.info.serial) == (found.kind, found.baud, found.info.serial)
        });
        if !same {
            self.forget();
            match (self.make)(&found) {
                Some(mut driver) => {
                    if let Some(limit) = self.silent_after {
                        driver.silent_after(limit);
                    }
                    self.known = Some((found, driver));
                }
                None => return self.fail(Fault::WrongKind { is: found.kind.name() }, now, out),
            }
        }
        (self.unanswered, self.answered) = (0, true);
        self.state = State::Driving;
        self.with_driver(out, |driver, out| driver.opened(now, out));
    }

    /// Lets the driver work, and looks at what it wants.
    fn with_driver(&mut self, out: &mut Vec<Action>, work: impl FnOnce(&mut dyn Dongle, &mut Vec<Action>)) {
        let Some((_, driver)) = &mut self.known else { return };
        let mut actions = std::mem::take(&mut self.actions);
        work(&mut **driver, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Reopen(fault) => {
                    let other = matches!(
                        fault,
                        Fault::NoAnswer | Fault::Stuck | Fault::WrongModule { .. } | Fault::WrongKind { .. }
                    );
                    if other {
                        self.device = None;
                    }
                    self.state = State::Closed { same: !other };
                    self.farewell = self.known.as_mut().and_then(|(_, driver)| driver.farewell());
                    out.push(Action::Reopen(fault));
                }
                action => out.push(action),
            }
        }
        self.actions = actions;
    }

    fn forget(&mut self) {
        if let Some((_, driver)) = self.known.take() {
            self.before = joined(self.before, driver.counters());
        }
    }

    /// Whether nobody else can be there but who was.
    fn is_known(&self, candidates: &Candidates) -> bool {
        let Some((known, _)) = &self.known else { return false };
        candidates.kinds == [known.kind] || (self.device.is_some() && self.device == candidates.device)
    }
}

impl Dongle for Auto {
    fn baud(&self) -> u32 {
        match (&self.state, &self.known) {
            (State::Probing(probe), _) => probe.baud(),
            (_, Some((_, driver))) => driver.baud(),
            // It is set before anything is said.
            _ => 9_600,
        }
    }

    fn silent_after(&mut self, limit: Duration) {
        self.silent_after = Some(limit);
        if let Some((_, driver)) = &mut self.known {
            driver.silent_after(limit);
        }
    }

    fn may_open(&mut self) -> Result<(), Fault> {
        (self.look)().map(|_| ())
    }

    fn maybe_another(&mut self) {
        (self.unanswered, self.answered) = (0, false);
        if matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { same: false };
        }
        if let Some((_, driver)) = &mut self.known {
            driver.maybe_another();
        }
    }

    fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        let same = matches!(self.state, State::Closed { same: true }) && self.known.is_some();
        if !matches!(self.state, State::Closed { .. }) {
            // The port went away by itself: whatever is there now, it has just been plugged in.
            self.unanswered = 0;
        }
        let candidates = match (self.look)() {
            Ok(candidates) => candidates,
            Err(fault) => return self.leave_alone(fault, out),
        };
        if same || self.is_known(&candidates) {
            self.state = State::Driving;
            self.with_driver(out, |driver, out| driver.opened(now, out));
        } else {
            self.probe(candidates, now, out);
        }
    }

    fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>) {
        match &mut self.state {
            State::Driving => self.with_driver(out, |driver, out| driver.bytes(now, input, out)),
            State::Probing(probe) => {
                probe.bytes(now, input, out);
                self.probed(now, out);
            }
            State::Closed { .. } | State::Resting(_) => {}
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Driving => self.with_driver(out, |driver, out| driver.tick(now, out)),
            State::Probing(probe) => {
                probe.tick(now, out);
                self.probed(now, out);
            }
            State::Resting(Some(until)) if now >= *until => match (self.look)() {
                Ok(candidates) => self.probe(candidates, now, out),
                Err(fault) => self.leave_alone(fault, out),
            },
            State::Resting(until) => {
                let until = *until;
                self.rest(until, now, out);
            }
            State::Closed { .. } => {}
        }
    }

    fn farewell(&mut self) -> Option<CommandBytes> {
        match (&self.state, &mut self.known) {
            (State::Probing(probe), _) => probe.farewell(),
            (State::Driving, Some((_, driver))) => driver.farewell(),
            _ => self.farewell.take(),
        }
    }

    fn counters(&self) -> Counters {
        match &self.known {
            Some((_, driver)) => joined(self.before, driver.counters()),
            None => self.before,
        }
    }
}

fn joined(before: Counters, now: Counters) -> Counters {
    Counters {
        frames: before.frames + now.frames,
        garbage_bytes: before.garbage_bytes + now.garbage_bytes,
        bad_checksums: before.bad_checksums + now.bad_checksums,
        short_frames: before.short_frames + now.short_frames,
        partial_frames: before.partial_frames + now.partial_frames,
        truncated: before.truncated + now.truncated,
        restarts: before.restarts + now.restarts,
        deaf: now.deaf,
        last_heard: before.last_heard.max(now.last_heard),
    }
}

#[cfg(test)]
mod tests;
