//! What a batch carries.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::event::{Episode, MeterStatus, Problem};
use crate::mail::{Alarm, MailReport, RequestReport};
use crate::reading::HourRow;

/// One record. On the wire an object whose `type` names the kind; every kind may be on every stream, its home is named
/// at the kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// `hour`, on `readings`.
    Hour(Box<HourRow>),
    /// `episode`, on `events`.
    Episode(Episode),
    /// `meter`, on `events`.
    Meter(MeterStatus),
    /// `problem`, on `events`.
    Problem(Problem),
    /// `alarm`, on `mails`.
    Alarm(Alarm),
    /// `mail`, on `mails`.
    Mail(MailReport),
    /// `request`, on `mails`.
    Request(RequestReport),
    /// A kind of a later version, kept as it came.
    Unknown(UnknownRecord),
}

/// A record whose type this version does not know: its JSON, byte for byte.
#[derive(Clone)]
pub struct UnknownRecord(Box<RawValue>);

impl UnknownRecord {
    /// Its JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for UnknownRecord {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl fmt::Debug for UnknownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnknownRecord({} bytes)", self.json().len())
    }
}

/// A record that cannot be read: it belongs among the dead letters, while the batch it came in counts as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// The record's JSON; of a row of a table, as if it had stood alone.
    pub json: String,
    /// What is wrong with it, in English.
    pub reason: String,
}

/// The kinds as they are told apart on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hour,
    Episode,
    Meter,
    Problem,
    Alarm,
    Mail,
    Request,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Hour, Self::Episode, Self::Meter, Self::Problem, Self::Alarm, Self::Mail, Self::Request];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Episode => "episode",
            Self::Meter => "meter",
            Self::Problem => "problem",
            Self::Alarm => "alarm",
            Self::Mail => "mail",
            Self::Request => "request",
        }
    }

    pub(super) fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Reads the fields of a record, `type` taken out.
    pub(super) fn read(self, fields: &Value) -> Result<Record, serde_json::Error> {
        fn typed<T: DeserializeOwned>(
            fields: &Value,
            wrap: fn(T) -> Record,
        ) -> Result<Record, serde_json::Error> {
            T::deserialize(fields).map(wrap)
        }
        match self {
            Self::Hour => typed(fields, |row| Record::Hour(Box::new(row))),
            Self::Episode => typed(fields, Record::Episode),
            Self::Meter => typed(fields, Record::Meter),
            Self::Problem => typed(fields, Record::Problem),
            Self::Alarm => typed(fields, Record::Alarm),
            Self::Mail => typed(fields, Record::Mail),
            Self::Request => typed(fields, Record::Request),
        }
    }
}

/// The `type` of a record; absent, or not a text, in something that is no record.
#[derive(Deserialize)]
pub(super) struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: std::borrow::Cow<'a, str>,
}

/// Reads one record that stands alone.
pub(super) fn read(raw: &RawValue) -> Result<Record, BadRecord> {
    let bad = |error: serde_json::Error| BadRecord { json: raw.get().to_owned(), reason: error.to_string() };
    let tag: Tag<'_> = serde_json::from_str(raw.get()).map_err(bad)?;
    let Some(kind) = Kind::find(&tag.kind) else {
        return Ok(Record::Unknown(UnknownRecord(raw.to_owned())));
    };
    let mut fields: Map<String, Value> = serde_json::from_str(raw.get()).map_err(bad)?;
    fields.remove("type");
    kind.read(&Value::Object(fields)).map_err(bad)
}

/// Writes one record to stand alone.
pub(super) fn write(record: &Record) -> Result<Box<RawValue>, serde_json::Error> {
    match record {
        Record::Hour(row) => write_hour(row),
        Record::Episode(episode) => tagged(Kind::Episode, episode),
        Record::Meter(status) => tagged(Kind::Meter, status),
        Record::Problem(problem) => tagged(Kind::Problem, problem),
        Record::Alarm(alarm) => tagged(Kind::Alarm, alarm),
        Record::Mail(mail) => tagged(Kind::Mail, mail),
        Record::Request(request) => tagged(Kind::Request, request),
        Record::Unknown(unknown) => Ok(unknown.0.clone()),
    }
}

/// Writes one hour row to stand alone.
pub(super) fn write_hour(row: &HourRow) -> Result<Box<RawValue>, serde_json::Error> {
    tagged(Kind::Hour, row)
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

fn tagged<T: Serialize>(kind: Kind, record: &T) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(&Tagged { kind: kind.as_str(), record })
}
