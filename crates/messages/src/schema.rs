//! The JSON Schema of every payload, as kept in `docs/schema/`.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::config::{Delivery, GatewayConfig, MeterConfig};
use crate::enrol::{EnrolAnswer, EnrolRequest};
use crate::event::{Episode, MeterStatus, Problem};
use crate::mail::{Alarm, MailReport, RequestReport};
use crate::reading::HourRow;
use crate::{Ack, State, Status, Word};

/// Every document's file name without `.json`, and its schema (JSON Schema 2020-12). Those of records leave the
/// record's `type` out.
#[must_use]
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("batch", of::<Batch>()),
        ("record-hour", of::<HourRow>()),
        ("record-episode", of::<Episode>()),
        ("record-meter", of::<MeterStatus>()),
        ("record-problem", of::<Problem>()),
        ("record-alarm", of::<Alarm>()),
        ("record-mail", of::<MailReport>()),
        ("record-request", of::<RequestReport>()),
        ("ack", of::<Ack>()),
        ("state", of::<State>()),
        ("status", of::<Status>()),
        ("config", of::<GatewayConfig>()),
        ("config-meter", of::<MeterConfig>()),
        ("config-meter-sealed", of::<Delivery>()),
        ("enrol-request", of::<EnrolRequest>()),
        ("enrol-answer", of::<EnrolAnswer>()),
    ]
}

/// The body of a batch. A record with another `type` is to be kept, not refused.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the JSON that `batch::Body` writes; only its schema is used")]
struct Batch {
    records: Vec<AnyRecord>,
}

#[derive(JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "only the schema is used")]
enum AnyRecord {
    Hour(Box<HourRow>),
    Hours(Table),
    Episode(Episode),
    Meter(MeterStatus),
    Problem(Problem),
    Alarm(Alarm),
    Mail(MailReport),
    Request(RequestReport),
    #[serde(untagged)]
    Later {
        #[schemars(extend("not" = {
            "enum": ["hour", "hours", "episode", "meter", "problem", "alarm", "mail", "request"]
        }))]
        r#type: Word,
    },
}

/// Many hour rows by column: row *i* has the fields of `every` and of the *i*-th entries of `each`, `null` for none.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct Table {
    /// How many rows; every list of `each` has as many entries.
    rows: u32,
    /// The fields that all rows share; at most 1024 bytes of JSON.
    every: BTreeMap<String, Value>,
    /// The other fields.
    each: BTreeMap<String, Vec<Value>>,
}

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
