//! What happens, in lines for people.

use std::{collections::BTreeMap, io::Write as _};

use anstyle::{AnsiColor, Style};
use messages::{
    Hour, Id, MeterId, Presence, Quantity, Unit,
    batch::Record,
    event::{Episode, Reception, Standing},
    mail::MailOutcome,
    reading::{HourRow, Role},
};

use crate::{catcher::Mail, portal::News};

/// What has been seen so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Telegrams that the gateway was given.
    pub(crate) telegrams: u64,
    /// Hour rows at the broker.
    pub(crate) rows: u64,
    /// Episodes that began.
    pub(crate) episodes: u64,
    /// Mails.
    pub(crate) mails: u64,
}

impl Seen {
    /// Whether a reading, an episode and a mail have arrived.
    pub(crate) fn everything(&self) -> bool {
        self.rows > 0 && self.episodes > 0 && self.mails > 0
    }
}

/// The terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    names: BTreeMap<MeterId, String>,
    /// The last row of each meter.
    last: BTreeMap<MeterId, (Hour, Quantity)>,
    /// What was last told of each episode: reports of one that goes on come again and again.
    standing: BTreeMap<Id, Standing>,
    /// What it has shown.
    pub(crate) seen: Seen,
}

const PLAIN: Style = Style::new();
const FAINT: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const BLUE: Style = AnsiColor::Cyan.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();

impl Screen {
    /// `names`: what the meters' places are called.
    pub(crate) fn new(names: BTreeMap<MeterId, String>) -> Self {
        Self { names, last: BTreeMap::new(), standing: BTreeMap::new(), seen: Seen::default() }
    }

    /// A line of what is being done.
    pub(crate) fn doing(what: &str) {
        say(format_args!("{FAINT}  ..  {what}{FAINT:#}"));
    }

    /// How much is heard.
    pub(crate) fn heard(&mut self, at: i64, total: u64, seconds: u64) {
        let new = total.saturating_sub(self.seen.telegrams);
        self.seen.telegrams = total;
        let rate = new / seconds.max(1);
        line(at, "radio", FAINT, &format!("{rate} telegrams/s heard, {total} so far"));
    }

    /// What the portal tells.
    pub(crate) fn news(&mut self, at: i64, news: &News) {
        match news {
            News::Gateway(Presence::Online) => line(at, "gateway", GREEN, "online"),
            News::Gateway(Presence::Stopped) => line(at, "gateway", PLAIN, "stopped in good order"),
            News::Gateway(Presence::Lost) => line(at, "gateway", RED, "lost"),
            News::Configured(meters) => {
                line(
                    at,
                    "portal",
                    PLAIN,
                    &format!("told the gateway whom to mail about {meters} meters (sealed)"),
                );
            }
            News::Records(_, records) => {
                self.heard_meters(at, records);
                for record in records {
                    self.record(at, record);
                }
            }
            News::Odd(what) => line(at, "portal", RED, what),
        }
    }

    /// A mail came.
    pub(crate) fn mail(&mut self, at: i64, mail: &Mail) {
        self.seen.mails += 1;
        let to = mail.to.join(", ");
        line(at, "MAIL", RED, &format!("to {to}: {}", mail.subject));
        for sentence in &mail.opening {
            line(at, "", FAINT, &format!("| {FAINT}{sentence}{FAINT:#}"));
        }
        line(at, "", FAINT, &format!("kept as {}", mail.file.display()));
    }

    /// Meters that are heard for the first time come all at once, and are one line.
    fn heard_meters(&self, at: i64, records: &[Record]) {
        let heard = |record: &&Record| matches!(record, Record::Meter(status) if status.reception == Reception::Heard);
        let count = records.iter().filter(heard).count();
        if count > 0 {
            line(at, "meter", PLAIN, &format!("{count} heard, their keys open them"));
        }
    }

    fn record(&mut self, at: i64, record: &Record) {
        match record {
            Record::Hour(row) => self.row(at, row),
            Record::Episode(episode) => self.episode(at, episode),
            Record::Meter(status) if status.reception != Reception::Heard => {
                let name = self.name(status.meter);
                line(at, "meter", PLAIN, &format!("{name}  {}", status.reception));
            }
            Record::Problem(problem) => line(at, "gateway", YELLOW, &format!("problem: {}", problem.problem)),
            Record::Alarm(alarm) => {
                let (name, people) = (self.name(alarm.meter), alarm.contacts);
                line(at, "alarm", YELLOW, &format!("{name}  {} raised, {people} to be told", alarm.code));
            }
            Record::Mail(report) => {
                let style = if report.outcome == MailOutcome::Sent { PLAIN } else { YELLOW };
                line(at, "report", style, &format!("mail of kind {}: {}", report.kind, report.outcome));
            }
            _ => {}
        }
    }

    fn row(&mut self, at: i64, row: &HourRow) {
        self.seen.rows += 1;
        let role =
            if row.registers.contains_key(&Role::HeatEnergy) { Role::HeatEnergy } else { Role::Volume };
        let Some(register) = row.registers.get(&role) else { return };
        let value = register.value;
        let before = self.last.insert(row.meter, (row.boundary, value));
        let used =
            before.filter(|(hour, _)| *hour < row.boundary).and_then(|(_, before)| used(before, value));
        let used = used.map_or_else(String::new, |used| format!("  {GREEN}{used}{GREEN:#}"));
        let codes: Vec<_> = row.codes.iter().map(ToString::to_string).collect();
        let codes = if codes.is_empty() {
            String::new()
        } else {
            format!("  {YELLOW}{}{YELLOW:#}", codes.join(", "))
        };
        let hour = clock(row.boundary.time().unix());
        let name = self.name(row.meter);
        line(at, "reading", BLUE, &format!("{name}  at {hour}  {:>14}{used}{codes}", value.to_string()));
    }

    fn episode(&mut self, at: i64, episode: &Episode) {
        let name = self.name(episode.meter);
        let before = self.standing.insert(episode.id, episode.standing);
        if before == Some(episode.standing) {
            return;
        }
        self.seen.episodes += u64::from(before.is_none());
        match episode.standing {
            Standing::Active => {
                line(at, "episode", YELLOW, &format!("{name}  the meter says {}", episode.code));
            }
            Standing::Ended => line(at, "episode", GREEN, &format!("{name}  {} is over", episode.code)),
            Standing::Unknown => {
                line(at, "episode", PLAIN, &format!("{name}  {} unknown: silent", episode.code));
            }
        }
    }

    fn name(&self, meter: MeterId) -> String {
        let name = self.names.get(&meter).map_or("?", String::as_str);
        format!("{name:<18} {FAINT}{}{FAINT:#}", meter.serial())
    }
}

/// A UTC second as time of day in Finland's winter.
pub(crate) fn clock(at: i64) -> String {
    let minutes = (at + 2 * 3_600).rem_euclid(86_400) / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn line(at: i64, what: &str, style: Style, text: &str) {
    say(format_args!("{FAINT}{}{FAINT:#} {style}{what:<8}{style:#} {text}", clock(at)));
}

/// A terminal that has gone away is no reason to stop without order.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// The difference of two registers, in the unit that people think in.
fn used(before: Quantity, now: Quantity) -> Option<String> {
    let difference =
        |exponent| now.value.in_units_of(exponent)?.checked_sub(before.value.in_units_of(exponent)?);
    match now.unit {
        Unit::CubicMetre => difference(-3).map(|litres| format!("{litres:+} l")),
        Unit::KilowattHour => difference(0).map(|kilowatt_hours| format!("{kilowatt_hours:+} kWh")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_finlands() {
        assert_eq!([0, 1_795_600_800].map(clock), ["02:00", "12:00"]);
    }

    #[test]
    fn use_is_told_in_litres_and_kilowatt_hours() {
        let used = |before: &str, now: &str| used(before.parse().unwrap(), now.parse().unwrap());
        assert_eq!(used("12.345 m3", "12.445 m3").as_deref(), Some("+100 l"));
        assert_eq!(used("7 kWh", "9 kWh").as_deref(), Some("+2 kWh"));
        assert_eq!(used("7 bar", "9 bar"), None);
    }
}
