//! Radiocrafts RC1180-MBUS3. Facts from the user manual of Radiocrafts' MBUS modules.
//!
//! Its line knows two states. *Idle*, it hands over telegrams, and takes whatever comes for one to transmit, except for 00,
//! which leads to *configuration*: there it hears nothing, and shows with a prompt that it is ready for a command. So
//!
//! * set up: enter, read the memory (what there says how telegrams come, is only read), set the mode in RAM, leave;
//! * nothing but 00 is ever sent to a module that may be idle, and it is harmless in both states. When an answer is lost, it
//!   is 00 that is sent again, and the next prompt leads to the command before;
//! * the driver always leaves the configuration, also if the module is not fit or the port is closed in the middle;
//! * the mode cannot be read back, and after a reboot it is that of the memory. So the harmless question, and now and then
//!   also asked of one that hears telegrams, is to set it again: it costs about 50 ms of listening.

mod frame;
mod memory;

use std::time::Duration;

use super::{
    CommandBytes, Fault, Firmware, Info, LinkCrcs, Listen,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Patience, Protocol, Question, Telegram},
};
use frame::{Expected, Frames, Message};
use memory::Memory;

const ENTER: u8 = 0x00;
const READ_MEMORY: u8 = b'0';
const SET_MODE: u8 = b'G';
const LEAVE: u8 = b'X';

/// After so many lost answers in one go it is given up.
const DETOURS: u8 = 3;

/// Its name.
pub(super) const MODEL: &str = "RC1180-MBUS3";

/// The state machine of one RC1180-MBUS3.
#[derive(Debug)]
pub struct Rc1180 {
    baud: u32,
    machine: Machine<Talk>,
}

impl Rc1180 {
    /// A module to be set up for `listen`, its line at `baud`: 19200 as delivered. It cannot tell S1 from S1-m, nor listen
    /// for one frame format of C1 only.
    pub fn new(listen: Listen, baud: u32) -> Self {
        let mode = match listen {
            Listen::T1 => 1,
            Listen::S1 | Listen::S1m => 3,
            Listen::C1FormatA | Listen::C1FormatB => 9,
            Listen::C1AndT1 => 10,
        };
        let info = Info { model: MODEL, firmware: None, serial: None };
        let talk =
            Talk { frames: Frames::default(), listen, mode, info, asked: false, lost: false, detours: 0 };
        Self { baud, machine: Machine::new(talk) }
    }
}

dongle!(Rc1180, |module| module.baud);

#[derive(Debug)]
struct Talk {
    frames: Frames,
    listen: Listen,
    mode: u8,
    info: Info,
    /// The open step's command was sent.
    asked: bool,
    /// Its answer was lost: the next prompt says only that the module is in configuration.
    lost: bool,
    /// Answers lost since the configuration was entered.
    detours: u8,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(Begin),
    ReadMemory,
    SetMode(Begin),
    /// The mode itself.
    Mode(Begin),
    Leave(End),
}

/// With which command a configuration begins, and begins again when an answer was lost.
#[derive(Clone, Copy, Debug)]
enum Begin {
    ReadMemory,
    SetMode,
}

/// How a configuration ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Set,
    /// A setting is not fit for receiving.
    Unfit(&'static str),
    /// It answers too little to know what it did.
    Confused,
}

impl Framing for Talk {
    type Message<'a> = Message<'a>;

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.frames.look(bytes)
    }

    fn look_at_rest<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.frames.look_at_rest(bytes)
    }

    fn forget(&mut self) {
        self.frames.forget();
    }
}

impl Protocol for Talk {
    type Step = Step;

    /// The memory takes 134 ms at 19200 baud, a telegram in front of an answer as much again.
    const PROBING: Patience = Patience { times: 3, wait: Duration::from_millis(700) };
    /// Longer than a module keeps bytes that it takes for the beginning of a telegram to transmit.
    const IN_SERVICE: Patience = Patience { times: 2, wait: Duration::from_millis(2_500) };
    const CHECKED_EVERY: Option<Duration> = Some(Duration::from_secs(3600));

    fn first(&self) -> Step {
        Step::Enter(Begin::ReadMemory)
    }

    fn question(&mut self, step: Step) -> Question<Step> {
        let again = std::mem::replace(&mut self.asked, true);
        (self.lost, self.frames.expected) = (false, Expected::Prompt);
        let command = match step {
            Step::Leave(end) => {
                self.frames.expected = Expected::Telegrams;
                return Question::Tell(command(LEAVE), end.answer());
            }
            Step::Enter(_) => {
                self.detours = 0;
                ENTER
            }
            _ if again => {
                self.lost = true;
                ENTER
            }
            Step::ReadMemory => {
                self.frames.expected = Expected::Memory;
                READ_MEMORY
            }
            Step::SetMode(_) => SET_MODE,
            Step::Mode(_) => self.mode,
        };
        Question::Ask(self::command(command))
    }

    fn hear(&mut self, message: &Message<'_>) -> Heard {
        // Before the memory was read, a telegram may or may not end with its signal strength.
        let (Message::Telegram(bytes), Some(output)) = (message, self.frames.output) else {
            return Heard::Other;
        };
        match output.telegram(bytes) {
            None => Heard::Short,
            Some((bytes, rssi)) => Heard::Telegram(Telegram {
                bytes,
                crcs: LinkCrcs::Removed,
                link_mode: self.listen.only_mode(),
                rssi_dbm: rssi.map(frame::rssi_dbm),
                doubtful: false,
            }),
        }
    }

    fn answer(&mut self, step: Step, message: Message<'_>) -> Answer<Step> {
        let next = match (step, message) {
            (Step::Enter(begin), Message::Prompt) => begin.step(),
            (Step::ReadMemory, Message::Memory(memory)) => self.read(&memory),
            (Step::ReadMemory, Message::Prompt) => self.detour(Begin::ReadMemory),
            (Step::SetMode(begin) | Step::Mode(begin), Message::Prompt) if self.lost => self.detour(begin),
            (Step::SetMode(begin), Message::Prompt) => Step::Mode(begin),
            (Step::Mode(_), Message::Prompt) => Step::Leave(End::Set),
            _ => return Answer::None,
        };
        self.asked = false;
        Answer::Next(next)
    }

    fn inquiry(&self) -> Option<Step> {
        Some(Step::Enter(Begin::SetMode))
    }

    /// Whether it is in configuration may be uncertain: 00 is right in both states, and what follows then, too.
    fn farewell(&self) -> Option<CommandBytes> {
        let asked = !matches!(self.frames.expected, Expected::Telegrams);
        asked.then(|| CommandBytes::from_iter([ENTER, LEAVE]))
    }

    fn info(&self) -> Info {
        self.info
    }
}

impl Talk {
    fn read(&mut self, memory: &Memory) -> Step {
        self.info = info(memory);
        match memory.output() {
            Ok(output) => {
                self.frames.output = Some(output);
                Step::SetMode(Begin::ReadMemory)
            }
            Err(setting) => Step::Leave(End::Unfit(setting)),
        }
    }

    fn detour(&mut self, begin: Begin) -> Step {
        self.detours += 1;
        if self.detours > DETOURS { Step::Leave(End::Confused) } else { begin.step() }
    }
}

impl Begin {
    fn step(self) -> Step {
        match self {
            Self::ReadMemory => Step::ReadMemory,
            Self::SetMode => Step::SetMode(self),
        }
    }
}

impl End {
    fn answer(self) -> Answer<Step> {
        match self {
            Self::Set => Answer::Done,
            Self::Unfit(setting) => Answer::Refused(Fault::Unfit { setting }),
            Self::Confused => Answer::Refused(Fault::SettingsRefused),
        }
    }
}

/// The question that one answers with its [prompt](prompts), and then to [tell about itself](tell_all) and to
/// [leave](farewell); nothing of it changes anything.
pub(super) fn who_is_it() -> CommandBytes {
    command(ENTER)
}

/// Whether it is in configuration, by what came last.
pub(super) fn prompts(bytes: &[u8]) -> bool {
    bytes.ends_with(b">")
}

/// What it is asked once it has answered with its prompt.
pub(super) fn tell_all() -> CommandBytes {
    command(READ_MEMORY)
}

/// What it is, if these bytes are its memory and the prompt.
pub(super) fn who(bytes: &[u8]) -> Option<Info> {
    let (memory, b">") = bytes.split_first_chunk::<256>()? else { return None };
    Some(info(&Memory(*memory)))
}

/// Leaves the configuration, in which it is deaf.
pub(super) fn farewell() -> CommandBytes {
    command(LEAVE)
}

fn info(memory: &Memory) -> Info {
    Info { model: MODEL, firmware: memory.part_number().map(Firmware::new), serial: Some(memory.id()) }
}

fn command(byte: u8) -> CommandBytes {
    CommandBytes::from_iter([byte])
}

#[cfg(test)]
mod tests;
