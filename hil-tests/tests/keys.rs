//! Keys on their way to the receiving half: from a key file, and sealed by the utility.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::process::Output;

use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::{Broker, Gateway, Half, Portal, Site, until};
use messages::config::{Delivery, GatewayConfig};
use messages::seal::SealedBox;

const OTHER: &str = "00112233445566778899AABBCCDDEEFF";

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_key_travels_through_portal_and_broker_and_opens_the_meter() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(100);
    let town = Town::new(1, 4, START * 1000);
    let meter = town.residents()[0].meter.address();
    let key = hex(town.residents()[0].meter.cipher().key().bytes());
    site.expect_meters(&town.meters_csv());
    site.configure(&[&broker.uplink("")]);
    let collect = Gateway::start(&site, Half::Collect).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    let air = site.play(town);
    collect.reports("collect", "a meter without a key", |status| status["meters"]["no_key"] == 1).await;

    // Anywhere: a machine that knows the gateway's public key only.
    let to = collect.status().await.unwrap()["collect_key"].as_str().unwrap().to_owned();
    let table = site.path("new-meter.csv");
    fs::write(&table, format!("id,key\n{},{key}\n", meter.serial)).unwrap();
    let model = meter.to_string().replace(&format!(".{}", meter.serial), "");
    let output = site
        .vesigate(&["keys", "seal", "--to", &to, "--file", table.to_str().unwrap(), "--model", &model])
        .await;
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["meter"], meter.to_string());
    let sealed: SealedBox = serde_json::from_value(line["key"].clone()).unwrap();
    fs::remove_file(table).unwrap();

    let delivery: Delivery = serde_json::from_value(
        serde_json::json!({"meter": meter.to_string(), "version": 1, "alarm_gateway": false}),
    )
    .unwrap();
    let config: GatewayConfig = serde_json::from_value(serde_json::json!({
        "version": 1, "meters": {meter.to_string(): 1},
        "utility": {"name": "Kylävesi", "time_zone": "Europe/Helsinki", "language": "fi"},
    }))
    .unwrap();
    portal.configure(&config);
    portal.configure_meter(&delivery, Some(sealed.clone())).await;
    collect.reports("collect", "the meter opened", |status| status["meters"]["opened"] == 1).await;
    let tested = site.vesigate(&["keys", "test", "--json"]).await;
    let test: serde_json::Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((&test["result"], &test["filed_under"]), (&"opens".into(), &meter.to_string().into()));

    // The same box under another meter's name is refused.
    let other = meter.to_string().replace(&meter.serial.to_string(), "00000001");
    let question = serde_json::json!({"do": "meter_key", "meter": other, "sealed": sealed});
    let refused = collect.ask("collect", &question).await.unwrap();
    assert!(refused["refused"].as_str().unwrap().contains("another meter"), "{refused}");
    air.stop().await;
    assert!(collect.stop().await.success() && deliver.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_import_is_whole_in_force_at_once_and_wrong_keys_are_named() {
    let site = Site::fast(100);
    let town = Town::new(3, 4, START * 1000);
    let meters: Vec<_> = town.residents().iter().map(|one| one.meter.address()).collect();
    let right = hex(town.residents()[0].meter.cipher().key().bytes());
    let mixed = hex(town.residents()[1].meter.cipher().key().bytes());
    site.expect_meters(&town.meters_csv());
    site.configure(&[]);
    let collect = Gateway::start(&site, Half::Collect).await;

    // The first is right, the second has a wrong one, and the third has the second one's.
    let mut table = "id;key;q4\n".to_owned();
    for (meter, key) in meters.iter().zip([&right, OTHER, &mixed]) {
        writeln!(table, "{};{key};", meter.serial).unwrap();
    }
    for n in 0..25_000u32 {
        writeln!(table, "{n};{:032X};2,5", n + 1).unwrap();
    }
    writeln!(table, "7;tooshort;").unwrap();
    let path = site.path("keys.csv");
    fs::write(&path, table).unwrap();
    let import = async |more: &[&str]| {
        site.vesigate(&[&["keys", "import", path.to_str().unwrap()], more].concat()).await
    };
    let refused = import(&[]).await;
    assert_eq!(refused.status.code(), Some(2), "there is nobody to ask");
    assert!(text(&refused).contains("--yes") && keys(&site).await == 0);
    let imported = import(&["--yes"]).await;
    assert_eq!(imported.status.code(), Some(1), "a row was refused: {}", text(&imported));
    assert!(text(&imported).contains("25003 new, 0 changed, 0 the same, 1 refused"), "{}", text(&imported));
    assert_eq!(keys(&site).await, 25_003);
    let again = import(&["--yes", "--json"]).await;
    let last: serde_json::Value = serde_json::from_str(again.stdout.lines_of().last().unwrap()).unwrap();
    assert_eq!((&last["same"], &last["new"]), (&25_003.into(), &0.into()));

    let air = site.play(town);
    let tested = until("wrong keys to be named", hil_tests::SOON, async || {
        let output = site.vesigate(&["keys", "test"]).await;
        let text = text(&output);
        let all = text.contains("3 meters heard: 1 open, 2 do not") && text.contains("mixed up");
        all.then_some((output.status.code(), text))
    })
    .await;
    assert_eq!(tested.0, Some(1));
    let wrong: Vec<&str> = tested.1.lines().filter(|line| line.contains("WRONG KEY")).collect();
    assert!(wrong.len() == 2 && !wrong.iter().any(|line| line.contains(&meters[0].to_string())), "{wrong:?}");
    air.stop().await;

    // An import that breaks off leaves nothing, and another may not go on in its place.
    let stage = |import: u64| serde_json::json!({"do": "keys_stage", "import": import, "keys": [{"meter": "99999999", "key": OTHER}]});
    assert_eq!(collect.ask("collect", &stage(1)).await.unwrap()["ok"], 1);
    let second = collect.ask("collect", &stage(2)).await.unwrap();
    assert!(second["refused"].as_str().unwrap().contains("another import"), "{second}");
    let broken = serde_json::json!({"do": "keys_apply", "import": 1, "count": 2});
    assert!(collect.ask("collect", &broken).await.unwrap()["refused"].is_string());
    assert_eq!(keys(&site).await, 25_003);
    // Removing is all or nothing, too.
    let removed = site.vesigate(&["keys", "remove", "00000005", "99999999"]).await;
    assert_eq!((removed.status.code(), keys(&site).await), (Some(2), 25_003));
    assert!(site.vesigate(&["keys", "remove", "00000005", "00000006"]).await.status.success());
    assert_eq!(keys(&site).await, 25_001);
    assert!(collect.stop().await.success());
}

async fn keys(site: &Site) -> usize {
    site.vesigate(&["keys", "list"]).await.stdout.lines_of().len()
}

/// All that a command said.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

trait Lines {
    fn lines_of(&self) -> Vec<&str>;
}

impl Lines for Vec<u8> {
    fn lines_of(&self) -> Vec<&str> {
        std::str::from_utf8(self).unwrap().lines().collect()
    }
}
