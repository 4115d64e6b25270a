//! The table of all meters heard, for `vesigate scan`.

use std::time::Duration;

use wmbus::Meter;
use wmbus::meter::profile;

use super::Collector;
use crate::collector::heard::{Entry, millis};
use crate::collector::open::Expected;
use crate::health::heard::{HeardMeter, HeardPage, HeardReading, PAGE};
use crate::world::Uptime;

impl Collector {
    /// The meters heard whose addresses come after `after`, a page of them. `receivers` are the names of the receivers
    /// by their numbers.
    #[must_use]
    pub fn heard(&self, after: Option<[u8; 8]>, receivers: &[(u8, String)], uptime: Uptime) -> HeardPage {
        let mut links = self.heard.after(after);
        let meters: Vec<Meter> = links.by_ref().take(PAGE).collect();
        let next = meters.last().map(|last| last.to_link()).filter(|_| links.next().is_some());
        let told = meters.into_iter();
        let told =
            told.filter_map(|meter| Some(self.as_heard(meter, self.heard.get(meter)?, receivers, uptime)));
        HeardPage { meters: told.collect(), next, total: self.heard.len(), foreign: self.heard.foreign() }
    }

    /// A receiver is gone; another may get its number.
    pub fn forget_receiver(&mut self, number: u8) {
        self.heard.forget_receiver(number);
    }

    fn as_heard(
        &self,
        meter: Meter,
        entry: &Entry,
        receivers: &[(u8, String)],
        uptime: Uptime,
    ) -> HeardMeter {
        let ago = |at: u64| millis(uptime).saturating_sub(at);
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        let recent = entry.beat.recent(millis(uptime));
        HeardMeter {
            meter: meter.to_string(),
            model: profile(meter).model(meter).map(|model| model.name.to_owned()),
            expected: expected.contains(meter),
            listed: self.settings.list.get(meter).is_some(),
            has_key: self.keys.get(meter).is_some(),
            heard: self.times.utc(Uptime(Duration::from_millis(entry.last))),
            heard_ago: ago(entry.last),
            first_ago: ago(entry.first),
            telegrams: entry.telegrams,
            echoes: entry.echoes,
            interval: entry.beat.interval(),
            counted: entry.beat.total(),
            counted_ago: entry.beat.last().map(ago),
            recent: recent.telegrams,
            recent_over: recent.over,
            rssi: entry.rssi,
            best_rssi: entry.best_rssi,
            link_mode: entry.link_mode,
            protected: entry.protected,
            opened: entry.opened,
            refusal: entry.refusal.clone(),
            reading: entry.reading.as_ref().map(|reading| HeardReading {
                ago: ago(reading.at),
                volume: reading.volume,
                codes: reading.codes.clone(),
            }),
            installation: entry.installation,
            installation_ago: entry.installed.map(ago),
            receivers: receivers
                .iter()
                .filter(|(number, _)| entry.was_heard_by(*number))
                .map(|(_, name)| name.clone())
                .collect(),
        }
    }
}
