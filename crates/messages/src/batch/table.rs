//! Many hour rows written by column, `{"type":"hours","rows":2,"every":{..},"each":{..}}`: half as long as rows one by
//! one, and still a sixth shorter once deflated.
//!
//! `every` holds the fields that are the same in all rows, `each` a list per field with one entry per row, `null` where
//! a row has none. Row `i` is the object of `every` and of the `i`-th entries, exactly as an `hour` record has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::record::{BadRecord, Kind, Record};
use crate::reading::HourRow;

/// The `type` of a table.
pub(super) const TABLE: &str = "hours";

/// `every` may have at most this many bytes of JSON: it is copied for each row.
pub const MAX_EVERY: usize = 1024;

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    rows: usize,
    every: Map<String, Value>,
    each: &'a BTreeMap<String, Vec<Value>>,
}

/// Writes rows as a table; best sorted by meter.
pub(super) fn write(rows: &[&HourRow]) -> Result<Box<RawValue>, serde_json::Error> {
    let mut each: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let Value::Object(fields) = serde_json::to_value(row)? else { continue };
        for (name, value) in fields {
            let column = each.entry(name).or_default();
            column.resize(index, Value::Null);
            column.push(value);
        }
    }
    let mut every = Map::new();
    each.retain(|name, column| {
        column.resize(rows.len(), Value::Null);
        let same = column.first().filter(|first| column.iter().all(|value| value == *first));
        if let Some(value) = same {
            every.insert(name.clone(), value.clone());
        }
        !every.contains_key(name)
    });
    if serde_json::to_vec(&every)?.len() > MAX_EVERY {
        for (name, value) in std::mem::take(&mut every) {
            each.insert(name, vec![value; rows.len()]);
        }
    }
    serde_json::value::to_raw_value(&Written { kind: TABLE, rows: rows.len(), every, each: &each })
}

#[derive(Deserialize)]
struct Read<'a> {
    rows: usize,
    #[serde(borrow, default)]
    every: Option<&'a RawValue>,
    #[serde(default)]
    each: BTreeMap<String, Vec<Value>>,
}

/// Reads a table of at most `most` rows; a row that cannot be read is bad by itself.
///
/// Fails as a whole if the table has no shape: columns of other lengths than `rows`, too many rows, a big `every`.
pub(super) fn read(raw: &RawValue, most: usize) -> Result<Vec<Result<Record, BadRecord>>, BadRecord> {
    let bad = |reason: String| BadRecord { json: raw.get().to_owned(), reason };
    let table: Read<'_> = serde_json::from_str(raw.get()).map_err(|error| bad(error.to_string()))?;
    if table.rows > most {
        return Err(bad(format!("a table of {} rows where at most {most} fit", table.rows)));
    }
    if let Some((name, column)) = table.each.iter().find(|(_, column)| column.len() != table.rows) {
        return Err(bad(format!("column `{name:.40}` has {} entries for {} rows", column.len(), table.rows)));
    }
    let every = table.every.map_or("{}", RawValue::get);
    if every.len() > MAX_EVERY {
        return Err(bad(format!("`every` is longer than {MAX_EVERY} bytes")));
    }
    let every: Map<String, Value> = serde_json::from_str(every).map_err(|error| bad(error.to_string()))?;
    let mut columns: Vec<_> =
        table.each.into_iter().map(|(name, column)| (name, column.into_iter())).collect();
    let mut rows = Vec::with_capacity(table.rows);
    for _ in 0..table.rows {
        let mut fields = every.clone();
        for (name, column) in &mut columns {
            if let Some(value) = column.next().filter(|value| !value.is_null()) {
                fields.insert(name.clone(), value);
            }
        }
        rows.push(row(fields));
    }
    Ok(rows)
}

fn row(mut fields: Map<String, Value>) -> Result<Record, BadRecord> {
    fields.remove("type");
    let mut fields = Value::Object(fields);
    Kind::Hour.read(&fields).map_err(|error| {
        if let Value::Object(alone) = &mut fields {
            alone.insert("type".to_owned(), Kind::Hour.as_str().into());
        }
        BadRecord { json: fields.to_string(), reason: error.to_string() }
    })
}
