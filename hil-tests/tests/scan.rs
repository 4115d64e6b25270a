//! What the receiving half tells of every meter in reach, ours and the neighbours'.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use emulator::meter::Kind;
use emulator::town::{Resident, Town};
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{FastClock, Gateway, Half, Site, Terminal};
use rustix::process::Signal;
use serde_json::{Value, json};

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
        assert!(told["interval"].as_u64().is_some_and(|interval| interval > 0), "{told}");
    }
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    let neighbour = meters[2].address().to_string();
    assert!(!rows.is_empty() && rows.keys().all(|(meter, _)| meter.to_string() != neighbour));
}

fn street(start: i64) -> Town {
    let resident = |kind, number| Resident::new(kind, 3, number);
    let kinds = [Kind::Multical21, Kind::FlowIq2200Oms, Kind::FlowIq2200];
    Town::of(kinds.into_iter().enumerate().map(|(at, kind)| resident(kind, at)).collect(), start * 1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_table_shows_meters_and_leaves_the_terminal_as_it_was() {
    let site = Site::fast(60);
    let town = street(START);
    site.settle(&town, &[]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    collect.listens().await;
    let numbers: Vec<String> = town
        .residents()
        .iter()
        .map(|resident| resident.meter.address().to_string()[..12].to_owned())
        .collect();
    let mut air = site.play(town);
    air.hear(12).await;
    let mut terminal = Terminal::run(&site, &["scan"]);
    terminal.shows("\u{1b}[?1049h");
    for number in &numbers {
        terminal.types(&format!("/{}\r", &number[4..]));
        terminal.shows(number);
        terminal.types("\u{1b}");
    }
    assert!(!terminal.is_as_it_was());
    terminal.types("q");
    terminal.shows("\u{1b}[?1049l");
    assert_eq!(terminal.end().await, Some(0));
    assert!(terminal.is_as_it_was());
    for signal in [Signal::TERM, Signal::INT] {
        let mut terminal = Terminal::run(&site, &["scan"]);
        terminal.shows("quit");
        terminal.signal(signal);
        terminal.shows("\u{1b}[?1049l");
        assert_eq!(terminal.end().await, Some(0));
        assert!(terminal.is_as_it_was());
    }
    air.stop().await;
    assert!(collect.stop().await.success());
    let mut terminal = Terminal::run(&site, &["scan"]);
    terminal.shows("does not run");
    assert_eq!(terminal.end().await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_tells_who_is_missing_and_who_is_a_neighbour() {
    let site = Site::fast(60);
    let town = street(START);
    site.settle(&town, &[]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    collect.listens().await;
    let addresses: Vec<String> =
        town.residents().iter().map(|resident| resident.meter.address().to_string()).collect();
    let list = site.path("expected.csv");
    std::fs::write(&list, format!("id,name\n{},Here\n12345678,Nowhere\n", addresses[0])).unwrap();
    let air = site.play(town);
    let report = site.path("survey.html");
    let clock = site.clock().argument();
    let survey = ["scan", "--survey", "6", "--json", "--clock", &clock, "--list", list.to_str().unwrap()];
    let output = site.vesigate(&[&survey[..], &["--report", report.to_str().unwrap()]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(" left, "), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["heard"], &told["all_heard"], &told["minutes"]), (&json!(1), &json!(false), &json!(6)));
    assert_eq!((&told["meters"][0]["id"], &told["meters"][0]["heard"]), (&json!("12345678"), &json!(false)));
    let heard = &told["meters"][1];
    assert_eq!((&heard["name"], &heard["meter"]["meter"]), (&json!("Here"), &json!(addresses[0])));
    assert_eq!(heard["meter"]["key"], "opens");
    assert!(heard["meter"]["reception"]["share"].as_u64().is_some_and(|share| share >= 90), "{heard}");
    assert_eq!(told["foreign_count"], 2);
    assert!(std::fs::read_to_string(&report).unwrap().contains("was not heard"));
    // Now everybody who is expected is there; text this time.
    std::fs::write(&list, format!("id\n{}\n", addresses[2])).unwrap();
    let output =
        site.vesigate(&["scan", "--survey", "3", "--clock", &clock, "--list", list.to_str().unwrap()]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("The one expected meter was heard; this place will do."), "{text}");
    air.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commissioning_puts_a_list_in_force_and_ends_green_when_every_meter_is_read() {
    let site = Site::fast(60);
    let town = street(START);
    site.settle(&town, &[]).await;
    let whole = town.meters_csv();
    let former: String = whole.lines().take(2).map(|line| format!("{line}\n")).collect();
    std::fs::write(site.path("meters.csv"), &former).unwrap();
    let collect = Gateway::start(&site, Half::Collect).await;
    collect.listens().await;
    let list = site.path("street.csv");
    std::fs::write(&list, &whole).unwrap();
    let mut air = site.play(town);
    air.hear(9).await;
    let clock = site.clock().argument();
    let commission = ["commission", list.to_str().unwrap(), "--clock", &clock];
    let refused = site.vesigate(&commission).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("2 new, 0 changed, 0 gone, 1 the same") && said.contains("--yes"), "{said}");
    assert_eq!(std::fs::read_to_string(site.path("meters.csv")).unwrap(), former);
    let mut terminal = Terminal::run(&site, &["commission", list.to_str().unwrap()]);
    terminal.shows("[y/N] ");
    terminal.types("n\n");
    terminal.shows("Nothing was changed.");
    assert_eq!(terminal.end().await, Some(1));
    let done = site.vesigate(&[&commission[..], &["--yes", "--json"]].concat()).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["heard"], &told["all_green"]), (&json!(3), &json!(true)), "{told:#}");
    assert_eq!(std::fs::read_to_string(site.path("meters.csv.former")).unwrap(), former);
    // One more, which nobody hears.
    std::fs::write(&list, "id\n12345678\n").unwrap();
    let rest = ["--yes", "--keep", "--minutes", "2"];
    let red = site.vesigate(&[&commission[..], &rest].concat()).await;
    let text = String::from_utf8_lossy(&red.stdout).into_owned();
    assert_eq!(red.status.code(), Some(1), "{text}");
    assert!(text.contains("..  12345678") && text.contains("of 1 more time may show"), "{text}");
    let kept = std::fs::read_to_string(site.path("meters.csv")).unwrap();
    assert_eq!(kept.lines().count(), 5, "{kept}");
    air.stop().await;
}

/// The list is in force when the command says so, in both halves; what is wrong with another file is told by the command.
#[tokio::test(flavor = "multi_thread")]
async fn commissioning_waits_for_both_halves_and_tells_what_they_cannot_take() {
    let site = Site::fast(60);
    let town = street(START);
    let secret = site.path("mail.secret");
    let keep_secret = || {
        let file = std::fs::File::create(&secret).unwrap();
        file.set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&secret, "hunter2\n").unwrap();
    };
    keep_secret();
    let mail = format!(
        "[mail]\nenabled = true\nserver = \"localhost\"\nfrom = \"vesi@kylavesi.example\"\nuser = \"vesi\"\n\
         password_file = \"{}\"",
        secret.display()
    );
    site.settle(&town, &[&mail]).await;
    site.expect_meters("id\n");
    let commission = async |list: &str| {
        let file = site.path("street.csv");
        std::fs::write(&file, list).unwrap();
        let done = site.vesigate(&["commission", file.to_str().unwrap(), "--yes", "--minutes", "0"]).await;
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let expected = async |gateway: &Gateway| gateway.status().await.unwrap()["meters"]["expected"].clone();
    // Both halves in one process.
    let gateway = Gateway::start(&site, Half::Both).await;
    assert_eq!(expected(&gateway).await, 3, "by their keys");
    let (code, said) = commission("id\n12345678\n").await;
    assert!(code == Some(0) && said.contains("is in force"), "{code:?} {said}");
    assert_eq!(expected(&gateway).await, 4);
    std::fs::remove_file(&secret).unwrap();
    let (code, said) = commission("id\n12345678\n12345679\n").await;
    assert!(code == Some(2) && said.contains("is not in force"), "{code:?} {said}");
    assert!(said.contains("mail.password_file") && !said.contains("hunter2"), "{said}");
    assert_eq!(expected(&gateway).await, 4, "what was loaded before");
    // What was mended is taken, although the list in the file is the same.
    keep_secret();
    let (code, said) = commission("id\n12345678\n12345679\n").await;
    assert!(code == Some(0), "{said}");
    assert_eq!(expected(&gateway).await, 5);
    assert!(gateway.stop().await.success());
    // Apart: the receiving half needs nothing of the mail.
    let (collect, deliver) =
        (Gateway::start(&site, Half::Collect).await, Gateway::start(&site, Half::Deliver).await);
    std::fs::remove_file(&secret).unwrap();
    let (code, said) = commission("id\n12345678\n").await;
    assert!(code == Some(1) && said.contains("is in force"), "{code:?} {said}");
    assert!(said.contains("delivering half") && said.contains("mail.password_file"), "{said}");
    assert_eq!(expected(&collect).await, 4);
    keep_secret();
    let (code, said) = commission("id\n12345678\n").await;
    assert!(code == Some(0), "{said}");
    // It reads the list when it starts.
    assert!(deliver.stop().await.success());
    let (code, said) = commission("id\n12345679\n").await;
    assert!(code == Some(0), "{said}");
    assert!(collect.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_goes_on_without_the_gateway_and_reports_when_a_signal_ends_it() {
    let site = Site::fast(60);
    let town = street(START);
    site.settle(&town, &[]).await;
    let air = site.play(town);
    for signal in [Signal::INT, Signal::TERM] {
        let collect = Gateway::start(&site, Half::Collect).await;
        collect.listens().await;
        let report = site.path("survey.json");
        let file = report.to_str().unwrap();
        let mut survey = Terminal::run(&site, &["scan", "--survey", "10000", "--report", file]);
        survey.shows("3 ours, 0 others heard");
        assert!(report.exists());
        assert!(collect.stop().await.success());
        survey.shows("listening goes on");
        survey.signal(signal);
        assert_eq!(survey.end().await, Some(0));
        let told: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert_eq!((&told["heard"], &told["all_heard"]), (&json!(3), &json!(true)), "{told:#}");
        let trouble = told["troubles"][0].as_str().unwrap();
        assert!(trouble.contains("gave no answer"), "{trouble}");
        std::fs::remove_file(&report).unwrap();
    }
    air.stop().await;
}
