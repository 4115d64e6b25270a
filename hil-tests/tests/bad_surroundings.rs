//! Bad input from around the gateway: its file, its dongle, its broker, its mail server. Each gives a clear message and a
//! counter, loses nothing, and is over by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::broker::Tls;
use hil_tests::certificates::{Authority, Identity, Years};
use hil_tests::clock::START;
use hil_tests::gateway::problem;
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Mood, Portal, SOON, Site, SmtpServer};
use messages::mail::MailOutcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_told_at_once_and_whole_without_its_secrets() {
    let site = Site::fast(60);
    std::fs::write(
        site.config(),
        "[gateway]\nname = \"a/b\"\ncolour = \"blue\"\n[uplink]\nenabled = true\nport = 0\n\
         [keys]\nfile = \"relative\"\n[mail]\nenabled = true\nsecurity = \"maybe\"\npassword_file = \"hunter2 secret\"\n",
    )
    .unwrap();
    for half in [Half::Both, Half::Collect, Half::Deliver] {
        let gateway = Gateway::spawn(&site, half);
        let log = gateway.log_at_end().await;
        assert_eq!(log.code, Some(2), "{}", log.text);
        for word in ["name", "colour", "port", "file", "security", "host", "server", "vesigate.toml"] {
            assert!(log.text.contains(word), "{word} is not told:\n{}", log.text);
        }
        assert!(!log.text.contains("hunter2"), "{}", log.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dongle_that_is_missing_pulled_out_and_back_is_a_problem_that_ends() {
    let site = Site::fast(60);
    let town = Town::new(3, 4, START * 1000);
    site.settle(&town, &[]).await;
    site.dongle.unplug().await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let text = collect.has_problem("collect", "receiver_gone").await;
    assert!(text.contains("usb-dongle"), "{text}");
    site.dongle.replug().await.unwrap();
    collect.is_free_of("collect", "receiver_gone").await;
    let mut air = site.play(town);
    air.hear(9).await;
    site.dongle.unplug().await;
    collect.has_problem("collect", "receiver_gone").await;
    site.dongle.replug().await.unwrap();
    collect.is_free_of("collect", "receiver_gone").await;
    let before = collect.status().await.unwrap();
    air.hear(9).await;
    let heard = before["telegrams"]["heard"].as_u64().unwrap();
    let status = collect
        .reports("collect", "new telegrams", |status| status["telegrams"]["heard"].as_u64() > Some(heard))
        .await;
    assert_eq!(status["problems_begun"]["receiver_gone"], 2, "{status}");
    assert!(collect.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_is_told_by_its_reason_and_tried_again() {
    let mut broker = Broker::with(None, "allow_anonymous false\n").await;
    let site = Site::fast(60);
    let town = Town::new(2, 4, START * 1000);
    site.settle(&town, &[&broker.uplink("")]).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let says = |word: &'static str| {
        move |status: &serde_json::Value| {
            status["uplink"]["error"].as_str().is_some_and(|error| error.contains(word))
        }
    };
    deliver.reports("deliver", "CONNACK's reason", says("not authorised")).await;
    // Then it lets us in, and lets us publish nothing.
    let acl = broker.file("acl", "user nobody\n");
    broker.configure(&format!("allow_anonymous true\nacl_file {}\n", acl.display()));
    broker.restart().await;
    deliver.reports("deliver", "PUBACK's reason", says("135")).await;
    broker.configure("allow_anonymous true\n");
    broker.restart().await;
    let portal = Portal::connect(&broker);
    let mut air = site.play(town);
    air.hear(9).await;
    air.stop().await;
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    assert!(!rows.is_empty());
    portal.has("all rows", |records| (*records.rows() == rows).then_some(())).await;
    deliver.reports("deliver", "no error", |status| status["uplink"]["error"].is_null()).await;
    assert!(deliver.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_problem_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let good = ours.client("kylavesi/gw-7", Years::NOW);
    let revoked = ours.client("kylavesi/gw-7", Years::NOW);
    let crl = ours.revoke(&[&revoked]);
    let server = |identity: Identity| Tls {
        authority: ours.certificate().to_owned(),
        identity,
        revoked: Some(crl.clone()),
    };
    let right = || ours.server("localhost", Years::NOW);
    let cases: Vec<(&str, Identity, &Authority, Option<&Identity>, &str)> = vec![
        ("all well", right(), &ours, Some(&good), ""),
        ("their authority", other.server("localhost", Years::NOW), &ours, Some(&good), "unknown authority"),
        ("their end", ours.server("localhost", Years::PAST), &ours, Some(&good), "expired"),
        ("their beginning", ours.server("localhost", Years::FUTURE), &ours, Some(&good), "valid from"),
        ("their name", ours.server("broker.example", Years::NOW), &ours, Some(&good), "not for localhost"),
    ];
    let ours_bad = [
        ("our authority", other.client("kylavesi/gw-7", Years::NOW), "authority that signed our certificate"),
        ("our end", ours.client("kylavesi/gw-7", Years::PAST), "has expired, says the broker"),
        ("our beginning", ours.client("kylavesi/gw-7", Years::FUTURE), "check its dates"),
        ("revoked", revoked.clone(), "revoked"),
    ];
    let bad = ours_bad.iter().map(|(what, client, word)| (*what, right(), &ours, Some(client), *word));
    for (what, identity, authority, client, word) in cases.into_iter().chain(bad) {
        let broker = Broker::start_tls(server(identity)).await;
        let site = Site::fast(60);
        let client = client.unwrap();
        site.configure(&[&broker.uplink(&format!(
            "tls = {{ ca = \"{}\", certificate = \"{}\", key = \"{}\" }}",
            authority.certificate().display(),
            client.certificate.display(),
            client.key.display()
        ))]);
        let deliver = Gateway::start(&site, Half::Deliver).await;
        deliver
            .reports("deliver", what, |status| match word {
                "" => status["uplink"]["connected"] == true,
                word => status["uplink"]["error"].as_str().is_some_and(|error| error.contains(word)),
            })
            .await;
        assert!(deliver.stop().await.success(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_with_our_name_is_noticed() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(60);
    site.configure(&[&broker.uplink("")]);
    let deliver = Gateway::start(&site, Half::Deliver).await;
    let (_client, mut events) =
        rumqttc::AsyncClient::builder(broker.client("kylavesi/gw-7", None)).capacity(4).build();
    let twin = tokio::spawn(async move {
        loop {
            let _ = events.poll().await;
        }
    });
    deliver.has_problem("deliver", "broker_twin").await;
    twin.abort();
    assert!(deliver.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_refuses_for_now_is_tried_again_and_one_that_refuses_for_good_is_reported() {
    let (broker, post) = (Broker::start().await, SmtpServer::start());
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(100);
    let mut town = Town::new(2, 6, START * 1000);
    let contact = "[[contact]]\nname = \"on-call\"\nemail = \"aino@example.fi\"\n";
    let alarm = "[alarm]\nleak = { after = \"0 s\" }\nburst = { after = \"0 s\" }\n";
    site.settle(&town, &[&broker.uplink(""), &post.mail_section("timeout = \"5 s\""), alarm, contact]).await;
    post.mood(Mood::Greets(421));
    let gateway = Gateway::start(&site, Half::Both).await;
    town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
    let later = START + 40 * 60;
    town.add(1, Event::new(Trouble::Burst, later, i64::MAX).told_at_once());
    let _air = site.play(town);
    let text = gateway.has_problem("deliver", "mail_server").await;
    assert!(text.contains("421"), "{text}");
    post.mood(Mood::Recipients(451));
    post.is_tried(1).await;
    post.mood(Mood::Wedged);
    post.is_tried(1).await;
    post.mood(Mood::Good);
    assert_eq!(post.receives(1, 4 * SOON).await.len(), 1);
    gateway.is_free_of("deliver", "mail_server").await;

    post.mood(Mood::Recipients(550));
    let refused = portal
        .has_within(4 * SOON, "the refused mail", |records| {
            records.mails().iter().find(|mail| mail.outcome == MailOutcome::Refused).cloned()
        })
        .await;
    assert_eq!(refused.reply, Some(550));
    let status = gateway.status_of("deliver").await.unwrap();
    assert_eq!(status["mail"]["refused"], 1, "{status}");
    assert_eq!(problem(&status, "mail_server"), None, "one address is not the server");
    assert!(gateway.stop().await.success());
}
