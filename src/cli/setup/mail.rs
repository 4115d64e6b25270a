//! Who is told of alarms, and through which server.

use toml_edit::Table;

use super::pending::{Pending, read, typed};
use super::talk::Talk;
use super::{Setup, host_and_port, server_of};
use crate::check;
use crate::check::{Area, Verdict};
use crate::config::{Config, Email};
use crate::setup::draft::{Draft, Many};
use crate::world::Clock;

const TEST: &str = "Send a test mail to everybody who is told of alarms?";

const PASSWORD: &str = "mail.password";

/// Sets `[mail]` and the first contact, and tries the server.
pub(super) async fn step(
    setup: &Setup,
    talk: &mut Talk,
    draft: &mut Draft,
    pending: &mut Pending,
) -> Result<(), String> {
    Talk::heading("Alarm mails");
    let (mut change, mut first) = (true, true);
    loop {
        talk.forget(Area::Mail);
        if change && !choose(setup, talk, draft, pending, first)? {
            return Ok(());
        }
        // What flags say is not asked for.
        let asks = talk.asks && !(first && setup.mail_server.is_some());
        first = false;
        let Some(config) = setup.meaning_or_tell(asks, draft)? else {
            change = true;
            continue;
        };
        let finding = check::mail(&config, &pending.credentials()).await;
        let works = finding.verdict != Verdict::Bad;
        talk.found(finding);
        if works && talk.asks && !config.contacts.is_empty() && Talk::yes(TEST, false)? {
            let credentials = pending.credentials();
            for finding in check::send_test_mail(&config, &credentials, &Clock::system(), None).await {
                talk.found(finding);
            }
        }
        match talk.again(works)? {
            Some(answers) => change = answers,
            None => return Ok(()),
        }
    }
}

fn choose(
    setup: &Setup,
    talk: &Talk,
    draft: &mut Draft,
    pending: &mut Pending,
    first: bool,
) -> Result<bool, String> {
    let config = draft.config(&setup.config).ok();
    let present = config.as_ref().and_then(|config| config.mail.as_ref());
    if first && setup.no_mail {
        draft.set("mail", "enabled", false);
        Talk::tell("off: alarms are not mailed from here");
        return Ok(false);
    }
    if first && setup.mail_server.is_some() {
        by_flags(setup, draft, pending)?;
        return Ok(true);
    }
    if let Some(present) = present.filter(|_| first) {
        let keep = format!("Keep {}:{}?", present.server.as_str(), present.port);
        if !talk.asks || Talk::yes(&keep, true)? {
            return Ok(true);
        }
    }
    if !talk.asks || !Talk::yes("Shall leaks be mailed from here, also while the uplink is down?", true)? {
        draft.set("mail", "enabled", false);
        Talk::tell("off: alarms are not mailed from here");
        return Ok(false);
    }
    by_questions(draft, pending, config.as_ref())?;
    Ok(true)
}

fn by_flags(setup: &Setup, draft: &mut Draft, pending: &mut Pending) -> Result<(), String> {
    let server = setup.mail_server.as_deref().unwrap_or_default();
    enter_server(draft, host_and_port(server)?);
    draft.set("mail", "security", setup.mail_security.as_str());
    draft.set("mail", "from", setup.mail_from.as_deref().ok_or("--mail-server needs --mail-from")?);
    if let Some(user) = &setup.mail_user {
        let password = setup.mail_password_file.as_deref().ok_or("--mail-user needs --mail-password-file")?;
        draft.set("mail", "user", user.as_str());
        pending.password(draft, "mail", PASSWORD, &read(password)?);
    } else {
        // That was for the server before.
        draft.unset("mail", "user");
        draft.unset("mail", "password_file");
    }
    if let Some(contact) = &setup.contact {
        draft.add(Many::Contact, contact_of(contact));
    }
    Ok(())
}

fn by_questions(draft: &mut Draft, pending: &mut Pending, config: Option<&Config>) -> Result<(), String> {
    let present = server_of(draft, "mail", "server");
    let server = Talk::ask_as("The mail server (host or host:port)", present.as_deref(), host_and_port)?;
    let here = ["localhost", "127.0.0.1", "::1"].contains(&server.0.as_str());
    enter_server(draft, server);
    let words = ["starttls", "tls", "none"];
    let present = draft.text_of("mail", "security");
    let usual = present.as_deref().filter(|word| words.contains(word));
    let usual = usual.unwrap_or(if here { "none" } else { "starttls" });
    draft.set("mail", "security", Talk::ask_which("Protection of the line", &words, usual)?);
    match Talk::ask_perhaps("User at the mail server")? {
        Some(user) => {
            draft.set("mail", "user", user);
            pending.password(draft, "mail", PASSWORD, &typed("Password")?);
        }
        None => {
            draft.unset("mail", "user");
            draft.unset("mail", "password_file");
        }
    }
    let email = |text: &str| match text.parse::<Email>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("That is no mail address: {error}.")),
    };
    let present = draft.text_of("mail", "from");
    let question = "Sender, such as Waterworks <alarm@example.org>";
    draft.set("mail", "from", Talk::ask_as(question, present.as_deref(), email)?);
    let question = "Address of the utility's own people, told of every alarm";
    if config.is_none_or(|config| config.contacts.is_empty()) {
        while let Some(contact) = Talk::ask_perhaps(question)? {
            match email(&contact) {
                Ok(contact) => {
                    draft.add(Many::Contact, contact_of(&contact));
                    break;
                }
                Err(reason) => Talk::tell(&reason),
            }
        }
    }
    Ok(())
}

fn enter_server(draft: &mut Draft, (host, port): (String, Option<u16>)) {
    draft.set("mail", "enabled", true);
    draft.set("mail", "server", host);
    match port {
        Some(port) => draft.set("mail", "port", i64::from(port)),
        None => draft.unset("mail", "port"),
    }
}

fn contact_of(email: &str) -> Table {
    let mut table = Table::new();
    table.insert("name", toml_edit::value("on-call"));
    table.insert("email", toml_edit::value(email));
    table
}
