//! Batches set aside: too large for the broker, or each time the line broke over them.

use messages::batch::{Seq, Stream};
use messages::event::ProblemKind;

use crate::uplink::session::Session;

/// How the reason of a batch begins that the broker's limit does not let through.
pub(super) const TOO_LARGE: &str = "too large:";

impl Session {
    /// Sets a batch aside.
    pub(in crate::uplink) fn park(&mut self, stream: Stream, seq: Seq, reason: &str) {
        let Some(outbox) = self.sending.outbox(stream) else { return };
        outbox.park(seq, reason.to_owned());
        if let Some(epoch) = outbox.epoch() {
            self.shared.note(self.shared.store.borrow().park(stream, epoch, seq, Some(reason)));
        }
        self.parked_problem();
    }

    /// Sends a parked batch again.
    pub(in crate::uplink) fn send_again(&mut self, stream: Stream, seq: Seq) {
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
    pub(in crate::uplink) fn unpark_what_fits(&mut self) {
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
