//! A gateway's stores, and its uplink running on them.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use messages::batch::{Body, Record, Seq, Stream};
use messages::event::{MeterStatus, Reception};
use messages::reading::{Checked, HourRow};
use messages::seal::SecretKey;
use messages::{MeterId, Other, Time};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vesigate::config::{Config, Credentials};
use vesigate::health::status::UplinkStatus;
use vesigate::store::{CollectStore, Commit, DeliverStore, NewBlock, nonce};
use vesigate::uplink::{Setup, Shared, Unpark, Uplink};
use vesigate::world::World;

pub const METER: &str = "KAM.76348799.1B.16";
/// 25 November 2026.
pub const NOW: i64 = 1_795_600_000;

pub struct Site {
    pub folder: TempDir,
    pub collect: CollectStore,
    pub config: String,
    pub world: World,
    pub key: SecretKey,
}

pub struct Running {
    pub shared: Rc<Shared>,
    pub unpark: Unpark,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Site {
    /// A gateway whose `[uplink]` has these lines.
    pub fn new(uplink: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let collect = CollectStore::open(&folder.path().join("data/collect")).unwrap();
        let config = format!(
            "[gateway]\nutility = \"kylavesi\"\nname = \"gw-7\"\ndata_dir = \"{0}/data\"\n[status]\nsockets = \"{0}/run\"\n\
             [uplink]\nenabled = true\nhost = \"127.0.0.1\"\n{uplink}\n",
            folder.path().display()
        );
        Self { folder, collect, config, world: World::manual(NOW), key: SecretKey::from_bytes([7; 32]) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn between(&self) -> PathBuf {
        self.path().join("run/between")
    }

    /// Stores so many blocks of readings, one row each.
    pub fn readings(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.collect.head(Stream::Readings).unwrap().number();
            let boundary = Time::from_unix(NOW - NOW % 3600 + i64::try_from(number).unwrap() * 3600).unwrap();
            let boundary = messages::Hour::exact(boundary).unwrap();
            let row = HourRow::new(meter(), boundary, Checked::Checksum);
            self.store(Stream::Readings, Record::Hour(Box::new(row)));
        }
    }

    /// Stores an event.
    pub fn event(&mut self) {
        let status = MeterStatus {
            meter: meter(),
            at: Time::from_unix(NOW).unwrap(),
            reception: Reception::Heard,
            opened: None,
            quarantined: 0,
            sealed: 0,
            refused: Default::default(),
            other: Other::default(),
        };
        self.store(Stream::Events, Record::Meter(status));
    }

    pub fn store(&mut self, stream: Stream, record: Record) -> Seq {
        let body = Body::encode(&[record]).unwrap();
        self.store_body(stream, body)
    }

    pub fn store_body(&mut self, stream: Stream, body: Body) -> Seq {
        let block = NewBlock { stream, nonce: nonce(), records: 1, body };
        let commit = Commit { blocks: vec![block], at: Time::from_unix(NOW), ..Commit::default() };
        self.collect.commit(&commit).unwrap()[0]
    }

    /// Starts its uplink.
    pub fn start(&self) -> Running {
        let config = Config::parse(Path::new("vesigate.toml"), &self.config).unwrap();
        let store = DeliverStore::open(&config.gateway.deliver_dir()).unwrap();
        let shared = Rc::new(Shared::new(self.world.clone(), store));
        shared.calendar.borrow_mut().synchronise(&self.world.clock);
        let setup = Setup::new(&config, Credentials::default(), self.key.clone(), None).unwrap();
        let uplink = Uplink::new(setup, shared.clone()).unwrap();
        let unpark = uplink.unpark();
        let stop = CancellationToken::new();
        let task = tokio::task::spawn_local(uplink.run(stop.clone()));
        Running { shared, unpark, stop, task }
    }
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As if killed: nothing is said to anybody.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits until a stream is acknowledged so far.
    pub async fn arrives(&self, stream: Stream, seq: u64) -> UplinkStatus {
        let there = |status: &UplinkStatus| {
            status.streams.get(&stream).is_some_and(|stream| stream.acknowledged == Seq::new(seq))
        };
        self.until(there).await
    }

    /// Waits until the uplink's status is as wanted.
    pub async fn until(&self, wanted: impl Fn(&UplinkStatus) -> bool) -> UplinkStatus {
        let mut told = self.shared.status.subscribe();
        let wanted = told.wait_for(|status| status.as_ref().is_some_and(&wanted));
        match tokio::time::timeout(Duration::from_secs(90), wanted).await {
            Ok(status) => status.unwrap().clone().unwrap(),
            Err(_) => panic!("never came: {:?}", self.shared.status.borrow()),
        }
    }
}

pub fn meter() -> MeterId {
    METER.parse().unwrap()
}
