//! Every example of `docs/mqtt-contract.md` is what it says it is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use messages::batch::{Body, ContentType, Record};
use messages::config::{Delivery, GatewayConfig, MeterConfig};
use messages::enrol::{EnrolAnswer, EnrolRequest};
use messages::home_assistant::Values;
use messages::{Ack, State, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[test]
fn every_example_is_read_and_written_without_loss() {
    let text = include_str!("../../../docs/mqtt-contract.md");
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for block in text.split("```json ").skip(1) {
        let (kind, rest) = block.split_once('\n').unwrap();
        let json = rest.split("```").next().unwrap();
        match kind {
            "batch" => batch(json),
            "ack" => document::<Ack>(json),
            "state" => document::<State>(json),
            "status" => document::<Status>(json),
            "config" => document::<GatewayConfig>(json),
            "config-meter" => document::<MeterConfig>(json),
            "config-meter-sealed" => document::<Delivery>(json),
            "enrol-request" => document::<EnrolRequest>(json),
            "enrol-answer" => document::<EnrolAnswer>(json),
            "home-assistant" => document::<Values>(json),
            other => panic!("an example of unknown kind: {other}"),
        }
        *seen.entry(kind).or_default() += 1;
    }
    assert_eq!(seen.len(), 10, "a kind of payload has no example: {seen:?}");
}

#[test]
fn the_row_and_the_table_say_the_same() {
    let text = include_str!("../../../docs/mqtt-contract.md");
    let rows: Vec<_> = text
        .split("```json batch\n")
        .skip(1)
        .take(2)
        .map(|block| records(block.split("```").next().unwrap()))
        .collect();
    let [alone, table] = rows.as_slice() else { panic!() };
    let (Record::Hour(alone), Record::Hour(first), Record::Hour(second)) = (&alone[0], &table[0], &table[1])
    else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (alone.meter, alone.boundary, &alone.registers, &alone.codes, alone.telegrams, alone.checked),
        (first.meter, first.boundary, &first.registers, &first.codes, first.telegrams, first.checked)
    );
    assert!(second.codes.is_empty());
}

#[test]
fn the_bounds_in_words_are_those_of_the_code() {
    assert_eq!(messages::batch::MAX_PAYLOAD, 1_000_000);
    assert_eq!(messages::batch::MAX_INFLATED, 2 * 1024 * 1024);
    assert_eq!(messages::batch::MAX_RECORDS, 10_000);
    assert_eq!(messages::batch::MAX_EVERY, 1024);
    assert_eq!(messages::batch::MAX_RANGES, 256);
    assert_eq!(messages::config::MAX_CONTACTS, 5);
}

fn batch(json: &str) {
    let records = records(json);
    let again = Body::encode(&records).unwrap();
    let mut second: Vec<Record> = again.decode().unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(second.len(), records.len());
    second.retain(|record| !records.contains(record));
    assert!(second.is_empty(), "{second:?}");
}

fn records(json: &str) -> Vec<Record> {
    let body = Body { content_type: ContentType::Json, bytes: json.as_bytes().to_vec() };
    body.decode().unwrap().into_iter().map(Result::unwrap).collect()
}

/// Written again, an example has the same fields; only empty lists may be left out.
fn document<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(json: &str) {
    let typed: T = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"));
    let written = serde_json::to_value(&typed).unwrap();
    let mut given: Value = serde_json::from_str(json).unwrap();
    given.as_object_mut().unwrap().retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    let fields = given.as_object().unwrap();
    for (name, value) in fields {
        assert_eq!(written.get(name), Some(value), "{name}");
    }
    assert_eq!(serde_json::from_value::<T>(written).unwrap(), typed);
}
