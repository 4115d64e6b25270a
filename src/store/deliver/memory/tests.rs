use std::fs;

use messages::batch::{Epoch, Record, Seq, Stream};
use messages::config::{GatewayConfig, MeterConfig};
use messages::event::Episode;
use messages::mail::{MailKind, RequestOutcome, RequestReport};
use messages::{Id, MeterId, Other, Time};

use super::*;
use crate::store::deliver::Cursor;
use crate::store::{KnownEpisode, MailState, QueuedMail, RaisedAlarm, Trouble};

const START: i64 = 1_795_478_400;

fn time(seconds: i64) -> Time {
    Time::from_unix(START + seconds).unwrap()
}

fn meter(number: u32) -> MeterId {
    format!("KAM.{number:08}.1B.16").parse().unwrap()
}

fn id(number: u128) -> Id {
    Id::from_random(number)
}

fn mail(message: &str, number: u32, state: MailState, at: i64) -> QueuedMail {
    QueuedMail {
        message: message.to_owned(),
        about: id(1),
        meter: meter(number),
        code: Some("leak".parse().unwrap()),
        kind: MailKind::Raised,
        repeat: 0,
        contact: id(7),
        span: None,
        queued: time(at),
        until: time(at + 86_400),
        due: time(at),
        attempts: 1,
        server: false,
        state,
        at: time(at),
    }
}

fn episode(number: u128, seen: i64, alarm: Option<u128>) -> KnownEpisode {
    let json = format!(
        r#"{{"id":"{}","meter":"{}","code":"leak","started":"{}","seen":"{}","lasted":{seen},"standing":"active"}}"#,
        id(number),
        meter(1),
        time(0),
        time(seen)
    );
    KnownEpisode { episode: serde_json::from_str::<Episode>(&json).unwrap(), alarm: alarm.map(id) }
}

fn list(version: u64, meters: &[(u32, u64)]) -> GatewayConfig {
    let meters: Vec<String> =
        meters.iter().map(|(number, version)| format!(r#""{}":{version}"#, meter(*number))).collect();
    let json = format!(
        r#"{{"version":{version},"meters":{{{}}},"utility":{{"name":"Vesi","time_zone":"Europe/Helsinki","language":"fi"}}}}"#,
        meters.join(",")
    );
    serde_json::from_str(&json).unwrap()
}

fn document(number: u32, version: u64) -> MeterConfig {
    let json = format!(r#"{{"meter":"{}","version":{version},"deleted":true}}"#, meter(number));
    serde_json::from_str(&json).unwrap()
}

fn request(number: u128) -> Record {
    let (id, meter, at) = (id(number), meter(1), time(50));
    Record::Request(RequestReport { id, meter, at, outcome: RequestOutcome::Done, other: Other::default() })
}

fn bodies(store: &DeliverStore) -> Vec<Record> {
    let blocks = store.blocks(Seq::NONE, 99).unwrap();
    blocks.iter().flat_map(|block| block.body.decode().unwrap()).map(Result::unwrap).collect()
}

#[test]
fn what_happens_in_memory_is_on_the_disk_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = DeliverStore::open(directory.path()).unwrap();
    let epoch = store.epoch();
    store.append(&[], None).unwrap();
    store.leave_disk().unwrap();
    assert_eq!(store.append(&[], None).unwrap(), Seq::new(2));
    assert!(store.is_in_memory());
    store.return_to_disk(directory.path()).unwrap();
    assert_eq!(store.append(&[], None).unwrap(), Seq::new(3));
    assert!(!store.is_in_memory());
    assert_eq!(store.troubles(), []);
    drop(store);
    let store = DeliverStore::open(directory.path()).unwrap();
    assert_eq!((store.epoch(), store.head().unwrap()), (epoch, Seq::new(3)));
    assert_eq!(store.blocks(Seq::NONE, 9).unwrap().len(), 3);
}

#[test]
fn what_happens_in_memory_is_on_the_disk_also_if_the_file_was_taken_away_or_replaced_meanwhile() {
    let others = tempfile::tempdir().unwrap();
    let mut other = DeliverStore::open(others.path()).unwrap();
    for number in 0..9 {
        other.append(&[request(number)], None).unwrap();
    }
    let others = others.path().join("store");
    let gone = |store: &Path| fs::remove_file(store.join("deliver.db")).unwrap();
    let all_gone = |store: &Path| fs::remove_dir_all(store).unwrap();
    let another = |store: &Path| {
        for name in ["deliver.db", "deliver.db-wal"] {
            fs::remove_file(store.join(name)).unwrap();
            fs::copy(others.join(name), store.join(name)).unwrap();
        }
    };
    let rubbish = |store: &Path| {
        fs::remove_file(store.join("deliver.db")).unwrap();
        fs::write(store.join("deliver.db"), [7; 8192]).unwrap();
    };
    let ways: [&dyn Fn(&Path); 4] = [&gone, &all_gone, &another, &rubbish];
    for (number, way) in ways.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = DeliverStore::open(directory.path()).unwrap();
        let epoch = store.epoch();
        store.append(&[request(100)], None).unwrap();
        store.leave_disk().unwrap();
        store.append(&[request(101)], None).unwrap();
        way(&directory.path().join("store"));
        store.return_to_disk(directory.path()).unwrap();
        assert!(!store.is_in_memory(), "way {number}");
        assert!(matches!(store.troubles()[..], [Trouble::SetAside { .. }]), "way {number}");
        store.append(&[request(102)], None).unwrap();
        store.look().unwrap();
        drop(store);
        let store = DeliverStore::open(directory.path()).unwrap();
        assert_eq!(store.epoch(), epoch, "way {number}");
        assert_eq!(bodies(&store), [request(100), request(101), request(102)], "way {number}");
        assert_eq!(store.troubles(), [], "way {number}");
    }
}

#[test]
fn a_store_that_began_in_memory_is_merged_into_the_one_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = DeliverStore::open(directory.path()).unwrap();
    let collect = Epoch::durable(5);
    let cursor = |seq, generation| Cursor { epoch: collect, seq: Seq::new(seq), generation };
    let fill = |store: &mut DeliverStore,
                work: &dyn Fn(&mut crate::store::Desk<'_>) -> Result<(), StoreError>| {
        store.desk(Some(time(0)), |desk| work(desk)).unwrap();
    };
    fill(&mut store, &|desk| {
        desk.put_episode(&episode(1, 100, Some(1)))?;
        desk.put_episode(&episode(2, 300, None))?;
        desk.put_alarm(&RaisedAlarm {
            id: id(1),
            meter: meter(1),
            code: "leak".parse().unwrap(),
            raised: time(100),
        })?;
        desk.put_mail(&mail("waits here, was sent there", 1, MailState::Waiting, 10))?;
        desk.put_mail(&mail("was sent here, waits there", 1, MailState::Sent, 10))?;
        desk.put_mail(&mail("known here alone", 1, MailState::Refused, 10))?;
        desk.put_mail(&mail("erased", 2, MailState::Sent, 10))?;
        desk.put_request(id(30), time(1000))?;
        desk.raise_floor(time(-1000))?;
        desk.set_cursor(collect, Seq::new(4))?;
        desk.set_portal_seen(time(90))?;
        desk.report(request(1));
        Ok(())
    });
    store.set_gateway_config(&list(3, &[(1, 4), (2, 8), (3, 1)])).unwrap();
    for (number, version) in [(1, 4), (2, 8), (3, 1)] {
        store.set_document(meter(number), &document(number, version)).unwrap();
    }
    store.set_cursors(&[(Stream::Events, cursor(10, 2)), (Stream::Readings, cursor(10, 2))]).unwrap();
    store.park(Stream::Readings, collect, Seq::new(9), Some("here")).unwrap();
    store.set_handed(meter(1), 4).unwrap();
    let (epoch, head) = (store.epoch(), store.head().unwrap());
    drop(store);

    // It cannot be opened, and what it holds is not known.
    let path = directory.path().join("store");
    let away = directory.path().join("away");
    fs::rename(&path, &away).unwrap();
    fs::write(&path, "").unwrap();
    let mut store = DeliverStore::in_memory(directory.path()).unwrap();
    assert_ne!(store.epoch(), epoch);
    fill(&mut store, &|desk| {
        desk.put_episode(&episode(1, 200, None))?;
        desk.put_episode(&episode(2, 200, Some(1)))?;
        desk.put_episode(&episode(3, 200, None))?;
        desk.put_mail(&mail("waits here, was sent there", 1, MailState::Sent, 60))?;
        desk.put_mail(&mail("was sent here, waits there", 1, MailState::Waiting, 60))?;
        desk.put_mail(&mail("known there alone", 1, MailState::Sent, 60))?;
        desk.put_request(id(31), time(1000))?;
        desk.raise_floor(time(20))?;
        desk.set_cursor(collect, Seq::new(6))?;
        desk.set_portal_seen(time(80))?;
        Ok(())
    });
    for number in [2, 3] {
        store.append(&[request(number)], Some(time(60))).unwrap();
    }
    // The portal has the first of the two.
    store.acknowledge(Seq::FIRST).unwrap();
    store.set_gateway_config(&list(4, &[(1, 5), (2, 8)])).unwrap();
    store.set_document(meter(1), &document(1, 5)).unwrap();
    store.set_document(meter(2), &document(2, 7)).unwrap();
    store.set_cursors(&[(Stream::Events, cursor(12, 2)), (Stream::Readings, cursor(8, 3))]).unwrap();
    store.park(Stream::Readings, collect, Seq::new(7), Some("there")).unwrap();
    store.set_handed(meter(1), 5).unwrap();
    store.erase(meter(2), time(0), time(20)).unwrap();
    store.set_erased(id(40), &request(40), None).unwrap();
    assert!(store.return_to_disk(directory.path()).is_err());
    assert!(store.is_in_memory(), "not yet");

    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    store.return_to_disk(directory.path()).unwrap();
    assert!(!store.is_in_memory());
    drop(store);
    let mut store = DeliverStore::open(directory.path()).unwrap();
    assert_eq!((store.epoch(), store.head().unwrap().number()), (epoch, head.number() + 2));
    assert_eq!(bodies(&store), [request(1), request(3), request(40)]);
    let states = |messages: &[&str], store: &mut DeliverStore| -> Vec<Option<MailState>> {
        let state =
            |message: &&str| store.desk(None, |desk| desk.mail(message)).unwrap().map(|mail| mail.state);
        messages.iter().map(state).collect()
    };
    let messages = ["waits here, was sent there", "was sent here, waits there", "known there alone"];
    assert_eq!(states(&messages, &mut store), [Some(MailState::Sent); 3], "none is sent again");
    assert_eq!(states(&["known here alone", "erased"], &mut store), [Some(MailState::Refused), None]);
    store
        .desk(None, |desk| {
            let known = |number| desk.episode(id(number)).unwrap();
            assert_eq!(known(1), Some(episode(1, 200, Some(1))));
            assert_eq!(known(2), Some(episode(2, 300, Some(1))));
            assert_eq!(known(3), Some(episode(3, 200, None)));
            assert!(desk.alarm(id(1))?.is_some());
            assert!(desk.knows_request(id(30))? && desk.knows_request(id(31))?);
            assert_eq!((desk.floor()?, desk.cursor()?), (Some(time(-1000)), Some((collect, Seq::new(4)))));
            Ok(())
        })
        .unwrap();
    assert_eq!(store.portal_seen().unwrap(), Some(time(90)));
    assert_eq!(store.gateway_config().unwrap(), Some(list(4, &[(1, 5), (2, 8)])));
    assert_eq!(store.documents().unwrap(), [(meter(1), 5), (meter(2), 8)]);
    assert_eq!(store.cursor(Stream::Events).unwrap(), Some(cursor(12, 2)));
    assert_eq!(store.cursor(Stream::Readings).unwrap(), Some(cursor(8, 3)), "the portal was restored");
    let parked = store.parked(Stream::Readings, collect).unwrap();
    assert_eq!(parked.into_keys().collect::<Vec<_>>(), [Seq::new(7), Seq::new(9)]);
    assert_eq!(store.handed(meter(1)).unwrap(), 5);
    assert!(store.is_erased(id(40)).unwrap());
}

#[test]
fn a_store_that_began_in_memory_becomes_the_one_on_the_disk_where_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = DeliverStore::in_memory(directory.path()).unwrap();
    store.append(&[request(1)], None).unwrap();
    store.desk(None, |desk| desk.raise_floor(time(5))).unwrap();
    store.return_to_disk(directory.path()).unwrap();
    drop(store);
    let mut store = DeliverStore::open(directory.path()).unwrap();
    assert_eq!(bodies(&store), [request(1)]);
    assert_eq!(store.desk(None, |desk| desk.floor()).unwrap(), Some(time(5)));
}

#[test]
fn a_store_that_began_in_memory_is_merged_into_what_is_saved_of_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = DeliverStore::open(directory.path()).unwrap();
    store.append(&[request(1)], None).unwrap();
    store.append(&[request(2)], None).unwrap();
    store.connection.execute("UPDATE mails SET crc = 1 WHERE seq = 2", []).unwrap();
    drop(store);
    let mut store = DeliverStore::in_memory(directory.path()).unwrap();
    store.append(&[request(3)], None).unwrap();
    store.return_to_disk(directory.path()).unwrap();
    assert_eq!(bodies(&store), [request(1), request(3)]);
}
