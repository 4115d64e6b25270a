//! Hour keeping: one row for each meter and full hour, written once.
//!
//! The row of boundary T carries the register nearest to T, among those heard from an hour before T to two minutes
//! after it, with its own time, and of the hour before T what was lowest, highest, and active. It is given out two
//! minutes after T and never changed; what two rows of one key say is joined by whoever reads them.

use std::collections::BTreeMap;

use messages::reading::{Code, Extremes, HourRow, Minutes, Register, Registers};
use messages::{Hour, MeterId, Time};

pub mod facts;

use facts::Facts;

/// How long after the boundary a register may still be the nearest, and the row is open.
const GRACE: i64 = 120;
const HOUR: i64 = 3600;
/// A row of the last boundary is still made from a first reading heard within so many seconds of it.
const LATEST_FIRST: i64 = 58 * 60;

/// Keeps one meter's hours. Times are UTC seconds of a clock that is trusted.
#[derive(Debug)]
pub struct HourKeeper {
    meter: MeterId,
    /// The last boundary that has a row in the store, of whichever run.
    stored: Option<i64>,
    /// The last boundary that has a row of this run.
    written: Option<i64>,
    /// The hour whose boundary has passed less than [`GRACE`] ago.
    closing: Option<Box<Open>>,
    /// The running hour.
    running: Option<Box<Open>>,
}

/// A reading, and how it was heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What it says.
    pub facts: &'a Facts,
    /// When, UTC seconds.
    pub at: i64,
    /// How strong, in dBm.
    pub rssi: Option<i16>,
    /// Its neighbours do not agree with it: only its registers count, and only where there are no others.
    pub disputed: bool,
}

/// A row being filled.
#[derive(Debug)]
struct Open {
    boundary: i64,
    /// When the first and the last reading were heard that it holds anything of.
    heard: Option<(i64, i64)>,
    row: HourRow,
    minutes: BTreeMap<Code, u64>,
    /// Registers of disputed telegrams, for roles that no other has told.
    disputed: Registers,
}

impl HourKeeper {
    /// For a meter; `written` is the boundary of its last row in the store.
    #[must_use]
    pub fn new(meter: MeterId, written: Option<Time>) -> Self {
        Self { meter, stored: written.map(Time::unix), written: None, closing: None, running: None }
    }

    /// The boundary of the last row, of whichever run.
    #[must_use]
    pub fn written(&self) -> Option<Time> {
        self.stored.max(self.written).and_then(Time::from_unix)
    }

    /// The store holds a row of this boundary.
    pub fn recall(&mut self, boundary: Time) {
        self.stored = self.stored.max(Some(boundary.unix()));
    }

    /// Takes a believed reading heard at `at`. Gives a row if this is the first reading of a run that found no row of
    /// the last boundary.
    pub fn hear(&mut self, facts: &Facts, at: Time, rssi: Option<i16>) -> Option<HourRow> {
        self.take(&Heard { facts, at: at.unix(), rssi, disputed: false })
    }

    /// Takes a reading that its neighbours do not agree with: only its registers count, and only where there are no
    /// others.
    pub fn hear_disputed(&mut self, facts: &Facts, at: Time) {
        self.take(&Heard { facts, at: at.unix(), rssi: None, disputed: true });
    }

    /// A reading that still waits for others to confirm it, when the rows due at `now` are about to be written: it
    /// counts for those rows only, and is taken again once it is believed.
    pub fn anticipate(&mut self, now: Time, heard: &Heard<'_>) -> Option<HourRow> {
        let last = heard.at.div_euclid(HOUR) * HOUR;
        let is_due = |boundary: i64| boundary + GRACE <= now.unix();
        if is_due(last + HOUR) {
            return self.take(heard);
        }
        if is_due(last) && heard.at < last + GRACE {
            let open = [&mut self.closing, &mut self.running].into_iter().flatten();
            if let Some(open) = open.into_iter().find(|open| open.boundary == last) {
                open.registers(heard);
            }
        }
        None
    }

    /// Erases open rows that hold anything heard within the span, `to` exclusive; what is heard from now on begins them
    /// anew. A row whose boundary has passed is not made again.
    pub fn erase(&mut self, from: Time, to: Time) {
        let (from, to) = (from.unix(), to.unix());
        let meets = |open: &mut Box<Open>| {
            open.heard.is_some_and(|(first, last)| first < to && last >= from)
                || (from..to).contains(&open.boundary)
        };
        if let Some(closing) = self.closing.take_if(meets) {
            self.stored = self.stored.max(Some(closing.boundary));
        }
        if let Some(running) = self.running.take_if(meets) {
            // The last boundary has its row, or never will.
            self.stored = self.stored.max(Some(running.boundary - HOUR));
        }
    }

    fn take(&mut self, heard: &Heard<'_>) -> Option<HourRow> {
        let at = heard.at;
        let last = at.div_euclid(HOUR) * HOUR;
        if self.written.is_some_and(|written| written > last) {
            // Believed too late: the row of its hour is written.
            return None;
        }
        if self.running.as_ref().is_some_and(|open| open.boundary > last + HOUR) {
            // Believed late, while that row is still open.
            if let Some(closing) = self.closing.as_mut().filter(|open| open.boundary == last + HOUR) {
                closing.hear(heard);
            }
            return None;
        }
        if self.running.as_ref().is_some_and(|open| open.boundary <= last) {
            self.closing = self.running.take();
        }
        if let Some(closing) = self.closing.as_mut().filter(|open| at < open.boundary + GRACE) {
            closing.registers(heard);
        }
        let first = self.first_row(heard, last);
        let meter = self.meter;
        let running = self.running.get_or_insert_with(|| Open::new(meter, last + HOUR, heard.facts));
        running.hear(heard);
        first
    }

    /// Rows whose time has come: two if the clock was put forward by more than an hour.
    pub fn due(&mut self, now: Time) -> impl Iterator<Item = HourRow> + use<> {
        let now = now.unix();
        let is_due = |open: &mut Box<Open>| open.boundary + GRACE <= now;
        let due = [self.closing.take_if(is_due), self.running.take_if(is_due)];
        due.map(|open| open.and_then(|open| self.finish(open))).into_iter().flatten()
    }

    /// An orderly stop: what is there becomes rows, the running hour's one of the coming boundary.
    pub fn stop(&mut self) -> impl Iterator<Item = HourRow> + use<> {
        let rows =
            [self.closing.take(), self.running.take()].map(|open| open.and_then(|open| self.finish(open)));
        rows.into_iter().flatten()
    }

    /// `None` if this run has written the row before.
    fn finish(&mut self, open: Box<Open>) -> Option<HourRow> {
        if self.written.is_some_and(|written| written >= open.boundary) {
            return None;
        }
        self.written = Some(open.boundary);
        Some(open.finish())
    }

    /// A row of the boundary just passed, for a run that began after it.
    fn first_row(&mut self, heard: &Heard<'_>, last: i64) -> Option<HourRow> {
        let missing = self.stored.max(self.written).is_none_or(|known| known < last);
        let begins =
            [&self.closing, &self.running].into_iter().flatten().all(|open| open.row.registers.is_empty());
        if !missing || !begins || heard.disputed || heard.at >= last + LATEST_FIRST {
            return None;
        }
        let mut open = Open::new(self.meter, last, heard.facts);
        open.registers(heard);
        self.finish(open)
    }
}

/// The row that one telegram alone makes of the boundary it was kept for.
#[must_use]
pub fn row_of_one(meter: MeterId, boundary: Time, facts: &Facts, at: Time, rssi: Option<i16>) -> HourRow {
    let (boundary, heard) = (boundary.unix(), Heard { facts, at: at.unix(), rssi, disputed: false });
    let mut open = Open::new(meter, boundary, facts);
    if heard.at < boundary {
        open.hear(&heard);
    } else {
        open.registers(&heard);
    }
    open.finish()
}

impl Open {
    /// Boxed, since of the two that a meter may have open it mostly has one.
    fn new(meter: MeterId, boundary: i64, first: &Facts) -> Box<Self> {
        let time = Time::from_unix(boundary).unwrap_or(Time::MAX);
        let mut row = HourRow::new(meter, Hour::at_or_before(time), first.checked);
        row.registers = Registers::with_capacity(first.registers.len());
        Box::new(Self { boundary, heard: None, row, minutes: BTreeMap::new(), disputed: Registers::new() })
    }

    /// Everything a reading of the hour before the boundary says.
    fn hear(&mut self, heard: &Heard<'_>) {
        self.registers(heard);
        let Heard { facts, at, rssi, disputed } = *heard;
        if disputed {
            return;
        }
        let row = &mut self.row;
        row.flow = widen(row.flow, facts.flow);
        row.water = widen(row.water, facts.water);
        row.ambient = widen(row.ambient, facts.ambient);
        row.telegrams = row.telegrams.saturating_add(1);
        row.rssi = row.rssi.max(rssi);
        row.inferred |= facts.inferred;
        row.checked = row.checked.min(facts.checked);
        let minute = at.rem_euclid(HOUR) / 60;
        for code in &facts.codes {
            *self.minutes.entry(code.clone()).or_default() |= 1 << minute;
        }
        for (code, class) in &facts.classes {
            let highest = self.row.classes.entry(code.clone()).or_insert(*class);
            *highest = (*highest).max(*class);
        }
    }

    /// The nearest to the boundary counts, the earlier on a tie.
    fn registers(&mut self, heard: &Heard<'_>) {
        let Ok(offset) = i32::try_from(heard.at - self.boundary) else { return };
        let key = |offset: i32| (offset.unsigned_abs(), offset);
        let (first, last) = self.heard.unwrap_or((heard.at, heard.at));
        self.heard = Some((first.min(heard.at), last.max(heard.at)));
        let registers = if heard.disputed { &mut self.disputed } else { &mut self.row.registers };
        for (role, value) in &heard.facts.registers {
            let new = Register { value: *value, offset };
            let nearest = registers.entry(role.clone()).or_insert(new);
            if key(new.offset) < key(nearest.offset) {
                *nearest = new;
            }
        }
    }

    fn finish(mut self) -> HourRow {
        for (role, register) in self.disputed {
            self.row.registers.entry(role).or_insert(register);
        }
        self.row.codes = self.minutes.keys().cloned().collect();
        let count = |bits: u64| u8::try_from(bits.count_ones()).ok().and_then(|n| Minutes::try_from(n).ok());
        self.row.minutes =
            self.minutes.into_iter().filter_map(|(code, bits)| Some((code, count(bits)?))).collect();
        self.row
    }
}

fn widen(known: Option<Extremes>, value: Option<messages::Quantity>) -> Option<Extremes> {
    let new = value.map(Extremes::of);
    match (known, new) {
        (Some(known), Some(new)) => Some(known.widened(new)),
        (known, new) => known.or(new),
    }
}

#[cfg(test)]
mod tests;
