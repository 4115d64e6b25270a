//! The uplink: MQTT to the utility's broker, and through it to the portal.
//!
//! Blocks of three streams go up in order (`outbox`), over a connection that is replaced whenever anything is wrong with
//! it (`mqtt`); acknowledgements and the portal's documents come down (`downlink`). Nothing here keeps a reading: what
//! is not acknowledged stays in the store and is read again when the window opens.

mod downlink;
pub mod enrol;
mod home_assistant;
mod identity;
mod jobs;
mod memory;
mod mqtt;
mod outbox;
pub mod probe;
mod renewal;
mod report;
mod sending;
mod session;
mod shared;
mod tls;

use std::path::PathBuf;
use std::rc::Rc;

use messages::seal::SecretKey;
use tokio_util::sync::CancellationToken;

pub use identity::RENEWED;
pub use mqtt::Fault;
pub use shared::{Shared, Signals};
pub use tls::Calendar;

use crate::config::{self, Config, Credentials};
use crate::health::supervisor::Pulse;

/// What the uplink is started with.
#[derive(Debug)]
pub struct Setup {
    /// `[uplink]`
    pub config: config::Uplink,
    /// `[home_assistant]`, if it is on
    pub home_assistant: Option<config::HomeAssistant>,
    /// Where collect keeps its store.
    pub collect_dir: PathBuf,
    /// Where this half keeps what it writes: renewed certificates, too.
    pub deliver_dir: PathBuf,
    /// Where collect listens to this half.
    pub between: PathBuf,
    /// Where the service manager puts secrets.
    pub credentials: Credentials,
    /// Deliver's own key.
    pub key: SecretKey,
    /// Where to show signs of life.
    pub pulse: Option<Pulse>,
}

impl Setup {
    /// From the configuration; `None` if the uplink is off.
    #[must_use]
    pub fn new(
        config: &Config,
        credentials: Credentials,
        key: SecretKey,
        pulse: Option<Pulse>,
    ) -> Option<Self> {
        Some(Self {
            config: config.uplink.clone()?,
            home_assistant: config.home_assistant.clone(),
            collect_dir: config.gateway.collect_dir(),
            deliver_dir: config.gateway.deliver_dir(),
            between: config.status.between(),
            credentials,
            key,
            pulse,
        })
    }
}

/// The uplink of one gateway.
#[derive(Debug)]
pub struct Uplink(session::Session);

impl Uplink {
    /// Ready to run.
    ///
    /// # Errors
    /// When the configuration's names do not fit the contract, which its own check rules out.
    pub fn new(setup: Setup, shared: Rc<Shared>) -> Result<Self, messages::topic::NotAName> {
        session::Session::new(setup, shared).map(Self)
    }

    /// A handle by which a parked batch is sent again.
    #[must_use]
    pub fn unpark(&self) -> Unpark {
        self.0.unpark()
    }

    /// Runs until `stop`; then says goodbye to the broker.
    pub async fn run(self, stop: CancellationToken) {
        self.0.run(stop).await;
    }
}

pub use session::Unpark;
