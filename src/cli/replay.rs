//! `vesigate replay`: what would become of recorded telegrams, without a gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use messages::batch::Record;
use messages::event::Refusal;
use messages::reading::Code;
use messages::{MeterId, Quantity, Time};
use serde::Serialize;

use super::common::{Colour, Common, Table, Zone, before, finish, now, print, print_json, short};
use super::{exit, known};
use crate::collector::Collector;
use crate::collector::open::{Reception, Via};
use crate::collector::pipeline::Memory;
use crate::config::{Config, Credentials};
use crate::halves::collect::settings;
use crate::health::clock::Calendar;
use crate::health::heard::HeardMeter;
use crate::health::status::Telegrams;
use crate::keyring::{KeyTable, Keyring};
use crate::store::Commit;
use crate::world::{BootId, Uptime};

/// Show what would become of recorded telegrams: who is opened, what is refused, which hours come out
///
/// The telegrams go through the same collector as on the air, in memory; nothing is stored or sent. Keys are those of the
/// gateway, which needs sudo, or those of --keys; expected are the meters of the configuration's list and those with a
/// key.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Replay {
    /// The recording, as `vesigate record` writes it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Keys from a CSV file with the columns `id` and `key`, instead of the gateway's
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  sudo vesigate replay site.txt
  vesigate replay site.txt --keys keys.csv
  vesigate replay site.txt --json | jq '.meters[] | select(.opened == 0)'

Exit codes: 0 every expected meter in it was opened, 1 some were not, 2 it could not run";

/// Bounds of a recording: more than a week of a town.
const MOST_BYTES: u64 = 512 << 20;
/// Between telegrams the collector's clock goes in steps of this.
const STEP: u64 = 5_000;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// When it began, if the recording says so.
    began: Option<Time>,
    seconds: u64,
    /// By what became of them.
    telegrams: Telegrams,
    meters: Vec<Line>,
}

/// One meter.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    name: Option<String>,
    model: Option<String>,
    expected: bool,
    has_key: bool,
    telegrams: u32,
    opened: u32,
    refused: BTreeMap<Refusal, u64>,
    /// Hours that came out.
    rows: u64,
    /// The last register that was believed.
    register: Option<Quantity>,
    codes: BTreeSet<Code>,
    best_rssi_dbm: Option<i16>,
}

impl Replay {
    pub(super) fn run(self) -> u8 {
        finish("replay", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let recording = Recording::read(&self.file)?;
        let config = if self.common.config.exists() || self.keys.is_none() {
            super::load(&self.common.config)?
        } else {
            // Keys and a recording are enough, on any machine.
            Config::default()
        };
        let keys = match &self.keys {
            Some(path) => keys_of(path)?,
            None => keyring(&config)?,
        };
        let report = recording.play(&config, keys)?;
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text(&Zone::of(&config)))?;
        }
        let all = report.meters.iter().filter(|line| line.expected).all(|line| line.opened > 0);
        Ok(if all { exit::OK } else { exit::REFUSED })
    }
}

fn keys_of(path: &Path) -> Result<Keyring, String> {
    let table = KeyTable::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut keys = Keyring::new();
    for row in table.rows() {
        match row {
            Ok((meter, key)) => {
                keys.insert(meter, key).map_err(|full| full.to_string())?;
            }
            Err(problem) => {
                let _ = writeln!(io::stderr(), "vesigate replay: {}: {problem}; left out", path.display());
            }
        }
    }
    Ok(keys)
}

fn keyring(config: &Config) -> Result<Keyring, String> {
    let path = &config.keys.file;
    let hint = |reason: String| format!("{reason}; run it with sudo, or name a key file with --keys");
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keyring::new()),
        Err(error) => return Err(hint(format!("{}: {error}", path.display()))),
        Ok(_) => {}
    }
    let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    let seal = config.keys.seal(&credentials).map_err(|error| hint(error.to_string()))?;
    Keyring::open(path, &seal).map_err(|error| hint(format!("{} {error}", path.display())))
}

/// A recording.
#[derive(Debug, PartialEq, Eq)]
struct Recording {
    began: Option<Time>,
    /// Milliseconds, telegram, dBm.
    telegrams: Vec<(u64, Vec<u8>, Option<i16>)>,
}

impl Recording {
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        if std::fs::metadata(path).map_err(failed)?.len() > MOST_BYTES {
            return Err(format!("{} is longer than 512 MB: split it", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text).map_err(|wrong| format!("{}: {wrong}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut recording = Self { began: None, telegrams: Vec::new() };
        let mut last = 0;
        for (number, line) in text.lines().enumerate() {
            if let Some(began) = line.strip_prefix("# began ") {
                recording.began = recording.began.or_else(|| began.trim().parse().ok());
            }
            let line = line.split('#').next().unwrap_or_default();
            let fields: Vec<&str> = line.split_whitespace().collect();
            let read = match fields.as_slice() {
                [] => continue,
                // Some leave the time out: at once after the one before.
                [hex] => bytes(hex).map(|bytes| (last, bytes, None)),
                [time, hex] if time.len() <= 13 && time.bytes().all(|digit| digit.is_ascii_digit()) => {
                    time.parse().ok().zip(bytes(hex)).map(|(at, bytes)| (at, bytes, None))
                }
                [hex, rssi] => {
                    bytes(hex).zip(rssi.parse().ok()).map(|(bytes, rssi)| (last, bytes, Some(rssi)))
                }
                [time, hex, rssi] => (|| Some((time.parse().ok()?, bytes(hex)?, Some(rssi.parse().ok()?))))(),
                _ => None,
            };
            let telegram = read.ok_or_else(|| {
                format!(
                    "line {}: write milliseconds, the telegram in hexadecimal, and its dBm, as `vesigate record` does",
                    number + 1
                )
            })?;
            last = last.max(telegram.0);
            recording.telegrams.push((last, telegram.1, telegram.2));
        }
        Ok(recording)
    }

    fn play(&self, config: &Config, keys: Keyring) -> Result<Report, String> {
        let list = known::meter_list(config)?;
        let last = self.telegrams.last().map_or(0, |(at, _, _)| *at);
        let length = i64::try_from(last / 1000).unwrap_or(i64::MAX);
        let start = self.began.unwrap_or_else(|| before(now(), length));
        let start_ms = start.unix().saturating_mul(1000);
        let calendar = Calendar::anchored(Uptime::default(), start_ms);
        let boot = BootId::new(&"0".repeat(32)).ok_or("no boot id")?;
        let beginning = (Uptime::default(), start.unix(), calendar);
        let mut collector =
            Collector::new(settings(config, list.clone()), keys, &boot, beginning, &Memory::default());
        let mut rows: BTreeMap<MeterId, u64> = BTreeMap::new();
        let mut now = 0;
        for (at, telegram, rssi) in &self.telegrams {
            while now < *at {
                now = now.saturating_add(STEP).min(*at);
                collector.tick(uptime(now));
                while let Some(commit) = collector.take_commit(uptime(now)) {
                    count(&commit, &mut rows);
                }
            }
            let reception = Reception { at: uptime(*at), rssi: *rssi, via: Via::default() };
            collector.hear(telegram, reception);
        }
        let commit = collector.stop(uptime(now));
        commit.iter().for_each(|commit| count(commit, &mut rows));
        let refused: BTreeMap<MeterId, BTreeMap<Refusal, u64>> =
            collector.refusing(uptime(now)).into_iter().map(|one| (one.meter, one.refused)).collect();
        let mut heard: Vec<HeardMeter> = Vec::new();
        let mut after = None;
        loop {
            let page = collector.heard(after, &[], uptime(now));
            heard.extend(page.meters);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let line = |heard: HeardMeter| {
            let id: Option<MeterId> = heard.meter.parse().ok();
            let listed = id.and_then(known::address).and_then(|meter| list.get(meter));
            let name = listed.and_then(|listed| listed.name.as_deref().or(listed.metering_point.as_deref()));
            let reading = heard.reading.as_ref();
            Line {
                name: name.map(str::to_owned),
                model: heard.model.clone(),
                expected: heard.expected,
                has_key: heard.has_key,
                telegrams: heard.telegrams,
                opened: heard.opened,
                refused: id.and_then(|id| refused.get(&id)).cloned().unwrap_or_default(),
                rows: id.and_then(|id| rows.get(&id)).copied().unwrap_or_default(),
                register: reading.and_then(|reading| reading.volume),
                codes: reading.into_iter().flat_map(|reading| &reading.codes).cloned().collect(),
                best_rssi_dbm: heard.best_rssi,
                id: heard.meter,
            }
        };
        let mut meters: Vec<Line> = heard.into_iter().map(line).collect();
        meters.sort_by(|a, b| (!a.expected, &a.id).cmp(&(!b.expected, &b.id)));
        Ok(Report {
            began: self.began,
            seconds: last / 1000,
            telegrams: collector.telegrams().clone(),
            meters,
        })
    }
}

fn uptime(milliseconds: u64) -> Uptime {
    Uptime(Duration::from_millis(milliseconds))
}

fn count(commit: &Commit, rows: &mut BTreeMap<MeterId, u64>) {
    for block in &commit.blocks {
        for record in block.body.decode().into_iter().flatten().flatten() {
            if let Record::Hour(row) = record {
                let count = rows.entry(row.meter).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    (rest.is_empty() && !pairs.is_empty() && pairs.len() <= 300)
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl Report {
    fn text(&self, zone: &Zone) -> String {
        let mut table =
            Table::new(&["", "Meter", "Name", ">Heard", ">Opened", ">Hours", ">Register", "Refused, codes"]);
        for line in &self.meters {
            let (mark, colour) = match (line.expected, line.opened > 0) {
                (true, true) => ("✓", Colour::Green),
                (true, false) => ("✗", Colour::Red),
                (false, _) => ("-", Colour::Dim),
            };
            let mut words: Vec<String> =
                line.refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            words.extend(line.codes.iter().map(ToString::to_string));
            if !line.expected {
                words.push("foreign".to_owned());
            }
            table.row(
                vec![
                    mark.to_owned(),
                    short(&line.id, 18),
                    short(line.name.as_deref().unwrap_or_default(), 14),
                    line.telegrams.to_string(),
                    line.opened.to_string(),
                    line.rows.to_string(),
                    line.register.map_or_else(String::new, |register| register.to_string()),
                    words.join(" "),
                ],
                Some(colour),
            );
        }
        let mut text = if self.meters.is_empty() { String::new() } else { table.text() };
        let began = self.began.map_or_else(String::new, |began| format!(" from {}", zone.minute(began)));
        let of = &self.telegrams;
        text.push_str(&format!(
            "{} telegrams in {} s{began}: {} accepted, {} again, {} foreign, {} installation\n",
            of.heard, self.seconds, of.accepted, of.duplicates, of.foreign, of.installation
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_form_are_read_and_a_bad_one_is_named() {
        let text = "# vesigate recording 1\n# began 2026-11-25T10:00:00Z\n\n0 0A44 -71\n0A45\n2500 0A46 # weak\n0A47 -90\n";
        let recording = Recording::parse(text).unwrap();
        assert_eq!(recording.began.unwrap().to_string(), "2026-11-25T10:00:00Z");
        let expected = [
            (0, vec![0x0A, 0x44], Some(-71)),
            (0, vec![0x0A, 0x45], None),
            (2500, vec![0x0A, 0x46], None),
            (2500, vec![0x0A, 0x47], Some(-90)),
        ];
        assert_eq!(recording.telegrams, expected);
        for bad in ["x 0A44 -71", "0A4", "1 2 3 4", "0A44 loud", "0 0G44"] {
            assert!(Recording::parse(bad).unwrap_err().starts_with("line 1: write milliseconds"), "{bad}");
        }
    }
}
