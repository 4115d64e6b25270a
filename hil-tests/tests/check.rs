//! `vesigate check`: what it finds while nothing runs, while the gateway runs, and when something is wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use emulator::town::Town;
use hil_tests::broker::Tls;
use hil_tests::certificates::{Authority, Years};
use hil_tests::clock::START;
use hil_tests::portal::Records;
use hil_tests::{Broker, Gateway, Half, Mood, Portal, SOON, Site, SmtpServer, until};
use messages::Presence;
use serde_json::Value;

const ACL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/mosquitto/vesi.acl");

/// The findings, and the exit code.
async fn check(site: &Site) -> (Vec<Value>, Option<i32>) {
    let output = site.vesigate(&["check", "--json"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

/// The worst of an area, with its text.
fn worst(findings: &[Value], area: &str) -> (String, String) {
    let rank = |finding: &&Value| {
        ["good", "skipped", "doubtful", "bad"].iter().position(|word| finding["verdict"] == *word)
    };
    let worst = findings.iter().filter(|finding| finding["area"] == area).max_by_key(rank);
    let worst = worst.unwrap_or_else(|| panic!("nothing about {area}"));
    let word = |key: &str| worst[key].as_str().unwrap().to_owned();
    (word("verdict"), word("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_is_tried_and_what_runs_is_asked() {
    let broker = Broker::with(None, &format!("allow_anonymous true\nacl_file {ACL}\n")).await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mail = SmtpServer::start();
    let site = Site::fast(60);
    let town = Town::new(2, 4, START * 1000);
    site.settle(&town, &[&broker.uplink(""), &mail.mail_section("")]).await;

    let (findings, code) = check(&site).await;
    for area in ["configuration", "files", "receiver", "disk", "broker", "mail"] {
        assert_eq!(worst(&findings, area).0, "good", "{area}");
    }
    let (verdict, text) = worst(&findings, "meters");
    assert!(verdict == "good" && text.contains("2 keys"), "{text}");
    assert_eq!(worst(&findings, "halves").0, "doubtful");
    assert!(mail.received().is_empty());
    let stopped = |records: &Records| (records.state?.presence == Presence::Stopped).then_some(());
    portal.has("that the gateway is stopped", stopped).await;
    let clock = worst(&findings, "clock").0;
    assert_eq!(code, Some(i32::from(clock == "bad")), "nothing else is bad");

    let gateway = Gateway::start(&site, Half::Both).await;
    gateway.listens().await;
    let mut air = site.play(town);
    air.hear(9).await;
    gateway.reports("collect", "opened meters", |status| status["meters"]["opened"] == 2).await;
    gateway.reports("deliver", "a line", |status| status["uplink"]["connected"] == true).await;
    let (findings, code) = check(&site).await;
    for area in ["halves", "receiver", "clock", "store", "mail"] {
        assert_eq!(worst(&findings, area).0, "good", "{area}");
    }
    assert!(worst(&findings, "broker").1.contains("connected"));
    assert_eq!(code, Some(0));
    air.stop().await;
    assert!(gateway.stop().await.success());

    // One that has run should run.
    let (findings, code) = check(&site).await;
    let (verdict, text) = worst(&findings, "halves");
    assert!(verdict == "bad" && text.contains("systemctl start"), "{text}");
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_hangs_keeps_its_line() {
    let broker = Broker::start().await;
    let site = Site::fast(60);
    site.configure(&[&broker.uplink("keep_alive = \"300 s\"")]);
    let deliver = Gateway::start(&site, Half::Deliver).await;
    deliver.reports("deliver", "a line", |status| status["uplink"]["connected"] == true).await;
    let connections = || broker.log().lines().filter(|line| line.contains(" as kylavesi/gw-7 (")).count();
    until("the line in the log", SOON, async || (connections() == 1).then_some(())).await;
    deliver.freeze().await;
    let (findings, code) = check(&site).await;
    let (verdict, text) = worst(&findings, "halves");
    assert!(verdict == "bad" && text.contains("systemctl restart vesigate-deliver"), "{text}");
    let (verdict, text) = worst(&findings, "broker");
    assert!(verdict == "skipped" && text.contains("not tried"), "{text}");
    assert_eq!(code, Some(1));

    // Once it surely does not run the broker is tried, by one connection more.
    deliver.kill().await;
    let (findings, _) = check(&site).await;
    assert!(worst(&findings, "broker").1.contains("access list"), "it is tried");
    until("the second line in the log", SOON, async || (connections() >= 2).then_some(())).await;
    assert_eq!(connections(), 2, "{}", broker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_is_tried_with_our_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let tls = Tls {
        authority: ours.certificate().to_owned(),
        identity: ours.server("localhost", Years::NOW),
        revoked: None,
    };
    let broker = Broker::with(Some(tls), &format!("acl_file {ACL}\n")).await;
    let portal = Portal::connect_as(&broker, Some(&ours.client("kylavesi/portal", Years::NOW)));
    portal.listens().await;
    let good = ours.client("kylavesi/gw-7", Years::NOW);
    let cases = [
        (&other.client("kylavesi/gw-7", Years::NOW), "bad", "authority that signed our certificate"),
        (&ours.client("kylavesi/gw-7", Years::PAST), "bad", "has expired"),
        (&good, "good", "lets this gateway in"),
    ];
    for (client, verdict, words) in cases {
        let site = Site::fast(60);
        site.configure(&[&broker.uplink(&format!(
            "tls = {{ ca = \"{}\", certificate = \"{}\", key = \"{}\" }}",
            ours.certificate().display(),
            client.certificate.display(),
            client.key.display()
        ))]);
        let (findings, _) = check(&site).await;
        let broker: Vec<&Value> = findings.iter().filter(|finding| finding["area"] == "broker").collect();
        assert_eq!(worst(&findings, "broker").0, verdict, "{words}");
        assert!(broker.iter().any(|finding| finding["text"].as_str().unwrap().contains(words)), "{words}");
        assert!(broker.iter().any(|finding| finding["text"].as_str().unwrap().contains("our certificate")));
    }
    portal
        .has("that it is stopped", |records| (records.state?.presence == Presence::Stopped).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_wrong_is_named_with_what_to_do() {
    let mut broker = Broker::start().await;
    let mail = SmtpServer::start();
    let site = Site::fast(60);
    site.configure(&[&broker.uplink(""), &mail.mail_section("")]);
    let (findings, _) = check(&site).await;
    let (verdict, text) = worst(&findings, "broker");
    assert!(verdict == "doubtful" && text.contains("access list"), "{text}");
    assert!(worst(&findings, "meters").1.contains("vesigate keys import"));

    broker.kill().await;
    mail.mood(Mood::Greets(421));
    site.dongle.unplug().await;
    let (findings, code) = check(&site).await;
    for (area, words) in [("broker", "nothing listens"), ("mail", "421"), ("receiver", "not there")] {
        let (verdict, text) = worst(&findings, area);
        assert!(verdict == "bad" && text.contains(words), "{area}: {text}");
    }
    assert_eq!(code, Some(1));

    std::fs::write(site.config(), "[gatway]\nname = 3\n").unwrap();
    let (findings, code) = check(&site).await;
    assert_eq!((worst(&findings, "configuration").0.as_str(), code), ("bad", Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_mail_goes_to_every_contact_or_to_the_address_given_and_its_refusal_is_told() {
    let mail = SmtpServer::start();
    let site = Site::new();
    let contact = "[[contact]]\nname = \"on-call\"\nemail = \"on-call@kyla.example\"\nlanguage = \"en\"\n";
    site.configure(&[&mail.mail_section(""), contact]);
    let output = site.vesigate(&["check", "--send-test-mail"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("a test mail to on-call (reply 250)") && !said.contains("on-call@"), "{said}");
    let output = site.vesigate(&["check", "--send-test-mail=me@kyla.example"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("to the address given"));
    let received = mail.receives(2, SOON).await;
    let to: Vec<&str> = received.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["on-call@kyla.example", "me@kyla.example"]);
    assert_eq!(received[0].mail.subject(), "Test of the water alarms");
    mail.mood(Mood::Recipients(550));
    let output = site.vesigate(&["check", "--send-test-mail"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("no test mail to on-call: the mail server refuses the recipient's address"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
    let output = site.vesigate(&["check", "--send-test-mail=nobody"]).await;
    assert_eq!(output.status.code(), Some(2));
}
