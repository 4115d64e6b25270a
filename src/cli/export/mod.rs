//! `vesigate export`: what the store holds, for other programs.
//!
//! [`stored`] reads and joins it, [`writing`] gives it its form.

mod stored;
mod writing;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use messages::Time;

use self::stored::{Index, Unread, Wanted, events};
use self::writing::{EPISODES_HEAD, READINGS_HEAD, Writing, Written};
use super::common::{Zone, finish, new_file, not_made, open_store};
use super::exit;
use super::known::{self, Names};
use crate::config::Config;
use crate::store::{CollectReader, StoreError};

/// Write readings and events for other programs
///
/// CSV has one line for each register of each hour (or, with --what episodes, one for each episode); values are exact and
/// apart from their unit, times are UTC. JSON lines are the records of the MQTT contract. Names of the meter list are
/// written beside the meters: they may be personal data.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Export {
    /// Where to write; standard output if absent. A file that is there is not overwritten
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The form
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,

    /// What is written; JSON lines may hold all
    #[arg(long, value_enum)]
    what: Option<What>,

    /// From when on: a date, a date and a time of day, or RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Up to when, inclusive
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    /// This meter only: its number, address, name or metering point
    #[arg(long, value_name = "METER")]
    meter: Option<String>,

    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// At the end one JSON object on standard error that says how much was written
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate export readings.csv
  vesigate export --from 2026-11-01 --to 2026-12-01 --meter 76348799 november.csv
  vesigate export --format jsonl | jq -c 'select(.type == \"episode\")'

Exit codes: 0 written, 1 there was nothing to write, 2 it could not run";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with a header, points as decimal marks
    Csv,
    /// One JSON object to a line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Hour rows, joined
    Readings,
    /// Episodes of info codes, joined
    Episodes,
    /// Both, and the standing of meters and problems of the gateway
    All,
}

impl Export {
    pub(super) fn run(self) -> u8 {
        finish("export", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        let what = match (self.format, self.what) {
            (Format::Csv, None) => What::Readings,
            (Format::Jsonl, None) => What::All,
            (Format::Csv, Some(What::All)) => {
                return Err(
                    "a CSV file has lines of one kind: write --what readings or --what episodes, or \
                            --format jsonl"
                        .to_owned(),
                );
            }
            (_, Some(what)) => what,
        };
        let directory = config.gateway.collect_dir();
        let reader = open_store(&CollectReader::file(&directory), || CollectReader::open(&directory))?
            .ok_or("there is nothing to export yet: the gateway makes its store when it is first started")?;
        let list = known::meter_list(&config)?;
        let (out, made) = self.out()?;
        let mut writing = Writing::new(self.format, out, &list);
        let done = self.write(&config, &reader, what, &mut writing);
        let written = match done.and_then(|()| writing.finish()) {
            Ok(written) => written,
            Err(Failure::Closed) => return Ok(exit::OK),
            Err(Failure::Reason(reason)) => {
                if let Some(made) = made {
                    let _ = std::fs::remove_file(made);
                }
                return Err(reason);
            }
        };
        if self.json {
            let text = serde_json::to_string(&written).map_err(|error| error.to_string())?;
            let _ = writeln!(io::stderr(), "{text}");
        } else if self.file.is_some() {
            let Written { rows, episodes, other, .. } = written;
            let _ =
                writeln!(io::stderr(), "{rows} hours, {episodes} episodes, {other} other records written");
        }
        if !self.json && (written.unread_blocks, written.unread_records) != (0, 0) {
            let _ = writeln!(
                io::stderr(),
                "vesigate export: {} blocks and {} other records of the store could not be read, and are not in it",
                written.unread_blocks,
                written.unread_records
            );
        }
        let nothing = written.rows + written.episodes + written.other == 0;
        Ok(if nothing { exit::REFUSED } else { exit::OK })
    }

    fn out(&self) -> Result<(Box<dyn Write>, Option<&Path>), String> {
        let Some(path) = &self.file else { return Ok((Box::new(BufWriter::new(io::stdout().lock())), None)) };
        let file = new_file(path).map_err(|error| not_made(path, &error))?;
        Ok((Box::new(BufWriter::new(file)), Some(path)))
    }

    fn write(
        &self,
        config: &Config,
        reader: &CollectReader,
        what: What,
        writing: &mut Writing<'_>,
    ) -> Result<(), Failure> {
        let zone = Zone::of(config);
        let _moment = reader.hold()?;
        let (from, to) = (moment(&zone, self.from.as_deref())?, moment(&zone, self.to.as_deref())?);
        let mut progress = Progress::new(self.file.is_some());
        let index = Index::of(reader, &mut progress)?;
        let mut unread = index.unread;
        let names = Names::new(writing.list, index.meters.iter().copied());
        let meter =
            self.meter.as_deref().map(|text| names.find(text)).transpose().map_err(Failure::Reason)?;
        let wanted = Wanted { from: from.unwrap_or(Time::MIN), to: to.unwrap_or(Time::MAX), meter };
        if what != What::Episodes {
            writing.head(READINGS_HEAD)?;
            index.days(reader, wanted, &mut progress, |row| writing.row(row))?;
        }
        if what != What::Readings {
            if what == What::Episodes {
                writing.head(EPISODES_HEAD)?;
            }
            let Unread { blocks, records } = events(reader, wanted, what, writing)?;
            unread.blocks = unread.blocks.saturating_add(blocks);
            unread.records = unread.records.saturating_add(records);
        }
        writing.unread(unread);
        progress.end();
        Ok(())
    }
}

fn moment(zone: &Zone, text: Option<&str>) -> Result<Option<Time>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let read = zone.parse(text).ok_or_else(|| {
        format!("{text:?} is not a moment: write 2026-11-24, \"2026-11-24 14:00\" or 2026-11-24T12:00:00Z")
    });
    Ok(Some(read?))
}

/// Why nothing more is written.
#[derive(Debug)]
enum Failure {
    /// Whoever reads has seen enough.
    Closed,
    Reason(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Reason(format!("it cannot be written: {error}")),
        }
    }
}

/// What a long export shows on a terminal.
struct Progress {
    shown: bool,
    steps: u64,
}

impl Progress {
    fn new(to_file: bool) -> Self {
        Self { shown: to_file && io::stderr().is_terminal(), steps: 0 }
    }

    fn step(&mut self, doing: &str) {
        self.steps = self.steps.saturating_add(1);
        if self.shown && self.steps.is_multiple_of(50) {
            let _ = write!(io::stderr(), "\r{doing}: {} blocks", self.steps);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
