//! What anybody within radio reach can send without a key: no stored register changes, no alarm is raised.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use emulator::attack;
use emulator::meter::{Kind, Meter};
use emulator::town::{Resident, Town};
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Gateway, Half, Site, until};
use messages::batch::{Record, Stream};
use messages::reading::{HourRow, Role};
use messages::{Hour, MeterId};
use serde_json::Value;
use wmbus::encode::{Protection, Shape, telegram};
use wmbus::link::Communication;
use wmbus::transport::Status;

/// An hour takes sixty seconds: no telegram comes when another was meant to.
const SPEED: u32 = 60;

/// A gateway, meters that it hears, and somebody who plays with them.
struct Street {
    site: Site,
    collect: Gateway,
    town: Town,
}

impl Street {
    async fn new(kinds: &[Kind]) -> Self {
        let mut site = Site::new();
        site.clock = Some(hil_tests::FastClock::new(START, SPEED));
        let residents = kinds.iter().enumerate().map(|(number, kind)| Resident::new(*kind, 3, number));
        let town = Town::of(residents.collect(), START * 1000);
        // A leak is mailed, and so recorded, at once: a forged one would be seen.
        site.settle(&town, &["[alarm]\nleak = { after = \"0 s\" }"]).await;
        let collect = Gateway::start(&site, Half::Collect).await;
        collect.listens().await;
        Self { site, collect, town }
    }

    fn meter(&self, index: usize) -> Meter {
        self.town.residents()[index].meter.clone()
    }

    async fn hear(&self, telegram: &[u8]) {
        self.site.dongle.hear(telegram, -60).await.unwrap();
    }

    /// Waits until the gateway has heard so many telegrams in all; gives the counts.
    async fn heard(&self, count: u64) -> Value {
        let all = |status: &Value| status["telegrams"]["heard"] == count;
        self.collect.reports("collect", "the telegrams", all).await["telegrams"].take()
    }

    async fn rows(self) -> BTreeMap<(MeterId, Hour), HourRow> {
        assert!(self.collect.stop().await.success());
        let store = Store::open(&self.site.collect_db()).unwrap();
        let episodes =
            store.records(Stream::Events).into_iter().filter(|one| matches!(one, Record::Episode(_)));
        assert_eq!(episodes.count(), 0, "no episode");
        store.rows()
    }
}

/// A telegram of a meter with what it says changed: another volume, in litres.
fn forged(meter: &mut Meter, number: u64, litres: i64) -> Vec<u8> {
    let genuine = meter.telegram(number).unwrap();
    let known = meter.records(meter.beat().due(number).div_euclid(1000)).unwrap().bytes().to_vec();
    let wanted = attack::with_volume(&known, i32::try_from(litres).unwrap()).unwrap();
    attack::forge(&genuine, meter.shape(number), &known, &wanted).unwrap()
}

/// Litres on a meter's register when it sends a telegram.
fn litres(meter: &mut Meter, number: u64) -> i64 {
    meter.volume_at(meter.beat().due(number).div_euclid(1000)).div_euclid(1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_downgraded_and_forged_telegrams_change_nothing() {
    let street = Street::new(&[Kind::Multical21]).await;
    let clock = street.site.clock();
    let mut meter = street.meter(0);
    let first = meter.beat().first_from(START * 1000);
    let mut sent = 0;
    for number in first..first + 3 {
        clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
        street.hear(&meter.telegram(number).unwrap()).await;
        sent += 1;
    }
    assert_eq!(street.heard(sent).await["accepted"], sent);

    // An old telegram again, and once more with an access number that makes it look new.
    let old = meter.telegram(first).unwrap();
    street.hear(&old).await;
    street.hear(&attack::with_access_number(&old, 200)).await;
    // In the clear in the meter's name.
    let records = meter.records(clock.now()).unwrap();
    let plain = attack::in_the_clear(meter.address(), meter.session(first + 9), Shape::Full, records.bytes());
    street.hear(&plain.unwrap()).await;
    // The last telegram's counter with another volume, both checksums mended: plausible, and not.
    let last = first + 2;
    let (truth, wild) = (litres(&mut meter, last), 900_000);
    street.hear(&forged(&mut meter, last, truth + 5)).await;
    street.hear(&forged(&mut meter, last, wild)).await;
    let counts = street.heard(sent + 5).await;
    assert_eq!(counts["refused"]["not_encrypted"], 1, "{counts}");
    assert_eq!(counts["refused"]["replayed"], 2, "{counts}");
    assert_eq!(counts["refused"]["implausible"], 1, "{counts}");
    // The plausible one contradicts the genuine one: both wait for the next to decide.
    assert_eq!(counts["accepted"], sent + 1, "{counts}");

    // Life goes on.
    for number in first + 3..first + 8 {
        clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
        street.hear(&meter.telegram(number).unwrap()).await;
    }
    street.heard(sent + 10).await;
    let rows = street.rows().await;
    assert!(!rows.is_empty());
    for row in rows.values() {
        let at = row.boundary.time().unix() + i64::from(row.registers[&Role::Volume].offset);
        let told = row.registers[&Role::Volume].value.to_string();
        let truths: Vec<String> =
            (first..first + 8).map(|number| cubic(litres(&mut meter, number))).collect();
        assert!(truths.contains(&told), "{told} at {at}: not one of {truths:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_plausible_forgery_whose_genuine_telegram_was_kept_from_us_changes_nothing() {
    let street = Street::new(&[Kind::FlowIq2200, Kind::Multical21]).await;
    let clock = street.site.clock();
    let (mut one, mut two) = (street.meter(0), street.meter(1));
    let (mut sent, mut truths) = (0, Vec::new());
    for step in 0..9 {
        for meter in [&mut one, &mut two] {
            let number = meter.beat().first_from(START * 1000) + step;
            clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
            // The fifth is forged: as if four litres had flowed since, or a little less; nobody hears the genuine one.
            let telegram = if step == 4 {
                let truth = litres(meter, number);
                forged(meter, number, truth + 4)
            } else {
                truths.push(cubic(litres(meter, number)));
                meter.telegram(number).unwrap()
            };
            street.hear(&telegram).await;
            sent += 1;
        }
    }
    street.heard(sent).await;
    let rows = street.rows().await;
    assert!(!rows.is_empty());
    for row in rows.values() {
        let told = row.registers[&Role::Volume].value.to_string();
        assert!(truths.contains(&told), "{told}: not one of {truths:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_telegram_that_says_leak_raises_nothing() {
    let street = Street::new(&[Kind::Multical21]).await;
    let clock = street.site.clock();
    let mut meter = street.meter(0);
    let first = meter.beat().first_from(START * 1000);
    for number in first..first + 8 {
        let due = meter.beat().due(number).div_euclid(1000);
        clock.reach(due + 1).await;
        let genuine = meter.telegram(number).unwrap();
        let telegram = if number == first + 4 {
            let known = meter.records(due).unwrap().bytes().to_vec();
            let mut leaking = meter.clone();
            let leak = emulator::event::Event::new(emulator::event::Trouble::Leak, due - 1, i64::MAX);
            leaking.add(leak.with_flow(0).told_at_once());
            let wanted = leaking.records(due).unwrap().bytes().to_vec();
            assert_ne!(known, wanted);
            attack::forge(&genuine, meter.shape(number), &known, &wanted).unwrap()
        } else {
            genuine
        };
        street.hear(&telegram).await;
    }
    street.heard(8).await;
    until("no episode", hil_tests::SOON, async || {
        (street.collect.status().await?["episodes"] == 0).then_some(())
    })
    .await;
    let rows = street.rows().await;
    assert!(!rows.is_empty());
    for row in rows.values() {
        assert!(row.codes.is_empty() && row.minutes.is_empty() && row.classes.is_empty(), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_before_a_meter_proved_its_telegrams_is_refused_until_its_key_is_given_again() {
    let mut street = Street::new(&[Kind::FlowIq2200Oms]).await;
    let clock = street.site.clock();
    let mut meter = street.meter(0);
    let mut number = meter.beat().first_from(START * 1000);
    for _ in 0..3 {
        clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
        street.hear(&meter.telegram(number).unwrap()).await;
        number += 1;
    }
    assert_eq!(street.heard(3).await["accepted"], 3);

    // The same meter under the same key, as it sent while it was set to a protection that proves nothing.
    let before = [Protected::BySession, Protected::ByMode5];
    for (index, protected) in before.into_iter().enumerate() {
        street.hear(&less_protected(&mut meter, number, protected)).await;
        let counts = street.heard(4 + index as u64).await;
        assert_eq!(
            counts["refused"],
            serde_json::json!({"downgraded": index + 1}),
            "{protected:?}: {counts}"
        );
    }
    // A restart forgets nothing that was stored.
    assert!(street.collect.stop().await.success());
    street.collect = Gateway::start(&street.site, Half::Collect).await;
    street.collect.listens().await;
    street.hear(&less_protected(&mut meter, number, Protected::BySession)).await;
    assert_eq!(street.heard(1).await["refused"]["downgraded"], 1);
    let status = street.collect.status().await.unwrap();
    assert_eq!(status["refusing"][0]["refused"]["downgraded"], 1, "{status}");

    // The utility has set the meter to less, and says so by giving its key again.
    street.site.add_keys(&street.town.keys_csv()).await;
    for _ in 0..3 {
        number += 1;
        clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
        street.hear(&less_protected(&mut meter, number, Protected::BySession)).await;
    }
    let counts = street.heard(4).await;
    assert_eq!((&counts["accepted"], &counts["refused"]["downgraded"]), (&3.into(), &1.into()), "{counts}");
}

/// Ways of sealing that prove nothing.
#[derive(Clone, Copy, Debug)]
enum Protected {
    BySession,
    ByMode5,
}

/// A telegram of a meter as it would be if the meter were set to less.
fn less_protected(meter: &mut Meter, number: u64, protected: Protected) -> Vec<u8> {
    let records = meter.records(meter.beat().due(number).div_euclid(1000)).unwrap();
    let (cipher, session) = (meter.cipher(), meter.session(number));
    let protection = match protected {
        Protected::BySession => {
            Protection::EllCtr { cipher, communication: Communication(0x20), access: 1, session }
        }
        Protected::ByMode5 => Protection::Mode5 { cipher, access: 1, status: Status(0) },
    };
    telegram(meter.address(), protection, Shape::Full, records.bytes()).unwrap().bytes().to_vec()
}

fn cubic(litres: i64) -> String {
    format!("{}.{:03} m3", litres.div_euclid(1000), litres.rem_euclid(1000))
}
