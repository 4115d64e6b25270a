//! An open broker, what a portal keeps, and gateways in between.

use std::sync::{Arc, Mutex};

use messages::topic::Leaf;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::portal::{Database, Portal};
use crate::site::Site;

pub const GATEWAY: &str = "kylavesi/gw-7";

pub struct Scene {
    /// The broker's files.
    _folder: TempDir,
    pub broker: Broker,
    pub database: Arc<Mutex<Database>>,
}

impl Scene {
    pub fn new() -> Self {
        Self::with("")
    }

    /// The broker's configuration has these lines besides.
    pub fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("listener @PORT@ 127.0.0.1\nallow_anonymous true\n{lines}");
        let broker = Broker::start(folder.path(), &config);
        Self { _folder: folder, broker, database: Database::new(5) }
    }

    pub async fn portal(&self) -> Portal {
        Portal::open(&self.broker, "kylavesi", self.database.clone()).await
    }

    /// One that stores, and acknowledges nothing.
    pub async fn silent_portal(&self) -> Portal {
        self.database.lock().unwrap().silent = true;
        self.portal().await
    }

    pub fn site(&self) -> Site {
        self.site_with("")
    }

    /// A gateway whose `[uplink]` has these lines besides.
    pub fn site_with(&self, uplink: &str) -> Site {
        Site::new(&format!("port = {}\nprogress_timeout = \"10s\"\n{uplink}", self.broker.port))
    }

    /// Batches that the portal has received, repetitions included.
    pub fn received(&self) -> u64 {
        self.database.lock().unwrap().received
    }
}

/// The full name of a topic of the gateway.
pub fn topic(leaf: Leaf) -> String {
    GATEWAY.parse::<messages::topic::Gateway>().unwrap().topic(leaf).to_string()
}
