//! The gateway's two halves: collect (radio, keys, readings; needs no network) and deliver (MQTT, mail; needs neither a
//! dongle nor a key). They meet only in the store; what they say to each other here are hints and questions.

pub mod collect;
pub mod control;
pub mod deliver;
pub mod identity;
pub mod nudge;
pub mod questions;
pub mod reload;
pub mod reports;
pub mod tap;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Credentials};
use crate::health::supervisor::Supervisor;
use crate::world::World;

/// What each half is started with.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Time and which start of the machine this is.
    pub world: World,
    /// The configuration; changes when it is loaded again, and is whole and checked then, too.
    pub config: watch::Receiver<Arc<Config>>,
    /// Where the service manager puts secrets.
    pub credentials: Credentials,
    /// Takes wishes for the configuration to be loaded again, as at SIGHUP.
    pub reload: mpsc::Sender<reload::Wish>,
    /// Whom to show signs of life, and whom to tell that this half has started.
    pub supervisor: Supervisor,
    /// Stop in order.
    pub stop: CancellationToken,
}

/// Why a half cannot run at all. Absent dongles, brokers, mail servers and meters are no reason.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A file or directory of ours.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The meter keys, or the key that seals them.
    #[error("{0}")]
    Keys(String),
    /// The store, in a way that setting it aside does not mend.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    /// A secret or certificate that the configuration names.
    #[error("{0}")]
    Secret(String),
    /// The program itself.
    #[error("{0}")]
    Program(String),
}
