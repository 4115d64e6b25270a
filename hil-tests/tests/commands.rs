//! The installer's reporting commands, as typed, beside a gateway that runs, and after it was stopped.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Output;

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::{Gateway, Half, Site};
use serde_json::Value;

const ALARM: &str = "[alarm]\nleak = { after = \"10 min\" }\n";

/// What a command printed.
fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{out}{}", String::from_utf8_lossy(&output.stderr));
    out
}

async fn json(site: &Site, arguments: &[&str]) -> Value {
    let output = site.vesigate(&[arguments, &["--json"]].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn meters_readings_alarms_and_outbox_tell_what_is_heard_and_stored() {
    let site = Site::fast(120);
    let mut town = Town::new(4, 7, START * 1000);
    site.settle(&town, &[ALARM]).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
    let (name, serial) = {
        let leaking = &town.residents()[0];
        (leaking.name.clone(), leaking.meter.address().serial.to_string())
    };
    let air = site.play(town);
    site.clock().pass(3 * 3600).await;
    gateway.reports("collect", "rows", |status| status["rows"].as_u64() >= Some(12)).await;

    let output = site.vesigate(&["meters"]).await;
    assert!(text(&output).contains("4 of 4 meters are well"));
    assert_eq!(output.status.code(), Some(0));
    let meters = json(&site, &["meters"]).await;
    let leaking = meters["meters"].as_array().unwrap().iter().find(|line| line["name"] == name.as_str()).unwrap();
    assert_eq!(leaking["codes"], serde_json::json!(["leak"]));

    let output = site.vesigate(&["readings", &name, "--hours", "4"]).await;
    text(&output);
    assert_eq!(output.status.code(), Some(0));
    let readings = json(&site, &["readings", &serial, "--hours", "4"]).await;
    assert!(readings["hours"].as_array().unwrap().iter().any(|hour| hour["consumption"].is_string()));

    let output = site.vesigate(&["alarms"]).await;
    assert!(text(&output).contains("leak"));
    let alarms = json(&site, &["alarms"]).await;
    assert_eq!(alarms["episodes"][0]["standing"], "active");
    assert!(alarms["episodes"][0]["raised"].is_string(), "{alarms}");
    text(&site.vesigate(&["outbox"]).await);
    let outbox = json(&site, &["outbox"]).await;
    assert!(outbox["streams"].as_array().unwrap().len() == 3, "{outbox}");
    let output = site.vesigate(&["outbox", "resend", "readings", "1"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not parked"));

    air.stop().await;
    assert!(gateway.stop().await.success());
    for command in [&["meters"][..], &["readings", &serial], &["alarms"], &["outbox"]] {
        let output = site.vesigate(command).await;
        assert!(output.status.code() < Some(2), "{command:?}: {}", text(&output));
        text(&output);
    }
}
