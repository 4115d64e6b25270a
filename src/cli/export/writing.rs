//! How records are written: a CSV line, or a line of JSON.

use std::io::Write;

use messages::event::Episode;
use messages::reading::HourRow;
use messages::{MeterId, Time};
use serde::Serialize;

use super::stored::Unread;
use super::{Failure, Format, known};
use crate::config::MeterList;
use crate::scan::report::harmless;

/// How much was written.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) episodes: u64,
    pub(super) other: u64,
    /// What was there and could not be read.
    pub(super) unread_blocks: u64,
    pub(super) unread_records: u64,
}

pub(super) const READINGS_HEAD: &[&str] = &[
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
pub(super) const EPISODES_HEAD: &[&str] =
    &["meter", "name", "metering_point", "code", "id", "started", "seen", "lasted_s", "standing", "late"];

/// Where it goes.
pub(super) struct Writing<'a> {
    format: Format,
    out: Box<dyn Write>,
    pub(super) list: &'a MeterList,
    written: Written,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

impl<'a> Writing<'a> {
    pub(super) fn new(format: Format, out: Box<dyn Write>, list: &'a MeterList) -> Self {
        Self { format, out, list, written: Written::default() }
    }

    pub(super) fn head(&mut self, names: &[&str]) -> Result<(), Failure> {
        if self.format == Format::Csv {
            self.csv(names.iter().map(|name| (*name).to_owned()))?;
        }
        Ok(())
    }

    pub(super) fn row(&mut self, row: &HourRow) -> Result<(), Failure> {
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

    pub(super) fn episode(&mut self, episode: &Episode) -> Result<(), Failure> {
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

    pub(super) fn other(&mut self, kind: &'static str, record: &impl Serialize) -> Result<(), Failure> {
        self.written.other += 1;
        self.json(kind, record)
    }

    /// A record as it came.
    pub(super) fn raw(&mut self, json: &str) -> Result<(), Failure> {
        self.written.other += 1;
        // One to a line: the ends of lines in JSON are space.
        Ok(writeln!(self.out, "{}", json.replace(['\n', '\r'], " "))?)
    }

    pub(super) const fn unread(&mut self, unread: Unread) {
        (self.written.unread_blocks, self.written.unread_records) = (unread.blocks, unread.records);
    }

    fn who(&self, meter: MeterId) -> [String; 3] {
        let listed = known::address(meter).and_then(|meter| self.list.get(meter));
        let text = |text: Option<&Option<Box<str>>>| {
            text.and_then(|text| text.as_deref()).unwrap_or_default().to_owned()
        };
        [
            meter.to_string(),
            harmless(&text(listed.map(|listed| &listed.name))),
            harmless(&text(listed.map(|listed| &listed.metering_point))),
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

    pub(super) fn finish(mut self) -> Result<Written, Failure> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// A word of the contract, as JSON would have it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
