//! `vesigate export`: what the store holds, for other programs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use messages::batch::{Record, Seq, Stream};
use messages::event::Episode;
use messages::reading::{HourRow, join};
use messages::{Id, MeterId, Time};
use serde::Serialize;

use super::common::{Zone, finish, open_store};
use super::exit;
use super::known::{self, Names};
use crate::config::{Config, MeterList};
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

/// How much was written.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Written {
    rows: u64,
    episodes: u64,
    other: u64,
}

const DAY: i64 = 86_400;

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
        let mut writing = Writing { format: self.format, out, list: &list, written: Written::default() };
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
            let Written { rows, episodes, other } = written;
            let _ =
                writeln!(io::stderr(), "{rows} hours, {episodes} episodes, {other} other records written");
        }
        let nothing = written.rows + written.episodes + written.other == 0;
        Ok(if nothing { exit::REFUSED } else { exit::OK })
    }

    fn out(&self) -> Result<(Box<dyn Write>, Option<&Path>), String> {
        let Some(path) = &self.file else { return Ok((Box::new(BufWriter::new(io::stdout().lock())), None)) };
        match File::create_new(path) {
            Ok(file) => Ok((Box::new(BufWriter::new(file)), Some(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{} is there already: remove it, or write another name", path.display()))
            }
            Err(error) => Err(format!("{} cannot be written: {error}", path.display())),
        }
    }

    fn write(
        &self,
        config: &Config,
        reader: &CollectReader,
        what: What,
        writing: &mut Writing<'_>,
    ) -> Result<(), Failure> {
        let zone = Zone::of(config);
        let (from, to) = (moment(&zone, self.from.as_deref())?, moment(&zone, self.to.as_deref())?);
        let mut progress = Progress::new(self.file.is_some());
        let index = Index::of(reader, &mut progress)?;
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
            events(reader, wanted, what, writing)?;
        }
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

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: Time,
    to: Time,
    meter: Option<MeterId>,
}

impl Wanted {
    fn has(&self, meter: MeterId, from: Time, to: Time) -> bool {
        self.meter.is_none_or(|only| only == meter) && to >= self.from && from <= self.to
    }
}

/// Which boundaries stand in which block: rows are joined a day at a time, so that months fit into little memory.
struct Index {
    /// First and last day, counted from 1970, by block.
    blocks: BTreeMap<Seq, (i64, i64)>,
    meters: std::collections::BTreeSet<MeterId>,
}

impl Index {
    fn of(reader: &CollectReader, progress: &mut Progress) -> Result<Self, StoreError> {
        let mut index = Self { blocks: BTreeMap::new(), meters: std::collections::BTreeSet::new() };
        for block in reader.newest_first(Stream::Readings) {
            let block = block?;
            progress.step("reading");
            for row in rows(&block) {
                let day = row.boundary.time().unix().div_euclid(DAY);
                let days = index.blocks.entry(block.seq).or_insert((day, day));
                *days = (days.0.min(day), days.1.max(day));
                index.meters.insert(row.meter);
            }
        }
        Ok(index)
    }

    fn days(
        &self,
        reader: &CollectReader,
        wanted: Wanted,
        progress: &mut Progress,
        mut write: impl FnMut(&HourRow) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let first = self.blocks.values().map(|days| days.0).min().unwrap_or_default();
        let last = self.blocks.values().map(|days| days.1).max().unwrap_or(-1);
        let (first, last) =
            (first.max(wanted.from.unix().div_euclid(DAY)), last.min(wanted.to.unix().div_euclid(DAY)));
        for day in first..=last {
            let mut joined: BTreeMap<(i64, MeterId), HourRow> = BTreeMap::new();
            let of_day = self.blocks.iter().filter(|(_, days)| days.0 <= day && day <= days.1);
            for (seq, _) in of_day {
                progress.step("writing");
                let Some(block) = reader.block(Stream::Readings, *seq)? else { continue };
                for row in rows(&block) {
                    let at = row.boundary.time();
                    if at.unix().div_euclid(DAY) == day && wanted.has(row.meter, at, at) {
                        let key = (at.unix(), row.meter);
                        let both = join(joined.get(&key).unwrap_or(&row), &row);
                        joined.insert(key, both.unwrap_or(row));
                    }
                }
            }
            for row in joined.values() {
                write(row)?;
            }
        }
        Ok(())
    }
}

fn rows(block: &crate::store::Block) -> impl Iterator<Item = HourRow> {
    let records = block.body.decode().into_iter().flatten().flatten();
    records.filter_map(|record| match record {
        Record::Hour(row) => Some(*row),
        _ => None,
    })
}

/// Episodes joined, and with [`What::All`] all else that the stream has, oldest first.
fn events(
    reader: &CollectReader,
    wanted: Wanted,
    what: What,
    writing: &mut Writing<'_>,
) -> Result<(), Failure> {
    let mut episodes: BTreeMap<Id, Episode> = BTreeMap::new();
    let mut after = Seq::NONE;
    loop {
        let blocks = reader.blocks(Stream::Events, after, 64)?;
        let Some(last) = blocks.last() else { break };
        after = last.seq;
        for record in blocks.iter().flat_map(|block| block.body.decode().into_iter().flatten().flatten()) {
            match record {
                Record::Episode(episode) => {
                    let joined = episodes.get(&episode.id).map(|known| known.joined(&episode));
                    episodes.insert(episode.id, joined.unwrap_or(episode));
                }
                Record::Meter(status)
                    if what == What::All && wanted.has(status.meter, status.at, status.at) =>
                {
                    writing.other("meter", &status)?;
                }
                Record::Problem(problem) if what == What::All && wanted.meter.is_none() => {
                    let from = problem.since.unwrap_or(wanted.from);
                    if problem.until.unwrap_or(Time::MAX) >= wanted.from && from <= wanted.to {
                        writing.other("problem", &problem)?;
                    }
                }
                _ => {}
            }
        }
    }
    let mut episodes: Vec<Episode> = episodes.into_values().collect();
    episodes.sort_by_key(|episode| (episode.started, episode.meter));
    for episode in episodes {
        let from = episode.started.or(episode.seen).unwrap_or(wanted.from);
        if wanted.has(episode.meter, from, episode.seen.unwrap_or(from)) {
            writing.episode(&episode)?;
        }
    }
    Ok(())
}

const READINGS_HEAD: &[&str] = &[
    "meter",
    "name",
    "metering_point",
    "boundary",
    "register",
    "value",
    "unit",
    "offset_s",
    "codes",
    "telegrams",
    "rssi_dbm",
    "late",
    "checked",
];
const EPISODES_HEAD: &[&str] =
    &["meter", "name", "metering_point", "code", "id", "started", "seen", "lasted_s", "standing", "late"];

/// Where it goes.
struct Writing<'a> {
    format: Format,
    out: Box<dyn Write>,
    list: &'a MeterList,
    written: Written,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

impl Writing<'_> {
    fn head(&mut self, names: &[&str]) -> Result<(), Failure> {
        if self.format == Format::Csv {
            self.csv(names.iter().map(|name| (*name).to_owned()))?;
        }
        Ok(())
    }

    fn row(&mut self, row: &HourRow) -> Result<(), Failure> {
        self.written.rows += 1;
        if self.format == Format::Jsonl {
            return self.json("hour", row);
        }
        let [meter, name, point] = self.who(row.meter);
        let codes: Vec<&str> = row.codes.iter().map(messages::reading::Code::as_str).collect();
        for (role, register) in &row.registers {
            self.csv([
                meter.clone(),
                name.clone(),
                point.clone(),
                row.boundary.to_string(),
                role.to_string(),
                register.value.value.to_string(),
                register.value.unit.as_str().to_owned(),
                register.offset.to_string(),
                codes.join(" "),
                row.telegrams.to_string(),
                row.rssi.map_or_else(String::new, |rssi| rssi.to_string()),
                row.late.to_string(),
                word(&row.checked),
            ])?;
        }
        Ok(())
    }

    fn episode(&mut self, episode: &Episode) -> Result<(), Failure> {
        self.written.episodes += 1;
        if self.format == Format::Jsonl {
            return self.json("episode", episode);
        }
        let [meter, name, point] = self.who(episode.meter);
        let time = |time: Option<Time>| time.map_or_else(String::new, |time| time.to_string());
        self.csv([
            meter,
            name,
            point,
            episode.code.to_string(),
            episode.id.to_string(),
            time(episode.started),
            time(episode.seen),
            episode.lasted.to_string(),
            word(&episode.standing),
            episode.late.to_string(),
        ])
    }

    fn other(&mut self, kind: &'static str, record: &impl Serialize) -> Result<(), Failure> {
        self.written.other += 1;
        self.json(kind, record)
    }

    fn who(&self, meter: MeterId) -> [String; 3] {
        let listed = known::address(meter).and_then(|meter| self.list.get(meter));
        let text = |text: Option<&Option<Box<str>>>| {
            text.and_then(|text| text.as_deref()).unwrap_or_default().to_owned()
        };
        [
            meter.to_string(),
            text(listed.map(|listed| &listed.name)),
            text(listed.map(|listed| &listed.metering_point)),
        ]
    }

    fn json<T: Serialize>(&mut self, kind: &'static str, record: &T) -> Result<(), Failure> {
        let line = serde_json::to_string(&Tagged { kind, record }).map_err(|error| error.to_string())?;
        Ok(writeln!(self.out, "{line}")?)
    }

    fn csv(&mut self, fields: impl IntoIterator<Item = String>) -> Result<(), Failure> {
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(fields).map_err(|error| error.to_string())?;
        let bytes = line.into_inner().map_err(|error| error.to_string())?;
        Ok(self.out.write_all(&bytes)?)
    }

    fn finish(mut self) -> Result<Written, Failure> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// A word of the contract, as JSON would have it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
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
