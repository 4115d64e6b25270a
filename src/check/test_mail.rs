//! A test mail, to see that alarms arrive.

use messages::mail::MailKind;
use messages::{Id, Time};

use super::{Area, Finding, Verdict};
use crate::alarm::book::House;
use crate::alarm::mail::{Head, Kind, Letter, write};
use crate::alarm::message_id;
use crate::alarm::send::{Outcome, Smtp};
use crate::config::{Config, Credentials, Email, Language};
use crate::world::{Clock, random};

/// Sends one to this address, or to every contact of the configuration; each is a finding.
pub(super) async fn send(
    config: &Config,
    credentials: &Credentials,
    clock: &Clock,
    to: Option<&Email>,
) -> Vec<Finding> {
    let finding = |verdict, text: String| Finding::new(Area::Mail, verdict, text);
    let Some(mail) = &config.mail else {
        return vec![finding(Verdict::Bad, "no test mail: mail is off".to_owned())];
    };
    let readers: Vec<(String, &Email, Language)> = match to {
        Some(email) => vec![("the address given".to_owned(), email, config.gateway.language)],
        None => {
            let contacts = config.contacts.iter();
            contacts.map(|contact| (contact.name.to_string(), &contact.email, contact.language)).collect()
        }
    };
    if readers.is_empty() {
        let text = "no test mail: the configuration has no [[contact]]; name an address with --send-test-mail=ADDRESS";
        return vec![finding(Verdict::Bad, text.to_owned())];
    }
    let server = match Smtp::new(mail, credentials) {
        Ok(server) => server,
        Err(error) => {
            return vec![finding(
                Verdict::Bad,
                format!("no test mail: the password of mail.password_file {error}"),
            )];
        }
    };
    let mut findings = Vec::new();
    for (name, email, language) in readers {
        let Some(letter) = letter(config, mail, email, language, clock) else {
            findings.push(finding(
                Verdict::Bad,
                format!("no test mail to {name}: no such address can be written to"),
            ));
            continue;
        };
        findings.push(match server.send(&letter).await {
            Outcome::Sent { reply } => {
                let text =
                    format!("the server has a test mail to {name} (reply {reply}): look whether it arrives");
                finding(Verdict::Good, text)
            }
            Outcome::Later(trouble) | Outcome::Refused(trouble) | Outcome::Server(trouble) => {
                finding(Verdict::Bad, format!("no test mail to {name}: {trouble}"))
            }
        });
    }
    findings
}

fn letter(
    config: &Config,
    mail: &crate::config::Mail,
    to: &Email,
    language: Language,
    clock: &Clock,
) -> Option<crate::alarm::mail::Written> {
    let house = House { name: None, zone: config.gateway.zone.as_str().to_owned(), phone: None, url: None };
    let letter = Letter {
        kind: Kind::Test,
        code: None,
        meter: None,
        place: None,
        point: None,
        span: None,
        flow: None,
        language: language.into(),
        audience: messages::config::ContactKind::Utility,
        unsubscribe: None,
        house: &house,
    };
    let from = mail.from.mailbox().clone();
    let id = || Id::from_random(u128::from_be_bytes(random::<16>()));
    let head = Head {
        message: message_id(id(), id(), &MailKind::Test, 0, from.email.domain()),
        from,
        reply_to: mail.reply_to.as_ref().map(|email| email.mailbox().clone()),
        to: to.mailbox().clone(),
        date: Time::from_unix(clock.kernel())?,
    };
    write(&letter, head).ok()
}
