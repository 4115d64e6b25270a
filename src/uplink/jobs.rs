//! Questions to the receiving half, asked beside the session so that it never waits for an answer.

use std::path::PathBuf;

use messages::seal::SealedBox;
use messages::{Id, MeterId, Time};
use tokio::task::JoinSet;

use crate::halves::control::{AskError, ask};
use crate::halves::questions::{ByDeliver, InMemory};
use crate::health::status::CollectStatus;

/// What was answered.
#[derive(Debug)]
pub(super) enum Done {
    /// How it is.
    Status(Result<Box<CollectStatus>, AskError>),
    /// It has got a meter's sealed key of this version of the document.
    Key(MeterId, u64, Result<(), AskError>),
    /// It has erased.
    Erased(Erasure, Result<(), AskError>),
    /// What waits in its memory.
    InMemory(Result<Vec<InMemory>, AskError>),
}

/// What the portal wants erased.
#[derive(Clone, Copy, Debug)]
pub(super) struct Erasure {
    /// The request.
    pub(super) id: Id,
    /// Of which meter.
    pub(super) meter: MeterId,
    /// From when on.
    pub(super) from: Time,
    /// Up to when, exclusive.
    pub(super) to: Time,
}

/// The questions under way: one of a kind at a time, so that their number is bounded.
#[derive(Debug)]
pub(super) struct Jobs {
    socket: PathBuf,
    running: JoinSet<Done>,
    status: bool,
    key: bool,
    erase: bool,
    in_memory: bool,
}

impl Jobs {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, running: JoinSet::new(), status: false, key: false, erase: false, in_memory: false }
    }

    /// The next answer; never, while nothing is asked. May be dropped at any time.
    pub(super) async fn done(&mut self) -> Done {
        loop {
            match self.running.join_next().await {
                None => std::future::pending().await,
                Some(Err(_)) => {}
                Some(Ok(done)) => {
                    match done {
                        Done::Status(_) => self.status = false,
                        Done::Key(..) => self.key = false,
                        Done::Erased(..) => self.erase = false,
                        Done::InMemory(_) => self.in_memory = false,
                    }
                    return done;
                }
            }
        }
    }

    pub(super) fn ask_status(&mut self) {
        if !std::mem::replace(&mut self.status, true) {
            let socket = self.socket.clone();
            self.running.spawn(async move { Done::Status(ask(&socket, &ByDeliver::Status).await) });
        }
    }

    /// Whether a sealed key can be handed over now.
    pub(super) const fn takes_key(&self) -> bool {
        !self.key
    }

    pub(super) fn hand_key(&mut self, meter: MeterId, version: u64, sealed: SealedBox) {
        self.key = true;
        let socket = self.socket.clone();
        self.running.spawn(async move {
            let question = ByDeliver::MeterKey { meter, sealed };
            Done::Key(meter, version, nothing(ask(&socket, &question).await))
        });
    }

    /// Whether an erasure can be asked for now.
    pub(super) const fn takes_erasure(&self) -> bool {
        !self.erase
    }

    pub(super) fn erase(&mut self, erasure: Erasure) {
        self.erase = true;
        let socket = self.socket.clone();
        let Erasure { meter, from, to, .. } = erasure;
        self.running.spawn(async move {
            let question = ByDeliver::Erase { meter, from, to };
            Done::Erased(erasure, nothing(ask(&socket, &question).await))
        });
    }

    pub(super) fn ask_in_memory(&mut self) {
        if !std::mem::replace(&mut self.in_memory, true) {
            let socket = self.socket.clone();
            self.running.spawn(async move { Done::InMemory(ask(&socket, &ByDeliver::InMemory).await) });
        }
    }
}

/// An answer that says nothing, in whatever form.
fn nothing(answer: Result<serde_json::Value, AskError>) -> Result<(), AskError> {
    answer.map(|_| ())
}
