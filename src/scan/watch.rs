//! Follows the meters over a while: between two answers of the receiving half lies what its counters do not tell.

use std::collections::HashMap;

use super::row::Row;
use super::verdict::{Heard, interval};
use crate::health::heard::HeardMeter;

/// What was seen since the watch began. Times in milliseconds of the watcher's own clock.
#[derive(Debug, Default)]
pub struct Watch {
    /// When counting began anew; absent as long as the receiving half's own counters are taken.
    since: Option<u64>,
    seen: HashMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Telegrams before counting began.
    before: u32,
    telegrams: u32,
    /// The sum of the signals, and of how many.
    rssi: (i64, i64),
    longest: u64,
}

impl Watch {
    /// Counts anew from now on, with these meters heard before.
    pub fn begin(&mut self, heard: &[HeardMeter], now: u64) {
        self.since = Some(now);
        let known = |meter: &HeardMeter| Seen {
            before: meter.telegrams,
            telegrams: meter.telegrams,
            ..Seen::default()
        };
        self.seen = heard.iter().map(|meter| (meter.meter.clone(), known(meter))).collect();
    }

    /// For how long it has counted, if it counts by itself.
    #[must_use]
    pub fn watched(&self, now: u64) -> Option<u64> {
        self.since.map(|since| now.saturating_sub(since))
    }

    /// Takes an answer of the receiving half, all of it, and judges each meter.
    pub fn observe(&mut self, heard: Vec<HeardMeter>, now: u64) -> Vec<Row> {
        let watched = self.watched(now);
        // Whoever is not told of any more was forgotten there, and is forgotten here.
        let mut before = std::mem::take(&mut self.seen);
        let mut rows = Vec::with_capacity(heard.len());
        for meter in heard {
            let mut seen = before.remove(&meter.meter).unwrap_or_default();
            seen.take(&meter, watched);
            rows.push(seen.judge(&meter, watched));
            self.seen.insert(meter.meter.clone(), seen);
        }
        rows
    }

    /// Telegrams of a meter since counting began.
    #[must_use]
    pub fn telegrams(&self, meter: &str) -> u32 {
        self.seen.get(meter).map_or(0, |seen| seen.telegrams.saturating_sub(seen.before))
    }
}

impl Seen {
    fn take(&mut self, meter: &HeardMeter, watched: Option<u64>) {
        if meter.telegrams < self.telegrams {
            // The receiving half was started anew.
            self.before = 0;
        }
        if let Some(rssi) = meter.rssi.filter(|_| meter.telegrams != self.telegrams) {
            self.rssi = (self.rssi.0.saturating_add(rssi.into()), self.rssi.1.saturating_add(1));
        }
        self.telegrams = meter.telegrams;
        let silent = watched.map_or(0, |watched| watched.min(meter.heard_ago));
        self.longest = self.longest.max(silent);
    }

    fn judge(&self, meter: &HeardMeter, watched: Option<u64>) -> Row {
        let interval = interval(meter.median, meter.shortest);
        let mean = self.rssi.0.checked_div(self.rssi.1).and_then(|mean| i16::try_from(mean).ok());
        let known = Heard {
            watched: meter.first_ago,
            telegrams: meter.telegrams,
            interval,
            link_mode: meter.link_mode,
            silent: meter.heard_ago,
            longest: None,
            rssi: mean.or(meter.rssi),
        };
        let known = match watched {
            None => known,
            Some(watched) => Heard {
                watched,
                telegrams: self.telegrams.saturating_sub(self.before),
                silent: known.silent.min(watched),
                longest: Some(self.longest),
                ..known
            },
        };
        Row::new(meter.clone(), interval, known.judge())
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::meter;
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn counting_anew_leaves_out_what_was_before() {
        let mut watch = Watch::default();
        let at = |telegrams, heard_ago| HeardMeter { telegrams, heard_ago, ..meter(1) };
        let row = watch.observe(vec![at(100, 1000)], 0);
        assert_eq!(row[0].reception.share, Some(100), "{:?}", row[0].reception);
        watch.begin(&[at(100, 1000)], 10_000);
        let rows = watch.observe(vec![at(103, 1000)], 170_000);
        assert_eq!((watch.telegrams(&rows[0].heard.meter), rows[0].reception.share), (3, Some(30)));
        let rows = watch.observe(vec![at(103, 900_000)], 1_010_000);
        assert_eq!(rows[0].verdict(), Verdict::Poor);
        let rows = watch.observe(vec![at(2, 0)], 1_020_000);
        assert_eq!(watch.telegrams(&rows[0].heard.meter), 2, "started anew");
        assert!(watch.observe(Vec::new(), 0).is_empty());
        assert_eq!(watch.telegrams(&rows[0].heard.meter), 0, "forgotten");
    }
}
