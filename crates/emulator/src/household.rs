//! People who use water: seeded, repeatable, and a function of time.
//!
//! What has been used up to a moment depends on the seed and that moment alone. So time may run at any speed, may be
//! asked about in any order, and goes on after a restart where it would have been anyway.
//!
//! A day is a handful of draws: showers and toilets in the morning, kitchen and machines in the evening, later mornings at
//! weekends, quiet nights, now and then a weekend away, two or three weeks of holidays in summer.

use crate::{
    calendar::{self, DAY, HOUR, LAST_DAY},
    chance::{Chance, Purpose},
};

const MINUTE: i64 = 60;

/// One household.
#[derive(Clone, Debug)]
pub struct Household {
    seed: u64,
    people: i64,
    /// When the first gets up on a working day, in seconds of the day.
    rises: i64,
    /// Who is at home on working days.
    at_home: i64,
    /// Millilitres on the meter when each day begins, as far as anybody has asked.
    days: Vec<i64>,
    /// The day asked about last.
    today: (i64, Vec<Draw>),
}

/// Water drawn at an even flow.
#[derive(Clone, Copy, Debug)]
struct Draw {
    /// In the day, in seconds.
    start: i64,
    seconds: i64,
    millilitres: i64,
}

impl Household {
    /// The household of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, Purpose::Character, 0);
        let people = chance.between(1, 5);
        let rises = chance.between(5 * HOUR + 30 * MINUTE, 7 * HOUR + 30 * MINUTE);
        let at_home = chance.below(people.min(3));
        // The meter has counted before: between 5 and 900 m3.
        let before = chance.between(5_000_000, 900_000_000);
        Self { seed, people, rises, at_home, days: vec![before], today: (-1, Vec::new()) }
    }

    /// How many live there.
    pub fn people(&self) -> i64 {
        self.people
    }

    /// Millilitres that the meter would have counted at a UTC second. Never falls.
    pub fn volume_at(&mut self, at: i64) -> i64 {
        let (day, second) = calendar::day_of(at);
        let Some(before) = self.before(day) else { return self.days.first().copied().unwrap_or(0) };
        before + self.draws(day).iter().map(|draw| draw.until(second)).sum::<i64>()
    }

    /// Millilitres an hour at a UTC second.
    pub fn flow_at(&mut self, at: i64) -> i64 {
        let (day, second) = calendar::day_of(at);
        if self.before(day).is_none() {
            return 0;
        }
        flow(self.draws(day), second)
    }

    /// The highest flow of the day that a UTC second lies in, in millilitres an hour.
    pub fn highest_flow(&mut self, at: i64) -> i64 {
        let (day, _) = calendar::day_of(at);
        if self.before(day).is_none() {
            return 0;
        }
        let draws = self.draws(day);
        draws.iter().map(|draw| flow(draws, draw.start)).max().unwrap_or(0)
    }

    /// On the meter when a day begins; `None` before all history and behind its end.
    fn before(&mut self, day: i64) -> Option<i64> {
        let wanted = usize::try_from(day.min(LAST_DAY)).ok()?;
        while self.days.len() <= wanted {
            let next = i64::try_from(self.days.len()).ok()?;
            let used: i64 = self.plan(next - 1).iter().map(|draw| draw.millilitres).sum();
            self.days.push(self.days.last()? + used);
        }
        self.days.get(wanted).copied()
    }

    fn draws(&mut self, day: i64) -> &[Draw] {
        if self.today.0 != day {
            self.today = (day, if day < LAST_DAY { self.plan(day) } else { Vec::new() });
        }
        &self.today.1
    }

    fn plan(&self, day: i64) -> Vec<Draw> {
        if self.away(day) {
            return Vec::new();
        }
        let mut plan = Plan { chance: Chance::new(self.seed, Purpose::Day, day), draws: Vec::new() };
        let weekend = calendar::weekday(day) >= 5;
        let rises = if weekend { self.rises + 2 * HOUR } else { self.rises };
        for person in 0..self.people {
            plan.person(rises, weekend || person < self.at_home);
        }
        plan.kitchen(rises, self.people, weekend);
        plan.machines(self.people, weekend);
        plan.draws
    }

    fn away(&self, day: i64) -> bool {
        let (year, day_of_year) = (day / 365, day % 365);
        let mut holiday = Chance::new(self.seed, Purpose::Holiday, year);
        let (goes, leaves, stays) = (holiday.percent(70), holiday.between(165, 215), holiday.between(7, 21));
        let weekend = calendar::weekday(day) >= 5;
        let week = (day + 2).div_euclid(7);
        goes && (leaves..leaves + stays).contains(&day_of_year)
            || weekend && Chance::new(self.seed, Purpose::Weekend, week).percent(12)
    }
}

impl Draw {
    /// Drawn up to a second of the day.
    fn until(&self, second: i64) -> i64 {
        self.millilitres * (second - self.start).clamp(0, self.seconds) / self.seconds
    }

    fn flow(&self) -> i64 {
        self.millilitres * HOUR / self.seconds
    }
}

fn flow(draws: &[Draw], second: i64) -> i64 {
    let running = draws.iter().filter(|draw| (draw.start..draw.start + draw.seconds).contains(&second));
    running.map(Draw::flow).sum()
}

/// A day being filled.
struct Plan {
    chance: Chance,
    draws: Vec<Draw>,
}

impl Plan {
    fn person(&mut self, rises: i64, at_home: bool) {
        let up = rises + self.chance.below(HOUR);
        self.toilet(up);
        if self.chance.percent(55) {
            self.shower(up + 5 * MINUTE);
        } else if self.chance.percent(60) {
            self.between(19 * HOUR, 22 * HOUR, Self::shower);
        }
        self.between(up, up + HOUR, Self::tap);
        if at_home {
            for _ in 0..self.chance.between(2, 4) {
                self.between(up + 2 * HOUR, 17 * HOUR, Self::toilet);
            }
        }
        for _ in 0..self.chance.between(2, 3) {
            self.between(17 * HOUR, 22 * HOUR + 30 * MINUTE, Self::toilet);
        }
        self.between(22 * HOUR, 23 * HOUR, Self::tap);
        if self.chance.percent(15) {
            self.between(HOUR, 5 * HOUR, Self::toilet);
        }
    }

    fn kitchen(&mut self, rises: i64, people: i64, weekend: bool) {
        for _ in 0..people + 1 {
            self.between(rises, rises + 2 * HOUR, Self::tap);
            self.between(16 * HOUR, 20 * HOUR, Self::tap);
            self.between(18 * HOUR, 23 * HOUR, Self::tap);
            if weekend {
                self.between(11 * HOUR, 16 * HOUR, Self::tap);
            }
        }
    }

    fn machines(&mut self, people: i64, weekend: bool) {
        if self.chance.percent(20 + 15 * people) {
            self.between(18 * HOUR, 21 * HOUR, |plan, at| {
                // A dishwasher fills four times.
                for filling in 0..4 {
                    plan.draw(at + filling * 20 * MINUTE, 3_500, 50);
                }
            });
        }
        if self.chance.percent(if weekend { 40 } else { 10 } + 6 * people) {
            self.between(10 * HOUR, 20 * HOUR, |plan, at| {
                for filling in 0..3 {
                    plan.draw(at + filling * 25 * MINUTE, 15_000, 110);
                }
            });
        }
    }

    fn between(&mut self, from: i64, to: i64, what: impl Fn(&mut Self, i64)) {
        let at = from + self.chance.below(to - from);
        what(self, at);
    }

    fn toilet(&mut self, at: i64) {
        let millilitres = if self.chance.percent(40) { 6_000 } else { 3_500 };
        self.draw(at, millilitres, 60);
        self.draw(at + 40, 1_500, 18);
    }

    fn shower(&mut self, at: i64) {
        let minutes = self.chance.between(3, 9);
        let per_minute = self.chance.between(8_000, 11_000);
        self.draw(at, minutes * per_minute, minutes * MINUTE);
    }

    fn tap(&mut self, at: i64) {
        let seconds = self.chance.between(8, 60);
        let per_minute = self.chance.between(3_000, 8_000);
        self.draw(at, per_minute * seconds / MINUTE, seconds);
    }

    /// Ends within the day, so that each day stands alone.
    fn draw(&mut self, at: i64, millilitres: i64, seconds: i64) {
        let start = at.clamp(0, DAY - seconds);
        self.draws.push(Draw { start, seconds, millilitres });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(household: &mut Household, from: i64, to: i64) -> i64 {
        household.volume_at(to) - household.volume_at(from)
    }

    /// The same hours of all days of a season without holidays, in millilitres an hour.
    fn mean(household: &mut Household, from: i64, to: i64) -> i64 {
        let days = 290..350;
        let sum: i64 = days
            .clone()
            .map(|day| {
                let begin = calendar::begin_of(day);
                used(household, begin + from * HOUR, begin + to * HOUR)
            })
            .sum();
        sum / i64::try_from(days.count()).unwrap() / (to - from)
    }

    #[test]
    fn volumes_never_fall_and_days_join_without_a_gap() {
        let mut household = Household::new(1);
        let from = calendar::begin_of(300);
        let volumes: Vec<_> =
            (0..2 * DAY).step_by(61).map(|second| household.volume_at(from + second)).collect();
        assert!(volumes.is_sorted());
        for day in 301..320 {
            let midnight = calendar::begin_of(day);
            assert_eq!(household.volume_at(midnight - 1), household.volume_at(midnight));
        }
    }

    #[test]
    fn the_volume_of_a_moment_does_not_depend_on_what_was_asked_before() {
        let mut asked = Household::new(5);
        let at = calendar::begin_of(200) + 8 * HOUR;
        let before = asked.volume_at(at);
        asked.volume_at(at + 90 * DAY);
        assert_eq!(asked.volume_at(at), before);
        assert_eq!(Household::new(5).volume_at(at), before);
        assert_ne!(Household::new(6).volume_at(at), before);
    }

    #[test]
    fn nights_are_quiet_mornings_and_evenings_are_not() {
        for seed in 0..8 {
            let mut household = Household::new(seed);
            let [night, morning, noon, evening] =
                [(0, 5), (6, 10), (10, 16), (17, 23)].map(|(from, to)| mean(&mut household, from, to));
            assert!(night < 1_500, "{seed}: {night} ml/h at night");
            assert!(morning > 3 * night && evening > 3 * night, "{seed}: {night} {morning} {evening}");
            assert!(evening > noon / 2, "{seed}: {noon} {evening}");
        }
    }

    #[test]
    fn a_person_uses_what_people_use() {
        for seed in 0..8 {
            let mut household = Household::new(seed);
            let litres = mean(&mut household, 0, 24) * 24 / 1_000 / household.people();
            assert!((60..220).contains(&litres), "{seed}: {litres} l a day");
        }
    }

    #[test]
    fn holidays_are_days_without_water() {
        let mut household = (0..).map(Household::new).find(|household| household.away(200)).unwrap();
        let begin = calendar::begin_of(200);
        assert_eq!(used(&mut household, begin, begin + DAY), 0);
        assert_eq!(household.highest_flow(begin), 0);
    }

    #[test]
    fn flow_is_how_fast_the_volume_rises() {
        let mut household = Household::new(3);
        let from = calendar::begin_of(300);
        for at in (from..from + DAY).step_by(97) {
            let litres = used(&mut household, at, at + 1) * HOUR;
            assert!((household.flow_at(at) - litres).abs() <= 3 * HOUR, "rounding at most");
            assert!(household.flow_at(at) <= household.highest_flow(at));
        }
    }

    #[test]
    fn before_all_history_and_behind_it_nothing_is_used() {
        let mut household = Household::new(3);
        assert_eq!(used(&mut household, 0, calendar::BEGIN), 0);
        let end = calendar::begin_of(LAST_DAY);
        assert_eq!(used(&mut household, end, end + DAY), 0);
        assert_eq!(household.flow_at(0), 0);
    }
}
