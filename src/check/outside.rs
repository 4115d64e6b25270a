//! What the gateway talks to: the broker and the mail server.

use std::path::Path;

use messages::Time;
use messages::event::ProblemKind;

use super::{Area, Finding, Verdict, left_to_service};
use crate::alarm::send::Smtp;
use crate::config::{Acknowledge, Config, Credentials, Uplink};
use crate::halves::control::AskError;
use crate::health::status::{DeliverStatus, UplinkStatus};
use crate::uplink::Calendar;
use crate::uplink::probe::{Certificate, certificate, probe};

/// A portal that has not answered for so long deserves a look, in seconds.
const SILENT: i64 = 2 * 3600;

/// The broker. Only when the delivering half surely does not run is it tried: whoever connects by the gateway's name ends
/// the line of whoever has that name.
pub(super) async fn broker(
    config: &Config,
    credentials: &Credentials,
    calendar: &Calendar,
    deliver: Result<&DeliverStatus, &AskError>,
) -> Vec<Finding> {
    let Some(uplink) = &config.uplink else {
        return vec![finding(Verdict::Skipped, "the uplink is off: nothing leaves this machine")];
    };
    let place = format!("{}:{}", uplink.host.as_str(), uplink.port);
    let (mut findings, shown) = match deliver {
        Ok(deliver) => match &deliver.uplink {
            Some(running) => {
                let now = deliver.at.map_or_else(|| calendar.now(), Time::unix);
                let late =
                    deliver.problems.iter().any(|listed| listed.problem == ProblemKind::CertificateExpiring);
                let until = running.certificate_expires.map(Time::unix);
                let shown = until.map(|until| (Certificate { until, late }, now));
                (vec![running_line(uplink, running, &place, now)], shown)
            }
            None => {
                let text = format!(
                    "{place}: deliver has only just started, or runs with another configuration \
                     (systemctl reload vesigate-deliver)"
                );
                (vec![finding(Verdict::Doubtful, text)], None)
            }
        },
        Err(error) if error.says_it_does_not_run() => {
            if let Some(left) = left_to_service(config, credentials, Area::Broker, "uplink.") {
                return vec![left];
            }
            let folder = config.gateway.deliver_dir();
            let shown = certificate(uplink, credentials, &folder, calendar);
            let tried = probed(uplink, credentials, &folder, calendar, &place).await;
            (tried, shown.map(|shown| (shown, calendar.now())))
        }
        Err(error) => {
            let text = format!("{place}: not tried, since deliver may have the line: {error}");
            (vec![finding(Verdict::Skipped, text)], None)
        }
    };
    findings.extend(shown.map(|(shown, now)| of_certificate(shown, now)));
    findings
}

fn finding(verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding::new(Area::Broker, verdict, text)
}

/// What the running half says of its line.
fn running_line(uplink: &Uplink, running: &UplinkStatus, place: &str, now: i64) -> Finding {
    match (running.connected, &running.error) {
        (true, Some(error)) => finding(Verdict::Bad, format!("connected to {place}, but {error}")),
        (false, error) => {
            let error = error.as_deref().unwrap_or("not connected yet");
            finding(Verdict::Bad, format!("{place}: {error}"))
        }
        (true, None) if uplink.acknowledge == Acknowledge::Broker => {
            finding(Verdict::Good, format!("connected to {place}, which acknowledges"))
        }
        (true, None) => match running.portal_seen {
            None => {
                finding(Verdict::Doubtful, format!("connected to {place}; the portal has not answered yet"))
            }
            Some(seen) => {
                let silent = now.saturating_sub(seen.unix()) > SILENT;
                let verdict = if silent { Verdict::Doubtful } else { Verdict::Good };
                finding(verdict, format!("connected to {place}; the portal answered last at {seen}"))
            }
        },
    }
}

async fn probed(
    uplink: &Uplink,
    credentials: &Credentials,
    folder: &Path,
    calendar: &Calendar,
    place: &str,
) -> Vec<Finding> {
    match probe(uplink, credentials, folder, calendar).await {
        Err(fault) => vec![finding(Verdict::Bad, format!("{place}: {fault}"))],
        Ok(probed) => {
            let works = format!("{place} lets this gateway in, read its documents and write its state");
            let mut findings = vec![finding(Verdict::Good, works)];
            if probed.writes_anywhere {
                let open = format!(
                    "{place} lets this gateway write where it has no business: give it the access list of \
                     config/mosquitto"
                );
                findings.push(finding(Verdict::Doubtful, open));
            }
            findings
        }
    }
}

/// Judged by the very rule that the delivering half renews by.
fn of_certificate(Certificate { until, late }: Certificate, now: i64) -> Finding {
    let days = until.saturating_sub(now).div_euclid(86_400);
    let end = Time::from_unix(until).map_or_else(String::new, |until| format!(" ({until})"));
    if days < 0 {
        finding(Verdict::Bad, format!("our certificate has expired{end}: enrol this gateway again"))
    } else if late {
        let text = format!("our certificate ends in {days} days{end}: the portal should have renewed it");
        finding(Verdict::Doubtful, text)
    } else {
        finding(Verdict::Good, format!("our certificate is valid for {days} more days{end}"))
    }
}

pub(super) async fn mail(config: &Config, credentials: &Credentials) -> Finding {
    let finding = |verdict, text: String| Finding::new(Area::Mail, verdict, text);
    let Some(mail) = &config.mail else {
        return finding(Verdict::Skipped, "mail is off: alarms are not mailed from here".to_owned());
    };
    if let Some(left) = left_to_service(config, credentials, Area::Mail, "mail.") {
        return left;
    }
    let place = format!("{}:{}", mail.server.as_str(), mail.port);
    let server = match Smtp::new(mail, credentials) {
        Ok(server) => server,
        Err(error) => return finding(Verdict::Bad, format!("the password of mail.password_file {error}")),
    };
    match server.greet().await {
        Ok(()) => {
            let does = if mail.login.is_some() { "lets us log in" } else { "greets us" };
            finding(Verdict::Good, format!("{place} {does}; no mail was sent"))
        }
        Err(trouble) => finding(Verdict::Bad, format!("{place}: {trouble}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_600_800;

    fn uplink(lines: &str) -> Uplink {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vesigate.toml");
        let text = format!(
            "[gateway]\nutility = \"kylavesi\"\nname = \"gw-7\"\n[uplink]\nenabled = true\nhost = \"localhost\"\n{lines}"
        );
        std::fs::write(&file, text).unwrap();
        Config::load(&file).unwrap().uplink.unwrap()
    }

    fn verdict(lines: &str, running: &serde_json::Value) -> Verdict {
        let mut whole = serde_json::json!({
            "connected": true, "since": null, "error": null, "connections": 1, "streams": {},
            "config": {"version": 0, "meters": {}}, "portal_seen": null, "certificate_expires": null, "parked": [],
        });
        whole.as_object_mut().unwrap().extend(running.as_object().unwrap().clone());
        let running: UplinkStatus = serde_json::from_value(whole).unwrap();
        running_line(&uplink(lines), &running, "localhost:8883", NOW).verdict
    }

    #[test]
    fn a_line_is_good_while_nothing_is_wrong_with_it_and_the_portal_answers() {
        let seen = |ago: i64| serde_json::json!({ "portal_seen": Time::from_unix(NOW - ago) });
        assert_eq!(verdict("", &seen(SILENT)), Verdict::Good);
        assert_eq!(verdict("", &seen(SILENT + 1)), Verdict::Doubtful);
        assert_eq!(verdict("", &serde_json::json!({})), Verdict::Doubtful);
        assert_eq!(verdict("acknowledge = \"broker\"", &serde_json::json!({})), Verdict::Good);
        let mut refused = seen(0);
        refused["error"] = "the broker takes nothing".into();
        assert_eq!(verdict("", &refused), Verdict::Bad);
        assert_eq!(verdict("", &serde_json::json!({"connected": false})), Verdict::Bad);
    }

    #[test]
    fn a_certificate_is_judged_by_the_rule_of_its_renewal() {
        let verdict =
            |days: i64, late| of_certificate(Certificate { until: NOW + days * 86_400, late }, NOW).verdict;
        assert_eq!(
            [verdict(-1, true), verdict(0, true), verdict(300, false)],
            [Verdict::Bad, Verdict::Doubtful, Verdict::Good]
        );
        // A short one is young with ten days left.
        assert_eq!(verdict(10, false), Verdict::Good);
    }
}
