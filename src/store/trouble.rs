//! What happened to a store that people should hear of.

use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use messages::batch::Stream;

/// Something that happened to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was damaged; a new one has taken its place.
    SetAside {
        /// Where the damaged one is now.
        to: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// Everything that could be read of a damaged one has been taken over.
    Salvaged {
        /// The damaged one.
        from: PathBuf,
        /// Blocks taken over.
        blocks: u64,
        /// Places that could not be read.
        unreadable: u64,
    },
    /// Blocks were given up before they were acknowledged.
    Lost {
        /// Their stream.
        stream: Stream,
        /// Their numbers.
        numbers: RangeInclusive<u64>,
        /// Why.
        because: Because,
    },
    /// The log grows, since a reader does not let go of it.
    LongLog {
        /// Its bytes.
        bytes: u64,
    },
}

/// Why blocks were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// They are older than anything may be.
    Age,
    /// The store may not take more room.
    Budget,
    /// They differ from their checksum, or cannot be read.
    Damage,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { to, reason } => {
                write!(
                    f,
                    "the store was damaged ({reason}); it was set aside as {} and a new one is in use",
                    to.display()
                )
            }
            Self::Salvaged { from, blocks, unreadable } => write!(
                f,
                "{blocks} blocks were saved from {}; {unreadable} places in it could not be read",
                from.display()
            ),
            Self::Lost { stream, numbers, because } => {
                let why = match because {
                    Because::Age => "they were older than may be kept",
                    Because::Budget => {
                        "the store may not take more room: raise store_budget or look why nothing is acknowledged"
                    }
                    Because::Damage => "they are damaged: check the card",
                };
                let (first, last) = (numbers.start(), numbers.end());
                write!(f, "blocks {first} to {last} of {stream} were given up before they were sent: {why}")
            }
            Self::LongLog { bytes } => {
                write!(
                    f,
                    "the log of the store has {bytes} bytes: another program reads the store without pause"
                )
            }
        }
    }
}

/// The latest troubles; when nobody takes them, the oldest go.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles(Arc<Mutex<VecDeque<Trouble>>>);

const MOST: usize = 64;

impl Troubles {
    pub(super) fn add(&self, trouble: Trouble) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() == MOST {
            list.pop_front();
        }
        list.push_back(trouble);
    }

    pub(super) fn take(&self) -> Vec<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
