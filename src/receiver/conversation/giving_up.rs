//! What to do when asking has not helped.

use std::time::Instant;

use super::{BETWEEN_RESETS, Conversation, Phase, REST, Start};
use crate::receiver::{Action, Fault, protocol::Protocol};

const OPENINGS_UNTIL_STUCK: u8 = 3;

impl<S: Copy> Conversation<S> {
    pub(super) fn unanswered<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if !self.may_reset(now) {
            self.phase = Phase::Resting;
            self.deadline = Some(now + REST);
            return;
        }
        if matches!(self.phase, Phase::Serving(_) | Phase::Starting(Start { before: Some(_), .. })) {
            self.reset(now, Fault::StoppedAnswering, out);
        } else if !self.restart(dongle, now, out) {
            self.unanswered = self.unanswered.saturating_add(1);
            let stuck = self.unanswered >= OPENINGS_UNTIL_STUCK;
            self.reset(now, if stuck { Fault::Stuck } else { Fault::NoAnswer }, out);
        }
    }

    pub(super) fn deaf<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        // Its service may have begun anew meanwhile, the silence has not.
        let silence = self.silence.since.map(|since| now.saturating_duration_since(since));
        let minutes = silence.unwrap_or_default().as_secs() / 60;
        self.counters.deaf = Some(minutes);
        if !self.silence.reopened || !self.restart(dongle, now, out) {
            self.silence.reopened = true;
            self.reset(now, Fault::Deaf { minutes }, out);
        }
    }

    /// Tells it to restart, and sets it up once it has. `false` if that was done already in this silence, if it has no such
    /// command, or if what is at the other end may be something else.
    fn restart<P: Protocol<Step = S>>(&mut self, dongle: &P, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(command) = dongle.reset().filter(|_| self.familiar && !self.silence.restarted) else {
            return false;
        };
        self.silence.restarted = true;
        self.counters.restarts += 1;
        self.last_reset = Some(now);
        self.quiet.interrupted();
        out.push(Action::Write(command));
        self.phase = Phase::Resting;
        self.deadline = Some(now + P::BOOT);
        true
    }

    /// Asking again would not change the answer: not before the next reset is allowed.
    pub(super) fn refuse(&mut self, now: Instant, fault: Fault, out: &mut Vec<Action>) {
        match self.last_reset.map(|last| last + BETWEEN_RESETS) {
            Some(allowed) if now < allowed => {
                self.phase = Phase::Resting;
                self.deadline = Some(allowed);
            }
            _ => self.reset(now, fault, out),
        }
    }

    pub(super) fn may_reset(&self, now: Instant) -> bool {
        self.last_reset.is_none_or(|last| now >= last + BETWEEN_RESETS)
    }

    fn reset(&mut self, now: Instant, fault: Fault, out: &mut Vec<Action>) {
        self.last_reset = Some(now);
        self.phase = Phase::Closed;
        self.deadline = None;
        out.push(Action::Reopen(fault));
    }
}
