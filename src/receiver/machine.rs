//! Framing and conversation of one dongle put together: what the public types of all kinds are made of.

use std::time::{Duration, Instant};

use super::{
    Action, CommandBytes, Counters,
    conversation::Conversation,
    framing::{Deframer, Noise},
    protocol::Protocol,
};

/// The state machine of one dongle.
#[derive(Debug)]
pub(super) struct Machine<P: Protocol> {
    protocol: P,
    deframer: Deframer,
    conversation: Conversation<P::Step>,
    /// The wake-up that was asked for last.
    wake: Option<Instant>,
}

impl<P: Protocol> Machine<P> {
    pub(super) fn new(protocol: P) -> Self {
        Self { protocol, deframer: Deframer::new(), conversation: Conversation::new(), wake: None }
    }

    pub(super) fn silent_after(&mut self, limit: Duration) {
        self.conversation.silent_after(limit);
    }

    pub(super) fn maybe_another(&mut self) {
        self.conversation.maybe_another();
    }

    pub(super) fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.deframer.clear();
        self.protocol.forget();
        self.wake = None;
        self.conversation.opened(&mut self.protocol, now, out);
        self.schedule(now, out);
    }

    pub(super) fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>) {
        self.give_up(now, out);
        let mut rest = input;
        while !rest.is_empty() {
            rest = self.deframer.fill(now, rest);
            self.take_messages(now, out);
        }
        self.schedule(now, out);
    }

    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.give_up(now, out);
        self.conversation.tick(&mut self.protocol, now, out);
        self.schedule(now, out);
    }

    pub(super) fn farewell(&self) -> Option<CommandBytes> {
        self.protocol.farewell()
    }

    pub(super) fn counters(&self) -> Counters {
        let Noise { garbage_bytes, bad_checksums, partial_frames, truncated } = self.deframer.noise();
        let counted = self.conversation.counters();
        Counters { garbage_bytes, bad_checksums, partial_frames, truncated, ..counted }
    }

    fn give_up(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.deframer.give_up::<P>(now);
        self.take_messages(now, out);
    }

    fn take_messages(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Self { protocol, deframer, conversation, .. } = self;
        while let Some((heard_at, message)) = deframer.next(protocol) {
            conversation.message(protocol, now, heard_at, message, out);
        }
        deframer.compact();
    }

    /// Asks for a wake-up, unless an earlier one is due anyway: waking too early is harmless and cheaper than a new timer
    /// for each telegram.
    fn schedule(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(deadline) = self.conversation.deadline() else { return };
        let due = self.deframer.gives_up_at::<P>().map_or(deadline, |gives_up| deadline.min(gives_up));
        if self.wake.is_none_or(|wake| due < wake || wake <= now) {
            self.wake = Some(due);
            out.push(Action::Wake(due));
        }
    }
}

/// Makes a public type that holds a [`Machine`] a [`Dongle`](super::Dongle): its speed besides.
macro_rules! dongle {
    ($name:ty, |$this:ident| $baud:expr) => {
        impl $crate::receiver::Dongle for $name {
            fn baud(&self) -> u32 {
                let $this = self;
                $baud
            }

            fn silent_after(&mut self, limit: std::time::Duration) {
                self.machine.silent_after(limit);
            }

            fn maybe_another(&mut self) {
                self.machine.maybe_another();
            }

            fn opened(&mut self, now: std::time::Instant, out: &mut Vec<$crate::receiver::Action>) {
                self.machine.opened(now, out);
            }

            fn bytes(
                &mut self,
                now: std::time::Instant,
                input: &[u8],
                out: &mut Vec<$crate::receiver::Action>,
            ) {
                self.machine.bytes(now, input, out);
            }

            fn tick(&mut self, now: std::time::Instant, out: &mut Vec<$crate::receiver::Action>) {
                self.machine.tick(now, out);
            }

            fn farewell(&mut self) -> Option<$crate::receiver::CommandBytes> {
                self.machine.farewell()
            }

            fn counters(&self) -> $crate::receiver::Counters {
                self.machine.counters()
            }
        }
    };
}
pub(super) use dongle;
