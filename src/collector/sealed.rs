//! Frames of an expected meter that no key opens yet. For each boundary the frame nearest to it is kept, and the latest
//! full one; when the key arrives they are opened, oldest first, and each makes the row of its boundary.

use std::time::Duration;

use messages::Time;
use messages::event::{Episode, Standing};
use messages::reading::{Checked, HourRow};
use wmbus::Meter;

use super::codes::{Codes, Thresholds};
use super::guard::{Guard, Point};
use super::hour::row_of_one;
use super::open::{Expected, Opened, Opener, Outcome, Reception, Via};
use super::times::Times;
use crate::health::clock::Calendar;
use crate::store::SealedFrame;
use crate::world::Uptime;

const HOUR: i64 = 3600;
/// A frame may be the nearest to a boundary until so many seconds after it.
const GRACE: i64 = 120;

/// What waits in memory until its boundary is over.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The nearest to the boundary just passed, and to the coming one.
    nearest: Vec<Kept>,
    full: Option<Kept>,
    /// Compact frames are shorter than full ones.
    longest: usize,
    stored: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    boundary: i64,
    at: Time,
    rssi: Option<i16>,
    frame: Box<[u8]>,
}

impl Waiting {
    /// Frames kept, in the store and here.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.stored.saturating_add(u64::try_from(self.nearest.len()).unwrap_or_default())
    }

    /// The frames that are here.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.nearest.iter().chain(&self.full).map(|kept| &*kept.frame)
    }

    /// So many frames are in the store.
    pub const fn set_stored(&mut self, stored: u64) {
        self.stored = stored;
    }

    /// Takes a frame.
    pub fn keep(&mut self, frame: &[u8], at: Time, rssi: Option<i16>) {
        let last = at.unix().div_euclid(HOUR) * HOUR;
        let kept = |boundary| Kept { boundary, at, rssi, frame: frame.into() };
        for boundary in [last, last + HOUR] {
            let offset = at.unix() - boundary;
            if offset >= GRACE {
                continue;
            }
            let key = |offset: i64| (offset.abs(), offset);
            match self.nearest.iter_mut().find(|kept| kept.boundary == boundary) {
                Some(known) if key(known.at.unix() - boundary) <= key(offset) => {}
                Some(known) => *known = kept(boundary),
                None => self.nearest.push(kept(boundary)),
            }
        }
        if frame.len() >= self.longest {
            self.longest = frame.len();
            self.full = Some(kept(0));
        }
    }

    /// The frame just taken was heard once more.
    pub fn heard_again(&mut self, frame: &[u8], rssi: Option<i16>) {
        for kept in self.nearest.iter_mut().chain(&mut self.full).filter(|kept| *kept.frame == *frame) {
            kept.rssi = kept.rssi.max(rssi);
        }
    }

    /// Frames whose boundary is over; with `all`, the others, too.
    pub fn due(&mut self, meter: Meter, now: Time, all: bool, out: &mut Vec<SealedFrame>) {
        let sealed = |kept: Kept| SealedFrame {
            meter,
            boundary: if kept.boundary == 0 { None } else { Time::from_unix(kept.boundary) },
            heard: kept.at,
            rssi: kept.rssi,
            frame: kept.frame.into_vec(),
        };
        let before = out.len();
        let over = |kept: &mut Kept| all || kept.boundary + GRACE <= now.unix();
        let due: Vec<Kept> = self.nearest.extract_if(.., over).collect();
        if due.is_empty() {
            return;
        }
        out.extend(due.into_iter().chain(self.full.take()).map(sealed));
        let added = out.len().saturating_sub(before);
        self.stored = self.stored.saturating_add(u64::try_from(added).unwrap_or_default());
    }

    /// Drops what was heard within the span, `to` exclusive.
    pub fn erase(&mut self, from: Time, to: Time) {
        let keep = |kept: &Kept| !(from..to).contains(&kept.at);
        self.nearest.retain(keep);
        self.full.take_if(|full| !keep(full));
    }

    /// What waits here, to be opened with what is stored.
    #[must_use]
    pub fn drain(mut self, meter: Meter) -> Vec<SealedFrame> {
        let mut frames = Vec::new();
        self.due(meter, Time::MAX, true, &mut frames);
        frames
    }
}

/// What is known of a meter before its frames are opened.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Its highest flow, millilitres an hour.
    pub q4: i64,
    /// Where it stood.
    pub known: Option<Point>,
    /// The best protection that its telegrams had.
    pub protection: Option<Checked>,
}

/// What frames that were opened late have told.
#[derive(Debug, Default)]
pub struct History {
    /// One row for each boundary.
    pub rows: Vec<HourRow>,
    /// Episodes, all marked as late.
    pub episodes: Vec<Episode>,
    /// Where the meter stood at the last frame that is believed.
    pub known: Option<Point>,
    /// The best protection of a frame that is believed.
    pub protection: Option<Checked>,
    /// Whether the key opened any frame at all.
    pub opened: bool,
}

/// A frame that was opened late, and the boundaries it was kept for.
struct Late {
    opened: Box<Opened>,
    heard: Time,
    boundaries: Vec<Time>,
}

/// Opens frames with the key that has arrived, under a guard that starts at what was known of the meter.
pub fn open(
    meter: Meter,
    mut frames: Vec<SealedFrame>,
    start: Start,
    opener: &mut Opener,
    expected: Expected<'_>,
) -> History {
    let Start { q4, known, protection } = start;
    let mut history = History { known, protection, ..History::default() };
    let Ok(id) = meter.to_string().parse() else { return history };
    frames.sort_by_key(|frame| (frame.heard, frame.boundary));
    let mut guard: Guard<Late> = Guard::new(q4, known);
    // Their times are UTC; as the uptime of a machine that was started in 1970 they are dated by any calendar.
    let times = Times::new(Calendar::anchored(Uptime::default(), 0), Uptime::default(), 0, 0);
    let mut believed = Vec::new();
    // One frame may be the nearest to two boundaries, or to one and be the latest full one.
    for same in frames.chunk_by(|a, b| a.heard == b.heard && a.frame == b.frame) {
        let Some(frame) = same.first() else { continue };
        let at = u64::try_from(frame.heard.unix()).unwrap_or_default();
        let reception =
            Reception { at: Uptime(Duration::from_secs(at)), rssi: frame.rssi, via: Via::default() };
        let Outcome::Opened(_, opened) = opener.open(&frame.frame, reception, expected) else { continue };
        history.opened = true;
        if Some(opened.facts.checked) < protection {
            continue;
        }
        let boundaries = same.iter().filter_map(|frame| frame.boundary).collect();
        let heard = frame.heard;
        let (_, more) = guard.hear(opened.heard(at).with(|opened| Late { opened, heard, boundaries }));
        believed.extend(more);
    }
    believed.extend(guard.settle());
    history.known = guard.known();
    let mut codes = Codes::default();
    let mut told = Vec::new();
    for Late { opened, heard, boundaries } in believed {
        opener.learn(meter, &opened);
        history.protection = history.protection.max(Some(opened.facts.checked));
        for boundary in boundaries {
            let row = row_of_one(id, boundary, &opened.facts, heard, opened.reception.rssi);
            history.rows.push(HourRow { late: true, ..row });
        }
        if opened.facts.tells_codes {
            let (codes_now, at) = (&opened.facts.codes, opened.reception.at);
            codes.hear(id, codes_now, at, &times, &Thresholds::new(), &mut told);
        }
    }
    codes.report(id, &mut told);
    // Nobody knows how those went on that still ran at the last frame.
    let late = |episode: Episode| match episode.standing {
        Standing::Active => Episode { late: true, standing: Standing::Unknown, ..episode },
        _ => Episode { late: true, ..episode },
    };
    history.episodes = told.into_iter().map(late).collect();
    history
}
