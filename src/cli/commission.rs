//! `vesigate commission`: expects a list of meters, waits until they are heard, opened and read, and ends with a list that
//! a person can sign off.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::common::{finish, must_be_new, printable_lines};
use super::exit;
use super::scan::gateway::{Gateway, lines, load_list};
use super::scan::listen::{Listening, Sheet, show};
use super::scan::on_runtime;
use crate::config::{Config, MeterList};
use crate::scan::in_force::InForce;
use crate::scan::plan::{Plan, What};
use crate::scan::report::{Kind, check_name};
use crate::world::{Clock, Fast};

/// Expect the meters of a list, and wait until each is heard, opened and read
///
/// LIST.csv has a header: `id` (number or address), and as wanted `name`, `metering_point`, `q4` (m3/h) and `contacts` (the
/// utility's own, names of [[contact]] in the configuration, with spaces between); other columns are passed over. Shows
/// what changes against the meter list in force, asks, writes it (the former one stays beside it as .former), has the
/// gateway load it, and then listens until all meters are in order or the time is over.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Commission {
    /// The expected meters
    #[arg(value_name = "LIST.csv")]
    list: PathBuf,

    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// Meters that LIST.csv does not name stay expected
    #[arg(long)]
    keep: bool,

    /// Write the list without asking
    #[arg(short, long)]
    yes: bool,

    /// Only show what would change
    #[arg(long, conflicts_with_all = ["yes", "report"])]
    dry_run: bool,

    /// How long to wait for the meters at most: two telegrams of a meter must agree, and some send every quarter of an
    /// hour; 0 does not wait
    #[arg(long, value_name = "MINUTES", default_value_t = 35, value_parser = clap::value_parser!(u64).range(0..=10_080))]
    minutes: u64,

    /// Write the list to sign off to a new file; its ending says how: .html, .csv, .txt or .json
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// The result as one JSON object
    #[arg(long)]
    json: bool,

    /// A made-up clock for demonstrations and tests: START,REAL_START,SPEED
    #[arg(long, value_name = "CLOCK", hide = true)]
    clock: Option<Fast>,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate commission meters.csv
  vesigate commission meters.csv --dry-run
  vesigate commission new-street.csv --keep --minutes 30 --report new-street.html
  vesigate commission meters.csv --yes --json | jq '.meters[] | select(.green | not)'

Exit codes: 0 every meter is in order (or, without waiting, the list is in force), 1 some are not, or one half has
not taken the list, or it was not wanted, 2 it could not run, or the list is not in force";

impl Commission {
    pub(super) fn run(self) -> u8 {
        finish("commission", self.try_run())
    }

    fn try_run(&self) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        if let Some(file) = &self.report {
            check_name(file)?;
        }
        must_be_new(self.report.as_deref())?;
        let Some(file) = config.meter_list.as_deref() else {
            return Err(format!(
                "{} names no meter list: write in it\n\n  [meters]\n  file = \"/etc/vesigate/meters.csv\"\n\n\
                 and run this again",
                self.config.display()
            ));
        };
        let fresh = load_list(&self.list, &config)?;
        if fresh.is_empty() {
            return Err(format!("{} has no meters: nothing was changed", self.list.display()));
        }
        let in_force = InForce::read(file)?;
        let former = in_force.list(&config.contacts).map_err(|problems| lines(&problems))?;
        let plan = Plan::between(&former, &fresh, self.keep);
        if self.dry_run {
            return self.preview(&plan).map(|()| exit::OK);
        }
        let mut gateway = Gateway::of(&config);
        // Whoever cannot ask the gateway learns that before anything is changed.
        on_runtime(gateway.status())??;
        if !plan.changes.is_empty() {
            let _ = write!(io::stderr(), "Against {}:\n{}", file.display(), printable_lines(&plan.text()));
            if !(self.yes || self.is_wanted(&plan)?) {
                let _ = writeln!(io::stderr(), "Nothing was changed.");
                return Ok(exit::REFUSED);
            }
        }
        let sheet = Sheet::make(self.report.as_deref())?;
        if !plan.changes.is_empty() {
            in_force.replace(&plan.csv()?, &self.config)?;
        }
        let clock = self.clock.map_or_else(Clock::system, Clock::fast);
        on_runtime(self.put_to_work(&config, &mut gateway, &clock, file, &fresh, sheet))?
    }

    fn preview(&self, plan: &Plan) -> Result<(), String> {
        if self.json {
            let text = serde_json::to_string(plan).map_err(|error| error.to_string())?;
            return super::scan::print(&(text + "\n"));
        }
        super::scan::print(&printable_lines(&plan.text()))
    }

    fn is_wanted(&self, plan: &Plan) -> Result<bool, String> {
        if !io::stdin().is_terminal() {
            return Err(
                "nobody can be asked here: see with --dry-run what changes, then say --yes".to_owned()
            );
        }
        let gone = match plan.count(What::Gone) {
            0 => String::new(),
            1 => " 1 meter will be expected no longer (--keep keeps it)!".to_owned(),
            gone => format!(" {gone} meters will be expected no longer (--keep keeps them)!"),
        };
        let _ = write!(io::stderr(), "Write this list?{gone} [y/N] ");
        let mut answer = String::new();
        let mut bounded = io::BufReader::new(io::stdin().lock().take(64));
        bounded.read_line(&mut answer).map_err(|error| error.to_string())?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    async fn put_to_work(
        &self,
        config: &Config,
        gateway: &mut Gateway,
        clock: &Clock,
        in_force: &Path,
        fresh: &MeterList,
        sheet: Option<Sheet>,
    ) -> Result<u8, String> {
        let delivering = gateway.reload().await.map_err(|wrong| {
            format!(
                "{} was written, and is not in force: the gateway goes on with what it had loaded before. Mend this and \
                 run it again:\n{wrong}",
                in_force.display()
            )
        })?;
        if let Some(wrong) = &delivering {
            let _ = writeln!(io::stderr(), "{}", printable_lines(wrong));
        }
        let in_order = |is: bool| if is && delivering.is_none() { exit::OK } else { exit::REFUSED };
        let _ = writeln!(io::stderr(), "The list is in force: {}.", in_force.display());
        if self.minutes == 0 {
            return Ok(in_order(true));
        }
        let listening = Listening {
            kind: Kind::Commissioning,
            config,
            clock,
            minutes: self.minutes,
            expected: Some(fresh),
        };
        let report = listening.listen(gateway).await?;
        show(&report, self.json, sheet)?;
        Ok(in_order(report.all_green))
    }
}
