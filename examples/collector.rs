//! What a telegram costs from its bytes to the hour: `collector METERS TELEGRAMS`, run under callgrind as
//! `docs/performance.md` says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use std::time::Duration;

use emulator::town::Town;
use vesigate::collector::open::{Reception, Via};
use vesigate::collector::pipeline::Memory;
use vesigate::collector::{Collector, Settings};
use vesigate::config::MeterList;
use vesigate::health::clock::Calendar;
use vesigate::keyring::{Keyring, Selector};
use vesigate::world::{BootId, Uptime};

const START: i64 = 1_795_478_400;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|number| number.parse().unwrap()).collect();
    let (meters, telegrams) = (numbers[0], numbers[1]);
    let mut town = Town::new(meters, 1, START * 1000);
    let mut keys = Keyring::new();
    for resident in town.residents() {
        let meter = &resident.meter;
        keys.insert(Selector::Full(meter.address()), meter.cipher().key().clone()).unwrap();
    }
    let settings = Settings {
        q4: 5_000_000,
        block_every: 60,
        block_rows: 5000,
        list: MeterList::default(),
        thresholds: [].into(),
    };
    let boot = BootId::new(&"0".repeat(32)).unwrap();
    let begin = Uptime(Duration::from_secs(1000));
    let calendar = Calendar::anchored(begin, START * 1000);
    let mut collector = Collector::new(settings, keys, &boot, (begin, START, calendar), &Memory::default());
    for _ in 0..telegrams {
        let sent = town.next_telegram().unwrap().unwrap();
        let since = u64::try_from(sent.at - START * 1000).unwrap();
        let at = Uptime(begin.0 + Duration::from_millis(since));
        collector.tick(at);
        while collector.take_commit(at).is_some() {}
        collector.hear(&sent.telegram, Reception { at, rssi: Some(-80), via: Via::default() });
    }
    let counts = collector.telegrams();
    println!("{} heard, {} accepted, {} rows", counts.heard, counts.accepted, collector.rows());
}
