//! The queue: retries, refusals, order, requests.

use messages::mail::RequestOutcome;

use super::*;
use crate::alarm::pause;

fn burst(half: &mut Half, now: Time) {
    let seconds = now.unix() - at(0).unix();
    half.hear(&[episode(2, Code::Burst, seconds, seconds, Standing::Active)], now);
}

const TEST: &str = r#"{"id":"00000000000000000000000000000d01","expires":"2026-11-25T00:00:00Z","do":"test_mail",
    "contact":"00000000000000000000000000000c01"}"#;

fn with_request(request: &str) -> Half {
    let mut half = Half::new(config(""));
    half.portal(PORTAL);
    half.document(&format!(r#""alarm_gateway":false,"contacts":[{CONTACT}],"requests":[{request}]"#));
    half
}

fn requests(half: &Half) -> Vec<RequestOutcome> {
    let done = half.records().into_iter().filter_map(|record| match record {
        Record::Request(report) => Some(report.outcome),
        _ => None,
    });
    done.collect()
}

#[test]
fn attempts_follow_after_1_5_15_and_30_minutes_and_then_each_hour_for_five_days() {
    let mut half = Half::new(config(""));
    burst(&mut half, at(0));
    let mut attempts = Vec::new();
    let mut now = at(0);
    while let Some(due) = half.alarms.next_due() {
        now = due;
        half.hear(&[episode(2, Code::Burst, 0, now.unix() - at(0).unix(), Standing::Active)], now);
        let Some(outgoing) = half.next(now) else { break };
        attempts.push(now.unix() - at(0).unix());
        half.done(&outgoing, &later(451), now);
        half.restart();
        half.tick(now);
    }
    assert_eq!(attempts[..6], [0, 60, 360, 1260, 3060, 6660]);
    assert!(attempts.windows(2).skip(4).all(|pair| pair[1] - pair[0] == pause(9)));
    assert_eq!(now, at(5 * 86_400));
    assert_eq!(half.reports(), [(MailKind::Raised, MailOutcome::GivenUp, None)]);
}

#[test]
fn a_refused_recipient_is_reported_and_never_tried_again_and_nobody_waits_for_it() {
    let second = "[[contact]]\nname = \"boss\"\nemail = \"boss@example.org\"";
    let mut half = Half::new(config(second));
    burst(&mut half, at(0));
    let mut told = Vec::new();
    while let Some(outgoing) = half.next(at(0)) {
        let boss = about(&outgoing).contains("boss");
        half.done(&outgoing, &if boss { SENT } else { refused() }, at(0));
        told.push(boss);
    }
    assert_eq!(told.iter().filter(|boss| **boss).count(), 1);
    assert_eq!(told.len(), 2);
    assert!(half.reports().contains(&(MailKind::Raised, MailOutcome::Refused, Some(550))));
    half.restart();
    half.tick(at(100_000));
    assert_eq!(half.next(at(100_000)), None);
}

#[test]
fn while_the_server_is_down_one_mail_asks_for_all_and_its_return_frees_them() {
    let second = "[[contact]]\nname = \"boss\"\nemail = \"boss@example.org\"";
    let mut half = Half::new(config(second));
    burst(&mut half, at(0));
    let outgoing = half.next(at(0)).unwrap();
    half.done(&outgoing, &down(), at(0));
    assert_eq!(half.next(at(59)), None, "the other one waits as well");
    assert!(half.alarms.server_trouble().unwrap().contains("cannot be reached"));
    half.hear(&[episode(3, Code::Reverse, 30, 30, Standing::Active)], at(30));
    let outgoing = half.next(at(30)).unwrap();
    half.done(&outgoing, &SENT, at(30));
    assert_eq!(half.send_all(at(30)).len(), 3, "a new alarm tries at once, and frees the others");
    assert_eq!(half.alarms.server_trouble(), None);
}

#[test]
fn a_test_mail_is_sent_once_after_alarms_and_reported() {
    let mut half = with_request(TEST);
    half.tick(at(0));
    let outgoing = half.next(at(0)).unwrap();
    assert_eq!(about(&outgoing), "test aino@example.fi");
    half.done(&outgoing, &SENT, at(0));
    assert_eq!(requests(&half), [RequestOutcome::Done]);
    half.restart();
    half.tick(at(1));
    assert_eq!((half.next(at(1)), requests(&half).len()), (None, 1));
}

#[test]
fn a_request_that_cannot_be_done_says_why() {
    let expired = TEST.replace("2026-11-25", "2026-11-20");
    let stranger = TEST.replace("c01", "c99");
    let strange =
        r#"{"id":"00000000000000000000000000000d02","expires":"2026-11-25T00:00:00Z","do":"dance"}"#;
    for (request, expected) in [
        (expired.as_str(), RequestOutcome::Expired),
        (&stranger, RequestOutcome::Failed),
        (strange, RequestOutcome::NotUnderstood),
    ] {
        let mut half = with_request(request);
        half.tick(at(0));
        half.alarms.documents_changed();
        half.tick(at(1));
        assert_eq!((half.next(at(1)), requests(&half)), (None, vec![expected]));
    }
    let mut half = with_request(TEST);
    half.tick(at(0));
    let outgoing = half.next(at(0)).unwrap();
    half.done(&outgoing, &refused(), at(0));
    assert_eq!(requests(&half), [RequestOutcome::Failed]);
}

#[test]
fn one_mail_at_a_time_and_the_same_name_whenever_it_is_tried() {
    let mut half = Half::new(config(""));
    burst(&mut half, at(0));
    let first = half.next(at(0)).unwrap();
    assert_eq!(half.next(at(0)), None);
    half.alarms.lost();
    assert_eq!(half.next(at(0)).as_ref(), Some(&first), "it was not sent");
    half.restart();
    half.tick(at(5));
    let again = half.next(at(5)).unwrap();
    assert_eq!(first.message, again.message);
    assert!(first.message.ends_with(".raised@gw-7.kylavesi"), "{}", first.message);
}
