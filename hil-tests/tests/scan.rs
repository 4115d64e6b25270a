//! What the receiving half tells of every meter in reach, ours and the neighbours'.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use emulator::meter::Kind;
use emulator::town::{Resident, Town};
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{FastClock, Gateway, Half, Site};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_meter_in_reach_is_told_and_the_neighbours_are_not_stored() {
    let mut site = Site::new();
    site.clock = Some(FastClock::new(START, 60));
    let resident = |kind, number| Resident::new(kind, 3, number);
    let ours = Town::of(vec![resident(Kind::Multical21, 0), resident(Kind::FlowIq2200Oms, 1)], START * 1000);
    site.settle(&ours, &[]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    collect.listens().await;
    let mut meters: Vec<_> = ours.residents().iter().map(|resident| resident.meter.clone()).collect();
    meters.push(resident(Kind::FlowIq2200, 2).meter);
    let clock = site.clock();
    for step in 0..3 {
        for meter in &mut meters {
            let number = meter.beat().first_from(START * 1000) + step;
            clock.reach(meter.beat().due(number).div_euclid(1000) + 1).await;
            site.dongle.hear(&meter.telegram(number).unwrap(), -60).await.unwrap();
        }
    }
    collect.reports("collect", "the telegrams", |status| status["telegrams"]["heard"] == 9).await;
    let answer = collect.ask("collect", &json!({"do": "heard"})).await.unwrap();
    let page = &answer["ok"];
    assert_eq!((&page["total"], &page["foreign"], &page["next"]), (&json!(3), &json!(1), &json!(null)));
    let told = page["meters"].as_array().unwrap();
    for (meter, protected, own) in [
        (&meters[0], json!("ell_ctr"), true),
        (&meters[1], json!({"mode": 10}), true),
        (&meters[2], json!("ell_ctr"), false),
    ] {
        let address = meter.address().to_string();
        let told = told.iter().find(|told| told["meter"] == address.as_str()).unwrap();
        assert_eq!((&told["telegrams"], &told["best_rssi"]), (&json!(3), &json!(-60)), "{told}");
        assert_eq!((&told["expected"], &told["has_key"]), (&json!(own), &json!(own)), "{told}");
        assert_eq!(told["opened"], if own { 3 } else { 0 }, "{told}");
        assert_eq!(told["reading"].is_object(), own, "{told}");
        assert_eq!(told["protected"], protected, "{told}");
        assert_eq!(told["receivers"], json!([site.dongle.link()]), "{told}");
        assert!(told["median"].as_u64().is_some_and(|median| median > 0), "{told}");
    }
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    let neighbour = meters[2].address().to_string();
    assert!(!rows.is_empty() && rows.keys().all(|(meter, _)| meter.to_string() != neighbour));
}
