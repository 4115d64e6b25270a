//! What the gateway talks to: the broker and the mail server.

use messages::Time;

use super::{Area, Finding, Verdict};
use crate::alarm::send::Smtp;
use crate::config::{Config, Credentials};
use crate::health::status::DeliverStatus;
use crate::uplink::probe::{certificate_ends, probe};
use crate::world::Clock;

/// A certificate that is valid for fewer days should have been renewed.
const DAYS: i64 = 20;

pub(super) async fn broker(
    config: &Config,
    credentials: &Credentials,
    clock: &Clock,
    deliver: Option<&DeliverStatus>,
) -> Vec<Finding> {
    let finding = |verdict, text: String| Finding::new(Area::Broker, verdict, text);
    let Some(uplink) = &config.uplink else {
        return vec![finding(Verdict::Skipped, "the uplink is off: nothing leaves this machine".to_owned())];
    };
    let place = format!("{}:{}", uplink.host.as_str(), uplink.port);
    let folder = config.gateway.deliver_dir();
    let mut findings = match deliver.and_then(|deliver| deliver.uplink.as_ref()) {
        Some(running) if running.connected => {
            let seen = running.portal_seen.map_or_else(
                || "the portal has not answered yet".to_owned(),
                |at| format!("the portal answered last at {at}"),
            );
            let verdict = if running.portal_seen.is_some() { Verdict::Good } else { Verdict::Doubtful };
            vec![finding(verdict, format!("connected to {place}; {seen}"))]
        }
        Some(running) => {
            let error = running.error.as_deref().unwrap_or("not connected yet");
            vec![finding(Verdict::Bad, format!("{place}: {error}"))]
        }
        None => match probe(uplink, credentials, &folder, clock).await {
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
        },
    };
    if let Some(ends) = certificate_ends(uplink, credentials, &folder, clock) {
        findings.push(certificate(ends, clock.kernel()));
    }
    findings
}

fn certificate(ends: i64, now: i64) -> Finding {
    let days = ends.saturating_sub(now).div_euclid(86_400);
    let until = Time::from_unix(ends).map_or_else(String::new, |until| format!(" ({until})"));
    let (verdict, text) = match days {
        ..0 => (Verdict::Bad, format!("our certificate has expired{until}: enrol this gateway again")),
        0..DAYS => (
            Verdict::Doubtful,
            format!("our certificate ends in {days} days{until}: the portal should have renewed it"),
        ),
        _ => (Verdict::Good, format!("our certificate is valid for {days} more days{until}")),
    };
    Finding::new(Area::Broker, verdict, text)
}

pub(super) async fn mail(config: &Config, credentials: &Credentials) -> Finding {
    let finding = |verdict, text: String| Finding::new(Area::Mail, verdict, text);
    let Some(mail) = &config.mail else {
        return finding(Verdict::Skipped, "mail is off: alarms are not mailed from here".to_owned());
    };
    let place = format!("{}:{}", mail.server.as_str(), mail.port);
    let server = match Smtp::new(mail, credentials) {
        Ok(server) => server,
        Err(error) => return finding(Verdict::Bad, format!("the password of mail.password_file {error}")),
    };
    match server.greet().await {
        Ok(()) => finding(Verdict::Good, format!("{place} would take mail (none was sent)")),
        Err(trouble) => finding(Verdict::Bad, format!("{place}: {trouble}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_the_days_it_has_left() {
        let now = 1_795_600_800;
        let verdict = |days: i64| certificate(now + days * 86_400, now).verdict;
        assert_eq!(
            [verdict(-1), verdict(0), verdict(19), verdict(20)],
            [Verdict::Bad, Verdict::Doubtful, Verdict::Doubtful, Verdict::Good]
        );
    }
}
