//! From the stores to the line, and what the portal acknowledges back to the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use messages::batch::{Envelope, Epoch, Seq, Stream};
use messages::event::ProblemKind;
use messages::topic::Leaf;
use messages::{Ack, Time};
use tokio::time::Instant;
use tracing::{debug, info};

use super::mqtt::{Fault, Message, Outcome};
use super::outbox::{Heard, Next, Outbox, Policy};
use super::session::{Session, Tag};
use super::shared::Shared;
use crate::config::{self, Acknowledge};
use crate::halves::nudge::{self, Told};
use crate::store::{Block, CollectReader, Cursor, StoreError};

/// Streams in the order in which they are served: an alarm never waits behind a backlog.
const ORDER: [Stream; 3] = [Stream::Events, Stream::Mails, Stream::Readings];
/// Bytes of one stream that the broker has not answered yet.
const UNANSWERED_BYTES: usize = 256 * 1024;
/// How long after the subscription the portal's retained word may take until sending begins without it.
const SETTLE: Duration = Duration::from_secs(2);
/// How often collect is told again.
const TELL: Duration = Duration::from_secs(60);
/// How often the portal's progress is written down, but for restarts and lost lines.
const SAVE: Duration = Duration::from_secs(3600);
/// The same after a lost line.
const SAVE_SOON: Duration = Duration::from_secs(600);
/// Batches handed to the line in one go.
const AT_ONCE: usize = 32;
/// Blocks read in one go to get over damaged ones.
const DAMAGED_AT_ONCE: usize = 8;

/// The streams on their way, and the store that they come from.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) streams: BTreeMap<Stream, Outbox>,
    reader: Option<CollectReader>,
    version: i64,
    /// Why collect's store cannot be read.
    pub(super) unreadable: Option<String>,
    /// Streams whose acknowledgement has come over this line.
    heard: BTreeSet<Stream>,
    told: Option<(Instant, Told)>,
    cloned: Option<Epoch>,
    saved: Vec<(Stream, Cursor)>,
    saved_at: Option<Instant>,
    broker: bool,
    /// The broker does not let us publish: told once per line.
    pub(super) refused: bool,
}

impl Sending {
    pub(super) fn new(config: &config::Uplink) -> Self {
        let policy = |stream| Policy {
            window: usize::from(config.window),
            // Together below what the broker lets us have unanswered, so that none waits for another.
            unanswered: if stream == Stream::Readings { 8 } else { 4 },
            bytes: UNANSWERED_BYTES,
            patience: config.progress_timeout,
            broker: config.acknowledge == Acknowledge::Broker,
        };
        Self {
            streams: Stream::ALL.map(|stream| (stream, Outbox::new(stream, policy(stream)))).into(),
            reader: None,
            version: -1,
            unreadable: None,
            heard: BTreeSet::new(),
            told: None,
            cloned: None,
            saved: Vec::new(),
            saved_at: None,
            broker: config.acknowledge == Acknowledge::Broker,
            refused: false,
        }
    }

    pub(super) fn line_up(&mut self) {
        self.heard.clear();
        self.refused = false;
    }

    pub(super) fn line_down(&mut self) {
        for outbox in self.streams.values_mut() {
            outbox.line_down();
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        for (stream, outbox) in &mut self.streams {
            if outbox.tick(now) {
                debug!(%stream, "no progress: sending again what is not acknowledged");
            }
        }
    }

    fn outbox(&mut self, stream: Stream) -> Option<&mut Outbox> {
        self.streams.get_mut(&stream)
    }

    /// Collect's store is open, and is the one that is there now.
    fn open_reader(&mut self, directory: &Path) -> Result<(), StoreError> {
        if self.reader.as_ref().is_some_and(|reader| !reader.is_current()) {
            self.reader = None;
        }
        if self.reader.is_none() {
            self.version = -1;
            self.reader = Some(CollectReader::open(directory)?);
        }
        Ok(())
    }

    /// When the oldest block that waits was stored.
    pub(super) fn oldest_waiting(&self, shared: &Shared, stream: Stream) -> Option<Time> {
        let acknowledged = self.streams.get(&stream)?.acknowledged();
        self.after(shared, stream, acknowledged).ok()??.stored
    }

    fn block(&self, shared: &Shared, stream: Stream, seq: Seq) -> Option<Block> {
        let block = match stream {
            Stream::Mails => shared.store.borrow().block(seq),
            _ => self.reader.as_ref()?.block(stream, seq),
        };
        block.ok().flatten()
    }

    /// The first readable block after `after`.
    fn after(&self, shared: &Shared, stream: Stream, after: Seq) -> Result<Option<Block>, StoreError> {
        let read = |after, most| match stream {
            Stream::Mails => shared.store.borrow().blocks(after, most),
            _ => self.reader.as_ref().ok_or(StoreError::Absent)?.blocks(stream, after, most),
        };
        if let Some(block) = read(after, 1)?.into_iter().next() {
            return Ok(Some(block));
        }
        // The next one is damaged, or there is none: the store counts damaged ones and leaves them out.
        let head = self.streams.get(&stream).map_or(Seq::NONE, Outbox::head);
        let mut after = after;
        while after < head {
            if let Some(block) = read(after, DAMAGED_AT_ONCE)?.into_iter().next() {
                return Ok(Some(block));
            }
            let passed = u64::try_from(DAMAGED_AT_ONCE).unwrap_or(u64::MAX);
            after = Seq::new(after.number().saturating_add(passed));
        }
        Ok(None)
    }
}

impl Session {
    /// Looks what is new in the stores.
    pub(super) fn look(&mut self) {
        let looked = self.look_at_collect();
        self.sending.unreadable = match looked {
            Ok(()) => None,
            Err(error) => {
                self.sending.reader = None;
                Some(error.to_string())
            }
        };
        let (epoch, head, acknowledged) = {
            let store = self.shared.store.borrow();
            let (Ok(head), Ok(acknowledged)) = (store.head(), store.acknowledged()) else { return };
            (store.epoch(), head, acknowledged)
        };
        self.know(Stream::Mails, epoch, head, acknowledged);
    }

    fn look_at_collect(&mut self) -> Result<(), StoreError> {
        self.sending.open_reader(&self.setup.collect_dir)?;
        let last = self.sending.version;
        let reader = self.sending.reader.as_ref().ok_or(StoreError::Absent)?;
        let version = reader.version()?;
        let epoch = reader.epoch()?;
        let read = |stream| Ok::<_, StoreError>((stream, reader.head(stream)?, reader.acknowledged(stream)?));
        let found = if version == last {
            Vec::new()
        } else {
            let newest = reader.newest()?;
            let found = vec![read(Stream::Readings)?, read(Stream::Events)?];
            if let Some(newest) = newest {
                self.calendar.stored(newest.unix());
            }
            found
        };
        self.sending.version = version;
        for (stream, head, acknowledged) in found {
            self.know(stream, epoch, head, acknowledged);
        }
        Ok(())
    }

    fn know(&mut self, stream: Stream, epoch: Epoch, head: Seq, acknowledged: Seq) {
        let Some(outbox) = self.sending.streams.get_mut(&stream) else { return };
        let new = outbox.epoch() != Some(epoch);
        let store = self.shared.store.borrow();
        let remembered = if new { self.shared.note(store.cursor(stream)).flatten() } else { None };
        let cloned = outbox.know(epoch, head, acknowledged, remembered);
        if new {
            for (seq, reason) in self.shared.note(store.parked(stream, epoch)).unwrap_or_default() {
                outbox.park(seq, reason);
            }
        }
        drop(store);
        if cloned {
            self.cloned(stream, epoch);
        }
    }

    /// Hands to the line what may go now.
    pub(super) fn pump(&mut self) {
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
    pub(super) fn outcome(&mut self, tag: Tag, outcome: Outcome) {
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

    /// The portal's word on a stream.
    pub(super) fn acknowledged(&mut self, stream: Stream, ack: &Ack) {
        self.look();
        self.memory.hear(stream, ack);
        let now = Instant::now();
        let kept: BTreeMap<Epoch, Option<messages::batch::Nonce>> = ack
            .epochs
            .iter()
            .take(4)
            .map(|cursor| {
                let block = self.sending.block(&self.shared, stream, cursor.seq);
                (cursor.epoch, block.map(|block| block.nonce))
            })
            .collect();
        let Some(outbox) = self.sending.outbox(stream) else { return };
        let Some(epoch) = outbox.epoch() else { return };
        let heard = outbox.hear(ack, |_| kept.get(&epoch).copied().flatten(), now);
        self.sending.heard.insert(stream);
        match heard {
            Heard::Nothing | Heard::Same => {}
            // Collect is told with the next tick: a backlog would flood it.
            Heard::Progress(seq) => debug!(%stream, %seq, "acknowledged"),
            Heard::Back(seq) => {
                info!(%stream, %seq, "the portal was restored: sending again what it has lost");
                self.save_cursors(true);
            }
            Heard::Cloned => self.cloned(stream, epoch),
        }
    }

    /// The portal knows other content under our numbering: the store is a copy, or was restored.
    fn cloned(&mut self, stream: Stream, epoch: Epoch) {
        let text = "the store is a copy of another gateway's or was restored: everything kept is sent again under a new \
                    numbering";
        self.shared.problem(ProblemKind::StoreCloned, Some(stream.as_str()), Some(text));
        if stream == Stream::Mails {
            let renewed = self.shared.store.borrow_mut().renew_epoch();
            if self.shared.note(renewed).is_some() {
                self.look();
                self.shared.problem(ProblemKind::StoreCloned, Some(stream.as_str()), None);
            }
        } else {
            self.sending.cloned = Some(epoch);
            self.tell_collect(true);
        }
    }

    /// Tells collect what is acknowledged: when it has changed since the last tick, and each minute.
    pub(super) fn tell_collect(&mut self, at_once: bool) {
        let Some(epoch) = self.sending.streams.get(&Stream::Readings).and_then(Outbox::epoch) else { return };
        let cloned = self.sending.cloned == Some(epoch);
        if self.sending.cloned.is_some() && !cloned {
            self.sending.cloned = None;
            for stream in [Stream::Readings, Stream::Events] {
                self.shared.problem(ProblemKind::StoreCloned, Some(stream.as_str()), None);
            }
        }
        let acknowledged = [Stream::Readings, Stream::Events]
            .into_iter()
            .filter_map(|stream| Some((stream, self.sending.streams.get(&stream)?.acknowledged())))
            .collect();
        let thresholds = self.shared.thresholds.borrow().clone();
        let told = Told { epoch, acknowledged, cloned, thresholds };
        let now = Instant::now();
        let fresh = self
            .sending
            .told
            .as_ref()
            .is_some_and(|(when, last)| *last == told && now.saturating_duration_since(*when) < TELL);
        if at_once || !fresh {
            nudge::say(&self.setup.collect_sockets.join("nudge.sock"), &told);
            self.sending.told = Some((now, told));
        }
    }

    /// Writes down how far the portal has the streams: rarely, since the portal says it again with each line.
    pub(super) fn save_cursors(&mut self, at_once: bool) {
        let streams = &self.sending.streams;
        let cursors: Vec<_> =
            streams.iter().filter_map(|(stream, outbox)| Some((*stream, outbox.cursor()?))).collect();
        if cursors == self.sending.saved {
            return;
        }
        let now = Instant::now();
        let pause = if self.link.up.is_some() { SAVE } else { SAVE_SOON };
        let lately = self.sending.saved_at.is_some_and(|then| now.saturating_duration_since(then) < pause);
        if lately && !at_once {
            return;
        }
        self.sending.saved_at = Some(now);
        let saved = self.shared.store.borrow_mut().set_cursors(&cursors);
        if self.shared.note(saved).is_some() {
            self.sending.saved = cursors;
        }
    }

    /// Sets a batch aside.
    pub(super) fn park(&mut self, stream: Stream, seq: Seq, reason: &str) {
        let Some(outbox) = self.sending.outbox(stream) else { return };
        outbox.park(seq, reason.to_owned());
        if let Some(epoch) = outbox.epoch() {
            self.shared.note(self.shared.store.borrow().park(stream, epoch, seq, Some(reason)));
        }
        self.parked_problem();
    }

    /// Sends a parked batch again.
    pub(super) fn send_again(&mut self, stream: Stream, seq: Seq) {
        let Some(outbox) = self.sending.outbox(stream) else { return };
        if outbox.unpark(seq)
            && let Some(epoch) = outbox.epoch()
        {
            // One that the portal's number has passed is forgotten only once it was taken.
            if seq > outbox.acknowledged() {
                self.shared.note(self.shared.store.borrow().park(stream, epoch, seq, None));
            }
            self.parked_problem();
        }
    }

    /// Batches that were too large for the broker may fit now.
    pub(super) fn unpark_what_fits(&mut self) {
        let largest = self.link.largest.unwrap_or(usize::MAX);
        let fits = |reason: &String| {
            let size = reason.strip_prefix(TOO_LARGE).and_then(|rest| rest.trim_start().split(' ').next());
            size.and_then(|size| size.parse().ok()).is_some_and(|size: usize| size <= largest)
        };
        let streams = &self.sending.streams;
        let parked = streams.iter().flat_map(|(stream, outbox)| {
            outbox.parked().iter().filter(|(_, reason)| fits(reason)).map(|(seq, _)| (*stream, *seq))
        });
        for (stream, seq) in parked.collect::<Vec<_>>() {
            self.send_again(stream, seq);
        }
    }

    fn parked_problem(&self) {
        let parked: usize = self.sending.streams.values().map(|outbox| outbox.parked().len()).sum();
        let text = (parked > 0).then(|| {
            format!("{parked} batches are parked since the broker does not take them: see `vesigate outbox`")
        });
        self.shared.problem(ProblemKind::Parked, None, text.as_deref());
    }
}

/// How the reason of a batch begins that the broker's limit does not let through.
const TOO_LARGE: &str = "too large:";
