//! The receiving half's store on a thread of its own: SQLite may take its time (a card can hold a sync for a second), the
//! radio does not wait for it.
//!
//! A commit that fails is kept in memory and tried again; what waits there can be sent and mailed all the same. Every
//! failed commit may still turn out stored once the file has been opened again, so that is looked at first: a number
//! is never given to another content, and nothing is stored twice.

mod chores;
mod erasing;
mod keeper;
mod ring;
mod status;

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use messages::batch::Epoch;
use messages::{MeterId, Time};
use tokio::sync::{mpsc, oneshot, watch};

pub use erasing::Erasing;
pub use ring::{Dropped, Ring};
pub use status::{StreamState, WriterStatus};

use self::keeper::Keeper;
use super::erase::Span;
use super::trouble::{Trouble, Troubles};
use super::{CollectStore, Commit, StoreError};
use crate::config::Collect;
use crate::world::Clock;

/// Commits that wait for the thread; whoever submits one more waits.
const QUEUE: usize = 8;

/// What a [`Writer`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The receiving half's directory; the store lies in one below it.
    pub directory: PathBuf,
    /// The most bytes that the store may take.
    pub budget: u64,
    /// How long acknowledged blocks stay at least, unless the budget needs the space.
    pub keep_acknowledged: Duration,
    /// How long any block stays at most.
    pub keep_at_most: Duration,
    /// When to try again.
    pub clock: Clock,
}

impl Options {
    /// As the configuration says.
    #[must_use]
    pub const fn new(directory: PathBuf, collect: &Collect, clock: Clock) -> Self {
        Self {
            directory,
            budget: collect.store_budget,
            keep_acknowledged: collect.keep_acknowledged,
            keep_at_most: collect.keep_at_most,
            clock,
        }
    }
}

/// Writes the receiving half's store.
#[derive(Debug)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<WriterStatus>,
    ring: watch::Receiver<Ring>,
    troubles: Troubles,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Commit(Box<Commit>),
    /// Anything else, in its turn.
    Do(Box<dyn FnOnce(&mut Keeper) + Send>),
}

impl Writer {
    /// Opens the store, or a new one in place of a damaged one. A disk that is full or read-only is no error: everything
    /// is then kept in memory until it can be written.
    ///
    /// # Errors
    /// Where only a human can help: [`StoreError::Newer`], [`StoreError::TooOld`], or no thread to be had.
    pub fn start(options: Options) -> Result<Self, StoreError> {
        let (commands, asked) = mpsc::channel(QUEUE);
        let troubles = Troubles::default();
        let (status_sender, status) = watch::channel(WriterStatus::new(options.budget));
        let (keeper, ring) = Keeper::open(options, status_sender, troubles.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || runtime.block_on(keeper.run(asked)))?;
        Ok(Self { commands, status, ring, troubles, thread: std::sync::Mutex::new(Some(thread)) })
    }

    /// Hands over a commit, and waits while eight others are before it. Whether it is stored yet, [`Writer::status`]
    /// tells; it is kept until it is.
    ///
    /// # Errors
    /// The writer is closed.
    pub async fn submit(&self, commit: Commit) -> Result<(), Closed> {
        self.commands.send(Command::Commit(Box::new(commit))).await.map_err(|_| Closed)
    }

    /// Waits until every commit submitted before has been tried; `true` if all are stored.
    ///
    /// # Errors
    /// The writer is closed.
    pub async fn flush(&self) -> Result<bool, Closed> {
        self.on_thread(|keeper| keeper.waiting.is_empty()).await
    }

    /// Reads on the writer's thread, after every commit submitted before; `None` while the store cannot be opened. What
    /// waits in memory is not in it.
    ///
    /// # Errors
    /// The writer is closed.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&CollectStore) -> T + Send + 'static,
    ) -> Result<Option<T>, Closed> {
        self.on_thread(|keeper| keeper.store.as_ref().map(question)).await
    }

    /// How the store is.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<WriterStatus> {
        self.status.clone()
    }

    /// The blocks that wait in memory.
    #[must_use]
    pub fn ring(&self) -> watch::Receiver<Ring> {
        self.ring.clone()
    }

    /// What happened since the last time this was asked; at most 64 things, the oldest go.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.take()
    }

    /// Begins a new numbering, under which everything that is kept is sent again: the store was cloned or restored.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be stored; the numbering is then what it was.
    pub async fn renew_epoch(&self) -> Result<Epoch, StoreError> {
        self.on_thread(Keeper::renew_epoch).await.unwrap_or(Err(StoreError::Absent))
    }

    /// Begins to erase what is kept of a meter from `from` until before `to`, also what waits in memory and what damaged
    /// stores hold. It is done a little at a time between commits, which are stored without what is erased until
    /// [`Writer::end_erasing`]. Readers that hold the log open delay its being emptied by a minute or so.
    ///
    /// # Errors
    /// The writer is closed.
    pub async fn begin_erasing(&self, meter: MeterId, from: Time, to: Time) -> Result<Erasing, Closed> {
        let span = Span { meter, from, to };
        let (answer, done) = oneshot::channel();
        let begin = move |keeper: &mut Keeper| keeper.begin_erasing(span, answer);
        self.commands.send(Command::Do(Box::new(begin))).await.map_err(|_| Closed)?;
        Ok(Erasing { span, done })
    }

    /// Ends an erasing that is done or has failed: what is submitted from now on may hold the span again.
    ///
    /// # Errors
    /// The writer is closed.
    pub async fn end_erasing(&self, erasing: Erasing) -> Result<(), Closed> {
        let end = move |keeper: &mut Keeper| keeper.end_erasing(&erasing.span);
        self.commands.send(Command::Do(Box::new(end))).await.map_err(|_| Closed)
    }

    /// Stores what waits, folds the log into the file and ends the thread; `true` if everything is stored.
    ///
    /// # Errors
    /// The writer was closed before.
    pub async fn close(&self) -> Result<bool, Closed> {
        let stored = self.on_thread(Keeper::finish).await;
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has answered and has nothing left to do.
            let _ = thread.join();
        }
        stored
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (answer, answered) = oneshot::channel();
        let work = move |keeper: &mut Keeper| {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(work(keeper));
        };
        self.commands.send(Command::Do(Box::new(work))).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }
}

/// The writer is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;
