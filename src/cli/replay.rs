//! `vesigate replay`: what would become of recorded telegrams, without a gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use messages::batch::Record;
use messages::event::Refusal;
use messages::reading::Code;
use messages::{MeterId, Quantity, Time};
use serde::Serialize;

use super::common::{Colour, Common, Table, Zone, before, finish, now, print, print_json, printable, short};
use super::{exit, known};
use crate::collector::Collector;
use crate::collector::open::{Reception, Via};
use crate::collector::pipeline::Memory;
use crate::config::{Config, Credentials, MeterList};
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

/// So long after the first telegram there are others: `vesigate record` ends after a week. The collector lives through all
/// of that time, so that a number out of the air would keep it busy for ever.
const LONGEST: u64 = 8 * 86_400_000;
/// The longest line.
const LONGEST_LINE: u64 = 64 << 10;
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
        let named = |wrong: String| format!("{}: {wrong}", self.file.display());
        let file = File::open(&self.file).map_err(|error| named(error.to_string()))?;
        let config = if self.common.config.exists() || self.keys.is_none() {
            super::load(&self.common.config)?
        } else {
            // Keys and a recording are enough, on any machine.
            Config::default()
        };
        let keys = match &self.keys {
            Some(path) => keys_of(path)?,
            None => keyring(&config, Path::new("/"))?,
        };
        let list = known::meter_list(&config)?;
        let report = play(&mut Recording::of(BufReader::new(file)), &config, list, keys).map_err(named)?;
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
                let problem = printable(&problem.to_string());
                let _ = writeln!(io::stderr(), "vesigate replay: {}: {problem}; left out", path.display());
            }
        }
    }
    Ok(keys)
}

/// The gateway's own keys, on the machine whose credentials lie below `root`.
fn keyring(config: &Config, root: &Path) -> Result<Keyring, String> {
    let path = &config.keys.file;
    let hint = |reason: String| format!("{reason}; run it with sudo, or name a key file with --keys");
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keyring::new()),
        Err(error) => return Err(hint(format!("{}: {error}", path.display()))),
        Ok(_) => {}
    }
    let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    let seal = config.keys.seal_by_hand(&credentials, root).map_err(|error| hint(error.to_string()))?;
    Keyring::open(path, &seal).map_err(|error| hint(format!("{} {error}", path.display())))
}

/// A recording, read line by line.
struct Recording<R> {
    lines: R,
    /// Of the line that was read last.
    number: u64,
    began: Option<Time>,
    /// The time of the first telegram, in the recording's own milliseconds.
    first: Option<u64>,
    /// How long after it the last one was heard.
    last: u64,
}

/// Milliseconds since the first, the telegram, dBm.
type Telegram = (u64, Vec<u8>, Option<i16>);

impl<R: BufRead> Recording<R> {
    const fn of(lines: R) -> Self {
        Self { lines, number: 0, began: None, first: None, last: 0 }
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut line);
        self.number = self.number.saturating_add(1);
        match read {
            Err(error) => Err(error.to_string()),
            Ok(0) => Ok(None),
            Ok(_) if line.last() != Some(&b'\n') && u64::try_from(line.len()) == Ok(LONGEST_LINE) => {
                Err(self.wrong("is too long for a telegram"))
            }
            Ok(_) => String::from_utf8(line).map(Some).map_err(|_| self.wrong("is no text")),
        }
    }

    fn wrong(&self, what: &str) -> String {
        format!("line {}: {what}", self.number)
    }

    /// The next telegram.
    fn next(&mut self) -> Result<Option<Telegram>, String> {
        while let Some(line) = self.line()? {
            if let Some(began) = line.strip_prefix("# began ") {
                self.began = self.began.or_else(|| began.trim().parse().ok());
            }
            let line = line.split('#').next().unwrap_or_default();
            let fields: Vec<&str> = line.split_whitespace().collect();
            let read = match fields.as_slice() {
                [] => continue,
                // Some leave the time out: at once after the one before.
                [hex] => bytes(hex).map(|bytes| (None, bytes, None)),
                [time, hex] if time.len() <= 13 && time.bytes().all(|digit| digit.is_ascii_digit()) => {
                    time.parse::<u64>().ok().zip(bytes(hex)).map(|(at, bytes)| (Some(at), bytes, None))
                }
                [hex, rssi] => {
                    bytes(hex).zip(rssi.parse().ok()).map(|(bytes, rssi)| (None, bytes, Some(rssi)))
                }
                [time, hex, rssi] => {
                    (|| Some((Some(time.parse().ok()?), bytes(hex)?, Some(rssi.parse().ok()?))))()
                }
                _ => None,
            };
            let (at, telegram, rssi) = read.ok_or_else(|| {
                self.wrong(
                    "write milliseconds, the telegram in hexadecimal, and its dBm, as `vesigate record` does",
                )
            })?;
            if let Some(at) = at {
                let since = at.saturating_sub(*self.first.get_or_insert(at));
                if since > LONGEST {
                    return Err(self.wrong(
                        "is more than 8 days after the first telegram: split the recording, or mend the time",
                    ));
                }
                self.last = self.last.max(since);
            }
            return Ok(Some((self.last, telegram, rssi)));
        }
        Ok(None)
    }
}

fn play(
    recording: &mut Recording<impl BufRead>,
    config: &Config,
    list: MeterList,
    keys: Keyring,
) -> Result<Report, String> {
    let mut next = recording.next()?;
    // Without a beginning any will do, if only none of it lies in the future.
    let start = recording.began.unwrap_or_else(|| before(now(), i64::try_from(LONGEST / 1000).unwrap_or(0)));
    let start_ms = start.unix().saturating_mul(1000);
    let calendar = Calendar::anchored(Uptime::default(), start_ms);
    let boot = BootId::new(&"0".repeat(32)).ok_or("no boot id")?;
    let beginning = (Uptime::default(), start.unix(), calendar);
    let mut collector =
        Collector::new(settings(config, list.clone()), keys, &boot, beginning, &Memory::default());
    let mut rows: BTreeMap<MeterId, u64> = BTreeMap::new();
    let mut now = 0;
    while let Some((at, telegram, rssi)) = next {
        while now < at {
            now = now.saturating_add(STEP).min(at);
            collector.tick(uptime(now));
            while let Some(commit) = collector.take_commit(uptime(now)) {
                count(&commit, &mut rows);
            }
        }
        let reception = Reception { at: uptime(at), rssi, via: Via::default() };
        collector.hear(&telegram, reception);
        next = recording.next()?;
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
        began: recording.began,
        seconds: recording.last / 1000,
        telegrams: collector.telegrams().clone(),
        meters,
    })
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
    use crate::keyring::SealKey;

    fn read(text: &str) -> Result<(Option<Time>, Vec<Telegram>), String> {
        let mut recording = Recording::of(text.as_bytes());
        let mut telegrams = Vec::new();
        while let Some(telegram) = recording.next()? {
            telegrams.push(telegram);
        }
        Ok((recording.began, telegrams))
    }

    #[test]
    fn lines_of_every_form_are_read_and_a_bad_one_is_named() {
        let text = "# vesigate recording 1\n# began 2026-11-25T10:00:00Z\n\n0 0A44 -71\n0A45\n2500 0A46 # weak\n0A47 -90\n";
        let (began, telegrams) = read(text).unwrap();
        assert_eq!(began.unwrap().to_string(), "2026-11-25T10:00:00Z");
        let expected = [
            (0, vec![0x0A, 0x44], Some(-71)),
            (0, vec![0x0A, 0x45], None),
            (2500, vec![0x0A, 0x46], None),
            (2500, vec![0x0A, 0x47], Some(-90)),
        ];
        assert_eq!(telegrams, expected);
        for bad in ["x 0A44 -71", "0A4", "1 2 3 4", "0A44 loud", "0 0G44"] {
            assert!(read(bad).unwrap_err().starts_with("line 1: write milliseconds"), "{bad}");
        }
        assert!(read(&"0".repeat(1 << 20)).unwrap_err().starts_with("line 1: is too long"));
    }

    #[test]
    fn a_time_out_of_the_air_is_refused_and_named() {
        // Times may count from anywhere, such as the start of the machine.
        let (_, telegrams) = read("9000000000 0A44 -71\n9000000500 0A45 -71\n8 0A46 -71\n").unwrap();
        assert_eq!(telegrams.iter().map(|(at, _, _)| *at).collect::<Vec<_>>(), [0, 500, 500]);
        for bad in ["18446744073709551615", "691200001"] {
            let refused = read(&format!("0 0A44 -71\n0A45\n{bad} 0A46 -71\n")).unwrap_err();
            assert!(refused.starts_with("line 3: is more than 8 days after"), "{refused}");
        }
        assert!(read("0 0A44 -71\n691200000 0A46 -71\n").is_ok());
    }

    #[test]
    fn keys_sealed_with_a_credential_of_the_service_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.keys.file = root.path().join("keyring");
        config.keys.seal_file = root.path().join("seal");
        let seal = SealKey::read_or_create(&root.path().join("etc/credstore/vesigate.seal")).unwrap();
        Keyring::new().save(&config.keys.file, &seal).unwrap();
        assert!(keyring(&config, root.path()).unwrap().is_empty());
        assert!(!config.keys.seal_file.exists());
    }
}
