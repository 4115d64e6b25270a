//! Listens for some minutes and makes the report of a survey or a commissioning.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use super::gateway::{Gateway, list_in_force};
use crate::config::{Config, MeterList};
use crate::scan::report::{Found, Kind, Report};
use crate::scan::row::{Row, Whose};
use crate::scan::watch::Watch;
use crate::world::Clock;

/// How often the gateway is asked.
const EVERY: Duration = Duration::from_secs(5);

/// What to listen for.
pub(in crate::cli) struct Listening<'a> {
    pub(in crate::cli) kind: Kind,
    pub(in crate::cli) config: &'a Config,
    pub(in crate::cli) clock: &'a Clock,
    pub(in crate::cli) minutes: u64,
    /// The expected meters, if not all with a key.
    pub(in crate::cli) expected: Option<&'a MeterList>,
}

impl Listening<'_> {
    /// Listens. SIGINT and SIGTERM end it early, with a report on the time so far. A commissioning ends as soon as every
    /// meter is in order and it is clear how well it is heard.
    pub(in crate::cli) async fn listen(&self, gateway: &mut Gateway) -> Result<Report, String> {
        let named = list_in_force(self.config);
        let now = || u64::try_from(self.clock.uptime().0.as_millis()).unwrap_or(u64::MAX);
        let (mut watch, begun) = (Watch::default(), now());
        watch.begin(&gateway.heard().await?, self.expected, begun);
        let whole = self.minutes.saturating_mul(60_000);
        let mut progress = Progress::new();
        let error = |error: io::Error| error.to_string();
        let mut int = signal(SignalKind::interrupt()).map_err(error)?;
        let mut term = signal(SignalKind::terminate()).map_err(error)?;
        loop {
            let left = Duration::from_millis(whole.saturating_sub(watch.watched(now()).unwrap_or_default()));
            let stopped = tokio::select! {
                () = self.clock.sleep(EVERY.min(left)) => false,
                _ = int.recv() => true,
                _ = term.recv() => true,
            };
            let heard = gateway.heard().await?;
            let at = now();
            let mut rows = watch.observe(heard, at);
            gateway.name(&mut rows, self.expected.unwrap_or(&named));
            let watched = watch.watched(at).unwrap_or_default();
            let ended = stopped || watched >= whole;
            if ended || self.kind == Kind::Commissioning {
                let report = self.report(gateway, &watch, rows, watched).await?;
                let is_clear = |row: &Row| row.verdict() != crate::scan::verdict::Verdict::Early;
                let all = report.meters.iter().all(|line| line.meter.as_ref().is_some_and(is_clear));
                if ended || (report.all_green && all && !report.meters.is_empty()) {
                    progress.end();
                    return Ok(report);
                }
                progress.say(watched, whole, &format!("{} of {} heard", report.heard, report.meters.len()));
            } else {
                let heard = |ours: bool| {
                    let is_ours = |row: &&Row| (row.whose != Whose::Foreign) == ours;
                    let heard = rows.iter().filter(is_ours);
                    heard.filter(|row| watch.telegrams(&row.heard.meter) > 0).count()
                };
                progress.say(watched, whole, &format!("{} ours, {} others heard", heard(true), heard(false)));
            }
        }
    }

    async fn report(
        &self,
        gateway: &Gateway,
        watch: &Watch,
        rows: Vec<Row>,
        watched: u64,
    ) -> Result<Report, String> {
        let telegrams = |row: Row| {
            let telegrams = watch.telegrams(&row.heard.meter);
            (row, telegrams)
        };
        Ok(Report::new(Found {
            kind: self.kind,
            gateway: super::name_of(self.config),
            at: self.time(),
            minutes: watched.saturating_add(30_000) / 60_000,
            expected: self.expected,
            rows: rows.into_iter().map(telegrams).collect(),
            receivers: gateway.status().await?.receivers,
        }))
    }

    fn time(&self) -> String {
        let zone = TimeZone::get(self.config.gateway.zone.as_str()).unwrap_or(TimeZone::UTC);
        let now = Timestamp::from_second(self.clock.kernel()).unwrap_or_default();
        zone.to_datetime(now).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// Writes the report to a file if one is named, and shows it.
pub(in crate::cli) fn show(report: &Report, json: bool, file: Option<&Path>) -> Result<(), String> {
    if let Some(file) = file {
        let text = report.written_for(file)?;
        std::fs::write(file, text)
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    }
    if json {
        let text = serde_json::to_string(report).map_err(|error| error.to_string())?;
        return super::print(&(text + "\n"));
    }
    super::print_coloured(&coloured(&report.text()))?;
    if let Some(file) = file {
        let _ = writeln!(io::stderr(), "The report is in {}.", file.display());
    }
    Ok(())
}

/// Green and red marks; the words say the same.
fn coloured(text: &str) -> String {
    let style = |colour: AnsiColor| Style::new().fg_color(Some(colour.into())).bold();
    let mut coloured = String::with_capacity(text.len().saturating_mul(2));
    for line in text.lines() {
        let marked = [("OK ", AnsiColor::Green), ("NOT ", AnsiColor::Red)]
            .into_iter()
            .find_map(|(mark, colour)| Some((mark, style(colour), line.strip_prefix(mark)?)));
        coloured += &match marked {
            Some((mark, style, rest)) => format!("{style}{mark}{style:#}{rest}\n"),
            None => format!("{line}\n"),
        };
    }
    coloured
}

/// One line that changes on a terminal; elsewhere a line each minute.
struct Progress {
    terminal: bool,
    minute: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), minute: None }
    }

    fn say(&mut self, watched: u64, whole: u64, what: &str) {
        let left = whole.saturating_sub(watched).saturating_add(500) / 1000;
        if self.terminal {
            let percent = watched.saturating_mul(100).checked_div(whole).unwrap_or(100).min(100);
            let done = usize::try_from(percent / 5).unwrap_or_default();
            let bar = format!("[{:<20}]", "#".repeat(done));
            let _ = write!(io::stderr(), "\r{bar} {}:{:02} left, {what}   ", left / 60, left % 60);
        } else if self.minute.replace(watched / 60_000) != Some(watched / 60_000) {
            let _ = writeln!(io::stderr(), "{}:{:02} left, {what}", left / 60, left % 60);
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r{:<79}\r", "");
        }
    }
}
