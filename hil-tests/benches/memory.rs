//! What the gateway's processes take in memory with a town in reach.
//!
//! ```text
//! cargo build --profile dist -p vesigate --bin vesigate
//! VESI_BINARY=target/dist/vesigate cargo bench -p hil-tests --bench memory [-- METERS KEYS]
//! ```
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::fmt::Write as _;
use std::fs;

use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::{Broker, FastClock, Gateway, Half, Portal, Site, SmtpServer};

/// Hours that pass before it is looked.
const HOURS: i64 = 1;
const SPEED: u32 = 40;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let meters = numbers.next().unwrap_or(1000);
    let keys = numbers.next().unwrap_or(meters);
    println!("{meters} meters heard, {keys} keys, {HOURS} hour at {SPEED} times their pace");
    look(meters, keys, &[Half::Both]).await;
    look(meters, keys, &[Half::Collect, Half::Deliver]).await;
}

async fn look(meters: usize, keys: usize, halves: &[Half]) {
    let mut site = Site::new();
    let town = Town::new(meters, 1, START * 1000);
    let broker = Broker::start().await;
    let _portal = Portal::connect(&broker);
    let mail = SmtpServer::start();
    site.expect_meters(&town.meters_csv());
    site.configure(&[&broker.uplink(""), &mail.mail_section("")]);
    site.add_keys(&(town.keys_csv() + &further_keys(keys.saturating_sub(meters)))).await;
    site.clock = Some(FastClock::new(START, SPEED));
    let mut running = Vec::new();
    for half in halves {
        running.push((half, Gateway::start(&site, *half).await));
    }
    let clock = site.clock();
    let _air = site.play(town);
    clock.reach(START + HOURS * 3600).await;
    for (half, gateway) in &running {
        println!("{half:?}: {}", memory(gateway.pid()));
    }
}

/// Keys of meters that are nowhere near.
fn further_keys(count: usize) -> String {
    let mut csv = String::new();
    for number in 0..count {
        let _ = writeln!(csv, "{:08},{:032X}", 10_000_000 + number, number + 1);
    }
    csv
}

/// Resident memory as the system sees it, and what of it is the program's own file.
fn memory(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status
        .lines()
        .filter(|line| ["VmHWM", "VmRSS", "RssAnon", "RssFile"].iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
