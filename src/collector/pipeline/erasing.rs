//! Erasing what is still in memory of a meter: open hours, telegrams that wait, frames, running episodes.

use std::time::Duration;

use messages::{MeterId, Time};
use wmbus::Meter;

use super::Collector;
use crate::world::Uptime;

impl Collector {
    /// Erases what is kept of a meter from `from` until before `to`, so that it cannot reach the store later. What has
    /// no place in time goes, too. Counter, register and protection stay: by them the next telegram is judged.
    ///
    /// The state of all meters and episodes without it is committed next. An episode that began within the span and
    /// still runs begins anew, under another id.
    pub fn erase(&mut self, meter: MeterId, from: Time, to: Time) {
        let Ok(meter) = meter.as_str().parse::<Meter>() else { return };
        let Self { times, meters, out, heard, .. } = self;
        heard.forget_reading(meter, |at| {
            let at = times.utc(Uptime(Duration::from_millis(at)));
            at.is_none_or(|at| (from..to).contains(&at))
        });
        out.unplaced.retain(|reading| reading.meter != meter);
        out.sealed.retain(|frame| frame.meter != meter || !(from..to).contains(&frame.heard));
        if let Some(state) = meters.get_mut(&meter) {
            state.erase(from, to, times);
        }
        (out.whole, out.episodes) = (true, true);
        out.hurry();
    }

    /// So many frames of a meter are in the store.
    pub fn set_sealed(&mut self, meter: MeterId, stored: u64) {
        let state = meter.as_str().parse().ok().and_then(|meter: Meter| self.meters.get_mut(&meter));
        if let Some(waiting) = state.and_then(|state| state.sealed.as_mut()) {
            waiting.set_stored(stored);
        }
    }
}
