//! A building on district heating: seeded, repeatable, and a function of time, as a [household](crate::household) is.
//!
//! The colder it is outdoors, the more heat it takes and the hotter the flow; hot water for showers comes on top. Volume
//! follows from heat and temperatures, and the products with the temperatures from the volume, so that E1 is about
//! 1.16 (E8 - E9), as it must be for water.

use std::ops::AddAssign;

use crate::{
    calendar::{self, HOUR, LAST_DAY},
    chance::{Chance, Purpose},
    climate,
};

/// One building.
#[derive(Clone, Debug)]
pub struct Heating {
    seed: u64,
    /// Watts for each degree that it is too cold outdoors.
    watts_per_degree: i64,
    /// Watts while somebody showers.
    hot_water: i64,
    /// Counted when each day begins, as far as anybody has asked.
    days: Vec<Counted>,
}

/// What a heat meter has counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    /// Heat in watt-hours.
    pub watt_hours: i64,
    /// Volume in millilitres.
    pub millilitres: i64,
    /// Millilitres times hundredths of a degree of the flow.
    pub times_flow: i64,
    /// Millilitres times hundredths of a degree of the return.
    pub times_return: i64,
}

/// What a heat meter measures, the same for a whole hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Load {
    /// Power in watts.
    pub watts: i64,
    /// Millilitres an hour.
    pub flow: i64,
    /// Flow temperature in hundredths of a degree.
    pub t1: i64,
    /// Return temperature in hundredths of a degree.
    pub t2: i64,
}

impl Heating {
    /// The building of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, Purpose::Character, 0);
        let watts_per_degree = chance.between(90, 250);
        let hot_water = chance.between(800, 2_500);
        let millilitres = chance.between(100_000_000, 2_000_000_000);
        // The years before, at 70 and 38 degrees.
        let before = Counted {
            watt_hours: millilitres / 1_000 * 1_163 / 1_000 * 32,
            millilitres,
            times_flow: millilitres * 7_000,
            times_return: millilitres * 3_800,
        };
        Self { seed, watts_per_degree, hot_water, days: vec![before] }
    }

    /// What has been counted at a UTC second. Never falls.
    pub fn counted_at(&mut self, at: i64) -> Counted {
        let (day, second) = calendar::day_of(at);
        let Ok(wanted) = usize::try_from(day.min(LAST_DAY)) else {
            return self.days.first().copied().unwrap_or_default();
        };
        while self.days.len() <= wanted {
            let Ok(next) = i64::try_from(self.days.len()) else { break };
            let mut counted = self.days.last().copied().unwrap_or_default();
            for hour in 0..24 {
                counted += self.load(calendar::begin_of(next - 1) + hour * HOUR).during(HOUR);
            }
            self.days.push(counted);
        }
        let mut counted = self.days.get(wanted).copied().unwrap_or_default();
        if day < LAST_DAY {
            for hour in 0..=second / HOUR {
                let seconds = (second - hour * HOUR).min(HOUR);
                counted += self.load(calendar::begin_of(day) + hour * HOUR).during(seconds);
            }
        }
        counted
    }

    /// What is measured at a UTC second.
    pub fn load(&self, at: i64) -> Load {
        let at = at.div_euclid(HOUR) * HOUR;
        let (day, second) = calendar::day_of(at);
        let outdoors = climate::outdoors(at);
        let heat = (self.watts_per_degree * (1_700 - outdoors)).max(0) / 100;
        let showers = match second / HOUR {
            6..9 | 18..22 => self.hot_water,
            _ => 60,
        };
        let watts = if (0..LAST_DAY).contains(&day) { heat + showers } else { 0 };
        let t1 = (7_500 - outdoors).clamp(6_500, 11_000);
        let t2 = 3_500 + Chance::new(self.seed, Purpose::Temperature, at / HOUR).below(900);
        // 1.163 Wh warm a litre by a degree.
        let flow = watts * 100_000_000 / (1_163 * (t1 - t2));
        Load { watts, flow, t1, t2 }
    }
}

impl Load {
    fn during(self, seconds: i64) -> Counted {
        let millilitres = self.flow * seconds / HOUR;
        Counted {
            watt_hours: self.watts * seconds / HOUR,
            millilitres,
            times_flow: millilitres * self.t1,
            times_return: millilitres * self.t2,
        }
    }
}

impl AddAssign for Counted {
    fn add_assign(&mut self, more: Self) {
        self.watt_hours += more.watt_hours;
        self.millilitres += more.millilitres;
        self.times_flow += more.times_flow;
        self.times_return += more.times_return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DAY;

    #[test]
    fn a_building_takes_more_heat_in_winter() {
        let mut heating = Heating::new(1);
        let mut used = |day| {
            let begin = calendar::begin_of(day);
            heating.counted_at(begin + 7 * DAY).watt_hours - heating.counted_at(begin).watt_hours
        };
        let (winter, summer) = (used(20), used(195));
        assert!(winter > 4 * summer && summer > 0, "{winter} {summer}");
    }

    #[test]
    fn nothing_counted_ever_falls_and_asking_changes_nothing() {
        let mut heating = Heating::new(2);
        let from = calendar::begin_of(300);
        let counted: Vec<_> = (0..2 * DAY).step_by(601).map(|s| heating.counted_at(from + s)).collect();
        for all in [|c: &Counted| c.watt_hours, |c: &Counted| c.millilitres, |c: &Counted| c.times_return] {
            assert!(counted.iter().map(all).is_sorted());
        }
        let midnight = from + DAY;
        assert_eq!(heating.counted_at(midnight), Heating::new(2).counted_at(midnight));
    }

    #[test]
    fn heat_fits_volume_and_temperatures() {
        let mut heating = Heating::new(3);
        let counted = heating.counted_at(calendar::begin_of(400));
        let estimate = (counted.times_flow - counted.times_return) / 100_000 * 1_163 / 1_000;
        assert!((estimate - counted.watt_hours).abs() < counted.watt_hours / 20, "{estimate} {counted:?}");
    }
}
