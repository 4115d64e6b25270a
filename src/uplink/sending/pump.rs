//! Blocks onto the line, and what the broker says to each.

use std::time::Duration;

use messages::batch::{Envelope, Seq, Stream};
use messages::topic::Leaf;
use tokio::time::Instant;
use tracing::debug;

use super::parked::TOO_LARGE;
use crate::store::Block;
use crate::uplink::mqtt::{Fault, Message, Outcome};
use crate::uplink::outbox::Next;
use crate::uplink::session::{Session, Tag};

/// Streams in the order in which they are served: an alarm never waits behind a backlog.
const ORDER: [Stream; 3] = [Stream::Events, Stream::Mails, Stream::Readings];
/// How long after the subscription the portal's retained word may take until sending begins without it.
const SETTLE: Duration = Duration::from_secs(2);
/// Batches handed to the line in one go.
const AT_ONCE: usize = 32;

impl Session {
    /// Hands to the line what may go now.
    pub(in crate::uplink) fn pump(&mut self) {
        if self.link.up.is_none() {
            return;
        }
        let now = Instant::now();
        let settled = self.link.subscribed.map(|since| now.saturating_duration_since(since) >= SETTLE);
        for stream in ORDER {
            let ready = settled.is_some_and(|settled| settled || self.sending.heard.contains(&stream));
            if !ready && !self.sending.broker {
                continue;
            }
            for _ in 0..AT_ONCE {
                if !self.send_one(stream, now) {
                    break;
                }
            }
        }
    }

    /// Sends one block of a stream, if one may go; says whether it is worth asking again at once.
    fn send_one(&mut self, stream: Stream, now: Instant) -> bool {
        if self.alone() && !self.link.unanswered.is_empty() {
            return false;
        }
        let Some(outbox) = self.sending.outbox(stream) else { return false };
        if let Some(seq) = outbox.wants_again(now) {
            return self.send_past(stream, seq, now);
        }
        let Some(after) = outbox.wants(now) else { return false };
        let block = match self.sending.after(&self.shared, stream, after) {
            Ok(block) => block,
            Err(error) => {
                if stream != Stream::Mails {
                    self.sending.unreadable = Some(error.to_string());
                    self.sending.reader = None;
                }
                return false;
            }
        };
        let Some(outbox) = self.sending.outbox(stream) else { return false };
        let Some(block) = block else {
            outbox.nothing_more();
            return false;
        };
        let next = Next { seq: block.seq, nonce: block.nonce, bytes: block.body.bytes.len() };
        let Some(envelope) = outbox.offer(next, now) else { return true };
        if let Some(home) = &mut self.home {
            home.read(&block.body);
        }
        let seq = block.seq;
        let message = self.batch(block, &envelope);
        let (size, largest) = (message.size(), self.link.largest.unwrap_or(usize::MAX));
        if size > largest {
            // The client would break the connection over it, again and again.
            self.park(stream, seq, &format!("{TOO_LARGE} {size} bytes, the broker takes {largest}"));
            return true;
        }
        if self.link.publish(Tag::Batch(stream, seq), message) {
            self.link.unanswered.insert((stream, seq), now);
            true
        } else {
            if let Some(outbox) = self.sending.outbox(stream) {
                outbox.line_down();
            }
            false
        }
    }

    /// Sends a block that the portal's number has passed already.
    fn send_past(&mut self, stream: Stream, seq: Seq, now: Instant) -> bool {
        if self.link.unanswered.contains_key(&(stream, seq)) {
            return false;
        }
        let block = self.sending.block(&self.shared, stream, seq);
        let Some(outbox) = self.sending.outbox(stream) else { return false };
        let envelope = block.as_ref().and_then(|block| outbox.envelope(seq, block.nonce));
        let Some((block, envelope)) = block.zip(envelope) else {
            // Gone meanwhile.
            outbox.taken(seq, now);
            return true;
        };
        let message = self.batch(block, &envelope);
        let sent = self.link.publish(Tag::Again(stream, seq), message);
        if sent {
            self.link.unanswered.insert((stream, seq), now);
        }
        // One at a time is quick enough for what somebody does by hand.
        false
    }

    fn batch(&self, block: Block, envelope: &Envelope) -> Message {
        Message {
            topic: self.topic(Leaf::Uplink),
            payload: block.body.bytes,
            retain: false,
            content_type: block.body.content_type.as_str(),
            properties: envelope.to_properties(),
        }
    }

    /// What became of a message.
    pub(in crate::uplink) fn outcome(&mut self, tag: Tag, outcome: Outcome) {
        let now = Instant::now();
        let batch = match tag {
            Tag::Batch(stream, seq) | Tag::Again(stream, seq) => Some((stream, seq)),
            Tag::State | Tag::Other => None,
        };
        match outcome {
            Outcome::Taken | Outcome::Nobody => {
                self.proved(batch);
            }
            Outcome::NotAuthorised => self.refused(Fault::PublishRefused, true),
            Outcome::Refused(ref reason) => self.refused(Fault::NotTaken(reason.clone()), false),
            Outcome::Unanswered => return,
        }
        let Some((stream, seq)) = batch else { return };
        let Some(outbox) = self.sending.outbox(stream) else { return };
        if outcome != Outcome::Taken {
            outbox.not_taken(seq, now);
            return;
        }
        let reached = outbox.taken(seq, now);
        if let (Tag::Again(..), Some(epoch)) = (tag, outbox.epoch()) {
            self.shared.note(self.shared.store.borrow().park(stream, epoch, seq, None));
        }
        if let Some(seq) = reached {
            debug!(%stream, %seq, "freed by the broker's word");
        }
    }

    fn refused(&mut self, fault: Fault, forbidden: bool) {
        if self.link.fault.as_ref() != Some(&fault) {
            tracing::warn!("{fault}");
        }
        self.sending.refused |= forbidden;
        self.link.fault = Some(fault);
    }
}
