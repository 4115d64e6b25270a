//! Key schedules of the meters heard lately: made once for each meter, not for each telegram, and not for all keys.

use std::collections::HashMap;

use wmbus::{Cipher, Meter};

use crate::keyring::Keyring;

/// A schedule has up to 720 bytes, so these are well below a megabyte.
const MOST: usize = 1024;

/// Key schedules, the most recently used ones. Each is wiped when it is dropped.
#[derive(Debug, Default)]
pub struct Ciphers {
    ready: HashMap<Meter, (u64, Box<Cipher>)>,
    uses: u64,
}

impl Ciphers {
    /// The meter's cipher, if the keyring has its key.
    pub fn get(&mut self, meter: Meter, keys: &Keyring) -> Option<&Cipher> {
        self.uses = self.uses.saturating_add(1);
        if !self.ready.contains_key(&meter) {
            let cipher = Box::new(Cipher::new(keys.get(meter)?.clone()));
            self.make_room();
            self.ready.insert(meter, (self.uses, cipher));
        }
        let (used, cipher) = self.ready.get_mut(&meter)?;
        *used = self.uses;
        Some(cipher)
    }

    /// Keys have changed.
    pub fn forget(&mut self) {
        self.ready.clear();
    }

    /// Drops the half that was not used for longest, so that the work is rare.
    fn make_room(&mut self) {
        if self.ready.len() < MOST {
            return;
        }
        let mut used: Vec<u64> = self.ready.values().map(|(used, _)| *used).collect();
        let (_, median, _) = used.select_nth_unstable(MOST / 2);
        let median = *median;
        self.ready.retain(|_, (used, _)| *used > median);
    }
}

#[cfg(test)]
mod tests {
    use wmbus::Key;

    use super::*;
    use crate::keyring::Selector;

    #[test]
    fn memory_is_bounded_and_the_meters_heard_last_stay() {
        let mut keys = Keyring::new();
        let meter = |n: u16| {
            let [low, high] = n.to_le_bytes();
            Meter::from_link([0x2D, 0x2C, low, high, 0, 0, 0x1B, 0x16])
        };
        for n in 0..3000 {
            keys.insert(Selector::Full(meter(n)), Key::new([7; 16])).unwrap();
        }
        let mut ciphers = Ciphers::default();
        for n in 0..3000 {
            assert!(ciphers.get(meter(n), &keys).is_some());
            assert!(ciphers.ready.len() <= MOST);
        }
        assert!(ciphers.ready.contains_key(&meter(2999)));
        assert!(ciphers.get(meter(5000), &keys).is_none(), "no key");
    }

    #[test]
    fn a_changed_key_is_used_once_told() {
        let mut keys = Keyring::new();
        let meter: Meter = "KAM.76348799.1B.16".parse().unwrap();
        keys.insert(Selector::Full(meter), Key::new([1; 16])).unwrap();
        let mut ciphers = Ciphers::default();
        ciphers.get(meter, &keys).unwrap();
        keys.insert(Selector::Full(meter), Key::new([2; 16])).unwrap();
        ciphers.forget();
        assert_eq!(ciphers.get(meter, &keys).unwrap().key(), &Key::new([2; 16]));
    }
}
