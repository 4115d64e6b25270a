//! Receivers that only talk: each telegram as it is, in bytes or in hexadecimal digits, with nothing to set and nothing to
//! ask. Whether they live shows in what they hear.

mod hex;
mod raw;

use super::{
    CommandBytes, FrameBytes, Info, LinkCrcs,
    framing::{Found, Framing},
    machine::{Machine, dongle},
    protocol::{Answer, Heard, Protocol, Question, Telegram},
};
use hex::Hex;
use raw::Raw;

/// The state machine of a receiver that writes telegrams in bytes.
#[derive(Debug)]
pub struct RawTty {
    baud: u32,
    machine: Machine<Talk<Raw>>,
}

/// The state machine of a receiver that writes telegrams in hexadecimal digits.
#[derive(Debug)]
pub struct HexTty {
    baud: u32,
    machine: Machine<Talk<Hex>>,
}

impl RawTty {
    /// One whose line runs at `baud`.
    pub fn new(baud: u32) -> Self {
        Self { baud, machine: Machine::new(Talk { framing: Raw, model: "raw receiver" }) }
    }
}

impl HexTty {
    /// One whose line runs at `baud`.
    pub fn new(baud: u32) -> Self {
        Self { baud, machine: Machine::new(Talk { framing: Hex, model: "hex receiver" }) }
    }
}

dongle!(RawTty, |receiver| receiver.baud);
dongle!(HexTty, |receiver| receiver.baud);

/// What comes from such a receiver.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
enum Message {
    /// A telegram, with the CRCs of format A or without any.
    Telegram(FrameBytes, LinkCrcs),
    /// What separates telegrams.
    Nothing,
}

#[derive(Debug)]
struct Talk<F> {
    framing: F,
    model: &'static str,
}

impl<F: for<'a> Framing<Message<'a> = Message>> Framing for Talk<F> {
    type Message<'a> = Message;

    fn look(&mut self, bytes: &[u8]) -> Found<Message> {
        self.framing.look(bytes)
    }

    fn look_at_rest(&mut self, bytes: &[u8]) -> Found<Message> {
        self.framing.look_at_rest(bytes)
    }
}

impl<F: for<'a> Framing<Message<'a> = Message>> Protocol for Talk<F> {
    /// There is nothing to ask.
    type Step = ();

    fn first(&self) {}

    fn question(&mut self, (): ()) -> Question<()> {
        Question::Tell(CommandBytes::new(), Answer::Done)
    }

    fn hear(&mut self, message: &Message) -> Heard {
        match message {
            Message::Telegram(bytes, crcs) => Heard::Telegram(Telegram {
                bytes: bytes.clone(),
                crcs: *crcs,
                link_mode: None,
                rssi_dbm: None,
                doubtful: false,
            }),
            Message::Nothing => Heard::Other,
        }
    }

    fn answer(&mut self, (): (), _: Message) -> Answer<()> {
        Answer::None
    }

    fn inquiry(&self) -> Option<()> {
        None
    }

    fn info(&self) -> Info {
        Info { model: self.model, firmware: None, serial: None }
    }
}

#[cfg(test)]
mod tests;
