//! IMST iU891A-XL and iU893A-XL (868 MHz). Facts from IMST's documentation as public drivers use it, and from captures.
//!
//! Set up: flush and ping, device info, get active config, set active config (RAM only), get it again to verify. Telegrams
//! come by themselves, also between a request and its reply, and from the first moment on if somebody left it receiving.
//! In service it is asked for its active config: the answer shows that it lives *and* that it has not rebooted.
//!
//! Replies begin with a status byte, indications do not.

mod settings;
mod slip;

use super::{
    CommandBytes, Fault, FrameBytes, Info, LinkCrcs, Listen,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Patience, Protocol, Question, SHORTEST_TELEGRAM, Telegram},
};
use settings::Settings;
use slip::{Message, Slip};
use std::time::Duration;

/// Ignored over USB, and what its makers name.
pub(super) const BAUD: u32 = 115_200;

/// The first of its family.
const MODEL: &str = "iU891A-XL";

/// Service access point: device management.
const DEVICE: u8 = 1;
/// And the radio.
const GATEWAY: u8 = 9;

const PING: u8 = 0x01;
const PING_REPLY: u8 = 0x02;
const DEVICE_INFO: u8 = 0x03;
const DEVICE_INFO_REPLY: u8 = 0x04;
const RESTART: u8 = 0x07;
const GET_ACTIVE_CONFIG: u8 = 0x01;
const GET_ACTIVE_CONFIG_REPLY: u8 = 0x02;
const SET_ACTIVE_CONFIG_REPLY: u8 = 0x04;
const TELEGRAM: u8 = 0x20;

const OK: u8 = 0;
const NOT_SUPPORTED: u8 = 2;
const WRONG_PARAMETER: u8 = 3;

/// The state machine of one iU891A or iU893A.
#[derive(Debug)]
pub struct Iu891a {
    machine: Machine<Talk>,
}

impl Iu891a {
    /// A dongle to be set up for `listen`. It knows S1 only as a whole and C1 only in both frame formats.
    pub fn new(listen: Listen) -> Self {
        let info = Info { model: MODEL, firmware: None, serial: None };
        let talk = Talk { slip: Slip, listen, wanted: Settings::to_listen(listen), info };
        Self { machine: Machine::new(talk) }
    }
}

dongle!(Iu891a, |_dongle| BAUD);

#[derive(Debug)]
struct Talk {
    slip: Slip,
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
    type Message<'a> = Message;

    fn look(&mut self, bytes: &[u8]) -> Found<Message> {
        self.slip.look(bytes)
    }
}

impl Protocol for Talk {
    type Step = Step;

    const PROBING: Patience = Patience { times: 3, wait: Duration::from_secs(1) };
    /// Left reporting, it hears something also with the settings of its own memory.
    const CHECKED_EVERY: Option<Duration> = Some(Duration::from_secs(3600));

    fn first(&self) -> Step {
        Step::Ping
    }

    fn question(&mut self, step: Step) -> Question<Step> {
        Question::Ask(match step {
            Step::Ping => slip::flush().into_iter().chain(slip::request(DEVICE, PING, &[])).collect(),
            Step::Identify => slip::request(DEVICE, DEVICE_INFO, &[]),
            Step::Read | Step::Verify => slip::request(GATEWAY, GET_ACTIVE_CONFIG, &[]),
            Step::Set => self.wanted.request(),
        })
    }

    fn hear(&mut self, message: &Message) -> Heard {
        if (message.sap, message.id) != (GATEWAY, TELEGRAM) {
            return Heard::Other;
        }
        telegram(&message.body, self.listen).map_or(Heard::Short, Heard::Telegram)
    }

    fn answer(&mut self, step: Step, message: Message) -> Answer<Step> {
        let Some((&status, body)) = message.body.split_first() else { return Answer::None };
        match (step, message.sap, message.id) {
            (Step::Ping, DEVICE, PING_REPLY) => Answer::Next(Step::Identify),
            (Step::Identify, DEVICE, DEVICE_INFO_REPLY) if status == OK => self.identify(body),
            (Step::Read, GATEWAY, GET_ACTIVE_CONFIG_REPLY) if status == OK => match Settings::parse(body) {
                Some(_) => Answer::Next(Step::Set),
                None => Answer::Unlike,
            },
            (Step::Set, GATEWAY, SET_ACTIVE_CONFIG_REPLY) => match status {
                OK => Answer::Next(Step::Verify),
                NOT_SUPPORTED | WRONG_PARAMETER => Answer::Refused(Fault::NoSuchMode),
                _ => Answer::Unlike,
            },
            (Step::Verify, GATEWAY, GET_ACTIVE_CONFIG_REPLY) if status == OK => {
                if Settings::parse(body) == Some(self.wanted) { Answer::Done } else { Answer::Unlike }
            }
            _ => Answer::None,
        }
    }

    fn inquiry(&self) -> Option<Step> {
        Some(Step::Verify)
    }

    fn reset(&self) -> Option<CommandBytes> {
        Some(slip::request(DEVICE, RESTART, &[]))
    }

    fn info(&self) -> Info {
        self.info
    }
}

impl Talk {
    /// A reply that is too short says nothing.
    fn identify(&mut self, body: &[u8]) -> Answer<Step> {
        let Some(&[module_type, ref serial @ ..]) = body.first_chunk::<5>() else { return Answer::None };
        let Some(model) = model(module_type) else {
            return Answer::Refused(Fault::WrongModule { module_type });
        };
        (self.info.model, self.info.serial) = (model, Some(u32::from_le_bytes(*serial)));
        Answer::Next(Step::Read)
    }
}

/// The question that shows whether one is there; it changes nothing.
pub(super) fn who_is_it() -> CommandBytes {
    slip::flush().into_iter().chain(slip::request(DEVICE, DEVICE_INFO, &[])).collect()
}

/// What it is, if an answer to that question is somewhere in the bytes.
pub(super) fn who(bytes: &[u8]) -> Option<Info> {
    let answer = |start: usize| {
        let Found::Whole { message, .. } = Slip.look(bytes.get(start..)?) else { return None };
        let (&status, body) = message.body.split_first()?;
        let device_info = (message.sap, message.id, status) == (DEVICE, DEVICE_INFO_REPLY, OK);
        let &[module_type, ref serial @ ..] = body.first_chunk::<5>().filter(|_| device_info)?;
        let serial = Some(u32::from_le_bytes(*serial));
        model(module_type).map(|model| Info { model, firmware: None, serial })
    };
    (0..bytes.len()).find_map(answer)
}

/// The modules that speak this protocol, the one they are named after first.
pub(super) const MODELS: [(u8, &str); 4] =
    [(0x6E, MODEL), (0x6D, "iM891A-XL"), (0x71, "iU893A-XL"), (0xA3, "iM881A-XL")];

fn model(module_type: u8) -> Option<&'static str> {
    MODELS.into_iter().find(|(own, _)| *own == module_type).map(|(_, model)| model)
}

/// A received message: timestamp (4), decryption status, security mode, link mode, signal strength in dBm, then the
/// telegram. `None` if it ends before the telegram's end.
fn telegram(body: &[u8], listen: Listen) -> Option<Telegram> {
    let (&[_, _, _, _, _decrypted, _security, link_mode, rssi], telegram) = body.split_first_chunk()?;
    let (&length, after) = telegram.split_first()?;
    let rest = after.get(..usize::from(length)).filter(|rest| rest.len() >= SHORTEST_TELEGRAM)?;
    Some(Telegram {
        bytes: FrameBytes::with_length(length, rest).ok()?,
        crcs: LinkCrcs::Removed,
        link_mode: listen.only_mode().or_else(|| settings::link_mode(link_mode)),
        rssi_dbm: Some(i16::from(i8::from_le_bytes([rssi]))),
        doubtful: false,
    })
}

#[cfg(test)]
mod tests;
