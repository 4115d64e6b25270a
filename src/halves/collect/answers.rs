//! What the receiving half answers when it is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::batch::{ContentType, Seq, Stream};
use messages::status::{Clock, ClockTrust, Disk};

use super::Half;
use crate::halves::control::{Answer, Asked};
use crate::halves::questions::{InMemory, OfCollect};
use crate::health::clock::Source;
use crate::health::status::{CollectStatus, StreamStatus};

impl Half {
    /// Answers one question; what takes long is answered when it is done.
    pub(super) async fn answer(&mut self, (question, to): Asked<OfCollect>) {
        let now = self.daemon.world.clock.uptime();
        let answer = match question {
            OfCollect::KeysAdd { keys } => return self.add(&keys, to),
            OfCollect::KeysApply { import, count } => return self.apply(import, count, to),
            OfCollect::KeysRemove { meters } => return self.remove(&meters, to),
            OfCollect::MeterKey { meter, sealed } => return self.take_key(meter, sealed, to),
            OfCollect::KeysTest { frames } => return self.test(frames, to).await,
            OfCollect::Erase { meter, from, to: until } => return self.erase((meter, from, until), to).await,
            OfCollect::Status => Answer::of(&self.status()),
            OfCollect::KeysList { after } => answer_of(self.marks(after.as_deref())),
            OfCollect::Heard { after } => Answer::of(&self.collector.heard(after, &self.names(), now)),
            OfCollect::Reload => return self.reloads.wish(to),
            OfCollect::Tap { after } => {
                let names = self.names();
                Answer::of(&self.tap.page(after, now, &names, |at| self.collector.calendar().place(at)))
            }
            OfCollect::InMemory => Answer::of(&self.in_memory()),
            OfCollect::KeysCompare { keys } => answer_of(self.compare(&keys)),
            OfCollect::KeysStage { import, keys } => answer_of(self.stage(import, &keys)),
        };
        // Whoever asked may have stopped waiting.
        let _ = to.send(answer);
    }

    /// How this half is.
    pub(super) fn status(&self) -> CollectStatus {
        let now = self.daemon.world.clock.uptime();
        let calendar = self.collector.calendar();
        let writer = self.writer_status.borrow();
        let streams = writer.streams.iter().filter_map(|(stream, state)| {
            let status = StreamStatus {
                epoch: writer.epoch?,
                head: state.head,
                acknowledged: state.acknowledged,
                blocks: state.blocks,
                bytes: state.bytes.unwrap_or_default(),
                in_memory: state.waiting,
                lost: state.lost,
            };
            Some((*stream, status))
        });
        let mut telegrams = self.collector.telegrams().clone();
        telegrams.dropped =
            telegrams.dropped.saturating_add(self.receivers.dropped()).saturating_add(self.feeds.dropped());
        let begun = self.problems.begun().iter();
        let clock = &self.daemon.world.clock;
        let mut receivers = self.receivers.told(clock, |uptime| calendar.place(uptime));
        receivers.extend(self.feeds.told(clock, |uptime| calendar.place(uptime)));
        CollectStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.since(self.started).as_secs(),
            at: calendar.place(now),
            clock: Clock {
                trust: match (calendar.is_trusted(), self.source) {
                    (false, _) => ClockTrust::Untrusted,
                    (true, Source::Rtc) => ClockTrust::Rtc,
                    (true, Source::TimeService | Source::MadeUp) => ClockTrust::Trusted,
                },
                synchronised: self.synchronised.and_then(|uptime| calendar.place(uptime)),
                unplaced: self.unplaced.saturating_add(self.collector.unplaced()),
            },
            receivers,
            feeds: self.feeds.status(),
            streams: streams.collect(),
            disk: Disk {
                state: writer.state.clone(),
                used: writer.used,
                budget: writer.budget,
                free: writer.free,
            },
            collect_key: self.keeper.vault.secret.public(),
            meters: self.collector.meters(now),
            telegrams,
            episodes: self.collector.episodes(),
            rows: self.collector.rows(),
            never_placed: writer.never_placed,
            refusing: self.collector.refusing(now),
            problems: self.problems.list(),
            problems_begun: begun.map(|(kind, count)| (kind.to_string(), *count)).collect(),
        }
    }

    /// The names of receivers and feeds, by their numbers.
    pub(super) fn names(&self) -> Vec<(u8, String)> {
        let mut names = self.receivers.names();
        names.extend(self.feeds.names());
        names
    }

    fn in_memory(&self) -> Vec<InMemory> {
        let ring = self.ring.borrow();
        let blocks = [Stream::Events, Stream::Readings].into_iter().flat_map(|stream| {
            let blocks = ring.blocks(stream, Seq::NONE, usize::MAX).into_iter();
            blocks.map(move |block| (stream, block))
        });
        let mut size = 0usize;
        let told = blocks.map(|(stream, block)| InMemory {
            stream,
            epoch: ring.epoch,
            seq: block.seq,
            nonce: block.nonce,
            deflated: block.body.content_type == ContentType::Deflated,
            body: STANDARD.encode(&block.body.bytes),
        });
        // Events first; what does not fit one answer is asked for again once these are through.
        told.take_while(|block| {
            size = size.saturating_add(block.body.len());
            size <= MOST_IN_MEMORY
        })
        .collect()
    }
}

fn answer_of<T: serde::Serialize>(done: Result<T, String>) -> Answer {
    done.map_or_else(Answer::Refused, |done| Answer::of(&done))
}

/// An answer has its bounds.
const MOST_IN_MEMORY: usize = 3 << 20;
