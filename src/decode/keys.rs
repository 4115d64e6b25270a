//! Keys for `decode`: one for everything, or a list by meter.

use wmbus::{Key, Meter};

use crate::keyring::{CsvProblem, KeyTable, Keyring};

/// Where `decode` finds keys.
#[derive(Debug, Default)]
pub struct Keys {
    any: Option<Key>,
    ring: Keyring,
}

impl Keys {
    /// One key for every meter.
    #[must_use]
    pub fn one(key: Key) -> Self {
        Self { any: Some(key), ring: Keyring::new() }
    }

    /// The keys of a table, and what is wrong with its other rows.
    #[must_use]
    pub fn of(table: &KeyTable) -> (Self, Vec<CsvProblem>) {
        let (mut ring, mut problems) = (Keyring::new(), Vec::new());
        for row in table.rows() {
            match row {
                // A table is bounded in bytes far below what a keyring takes.
                Ok((selector, key)) => drop(ring.insert(selector, key)),
                Err(problem) => problems.push(problem),
            }
        }
        (Self { any: None, ring }, problems)
    }

    /// The key for a telegram: that of the meter it tells of, else that of the radio adapter that sent it.
    #[must_use]
    pub fn get(&self, meter: Meter, sender: Meter) -> Option<&Key> {
        [meter, sender].into_iter().find_map(|meter| self.ring.get(meter)).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(serial: &str) -> Meter {
        format!("KAM.{serial}.1B.16").parse().unwrap()
    }

    #[test]
    fn a_table_gives_keys_by_meter_and_by_radio_adapter() {
        let csv = b"id,key\n1234,00\n76348799,28F64A24988064A079AA2C807D6102AE\n".to_vec();
        let (keys, problems) = Keys::of(&KeyTable::from_bytes(csv.into()));
        assert_eq!(problems.len(), 1, "one bad line hides no other");
        assert!(keys.get(meter("76348799"), meter("00000000")).is_some());
        assert!(keys.get(meter("00000000"), meter("76348799")).is_some());
        assert!(keys.get(meter("76348798"), meter("00000000")).is_none());
    }
}
