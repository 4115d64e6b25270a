//! IMST iM871A-USB (868 MHz), the whole conversation. Facts from IMST's WMBus HCI specification.
//!
//! Set up: ping, device info, get config, set config (RAM only), get config again to verify. Then telegrams come by
//! themselves, also between a command and its reply.
//!
//! Watching over it (the limits are learned, see `quiet.rs`):
//!
//! * quiet for a while: it is asked for its settings. That shows that it lives *and* that it has not rebooted, which would
//!   have put it back to the settings of its flash memory; then it is set up again over the open port;
//! * two questions unanswered: the port is opened anew;
//! * silence though it answers: set up again over the open port, after ever longer times, and at last the port is opened
//!   anew;
//! * no answer through three openings: a fault that asks for a reset of the USB port.
//!
//! The port is opened anew at most once in 60 s, since dongles are known that hang after frequent resets.

mod conversation;
mod hci;
mod settings;

use std::time::Instant;

use super::{Action, Counters, Dongle, Listen};
use conversation::Conversation;
use hci::Deframer;

const BAUD: u32 = 57_600;

/// The state machine of one iM871A.
#[derive(Debug)]
pub struct Im871a {
    deframer: Deframer,
    conversation: Conversation,
    /// The wake-up that was asked for last.
    wake: Option<Instant>,
}

impl Im871a {
    /// A dongle to be set up for `listen`.
    pub fn new(listen: Listen) -> Self {
        Self { deframer: Deframer::new(), conversation: Conversation::new(listen), wake: None }
    }

    /// Asks for a wake-up, unless an earlier one is due anyway: waking too early is harmless and cheaper than a new timer
    /// for each telegram.
    fn schedule(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(deadline) = self.conversation.deadline() else { return };
        let due = self.deframer.gives_up_at().map_or(deadline, |gives_up| deadline.min(gives_up));
        if self.wake.is_none_or(|wake| due < wake || wake <= now) {
            self.wake = Some(due);
            out.push(Action::Wake(due));
        }
    }
}

impl Dongle for Im871a {
    fn baud(&self) -> u32 {
        BAUD
    }

    fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.deframer.clear();
        self.wake = None;
        self.conversation.opened(now, out);
        self.schedule(now, out);
    }

    fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>) {
        let Self { deframer, conversation, .. } = self;
        deframer.push(now, input, |heard_at, message| conversation.message(now, heard_at, message, out));
        self.schedule(now, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Self { deframer, conversation, .. } = self;
        deframer.give_up(now, |heard_at, message| conversation.message(now, heard_at, message, out));
        conversation.tick(now, out);
        self.schedule(now, out);
    }

    fn counters(&self) -> Counters {
        let noise = self.deframer.noise();
        Counters {
            garbage_bytes: noise.garbage_bytes,
            bad_checksums: noise.bad_checksums,
            partial_frames: noise.partial_frames,
            ..self.conversation.counters()
        }
    }
}

#[cfg(test)]
mod tests;
