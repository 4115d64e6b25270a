//! From the bytes of a dongle's line to hour rows in the store: the real program, fed over a pseudo-terminal as fast as it
//! takes telegrams, every one of them enciphered.
//!
//! ```text
//! cargo build --release -p vesigate --bin vesigate
//! cargo bench -p hil-tests --bench throughput [-- METERS TELEGRAMS]
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark"
)]

use std::fs;
use std::time::Instant;

use emulator::town::{Resident, Town};
use hil_tests::clock::START;
use hil_tests::store::Store;
use hil_tests::{Gateway, Half, Site};

/// Meters send as often as can be numbered, so that all telegrams fall within one hour of a clock that goes fast.
const INTERVAL: u32 = 4_500;
const SPEED: u32 = 60;

#[tokio::main]
async fn main() {
    // `cargo bench` passes a flag of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let meters = numbers.next().unwrap_or(1000);
    let telegrams = numbers.next().unwrap_or(200_000);

    let mut town = dense(meters);
    let mut site = Site::new();
    site.settle(&town, &[]).await;
    let sent: Vec<_> = (0..telegrams).map(|_| town.next_telegram().unwrap().unwrap()).collect();
    let bytes: usize = sent.iter().map(|sent| sent.telegram.len()).sum();

    site.clock = Some(hil_tests::FastClock::new(START, SPEED));
    let gateway = Gateway::start(&site, Half::Collect).await;
    gateway
        .reports("collect", "a ready receiver", |status| status["receivers"][0]["state"] == "receiving")
        .await;
    let cpu_before = cpu_seconds(gateway.pid());
    let began = Instant::now();
    for one in &sent {
        site.dongle.hear(&one.telegram, one.rssi_dbm).await.unwrap();
    }
    let heard = u64::try_from(telegrams).unwrap();
    let status =
        gateway.reports("collect", "all telegrams", |status| status["telegrams"]["heard"] == heard).await;
    let took = began.elapsed();
    let cpu = cpu_seconds(gateway.pid()) - cpu_before;
    let ending = Instant::now();
    assert!(gateway.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows().len();

    println!("{telegrams} telegrams of {meters} meters, {bytes} bytes: {}", status["telegrams"]);
    println!("heard in {took:.2?}: {:.0} telegrams/s", telegrams as f64 / took.as_secs_f64());
    println!("processor time {cpu:.2} s: {:.1} us a telegram", cpu * 1e6 / telegrams as f64);
    println!("{rows} hour rows stored within {:.2?} of the stop", ending.elapsed());
    assert_eq!(rows, 2 * meters, "each meter has the row of the last full hour and that of the next");
}

fn dense(meters: usize) -> Town {
    let usual = Town::new(meters, 1, START * 1000);
    let quick = |resident: &Resident| {
        let mut quick = resident.clone();
        quick.meter = quick.meter.with_interval(INTERVAL);
        quick
    };
    Town::of(usual.residents().iter().map(quick).collect(), START * 1000)
}

/// Time the process has had on the processor, from `/proc/PID/stat`, whose unit is 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u32 =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}
