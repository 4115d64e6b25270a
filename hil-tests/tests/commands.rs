//! The installer's reporting commands, as typed, beside a gateway that runs, and after it was stopped.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Output;

use emulator::event::{Event, Trouble};
use emulator::replay::Recording;
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Portal, Site};
use messages::batch::Stream;
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
    let site = Site::fast(600);
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
    let leaking =
        meters["meters"].as_array().unwrap().iter().find(|line| line["name"] == name.as_str()).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_gateway_never_gives_a_number_to_another_content() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(600);
    let town = Town::new(3, 7, START * 1000);
    site.settle(&town, &[&broker.uplink("")]).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    let air = site.play(town);
    site.clock().pass(3600).await;
    gateway.reports("collect", "rows", |status| status["rows"].as_u64() >= Some(6)).await;

    let backup = site.path("gw-7.tar");
    let backup = backup.to_str().unwrap();
    let output = site.vesigate(&["backup", backup]).await;
    assert!(text(&output).contains("The seal key is not in it"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let refused = site.vesigate(&["backup", backup]).await;
    assert_eq!(refused.status.code(), Some(2));
    let refused = site.vesigate(&["restore", backup]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the gateway runs: stop it first"));

    // The original goes on: what it stores now, the copy does not know.
    site.clock().pass(2 * 3600).await;
    air.stop().await;
    assert!(gateway.stop().await.success());
    let original = Store::open(&site.collect_db()).unwrap();
    let (old, head) = (original.epoch().unwrap(), original.head(Stream::Readings));
    let had = portal.records().cursor(Stream::Readings, old);
    let mails = || Store::open(&site.deliver_db()).unwrap().epoch().unwrap();
    let old_mails = mails();
    let refused = site.vesigate(&["restore", backup]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is overwritten"));
    drop(original);

    // The seal key is what stays on the machine.
    std::fs::rename(site.data(), site.path("data.old")).unwrap();
    let refused = site.vesigate(&["restore", backup]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the seal key is neither"), "{refused:?}");
    assert!(!site.collect_db().exists() && !site.deliver_db().exists());
    std::fs::create_dir_all(site.data().join("keys")).unwrap();
    std::fs::copy(site.path("data.old/keys/seal"), site.data().join("keys/seal")).unwrap();
    let output = site.vesigate(&["restore", backup]).await;
    assert!(text(&output).contains("with 3 meter keys and a new numbering"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let gateway = Gateway::start(&site, Half::Both).await;
    let restored = Store::open(&site.collect_db()).unwrap();
    let new = restored.epoch().unwrap();
    assert_ne!(new, old);
    assert_ne!(mails(), old_mails, "{} begins anew as well", Stream::Mails);
    portal
        .has("the copy under its new numbering", |records| {
            (records.cursor(Stream::Readings, new) >= restored.head(Stream::Readings)).then_some(())
        })
        .await;
    // Numbers go on where the backup was taken, and none of the old numbering is used again.
    assert!(restored.head(Stream::Readings) < head, "the backup is older than the original's end");
    assert_eq!(portal.records().cursor(Stream::Readings, old), had);
    let meters = json(&site, &["meters"]).await;
    assert_eq!(meters["expected"], 3);
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_takes_over_keys_and_meters_with_keys_of_its_own() {
    let site = Site::fast(120);
    let town = Town::new(3, 7, START * 1000);
    site.settle(&town, &[]).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    let old = gateway.status().await.unwrap()["collect_key"].clone();
    let air = site.play(town);
    gateway.reports("collect", "opened meters", |status| status["meters"]["opened"] == 3).await;
    let backup = site.path("old.tar");
    let backup = backup.to_str().unwrap();
    let output = site.vesigate(&["backup", backup, "--with-seal-key"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("WARNING"));
    let without = site.path("without.tar");
    let output = site.vesigate(&["backup", without.to_str().unwrap(), "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(gateway.stop().await.success());

    std::fs::rename(site.data(), site.path("data.old")).unwrap();
    std::fs::create_dir(site.data()).unwrap();
    std::fs::rename(site.path("meters.csv"), site.path("meters.old")).unwrap();
    let refused = site.vesigate(&["replace", without.to_str().unwrap()]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--with-seal-key"), "{refused:?}");
    let output = site.vesigate(&["replace", backup]).await;
    text(&output);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let list = |name: &str| std::fs::read(site.path(name)).unwrap();
    assert_eq!(list("meters.csv"), list("meters.old"));
    let seal = |data: &str| std::fs::read(site.path(data).join("keys/seal")).unwrap();
    assert_ne!(seal("data"), seal("data.old"));

    let gateway = Gateway::start(&site, Half::Both).await;
    assert_ne!(gateway.status().await.unwrap()["collect_key"], old);
    gateway.reports("collect", "opened meters", |status| status["meters"]["opened"] == 3).await;
    air.stop().await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_replayed_without_a_gateway() {
    let site = Site::fast(120);
    let town = Town::new(3, 7, START * 1000);
    let keys = site.path("some-keys.csv");
    site.settle(&town, &[]).await;
    std::fs::write(&keys, town.keys_csv()).unwrap();
    let gateway = Gateway::start(&site, Half::Both).await;
    let air = site.play(town);
    let file = site.path("site.txt");
    let output = site.vesigate(&["record", "--telegrams", "60", file.to_str().unwrap()]).await;
    assert!(text(&output).contains("60 telegrams"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    air.stop().await;
    assert!(gateway.stop().await.success());
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.parse::<Recording>().is_ok_and(|recording| recording.telegrams().len() == 60));
    for line in std::fs::read_to_string(&keys).unwrap().lines().skip(1) {
        let key = line.rsplit(',').next().unwrap().trim();
        assert!(key.len() == 32 && !written.to_lowercase().contains(&key.to_lowercase()));
    }

    let output = site.vesigate(&["replay", file.to_str().unwrap(), "--keys", keys.to_str().unwrap()]).await;
    text(&output);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed = json(&site, &["replay", file.to_str().unwrap()]).await;
    assert_eq!(replayed["telegrams"]["heard"], 60);
    assert!(replayed["meters"].as_array().unwrap().iter().all(|line| line["opened"].as_u64() > Some(0)));
    let output = site.vesigate(&["record", site.path("more.txt").to_str().unwrap()]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not run"));
    assert!(!site.path("more.txt").exists());

    let rows = site.path("rows.csv");
    let output = site.vesigate(&["export", rows.to_str().unwrap(), "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = std::fs::read_to_string(rows).unwrap();
    assert!(rows.starts_with("meter,name,metering_point,boundary,register,value,unit"), "{rows}");
    assert_eq!(rows.lines().count(), 1 + 6, "{rows}");
    let lines = text(&site.vesigate(&["export", "--format", "jsonl"]).await);
    assert!(
        lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && lines.contains("\"hour\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_holds_no_key_no_name_no_address_and_no_meter_number() {
    const CONTACT: &str = "[[contact]]\nname = \"on-call-aino\"\nemail = \"aino@example.fi\"\n";
    let site = Site::fast(120);
    let town = Town::new(3, 7, START * 1000);
    let (keys, meters) = (town.keys_csv(), town.meters_csv());
    site.settle(&town, &[ALARM, CONTACT]).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    let _air = site.play(town);
    gateway.reports("collect", "opened meters", |status| status["meters"]["opened"] == 3).await;
    let bundle = site.path("bundle.tar.gz");
    let output = site.vesigate(&["diagnose", bundle.to_str().unwrap()]).await;
    assert!(text(&output).contains("collect.json"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let unpacked = std::process::Command::new("tar").arg("xzOf").arg(&bundle).output().unwrap();
    let all = String::from_utf8_lossy(&unpacked.stdout).to_lowercase();
    assert!(all.contains("\"uptime_s\"") && all.contains("os") && all.contains("kylavesi"), "{all}");
    let secrets = keys.lines().skip(1).chain(meters.lines().skip(1)).flat_map(|line| line.split(','));
    let names = secrets.filter(|word| word.len() >= 6).chain(["aino"]);
    for secret in names {
        assert!(!all.contains(&secret.trim().to_lowercase()), "{secret} in\n{all}");
    }
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn meters_that_are_not_well_say_why() {
    let site = Site::fast(120);
    let town = Town::new(4, 7, START * 1000);
    let keys = town.keys_csv();
    // The first has no key, the second another's; one that is listed is not there at all.
    let mut rows: Vec<String> = keys.lines().map(str::to_owned).collect();
    let id = |row: &str| row.split(',').next().unwrap().to_owned();
    let (unkeyed, wrong) = (id(&rows[1]), id(&rows[2]));
    rows[2] = format!("{wrong},{}", "0123456789ABCDEF".repeat(2));
    rows.remove(1);
    site.expect_meters(&format!("{}\n99999999,Nowhere,,\n", town.meters_csv().trim_end()));
    site.configure(&[]);
    site.add_keys(&rows.join("\n")).await;
    let gateway = Gateway::start(&site, Half::Both).await;
    let _air = site.play(town);
    gateway
        .reports("collect", "meters that are not well", |status| {
            let meters = &status["meters"];
            (&meters["opened"], &meters["no_key"], &meters["wrong_key"]) == (&2.into(), &1.into(), &1.into())
        })
        .await;
    let output = site.vesigate(&["meters", "--red"]).await;
    assert!(text(&output).contains("2 of 5 meters are well"));
    assert_eq!(output.status.code(), Some(1));
    let meters = json(&site, &["meters"]).await;
    let state = |id: &str| {
        let lines = meters["meters"].as_array().unwrap();
        let of = |line: &&Value| {
            line["id"].as_str().is_some_and(|other| other.contains(id)) || line["listed_as"] == id
        };
        lines.iter().find(of).unwrap_or_else(|| panic!("{id}: {meters}"))["state"].clone()
    };
    assert_eq!(state(&unkeyed), "no_key");
    assert_eq!(state(&wrong), "wrong_key");
    assert_eq!(state("99999999"), "waiting");
    assert!(gateway.stop().await.success());
}
