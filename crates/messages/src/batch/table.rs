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
struct Written {
    #[serde(rename = "type")]
    kind: &'static str,
    rows: usize,
    every: BTreeMap<String, Box<RawValue>>,
    each: BTreeMap<String, Box<RawValue>>,
}

/// Writes rows as a table; best sorted by meter. Holds little more than the text that it makes.
pub(super) fn write(rows: &[&HourRow]) -> Result<Box<RawValue>, serde_json::Error> {
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let Value::Object(fields) = serde_json::to_value(row)? else { continue };
        for (name, value) in fields {
            columns.entry(name).or_default().push(index, &value.to_string());
        }
    }
    let (mut every, mut each) = (BTreeMap::new(), BTreeMap::new());
    let mut room = MAX_EVERY - "{}".len();
    for (name, mut column) in columns {
        column.fill(rows.len());
        let length = column.first.len() + serde_json::to_string(&name)?.len() + ":,".len();
        if column.same && length <= room {
            room -= length;
            every.insert(name, RawValue::from_string(column.first)?);
        } else {
            each.insert(name, RawValue::from_string(format!("[{}]", column.list))?);
        }
    }
    serde_json::value::to_raw_value(&Written { kind: TABLE, rows: rows.len(), every, each })
}

/// A column as it is written.
#[derive(Default)]
struct Column {
    /// Entries with commas between them.
    list: String,
    entries: usize,
    first: String,
    /// Whether all entries are like the first.
    same: bool,
}

impl Column {
    fn push(&mut self, index: usize, json: &str) {
        self.fill(index);
        self.put(json);
    }

    /// Rows up to `entries` that had no such field.
    fn fill(&mut self, entries: usize) {
        while self.entries < entries {
            self.put("null");
        }
    }

    fn put(&mut self, json: &str) {
        if self.entries == 0 {
            json.clone_into(&mut self.first);
            self.same = true;
        } else {
            self.list.push(',');
            self.same &= self.first == json;
        }
        self.list.push_str(json);
        self.entries += 1;
    }
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
