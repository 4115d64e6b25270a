//! What goes wrong at a meter, on request, and how the meter tells it.

use crate::calendar::{DAY, HOUR};

/// A kind of trouble, in the order of the bits of Kamstrup's info codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The pipe is empty: nothing is counted.
    Dry,
    /// Water flows backwards.
    Reverse,
    /// Water runs without a pause.
    Leak,
    /// A pipe has burst.
    Burst,
}

/// All of them.
pub const TROUBLES: [Trouble; 4] = [Trouble::Dry, Trouble::Reverse, Trouble::Leak, Trouble::Burst];

/// Trouble for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// What.
    pub trouble: Trouble,
    /// From this UTC second on.
    pub from: i64,
    /// Up to this one, exclusive; `i64::MAX` for ever.
    pub to: i64,
    /// How much flows besides what people use (or backwards), in millilitres an hour.
    pub flow: i64,
    /// Whether the meter tells it from the first to the last second, not only when it would in reality.
    pub told_at_once: bool,
}

impl Event {
    /// Trouble of the usual size, told when a real meter would tell it.
    pub fn new(trouble: Trouble, from: i64, to: i64) -> Self {
        let flow = match trouble {
            Trouble::Dry => 0,
            Trouble::Reverse => 60_000,
            Trouble::Leak => 12_000,
            Trouble::Burst => 1_500_000,
        };
        Self { trouble, from, to, flow, told_at_once: false }
    }

    /// The same with another flow, in millilitres an hour.
    #[must_use]
    pub fn with_flow(self, flow: i64) -> Self {
        Self { flow, ..self }
    }

    /// The same, told from the first second on.
    #[must_use]
    pub fn told_at_once(self) -> Self {
        Self { told_at_once: true, ..self }
    }

    /// Whether it goes on at a UTC second.
    pub(crate) fn lasts(&self, at: i64) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// Millilitres that it has added to the register up to a UTC second.
    pub(crate) fn added(&self, at: i64) -> i64 {
        let seconds = at.clamp(self.from, self.to.max(self.from)) - self.from;
        self.signed_flow() * seconds / HOUR
    }

    /// Millilitres an hour while it lasts, negative if backwards.
    pub(crate) fn signed_flow(&self) -> i64 {
        if self.trouble == Trouble::Reverse { -self.flow } else { self.flow }
    }

    /// From when to when the meter tells it.
    ///
    /// A leak is told after a day without an hour of rest and forgotten after such an hour; a burst after half an hour.
    fn told(&self) -> (i64, i64) {
        let (after, longer) = match self.trouble {
            _ if self.told_at_once => (0, 0),
            Trouble::Leak => (DAY, HOUR),
            Trouble::Burst => (HOUR / 2, 0),
            Trouble::Dry | Trouble::Reverse => (0, 0),
        };
        let from = self.from.saturating_add(after);
        (from, if from < self.to { self.to.saturating_add(longer) } else { from })
    }
}

/// Whether a meter with these events tells a trouble at a UTC second.
pub(crate) fn is_told<'a>(events: impl Iterator<Item = &'a Event>, trouble: Trouble, at: i64) -> bool {
    of(events, trouble).any(|(from, to)| (from..to).contains(&at))
}

/// The class of the hours in which a meter with these events has told a trouble within thirty days: 0 never, 1 up to 8
/// hours, 2 a day, 3 three days, 4 a week, 5 two weeks, 6 three weeks, 7 longer.
pub(crate) fn duration_class<'a>(events: impl Iterator<Item = &'a Event>, trouble: Trouble, at: i64) -> u32 {
    let seconds: i64 =
        of(events, trouble).map(|(from, to)| (to.min(at) - from.max(at - 30 * DAY)).max(0)).sum();
    // Hours begun; thirty days at most, also of events that overlap.
    match (seconds + HOUR - 1) / HOUR {
        ..=0 => 0,
        1..=8 => 1,
        9..=24 => 2,
        25..=72 => 3,
        73..=168 => 4,
        169..=336 => 5,
        337..=504 => 6,
        _ => 7,
    }
}

fn of<'a>(events: impl Iterator<Item = &'a Event>, trouble: Trouble) -> impl Iterator<Item = (i64, i64)> {
    events.filter(move |event| event.trouble == trouble).map(Event::told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_told_after_a_day_unless_at_once() {
        let leak = Event::new(Trouble::Leak, 1_000, 1_000 + 3 * DAY);
        let told = |leak: Event, at| is_told([leak].iter(), Trouble::Leak, at);
        assert!(!told(leak, 1_000 + DAY - 1) && told(leak, 1_000 + DAY));
        assert!(told(leak, 1_000 + 3 * DAY + HOUR - 1) && !told(leak, 1_000 + 3 * DAY + HOUR));
        assert!(told(leak.told_at_once(), 1_000) && !told(leak.told_at_once(), 1_000 + 3 * DAY));
        let short = Event::new(Trouble::Leak, 1_000, 1_000 + DAY);
        assert!((0..3 * DAY).step_by(600).all(|at| !told(short, at)), "a leak of less than a day is none");
    }

    #[test]
    fn duration_classes_count_the_hours_of_thirty_days() {
        let dry = Event::new(Trouble::Dry, 0, 25 * DAY);
        let class = |at| duration_class([dry].iter(), Trouble::Dry, at);
        let hours = [0, 1, 8, 9, 24, 25, 72, 73, 168, 169, 336, 337, 504, 505].map(|hour| class(hour * HOUR));
        assert_eq!(hours, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]);
        assert_eq!(class(54 * DAY), 2, "of 25 days one is left");
        assert_eq!(class(55 * DAY), 0);
        assert_eq!(duration_class([dry].iter(), Trouble::Leak, DAY), 0);
    }

    #[test]
    fn what_flows_is_counted_backwards_only_in_reverse() {
        let leak = Event::new(Trouble::Leak, 0, 10 * HOUR).with_flow(1_000);
        assert_eq!([-5, HOUR, 20 * HOUR].map(|at| leak.added(at)), [0, 1_000, 10_000]);
        assert_eq!(Event::new(Trouble::Reverse, 0, i64::MAX).added(2 * HOUR), -120_000);
    }
}
