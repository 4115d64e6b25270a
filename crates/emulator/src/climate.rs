//! Temperatures through the year, about as in southern Finland. In hundredths of a degree.

use crate::{
    calendar::{self, DAY, HOUR},
    chance::{Chance, Purpose},
};

/// Monthly means outdoors, January first.
const OUTDOORS: [i64; 12] = [-500, -550, -150, 350, 1_000, 1_450, 1_750, 1_600, 1_100, 550, 100, -300];
/// Monthly means of cold water in the mains.
const WATER: [i64; 12] = [550, 450, 400, 500, 750, 1_050, 1_350, 1_550, 1_450, 1_150, 850, 650];

/// Outdoors: the month's, the day's weather, warmer in the afternoon. The same for everybody.
pub(crate) fn outdoors(at: i64) -> i64 {
    let (day, second) = calendar::day_of(at);
    let weather = Chance::new(0, Purpose::Weather, day).between(-400, 400);
    // A triangle with its peak at 15 o'clock.
    let from_peak = (second - 15 * HOUR).abs().min(DAY - (second - 15 * HOUR).abs());
    seasonal(&OUTDOORS, day) + weather + 300 - 600 * from_peak / (12 * HOUR)
}

/// Cold water where it enters the house of `seed`.
pub(crate) fn water(seed: u64, at: i64) -> i64 {
    let (day, _) = calendar::day_of(at);
    seasonal(&WATER, day) + Chance::new(seed, Purpose::Temperature, at.div_euclid(HOUR)).between(0, 250)
}

/// The room in which a meter sits.
pub(crate) fn ambient(seed: u64, at: i64) -> i64 {
    let room = Chance::new(seed, Purpose::Temperature, -1).between(1_700, 2_100);
    let warmed = (outdoors(at) - 1_500).max(0) / 2;
    room + warmed + Chance::new(seed, Purpose::Temperature, at.div_euclid(HOUR)).between(-80, 80)
}

/// Between the two monthly means around a day, linear.
fn seasonal(means: &[i64; 12], day: i64) -> i64 {
    // The middle of January is the 15th; a year of 365 days drifts by a day in four years, which nobody can see.
    let position = (day - 15).rem_euclid(365) * 12;
    let month = usize::try_from(position / 365).unwrap_or(0);
    let mean = |month: usize| means.get(month % 12).copied().unwrap_or(0);
    let share = position % 365;
    (mean(month) * (365 - share) + mean(month + 1) * share) / 365
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winters_are_cold_and_summers_warm() {
        let noon = |day| calendar::begin_of(day) + 12 * HOUR;
        assert!(outdoors(noon(20)) < 500 && outdoors(noon(195)) > 1_000);
        assert!(water(1, noon(60)) < 800 && water(1, noon(220)) > 1_300);
        assert!((1_500..3_000).contains(&ambient(1, noon(20))));
    }

    #[test]
    fn the_season_has_no_steps() {
        let steps = (0..800).map(|day| (seasonal(&OUTDOORS, day + 1) - seasonal(&OUTDOORS, day)).abs());
        assert!(steps.max().unwrap() <= 25);
    }
}
