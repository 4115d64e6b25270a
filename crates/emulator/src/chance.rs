//! Numbers that look random and are the same for the same seed, on every machine.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A sequence of numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// The sequence of a seed for one purpose: sequences of different purposes have nothing to do with each other, and
    /// each can be had without those before it.
    pub(crate) fn new(seed: u64, purpose: Purpose, number: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ ((purpose as u64) << 56));
        rng.set_stream(number.cast_unsigned());
        Self(rng)
    }

    /// From 0 up to `end`, exclusive; 0 if there is none.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        // The high half of a product: no worse than 1 in 2^32 from even, without a division.
        let product = u64::from(self.0.next_u32()) * u64::from(u32::try_from(end).unwrap_or(0));
        i64::try_from(product >> 32).unwrap_or(0)
    }

    /// From `low` to `high`, both inclusive.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, times: i64) -> bool {
        self.below(100) < times
    }

    /// Sixty-four bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Sixteen bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

/// What a sequence is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// What a household or building is like; number 0.
    Character = 1,
    /// A day's draws; by day.
    Day,
    /// Summer holidays; by year.
    Holiday,
    /// Weekends away; by week.
    Weekend,
    /// The weather, the same for all; by day.
    Weather,
    /// Temperatures at a meter; by hour.
    Temperature,
    /// A meter's key; number 0.
    Key,
    /// How well a meter is heard; by telegram.
    Radio,
    /// A town's meters; by meter.
    Resident,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_another_purpose_others() {
        let numbers = |purpose, number| {
            let mut chance = Chance::new(7, purpose, number);
            [(); 4].map(|()| chance.below(1000))
        };
        assert_eq!(numbers(Purpose::Day, 3), numbers(Purpose::Day, 3));
        assert_ne!(numbers(Purpose::Day, 3), numbers(Purpose::Day, 4));
        assert_ne!(numbers(Purpose::Day, 3), numbers(Purpose::Radio, 3));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut chance = Chance::new(1, Purpose::Day, 0);
        let drawn: Vec<_> = (0..1000).map(|_| chance.between(-2, 3)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&3)));
        assert_eq!(chance.below(0), 0);
    }
}
