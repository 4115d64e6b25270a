//! A gateway's receiving half on a table: dongle, clock and store in the hands of the test.

use std::sync::Arc;
use std::time::Duration;

use emulator::dongle::Kind;
use emulator::plugged::Plugged;
use messages::Time;
use messages::batch::{Record, Seq, Stream};
use messages::reading::HourRow;
use messages::status::ReceiverState;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vesigate::config::{Config, Credentials};
use vesigate::halves::control::{AskError, ask};
use vesigate::halves::questions::{KeysAdded, NewKey, OfCollect};
use vesigate::halves::{Daemon, Fatal, collect};
use vesigate::health::status::CollectStatus;
use vesigate::health::supervisor::Supervisor;
use vesigate::store::CollectReader;
use vesigate::world::{Clock, World};
use wmbus::encode::{Protection, RecordWriter, Shape, telegram};
use wmbus::link::{Communication, Session};
use wmbus::{Cipher, Key, Meter};
use zeroize::Zeroizing;

/// The info code "leak" of the meter below.
pub(crate) const LEAK: i64 = 1 << 2;
/// The link mode that the dongle is set to: from then on it hears.
const KEY: &str = "000102030405060708090A0B0C0D0E0F";

/// A MULTICAL 21.
pub(crate) fn meter() -> Meter {
    "KAM.76348799.1B.16".parse().unwrap()
}

/// A running half.
pub(crate) struct Site {
    folder: TempDir,
    dongle: Plugged,
    clock: Clock,
    start: i64,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Fatal>>,
    sent: u64,
    _config: watch::Sender<Arc<Config>>,
}

impl Site {
    pub(crate) async fn new(start: &str) -> Self {
        Self::with_list(start, &[]).await
    }

    pub(crate) async fn with_list(start: &str, listed: &[Meter]) -> Self {
        Self::with_dongle(start, listed, Kind::Im871a).await
    }

    pub(crate) async fn with_dongle(start: &str, listed: &[Meter], kind: Kind) -> Self {
        let start: Time = start.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let rows: Vec<String> = listed.iter().map(ToString::to_string).collect();
        std::fs::write(path("meters.csv"), format!("id\n{}\n", rows.join("\n"))).unwrap();
        let text = format!(
            "[gateway]\ndata_dir = {:?}\n[[receiver]]\npath = {:?}\n{}[meters]\nfile = {:?}\n[status]\nsockets = {:?}\n",
            path("data"),
            path("dongle"),
            kind.configuration(),
            path("meters.csv"),
            path("run"),
        );
        let config = Config::parse(folder.path(), &text).unwrap();
        let dongle = Plugged::plug_in(&folder.path().join("dongle"), kind.dongle()).unwrap();
        let world = World::manual(start.unix());
        let clock = world.clock.clone();
        let (config_sender, config) = watch::channel(Arc::new(config));
        let (stop, supervisor) = (CancellationToken::new(), Supervisor::new(1));
        let credentials = Credentials::default();
        let daemon = Daemon {
            world,
            config,
            credentials,
            reload: tokio::sync::mpsc::channel(1).0,
            supervisor,
            stop: stop.clone(),
        };
        let mut task = tokio::spawn(collect::run(daemon));
        let mut hears = dongle.state();
        tokio::select! {
            ended = &mut task => panic!("{ended:?}"),
            hears = hears.wait_for(|state| state.listening) => drop(hears.unwrap()),
        }
        let (start, sent) = (start.unix(), 0);
        let site = Self { folder, dongle, clock, start, stop, task, sent, _config: config_sender };
        while site.status().await.receivers[0].state != ReceiverState::Receiving {
            tokio::task::yield_now().await;
        }
        site
    }

    /// Something is on the air, and the collector has taken it.
    pub(crate) async fn air(&mut self, telegram: &[u8]) {
        self.dongle.hear(telegram, -71).await.unwrap();
        self.sent += 1;
        let mut n = 0;
        while self.status().await.telegrams.heard < self.sent {
            n += 1;
            if n % 1000 == 0 {
                eprintln!("waiting {n} {:?}", self.status().await);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The meter sends so many litres and info codes now.
    pub(crate) async fn send(&mut self, meter: Meter, litres: i64, codes: i64) -> Vec<u8> {
        let seconds = u32::try_from(self.clock.kernel() - self.start).unwrap();
        let session = Session(((1000 + seconds / 60) << 4) | ((seconds % 60) / 8));
        let frame = frame(meter, session, litres, codes);
        self.air(&frame).await;
        frame
    }

    /// Time passes, and the half has seen it.
    pub(crate) async fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        let now = Time::from_unix(self.clock.kernel());
        while self.status().await.at < now {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn status(&self) -> CollectStatus {
        self.ask(&OfCollect::Status).await
    }

    pub(crate) async fn add_key(&mut self, meter: Meter) {
        self.add_this_key(meter, KEY).await;
    }

    pub(crate) async fn add_this_key(&mut self, meter: Meter, key: &str) {
        let key = NewKey { meter: meter.to_string(), key: Zeroizing::new(key.to_owned()), q4: None };
        let added: KeysAdded = self.ask(&OfCollect::KeysAdd { keys: vec![key] }).await;
        assert_eq!(added.added + added.same, 1);
    }

    async fn ask<A: serde::de::DeserializeOwned>(&self, question: &OfCollect) -> A {
        self.try_ask(question).await.unwrap()
    }

    pub(crate) async fn try_ask<A: serde::de::DeserializeOwned>(
        &self,
        question: &OfCollect,
    ) -> Result<A, AskError> {
        ask(&self.folder.path().join("run/collect/control.sock"), question).await
    }

    /// Over the other half's socket.
    pub(crate) async fn ask_as_deliver<A: serde::de::DeserializeOwned>(
        &self,
        question: &impl serde::Serialize,
    ) -> Result<A, AskError> {
        ask(&self.folder.path().join("run/between/deliver.sock"), question).await
    }

    /// Stops in order and gives everything stored: events, then readings.
    pub(crate) async fn stop(self) -> Vec<Record> {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        let reader = CollectReader::open(&self.folder.path().join("data/collect")).unwrap();
        let blocks = [Stream::Events, Stream::Readings]
            .into_iter()
            .flat_map(|stream| reader.blocks(stream, Seq::NONE, 1000).unwrap());
        blocks.flat_map(|block| block.body.decode().unwrap()).map(Result::unwrap).collect()
    }
}

/// The hour rows among records.
pub(crate) fn rows(records: &[Record]) -> Vec<HourRow> {
    let row = |record: &Record| match record {
        Record::Hour(row) => Some((**row).clone()),
        _ => None,
    };
    records.iter().filter_map(row).collect()
}

/// A full telegram, enciphered with the key of all meters here.
pub(crate) fn frame(meter: Meter, session: Session, litres: i64, codes: i64) -> Vec<u8> {
    let cipher = Cipher::new(KEY.parse::<Key>().unwrap());
    let mut records = RecordWriter::default();
    records.integer(&[0x02, 0xFF, 0x20], codes).unwrap();
    records.integer(&[0x04, 0x13], litres).unwrap();
    let protection =
        Protection::EllCtr { cipher: &cipher, communication: Communication(0x20), access: 1, session };
    telegram(meter, protection, Shape::Full, records.bytes()).unwrap().bytes().to_vec()
}
