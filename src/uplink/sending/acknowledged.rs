//! What the portal acknowledges: to the receiving half, which frees it, and into our own store.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::Ack;
use messages::batch::{Epoch, Nonce, Stream};
use messages::event::ProblemKind;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::halves::nudge::{self, Told};
use crate::uplink::outbox::{Heard, Outbox};
use crate::uplink::session::Session;

/// How often collect is told again.
const TELL: Duration = Duration::from_secs(60);
/// How often the portal's progress is written down, but for restarts and lost lines.
const SAVE: Duration = Duration::from_secs(3600);
/// The same after a lost line.
const SAVE_SOON: Duration = Duration::from_secs(600);

impl Session {
    /// The portal's word on a stream.
    pub(in crate::uplink) fn acknowledged(&mut self, stream: Stream, ack: &Ack) {
        self.look();
        self.memory.hear(stream, ack);
        let now = Instant::now();
        let kept: BTreeMap<Epoch, Option<Nonce>> = ack
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
    pub(super) fn cloned(&mut self, stream: Stream, epoch: Epoch) {
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
    pub(in crate::uplink) fn tell_collect(&mut self, at_once: bool) {
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
            nudge::say(&self.setup.between.join("nudge.sock"), &told);
            self.sending.told = Some((now, told));
        }
    }

    /// Writes down how far the portal has the streams: rarely, since the portal says it again with each line.
    pub(in crate::uplink) fn save_cursors(&mut self, at_once: bool) {
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
}
