//! Alarms: what episodes mean, who is told, and that everybody is told once.
//!
//! [`Alarms`] is what the delivering half calls. It follows the stream `events`, and keeps in `deliver.db`, in one
//! transaction each, what it has read, what it has raised, what is queued and the records of the stream `mails` that
//! tell of it: a cut at any point leaves neither a gap nor a second mail, except one with the same Message-ID where it
//! fell between the server's yes and the commit. It knows no clock: `now` is given, and without a trusted one nothing is
//! raised and nothing sent.
//!
//! - [`rule`]: what an episode is worth, what a contact is told next; pure.
//! - [`book`]: rules and contacts, from the portal's documents or the local file.
//! - `raise`: what follows from a report, a moment or a document.
//! - `queue`: what is due, and what becomes of it.
//! - [`mail`]: the words. [`send`]: the server.

pub mod book;
mod flow;
pub mod mail;
mod queue;
mod raise;
pub mod rule;
pub mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lettre::message::Mailbox;
use messages::batch::{Epoch, Record, Seq, Stream};
use messages::event::Episode;
use messages::reading::Code;
use messages::seal::SecretKey;
use messages::{MeterId, Time};

use crate::config::{Config, MeterList};
use crate::health::status::MailStatus;
use crate::store::{Block, CollectReader, DeliverStore, Desk, MailState, StoreError};
use book::Book;
use queue::later;
use send::Outcome;

pub use queue::{Outgoing, message_id, pause};

/// The alarm side of the delivering half.
#[derive(Debug)]
pub struct Alarms {
    book: Book,
    /// `None` if mails are off.
    sender: Option<Sender>,
    /// What Message-IDs end in.
    domain: String,
    /// Mails wait until then.
    hold: Option<Time>,
    /// Which code of which meter is to be looked at when.
    look: BTreeMap<(MeterId, Code), Time>,
    /// When the next mail is due, as far as known; `None` for none.
    due: Option<Time>,
    /// Whether file and documents have been read, and all that runs looked at, since they changed.
    current: bool,
    /// The mail that is being sent.
    in_flight: Option<String>,
    /// The store that all this is about, and how far it has read.
    store: Option<Epoch>,
    cursor: Option<(Epoch, Seq)>,
    /// The day that old things were last forgotten on.
    tidied: i64,
    counted: Counted,
    trouble: Option<String>,
    server_trouble: Option<String>,
}

/// Who sends.
#[derive(Clone, Debug)]
struct Sender {
    from: Mailbox,
    reply_to: Option<Mailbox>,
}

/// What became of mails since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    sent: u64,
    refused: u64,
    given_up: u64,
}

impl Counted {
    fn count(&mut self, state: MailState) {
        let slot = match state {
            MailState::Sent => &mut self.sent,
            MailState::Refused => &mut self.refused,
            MailState::GivenUp => &mut self.given_up,
            MailState::Dropped | MailState::Waiting => return,
        };
        *slot = slot.saturating_add(1);
    }
}

/// An episode that was over so many seconds ago is no longer looked at.
const MEMORY: i64 = 7 * DAY;
/// What is done is forgotten after so many seconds: as long as rows are kept at most.
const KEPT: i64 = 100 * DAY;
/// Of what is done, so many of a kind are kept.
const MOST_KEPT: u32 = 20_000;
/// So many blocks are read in one transaction.
const BLOCKS_AT_ONCE: usize = 64;
const DAY: i64 = 86_400;

impl Alarms {
    /// For this configuration and its meter list; `secret` opens the portal's documents.
    #[must_use]
    pub fn new(config: &Config, meters: Arc<MeterList>, secret: SecretKey) -> Self {
        let mut alarms = Self {
            book: Book::new(config, Arc::clone(&meters), secret),
            sender: None,
            domain: String::new(),
            hold: None,
            look: BTreeMap::new(),
            due: None,
            current: false,
            in_flight: None,
            store: None,
            cursor: None,
            tidied: 0,
            counted: Counted::default(),
            trouble: None,
            server_trouble: None,
        };
        alarms.configure(config, meters);
        alarms
    }

    /// The configuration was loaded again; it is in force from the next [`Alarms::tick`].
    pub fn configure(&mut self, config: &Config, meters: Arc<MeterList>) {
        self.book.set_local(config, meters);
        self.sender = config.mail.as_ref().map(|mail| Sender {
            from: mail.from.mailbox().clone(),
            reply_to: mail.reply_to.as_ref().map(|reply_to| reply_to.mailbox().clone()),
        });
        let gateway = &config.gateway;
        self.domain = match (&gateway.name, &gateway.utility, &self.sender) {
            (Some(name), Some(utility), _) => format!("{name}.{utility}"),
            (_, _, Some(sender)) => sender.from.email.domain().to_owned(),
            _ => "vesigate.invalid".to_owned(),
        };
        self.current = false;
    }

    /// The portal's documents have changed; they are in force from the next [`Alarms::tick`].
    pub const fn documents_changed(&mut self) {
        self.current = false;
    }

    /// Mails wait until this moment: the portal may be about to say that they are another's. `None` lets them go.
    pub const fn hold_until(&mut self, until: Option<Time>) {
        self.hold = until;
    }

    /// Reads what is new in the receiving half's store. Gives whether records were added to the stream `mails`, or
    /// mails to the queue, or whether there is more to read.
    ///
    /// # Errors
    /// [`ReadError`] says whose store cannot be used.
    pub fn read(
        &mut self,
        store: &mut DeliverStore,
        reader: &CollectReader,
        now: Option<Time>,
    ) -> Result<bool, ReadError> {
        let theirs = ReadError::Theirs;
        let (epoch, head) = (reader.epoch().map_err(theirs)?, reader.head(Stream::Events).map_err(theirs)?);
        self.meet(store).map_err(ReadError::Ours)?;
        let after = match self.cursor {
            Some((known, seq)) if known == epoch && seq <= head => seq,
            // Another store, or a copy: everything is read again, which changes nothing that is known.
            _ => Seq::new(0),
        };
        if after == head {
            return Ok(false);
        }
        let blocks = reader.blocks(Stream::Events, after, BLOCKS_AT_ONCE).map_err(theirs)?;
        // Damaged blocks are left out, so that the last one read may be far behind what was looked at.
        let window = u64::try_from(BLOCKS_AT_ONCE).unwrap_or(u64::MAX);
        let passed = Seq::new(after.number().saturating_add(window).min(head.number()));
        let last = blocks.last().map_or(passed, |block| block.seq);
        self.take(store, Some((epoch, last)), &blocks, now).map_err(ReadError::Ours)?;
        Ok(true)
    }

    /// Takes blocks of the stream `events`, and moves the cursor, if one is given: blocks that wait in the receiving
    /// half's memory have none, and come again once they are stored.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn take(
        &mut self,
        store: &mut DeliverStore,
        cursor: Option<(Epoch, Seq)>,
        blocks: &[Block],
        now: Option<Time>,
    ) -> Result<(), StoreError> {
        let records = blocks.iter().filter_map(|block| block.body.decode().ok()).flatten();
        let episodes: Vec<Episode> = records
            .filter_map(|record| match record {
                Ok(Record::Episode(episode)) => Some(episode),
                _ => None,
            })
            .collect();
        self.work(store, now, |alarms, desk| {
            for episode in episodes {
                alarms.learn(desk, episode)?;
            }
            if let Some((epoch, seq)) = cursor {
                desk.set_cursor(epoch, seq)?;
            }
            now.map_or(Ok(()), |now| alarms.look(desk, now))
        })?;
        self.cursor = cursor.or(self.cursor);
        Ok(())
    }

    /// Does what is due by time or by changed documents. Cheap when there is nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn tick(&mut self, store: &mut DeliverStore, now: Option<Time>) -> Result<(), StoreError> {
        let Some(now) = now else { return Ok(()) };
        self.meet(store)?;
        let today = now.unix().div_euclid(DAY);
        if self.current && today == self.tidied && !self.look.values().any(|at| *at <= now) {
            return Ok(());
        }
        self.work(store, Some(now), |alarms, desk| {
            if alarms.tidied != today {
                if let Some(newest) = desk.forget(later(now, -KEPT), MOST_KEPT)? {
                    desk.raise_floor(later(newest, 1))?;
                }
                alarms.tidied = today;
            }
            alarms.look(desk, now)
        })
    }

    /// The next mail to send. One at a time: until [`Alarms::done`] there is no other.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn next(
        &mut self,
        store: &mut DeliverStore,
        reader: Option<&CollectReader>,
        now: Option<Time>,
    ) -> Result<Option<Outgoing>, StoreError> {
        let Some(now) = now else { return Ok(None) };
        self.meet(store)?;
        let held = self.hold.is_some_and(|until| until > now);
        if held || self.in_flight.is_some() || self.due.is_none_or(|due| due > now) {
            return Ok(None);
        }
        let flow = |meter, code: &Code| reader.and_then(|reader| flow::litres(reader, meter, code, now));
        let outgoing = self.work(store, Some(now), |alarms, desk| {
            // Nothing is sent by what was in force before.
            alarms.look(desk, now)?;
            let outgoing = alarms.pick(desk, &flow, now)?;
            alarms.look(desk, now)?;
            Ok(outgoing)
        })?;
        self.in_flight = outgoing.as_ref().map(|outgoing| outgoing.message.clone());
        Ok(outgoing)
    }

    /// What came of sending a mail.
    ///
    /// # Errors
    /// See [`StoreError`]. Until it has been stored, this has to be said again: the mail would be sent a second time.
    pub fn done(
        &mut self,
        store: &mut DeliverStore,
        message: &str,
        outcome: &Outcome,
        now: Time,
    ) -> Result<(), StoreError> {
        self.trouble = outcome.trouble().map(ToString::to_string);
        match outcome {
            Outcome::Sent { .. } => self.server_trouble = None,
            Outcome::Server(trouble) => self.server_trouble = Some(trouble.to_string()),
            Outcome::Later(_) | Outcome::Refused(_) => {}
        }
        self.work(store, Some(now), |alarms, desk| {
            alarms.settle(desk, message, outcome, now)?;
            alarms.look(desk, now)
        })?;
        self.in_flight = None;
        Ok(())
    }

    /// The attempt at a mail ended without an outcome: the mail is due as before.
    pub fn lost(&mut self) {
        self.in_flight = None;
    }

    /// When the next mail is due, if nothing holds it.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.due.map(|due| self.hold.map_or(due, |hold| due.max(hold)))
    }

    /// After how many minutes an episode of a code may be an alarm, by any rule in force: what the receiving half has to
    /// write a record at.
    #[must_use]
    pub const fn thresholds(&self) -> &BTreeMap<Code, BTreeSet<u32>> {
        self.book.thresholds()
    }

    /// What is wrong with the mail server, with what to do; never an address.
    #[must_use]
    pub fn server_trouble(&self) -> Option<&str> {
        self.server_trouble.as_deref()
    }

    /// How the mails are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn status(&self, store: &mut DeliverStore) -> Result<MailStatus, StoreError> {
        let counts = store.desk(None, |desk| desk.counts())?;
        Ok(MailStatus {
            queued: counts.waiting,
            sent: self.counted.sent,
            refused: self.counted.refused,
            given_up: self.counted.given_up,
            alarms: counts.alarms,
            error: self.trouble.clone(),
        })
    }

    /// Whether the store is still the one that is known; a damaged one is replaced while we run.
    fn meet(&mut self, store: &mut DeliverStore) -> Result<(), StoreError> {
        if self.store == Some(store.epoch()) {
            return Ok(());
        }
        (self.cursor, self.due) = store.desk(None, |desk| Ok((desk.cursor()?, desk.next_due()?)))?;
        (self.store, self.current, self.tidied) = (Some(store.epoch()), false, 0);
        self.look.clear();
        Ok(())
    }

    /// One transaction. If it fails, what is held in memory may be ahead of the store: everything is looked at again.
    fn work<T>(
        &mut self,
        store: &mut DeliverStore,
        now: Option<Time>,
        work: impl FnOnce(&mut Self, &mut Desk<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let counted = self.counted;
        let done = store.desk(now, |desk| {
            let done = work(self, desk)?;
            Ok((done, desk.next_due()?))
        });
        match done {
            Ok((done, due)) => {
                self.due = due;
                Ok(done)
            }
            Err(error) => {
                self.store = None;
                (self.current, self.counted, self.tidied) = (false, counted, 0);
                Err(error)
            }
        }
    }
}

/// Why the receiving half's records cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its store cannot be read.
    #[error(transparent)]
    Theirs(StoreError),
    /// Ours cannot be used.
    #[error(transparent)]
    Ours(StoreError),
}

#[cfg(test)]
mod tests;
