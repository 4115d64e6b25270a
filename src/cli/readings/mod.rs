//! `vesigate readings`: the hours of one meter.

mod hours;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use messages::batch::{Record, Stream};
use messages::reading::{HourRow, Role, join};
use messages::{Hour, MeterId, Time};
use serde::Serialize;

use super::common::{
    Colour, Common, Table, Zone, ask_collect, before, finish, now, open_store, print, print_json, printable,
    span,
};
use super::exit;
use super::known::{self, Names};
use crate::collector::checkpoint::read_meters;
use crate::config::Config;
use crate::halves::questions::OfCollect;
use crate::health::status::CollectStatus;
use crate::store::{Block, CollectReader, Part, StoreError};

use hours::HourLine;

/// Show the hours of a meter: register, consumption, info codes
///
/// The rows are those of the store, joined as the portal joins them. Consumption is the difference of the registers at
/// the full hours; where a gap is bridged it is marked ~ as an estimate. The running hour shows once it is over.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Readings {
    /// The meter: its number, address, name or metering point
    #[arg(value_name = "METER")]
    meter: String,

    /// How many hours back
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=2400))]
    hours: u32,

    /// Another register than the volume, such as heat_energy
    #[arg(long, value_name = "ROLE")]
    register: Option<Role>,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate readings 76348799
  vesigate readings 'Kuja 1' --hours 72
  vesigate readings MP-7 --json | jq '.hours[] | .consumption'

Exit codes: 0 there are readings, 1 there are none in these hours, 2 it could not run";

/// In so many of the newest blocks meters are looked for that the collector no longer remembers.
const NEWEST: usize = 48;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    meter: MeterId,
    name: Option<String>,
    metering_point: Option<String>,
    register: Option<Role>,
    /// Hours without a row.
    missing: usize,
    hours: Vec<HourLine>,
}

impl Readings {
    pub(super) fn run(self) -> u8 {
        finish("readings", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        let directory = config.gateway.collect_dir();
        let reader = open_store(&CollectReader::file(&directory), || CollectReader::open(&directory))?
            .ok_or("there are no readings yet: the gateway makes its store when it is first started")?;
        let report = self.report(&config, &reader)?;
        let code = if report.missing < report.hours.len() { exit::OK } else { exit::REFUSED };
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text(&Zone::of(&config)))?;
        }
        Ok(code)
    }

    fn report(&self, config: &Config, reader: &CollectReader) -> Result<Report, String> {
        let list = known::meter_list(config)?;
        let store = |error: StoreError| error.to_string();
        let running = ask_collect::<CollectStatus>(config, &OfCollect::Status).ok().flatten();
        let at = match running.and_then(|status| status.at) {
            Some(at) => at,
            // A machine that was off for long shows what it last had, not the empty hours since.
            None => reader.newest().map_err(store)?.unwrap_or_else(now),
        };
        let to = Hour::at_or_before(at);
        let from = before(to.time(), i64::from(self.hours) * 3600);
        let known = remembered(reader).map_err(store)?;
        let names = Names::new(&list, known);
        let meter = names.find(&self.meter)?;
        let blocks = reader.newest_first(Stream::Readings);
        let rows = rows(blocks, meter, from, self.register.as_ref()).map_err(store)?;
        let register = hours::role(&rows, self.register.as_ref());
        if let (Some(wanted), None, false) = (&self.register, &register, rows.is_empty()) {
            let there: BTreeSet<&str> =
                rows.values().flat_map(|row| row.registers.keys()).map(Role::as_str).collect();
            let there: Vec<&str> = there.into_iter().collect();
            return Err(format!("the meter has no register {wanted}: it has {}", there.join(", ")));
        }
        // The first row may have been stored before its hour was over, by an orderly stop.
        let to = rows.keys().next_back().copied().filter(|last| *last > to).unwrap_or(to);
        let shown = register.clone().unwrap_or(Role::Volume);
        let hours = hours::hours(&rows, &shown, Hour::at_or_before(from), to);
        let listed = names.listed(meter);
        Ok(Report {
            meter,
            name: listed.and_then(|listed| listed.name.as_deref()).map(str::to_owned),
            metering_point: listed.and_then(|listed| listed.metering_point.as_deref()).map(str::to_owned),
            register,
            missing: hours.iter().filter(|line| line.register.is_none()).count(),
            hours,
        })
    }
}

/// The rows of a meter from `from` on, joined, and those before it back to the nearest register that was taken by then: it
/// serves as neighbour, however long ago it was, so that an hour has the same consumption in every table.
fn rows(
    newest_first: impl Iterator<Item = Result<Block, StoreError>>,
    meter: MeterId,
    from: Time,
    register: Option<&Role>,
) -> Result<BTreeMap<Hour, HourRow>, StoreError> {
    let mut rows: BTreeMap<Hour, HourRow> = BTreeMap::new();
    let mut neighbour: Option<Time> = None;
    for block in newest_first {
        let block = block?;
        // A row is stored after its hour, but for an orderly stop shortly before: nothing nearer comes behind this.
        if let (Some(stored), Some(neighbour)) = (block.stored, neighbour)
            && stored < before(neighbour, 3600)
        {
            break;
        }
        for record in block.body.decode().into_iter().flatten().flatten() {
            let Record::Hour(row) = record else { continue };
            if row.meter != meter {
                continue;
            }
            // A row joined with itself has its offsets snapped.
            let joined = join(rows.get(&row.boundary).unwrap_or(&row), &row).unwrap_or(*row);
            if was_read_by(&joined, register, from) {
                neighbour = neighbour.max(Some(joined.boundary.time()));
            }
            rows.insert(joined.boundary, joined);
        }
    }
    Ok(rows)
}

fn was_read_by(row: &HourRow, wanted: Option<&Role>, by: Time) -> bool {
    let mut registers = row.registers.iter().filter(|(role, _)| wanted.is_none_or(|wanted| wanted == *role));
    let taken = |offset: i32| row.boundary.time().unix().saturating_add(i64::from(offset));
    registers.any(|(_, register)| taken(register.offset) <= by.unix())
}

/// The meters that the collector remembers, and those of the newest rows.
pub(super) fn remembered(reader: &CollectReader) -> Result<BTreeSet<MeterId>, StoreError> {
    let mut meters = BTreeSet::new();
    for part in [Part::Meters, Part::MetersSince] {
        let bytes = reader.part(part)?.unwrap_or_default();
        meters
            .extend(read_meters(&bytes).filter_map(|entry| entry.meter.to_string().parse::<MeterId>().ok()));
    }
    for block in reader.newest_first(Stream::Readings).take(NEWEST) {
        for record in block?.body.decode().into_iter().flatten().flatten() {
            if let Record::Hour(row) = record {
                meters.insert(row.meter);
            }
        }
    }
    Ok(meters)
}

impl Report {
    fn text(&self, zone: &Zone) -> String {
        let mut text = self.meter.to_string();
        for word in [&self.name, &self.metering_point].into_iter().flatten() {
            text.push_str("  ");
            text.push_str(&printable(word));
        }
        text.push('\n');
        if self.missing == self.hours.len() {
            text.push_str(&format!(
                "No row in the last {} hours: `vesigate meters` may say why\n",
                self.hours.len()
            ));
            return text;
        }
        for line in self.hours.chunks(72) {
            text.push_str(&hours::sparkline(line));
            text.push('\n');
        }
        let mut table = Table::new(&["Hour ending", ">Register", ">Used", ">Telegrams", ">dBm", "Codes"]);
        let mut gap = 0usize;
        for line in &self.hours {
            let Some(register) = line.register else {
                gap = gap.saturating_add(1);
                continue;
            };
            close(&mut table, &mut gap);
            let mark = if line.estimated { "~" } else { "" };
            let used =
                line.consumption.map_or_else(String::new, |used| format!("{mark}{}", hours::say(used)));
            table.row(
                vec![
                    zone.hour(line.boundary.time()),
                    register.to_string(),
                    used,
                    line.telegrams.to_string(),
                    line.rssi_dbm.map_or_else(String::new, |rssi| rssi.to_string()),
                    match line.offset_s.unwrap_or_default() {
                        0 => line.codes.join(" "),
                        early if early < 0 => format!(
                            "read {} before {}",
                            span(early.unsigned_abs().into()),
                            line.codes.join(" ")
                        ),
                        late => format!(
                            "read {} after {}",
                            span(late.unsigned_abs().into()),
                            line.codes.join(" ")
                        ),
                    },
                ],
                None,
            );
        }
        close(&mut table, &mut gap);
        text.push_str(&table.text());
        text
    }
}

/// A gap is shown as one.
fn close(table: &mut Table, gap: &mut usize) {
    match std::mem::take(gap) {
        0 => {}
        1 => table.row(vec!["  no row".to_owned()], Some(Colour::Yellow)),
        hours => table.row(vec![format!("  {hours} hours without a row")], Some(Colour::Yellow)),
    }
}

#[cfg(test)]
mod tests {
    use messages::batch::{Body, Nonce, Seq};

    use super::*;

    const METER: &str = "KAM.76348799.1B.16";

    fn block(seq: u64, boundary: &str, volume: &str, offset: i32) -> Block {
        let row: HourRow = serde_json::from_value(serde_json::json!({
            "meter": METER, "boundary": boundary, "checked": "checksum",
            "registers": { "volume": [volume, offset] }, "telegrams": 9,
        }))
        .unwrap();
        let stored = Some(row.boundary.time());
        let body = Body::encode(&[Record::Hour(Box::new(row))]).unwrap();
        Block { seq: Seq::new(seq), nonce: Nonce::from_random(1), records: 1, stored, body }
    }

    #[test]
    fn an_hour_has_the_same_consumption_however_many_hours_are_shown() {
        let blocks = [
            block(1, "2026-11-22T23:00:00Z", "4.900 m3", 0),
            block(2, "2026-11-23T01:00:00Z", "5.000 m3", 100),
            block(3, "2026-11-24T01:00:00Z", "5.024 m3", 100),
            block(4, "2026-11-24T02:00:00Z", "5.030 m3", 0),
        ];
        let shown = |from: &str| {
            let newest_first = blocks.iter().rev().cloned().map(Ok);
            let from: Hour = from.parse().unwrap();
            let rows = rows(newest_first, METER.parse().unwrap(), from.time(), None).unwrap();
            let to = "2026-11-24T01:00:00Z".parse().unwrap();
            let lines = hours::hours(&rows, &Role::Volume, from, to);
            let last = lines.last().unwrap();
            (rows.len(), last.consumption, last.estimated)
        };
        let (kept, used, estimated) = shown("2026-11-24T00:00:00Z");
        assert!(used.is_some() && estimated);
        assert_eq!(kept, 3, "what is older than the neighbour is not read");
        for from in ["2026-11-23T20:00:00Z", "2026-11-23T01:00:00Z", "2026-11-22T00:00:00Z"] {
            assert_eq!(shown(from), (shown(from).0, used, true), "{from}");
        }
        // The row of the first hour was read after it: the one before is its neighbour.
        assert_eq!(shown("2026-11-23T01:00:00Z").0, 4);
    }
}
