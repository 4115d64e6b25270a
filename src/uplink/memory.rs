//! Blocks that wait in collect's memory because its disk cannot be written: sent under their throw-away numbering. The
//! portal stores them like others; nothing waits for them here, and collect stores them itself once it can.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::Ack;
use messages::batch::{Envelope, Epoch, Missing, Seq, Stream};
use messages::topic::Leaf;
use tokio::time::Instant;

use super::mqtt::Message;
use super::session::{Session, Tag};
use crate::halves::questions::InMemory;

/// How often collect is asked what waits.
const ASK: Duration = Duration::from_secs(10);
/// After how long without an acknowledgement a block is sent again.
const AGAIN: Duration = Duration::from_secs(60);
/// Blocks sent in one go.
const AT_ONCE: usize = 8;
/// Blocks whose sending is remembered: more than collect's memory holds.
const MOST: usize = 2000;

/// What was sent from collect's memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    asked: Option<Instant>,
    sent: BTreeMap<(Stream, Epoch, Seq), Instant>,
    acknowledged: BTreeMap<Stream, (Epoch, Seq)>,
}

impl Memory {
    pub(super) fn line_up(&mut self) {
        self.sent.clear();
        self.asked = None;
    }

    /// The portal's word on throw-away numberings.
    pub(super) fn hear(&mut self, stream: Stream, ack: &Ack) {
        for cursor in ack.epochs.iter().filter(|cursor| cursor.epoch.is_throw_away()) {
            self.acknowledged.insert(stream, (cursor.epoch, cursor.seq));
        }
    }

    fn is_due(&self, block: &InMemory, now: Instant) -> bool {
        let place = (block.stream, block.epoch, block.seq);
        let (epoch, seq) = self.acknowledged.get(&block.stream).copied().unwrap_or((block.epoch, Seq::NONE));
        let lately = self.sent.get(&place).is_some_and(|then| now.saturating_duration_since(*then) < AGAIN);
        !lately && (epoch != block.epoch || seq < block.seq)
    }
}

impl Session {
    /// Asks collect what waits in its memory, if it has said that something does.
    pub(super) fn ask_memory(&mut self) {
        let now = Instant::now();
        let lately = self.memory.asked.is_some_and(|then| now.saturating_duration_since(then) < ASK);
        if self.shared.in_memory.get() && self.link.subscribed.is_some() && !lately {
            self.memory.asked = Some(now);
            self.jobs.ask_in_memory();
        }
    }

    /// Sends blocks that collect cannot store.
    pub(super) fn send_from_memory(&mut self, mut blocks: Vec<InMemory>) {
        if blocks.is_empty() {
            self.shared.in_memory.set(false);
            self.memory.sent.clear();
            return;
        }
        let now = Instant::now();
        if self.memory.sent.len() > MOST {
            self.memory.sent.clear();
        }
        blocks.sort_by_key(|block| (block.stream == Stream::Readings, block.seq));
        let largest = self.link.largest.unwrap_or(usize::MAX);
        let due: Vec<InMemory> =
            blocks.into_iter().filter(|block| self.memory.is_due(block, now)).take(AT_ONCE).collect();
        for block in due {
            let Ok(payload) = STANDARD.decode(&block.body) else { continue };
            let InMemory { stream, epoch, seq, nonce, .. } = block;
            let envelope = Envelope { stream, epoch, seq, nonce, missing: Missing::default() };
            let message = Message {
                topic: self.topic(Leaf::Uplink),
                payload,
                retain: false,
                content_type: block.content_type().as_str(),
                properties: envelope.to_properties(),
            };
            if message.size() <= largest && self.link.publish(Tag::Other, message) {
                self.memory.sent.insert((stream, epoch, seq), now);
            }
        }
    }
}
