//! Amber (now Wuerth) AMB8465-M, AMB8665-M and Metis-II for 868 MHz, AMB3665 for 169 MHz. Facts from their manuals.
//!
//! Set up: read the memory, firmware, serial number, set the mode (volatile). How telegrams come (framed or transparent, with
//! signal strength or without) stands in the memory, which is only read: the driver takes it as it is.
//!
//! The mode cannot be read back. So in service the harmless question is to set it again, which a module that has not rebooted
//! does not notice, and that is asked now and then even if telegrams come: after a reboot it may still hear some.
//!
//! Whatever does not begin with FF is, for a module with transparent output, a telegram to transmit. Nothing here sends
//! anything else, nor one of the commands that transmit.

mod frame;
mod memory;

use std::time::Duration;

use super::{
    CommandBytes, Fault, Firmware, FrameBytes, Info, LinkCrcs, LinkMode, Listen,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Patience, Protocol, Question, SHORTEST_TELEGRAM, Telegram, rssi_dbm},
};
use frame::{Frames, Message};
use memory::{Band, Memory};

/// The names of the two families.
pub(super) const MODEL_868: &str = "AMB8465";
pub(super) const MODEL_169: &str = "AMB3665";

const SET_MODE: u8 = 0x04;
const RESTART: u8 = 0x05;
const READ_MEMORY: u8 = 0x0A;
const GET_SERIAL_NUMBER: u8 = 0x0B;
const GET_FIRMWARE: u8 = 0x0C;
/// From where, and how many bytes: more than the parts for 868 MHz have; they give what they have.
const ALL_OF_IT: [u8; 2] = [0x00, 0x80];

/// The state machine of an AMB8465-M and those that speak as it does, for 868 MHz.
#[derive(Debug)]
pub struct Amb8465 {
    baud: u32,
    machine: Machine<Talk>,
}

/// The state machine of an AMB3665, for 169 MHz.
#[derive(Debug)]
pub struct Amb3665 {
    baud: u32,
    machine: Machine<Talk>,
}

/// A channel of mode N at 169 MHz (EN 13757-4): meters on N1a are heard on N2a, and so on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "they have no other names")]
pub enum Channel {
    A,
    B,
    C,
    D,
    E,
    F,
}

impl Amb8465 {
    /// A module to be set up for `listen`, its line at `baud`: 9600 as delivered. Formats A and B of C1 cannot be
    /// told apart nor chosen.
    pub fn new(listen: Listen, baud: u32) -> Self {
        // Always the mode in which the other device, not the meter, is.
        let mode = match listen {
            Listen::S1 | Listen::S1m => 0x03,
            Listen::T1 => 0x08,
            Listen::C1AndT1 => 0x09,
            Listen::C1FormatA | Listen::C1FormatB => 0x0E,
        };
        let talk = Talk::new(Band::Mhz868, mode, listen.only_mode());
        Self { baud, machine: Machine::new(talk) }
    }
}

impl Amb3665 {
    /// A module to be set up for one channel, its line at `baud`: 9600 as delivered.
    pub fn new(channel: Channel, baud: u32) -> Self {
        let mode = match channel {
            Channel::A => 0x02,
            Channel::B => 0x04,
            Channel::C => 0x06,
            Channel::D => 0x08,
            Channel::E => 0x0A,
            Channel::F => 0x0C,
        };
        let talk = Talk::new(Band::Mhz169, mode, Some(LinkMode::N1));
        Self { baud, machine: Machine::new(talk) }
    }
}

dongle!(Amb8465, |module| module.baud);
dongle!(Amb3665, |module| module.baud);

#[derive(Debug)]
struct Talk {
    frames: Frames,
    band: Band,
    mode: u8,
    link_mode: Option<LinkMode>,
    info: Info,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    ReadMemory,
    Firmware,
    Serial,
    SetMode,
}

impl Framing for Talk {
    type Message<'a> = Message<'a>;

    const LONGEST_PAUSE: Duration = Frames::LONGEST_PAUSE;

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.frames.look(bytes)
    }

    fn forget(&mut self) {
        self.frames.forget();
    }
}

impl Protocol for Talk {
    type Step = Step;

    /// All of the memory takes 131 ms at 9600 baud, telegrams in front of it longer.
    const PROBING: Patience = Patience { times: 3, wait: Duration::from_secs(1) };
    const CHECKED_EVERY: Option<Duration> = Some(Duration::from_secs(3600));

    fn first(&self) -> Step {
        Step::ReadMemory
    }

    fn question(&mut self, step: Step) -> Question<Step> {
        Question::Ask(match step {
            Step::ReadMemory => frame::request(READ_MEMORY, &ALL_OF_IT),
            Step::Firmware => frame::request(GET_FIRMWARE, &[]),
            Step::Serial => frame::request(GET_SERIAL_NUMBER, &[]),
            Step::SetMode => frame::request(SET_MODE, &[self.mode]),
        })
    }

    fn hear(&mut self, message: &Message<'_>) -> Heard {
        let body = match *message {
            Message::Framed { command: frame::TELEGRAM, payload } => payload,
            Message::Framed { .. } => return Heard::Other,
            Message::Transparent(telegram) => telegram,
        };
        // A telegram that comes before the memory was read may or may not end with its signal strength.
        let Some(output) = self.frames.output else { return Heard::Other };
        match telegram(body, output.rssi) {
            None => Heard::Short,
            Some((bytes, rssi)) => Heard::Telegram(Telegram {
                bytes,
                crcs: LinkCrcs::Removed,
                link_mode: self.link_mode,
                rssi_dbm: rssi.map(rssi_dbm),
                doubtful: false,
            }),
        }
    }

    fn answer(&mut self, step: Step, message: Message<'_>) -> Answer<Step> {
        let Message::Framed { command, payload } = message else { return Answer::None };
        match (step, command, payload) {
            (Step::ReadMemory, frame::MEMORY, _) => self.read(payload),
            (Step::Firmware, frame::FIRMWARE, &[major, minor, patch]) => {
                self.info.firmware = Some(Firmware::new(format_args!("{major}.{minor}.{patch}")));
                Answer::Next(Step::Serial)
            }
            (Step::Serial, frame::SERIAL_NUMBER, &[a, b, c, d]) => {
                self.info.serial = Some(u32::from_be_bytes([a, b, c, d]));
                Answer::Next(Step::SetMode)
            }
            (Step::SetMode, frame::MODE_SET, [0]) => Answer::Done,
            (Step::SetMode, frame::MODE_SET, _) => Answer::Unlike,
            _ => Answer::None,
        }
    }

    fn inquiry(&self) -> Option<Step> {
        Some(Step::SetMode)
    }

    fn reset(&self) -> Option<CommandBytes> {
        Some(frame::request(RESTART, &[]))
    }

    fn info(&self) -> Info {
        self.info
    }
}

impl Talk {
    fn new(band: Band, mode: u8, link_mode: Option<LinkMode>) -> Self {
        let info = Info { model: band.model(), firmware: None, serial: None };
        Self { frames: Frames::default(), band, mode, link_mode, info }
    }

    fn read(&mut self, payload: &[u8]) -> Answer<Step> {
        let Some(memory) = Memory::parse(payload) else { return Answer::None };
        if memory.band != self.band {
            return Answer::Refused(Fault::WrongKind { is: memory.band.model() });
        }
        if memory.sleeps {
            return Answer::Refused(Fault::Sleeps);
        }
        self.frames.output = Some(memory.output);
        Answer::Next(Step::Firmware)
    }
}

/// The question that shows whether one is there; it changes nothing, and no module transmits it.
pub(super) fn who_is_it() -> CommandBytes {
    frame::request(READ_MEMORY, &ALL_OF_IT)
}

/// What it is, if an answer to that question is somewhere in the bytes. How much memory there is tells 868 from 169 MHz.
pub(super) fn who(bytes: &[u8]) -> Option<Info> {
    let answer = |start: usize| match frame::whole_at(bytes.get(start..)?)? {
        (frame::MEMORY, payload) => Memory::parse(payload),
        _ => None,
    };
    let memory = (0..bytes.len()).find_map(answer)?;
    Some(Info { model: memory.band.model(), firmware: None, serial: None })
}

impl Band {
    fn model(self) -> &'static str {
        match self {
            Self::Mhz868 => MODEL_868,
            Self::Mhz169 => MODEL_169,
        }
    }
}

/// A telegram with its length byte, and its raw signal strength where it has one. `None` if it is too short.
fn telegram(body: &[u8], rssi: bool) -> Option<(FrameBytes, Option<u8>)> {
    let (body, rssi) = match body.split_last() {
        Some((last, body)) if rssi => (body, Some(*last)),
        _ => (body, None),
    };
    let length = u8::try_from(body.len()).ok().filter(|_| body.len() >= SHORTEST_TELEGRAM)?;
    Some((FrameBytes::with_length(length, body).ok()?, rssi))
}

#[cfg(test)]
mod tests;
