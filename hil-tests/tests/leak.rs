//! A leak becomes one mail for each contact, through a real mail server, and an alarm at the broker; also while the broker
//! is away.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::certificates::Authority;
use hil_tests::clock::START;
use hil_tests::{Broker, Gateway, Half, Portal, PostOffice, Site};
use messages::mail::{MailKind, MailOutcome};

const ALARM: &str = "[alarm]\nleak = { after = \"10 min\" }\n";
const CONTACTS: &str = "[[contact]]\nname = \"fi\"\nemail = \"aino@example.fi\"\nlanguage = \"fi\"\n\n\
                        [[contact]]\nname = \"sv\"\nemail = \"bo@example.fi\"\nlanguage = \"sv\"\n\n\
                        [[contact]]\nname = \"en\"\nemail = \"cecil@example.fi\"\nlanguage = \"en\"\n\n\
                        [[contact]]\nname = \"other\"\nemail = \"nobody@example.fi\"\ncodes = [\"dry\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_is_one_mail_to_each_contact_in_its_language_also_without_a_broker() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let Some(office) = PostOffice::start(&authority).await else { return };
    let mut broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    let mut site = Site::fast(300);
    site.mail_authority = Some(authority.certificate().to_owned());
    let mut town = Town::new(3, 2, START * 1000);
    site.settle(&town, &[&broker.uplink(""), &office.mail_section(), ALARM, CONTACTS]).await;
    broker.kill().await;
    let _collect = Gateway::start(&site, Half::Collect).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
    let (place, serial) = {
        let leaking = &town.residents()[0];
        (leaking.name.clone(), leaking.meter.address().serial.to_string())
    };
    let _air = site.play(town);

    let mails = office.delivers(3).await;
    for (address, word) in
        [("aino@example.fi", "vuoto"), ("bo@example.fi", "läck"), ("cecil@example.fi", "leak")]
    {
        let mail = mails.iter().find(|mail| mail.to() == address).unwrap();
        assert!(mail.subject().to_lowercase().contains(word), "{}", mail.subject());
        assert!(mail.text.contains(&place) && mail.html.contains(&place), "{}", mail.text);
        assert!(mail.text.to_lowercase().contains(word) && mail.html.to_lowercase().contains(word));
        assert!(mail.html.contains("<html"), "{}", mail.html);
        assert!(mail.text.contains(&serial), "{}", mail.text);
    }

    broker.restart().await;
    let alarm = portal.has("the alarm", |records| records.alarms().first().cloned()).await;
    assert_eq!((alarm.meter.serial(), alarm.code.as_str(), alarm.contacts), (serial.as_str(), "leak", 3));
    let reports =
        portal.has("three mails", |records| Some(records.mails().to_vec()).filter(|mails| mails.len() >= 3));
    for report in reports.await {
        assert_eq!(
            (report.kind, report.outcome, report.reply),
            (MailKind::Raised, MailOutcome::Sent, Some(250))
        );
        let same = mails.iter().filter(|mail| mail.message_id() == format!("<{}>", report.message));
        assert_eq!(same.count(), 1);
    }
    let episodes = portal.has("the episode", |records| {
        Some(records.episodes().clone()).filter(|episodes| !episodes.is_empty())
    });
    assert_eq!(episodes.await.len(), 1);
    // Nothing more, hours later.
    site.clock().pass(3600).await;
    assert_eq!(office.mails().len(), 3);
    assert_eq!(portal.records().alarms().len(), 1);
    assert!(deliver.stop().await.success());
}
