//! The end of a survey or a commissioning: the expected meters, each with what was found, and a conclusion.

mod csv;
mod html;
mod text;

pub(crate) use csv::harmless;
pub use csv::rows as csv_rows;

use std::collections::BTreeMap;
use std::path::Path;

use messages::status::Receiver;
use serde::Serialize;
use wmbus::Meter;

use super::row::{Opens, Row, Whose};
use super::table::Totals;
use super::verdict::{MINUTE, Verdict, span, usual_interval};
use crate::config::{ListedMeter, MeterList};
use crate::keyring::Selector;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Listening: a meter that is heard is in order.
    Survey,
    /// Putting meters to work: a meter that is heard, opened and read is in order.
    Commissioning,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was done.
    pub kind: Kind,
    /// By which gateway.
    pub gateway: String,
    /// When it ended.
    pub at: String,
    /// Over how many minutes.
    pub minutes: u64,
    /// Whether every expected meter was heard.
    pub all_heard: bool,
    /// Whether every expected meter is in order.
    pub all_green: bool,
    /// What it comes to, in a sentence.
    pub conclusion: String,
    /// The expected meters, what needs work first.
    pub meters: Vec<Line>,
    /// Those of them that were heard.
    pub heard: usize,
    /// How many meters were heard that are not expected.
    pub foreign_count: usize,
    /// Those meters, the strongest first.
    pub foreign: Vec<Row>,
    /// Meters that sent installation telegrams.
    pub installing: Vec<Row>,
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// What went wrong while it was listened, so that figures may be too low.
    pub troubles: Vec<String>,
}

/// One expected meter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// As the list has it.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The number of its place.
    pub metering_point: String,
    /// Whether it was heard in the time.
    pub heard: bool,
    /// Whether it is in order.
    pub green: bool,
    /// Whether more time may show that it is.
    pub early: bool,
    /// What is to be said of it.
    pub findings: Vec<String>,
    /// What is known of it.
    pub meter: Option<Row>,
}

/// What a report is made of.
#[derive(Debug)]
pub struct Found<'a> {
    /// What was done.
    pub kind: Kind,
    /// By which gateway.
    pub gateway: String,
    /// When it ended.
    pub at: String,
    /// Over how many minutes.
    pub minutes: u64,
    /// The list; without one, every meter that has a key or is listed is expected.
    pub expected: Option<&'a MeterList>,
    /// All meters, each with its telegrams in the time.
    pub rows: Vec<(Row, u32)>,
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// What went wrong while it was listened.
    pub troubles: Vec<String>,
}

impl Report {
    /// Holds what was heard against what was expected.
    #[must_use]
    pub fn new(found: Found<'_>) -> Self {
        let Found { kind, gateway, at, minutes, expected, rows, receivers, troubles } = found;
        let of = Of { kind, watched: minutes.saturating_mul(MINUTE) };
        let mut installing: Vec<Row> =
            rows.iter().map(|(row, _)| row).filter(|row| row.is_installing()).cloned().collect();
        installing.sort_by_key(|row| row.heard.installation_ago);
        let (mut meters, mut foreign) = match expected {
            Some(list) => against(of, list, rows),
            None => {
                let (ours, foreign): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|(row, _)| row.whose != Whose::Foreign);
                (ours.into_iter().map(|row| Line::alone(of, row)).collect(), foreign)
            }
        };
        let rank = |line: &Line| (line.green, line.early, line.heard);
        meters.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id)));
        foreign.retain(|(_, telegrams)| *telegrams > 0);
        foreign.sort_by_key(|(row, _)| std::cmp::Reverse(row.heard.rssi));
        let heard = meters.iter().filter(|line| line.heard).count();
        let mut report = Self {
            kind,
            gateway,
            at,
            minutes,
            all_heard: heard == meters.len(),
            all_green: meters.iter().all(|line| line.green),
            conclusion: String::new(),
            heard,
            foreign_count: foreign.len(),
            foreign: foreign.into_iter().map(|(row, _)| row).collect(),
            installing,
            meters,
            receivers,
            troubles,
        };
        report.conclusion = report.concluded();
        report
    }

    /// In the format that the file's name ends with.
    ///
    /// # Errors
    /// Which names there are.
    pub fn written_for(&self, file: &Path) -> Result<String, String> {
        match format_of(file)? {
            Format::Text => Ok(self.text()),
            Format::Csv => self.csv(),
            Format::Html => Ok(self.html()),
            Format::Json => {
                serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| error.to_string())
            }
        }
    }

    fn totals(&self) -> Totals {
        let rows: Vec<Row> = self.meters.iter().filter_map(|line| line.meter.clone()).collect();
        Totals::of(&rows)
    }

    fn concluded(&self) -> String {
        let (heard, all) = (self.heard, self.meters.len());
        let early = self.meters.iter().filter(|line| line.early).count();
        let red = self.meters.iter().filter(|line| !line.green && !line.early).count();
        let weak = self.meters.iter().filter(|line| line.heard && line.is(Verdict::Poor)).count();
        if all == 0 {
            return "No meter was expected: give a list, or add keys.".to_owned();
        }
        let heard = if heard == all {
            match all {
                1 => "The one expected meter was heard".to_owned(),
                _ => format!("All {all} expected meters were heard"),
            }
        } else {
            match all.saturating_sub(heard) {
                1 => format!("1 of {all} expected meters was not heard"),
                missing => format!("{missing} of {all} expected meters were not heard"),
            }
        };
        let still = format!("of {early} more time may show that they are in order");
        match (self.kind, red, weak) {
            (Kind::Survey, _, 0) if self.all_heard => format!("{heard}; this place will do."),
            (Kind::Survey, _, 0) => {
                format!("{heard}; see that they send, move the antenna, or put a second gateway near them.")
            }
            (Kind::Survey, _, weak) => {
                format!(
                    "{heard}, {weak} of those heard poorly; move the antenna, or put a second gateway near them."
                )
            }
            (Kind::Commissioning, 0, _) if early == 0 => {
                format!("{heard}, opened and read: all is in order.")
            }
            (Kind::Commissioning, 0, _) => format!("{heard}; {still}."),
            (Kind::Commissioning, red, _) if early == 0 => format!("{heard}; {red} of {all} need work."),
            (Kind::Commissioning, red, _) => format!("{heard}; {red} of {all} need work, {still}."),
        }
    }
}

/// What a line is judged by besides its row.
#[derive(Clone, Copy, Debug)]
struct Of {
    kind: Kind,
    /// For how many milliseconds it was listened.
    watched: u64,
}

impl Of {
    /// A meter that is put to work may send too seldom to have been heard, opened and believed in this time, for which two
    /// telegrams must agree.
    fn is_short(self, interval: u64) -> bool {
        self.kind == Kind::Commissioning && self.watched < interval.saturating_mul(2)
    }
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Csv,
    Html,
    Json,
}

/// Whether a report can be written to a file of this name.
///
/// # Errors
/// Which names there are.
pub fn check_name(file: &Path) -> Result<(), String> {
    format_of(file).map(|_| ())
}

fn format_of(file: &Path) -> Result<Format, String> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Ok(Format::Text),
        Some("csv") => Ok(Format::Csv),
        Some("html") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        _ => Err(format!("{}: name a file that ends with .html, .csv, .txt or .json", file.display())),
    }
}

/// Each row of the list with the meter that it means, and the meters that no row means.
fn against(of: Of, list: &MeterList, rows: Vec<(Row, u32)>) -> (Vec<Line>, Vec<(Row, u32)>) {
    let listed: BTreeMap<Selector, &ListedMeter> = list.iter().collect();
    let mut found: BTreeMap<Selector, Vec<(Row, u32)>> = BTreeMap::new();
    let mut foreign = Vec::new();
    for (row, telegrams) in rows {
        let meter: Option<Meter> = row.heard.meter.parse().ok();
        let means = meter.and_then(|meter| {
            Selector::candidates(meter).into_iter().find(|selector| listed.contains_key(selector))
        });
        match means {
            Some(selector) => found.entry(selector).or_default().push((row, telegrams)),
            None => foreign.push((row, telegrams)),
        }
    }
    let line = |(selector, meter): (&Selector, &&ListedMeter)| {
        Line::listed(of, *selector, meter, found.remove(selector).unwrap_or_default())
    };
    (listed.iter().map(line).collect(), foreign)
}

impl Line {
    fn listed(of: Of, selector: Selector, listed: &ListedMeter, mut rows: Vec<(Row, u32)>) -> Self {
        rows.sort_by_key(|(_, telegrams)| *telegrams);
        let best = rows.pop();
        let text =
            |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().replace(char::is_control, " ");
        let mut line = Self::new(of, selector.to_string(), best);
        line.name = text(&listed.name);
        line.metering_point = text(&listed.metering_point);
        for (other, telegrams) in &rows {
            if *telegrams > 0 {
                line.findings.push(format!(
                    "{} has this number, too: write the full address in the list",
                    other.heard.meter
                ));
            }
        }
        line
    }

    fn alone(of: Of, (row, telegrams): (Row, u32)) -> Self {
        let (id, name) = (row.heard.meter.clone(), row.name.clone().unwrap_or_default());
        Self { name, ..Self::new(of, id, Some((row, telegrams))) }
    }

    fn new(of: Of, id: String, best: Option<(Row, u32)>) -> Self {
        let heard = best.as_ref().is_some_and(|(_, telegrams)| *telegrams > 0);
        let mut line = Self {
            id,
            name: String::new(),
            metering_point: String::new(),
            heard,
            green: heard,
            early: false,
            findings: Vec::new(),
            meter: best.map(|(row, _)| row),
        };
        line.find(of);
        line
    }

    /// What is to be said of it, and whether it is in order.
    fn find(&mut self, of: Of) {
        let interval = self.meter.as_ref().map_or(usual_interval(None), |row| {
            row.heard.interval.unwrap_or_else(|| usual_interval(row.heard.link_mode))
        });
        let Some(row) = self.meter.as_ref().filter(|_| self.heard) else {
            self.early = of.is_short(interval);
            let seldom = || format!(": it may send every {} only", span(interval));
            let yet = if self.early { seldom() } else { String::new() };
            let last = self.meter.as_ref().map_or_else(String::new, |row| {
                format!(" in this time, last heard {} ago", span(row.heard.heard_ago))
            });
            self.findings.push(format!("not heard{last}{yet}"));
            return;
        };
        if row.verdict() != Verdict::Good {
            self.findings.push(row.verdict_words());
        }
        let mut red = row.verdict() == Verdict::Poor;
        match row.key {
            Opens::Opens | Opens::Plain => {}
            // Not listed when it was heard, so not tried.
            Opens::Sealed => self.findings.push("encrypted; the gateway does not expect it yet".to_owned()),
            other => self.findings.push(other.as_str().to_owned()),
        }
        if of.kind == Kind::Commissioning {
            let opens = matches!(row.key, Opens::Opens | Opens::Plain);
            let unread = opens && row.heard.reading.is_none();
            if unread {
                self.findings.push("nothing it said is believed yet: two telegrams must agree".to_owned());
            }
            let untried = matches!(row.key, Opens::Untried | Opens::Sealed | Opens::Unknown);
            self.early = !red && (unread || untried) && of.is_short(interval);
            red |= !opens || unread;
        }
        let codes = row.codes();
        if !codes.is_empty() {
            self.findings.push(format!("says: {}", codes.join(", ")));
        }
        if row.is_installing() {
            self.findings.push(row.installation_words());
        }
        self.green &= !red;
    }

    fn is(&self, verdict: Verdict) -> bool {
        self.meter.as_ref().is_some_and(|row| row.verdict() == verdict)
    }
}

#[cfg(test)]
mod tests;
