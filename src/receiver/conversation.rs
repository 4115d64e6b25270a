//! What is said to a dongle and when, of whatever kind it is.
//!
//! It is set up step by step, as its [`Protocol`] says. Then telegrams come by themselves, and it is watched over (the
//! limits are learned, see `quiet.rs`). The means against one that is silent, from harmless to costly:
//!
//! 1. it is asked something: that shows that it lives and, best, that it has not lost its settings in a reboot;
//! 2. one that lost them, or is silent for long although it answers, is set up again over the open port, which loses
//!    nothing; for silence alone ever more seldom;
//! 3. one that does not answer twice, or is silent for very long, has its port opened anew;
//! 4. if that did not help, it is told to restart, where its protocol has such a command: once in a silence;
//! 5. no answer through three openings is a fault that asks for a reset of the USB port.
//!
//! No two of the last three come closer than 60 s, since dongles are known that hang after frequent resets.

mod giving_up;

use std::time::{Duration, Instant};

use super::{
    Action, Counters, Fault, RawFrame,
    protocol::{Answer, Heard, Patience, Protocol, Question, Telegram},
    quiet::Quiet,
};

/// Between two rounds of questions to a dongle that may still be booting.
const REST: Duration = Duration::from_secs(1);
/// Between two looks whether one that only talks is deaf.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// No two resets, and no two doubts about its settings, come closer than this.
const BETWEEN_RESETS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Conversation<S> {
    phase: Phase<S>,
    /// When [`Self::tick`] has something to do at the earliest; `None` while the port is closed.
    deadline: Option<Instant>,
    quiet: Quiet,
    counters: Counters,
    last_reset: Option<Instant>,
    /// Resets in a row that led to no answer.
    unanswered: u8,
    was_ready: bool,
    /// It was ready, and its port has not gone away since: it is no other device.
    familiar: bool,
    silence: Silence,
}

/// What has been done against the silence since the last telegram.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    /// When it began: with the last telegram or, if none ever came, when it was first ready.
    since: Option<Instant>,
    /// The port was opened anew because it answered and heard nothing.
    reopened: bool,
    /// It was told to restart.
    restarted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase<S> {
    /// Waits for the port.
    Closed,
    /// Being set up.
    Starting(Start<S>),
    /// Did not start, or restarts; tried again at the deadline.
    Resting,
    /// Set up, receives.
    Serving(Service<S>),
}

#[derive(Clone, Copy, Debug)]
struct Start<S> {
    step: S,
    /// Its service until now, if it is set up again over the open port.
    before: Option<Service<S>>,
    asked: u8,
    /// Settings came that were not as wanted. They may be a late answer to an earlier question.
    unlike: bool,
}

#[derive(Clone, Copy, Debug)]
struct Service<S> {
    /// The last telegram or, if none came yet, the beginning of service.
    heard: Instant,
    /// When it last said that it is well.
    checked: Instant,
    /// How often silence was answered by setting it up again, since the last telegram.
    set_up_again: u32,
    /// The open question.
    inquiry: Option<Inquiry<S>>,
}

#[derive(Clone, Copy, Debug)]
struct Inquiry<S> {
    step: S,
    asked: u8,
}

impl<S: Copy> Conversation<S> {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Closed,
            deadline: None,
            quiet: Quiet::new(),
            counters: Counters::default(),
            last_reset: None,
            unanswered: 0,
            was_ready: false,
            familiar: false,
            silence: Silence::default(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// See [`Dongle::silent_after`](super::Dongle::silent_after).
    pub(super) fn silent_after(&mut self, limit: Duration) {
        self.quiet.limit(limit);
    }

    /// See [`Dongle::maybe_another`](super::Dongle::maybe_another).
    pub(super) fn maybe_another(&mut self) {
        self.familiar = false;
    }

    pub(super) fn opened<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.quiet.interrupted();
        self.familiar &= matches!(self.phase, Phase::Closed);
        if self.was_ready {
            self.counters.restarts += 1;
        }
        self.begin(dongle, now, dongle.first(), None, out);
    }

    pub(super) fn tick<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Resting => self.begin(dongle, now, dongle.first(), None, out),
            Phase::Starting(start) if start.asked < start.patience::<P>().times => {
                self.ask(dongle, now, start, out);
            }
            Phase::Starting(start) if start.unlike => self.refuse(now, Fault::SettingsRefused, out),
            Phase::Starting(_) => self.unanswered(dongle, now, out),
            Phase::Serving(service) => self.watch(dongle, now, service, out),
        }
    }

    pub(super) fn message<'a, P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        heard_at: Instant,
        message: P::Message<'a>,
        out: &mut Vec<Action>,
    ) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match (dongle.hear(&message), self.phase) {
            (Heard::Telegram(telegram), _) => self.telegram(dongle, now, heard_at, telegram, out),
            (Heard::Short, _) => self.counters.short_frames += 1,
            (Heard::Other, Phase::Starting(start)) => {
                let answer = dongle.answer(start.step, message);
                self.started(dongle, now, start, answer, out);
            }
            (Heard::Other, Phase::Serving(Service { inquiry: Some(inquiry), .. })) => {
                let answer = dongle.answer(inquiry.step, message);
                self.told(dongle, now, answer, out);
            }
            (Heard::Other, _) => {}
        }
    }

    // Setting up

    fn begin<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        step: S,
        before: Option<Service<S>>,
        out: &mut Vec<Action>,
    ) {
        self.ask(dongle, now, Start { step, before, asked: 0, unlike: false }, out);
    }

    fn ask<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        mut start: Start<S>,
        out: &mut Vec<Action>,
    ) {
        let answer = say(dongle, start.step, out);
        start.asked += 1;
        self.deadline = Some(now + start.patience::<P>().wait);
        self.phase = Phase::Starting(start);
        if let Some(answer) = answer {
            self.started(dongle, now, start, answer, out);
        }
    }

    fn started<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        start: Start<S>,
        answer: Answer<S>,
        out: &mut Vec<Action>,
    ) {
        match answer {
            Answer::None => {}
            Answer::Next(step) => self.begin(dongle, now, step, start.before, out),
            Answer::Done => self.ready(dongle, now, start.before, out),
            Answer::Unlike => self.phase = Phase::Starting(Start { unlike: true, ..start }),
            Answer::Refused(fault) => self.refuse(now, fault, out),
        }
    }

    fn ready<P: Protocol<Step = S>>(
        &mut self,
        dongle: &P,
        now: Instant,
        before: Option<Service<S>>,
        out: &mut Vec<Action>,
    ) {
        (self.was_ready, self.familiar) = (true, true);
        self.unanswered = 0;
        self.silence.since.get_or_insert(now);
        let (heard, set_up_again) = before.map_or((now, 0), |before| (before.heard, before.set_up_again));
        self.serve(dongle, now, Service { heard, checked: now, set_up_again, inquiry: None });
        out.push(Action::Ready(dongle.info()));
    }

    // In service

    fn serve<P: Protocol<Step = S>>(&mut self, dongle: &P, now: Instant, service: Service<S>) {
        let mut next = service.heard + self.quiet.deaf_after();
        // One that cannot be asked anything cannot be set up either. What is normal there is still being learned.
        if dongle.inquiry().is_none() {
            next = next.min(now + BETWEEN_LOOKS);
        } else {
            next = next
                .min(service.heard.max(service.checked) + self.quiet.ask_after())
                .min(service.heard + self.patience_with_silence(service));
            next = P::CHECKED_EVERY.map_or(next, |every| next.min(service.checked + every));
        }
        // Whatever was just done about an overdue silence, the next look has time until then.
        self.deadline = Some(next.max(now + REST));
        self.phase = Phase::Serving(service);
    }

    /// Twice as long after each time it was of no use.
    fn patience_with_silence(&self, service: Service<S>) -> Duration {
        self.quiet.set_up_after().saturating_mul(1 << service.set_up_again.min(10))
    }

    fn watch<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        service: Service<S>,
        out: &mut Vec<Action>,
    ) {
        let silence = now.saturating_duration_since(service.heard);
        let unproven = now.saturating_duration_since(service.heard.max(service.checked));
        match (service.inquiry, dongle.inquiry()) {
            (Some(inquiry), _) if inquiry.asked >= P::IN_SERVICE.times && self.may_reset(now) => {
                self.unanswered(dongle, now, out);
            }
            (Some(inquiry), _) => self.inquire(dongle, now, service, inquiry, out),
            _ if silence >= self.quiet.deaf_after() && self.may_reset(now) => {
                self.deaf(dongle, now, out);
            }
            (None, Some(_)) if silence >= self.patience_with_silence(service) => {
                let before = Service { set_up_again: service.set_up_again + 1, ..service };
                self.set_up_again(dongle, now, before, out);
            }
            (None, Some(step)) if unproven >= self.quiet.ask_after() || service.is_old::<P>(now) => {
                self.inquire(dongle, now, service, Inquiry { step, asked: 0 }, out);
            }
            _ => self.serve(dongle, now, service),
        }
    }

    fn inquire<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        service: Service<S>,
        mut inquiry: Inquiry<S>,
        out: &mut Vec<Action>,
    ) {
        let answer = say(dongle, inquiry.step, out);
        inquiry.asked = inquiry.asked.saturating_add(1);
        self.deadline = Some(now + P::IN_SERVICE.wait);
        self.phase = Phase::Serving(Service { inquiry: Some(inquiry), ..service });
        if let Some(answer) = answer {
            self.told(dongle, now, answer, out);
        }
    }

    fn told<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        answer: Answer<S>,
        out: &mut Vec<Action>,
    ) {
        let Phase::Serving(service) = self.phase else { return };
        match answer {
            Answer::None => {}
            Answer::Next(step) => self.inquire(dongle, now, service, Inquiry { step, asked: 0 }, out),
            Answer::Done => self.serve(dongle, now, Service { checked: now, inquiry: None, ..service }),
            Answer::Unlike => {
                self.quiet.interrupted();
                self.set_up_again(dongle, now, service, out);
            }
            Answer::Refused(fault) => self.refuse(now, fault, out),
        }
    }

    fn set_up_again<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        before: Service<S>,
        out: &mut Vec<Action>,
    ) {
        self.counters.restarts += 1;
        self.begin(dongle, now, dongle.first(), Some(before), out);
    }

    fn telegram<P: Protocol<Step = S>>(
        &mut self,
        dongle: &mut P,
        now: Instant,
        heard_at: Instant,
        telegram: Telegram,
        out: &mut Vec<Action>,
    ) {
        let Telegram { bytes, crcs, mut link_mode, rssi_dbm, doubtful } = telegram;
        self.counters.frames += 1;
        (self.counters.last_heard, self.counters.deaf) = (Some(heard_at), None);
        self.quiet.heard(heard_at);
        self.silence = Silence { since: Some(heard_at), ..Silence::default() };
        match &mut self.phase {
            Phase::Serving(service) | Phase::Starting(Start { before: Some(service), .. }) => {
                (service.heard, service.set_up_again) = (heard_at, 0);
            }
            _ => {}
        }
        if !matches!(self.phase, Phase::Serving(_)) {
            // Before it is set up it may listen for anything.
            link_mode = None;
        }
        out.push(Action::Heard(RawFrame { bytes, crcs, link_mode, rssi_dbm, heard_at }));
        if let (true, Phase::Serving(service), Some(step)) = (doubtful, self.phase, dongle.inquiry())
            && service.inquiry.is_none()
            && now.saturating_duration_since(service.checked) >= BETWEEN_RESETS
        {
            self.inquire(dongle, now, service, Inquiry { step, asked: 0 }, out);
        }
    }
}

/// Sends what belongs to a step. Gives the answer if none is to come.
fn say<P: Protocol>(dongle: &mut P, step: P::Step, out: &mut Vec<Action>) -> Option<Answer<P::Step>> {
    let (command, answer) = match dongle.question(step) {
        Question::Ask(command) => (command, None),
        Question::Tell(command, answer) => (command, Some(answer)),
    };
    if !command.is_empty() {
        out.push(Action::Write(command));
    }
    answer
}

impl<S> Service<S> {
    fn is_old<P: Protocol<Step = S>>(&self, now: Instant) -> bool {
        P::CHECKED_EVERY.is_some_and(|every| now.saturating_duration_since(self.checked) >= every)
    }
}

impl<S> Start<S> {
    fn patience<P: Protocol<Step = S>>(&self) -> Patience {
        if self.before.is_some() { P::IN_SERVICE } else { P::PROBING }
    }
}
