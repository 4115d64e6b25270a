//! The receivers of the configuration, each with a task of its own.

use std::time::Duration;

use messages::Time;
use messages::event::ProblemKind;
use messages::status::{Receiver as Told, ReceiverState};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{DoNotTouch, Modes, Receiver, ReceiverKind};
use crate::receiver::detect::{self, Auto, Exempt, Found, System};
use crate::receiver::port::{self, Line, Patience, State, Status};
use crate::receiver::{
    Amb3665, Amb8465, Channel, Cul, Dongle, Fault, HexTty, Im871a, Iu891a, Listen, RawFrame, RawTty, Rc1180,
};
use crate::world::{Clock, Uptime, random};

/// A fault that is over so soon is not worth telling anybody.
const PATIENCE: Duration = Duration::from_secs(10);

/// All receivers.
#[derive(Debug)]
pub(super) struct Receivers {
    telegrams: mpsc::Sender<(u8, RawFrame)>,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    number: u8,
    config: Receiver,
    /// What was not to be touched when it was started.
    exempt: Vec<Exempt>,
    name: String,
    status: watch::Receiver<Status>,
    /// Whether it works, and since when.
    works: (bool, Uptime),
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What is wrong with a receiver, if anything is.
pub(super) struct Wrong {
    /// Its name.
    pub(super) name: String,
    /// It is gone or does not answer.
    pub(super) gone: Option<String>,
    /// It hears nothing.
    pub(super) deaf: Option<String>,
}

impl Receivers {
    /// None yet; what they will hear goes to `telegrams`.
    pub(super) const fn new(telegrams: mpsc::Sender<(u8, RawFrame)>) -> Self {
        Self { telegrams, running: Vec::new() }
    }

    /// Starts those that are new and stops those that are gone; others go on undisturbed. Gives the numbers of those that
    /// are new.
    pub(super) async fn apply(
        &mut self,
        configured: &[Receiver],
        do_not_touch: &[DoNotTouch],
        clock: &Clock,
    ) -> Vec<u8> {
        let exempt = exempt(do_not_touch);
        let goes_on = |old: &Running| {
            let asks = old.config.kind == ReceiverKind::Auto;
            configured.contains(&old.config) && (!asks || old.exempt == exempt)
        };
        let mut new = Vec::new();
        let mut before = std::mem::take(&mut self.running);
        let gone: Vec<Running> = before.extract_if(.., |old| !goes_on(old)).collect();
        for old in gone {
            old.end().await;
        }
        for config in configured {
            let old = before.iter().position(|old| old.config == *config);
            let running = match old {
                Some(at) => before.swap_remove(at),
                None => {
                    let taken =
                        |number| self.running.iter().chain(&before).any(|other| other.number == number);
                    let number = (0..u8::MAX).find(|number| !taken(*number)).unwrap_or(u8::MAX);
                    new.push(number);
                    Running::start(number, config.clone(), exempt.clone(), self.telegrams.clone(), clock)
                }
            };
            self.running.push(running);
        }
        new
    }

    /// Stops all; what they have heard is in the channel then.
    pub(super) async fn stop(&mut self) {
        for running in std::mem::take(&mut self.running) {
            running.end().await;
        }
    }

    /// Their names, by their numbers.
    pub(super) fn names(&self) -> Vec<(u8, String)> {
        self.running.iter().map(|running| (running.number, running.name.clone())).collect()
    }

    /// How each is, for whoever asks.
    pub(super) fn told(&self, clock: &Clock, place: impl Fn(Uptime) -> Option<Time>) -> Vec<Told> {
        self.running.iter().map(|running| running.told(clock, &place)).collect()
    }

    /// What is wrong with each.
    pub(super) fn wrong(&mut self, now: Uptime) -> impl Iterator<Item = Wrong> {
        self.running.iter_mut().map(move |running| running.wrong(now))
    }

    /// Telegrams that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.running.iter().map(|running| running.status.borrow().dropped).sum()
    }
}

impl Running {
    fn start(
        number: u8,
        config: Receiver,
        exempt: Vec<Exempt>,
        telegrams: mpsc::Sender<(u8, RawFrame)>,
        clock: &Clock,
    ) -> Self {
        let name = config.path.display().to_string();
        let line =
            Line { number, name: name.clone(), path: config.path.clone(), patience: Patience::default() };
        let (sender, status) = watch::channel(Status::new());
        let stop = CancellationToken::new();
        let mut dongle = dongle(&config, &exempt);
        if let Some(limit) = config.silent_after {
            dongle.silent_after(limit);
        }
        let random = || u32::from_le_bytes(random());
        let task = tokio::spawn(port::run(line, dongle, telegrams, sender, random, stop.clone()));
        Self { number, config, exempt, name, status, works: (true, clock.uptime()), stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }

    fn wrong(&mut self, now: Uptime) -> Wrong {
        let status = self.status.borrow();
        let fault = match &status.state {
            State::Faulty(fault) => Some(fault),
            State::Starting | State::Ready(_) => None,
        };
        let works = fault.is_none();
        if self.works.0 != works {
            self.works = (works, now);
        }
        let fault = fault.filter(|_| now.since(self.works.1) >= PATIENCE);
        let gone = fault.filter(|fault| !matches!(fault, Fault::Deaf { .. })).map(ToString::to_string);
        // Opened anew it is ready at once, and as deaf as before.
        let deaf = status.counters.deaf.map(|minutes| Fault::Deaf { minutes }.to_string());
        Wrong { name: self.name.clone(), gone, deaf }
    }

    /// What is configured, or has been found out.
    fn protocol(&self, state: &State) -> &'static str {
        match (self.config.kind, state) {
            (ReceiverKind::Auto, State::Ready(info)) => {
                detect::Kind::of(info).map_or("auto", detect::Kind::word)
            }
            (kind, _) => kind.word(),
        }
    }

    fn told(&self, clock: &Clock, place: impl Fn(Uptime) -> Option<Time>) -> Told {
        let status = self.status.borrow();
        let (state, firmware) = match &status.state {
            State::Starting => (ReceiverState::Starting, None),
            State::Ready(info) => {
                (ReceiverState::Receiving, info.firmware.map(|version| version.to_string()))
            }
            State::Faulty(Fault::Deaf { .. }) => (ReceiverState::Receiving, None),
            State::Faulty(
                Fault::NotFound { .. }
                | Fault::NoPermission { .. }
                | Fault::Busy { .. }
                | Fault::NotASerialPort { .. }
                | Fault::Io { .. }
                | Fault::Gone,
            ) => (ReceiverState::Gone, None),
            // Its port is there.
            State::Faulty(_) => (ReceiverState::Mute, None),
        };
        Told {
            name: self.name.clone(),
            protocol: self.protocol(&status.state).to_owned(),
            firmware,
            state,
            since: place(self.works.1),
            frames: status.counters.frames,
            garbage: status.counters.garbage_bytes,
            heard: status.counters.last_heard.and_then(|instant| place(clock.uptime_at(instant))),
        }
    }
}

impl Wrong {
    /// The kinds of problems with their texts.
    pub(super) fn problems(&self) -> [(ProblemKind, Option<&str>); 2] {
        [(ProblemKind::ReceiverGone, self.gone.as_deref()), (ProblemKind::ReceiverDeaf, self.deaf.as_deref())]
    }
}

/// What is never to be opened, for those who look for receivers.
#[must_use]
pub fn exempt(do_not_touch: &[DoNotTouch]) -> Vec<Exempt> {
    let one = |entry: &DoNotTouch| match entry {
        DoNotTouch::Path(path) => Exempt::Path(path.clone()),
        DoNotTouch::Usb(vendor, product) => Exempt::Usb(*vendor, *product),
    };
    do_not_touch.iter().map(one).collect()
}

/// The driver for a configured receiver.
fn dongle(config: &Receiver, exempt: &[Exempt]) -> Box<dyn Dongle> {
    let (listen, channel) = listen(config.modes);
    match config.kind {
        ReceiverKind::Auto => Box::new(whoever_answers(config, exempt)),
        ReceiverKind::Im871a => Box::new(Im871a::new(listen)),
        ReceiverKind::Iu891a => Box::new(Iu891a::new(listen)),
        ReceiverKind::Amb8465 => Box::new(Amb8465::new(listen, config.baud)),
        ReceiverKind::Amb3665 => Box::new(Amb3665::new(channel, config.baud)),
        ReceiverKind::Cul => Box::new(Cul::new(listen, config.baud)),
        ReceiverKind::Rc1180 => Box::new(Rc1180::new(listen, config.baud)),
        ReceiverKind::Raw => Box::new(RawTty::new(config.baud)),
        ReceiverKind::Hex => Box::new(HexTty::new(config.baud)),
    }
}

/// The driver for a port where it shows only when it is opened who is there.
fn whoever_answers(config: &Receiver, exempt: &[Exempt]) -> Auto {
    let (path, config, exempt) = (config.path.clone(), config.clone(), exempt.to_vec());
    let look = move || detect::candidates_at(&System::here(), &path, &exempt);
    let driver = move |found: &Found| {
        let kind = ReceiverKind::of_word(found.kind.word()).filter(|kind| !kind.is_narrowband())?;
        // Of a kind that is known: nothing is asked that others might take amiss.
        Some(dongle(&Receiver { kind, baud: found.baud, ..config.clone() }, &[]))
    };
    Auto::new(Box::new(look), Box::new(driver))
}

/// What to listen for at 868 MHz, or on which channel at 169. The configuration has checked that the modes are those of the
/// receiver's band; the other one is of no interest.
const fn listen(modes: Modes) -> (Listen, Channel) {
    let at_868 = match modes {
        Modes::T => Listen::T1,
        Modes::CFormatA => Listen::C1FormatA,
        Modes::CFormatB => Listen::C1FormatB,
        Modes::S => Listen::S1,
        Modes::SM => Listen::S1m,
        Modes::CAndT | Modes::Na | Modes::Nb | Modes::Nc | Modes::Nd | Modes::Ne | Modes::Nf => {
            Listen::C1AndT1
        }
    };
    let at_169 = match modes {
        Modes::Nb => Channel::B,
        Modes::Nc => Channel::C,
        Modes::Nd => Channel::D,
        Modes::Ne => Channel::E,
        Modes::Nf => Channel::F,
        _ => Channel::A,
    };
    (at_868, at_169)
}
