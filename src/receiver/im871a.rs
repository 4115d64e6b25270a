//! IMST iM871A-USB (868 MHz). Facts from IMST's WMBus HCI specification.
//!
//! Set up: ping, device info, get config, set config (RAM only), get config again to verify. Then telegrams come by
//! themselves, also between a command and its reply. In service it is asked for its config: the answer shows that it lives
//! *and* that it has not rebooted, which would have put it back to the settings of its flash memory.

mod hci;
mod settings;

use std::time::Duration;

use super::{
    CommandBytes, Fault, Firmware, FrameBytes, Info, LinkCrcs, Listen,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Protocol, Question, SHORTEST_TELEGRAM, Telegram},
};
use hci::{Hci, Message};
use settings::Settings;

/// Its name.
pub(super) const MODEL: &str = "iM871A";

const BAUD: u32 = 57_600;

const PING: u8 = 0x01;
const PING_REPLY: u8 = 0x02;
const SET_CONFIG_REPLY: u8 = 0x04;
const GET_CONFIG: u8 = 0x05;
const GET_CONFIG_REPLY: u8 = 0x06;
const RESET: u8 = 0x07;
const DEVICE_INFO: u8 = 0x0F;
const DEVICE_INFO_REPLY: u8 = 0x10;
const TELEGRAM: u8 = 0x03;

const IM871A: u8 = 0x33;
/// The first firmware that hears C1 and T1 at once (1.4).
const FIRST_WITH_C_AND_T: u8 = 0x14;

/// The state machine of one iM871A.
#[derive(Debug)]
pub struct Im871a {
    machine: Machine<Talk>,
}

impl Im871a {
    /// A dongle to be set up for `listen`.
    pub fn new(listen: Listen) -> Self {
        let info = Info { model: MODEL, firmware: None, serial: None };
        let talk = Talk { hci: Hci::default(), listen, wanted: Settings::to_listen(listen), info };
        Self { machine: Machine::new(talk) }
    }
}

dongle!(Im871a, |_dongle| BAUD);

#[derive(Debug)]
struct Talk {
    hci: Hci,
    listen: Listen,
    wanted: Settings,
    info: Info,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ping,
    Identify,
    /// Read before anything is changed: a dongle whose settings cannot be read is left alone.
    Read,
    Set,
    Verify,
}

impl Framing for Talk {
    type Message<'a> = Message<'a>;

    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Message<'a>> {
        self.hci.look(bytes)
    }

    fn forget(&mut self) {
        self.hci.forget();
    }
}

impl Protocol for Talk {
    type Step = Step;

    /// The settings of its flash memory may attach the same things as ours, and hear less.
    const CHECKED_EVERY: Option<Duration> = Some(Duration::from_secs(3600));

    fn first(&self) -> Step {
        Step::Ping
    }

    fn question(&mut self, step: Step) -> Question<Step> {
        Question::Ask(match step {
            Step::Ping => hci::request(PING, &[]),
            Step::Identify => hci::request(DEVICE_INFO, &[]),
            Step::Read | Step::Verify => hci::request(GET_CONFIG, &[]),
            Step::Set => self.wanted.request(),
        })
    }

    fn hear(&mut self, message: &Message<'_>) -> Heard {
        if (message.endpoint, message.id) != (hci::RADIO, TELEGRAM) {
            return Heard::Other;
        }
        let length = u8::try_from(message.payload.len()).ok();
        let bytes = length
            .filter(|_| message.payload.len() >= SHORTEST_TELEGRAM)
            .and_then(|length| FrameBytes::with_length(length, message.payload).ok());
        match bytes {
            None => Heard::Short,
            Some(bytes) => Heard::Telegram(Telegram {
                bytes,
                crcs: LinkCrcs::Removed,
                link_mode: self.listen.only_mode(),
                rssi_dbm: message.rssi.map(hci::rssi_dbm),
                // Its flash memory's settings attach other things than ours.
                doubtful: message.timestamped || message.rssi.is_none(),
            }),
        }
    }

    fn answer(&mut self, step: Step, message: Message<'_>) -> Answer<Step> {
        if message.endpoint != hci::DEVICE {
            return Answer::None;
        }
        match (step, message.id) {
            (Step::Ping, PING_REPLY) => Answer::Next(Step::Identify),
            (Step::Identify, DEVICE_INFO_REPLY) => self.identify(message.payload),
            (Step::Read, GET_CONFIG_REPLY) => match Settings::parse(message.payload) {
                Some(_) => Answer::Next(Step::Set),
                None => Answer::Unlike,
            },
            (Step::Set, SET_CONFIG_REPLY) => Answer::Next(Step::Verify),
            (Step::Verify, GET_CONFIG_REPLY) if Settings::parse(message.payload) == Some(self.wanted) => {
                Answer::Done
            }
            (Step::Verify, GET_CONFIG_REPLY) => Answer::Unlike,
            _ => Answer::None,
        }
    }

    fn inquiry(&self) -> Option<Step> {
        Some(Step::Verify)
    }

    fn reset(&self) -> Option<CommandBytes> {
        Some(hci::request(RESET, &[]))
    }

    fn info(&self) -> Info {
        self.info
    }
}

impl Talk {
    /// A reply that is too short says nothing.
    fn identify(&mut self, payload: &[u8]) -> Answer<Step> {
        let Some(&[module_type, _mode, firmware, _hci, ref serial @ ..]) = payload.first_chunk::<8>() else {
            return Answer::None;
        };
        let (major, minor) = (firmware >> 4, firmware & 0x0F);
        if module_type != IM871A {
            return Answer::Refused(Fault::WrongModule { module_type });
        }
        if self.listen == Listen::C1AndT1 && firmware < FIRST_WITH_C_AND_T {
            return Answer::Refused(Fault::FirmwareTooOld { firmware: (major, minor) });
        }
        self.info = info(firmware, *serial);
        Answer::Next(Step::Read)
    }
}

/// The question that shows whether one is there; it changes nothing. Answered also without a checksum, but then a dongle of
/// another kind might.
pub(super) fn who_is_it() -> CommandBytes {
    hci::request(DEVICE_INFO, &[])
}

/// What it is, if an answer to that question is somewhere in the bytes, its checksum right.
pub(super) fn who(bytes: &[u8]) -> Option<Info> {
    let answer = |start: usize| {
        let Found::Whole { message, .. } = Hci::with_checksums().look(bytes.get(start..)?) else {
            return None;
        };
        let device_info = (message.endpoint, message.id) == (hci::DEVICE, DEVICE_INFO_REPLY);
        let &[module_type, _mode, firmware, _hci, ref serial @ ..] = message.payload.first_chunk::<8>()?;
        (device_info && module_type == IM871A).then(|| info(firmware, *serial))
    };
    (0..bytes.len()).find_map(answer)
}

fn info(firmware: u8, serial: [u8; 4]) -> Info {
    let (major, minor) = (firmware >> 4, firmware & 0x0F);
    let firmware = Some(Firmware::new(format_args!("{major}.{minor}")));
    Info { model: MODEL, firmware, serial: Some(u32::from_le_bytes(serial)) }
}

#[cfg(test)]
mod tests;
