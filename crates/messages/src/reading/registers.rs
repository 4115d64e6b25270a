//! How registers are read: as what they are written as, a map, and a small one. The map's own type would take a list of
//! pairs, too, and any number of them.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};

use super::{Register, Registers, Role};

/// More registers than any meter has, those of later versions included.
const MOST: usize = 64;

pub(super) fn map<'de, D: Deserializer<'de>>(from: D) -> Result<Registers, D::Error> {
    from.deserialize_map(Map)
}

struct Map;

impl<'de> Visitor<'de> for Map {
    type Value = Registers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MOST} registers by role")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Registers, A::Error> {
        let mut read: Vec<(Role, Register)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            if read.len() == MOST {
                return Err(A::Error::invalid_length(MOST.saturating_add(1), &self));
            }
            read.push(entry);
        }
        Ok(read.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reading::HourRow;

    fn row(registers: &Value) -> Result<HourRow, serde_json::Error> {
        serde_json::from_value(json!({
            "meter": "KAM.76348799.1B.16", "boundary": "2026-11-24T01:00:00Z", "checked": "checksum",
            "registers": registers,
        }))
    }

    #[test]
    fn a_list_of_pairs_is_no_map_of_registers() {
        assert!(row(&json!({ "volume": ["5.120 m3", 0] })).is_ok());
        assert!(row(&json!([["volume", ["5.120 m3", 0]]])).is_err());
    }

    #[test]
    fn more_registers_than_any_meter_has_are_refused() {
        let many = |count: usize| {
            let entries = (0..count).rev().map(|at| (format!("role_{at:03}"), json!(["1 m3", 0])));
            row(&Value::Object(entries.collect()))
        };
        assert_eq!(many(MOST).unwrap().registers.len(), MOST);
        assert!(many(MOST + 1).unwrap_err().to_string().contains("at most 64 registers"));
    }
}
