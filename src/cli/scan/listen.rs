//! Listens for some minutes and makes the report of a survey or a commissioning.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use messages::status::Receiver;
use tokio::signal::unix::{SignalKind, signal};

use super::gateway::{Gateway, list_in_force, pause};
use crate::cli::common::{new_file, not_made, printable_lines};
use crate::config::{Config, MeterList};
use crate::health::heard::HeardMeter;
use crate::scan::report::{Found, Kind, Report, check_name};
use crate::scan::row::{Row, Whose};
use crate::scan::verdict::span;
use crate::scan::watch::Watch;
use crate::world::Clock;

/// How often the gateway is asked at most.
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
    /// meter is in order and it is clear how well it is heard. A gateway that does not answer for a while ends nothing.
    pub(in crate::cli) async fn listen(&self, gateway: &mut Gateway) -> Result<Report, String> {
        let named = list_in_force(self.config);
        let error = |error: io::Error| error.to_string();
        let mut int = signal(SignalKind::interrupt()).map_err(error)?;
        let mut term = signal(SignalKind::terminate()).map_err(error)?;
        let (mut watch, begun) = (Watch::default(), self.now());
        // Whoever cannot ask at all learns that at once.
        watch.begin(&gateway.heard().await?, self.expected, begun);
        let mut last = Last { receivers: gateway.status().await?.receivers, ..Last::default() };
        let whole = self.minutes.saturating_mul(60_000);
        let mut progress = Progress::new();
        loop {
            let left = Duration::from_millis(whole.saturating_sub(self.now().saturating_sub(begun)));
            let pause = pause(EVERY, last.rows.len()).min(left);
            let next = async {
                self.clock.sleep(pause).await;
                Answers::of(gateway).await
            };
            let (answers, stopped) = tokio::select! {
                answers = next => (answers, false),
                _ = int.recv() => (Answers::soon(gateway).await, true),
                _ = term.recv() => (Answers::soon(gateway).await, true),
            };
            let at = self.now();
            let watched = at.saturating_sub(begun);
            if let Some(trouble) = last.take(answers, &mut watch, at) {
                progress.interrupt(&format!("{trouble}; listening goes on"));
            }
            gateway.name(&mut last.rows, self.expected.unwrap_or(&named));
            let ended = stopped || watched >= whole;
            if ended || self.kind == Kind::Commissioning {
                let report = self.report(&watch, &last, watched);
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
                    let heard = last.rows.iter().filter(is_ours);
                    heard.filter(|row| watch.telegrams(&row.heard.meter) > 0).count()
                };
                progress.say(watched, whole, &format!("{} ours, {} others heard", heard(true), heard(false)));
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.uptime().0.as_millis()).unwrap_or(u64::MAX)
    }

    fn report(&self, watch: &Watch, last: &Last, watched: u64) -> Report {
        let with_telegrams = |row: &Row| (row.clone(), watch.telegrams(&row.heard.meter));
        Report::new(Found {
            kind: self.kind,
            gateway: super::name_of(self.config),
            at: self.time(),
            minutes: watched.saturating_add(30_000) / 60_000,
            expected: self.expected,
            rows: last.rows.iter().map(with_telegrams).collect(),
            receivers: last.receivers.clone(),
            troubles: last.troubles(),
        })
    }

    fn time(&self) -> String {
        let zone = TimeZone::get(self.config.gateway.zone.as_str()).unwrap_or(TimeZone::UTC);
        let now = Timestamp::from_second(self.clock.kernel()).unwrap_or_default();
        zone.to_datetime(now).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// The meters and the receivers, or why there was no answer.
struct Answers(Result<(Vec<HeardMeter>, Vec<Receiver>), String>);

impl Answers {
    async fn of(gateway: &Gateway) -> Self {
        let both = async { Ok((gateway.heard().await?, gateway.status().await?.receivers)) };
        Self(both.await)
    }

    /// Whoever wants it to end waits no longer for a gateway that hangs.
    async fn soon(gateway: &Gateway) -> Self {
        let asked = tokio::time::timeout(EVERY, Self::of(gateway)).await;
        asked.unwrap_or_else(|_| Self(Err("the gateway does not answer".to_owned())))
    }
}

/// What was last told, and how long nothing was.
#[derive(Default)]
struct Last {
    rows: Vec<Row>,
    receivers: Vec<Receiver>,
    /// Since when there is no answer, and why.
    silent: Option<(u64, String)>,
    /// For how long there was none before, and why last.
    gaps: Option<(u64, String)>,
    /// When there was last an answer or none.
    at: u64,
}

impl Last {
    /// Takes answers. Gives a trouble that begins.
    fn take(&mut self, answers: Answers, watch: &mut Watch, at: u64) -> Option<String> {
        self.at = at;
        match answers.0 {
            Ok((heard, receivers)) => {
                self.rows = watch.observe(heard, at);
                self.receivers = receivers;
                if let Some((since, trouble)) = self.silent.take() {
                    let before = self.gaps.take().map_or(0, |(before, _)| before);
                    self.gaps = Some((before.saturating_add(at.saturating_sub(since)), trouble));
                }
                None
            }
            Err(trouble) => {
                let begins = self.silent.is_none();
                let silent = self.silent.get_or_insert_with(|| (at, String::new()));
                silent.1.clone_from(&trouble);
                begins.then_some(trouble)
            }
        }
    }

    fn troubles(&self) -> Vec<String> {
        let said = |(time, trouble): (u64, &String), when: &str| {
            format!("the gateway gave no answer {when} {}, and figures may be too low: {trouble}", span(time))
        };
        let gaps = self.gaps.as_ref().map(|(time, trouble)| said((*time, trouble), "for"));
        let silent = self
            .silent
            .as_ref()
            .map(|(since, why)| said((self.at.saturating_sub(*since), why), "for the last"));
        gaps.into_iter().chain(silent).collect()
    }
}

/// The file of a report. It is made before it is listened, so that nobody listens for what cannot be kept, and goes again
/// if there is no report.
pub(in crate::cli) struct Sheet {
    path: PathBuf,
    file: File,
    is_empty: bool,
}

impl Sheet {
    /// Makes the file, if one is named.
    pub(in crate::cli) fn make(path: Option<&Path>) -> Result<Option<Self>, String> {
        let Some(path) = path.map(Path::to_owned) else { return Ok(None) };
        check_name(&path)?;
        let file = new_file(&path).map_err(|error| not_made(&path, &error))?;
        Ok(Some(Self { path, file, is_empty: true }))
    }

    fn write(&mut self, report: &Report) -> Result<(), String> {
        let text = report.written_for(&self.path)?;
        self.is_empty = false;
        self.file.write_all(text.as_bytes()).map_err(|error| not_made(&self.path, &error))
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        if self.is_empty {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Shows the report, and writes it to its file.
pub(in crate::cli) fn show(report: &Report, json: bool, sheet: Option<Sheet>) -> Result<(), String> {
    if json {
        let text = serde_json::to_string(report).map_err(|error| error.to_string())?;
        super::print(&(text + "\n"))?;
    } else {
        super::print_coloured(&coloured(&printable_lines(&report.text())))?;
    }
    if let Some(mut sheet) = sheet {
        sheet.write(report)?;
        let _ = writeln!(io::stderr(), "The report is in {}.", sheet.path.display());
    }
    Ok(())
}

/// Green and red marks; the words say the same.
fn coloured(text: &str) -> String {
    let style = |colour: AnsiColor| Style::new().fg_color(Some(colour.into())).bold();
    let mut coloured = String::with_capacity(text.len().saturating_mul(2));
    for line in text.lines() {
        let marked = [("OK ", AnsiColor::Green), (".. ", AnsiColor::Yellow), ("NOT ", AnsiColor::Red)]
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

    /// Says something that stays.
    fn interrupt(&self, what: &str) {
        self.end();
        let _ = writeln!(io::stderr(), "{}", printable_lines(what));
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r{:<79}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::table::tests::{meter, street};

    fn heard(telegrams: u32) -> Answers {
        Answers(Ok((vec![HeardMeter { telegrams, counted: telegrams, ..meter(1) }], Vec::new())))
    }

    #[test]
    fn a_question_that_fails_leaves_what_was_told_before_and_is_in_the_report() {
        let (mut watch, mut last) = (Watch::default(), Last::default());
        watch.begin(&[], None, 0);
        let away = || Answers(Err("it does not run".to_owned()));
        assert_eq!(last.take(heard(4), &mut watch, 60_000), None);
        assert!(last.troubles().is_empty());
        assert_eq!(last.take(away(), &mut watch, 70_000).as_deref(), Some("it does not run"));
        assert_eq!(last.take(away(), &mut watch, 170_000), None, "said once");
        assert_eq!((last.rows.len(), watch.telegrams(&last.rows[0].heard.meter)), (1, 4));
        let said =
            "the gateway gave no answer for the last 100 s, and figures may be too low: it does not run";
        assert_eq!(last.troubles(), [said.replace("100 s", &span(100_000))]);
        last.take(heard(6), &mut watch, 190_000);
        assert_eq!(watch.telegrams(&last.rows[0].heard.meter), 6);
        assert!(last.take(away(), &mut watch, 200_000).is_some(), "another one");
        last.take(heard(6), &mut watch, 210_000);
        assert_eq!(last.troubles().len(), 1);
        assert!(last.troubles()[0].contains(&span(130_000)), "{:?}", last.troubles());
    }

    #[test]
    fn the_file_of_a_report_is_there_before_it_and_gone_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        assert!(Sheet::make(Some(&folder.path().join("no/r.json"))).is_err());
        assert!(Sheet::make(Some(&folder.path().join("r.pdf"))).is_err());
        let sheet = Sheet::make(Some(&path)).unwrap();
        assert!(path.exists());
        drop(sheet);
        assert!(!path.exists());
        let rows = Watch::default().observe(street(), 0);
        let report = Report::new(Found {
            kind: Kind::Survey,
            gateway: String::new(),
            at: String::new(),
            minutes: 1,
            expected: None,
            rows: rows.into_iter().map(|row| (row, 1)).collect(),
            receivers: Vec::new(),
            troubles: Vec::new(),
        });
        Sheet::make(Some(&path)).unwrap().unwrap().write(&report).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report.written_for(&path).unwrap());
        assert!(Sheet::make(Some(&path)).is_err(), "another one's");
        assert!(path.exists());
    }
}
