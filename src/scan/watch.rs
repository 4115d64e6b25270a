//! Follows the meters over a while: between two answers of the receiving half lies what its counters do not tell.

use std::collections::HashMap;

use wmbus::Meter;

use super::row::Row;
use super::verdict::Heard;
use crate::config::MeterList;
use crate::health::heard::HeardMeter;

/// More meters than this are not remembered that the receiving half has forgotten: so many are not expected at one place,
/// and anybody can send names.
const MOST_GONE: usize = 20_000;

/// What was seen since the watch began. Times in milliseconds of the watcher's own clock.
#[derive(Debug, Default)]
pub struct Watch {
    /// When counting began anew; absent as long as the receiving half's own counters are taken.
    since: Option<u64>,
    seen: HashMap<String, Seen>,
    /// Meters that stay although the receiving half, for want of room, tells of them no more.
    expected: MeterList,
}

#[derive(Debug, Default)]
struct Seen {
    /// What the receiving half had counted when it was last asked: all, and those that count for the verdict.
    known: (u32, u32),
    /// The same since counting began.
    telegrams: u32,
    counted: u32,
    /// The sum of the signals, and of how many.
    rssi: (i64, i64),
    longest: u64,
    /// Of an expected meter: what was last told of it, and when.
    last: Option<Box<(HeardMeter, u64)>>,
}

impl Watch {
    /// Counts anew from now on, with these meters heard before. Expected meters are not forgotten.
    pub fn begin(&mut self, heard: &[HeardMeter], expected: Option<&MeterList>, now: u64) {
        self.since = Some(now);
        self.expected = expected.cloned().unwrap_or_default();
        let known = |meter: &HeardMeter| Seen { known: (meter.telegrams, meter.counted), ..Seen::default() };
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
        let mut before = std::mem::take(&mut self.seen);
        let mut rows = Vec::with_capacity(heard.len());
        for meter in heard {
            let mut seen = before.remove(&meter.meter).unwrap_or_default();
            seen.take(&meter, watched);
            rows.push(seen.judge(&meter, watched));
            seen.last = self.is_expected(&meter).then(|| Box::new((meter.clone(), now)));
            self.seen.insert(meter.meter, seen);
        }
        // Whoever is not told of any more was forgotten there, and is forgotten here unless it is expected.
        for (name, mut seen) in before.into_iter().filter(|(_, seen)| seen.last.is_some()).take(MOST_GONE) {
            let Some(meter) = seen.aged(now) else { continue };
            // Should it be told of again, it is counted from nothing.
            seen.known = (0, 0);
            seen.be_silent(&meter, watched);
            rows.push(seen.judge(&meter, watched));
            self.seen.insert(name, seen);
        }
        rows
    }

    /// Telegrams of a meter since counting began.
    #[must_use]
    pub fn telegrams(&self, meter: &str) -> u32 {
        self.seen.get(meter).map_or(0, |seen| seen.telegrams)
    }

    fn is_expected(&self, meter: &HeardMeter) -> bool {
        !self.expected.is_empty()
            && meter.meter.parse().is_ok_and(|meter: Meter| self.expected.get(meter).is_some())
    }
}

impl Seen {
    fn take(&mut self, meter: &HeardMeter, watched: Option<u64>) {
        // Fewer than before: the receiving half was started anew, or had forgotten it.
        let more = |now: u32, before: u32| now.checked_sub(before).unwrap_or(now);
        let fresh = more(meter.telegrams, self.known.0);
        self.telegrams = self.telegrams.saturating_add(fresh);
        self.counted = self.counted.saturating_add(more(meter.counted, self.known.1));
        self.known = (meter.telegrams, meter.counted);
        if let Some(rssi) = meter.rssi.filter(|_| fresh > 0) {
            self.rssi = (self.rssi.0.saturating_add(rssi.into()), self.rssi.1.saturating_add(1));
        }
        self.be_silent(meter, watched);
    }

    fn be_silent(&mut self, meter: &HeardMeter, watched: Option<u64>) {
        let silent = watched.map_or(0, |watched| watched.min(silence(meter)));
        self.longest = self.longest.max(silent);
    }

    /// What was last told of it, as it would be told now.
    fn aged(&self, now: u64) -> Option<HeardMeter> {
        let (meter, at) = self.last.as_deref()?;
        let passed = now.saturating_sub(*at);
        let later = |ago: u64| ago.saturating_add(passed);
        let mut meter = meter.clone();
        (meter.heard_ago, meter.first_ago) = (later(meter.heard_ago), later(meter.first_ago));
        meter.counted_ago = meter.counted_ago.map(later);
        meter.installation_ago = meter.installation_ago.map(later);
        Some(meter)
    }

    fn judge(&self, meter: &HeardMeter, watched: Option<u64>) -> Row {
        let mean = self.rssi.0.checked_div(self.rssi.1).and_then(|mean| i16::try_from(mean).ok());
        let known = Heard {
            watched: meter.recent_over,
            telegrams: meter.recent,
            interval: meter.interval,
            link_mode: meter.link_mode,
            silent: silence(meter),
            longest: None,
            rssi: mean.or(meter.rssi),
        };
        let known = match watched {
            None => known,
            Some(watched) => Heard {
                watched,
                telegrams: self.counted,
                silent: known.silent.min(watched),
                longest: Some(self.longest),
                ..known
            },
        };
        Row::new(meter.clone(), known.judge())
    }
}

/// For how long a meter has sent nothing that counts; if nothing does, for how long it has been silent.
fn silence(meter: &HeardMeter) -> u64 {
    meter.counted_ago.unwrap_or(meter.heard_ago)
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::meter;
    use super::super::verdict::Verdict;
    use super::*;

    fn at(telegrams: u32, heard_ago: u64) -> HeardMeter {
        HeardMeter { telegrams, counted: telegrams, heard_ago, counted_ago: Some(heard_ago), ..meter(1) }
    }

    #[test]
    fn counting_anew_leaves_out_what_was_before() {
        let mut watch = Watch::default();
        let row = watch.observe(vec![at(100, 1000)], 0);
        assert_eq!(row[0].reception.share, Some(99), "{:?}", row[0].reception);
        watch.begin(&[at(100, 1000)], None, 10_000);
        let rows = watch.observe(vec![at(103, 1000)], 170_000);
        assert_eq!((watch.telegrams(&rows[0].heard.meter), rows[0].reception.share), (3, Some(30)));
        let rows = watch.observe(vec![at(103, 900_000)], 1_010_000);
        assert_eq!(rows[0].verdict(), Verdict::Poor);
        watch.observe(vec![at(2, 0)], 1_020_000);
        assert_eq!(watch.telegrams(&rows[0].heard.meter), 5, "the receiving half was started anew");
        assert!(watch.observe(Vec::new(), 0).is_empty());
        assert_eq!(watch.telegrams(&rows[0].heard.meter), 0, "forgotten");
    }

    #[test]
    fn an_expected_meter_that_the_gateway_had_to_forget_was_heard_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.csv");
        std::fs::write(&file, "id\n00000001\n").unwrap();
        let list = MeterList::load(&file, &crate::config::Config::default().contacts).unwrap();
        let mut watch = Watch::default();
        watch.begin(&[], Some(&list), 0);
        let stranger = |number| HeardMeter { listed: false, expected: false, ..meter(number) };
        watch.observe(vec![at(4, 0), stranger(2)], 60_000);
        for minute in 2..6 {
            let rows = watch.observe(vec![stranger(3)], minute * 60_000);
            let names: Vec<_> = rows.iter().map(|row| row.heard.meter.as_str()).collect();
            assert_eq!(names, ["KAM.00000003.1B.16", "KAM.00000001.1B.16"], "a stranger is forgotten");
            assert_eq!(rows[1].heard.heard_ago, (minute - 1) * 60_000);
            assert_eq!(watch.telegrams("KAM.00000001.1B.16"), 4);
        }
        let rows = watch.observe(vec![at(3, 0)], 400_000);
        assert_eq!(watch.telegrams("KAM.00000001.1B.16"), 7);
        assert_eq!((rows.len(), rows[0].reception.share), (1, Some(28)));
    }

    #[test]
    fn what_does_not_count_makes_no_meter_better() {
        let mut watch = Watch::default();
        watch.begin(&[at(100, 0)], None, 0);
        let noisy = HeardMeter { telegrams: 400, ..at(102, 0) };
        let rows = watch.observe(vec![noisy], 160_000);
        assert_eq!((rows[0].reception.share, watch.telegrams(&rows[0].heard.meter)), (Some(20), 300));
    }
}
