//! What the delivering half answers when it is asked.

use messages::event::ProblemKind;

use super::Half;
use crate::halves::control::Answer;
use crate::halves::questions::OfDeliver;
use crate::halves::reports::{self, AlarmReport};
use crate::health::status::DeliverStatus;

impl Half {
    /// Answers one question.
    pub(super) fn answer(&self, question: &OfDeliver) -> Answer {
        match question {
            OfDeliver::Status => Answer::of(&self.status()),
            // Answered once it is done, see `turn`.
            OfDeliver::Reload => Answer::Refused("it loads nothing now".to_owned()),
            OfDeliver::Alarms { since, meter } => {
                let report = AlarmReport::read(self.shared.store.borrow().view(), *since, *meter);
                report.map_or_else(|error| Answer::Refused(error.to_string()), |report| Answer::of(&report))
            }
            OfDeliver::Outbox => {
                let (store, uplink) = (self.shared.store.borrow(), self.shared.status.borrow());
                let streams = reports::streams(self.reader.as_ref(), Some(store.view()), uplink.as_ref());
                streams
                    .map_or_else(|error| Answer::Refused(error.to_string()), |streams| Answer::of(&streams))
            }
            OfDeliver::Unpark { stream, seq } => {
                let asked = self.uplink.as_ref().is_some_and(|uplink| uplink.unpark.ask(*stream, *seq));
                if asked { Answer::of(&()) } else { Answer::Refused("the uplink is off or busy".to_owned()) }
            }
        }
    }

    /// How this half is.
    pub(super) fn status(&self) -> DeliverStatus {
        let clock = &self.daemon.world.clock;
        let problems = self.shared.problems.borrow();
        let begun = problems.begun().iter();
        let mail = self.config.mail.as_ref();
        DeliverStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: clock.uptime().since(self.started).as_secs(),
            at: self.shared.now(),
            uplink: self.shared.status.borrow().clone(),
            mail: mail.and_then(|_| self.alarms.status(&mut self.shared.store.borrow_mut()).ok()),
            store: self.unread.clone(),
            deliver_key: self.key.public(),
            problems: problems.list(),
            problems_begun: begun
                .map(|(kind, count): (&ProblemKind, &u64)| (kind.to_string(), *count))
                .collect(),
        }
    }
}
