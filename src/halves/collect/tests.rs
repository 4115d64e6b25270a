//! The half without its loop and its sockets.

use messages::batch::Stream;
use wmbus::{Key, Meter};

use super::*;
use crate::config::Credentials;
use crate::halves::Daemon;
use crate::health::supervisor::Supervisor;
use crate::keyring::{Keyring, Selector};
use crate::store::{CollectStore, Commit, SealedFrame};
use crate::world::World;

pub(super) const START: i64 = 1_795_478_400;

pub(super) async fn half(folder: &std::path::Path) -> Half {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!("[gateway]\ndata_dir = {:?}\n[status]\nsockets = {:?}\n", path("data"), path("run"));
    let config = Arc::new(Config::parse(folder, &text).unwrap());
    let daemon = Daemon {
        world: World::manual(START),
        config: watch::channel(Arc::clone(&config)).1,
        credentials: Credentials::default(),
        reload: mpsc::channel(1).0,
        supervisor: Supervisor::new(1),
        stop: CancellationToken::new(),
    };
    Half::open(daemon, config, mpsc::channel(1).0).await.unwrap()
}

fn meter(number: u32) -> Meter {
    format!("KAM.{number:08}.1B.16").parse().unwrap()
}

#[tokio::test]
async fn frames_that_waited_for_their_key_are_opened_for_some_meters_at_a_time() {
    const METERS: u32 = 20;
    let folder = tempfile::tempdir().unwrap();
    let mut store = CollectStore::open(&folder.path().join("data/collect")).unwrap();
    let heard = messages::Time::from_unix(START).unwrap();
    let sealed = |number| {
        let key = Key::new([7; 16]);
        let frame = wmbus::encode::telegram(
            meter(number),
            wmbus::encode::Protection::EllCtr {
                cipher: &wmbus::Cipher::new(key),
                communication: wmbus::link::Communication(0x20),
                access: 1,
                session: wmbus::link::Session(5000 << 4),
            },
            wmbus::encode::Shape::Full,
            &[0x02, 0xFF, 0x20, 0, 0, 0x04, 0x13, 1, 0, 0, 0],
        );
        let frame = frame.unwrap().bytes().to_vec();
        SealedFrame { meter: meter(number), boundary: Some(heard), heard, rssi: None, frame }
    };
    store.commit(&Commit { sealed: (0..METERS).map(sealed).collect(), ..Commit::default() }).unwrap();
    drop(store);
    let mut half = half(folder.path()).await;
    let mut keys = Keyring::new();
    for number in 0..METERS {
        keys.insert(Selector::Full(meter(number)), Key::new([7; 16])).unwrap();
    }
    half.collector.set_keys(keys);
    let mut passes = 0;
    while half.collector.is_to_open() {
        half.store().await;
        passes += 1;
    }
    assert_eq!(passes, 3, "in between, the loop looks at everything else");
    assert!(half.writer.flush().await.unwrap());
    let reader = crate::store::CollectReader::open(&half.config.gateway.collect_dir()).unwrap();
    let blocks = reader.blocks(Stream::Readings, messages::batch::Seq::NONE, 99).unwrap();
    assert_eq!(blocks.iter().map(|block| block.records).sum::<u32>(), METERS, "a row each");
}
