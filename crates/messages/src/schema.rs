//! The JSON Schema of every payload, as kept in `docs/schema/`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::config::{Delivery, GatewayConfig, MeterConfig};
use crate::enrol::{EnrolAnswer, EnrolRequest};
use crate::event::{Episode, MeterStatus, Problem};
use crate::mail::{Alarm, MailReport, RequestReport};
use crate::reading::HourRow;
use crate::{Ack, State, Status};

/// Every document's file name without `.json`, and its schema (JSON Schema 2020-12). Those of records leave the
/// record's `type` out.
#[must_use]
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
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

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
