//! What the receiving half answers when it is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::batch::{ContentType, Seq, Stream};
use messages::seal::SealedBox;
use messages::status::{Clock, ClockTrust, Disk};
use messages::{MeterId, Time};
use wmbus::{Key, Meter};
use zeroize::Zeroizing;

use super::Half;
use crate::halves::control::Answer;
use crate::halves::questions::{InMemory, KeyMark, KeysAdded, NewKey, OfCollect};
use crate::health::clock::Source;
use crate::health::status::{CollectStatus, StreamStatus};
use crate::keyring::{Inserted, Selector, parse_key};
use crate::store::CollectStore;

impl Half {
    /// Answers one question.
    pub(super) async fn answer(&mut self, question: OfCollect) -> Answer {
        let done = match question {
            OfCollect::Status => return Answer::of(&self.status()),
            OfCollect::KeysList => return Answer::of(&self.marks()),
            OfCollect::Heard { after } => {
                let now = self.daemon.world.clock.uptime();
                return Answer::of(&self.collector.heard(after, &self.receivers.names(), now));
            }
            OfCollect::Tap { after } => {
                let now = self.daemon.world.clock.uptime();
                return Answer::of(
                    &self
                        .tap
                        .page(after, now, &self.receivers.names(), |at| self.collector.calendar().place(at)),
                );
            }
            OfCollect::InMemory => return Answer::of(&self.in_memory()),
            OfCollect::KeysAdd { keys } => self.add(&keys).map(|added| Answer::of(&added)),
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
        telegrams.dropped = telegrams.dropped.saturating_add(self.receivers.dropped());
        let begun = self.problems.begun().iter();
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
            receivers: self.receivers.told(&self.daemon.world.clock, |uptime| calendar.place(uptime)),
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

    fn marks(&self) -> Vec<KeyMark> {
        let mark = |listed: crate::keyring::Listed| KeyMark {
            meter: listed.selector.to_string(),
            mark: listed.fingerprint.to_string(),
        };
        self.collector.keys().list().into_iter().map(mark).collect()
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

    /// All keys or none.
    fn add(&mut self, new: &[NewKey]) -> Result<KeysAdded, String> {
        let read = |new: &NewKey| {
            let meter: Selector =
                new.meter.parse().map_err(|_| format!("{:?} is not a meter; no key was added", new.meter))?;
            let key = parse_key(&new.key).map_err(|error| format!("{meter}: {error}; no key was added"))?;
            Ok((meter, key))
        };
        let new: Vec<(Selector, Key)> = new.iter().map(read).collect::<Result<_, String>>()?;
        // Whoever gives one meter its key again says that it was set up anew; a whole file is read again for others'
        // sake.
        let anew = if let [(meter, _)] = new.as_slice() { Some(*meter) } else { None };
        let added = self.insert(new)?;
        if let Some(meter) = anew {
            self.collector.forget_protection(meter, self.daemon.world.clock.uptime());
        }
        Ok(added)
    }

    /// A key that the utility sealed to this gateway.
    fn take_key(&mut self, meter: MeterId, sealed: &SealedBox) -> Result<(), String> {
        let selector: Meter = meter.as_str().parse().map_err(|_| format!("{meter} is not a meter"))?;
        let plain = sealed.open(&self.vault.secret).map_err(|error| error.to_string())?;
        let bytes: Zeroizing<[u8; 16]> = plain
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| "what was sealed is not a key of 16 bytes".to_owned())?;
        self.insert(vec![(Selector::Full(selector), Key::new(*bytes))]).map(|_| ())
    }

    fn insert(&mut self, new: Vec<(Selector, Key)>) -> Result<KeysAdded, String> {
        let mut keys = self.vault.load()?;
        let mut added = KeysAdded::default();
        let mut changed = Vec::new();
        for (meter, key) in new {
            let inserted = keys.insert(meter, key).map_err(|full| full.to_string())?;
            match inserted {
                Inserted::New => added.added += 1,
                Inserted::Same => added.same += 1,
                Inserted::Replaced => added.replaced += 1,
            }
            if inserted != Inserted::Same {
                changed.push(meter);
            }
        }
        if !changed.is_empty() {
            self.vault.save(&keys)?;
            self.collector.set_keys(keys);
        }
        // What was recorded under another key does not open.
        for meter in changed {
            self.collector.forget_protection(meter, self.daemon.world.clock.uptime());
        }
        Ok(added)
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
