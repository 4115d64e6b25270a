//! What the receiving half answers when it is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::batch::{ContentType, Seq, Stream};
use messages::status::{Clock, ClockTrust, Disk};
use messages::{MeterId, Time};

use super::Half;
use crate::halves::control::Answer;
use crate::halves::questions::{InMemory, OfCollect};
use crate::health::clock::Source;
use crate::health::status::{CollectStatus, StreamStatus};
use crate::store::CollectStore;

impl Half {
    /// Answers one question.
    pub(super) async fn answer(&mut self, question: OfCollect) -> Answer {
        let done = match question {
            OfCollect::Status => return Answer::of(&self.status()),
            OfCollect::KeysList { after } => self.marks(after.as_deref()).map(|marks| Answer::of(&marks)),
            OfCollect::Heard { after } => {
                let now = self.daemon.world.clock.uptime();
                return Answer::of(&self.collector.heard(after, &self.names(), now));
            }
            OfCollect::Reload => {
                self.daemon.reload.notify_one();
                return Answer::of(&());
            }
            OfCollect::Tap { after } => {
                let now = self.daemon.world.clock.uptime();
                return Answer::of(
                    &self.tap.page(after, now, &self.names(), |at| self.collector.calendar().place(at)),
                );
            }
            OfCollect::InMemory => return Answer::of(&self.in_memory()),
            OfCollect::KeysAdd { keys } => self.add(&keys).map(|added| Answer::of(&added)),
            OfCollect::KeysCompare { keys } => self.compare(&keys).map(|done| Answer::of(&done)),
            OfCollect::KeysStage { import, keys } => self.stage(import, &keys).map(|here| Answer::of(&here)),
            OfCollect::KeysApply { import, count } => {
                self.apply(import, count).map(|added| Answer::of(&added))
            }
            OfCollect::KeysRemove { meters } => self.remove(&meters).map(|gone| Answer::of(&gone)),
            OfCollect::KeysTest { frames } => self.test(frames).await.map(|tests| Answer::of(&tests)),
            OfCollect::MeterKey { meter, sealed } => self.take_key(meter, &sealed).map(|()| Answer::of(&())),
            OfCollect::Erase { meter, from, to } => {
                self.erase(meter, from, to).await.map(|()| Answer::of(&()))
            }
        };
        done.unwrap_or_else(Answer::Refused)
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
            collect_key: self.vault.secret.public(),
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
    fn names(&self) -> Vec<(u8, String)> {
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

    async fn erase(&mut self, meter: MeterId, from: Time, to: Time) -> Result<(), String> {
        // What waits to be stored is erased in the store; what is not that far yet must not get there later.
        self.collector.erase(meter, from, to);
        self.store().await;
        self.writer.erase(meter, from, to).await.map_err(|error| error.to_string())?;
        if let Ok(Some(Ok(meters))) = self.writer.ask(CollectStore::sealed_meters).await {
            let of_it = meters.iter().find(|(other, _)| other.to_string() == meter.as_str());
            self.collector.set_sealed(meter, of_it.map_or(0, |(_, stored)| *stored));
        }
        Ok(())
    }
}

/// An answer has its bounds.
const MOST_IN_MEMORY: usize = 3 << 20;
