//! One stream on its way to the portal: what may be sent now, what has arrived, when to start again. Pure: time and
//! blocks come in, envelopes go out.
//!
//! At most a window of batches is under way beyond the acknowledged number. Nothing that the broker says moves that
//! number (except where the configuration takes the broker's word for the portal's): only the portal's acknowledgement
//! does. Without progress sending starts again behind it, with growing patience, so that nothing stalls for good.

mod suspects;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messages::Ack;
use messages::batch::{Envelope, Epoch, MAX_RANGES, Missing, Nonce, Seq, Stream};
use tokio::time::Instant;

pub(super) use suspects::{Suspects, Verdict};

use crate::store::Cursor;

/// How a stream is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Batches under way beyond the acknowledged one.
    pub(super) window: usize,
    /// Batches that the broker has not answered yet: what another stream's batch may have to wait for.
    pub(super) unanswered: usize,
    /// Their bytes; one batch may always go.
    pub(super) bytes: usize,
    /// How long without progress until sending starts again; it doubles with each time, up to sixteenfold.
    pub(super) patience: Duration,
    /// The broker's word counts for the portal's.
    pub(super) broker: bool,
}

/// A stream on its way.
#[derive(Debug)]
pub(super) struct Outbox {
    stream: Stream,
    policy: Policy,
    place: Option<Place>,
    /// The portal's store that said so.
    generation: u64,
    flying: BTreeMap<Seq, Flying>,
    /// Numbers above the acknowledged one that the store does not have, as reading showed; the lowest ranges only.
    gaps: Vec<(Seq, Seq)>,
    parked: BTreeMap<Seq, String>,
    /// Batches below the acknowledged number that somebody wants sent again.
    again: BTreeSet<Seq>,
    hold: Option<Instant>,
    /// Times that sending has started again without progress.
    turns: u32,
    /// Since when nothing has moved although something is under way.
    waiting: Option<Instant>,
    /// When sending last started again.
    turned: Option<Instant>,
    sent_ever: u64,
}

/// Where the stream stands in its numbering.
#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: Epoch,
    head: Seq,
    acknowledged: Seq,
    /// Up to here everything has been sent since sending last started, or cannot be.
    sent: Seq,
    /// The portal knows other content under this numbering: nothing more is sent until there is a new one.
    cloned: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flying {
    bytes: usize,
    /// The broker has taken it.
    taken: bool,
}

/// What a portal's acknowledgement meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Another numbering, or an older word: passed over.
    Nothing,
    /// Nothing new: the portal is there, perhaps with an answer to a batch that did not join.
    Same,
    /// It has more.
    Progress(Seq),
    /// It was restored, and has less.
    Back(Seq),
    /// It knows other content under our numbering.
    Cloned,
}

/// A block that lies next in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    /// Its number.
    pub(super) seq: Seq,
    /// Its nonce.
    pub(super) nonce: Nonce,
    /// How many bytes it takes on the line.
    pub(super) bytes: usize,
}

/// Non-joining batches are answered by the portal one by one; sending starts again for the first answer only.
const ANSWERS: Duration = Duration::from_secs(3);
/// How long to wait when nobody is subscribed, or the broker refuses; doubles up to sixteenfold.
const HOLD: Duration = Duration::from_secs(5);

impl Outbox {
    pub(super) const fn new(stream: Stream, policy: Policy) -> Self {
        Self {
            stream,
            policy,
            place: None,
            generation: 0,
            flying: BTreeMap::new(),
            gaps: Vec::new(),
            parked: BTreeMap::new(),
            again: BTreeSet::new(),
            hold: None,
            turns: 0,
            waiting: None,
            turned: None,
            sent_ever: 0,
        }
    }

    /// What the store has. A numbering that is new begins behind `stored`, the number that the store itself has as
    /// acknowledged, or behind what was `remembered` of this numbering: that one knows of a restored portal.
    ///
    /// Gives whether the store now has less under this numbering than it had before: then it is a copy, or was restored,
    /// and nothing more is sent until there is a new numbering.
    pub(super) fn know(&mut self, epoch: Epoch, head: Seq, stored: Seq, remembered: Option<Cursor>) -> bool {
        if let Some(place) = self.place.filter(|place| place.epoch == epoch) {
            let back = head < place.head && !place.cloned;
            self.place = Some(Place { head: head.max(place.head), cloned: place.cloned || back, ..place });
            if back {
                self.rewind();
            }
            return back;
        }
        let remembered = remembered.filter(|cursor| cursor.epoch == epoch);
        let acknowledged = remembered.map_or(stored, |cursor| cursor.seq).min(head);
        let cloned = remembered.is_some_and(|cursor| cursor.seq > head);
        self.generation = self.generation.max(remembered.map_or(0, |cursor| cursor.generation));
        self.place = Some(Place { epoch, head, acknowledged, sent: acknowledged, cloned });
        self.flying.clear();
        self.gaps.clear();
        self.parked.clear();
        self.again.clear();
        self.calm();
        cloned
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.place.map(|place| place.epoch)
    }

    pub(super) fn head(&self) -> Seq {
        self.place.map_or(Seq::NONE, |place| place.head)
    }

    pub(super) fn acknowledged(&self) -> Seq {
        self.place.map_or(Seq::NONE, |place| place.acknowledged)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    pub(super) const fn sent_ever(&self) -> u64 {
        self.sent_ever
    }

    pub(super) const fn parked(&self) -> &BTreeMap<Seq, String> {
        &self.parked
    }

    /// What to remember over a restart.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let Place { epoch, acknowledged: seq, .. } = self.place?;
        Some(Cursor { epoch, seq, generation: self.generation })
    }

    /// Behind which number the next block to send lies; `None` while nothing may be sent.
    pub(super) fn wants(&self, now: Instant) -> Option<Seq> {
        let place = self.place.filter(|place| !place.cloned)?;
        if self.hold.is_some_and(|until| now < until) {
            return None;
        }
        let unanswered = || self.flying.values().filter(|flying| !flying.taken);
        let bytes: usize = unanswered().map(|flying| flying.bytes).sum();
        let room = self.flying.len() < self.policy.window
            && unanswered().count() < self.policy.unanswered
            && bytes < self.policy.bytes;
        (room && place.sent < place.head).then_some(place.sent)
    }

    /// A batch that somebody wants sent again although the portal's number has passed it.
    pub(super) fn wants_again(&self, now: Instant) -> Option<Seq> {
        if self.hold.is_some_and(|until| now < until) { None } else { self.again.first().copied() }
    }

    /// The block that lies next in the store; gives its envelope if it is to be sent now. What lies between is missing
    /// for good: numbers are given by durable commits only.
    pub(super) fn offer(&mut self, next: Next, now: Instant) -> Option<Envelope> {
        let place = self.place.as_mut()?;
        if next.seq <= place.sent {
            return None;
        }
        let expected = place.sent.next();
        place.sent = next.seq;
        if next.seq > expected {
            self.gap(expected, Seq::new(next.seq.number().saturating_sub(1)));
        }
        if self.parked.contains_key(&next.seq) {
            return None;
        }
        self.flying.insert(next.seq, Flying { bytes: next.bytes, taken: false });
        self.waiting.get_or_insert(now);
        self.sent_ever = self.sent_ever.saturating_add(1);
        self.envelope(next.seq, next.nonce)
    }

    /// The envelope of a block of this stream.
    pub(super) fn envelope(&self, seq: Seq, nonce: Nonce) -> Option<Envelope> {
        let epoch = self.place?.epoch;
        Some(Envelope { stream: self.stream, epoch, seq, nonce, missing: self.missing() })
    }

    /// The store has no more readable block: whatever is left below its head is damaged. A later batch will say so.
    pub(super) fn nothing_more(&mut self) {
        if let Some(Place { sent, head, .. }) = self.place
            && sent < head
        {
            self.gap(sent.next(), head);
            if let Some(place) = &mut self.place {
                place.sent = head;
            }
        }
    }

    /// The broker has taken it. Where its word counts, gives the number that is acknowledged by it.
    pub(super) fn taken(&mut self, seq: Seq, now: Instant) -> Option<Seq> {
        self.again.remove(&seq);
        self.flying.get_mut(&seq)?.taken = true;
        if !self.policy.broker {
            return None;
        }
        let mut reached = self.acknowledged();
        loop {
            let next = reached.next();
            let passed = self.missing().pass(reached);
            if passed > reached {
                reached = passed;
            } else if self.flying.get(&next).is_some_and(|flying| flying.taken) {
                reached = next;
            } else {
                break;
            }
        }
        (reached > self.acknowledged()).then(|| self.advance(reached, now))
    }

    /// It was not sent after all: nobody is subscribed, or the broker refuses it for now. Everything behind waits, too.
    pub(super) fn not_taken(&mut self, seq: Seq, now: Instant) {
        // The others of the same round say the same; once is enough.
        if !self.flying.contains_key(&seq) {
            return;
        }
        let wait = HOLD.saturating_mul(1 << self.turns.min(4));
        self.turn(now);
        self.hold = Some(now.checked_add(wait).unwrap_or(now));
    }

    /// The line is gone: what the broker has not passed on is gone with it.
    pub(super) fn line_down(&mut self) {
        self.rewind();
        self.calm();
    }

    /// The portal's word. `kept` gives the nonce of a block that the store still has.
    pub(super) fn hear(&mut self, ack: &Ack, kept: impl FnOnce(Seq) -> Option<Nonce>, now: Instant) -> Heard {
        let Some(place) = self.place else { return Heard::Nothing };
        let Some(cursor) = ack.cursor(place.epoch) else { return Heard::Nothing };
        if ack.generation < self.generation || self.policy.broker {
            return Heard::Nothing;
        }
        let other = || cursor.nonce.zip(kept(cursor.seq)).is_some_and(|(theirs, ours)| theirs != ours);
        if cursor.seq > place.head || (cursor.seq > Seq::NONE && other()) {
            self.place = Some(Place { cloned: true, ..place });
            self.rewind();
            return Heard::Cloned;
        }
        let newer = ack.generation > self.generation;
        self.generation = ack.generation;
        if cursor.seq > place.acknowledged {
            Heard::Progress(self.advance(cursor.seq, now))
        } else if cursor.seq == place.acknowledged {
            self.answered(now);
            Heard::Same
        } else if newer {
            if let Some(place) = &mut self.place {
                place.acknowledged = cursor.seq;
            }
            self.rewind();
            self.calm();
            Heard::Back(cursor.seq)
        } else {
            Heard::Nothing
        }
    }

    /// Starts again if nothing has moved for too long; says whether it did.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let patience = self.policy.patience.saturating_mul(1 << self.turns.min(4));
        let late = self.waiting.is_some_and(|since| now.saturating_duration_since(since) >= patience);
        if late {
            self.turn(now);
        }
        late
    }

    /// Sets a batch aside: it is named as missing from now on.
    pub(super) fn park(&mut self, seq: Seq, reason: String) {
        self.flying.remove(&seq);
        self.parked.insert(seq, reason);
        self.again.remove(&seq);
    }

    /// Sends a parked batch again; says whether there is such a one.
    pub(super) fn unpark(&mut self, seq: Seq) -> bool {
        let was = self.parked.remove(&seq).is_some();
        if let Some(place) = &mut self.place
            && was
        {
            if seq > place.acknowledged {
                self.rewind();
            } else {
                self.again.insert(seq);
            }
        }
        was
    }

    /// Numbers above the acknowledged one that will not come.
    fn missing(&self) -> Missing {
        let acknowledged = self.acknowledged();
        let parked = self.parked.keys().filter(|seq| **seq > acknowledged).map(|seq| (*seq, *seq));
        Missing::from_ranges(self.gaps.iter().copied().chain(parked))
    }

    fn gap(&mut self, from: Seq, to: Seq) {
        let known = self.gaps.iter().any(|(first, last)| *first <= from && to <= *last);
        // Beyond that many the portal's number has to pass the lowest first; what is behind is found again then.
        if !known && self.gaps.len() < MAX_RANGES {
            self.gaps.push((from, to));
        }
    }

    fn advance(&mut self, to: Seq, now: Instant) -> Seq {
        if let Some(place) = &mut self.place {
            place.acknowledged = to;
            place.sent = place.sent.max(to);
        }
        self.flying.retain(|seq, _| *seq > to);
        self.gaps.retain(|(_, last)| *last > to);
        self.calm();
        self.waiting = if self.flying.is_empty() { None } else { Some(now) };
        to
    }

    /// The portal says again what it has. If it should have had more, that one was lost on the way.
    fn answered(&mut self, now: Instant) {
        self.hold = None;
        let first = self.flying.first_key_value();
        let lost = first.is_some_and(|(_, flying)| flying.taken);
        let lately = self.turned.is_some_and(|then| now.saturating_duration_since(then) < ANSWERS);
        if lost && !lately {
            self.turn(now);
        }
    }

    /// Starts again behind the acknowledged number, more patiently than before.
    fn turn(&mut self, now: Instant) {
        self.rewind();
        self.turns = self.turns.saturating_add(1);
        self.turned = Some(now);
    }

    fn rewind(&mut self) {
        self.flying.clear();
        self.waiting = None;
        if let Some(place) = &mut self.place {
            place.sent = place.acknowledged;
        }
    }

    fn calm(&mut self) {
        self.turns = 0;
        self.hold = None;
        self.turned = None;
        self.waiting = None;
    }
}
