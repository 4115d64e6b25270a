//! CUL, nanoCUL and everyCUL: sticks with culfw, a-culfw or every-culfw. Facts from culfw's command reference and sources.
//!
//! Set up: which version, what to report (`X21`: telegrams with their signal strength), which mode. In this order, since
//! a-culfw may end wM-Bus reception when it is told what to report. Nothing of it is kept over a reboot, and opening the
//! port reboots those that are an Arduino.
//!
//! In service it is asked for its mode (`br` without a letter changes nothing), and in the same breath for its version, in
//! case that a firmware does not answer the first.

mod line;

use std::time::Duration;

use super::{
    CommandBytes, Fault, Firmware, Info, LinkCrcs, LinkMode, Listen,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Patience, Protocol, Question, Telegram, rssi_dbm},
};
use line::Message;

/// What it is called.
pub(super) const MODEL: &str = "CUL";

/// A line end in front: what an earlier program left unfinished is not to spoil the command.
const VERSION: &[u8] = b"\r\nV\r\n";
/// Report telegrams (1) and their signal strength (20).
const REPORT: &[u8] = b"X21\r\n";
const CHECK: &[u8] = b"br\r\nV\r\n";

/// The state machine of one CUL.
#[derive(Debug)]
pub struct Cul {
    baud: u32,
    machine: Machine<Talk>,
}

impl Cul {
    /// A stick to be set up for `listen`, its line at `baud`: usually 38400. It cannot tell S1 from S1-m, nor listen for one
    /// frame format of C1 only; with C1 it hears T1, too.
    pub fn new(listen: Listen, baud: u32) -> Self {
        let mode = match listen {
            Listen::S1 | Listen::S1m => Mode::S,
            Listen::T1 => Mode::T,
            Listen::C1FormatA | Listen::C1FormatB | Listen::C1AndT1 => Mode::C,
        };
        let info = Info { model: MODEL, firmware: None, serial: None };
        Self { baud, machine: Machine::new(Talk { mode, info }) }
    }
}

dongle!(Cul, |stick| stick.baud);

#[derive(Debug)]
struct Talk {
    mode: Mode,
    info: Info,
}

/// What the firmware listens for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    S,
    T,
    /// C1 in both formats and, because the signals are so alike, T1.
    C,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Identify,
    Report,
    Listen,
    Check,
}

impl Framing for Talk {
    type Message<'a> = Message<'a>;

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        line::look(bytes)
    }
}

impl Protocol for Talk {
    type Step = Step;

    /// It answers at once, or boots for two seconds.
    const PROBING: Patience = Patience { times: 5, wait: Duration::from_millis(600) };

    fn first(&self) -> Step {
        Step::Identify
    }

    fn question(&mut self, step: Step) -> Question<Step> {
        match step {
            Step::Identify => Question::Ask(command(VERSION)),
            Step::Report => Question::Tell(command(REPORT), Answer::Next(Step::Listen)),
            Step::Listen => Question::Ask(command(self.mode.command())),
            Step::Check => Question::Ask(command(CHECK)),
        }
    }

    fn hear(&mut self, message: &Message<'_>) -> Heard {
        let Message::Telegram { bytes, crcs, rssi } = message else { return Heard::Other };
        let link_mode = match (self.mode, crcs) {
            (Mode::S, _) => Some(LinkMode::S1),
            (Mode::T, _) => Some(LinkMode::T1),
            (Mode::C, LinkCrcs::FormatB) => Some(LinkMode::C1),
            (Mode::C, _) => None,
        };
        Heard::Telegram(Telegram {
            bytes: bytes.clone(),
            crcs: *crcs,
            link_mode,
            rssi_dbm: rssi.map(rssi_dbm),
            doubtful: rssi.is_none(),
        })
    }

    fn answer(&mut self, step: Step, message: Message<'_>) -> Answer<Step> {
        let Message::Text(text) = message else { return Answer::None };
        match step {
            Step::Identify if is_version(text) => {
                self.info.firmware = Some(Firmware::new(String::from_utf8_lossy(text)));
                Answer::Next(Step::Report)
            }
            Step::Listen if text == self.mode.answer() => Answer::Done,
            // A firmware without this mode switches off; one without wM-Bus does not know the command.
            Step::Listen if text == b"OFF" || self.mode.is_unknown(text) => {
                Answer::Refused(Fault::NoSuchMode)
            }
            Step::Listen if Mode::is_answer(text) => Answer::Unlike,
            Step::Check if text == self.mode.answer() => Answer::Done,
            Step::Check if Mode::is_answer(text) => Answer::Unlike,
            Step::Check if is_version(text) => Answer::Done,
            _ => Answer::None,
        }
    }

    fn inquiry(&self) -> Option<Step> {
        Some(Step::Check)
    }

    fn info(&self) -> Info {
        self.info
    }
}

impl Mode {
    fn command(self) -> &'static [u8] {
        match self {
            Self::S => b"brs\r\n",
            Self::T => b"brt\r\n",
            Self::C => b"brc\r\n",
        }
    }

    fn answer(self) -> &'static [u8] {
        match self {
            Self::S => b"SMODE",
            Self::T => b"TMODE",
            Self::C => b"CMODE",
        }
    }

    /// Whether this says what it listens for, whatever it is.
    fn is_answer(text: &[u8]) -> bool {
        text == b"OFF" || [Self::S, Self::T, Self::C].iter().any(|mode| text == mode.answer())
    }

    /// Whether this says that the command is unknown.
    fn is_unknown(self, text: &[u8]) -> bool {
        text.strip_prefix(b"? (")
            .and_then(|text| text.strip_prefix(self.command().trim_ascii_end()))
            .is_some_and(|text| text.starts_with(b" is unknown"))
    }
}

/// The question that shows whether one is there; it changes nothing.
pub(super) fn who_is_it() -> CommandBytes {
    command(VERSION)
}

/// What it is, if an answer to that question is one of these lines.
pub(super) fn who(bytes: &[u8]) -> Option<Info> {
    let (lines, _unfinished) = bytes.split_at(bytes.iter().rposition(|&byte| byte == b'\n')?);
    let version = lines.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).find(|line| is_version(line))?;
    let firmware = Some(Firmware::new(String::from_utf8_lossy(version)));
    Some(Info { model: MODEL, firmware, serial: None })
}

/// Whether this names a version of one of the firmwares: `V 1.67 nanoCUL868`.
fn is_version(text: &[u8]) -> bool {
    text.starts_with(b"V ") && text.windows(3).any(|name| name.eq_ignore_ascii_case(b"CUL"))
}

/// All of them are shorter than the room for commands.
fn command(text: &[u8]) -> CommandBytes {
    CommandBytes::try_from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
