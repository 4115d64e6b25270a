//! What is wrong with the receiving half: found each second, told once.

use std::time::Duration;

use messages::Time;
use messages::batch::Record;
use messages::event::ProblemKind;
use messages::status::DiskState;
use tracing::{info, warn};

use super::Half;
use crate::health::problem::Listed;
use crate::store::Trouble;

/// A machine that starts needs a while for its time service.
const CLOCK_PATIENCE: Duration = Duration::from_secs(300);

impl Half {
    /// Looks for what is wrong, and for what is over.
    pub(super) fn look(&mut self) {
        let now = self.daemon.world.clock.uptime();
        let at = self.collector.calendar().place(now);
        let mut told = Vec::new();
        self.feeds.listen();
        let feeds = self.feeds.wrong(now);
        for wrong in self.receivers.wrong(now).chain(feeds) {
            for (kind, text) in wrong.problems() {
                told.extend(self.problems.set(kind, Some(&wrong.name), text, at));
            }
        }
        told.extend(self.forget_strangers(at));
        let untrusted = !self.collector.calendar().is_trusted() && now.since(self.started) >= CLOCK_PATIENCE;
        let text = untrusted.then_some(
            "the clock was not set by a time service yet: readings wait for it; check the network, or set clock = \"rtc\"",
        );
        told.extend(self.problems.set(ProblemKind::ClockUntrusted, None, text, at));
        let writer = self.writer_status.borrow();
        let said = writer.error.as_deref().unwrap_or("the disk cannot be written");
        let full = (writer.state == DiskState::Full).then_some(said);
        let read_only = (writer.state == DiskState::ReadOnly).then_some(said);
        told.extend(self.problems.set(ProblemKind::DiskFull, None, full, at));
        told.extend(self.problems.set(ProblemKind::DiskReadOnly, None, read_only, at));
        drop(writer);
        for trouble in self.writer.troubles() {
            told.extend(self.tell(&trouble, at));
        }
        for record in told {
            self.collector.event(record, now);
        }
    }

    /// What was wrong with receivers and feeds that the configuration has no more is over.
    fn forget_strangers(&mut self, at: Option<Time>) -> Vec<Record> {
        let names = self.names();
        let stranger = |listed: &Listed| {
            let of_receiver = matches!(listed.problem, ProblemKind::ReceiverGone | ProblemKind::ReceiverDeaf);
            of_receiver && names.iter().all(|(_, name)| listed.place.as_ref() != Some(name))
        };
        let strangers: Vec<Listed> = self.problems.list().into_iter().filter(stranger).collect();
        let over = |listed: Listed| self.problems.clear(&listed.problem, listed.place.as_deref(), at);
        strangers.into_iter().filter_map(over).collect()
    }

    /// What happened to the store, as records of problems. One that does not last begins and ends at once.
    fn tell(&mut self, trouble: &Trouble, at: Option<Time>) -> Vec<Record> {
        let text = trouble.to_string();
        let problems = &mut self.problems;
        let records = match trouble {
            Trouble::SetAside { .. } => [problems.raise(ProblemKind::StoreDamaged, None, &text, at), None],
            Trouble::Salvaged { .. } => {
                info!("{text}");
                [problems.clear(&ProblemKind::StoreDamaged, None, at), None]
            }
            Trouble::Lost { stream, .. } => {
                let place = Some(stream.as_str());
                let begun = problems.raise(ProblemKind::Pruned, place, &text, at);
                [begun, problems.clear(&ProblemKind::Pruned, place, at)]
            }
            Trouble::LongLog { .. } => {
                warn!("{text}");
                [None, None]
            }
        };
        records.into_iter().flatten().collect()
    }
}
