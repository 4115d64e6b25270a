//! What is said to an iM871A and when; see the parent module for the plan.

use std::time::{Duration, Instant};

use super::{
    hci::{self, Message},
    settings::Settings,
};
use crate::receiver::{
    Action, CommandBytes, Counters, Fault, FrameBytes, Info, Listen, RawFrame, quiet::Quiet,
};

const PING: u8 = 0x01;
const PING_REPLY: u8 = 0x02;
const SET_CONFIG_REPLY: u8 = 0x04;
const GET_CONFIG: u8 = 0x05;
const GET_CONFIG_REPLY: u8 = 0x06;
const DEVICE_INFO: u8 = 0x0F;
const DEVICE_INFO_REPLY: u8 = 0x10;
const TELEGRAM: u8 = 0x03;

const IM871A: u8 = 0x33;
/// The first firmware that hears C1 and T1 at once (1.4).
const FIRST_WITH_C_AND_T: u8 = 0x14;
/// C, M and A field: no telegram is shorter.
const SHORTEST_TELEGRAM: usize = 9;

/// How often a question is asked, and how long each time its answer is waited for: of a dongle just opened, and of one in
/// service, whose telegrams may be in the way.
const PROBING: (u8, Duration) = (3, Duration::from_millis(500));
const IN_SERVICE: (u8, Duration) = (2, Duration::from_secs(2));
/// Between two rounds of questions to a dongle that may still be booting.
const REST: Duration = Duration::from_secs(1);
/// No two resets, and no two doubts about its settings, come closer than this.
const BETWEEN_RESETS: Duration = Duration::from_secs(60);
const OPENINGS_UNTIL_STUCK: u8 = 3;

#[derive(Debug)]
pub(super) struct Conversation {
    listen: Listen,
    wanted: Settings,
    phase: Phase,
    /// When [`Self::tick`] has something to do at the earliest; `None` while the port is closed.
    deadline: Option<Instant>,
    quiet: Quiet,
    counters: Counters,
    last_reset: Option<Instant>,
    /// Resets in a row that led to no answer.
    unanswered: u8,
    was_ready: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Waits for the port.
    Closed,
    /// Being set up.
    Starting(Start),
    /// Did not start; tried again at the deadline.
    Resting,
    /// Set up, receives.
    Serving(Service),
}

#[derive(Clone, Copy, Debug)]
struct Start {
    step: Step,
    /// Its service until now, if it is set up again over the open port.
    before: Option<Service>,
    asked: u8,
    /// Settings came that were not as wanted. They may be a late answer to an earlier question.
    unlike: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ping,
    Identify,
    /// Read before anything is changed: a dongle whose settings cannot be read is left alone.
    Read(Info),
    Set(Info),
    Verify(Info),
}

#[derive(Clone, Copy, Debug)]
struct Service {
    /// The last telegram or, if none came yet, the beginning of service.
    heard: Instant,
    /// When it last said that it has its settings.
    checked: Instant,
    /// How often silence was answered by setting it up again, since the last telegram.
    set_up_again: u32,
    /// How often the open question was asked; 0 if none is open.
    asked: u8,
}

impl Conversation {
    pub(super) fn new(listen: Listen) -> Self {
        Self {
            listen,
            wanted: Settings::to_listen(listen),
            phase: Phase::Closed,
            deadline: None,
            quiet: Quiet::new(),
            counters: Counters::default(),
            last_reset: None,
            unanswered: 0,
            was_ready: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.quiet.interrupted();
        if self.was_ready {
            self.counters.restarts += 1;
        }
        self.begin(now, Step::Ping, None, out);
    }

    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Resting => self.begin(now, Step::Ping, None, out),
            Phase::Starting(start) if start.asked < start.patience().0 => self.ask(now, start, out),
            Phase::Starting(start) if start.unlike => self.refuse(now, Fault::SettingsRefused, out),
            Phase::Starting(_) => self.unanswered(now, out),
            Phase::Serving(service) => self.watch(now, service, out),
        }
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        heard_at: Instant,
        message: Message<'_>,
        out: &mut Vec<Action>,
    ) {
        match (self.phase, message.endpoint, message.id) {
            (Phase::Closed, ..) => {}
            (_, hci::RADIO, TELEGRAM) => self.telegram(now, heard_at, message, out),
            (Phase::Starting(start), hci::DEVICE, id) => self.started(now, start, id, message.payload, out),
            (Phase::Serving(service), hci::DEVICE, GET_CONFIG_REPLY) => {
                self.checked(now, service, Settings::parse(message.payload), out);
            }
            _ => {}
        }
    }

    // Setting up

    fn begin(&mut self, now: Instant, step: Step, before: Option<Service>, out: &mut Vec<Action>) {
        self.ask(now, Start { step, before, asked: 0, unlike: false }, out);
    }

    fn ask(&mut self, now: Instant, mut start: Start, out: &mut Vec<Action>) {
        out.push(Action::Write(start.step.question(self.wanted)));
        start.asked += 1;
        self.deadline = Some(now + start.patience().1);
        self.phase = Phase::Starting(start);
    }

    /// A reply while setting up. One that does not answer the open question is late or repeated, and ignored.
    fn started(&mut self, now: Instant, start: Start, id: u8, payload: &[u8], out: &mut Vec<Action>) {
        match (start.step, id) {
            (Step::Ping, PING_REPLY) => self.begin(now, Step::Identify, start.before, out),
            (Step::Identify, DEVICE_INFO_REPLY) => match self.identify(payload) {
                Some(Ok(info)) => self.begin(now, Step::Read(info), start.before, out),
                Some(Err(fault)) => self.refuse(now, fault, out),
                None => {}
            },
            (Step::Read(info), GET_CONFIG_REPLY) => match Settings::parse(payload) {
                Some(_) => self.begin(now, Step::Set(info), start.before, out),
                None => self.phase = Phase::Starting(Start { unlike: true, ..start }),
            },
            (Step::Set(info), SET_CONFIG_REPLY) => self.begin(now, Step::Verify(info), start.before, out),
            (Step::Verify(info), GET_CONFIG_REPLY) => {
                if Settings::parse(payload) == Some(self.wanted) {
                    self.ready(now, info, start.before, out);
                } else {
                    self.phase = Phase::Starting(Start { unlike: true, ..start });
                }
            }
            _ => {}
        }
    }

    /// `None` if the reply is too short to say anything.
    fn identify(&self, payload: &[u8]) -> Option<Result<Info, Fault>> {
        let [module_type, _mode, firmware, _hci, serial @ ..] = *payload.first_chunk::<8>()?;
        let numbers = (firmware >> 4, firmware & 0x0F);
        Some(if module_type != IM871A {
            Err(Fault::WrongModule { module_type })
        } else if self.listen == Listen::C1AndT1 && firmware < FIRST_WITH_C_AND_T {
            Err(Fault::FirmwareTooOld { firmware: numbers })
        } else {
            Ok(Info { model: "iM871A", firmware: numbers, serial: u32::from_le_bytes(serial) })
        })
    }

    fn ready(&mut self, now: Instant, info: Info, before: Option<Service>, out: &mut Vec<Action>) {
        self.was_ready = true;
        self.unanswered = 0;
        let (heard, set_up_again) = before.map_or((now, 0), |before| (before.heard, before.set_up_again));
        let service = Service { heard, checked: now, set_up_again, asked: 0 };
        self.serve(now, service);
        out.push(Action::Ready(info));
    }

    // In service

    fn serve(&mut self, now: Instant, service: Service) {
        let next = (service.heard.max(service.checked) + self.quiet.ask_after())
            .min(service.heard + self.patience_with_silence(service))
            .min(service.heard + self.quiet.deaf_after());
        // Whatever was just done about an overdue silence, the next look has time until then.
        self.deadline = Some(next.max(now + REST));
        self.phase = Phase::Serving(service);
    }

    /// Twice as long after each time it was of no use.
    fn patience_with_silence(&self, service: Service) -> Duration {
        self.quiet.set_up_after().saturating_mul(1 << service.set_up_again.min(10))
    }

    fn watch(&mut self, now: Instant, service: Service, out: &mut Vec<Action>) {
        let silence = now.saturating_duration_since(service.heard);
        let unproven = now.saturating_duration_since(service.heard.max(service.checked));
        if service.asked >= IN_SERVICE.0 && self.may_reset(now) {
            self.unanswered(now, out);
        } else if service.asked > 0 {
            self.inquire(now, service, out);
        } else if silence >= self.quiet.deaf_after() && self.may_reset(now) {
            self.reset(now, Fault::Deaf { hours: silence.as_secs() / 3600 }, out);
        } else if silence >= self.patience_with_silence(service) {
            let before = Service { set_up_again: service.set_up_again + 1, ..service };
            self.set_up_again(now, before, out);
        } else if unproven >= self.quiet.ask_after() {
            self.inquire(now, service, out);
        } else {
            self.serve(now, service);
        }
    }

    /// Asks for the settings rather than for a sign of life: the answer is both.
    fn inquire(&mut self, now: Instant, mut service: Service, out: &mut Vec<Action>) {
        out.push(Action::Write(hci::request(GET_CONFIG, &[])));
        service.asked = service.asked.saturating_add(1);
        self.deadline = Some(now + IN_SERVICE.1);
        self.phase = Phase::Serving(service);
    }

    fn checked(&mut self, now: Instant, service: Service, settings: Option<Settings>, out: &mut Vec<Action>) {
        if settings == Some(self.wanted) {
            self.serve(now, Service { checked: now, asked: 0, ..service });
        } else {
            self.quiet.interrupted();
            self.set_up_again(now, service, out);
        }
    }

    fn set_up_again(&mut self, now: Instant, before: Service, out: &mut Vec<Action>) {
        self.counters.restarts += 1;
        self.begin(now, Step::Ping, Some(before), out);
    }

    fn telegram(&mut self, now: Instant, heard_at: Instant, message: Message<'_>, out: &mut Vec<Action>) {
        let length = u8::try_from(message.payload.len()).ok();
        let bytes = length
            .filter(|_| message.payload.len() >= SHORTEST_TELEGRAM)
            .and_then(|length| FrameBytes::with_length(length, message.payload).ok());
        let Some(bytes) = bytes else {
            self.counters.short_frames += 1;
            return;
        };
        self.counters.frames += 1;
        self.counters.last_heard = Some(heard_at);
        self.quiet.heard(heard_at);
        let rssi_dbm = message.rssi.map(hci::rssi_dbm);
        let mut link_mode = None;
        match &mut self.phase {
            Phase::Serving(service) => {
                link_mode = self.listen.only_mode();
                *service = Service { heard: heard_at, set_up_again: 0, ..*service };
            }
            Phase::Starting(Start { before: Some(service), .. }) => {
                *service = Service { heard: heard_at, set_up_again: 0, ..*service };
            }
            _ => {}
        }
        out.push(Action::Heard(RawFrame { bytes, link_mode, rssi_dbm, heard_at }));
        self.doubt(now, message, out);
    }

    /// What is attached to a telegram shows that the dongle forgot its settings: it has rebooted.
    fn doubt(&mut self, now: Instant, message: Message<'_>, out: &mut Vec<Action>) {
        if let Phase::Serving(service) = self.phase
            && (message.timestamped || message.rssi.is_none())
            && service.asked == 0
            && now.saturating_duration_since(service.checked) >= BETWEEN_RESETS
        {
            self.inquire(now, service, out);
        }
    }

    // Giving up

    fn unanswered(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !self.may_reset(now) {
            self.phase = Phase::Resting;
            self.deadline = Some(now + REST);
            return;
        }
        let fault = match self.phase {
            Phase::Serving(_) | Phase::Starting(Start { before: Some(_), .. }) => Fault::StoppedAnswering,
            _ => {
                self.unanswered = self.unanswered.saturating_add(1);
                if self.unanswered < OPENINGS_UNTIL_STUCK { Fault::NoAnswer } else { Fault::Stuck }
            }
        };
        self.reset(now, fault, out);
    }

    /// Asking again would not change the answer: not before the next reset is allowed.
    fn refuse(&mut self, now: Instant, fault: Fault, out: &mut Vec<Action>) {
        match self.last_reset.map(|last| last + BETWEEN_RESETS) {
            Some(allowed) if now < allowed => {
                self.phase = Phase::Resting;
                self.deadline = Some(allowed);
            }
            _ => self.reset(now, fault, out),
        }
    }

    fn may_reset(&self, now: Instant) -> bool {
        self.last_reset.is_none_or(|last| now >= last + BETWEEN_RESETS)
    }

    fn reset(&mut self, now: Instant, fault: Fault, out: &mut Vec<Action>) {
        self.last_reset = Some(now);
        self.phase = Phase::Closed;
        self.deadline = None;
        out.push(Action::Reopen(fault));
    }
}

impl Start {
    /// How often to ask, and how long to wait each time.
    fn patience(&self) -> (u8, Duration) {
        if self.before.is_some() { IN_SERVICE } else { PROBING }
    }
}

impl Step {
    fn question(self, wanted: Settings) -> CommandBytes {
        match self {
            Self::Ping => hci::request(PING, &[]),
            Self::Identify => hci::request(DEVICE_INFO, &[]),
            Self::Read(_) | Self::Verify(_) => hci::request(GET_CONFIG, &[]),
            Self::Set(_) => wanted.request(),
        }
    }
}
