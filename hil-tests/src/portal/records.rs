//! What the portal's stand-in has stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use messages::batch::{Body, Envelope, Epoch, Missing, Nonce, Record, Seq, Stream};
use messages::event::{Episode, MeterStatus, Problem};
use messages::mail::{Alarm, MailReport, RequestReport};
use messages::reading::HourRow;
use messages::topic::Leaf;
use messages::{Ack, Cursor, Hour, Id, MeterId, State, Status};
use rumqttc::mqttbytes::v5::Publish;

use super::batch;
use crate::store::add_row;

/// Everything it has taken in.
#[derive(Clone, Default)]
pub struct Records {
    stored: Stored,
    /// The retained `status`.
    pub status: Option<Status>,
    /// The retained `state`.
    pub state: Option<State>,
    /// Batches taken in, repetitions included.
    pub batches: u64,
    /// Whatever broke the contract: must stay empty.
    pub breaches: Vec<String>,
}

/// A backup: what a restore brings back.
#[derive(Clone, Debug)]
pub struct Snapshot(Stored);

#[derive(Clone, Debug, Default)]
struct Stored {
    generation: u64,
    cursors: BTreeMap<(Stream, Epoch), Progress>,
    /// The durable epoch of each stream that was heard last, and the throw-away one.
    newest: BTreeMap<(Stream, bool), Epoch>,
    rows: BTreeMap<(MeterId, Hour), HourRow>,
    episodes: BTreeMap<Id, Episode>,
    meters: BTreeMap<MeterId, MeterStatus>,
    problems: BTreeMap<Id, Problem>,
    alarms: Vec<Alarm>,
    mails: Vec<MailReport>,
    requests: Vec<RequestReport>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    cursor: Seq,
    missing: BTreeSet<Seq>,
    batches: BTreeMap<Seq, (Nonce, Body)>,
}

impl Records {
    /// Takes in a message. Gives the stream that is to be acknowledged.
    pub(super) fn message(&mut self, leaf: Leaf, message: &Publish) -> Option<Stream> {
        match leaf {
            Leaf::Uplink => {
                let (envelope, body) = batch(message);
                self.batch(&envelope, body);
                return Some(envelope.stream);
            }
            Leaf::Status => match serde_json::from_slice(&message.payload) {
                Ok(status) => self.status = Some(status),
                Err(error) => self.breaches.push(format!("status: {error}")),
            },
            Leaf::State => match serde_json::from_slice(&message.payload) {
                Ok(state) => self.state = Some(state),
                Err(error) => self.breaches.push(format!("state: {error}")),
            },
            other => self.breaches.push(format!("a message for {other:?}")),
        }
        None
    }

    /// Takes in a batch: any number of times, in any order.
    pub fn batch(&mut self, envelope: &Envelope, body: Body) {
        let Envelope { stream, epoch, seq, nonce, missing } = envelope;
        self.batches += 1;
        self.stored.newest.insert((*stream, epoch.is_throw_away()), *epoch);
        let progress = self.stored.cursors.entry((*stream, *epoch)).or_default();
        progress.miss(missing);
        if let Some((known, content)) = progress.batches.get(seq) {
            if (known, content) != (nonce, &body) {
                self.breaches.push(format!("{stream} {epoch} {seq} has come with two contents"));
            }
            progress.advance(epoch.is_throw_away());
            return;
        }
        match body.decode() {
            Ok(records) => {
                progress.batches.insert(*seq, (*nonce, body));
                progress.advance(epoch.is_throw_away());
                for record in records {
                    match record {
                        Ok(record) => self.stored.record(record),
                        Err(bad) => self.breaches.push(format!("a dead letter: {bad:?}")),
                    }
                }
            }
            Err(error) => self.breaches.push(format!("{stream} {epoch} {seq}: {error}")),
        }
    }

    /// The acknowledgement of a stream as it stands.
    #[must_use]
    pub fn ack(&self, stream: Stream) -> Ack {
        let cursor = |throw_away| {
            let epoch = *self.stored.newest.get(&(stream, throw_away))?;
            let progress = self.stored.cursors.get(&(stream, epoch))?;
            let nonce = progress.batches.get(&progress.cursor).map(|(nonce, _)| *nonce);
            Some(Cursor { epoch, seq: progress.cursor, nonce })
        };
        Ack {
            generation: self.stored.generation,
            epochs: [false, true].into_iter().filter_map(cursor).collect(),
        }
    }

    /// The cursor of a numbering.
    #[must_use]
    pub fn cursor(&self, stream: Stream, epoch: Epoch) -> Seq {
        self.stored.cursors.get(&(stream, epoch)).map_or(Seq::NONE, |progress| progress.cursor)
    }

    /// Numbers of a numbering that were said to be missing.
    #[must_use]
    pub fn missing(&self, stream: Stream, epoch: Epoch) -> Vec<Seq> {
        let progress = self.stored.cursors.get(&(stream, epoch));
        progress.map(|progress| progress.missing.iter().copied().collect()).unwrap_or_default()
    }

    /// The durable numberings of a stream that were heard, in no order.
    #[must_use]
    pub fn epochs(&self, stream: Stream) -> Vec<Epoch> {
        let of = self.stored.cursors.keys().filter(|(of, epoch)| *of == stream && !epoch.is_throw_away());
        of.map(|(_, epoch)| *epoch).collect()
    }

    /// How many batches of a stream came under throw-away numberings.
    #[must_use]
    pub fn from_memory(&self, stream: Stream) -> usize {
        let of = self.stored.cursors.iter().filter(|((of, epoch), _)| *of == stream && epoch.is_throw_away());
        of.map(|(_, progress)| progress.batches.len()).sum()
    }

    /// The batches of a numbering.
    #[must_use]
    pub fn batches_of(&self, stream: Stream, epoch: Epoch) -> BTreeMap<Seq, (Nonce, Body)> {
        let progress = self.stored.cursors.get(&(stream, epoch));
        progress.map(|progress| progress.batches.clone()).unwrap_or_default()
    }

    /// The hour rows, joined.
    #[must_use]
    pub const fn rows(&self) -> &BTreeMap<(MeterId, Hour), HourRow> {
        &self.stored.rows
    }

    /// The episodes.
    #[must_use]
    pub const fn episodes(&self) -> &BTreeMap<Id, Episode> {
        &self.stored.episodes
    }

    /// The last word on each meter.
    #[must_use]
    pub const fn meters(&self) -> &BTreeMap<MeterId, MeterStatus> {
        &self.stored.meters
    }

    /// Problems, by id: their last report.
    #[must_use]
    pub const fn problems(&self) -> &BTreeMap<Id, Problem> {
        &self.stored.problems
    }

    /// Alarms raised.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.stored.alarms
    }

    /// What became of mails.
    #[must_use]
    pub fn mails(&self) -> &[MailReport] {
        &self.stored.mails
    }

    /// What became of requests.
    #[must_use]
    pub fn requests(&self) -> &[RequestReport] {
        &self.stored.requests
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(self.stored.clone())
    }

    pub(super) fn restore(&mut self, Snapshot(stored): Snapshot) {
        let generation = self.stored.generation + 1;
        self.stored = Stored { generation, ..stored };
    }
}

/// Counts, not contents: the contents are long.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cursors: Vec<_> =
            self.stored.cursors.iter().map(|(of, progress)| (of, progress.cursor)).collect();
        f.debug_struct("Records")
            .field("batches", &self.batches)
            .field("cursors", &cursors)
            .field("rows", &self.stored.rows.len())
            .field("episodes", &self.stored.episodes.len())
            .field("alarms", &self.stored.alarms)
            .field("mails", &self.stored.mails)
            .field("requests", &self.stored.requests)
            .field("problems", &self.stored.problems)
            .field("state", &self.state)
            .field("breaches", &self.breaches)
            .finish_non_exhaustive()
    }
}

impl Stored {
    fn record(&mut self, record: Record) {
        match record {
            Record::Hour(row) => add_row(&mut self.rows, *row),
            Record::Episode(episode) => {
                let joined = match self.episodes.get(&episode.id) {
                    Some(known) => known.joined(&episode),
                    None => episode,
                };
                self.episodes.insert(joined.id, joined);
            }
            Record::Meter(status) => {
                self.meters.insert(status.meter, status);
            }
            Record::Problem(problem) => {
                self.problems.insert(problem.id, problem);
            }
            Record::Alarm(alarm) => self.alarms.push(alarm),
            Record::Mail(mail) => self.mails.push(mail),
            Record::Request(request) => self.requests.push(request),
            _ => {}
        }
    }
}

impl Progress {
    fn miss(&mut self, missing: &Missing) {
        for (from, to) in missing.ranges() {
            self.missing.extend((from.number()..=to.number()).map(Seq::new));
        }
    }

    /// Nothing waits for the gaps of a throw-away numbering.
    fn advance(&mut self, over_gaps: bool) {
        if over_gaps {
            self.cursor = self.batches.keys().next_back().copied().unwrap_or_default();
        }
        while self.batches.contains_key(&self.cursor.next()) || self.missing.contains(&self.cursor.next()) {
            self.cursor = self.cursor.next();
        }
    }
}
