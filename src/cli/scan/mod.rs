//! `vesigate scan`: all meters that are heard, as a live table, as lines, as JSON; and site surveys.

pub(super) mod gateway;
pub(super) mod listen;
mod live;
mod plain;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;

use self::gateway::{Gateway, list_in_force, load_list, pause};
use self::listen::{Listening, Sheet};
pub(super) use super::common::finish;
use super::common::write_new;
use super::exit;
use crate::config::Config;
use crate::scan::report::{Kind, csv_rows};
use crate::scan::row::Row;
use crate::scan::table::Table;
use crate::scan::watch::Watch;
use crate::world::{Clock, Fast};

/// Show every meter that is heard, and how well
///
/// A live table on a terminal; keys are shown at its foot. Elsewhere, or with --plain, the meters heard so far, a line
/// each. The gateway must run: it is asked over its control socket, so run this as root or as a member of the group
/// vesigate. Neighbours' meters are shown, too; they are neither stored nor sent.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Scan {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// Lines of text instead of the live table
    #[arg(long, conflicts_with = "json")]
    plain: bool,

    /// One JSON object for each meter, a line each; with --survey one object with the report
    #[arg(long)]
    json: bool,

    /// Go on: a line whenever a meter is heard again
    #[arg(long, conflicts_with_all = ["csv", "survey"])]
    watch: bool,

    /// Save the meters heard so far in a new CSV file and end; `-` writes to standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "plain", "survey"])]
    csv: Option<PathBuf>,

    /// Listen for so many minutes, then report which expected meters are heard here; Ctrl-C ends earlier
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=10_080))]
    survey: Option<u64>,

    /// The expected meters, as for `commission`; without it the meter list in force, or all meters with a key
    #[arg(long, value_name = "LIST.csv", requires = "survey")]
    list: Option<PathBuf>,

    /// Write the survey's report to a new file; its ending says how: .html, .csv, .txt or .json
    #[arg(long, value_name = "FILE", requires = "survey")]
    report: Option<PathBuf>,

    /// A made-up clock for demonstrations and tests: START,REAL_START,SPEED
    #[arg(long, value_name = "CLOCK", hide = true)]
    clock: Option<Fast>,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate scan
  vesigate scan --plain | grep 'no key'
  vesigate scan --json | jq 'select(.reception.verdict == \"poor\") | .meter'
  vesigate scan --json --watch
  vesigate scan --csv heard.csv
  vesigate scan --survey 15 --list meters.csv --report survey.html

In the table: * stands in the meter list, + has a key but is not listed, ! sends installation telegrams (SND-IR).
  got%  telegrams heard of those sent, by the meter's own interval
  rcpt  good; marginal: below 70 % or -90 dBm; poor: below 25 % or -100 dBm, or silent; .. too early to tell
  key   opens, plain, no key, wrong key, refused, key (not tried yet), sealed (not ours)

Exit codes: 0 all went well, 1 a survey did not hear every expected meter, 2 it could not run";

impl Scan {
    pub(super) fn run(self) -> u8 {
        finish("scan", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        let gateway = Gateway::of(&config);
        let clock = self.clock.map_or_else(Clock::system, Clock::fast);
        if let Some(minutes) = self.survey {
            return self.survey(&config, gateway, &clock, minutes);
        }
        let live = io::stdout().is_terminal() && io::stdin().is_terminal();
        if live && !(self.plain || self.json || self.watch || self.csv.is_some()) {
            return live::run(gateway, list_in_force(&config), clock);
        }
        self.lines(&config, gateway, &clock)
    }

    fn survey(
        &self,
        config: &Config,
        mut gateway: Gateway,
        clock: &Clock,
        minutes: u64,
    ) -> Result<u8, String> {
        let file = self.list.as_deref().or(config.meter_list.as_deref());
        let list = file.map(|file| load_list(file, config)).transpose()?;
        // An empty list is one that nobody has filled yet.
        let expected = list.as_ref().filter(|list| !list.is_empty() || self.list.is_some());
        let sheet = Sheet::make(self.report.as_deref())?;
        let listening = Listening { kind: Kind::Survey, config, clock, minutes, expected };
        let report = on_runtime(listening.listen(&mut gateway))??;
        listen::show(&report, self.json, sheet)?;
        Ok(if report.all_heard { exit::OK } else { exit::REFUSED })
    }

    fn lines(&self, config: &Config, mut gateway: Gateway, clock: &Clock) -> Result<u8, String> {
        let list = list_in_force(config);
        let mut rows = {
            let heard = on_runtime(gateway.heard())??;
            Watch::default().observe(heard, 0)
        };
        gateway.name(&mut rows, &list);
        let mut table = Table::default();
        table.update(rows);
        let rows = table.shown();
        if let Some(file) = &self.csv {
            let text = csv_rows(rows.iter().copied())?;
            if file.as_os_str() == "-" {
                print(&text)?;
            } else {
                write_new(file, &text)?;
            }
            return Ok(exit::OK);
        }
        if !self.json {
            print(&plain::head())?;
        }
        for row in &rows {
            print(&self.line(row)?)?;
        }
        if !self.json {
            print(&plain::totals(&table.totals()))?;
        }
        if self.watch {
            on_runtime(self.go_on(&mut gateway, &list, clock))??;
        }
        Ok(exit::OK)
    }

    /// A line for each meter that is heard again, until the reader has seen enough.
    async fn go_on(
        &self,
        gateway: &mut Gateway,
        list: &crate::config::MeterList,
        clock: &Clock,
    ) -> Result<(), String> {
        let mut watch = Watch::default();
        let mut known = std::collections::HashMap::new();
        let mut first = true;
        loop {
            let mut rows = watch.observe(gateway.heard().await?, 0);
            gateway.name(&mut rows, list);
            let before = std::mem::take(&mut known);
            for row in rows {
                let telegrams = before.get(&row.heard.meter);
                if !first && telegrams != Some(&row.heard.telegrams) && !print_on(&self.line(&row)?)? {
                    return Ok(());
                }
                known.insert(row.heard.meter, row.heard.telegrams);
            }
            first = false;
            clock.sleep(pause(live::EVERY, known.len())).await;
        }
    }

    fn line(&self, row: &Row) -> Result<String, String> {
        if self.json {
            return serde_json::to_string(row).map(|line| line + "\n").map_err(|error| error.to_string());
        }
        Ok(plain::line(row))
    }
}

/// Who the gateway is, as far as the configuration says.
pub(super) fn name_of(config: &Config) -> String {
    let (utility, name) = (config.gateway.utility.as_ref(), config.gateway.name.as_ref());
    let known: Vec<_> = utility.into_iter().chain(name).map(crate::config::Name::as_str).collect();
    if known.is_empty() { "this gateway".to_owned() } else { known.join("/") }
}

/// Prints; a reader who has seen enough is no error.
pub(super) fn print(text: &str) -> Result<(), String> {
    print_on(text).map(|_| ())
}

/// Prints; colours stay only where a terminal shows them.
fn print_coloured(text: &str) -> Result<(), String> {
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Prints, and gives whether somebody still reads.
fn print_on(text: &str) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs on a runtime of its own.
pub(super) fn on_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(work))
}
