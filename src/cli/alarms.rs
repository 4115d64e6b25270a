//! `vesigate alarms`: episodes, alarms and mails.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use messages::batch::{Record, Stream};
use messages::event::{Episode, Standing};
use messages::mail::MailKind;
use messages::reading::Code;
use messages::{Id, MeterId, Span, Time};
use serde::Serialize;

use super::common::{
    Colour, Common, Table, Zone, ask_deliver, before, finish, now, open_store, paint, print, print_json,
    printable, short, span,
};
use super::exit;
use super::known::{self, Names};
use super::readings::remembered;
use crate::alarm::book::id_of as contact_id;
use crate::alarm::rule::ONE_WITHIN;
use crate::config::Config;
use crate::halves::questions::OfDeliver;
use crate::halves::reports::AlarmReport;
use crate::store::{CollectReader, DeliverReader, MailState, QueuedMail, RaisedAlarm, StoreError};

/// Show info codes that go on or went by, the alarms they raised, and what became of the mails
///
/// Stretches of one code of one meter that overlap, or lie less than two hours apart, are one.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Alarms {
    /// How many days back
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100))]
    days: u32,

    /// Of this meter only: its number, address, name or metering point
    #[arg(long, value_name = "METER")]
    meter: Option<String>,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate alarms
  vesigate alarms --meter 76348799 --days 100
  vesigate alarms --json | jq '.mails[] | select(.state == \"refused\")'

Exit codes: 0 nothing goes on, 1 an alarm goes on or a mail could not be sent, 2 it could not run";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    at: Time,
    episodes: Vec<Line>,
    mails: Vec<MailLine>,
    /// There are more: these are the newest, and those that go on.
    cut: bool,
    /// Why the alarms and mails are not there.
    unread: Option<String>,
}

/// One stretch of one code.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    meter: MeterId,
    name: Option<String>,
    code: Code,
    /// `active`, `unknown` (the meter is silent) or `ended`.
    standing: Standing,
    started: Option<Time>,
    seen: Option<Time>,
    /// For how long telegrams are known to have shown it.
    lasted_s: u64,
    /// When an alarm was raised for it.
    raised: Option<Time>,
    /// The ids of the episodes that are one here.
    ids: Vec<Id>,
}

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct MailLine {
    meter: MeterId,
    name: Option<String>,
    code: Option<Code>,
    kind: MailKind,
    repeat: u32,
    /// The contact's name in the local file, or the portal's id of it.
    contact: String,
    state: MailState,
    queued: Time,
    /// When its state came about.
    at: Time,
    /// When it is tried next.
    due: Option<Time>,
    attempts: u32,
    /// The server's reply code.
    reply: Option<u16>,
    why: Option<String>,
}

impl Alarms {
    pub(super) fn run(self) -> u8 {
        finish("alarms", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        let report = self.report(&config)?;
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text(&Zone::of(&config)))?;
        }
        let goes_on = |line: &Line| line.raised.is_some() && line.standing != Standing::Ended;
        let failed = |mail: &MailLine| matches!(mail.state, MailState::Refused | MailState::GivenUp);
        let wrong = report.episodes.iter().any(goes_on) || report.mails.iter().any(failed);
        Ok(if wrong { exit::REFUSED } else { exit::OK })
    }

    fn report(&self, config: &Config) -> Result<Report, String> {
        let list = known::meter_list(config)?;
        let directory = config.gateway.collect_dir();
        let reader = open_store(&CollectReader::file(&directory), || CollectReader::open(&directory))?;
        let newest = reader.as_ref().and_then(|reader| reader.newest().ok().flatten());
        let at = newest.map_or_else(now, |newest| newest.max(now()));
        let since = before(newest.unwrap_or(at), i64::from(self.days) * 86_400);
        let (mut alarms, unread) = match alarms(config, since, None) {
            Ok(alarms) => (alarms, None),
            Err(reason) => (AlarmReport::default(), Some(reason)),
        };
        let store = |error: StoreError| error.to_string();
        let mut episodes: Vec<Episode> = Vec::new();
        let mut known: BTreeSet<MeterId> = BTreeSet::new();
        if let Some(reader) = &reader {
            episodes.extend(stored_episodes(reader, since).map_err(store)?);
            known.extend(remembered(reader).map_err(store)?);
        }
        known.extend(episodes.iter().map(|episode| episode.meter));
        known.extend(alarms.lists.episodes.iter().map(|known| known.episode.meter));
        known.extend(alarms.lists.mails.iter().map(|mail| mail.meter));
        let names = Names::new(&list, known);
        let only = self.meter.as_deref().map(|text| names.find(text)).transpose()?;
        if only.is_some() && alarms.cut {
            alarms = self::alarms(config, since, only)?;
        }
        episodes.extend(alarms.lists.episodes.iter().map(|known| known.episode.clone()));
        let wanted = |meter: MeterId| only.is_none_or(|only| only == meter);
        let raised: BTreeMap<Id, Time> = raised(&alarms);
        let mut lines: Vec<Line> = one_by_one(episodes)
            .into_iter()
            .filter(|group| group.first().is_some_and(|first| wanted(first.meter)))
            .filter_map(|group| line(&group, &raised, &names))
            .collect();
        lines.sort_by_key(|line| (line.standing == Standing::Ended, std::cmp::Reverse(line.seen)));
        let contacts: BTreeMap<Id, &str> = config
            .contacts
            .iter()
            .map(|contact| (contact_id(&contact.name), contact.name.as_str()))
            .collect();
        let mails = alarms.lists.mails.iter().filter(|mail| wanted(mail.meter));
        let mails = mails.map(|mail| mail_line(mail, &alarms.replies, &contacts, &names)).collect();
        Ok(Report { at, episodes: lines, mails, cut: alarms.cut, unread })
    }
}

/// What the delivering half knows: itself, or its file.
fn alarms(config: &Config, since: Time, meter: Option<MeterId>) -> Result<AlarmReport, String> {
    if let Some(report) = ask_deliver(config, &OfDeliver::Alarms { since, meter })? {
        return Ok(report);
    }
    let directory = config.gateway.deliver_dir();
    let reader = open_store(&DeliverReader::file(&directory), || DeliverReader::open(&directory))?;
    let report = reader.map(|reader| AlarmReport::read(reader.view(), since, meter)).transpose();
    Ok(report.map_err(|error| error.to_string())?.unwrap_or_default())
}

/// Episodes as the receiving half told them.
fn stored_episodes(reader: &CollectReader, since: Time) -> Result<Vec<Episode>, StoreError> {
    let mut episodes = Vec::new();
    for block in reader.newest_first(Stream::Events) {
        let block = block?;
        if block.stored.is_some_and(|stored| stored < since) {
            break;
        }
        let records = block.body.decode().into_iter().flatten().flatten();
        episodes.extend(records.filter_map(|record| match record {
            Record::Episode(episode) => Some(episode),
            _ => None,
        }));
    }
    Ok(episodes)
}

/// Which episodes have got an alarm, and when.
fn raised(alarms: &AlarmReport) -> BTreeMap<Id, Time> {
    let by_id: BTreeMap<Id, &RaisedAlarm> =
        alarms.lists.alarms.iter().map(|alarm| (alarm.id, alarm)).collect();
    let of_episodes = alarms.lists.episodes.iter().filter_map(|known| {
        let alarm = by_id.get(&known.alarm?)?;
        Some((known.episode.id, alarm.raised))
    });
    of_episodes.chain(by_id.values().map(|alarm| (alarm.id, alarm.raised))).collect()
}

/// Reports of one id joined, and those of one meter and code that meet put together.
fn one_by_one(episodes: Vec<Episode>) -> Vec<Vec<Episode>> {
    let mut by_id: BTreeMap<Id, Episode> = BTreeMap::new();
    for episode in episodes {
        let joined = by_id.get(&episode.id).map(|known| known.joined(&episode));
        by_id.insert(episode.id, joined.unwrap_or(episode));
    }
    let mut all: Vec<Episode> = by_id.into_values().collect();
    all.sort_by(|a, b| (a.meter, &a.code, a.started).cmp(&(b.meter, &b.code, b.started)));
    let mut groups: Vec<Vec<Episode>> = Vec::new();
    for episode in all {
        let meets = |group: &Vec<Episode>| {
            group.iter().any(|other| {
                other.meter == episode.meter
                    && other.code == episode.code
                    && stretch(other).zip(stretch(&episode)).is_some_and(|(a, b)| a.meets(b, ONE_WITHIN))
            })
        };
        match groups.last_mut().filter(|group| meets(group)) {
            Some(group) => group.push(episode),
            None => groups.push(vec![episode]),
        }
    }
    groups
}

fn stretch(episode: &Episode) -> Option<Span> {
    let to = if episode.standing == Standing::Active { None } else { episode.seen };
    Some(Span { from: episode.started?, to })
}

fn line(group: &[Episode], raised: &BTreeMap<Id, Time>, names: &Names<'_>) -> Option<Line> {
    let first = group.first()?;
    Some(Line {
        meter: first.meter,
        name: name(names, first.meter),
        code: first.code.clone(),
        // Active before unknown before ended.
        standing: group.iter().map(|episode| episode.standing).min()?,
        started: group.iter().filter_map(|episode| episode.started).min(),
        seen: group.iter().filter_map(|episode| episode.seen).max(),
        lasted_s: group.iter().map(|episode| episode.lasted).fold(0, u64::saturating_add),
        raised: group.iter().filter_map(|episode| raised.get(&episode.id)).min().copied(),
        ids: group.iter().map(|episode| episode.id).collect(),
    })
}

fn name(names: &Names<'_>, meter: MeterId) -> Option<String> {
    let listed = names.listed(meter)?;
    listed.name.as_deref().or(listed.metering_point.as_deref()).map(str::to_owned)
}

fn mail_line(
    mail: &QueuedMail,
    replies: &BTreeMap<String, u16>,
    contacts: &BTreeMap<Id, &str>,
    names: &Names<'_>,
) -> MailLine {
    let reply = replies.get(&mail.message).copied();
    let why = match (mail.state, reply) {
        (MailState::Refused, Some(reply)) => {
            Some(format!("the mail server refused it for good ({reply}): is the address right?"))
        }
        (MailState::Refused, None) => Some("refused for good: is the address right?".to_owned()),
        (MailState::GivenUp, _) => {
            Some("tried for five days: see `vesigate status` for the mail server".to_owned())
        }
        (MailState::Waiting, _) if mail.server => Some("waits for the mail server".to_owned()),
        (MailState::Dropped, _) => {
            Some("not sent: snoozed, unsubscribed, over before, or sent by the portal".to_owned())
        }
        _ => None,
    };
    MailLine {
        meter: mail.meter,
        name: name(names, mail.meter),
        code: mail.code.clone(),
        kind: mail.kind.clone(),
        repeat: mail.repeat,
        contact: contacts
            .get(&mail.contact)
            .map_or_else(|| mail.contact.to_string(), |name| (*name).to_owned()),
        state: mail.state,
        queued: mail.queued,
        at: mail.at,
        due: Some(mail.due).filter(|_| mail.state == MailState::Waiting),
        attempts: mail.attempts,
        reply,
        why,
    }
}

impl Report {
    fn text(&self, zone: &Zone) -> String {
        let mut text = String::new();
        if self.episodes.is_empty() {
            text.push_str("No info code was seen for long enough to tell\n");
        } else {
            text.push_str(&self.episode_table(zone));
        }
        if !self.mails.is_empty() {
            text.push_str("\nMails\n");
            text.push_str(&self.mail_table(zone));
        }
        if self.cut {
            let more = "There are more than are shown: ask for fewer --days, or for one --meter";
            text.push_str(&format!("\n{}\n", paint(Colour::Yellow, more)));
        }
        if let Some(reason) = &self.unread {
            let reason = paint(Colour::Yellow, &printable(reason));
            text.push_str(&format!("\nAlarms and mails cannot be shown: {reason}\n"));
        }
        text
    }

    fn episode_table(&self, zone: &Zone) -> String {
        let mut table = Table::new(&["Now", "Meter", "Code", "Since", "Lasted", "Alarm"]);
        for line in &self.episodes {
            let (word, colour) = match (line.standing, line.raised) {
                (Standing::Active, Some(_)) => ("on", Colour::Red),
                (Standing::Active, None) => ("on", Colour::Yellow),
                (Standing::Unknown, _) => ("silent", Colour::Yellow),
                (Standing::Ended, _) => ("over", Colour::Dim),
            };
            let who = line.name.as_deref().map_or_else(
                || line.meter.serial().to_owned(),
                |name| format!("{} {name}", line.meter.serial()),
            );
            table.row(
                vec![
                    word.to_owned(),
                    short(&who, 24),
                    line.code.to_string(),
                    line.started.map_or_else(|| "unknown".to_owned(), |at| zone.minute(at)),
                    span(line.lasted_s),
                    line.raised.map_or_else(|| "none".to_owned(), |at| zone.minute(at)),
                ],
                Some(colour),
            );
        }
        table.text()
    }

    fn mail_table(&self, zone: &Zone) -> String {
        let mut table = Table::new(&["State", "Since", "Meter", "What", "To"]);
        for mail in &self.mails {
            let (word, colour) = match mail.state {
                MailState::Waiting => ("waits", Colour::Yellow),
                MailState::Sent => ("sent", Colour::Green),
                MailState::Refused => ("refused", Colour::Red),
                MailState::GivenUp => ("given up", Colour::Red),
                MailState::Dropped => ("dropped", Colour::Dim),
            };
            let code = mail.code.as_ref().map_or_else(String::new, |code| format!("{code} "));
            table.row(
                vec![
                    word.to_owned(),
                    zone.minute(mail.at),
                    mail.meter.serial().to_owned(),
                    format!("{code}{}", mail.kind),
                    short(&mail.contact, 16),
                ],
                Some(colour),
            );
            if let Some(due) = mail.due.filter(|_| mail.attempts > 0) {
                table.below(&format!("   tried {} times, again at {}", mail.attempts, zone.minute(due)));
            }
            if let Some(why) = &mail.why {
                table.below(&format!("   {why}"));
            }
        }
        table.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(id: u128, from: i64, seen: i64, standing: Standing) -> Episode {
        Episode {
            id: Id::from_random(id),
            meter: "KAM.76348799.1B.16".parse().unwrap(),
            code: Code::Leak,
            started: Time::from_unix(from),
            seen: Time::from_unix(seen),
            lasted: u64::try_from(seen - from).unwrap(),
            standing,
            late: false,
            other: messages::Other::default(),
        }
    }

    #[test]
    fn stretches_that_meet_are_one_and_keep_all_ids() {
        let groups = one_by_one(vec![
            episode(1, 10_000, 20_000, Standing::Active),
            episode(1, 10_000, 30_000, Standing::Ended),
            episode(2, 36_000, 40_000, Standing::Ended),
            episode(3, 50_000, 60_000, Standing::Active),
        ]);
        let ids: Vec<Vec<Id>> =
            groups.iter().map(|group| group.iter().map(|episode| episode.id).collect()).collect();
        assert_eq!(ids, [vec![Id::from_random(1), Id::from_random(2)], vec![Id::from_random(3)]]);
    }
}
