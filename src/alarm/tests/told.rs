//! Who is told what, and when.

use super::*;

const HOUR: i64 = 3600;
const LONG: i64 = 3 * HOUR;

#[test]
fn a_leak_is_mailed_once_when_it_has_lasted_as_long_as_its_rule_says_and_once_when_it_is_over() {
    let mut half = Half::new(ruled());
    half.hear(&[leak(LONG - 1, Standing::Active)], at(LONG));
    assert_eq!((half.send_all(at(LONG)), half.raised()), (vec![], vec![]));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    assert_eq!(half.raised(), [1]);
    assert_eq!(half.send_all(at(LONG)), ["raised on-call@example.org"]);
    half.hear(&[leak(LONG + HOUR, Standing::Active)], at(LONG + HOUR));
    assert_eq!(half.send_all(at(LONG + HOUR)), [""; 0]);
    half.hear(&[leak(LONG + HOUR, Standing::Ended)], at(LONG + 3 * HOUR));
    assert_eq!(half.send_all(at(LONG + 3 * HOUR)), ["over on-call@example.org"]);
    half.restart();
    assert_eq!(half.send_all(at(LONG + 4 * HOUR)), [""; 0]);
    let sent = MailOutcome::Sent;
    assert_eq!(
        half.reports(),
        [(MailKind::Raised, sent.clone(), Some(250)), (MailKind::Over, sent, Some(250))]
    );
}

#[test]
fn repeats_come_as_often_as_the_rule_says_across_restarts() {
    let mut half = Half::new(ruled());
    let mut sent = Vec::new();
    for hour in 3..100 {
        half.hear(&[leak(hour * HOUR, Standing::Active)], at(hour * HOUR));
        sent.extend(half.send_all(at(hour * HOUR)).into_iter().map(|about| (hour, about)));
        half.restart();
        half.tick(at(hour * HOUR));
    }
    let on_call = |hour, kind: &str| (hour, format!("{kind} on-call@example.org"));
    assert_eq!(sent, [on_call(3, "raised"), on_call(27, "repeated"), on_call(51, "repeated")]);
}

#[test]
fn history_and_late_episodes_are_never_mailed() {
    let mut half = Half::new(ruled());
    let late = Episode { late: true, ..leak(LONG, Standing::Active) };
    let old = episode(2, Code::Burst, -30 * HOUR, -25 * HOUR, Standing::Active);
    half.hear(&[late, old], at(0));
    assert_eq!((half.send_all(at(0)), half.raised()), (vec![], vec![]));
    let again = episode(2, Code::Burst, -30 * HOUR, -1, Standing::Active);
    half.hear(&[again], at(0));
    assert_eq!(half.send_all(at(0)), ["raised on-call@example.org"], "it still runs: that is news");
}

#[test]
fn an_episode_that_is_over_before_the_mail_was_sent_is_not_mailed() {
    let mut half = Half::new(ruled());
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    let outgoing = half.next(at(LONG)).unwrap();
    half.done(&outgoing, &down(), at(LONG));
    half.hear(&[leak(LONG, Standing::Ended)], at(LONG + 30));
    assert_eq!(half.send_all(at(LONG + HOUR)), [""; 0]);
    assert_eq!(half.reports(), [(MailKind::Raised, MailOutcome::Dropped, None)]);
    let mut half = Half::new(ruled());
    half.hear(&[leak(LONG, Standing::Ended)], at(LONG));
    assert_eq!((half.send_all(at(LONG)), half.raised()), (vec![], vec![0]), "raised all the same");
}

#[test]
fn two_episodes_close_to_each_other_are_one_alarm() {
    let mut half = Half::new(ruled());
    half.hear(&[episode(2, Code::Burst, 0, 60, Standing::Active)], at(60));
    assert_eq!(half.send_all(at(60)).len(), 1);
    half.hear(&[episode(3, Code::Burst, HOUR, HOUR + 60, Standing::Active)], at(HOUR + 60));
    half.hear(&[episode(2, Code::Burst, 0, 60, Standing::Ended)], at(HOUR + 90));
    assert_eq!((half.send_all(at(HOUR + 90)), half.raised()), (vec![], vec![1]));
    let apart = episode(4, Code::Burst, 4 * HOUR, 4 * HOUR + 60, Standing::Active);
    half.hear(&[apart], at(4 * HOUR + 60));
    let sent = half.send_all(at(4 * HOUR + 60));
    assert_eq!(sent.len(), 2, "the first is over, the second is another: {sent:?}");
}

#[test]
fn with_the_portals_document_its_contacts_and_rules_count_alone() {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    half.document(&format!(r#""alarm_gateway":true,"label":"Kuusikuja 5","contacts":[{CONTACT}]"#));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    let outgoing = half.next(at(LONG)).unwrap();
    assert_eq!(about(&outgoing), "raised aino@example.fi");
    let text = String::from_utf8(outgoing.mail.bytes.clone()).unwrap();
    assert!(text.contains("L=C3=A4ckagelarm") && text.contains("Kuusikuja 5"), "{text}");
    half.done(&outgoing, &SENT, at(LONG));
    assert_eq!(half.send_all(at(LONG)), [""; 0]);
    assert_eq!(half.alarms.thresholds().get(&Code::Leak), Some(&[180, 600].into()));
}

#[test]
fn whoever_is_not_to_be_mailed_is_not() {
    let contact = |from: &str, to: &str| CONTACT.replace(from, to);
    let snoozed = r#","snoozes":[{"code":"leak","until":"2027-01-01T00:00:00Z"}]"#;
    let mailed = |list: &str| {
        format!(
            r#","{list}":[{{"code":"leak","span":{{"from":"{}"}},"contact":"00000000000000000000000000000c01","kind":"raised"}}]"#,
            at(100)
        )
    };
    for (gateway, contact, more) in [
        (false, CONTACT.to_owned(), String::new()),
        (true, contact("true", "false"), String::new()),
        (true, contact("\"leak\",", ""), String::new()),
        (true, contact("}", r#","valid_until":"2026-01-01T00:00:00Z"}"#), String::new()),
        (true, CONTACT.to_owned(), snoozed.to_owned()),
        (true, CONTACT.to_owned(), mailed("mailed")),
        (true, CONTACT.to_owned(), mailed("claims")),
    ] {
        let mut half = Half::new(config(""));
        half.portal(PORTAL);
        half.document(&format!(r#""alarm_gateway":{gateway},"contacts":[{contact}]{more}"#));
        half.hear(&[leak(LONG, Standing::Active)], at(LONG));
        assert_eq!(half.send_all(at(LONG)), [""; 0], "{gateway} {contact} {more}");
        assert_eq!(half.raised(), [0]);
    }
}

#[test]
fn what_another_gateway_has_mailed_is_followed_by_over_from_here() {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    let mailed = format!(
        r#""mailed":[{{"code":"leak","span":{{"from":"{}"}},"contact":"00000000000000000000000000000c01","kind":"raised"}}]"#,
        at(-HOUR)
    );
    half.document(&format!(r#""alarm_gateway":true,"contacts":[{CONTACT}],{mailed}"#));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    half.hear(&[leak(LONG, Standing::Ended)], at(LONG + 2 * HOUR));
    assert_eq!(half.send_all(at(LONG + 2 * HOUR)), ["over aino@example.fi"]);
}

#[test]
fn a_snooze_or_a_claim_stops_what_is_queued_and_the_end_of_a_snooze_lets_it_go() {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    half.document(&format!(r#""alarm_gateway":true,"contacts":[{CONTACT}]"#));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    let until = at(LONG + HOUR);
    let snooze = format!(r#""snoozes":[{{"code":"leak","until":"{until}"}}]"#);
    half.document(&format!(r#""alarm_gateway":true,"contacts":[{CONTACT}],{snooze}"#));
    assert_eq!(half.send_all(at(LONG + 1)), [""; 0]);
    assert_eq!(half.reports(), [(MailKind::Raised, MailOutcome::Dropped, None)]);
    half.tick(at(LONG + HOUR));
    assert_eq!(half.send_all(at(LONG + HOUR)), ["raised aino@example.fi"]);
}

#[test]
fn a_customers_contact_lapses_thirty_days_after_the_portal_was_heard() {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    half.document(&format!(r#""alarm_gateway":true,"contacts":[{CONTACT}]"#));
    half.store.set_portal_seen(at(LONG - 30 * 86_400 - 1)).unwrap();
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    assert_eq!(half.send_all(at(LONG)), [""; 0]);
    half.store.set_portal_seen(at(LONG)).unwrap();
    half.alarms.documents_changed();
    half.tick(at(LONG));
    assert_eq!(half.send_all(at(LONG)), ["raised aino@example.fi"]);
}

#[test]
fn a_contact_that_comes_while_it_runs_is_told_too() {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    half.document(r#""alarm_gateway":false"#);
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    assert_eq!(half.raised(), [0]);
    half.document(&format!(r#""alarm_gateway":true,"contacts":[{CONTACT}]"#));
    half.tick(at(LONG + HOUR));
    assert_eq!(
        (half.send_all(at(LONG + HOUR)), half.raised()),
        (vec!["raised aino@example.fi".to_owned()], vec![0])
    );
}

#[test]
fn queued_mails_wait_while_the_portal_may_have_something_to_say() {
    let mut half = Half::new(ruled());
    half.alarms.hold_until(Some(at(LONG + 60)));
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    assert_eq!(half.next(at(LONG + 59)), None);
    assert_eq!(half.alarms.next_due(), Some(at(LONG + 60)));
    assert_eq!(half.send_all(at(LONG + 60)).len(), 1);
}

#[test]
fn without_a_trusted_clock_nothing_is_raised_or_sent_and_then_all_of_it() {
    let mut half = Half::new(ruled());
    let block = |episode| Block {
        seq: Seq::FIRST,
        nonce: Nonce::from_random(1),
        records: 1,
        stored: None,
        body: Body::encode(&[Record::Episode(episode)]).unwrap(),
    };
    half.alarms.take(&mut half.store, None, &[block(leak(LONG, Standing::Active))], None).unwrap();
    half.alarms.tick(&mut half.store, None).unwrap();
    assert_eq!(half.alarms.next(&mut half.store, None, None).unwrap(), None);
    half.tick(at(LONG + 60));
    assert_eq!(half.send_all(at(LONG + 60)).len(), 1);
}

#[test]
fn a_damaged_store_that_was_replaced_is_met_anew() {
    let mut half = Half::new(ruled());
    half.hear(&[leak(LONG, Standing::Active)], at(LONG));
    half.send_all(at(LONG));
    let fresh = tempfile::tempdir().unwrap();
    half.store = DeliverStore::open(fresh.path()).unwrap();
    half.tick(at(LONG + 1));
    assert_eq!(half.alarms.status(&mut half.store).unwrap().alarms, 0);
    half.hear(&[leak(LONG, Standing::Active)], at(LONG + 2));
    assert_eq!(half.send_all(at(LONG + 2)).len(), 1);
}
