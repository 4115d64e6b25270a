//! One expected meter: who of its telegrams is believed, its hours, its episodes, and how it is received.

use messages::batch::Record;
use messages::event::{MeterStatus, Reception as Standing, Refusal};
use messages::reading::Checked;
use messages::{MeterId, Other, Time};
use wmbus::Meter;

use super::codes::{Codes, Thresholds};
use super::doubt::{Doubts, Weighed};
use super::guard::{Guard, Point, Verdict};
use super::heard::HeardTable;
use super::hour::{Heard, HourKeeper};
use super::open::{Opened, Opener};
use super::outbox::Outbox;
use super::sealed::Waiting;
use super::times::Times;
use super::unplaced;
use crate::store::Unplaced;

/// Not heard for so many seconds, a meter is silent.
const SILENT_AFTER: u64 = 24 * 3600;
/// A telegram opened within so many seconds says that the key is right, whatever else is sent under the meter's name.
const FRESH: u64 = 3600;
/// So many frames in a row that the key does not open say that it is wrong.
const WRONG: u32 = 3;
/// What is refused or waits is told again after so many seconds.
const TELL_AGAIN: u64 = 24 * 3600;
/// Without a calendar, one reading in so many seconds is kept.
const UNPLACED_EVERY: u64 = 600;

/// The reasons for refusing, in the order in which they are counted.
pub const REFUSALS: [Refusal; 8] = [
    Refusal::Damaged,
    Refusal::WrongKey,
    Refusal::NoKey,
    Refusal::NotEncrypted,
    Refusal::Downgraded,
    Refusal::Replayed,
    Refusal::Implausible,
    Refusal::Unsupported,
];

/// An expected meter.
#[derive(Debug)]
pub struct MeterState {
    /// Its name in records.
    pub id: MeterId,
    /// Who is believed.
    pub guard: Guard<Box<Opened>>,
    /// What one telegram says alone.
    doubts: Doubts,
    /// The best protection that a believed telegram had: less is refused from then on, until the meter is given its key
    /// again.
    pub protection: Option<Checked>,
    /// Telegrams heard until then, steady seconds, do not tell how the meter protects them now.
    protected_since: u64,
    /// Its hours.
    pub keeper: HourKeeper,
    /// Its episodes.
    pub codes: Codes,
    /// How it is received.
    pub reception: Reception,
    /// Telegrams refused, by reason, in the order of [`REFUSALS`].
    pub refused: [u32; REFUSALS.len()],
    /// Frames that no key opens.
    pub sealed: Option<Box<Waiting>>,
    /// When a reading without a place was last kept, steady seconds.
    unplaced_at: Option<u64>,
}

/// How a meter is received. Moments by the steady clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    /// When anything of it was last heard.
    pub heard: Option<u64>,
    /// When a telegram was last opened, and in UTC if that is known.
    pub opened: Option<(u64, Option<Time>)>,
    /// Whether the key that is there now opened it; another one says nothing about this one.
    by_its_key: bool,
    /// Frames in a row that the key did not open.
    wrong: u32,
    /// The last frame needed a key that is not there.
    no_key: bool,
    /// What was told last, by its place in [`Standing::KNOWN`].
    pub told: Option<u8>,
    told_at: u64,
    /// Something was refused since.
    refused: bool,
}

/// What a meter's state needs of everything around it.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The clocks.
    pub times: &'a Times,
    /// After how long an episode is worth a record.
    pub thresholds: &'a Thresholds,
    /// Where layouts are learned.
    pub opener: &'a mut Opener,
    /// Where records go.
    pub out: &'a mut Outbox,
    /// What is known of all meters.
    pub heard: &'a mut HeardTable,
    /// This start of the machine.
    pub boot: &'a str,
}

impl MeterState {
    /// A meter with this highest flow in millilitres an hour, as it was last known. `None` if the contract cannot spell
    /// its name.
    #[must_use]
    pub fn new(meter: Meter, q4: i64, known: Option<Point>, written: Option<Time>) -> Option<Self> {
        let id = meter.to_string().parse().ok()?;
        Some(Self {
            id,
            guard: Guard::new(q4, known),
            doubts: Doubts::default(),
            protection: None,
            protected_since: 0,
            keeper: HourKeeper::new(id, written),
            codes: Codes::default(),
            reception: Reception::default(),
            refused: [0; REFUSALS.len()],
            sealed: None,
            unplaced_at: None,
        })
    }

    /// Whether a telegram of it was opened, in this run or one before it.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.reception.opened.is_some() || self.guard.known().is_some()
    }

    /// Whether a telegram is protected less than the meter is known to protect its own. A telegram that was recorded
    /// before the meter was set to better protection still opens, and so does what a forger makes of it.
    #[must_use]
    pub fn is_downgrade(&self, opened: &Opened) -> bool {
        Some(opened.facts.checked) < self.protection
    }

    /// The meter's key was given anew, and it may have been set to another protection; `now` by the steady clock. Gives
    /// whether that changes anything that is stored.
    pub fn forget_protection(&mut self, now: u64) -> bool {
        self.reception.key_given();
        // What still waits to be believed was sent before.
        self.protected_since = now.saturating_add(1);
        self.protection.take().is_some()
    }

    /// Takes an opened telegram, and everything that is believed with it.
    pub fn hear(&mut self, meter: Meter, mut opened: Box<Opened>, desk: &mut Desk<'_>) -> Verdict {
        let at = desk.times.steady(opened.reception.at);
        self.reception.opened(at, desk.times.utc(opened.reception.at));
        opened.facts.without_flow_beyond(self.guard.limit());
        let (verdict, believed) = self.guard.hear(opened.heard(at));
        for opened in believed {
            self.believe(meter, opened, desk);
        }
        match verdict {
            Verdict::Replayed => self.refuse(&Refusal::Replayed),
            Verdict::Quarantined => self.refuse(&Refusal::Implausible),
            Verdict::Accepted | Verdict::Duplicate | Verdict::Contradicted => {}
        }
        verdict
    }

    /// Gives out the rows due at `time`, which is `now` by the steady clock. What waits and was not contradicted counts for them.
    pub fn sweep(&mut self, meter: Meter, (time, now): (Time, u64), desk: &mut Desk<'_>) {
        for Weighed { opened, disputed } in self.doubts.waiting(self.guard.waiting().map(Box::as_ref)) {
            let Some(at) = desk.times.utc(opened.reception.at).map(Time::unix) else { continue };
            let heard = Heard { facts: &opened.facts, at, rssi: opened.reception.rssi, disputed };
            if let Some(row) = self.keeper.anticipate(time, &heard) {
                desk.out.row(meter, row, now);
            }
        }
        for row in self.keeper.due(time) {
            desk.out.row(meter, row, now);
        }
    }

    /// Without a calendar: what waits and was not contradicted is kept, if it is time for a reading.
    pub fn keep_waiting(&mut self, meter: Meter, desk: &mut Desk<'_>) {
        for Weighed { opened, disputed } in self.doubts.waiting(self.guard.waiting().map(Box::as_ref)) {
            if !disputed && desk.times.utc(opened.reception.at).is_none() {
                keep_unplaced(&mut self.unplaced_at, meter, opened, desk);
            }
        }
    }

    /// Nothing more will be heard: what waits and was not contradicted counts.
    pub fn end(&mut self, meter: Meter, desk: &mut Desk<'_>) {
        if let Some(opened) = self.guard.settle() {
            self.believe(meter, opened, desk);
        }
        if let Some(opened) = self.doubts.end() {
            self.count(meter, &opened, false, desk);
        }
    }

    /// Erases what is here of the span, `to` exclusive, and what has no place in time.
    pub fn erase(&mut self, from: Time, to: Time, times: &Times) {
        let keep =
            |opened: &Opened| times.utc(opened.reception.at).is_some_and(|at| !(from..to).contains(&at));
        self.guard.retain(|opened| keep(opened));
        self.doubts.retain(keep);
        self.keeper.erase(from, to);
        self.codes.erase(from, to);
        if let Some(waiting) = &mut self.sealed {
            waiting.erase(from, to);
        }
        self.unplaced_at = None;
    }

    /// A telegram was refused.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let counters = REFUSALS.iter().zip(&mut self.refused);
        if let Some((_, count)) = counters.into_iter().find(|(reason, _)| *reason == refusal) {
            *count = count.saturating_add(1);
        }
        self.reception.refused(refusal);
    }

    /// Tells how the meter is received, if that is news.
    pub fn tell(&mut self, now: u64, at: Time, out: &mut Outbox, meter: Meter) {
        let quarantined = u64::try_from(self.guard.quarantined()).unwrap_or_default();
        let sealed = self.sealed.as_ref().map_or(0, |waiting| waiting.kept());
        if let Some(reception) = self.reception.news(now, quarantined > 0 || sealed > 0) {
            let status = MeterStatus {
                meter: self.id,
                at,
                reception,
                opened: self.reception.opened.and_then(|(_, time)| time),
                quarantined,
                sealed,
                refused: self.refusals(),
                other: Other::default(),
            };
            out.event(Record::Meter(status), now, false);
            out.touched.insert(meter);
        }
    }

    /// Telegrams refused, by reason.
    #[must_use]
    pub fn refusals(&self) -> std::collections::BTreeMap<Refusal, u64> {
        let some = REFUSALS.into_iter().zip(self.refused).filter(|(_, count)| *count > 0);
        some.map(|(reason, count)| (reason, u64::from(count))).collect()
    }

    fn believe(&mut self, meter: Meter, opened: Box<Opened>, desk: &mut Desk<'_>) {
        let Opened { facts, reception, .. } = &*opened;
        desk.out.layouts |= desk.opener.learn(meter, &opened);
        let at = desk.times.steady(reception.at);
        if Some(facts.checked) > self.protection && at >= self.protected_since {
            self.protection = Some(facts.checked);
            desk.out.touched.insert(meter);
        }
        if facts.tells_codes {
            let mut told = Vec::new();
            self.codes.hear(self.id, &facts.codes, reception.at, desk.times, desk.thresholds, &mut told);
            for episode in told {
                desk.out.episode(meter, episode);
            }
        }
        for Weighed { opened, disputed } in self.doubts.weigh(opened) {
            self.count(meter, &opened, disputed, desk);
        }
    }

    fn count(&mut self, meter: Meter, opened: &Opened, disputed: bool, desk: &mut Desk<'_>) {
        let Opened { facts, reception, .. } = opened;
        match desk.times.utc(reception.at) {
            Some(at) if disputed => self.keeper.hear_disputed(facts, at),
            Some(at) => {
                if let Some(row) = self.keeper.hear(facts, at, reception.rssi) {
                    desk.out.row(meter, row, desk.times.steady(reception.at));
                }
            }
            None if disputed => {}
            None => keep_unplaced(&mut self.unplaced_at, meter, opened, desk),
        }
    }
}

/// Keeps a reading that has no place on the calendar, if it is time for one: `last` is when one was last kept.
fn keep_unplaced(last: &mut Option<u64>, meter: Meter, opened: &Opened, desk: &mut Desk<'_>) {
    let now = desk.times.steady(opened.reception.at);
    if last.is_some_and(|last| now.saturating_sub(last) < UNPLACED_EVERY) {
        return;
    }
    *last = Some(now);
    desk.out.unplaced.push(Unplaced {
        boot: desk.boot.to_owned(),
        uptime: opened.reception.at.seconds(),
        meter,
        body: unplaced::write(opened),
    });
}

impl Reception {
    /// Something of the meter was heard.
    pub fn heard(&mut self, at: u64) {
        self.heard = self.heard.max(Some(at));
    }

    fn opened(&mut self, at: u64, time: Option<Time>) {
        self.opened = Some((at, time));
        self.by_its_key = true;
        (self.wrong, self.no_key) = (0, false);
    }

    fn key_given(&mut self) {
        self.by_its_key = false;
        (self.wrong, self.no_key) = (0, false);
    }

    /// When the key that is there now last opened a telegram.
    #[must_use]
    pub fn opened_by_its_key(&self) -> Option<u64> {
        self.opened.map(|(at, _)| at).filter(|_| self.by_its_key)
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.refused = true;
        match refusal {
            Refusal::WrongKey => self.wrong = self.wrong.saturating_add(1),
            Refusal::NoKey => self.no_key = true,
            _ => {}
        }
    }

    /// Whether its key opens what is heard of it.
    #[must_use]
    pub fn opens(&self, now: u64) -> bool {
        self.opened_by_its_key().is_some() && self.standing(now) == Some(Standing::Heard)
    }

    /// How the meter is received now; `None` while that cannot be told.
    #[must_use]
    pub fn standing(&self, now: u64) -> Option<Standing> {
        let within = |moment: u64, seconds: u64| now.saturating_sub(moment) < seconds;
        if !within(self.heard?, SILENT_AFTER) {
            return Some(Standing::Silent);
        }
        match self.opened_by_its_key() {
            Some(opened) if within(opened, FRESH) => Some(Standing::Heard),
            _ if self.no_key => Some(Standing::NoKey),
            _ if self.wrong >= WRONG => Some(Standing::WrongKey),
            opened => opened.map(|_| Standing::Heard),
        }
    }

    /// The standing, if it has changed, or if a day has passed and something waits or was refused.
    fn news(&mut self, now: u64, waits: bool) -> Option<Standing> {
        let standing = self.standing(now)?;
        let number = Standing::KNOWN.iter().position(|known| *known == standing)?;
        let number = u8::try_from(number).ok();
        let changed = self.told != number;
        let again = (waits || self.refused) && now.saturating_sub(self.told_at) >= TELL_AGAIN;
        (changed || again).then(|| {
            (self.told, self.told_at, self.refused) = (number, now, false);
            standing
        })
    }
}
