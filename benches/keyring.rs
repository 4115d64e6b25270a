//! Finding a meter's key: the cost must not grow with the number of keys.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use vesigate::keyring::{Keyring, Selector};
use wmbus::{Key, Meter};

fn meter(number: u32) -> Meter {
    format!("KAM.{number:08}.1B.16").parse().expect("eight digits")
}

/// Key files give a meter's number only: the case that takes all three lookups.
fn ring(keys: u32) -> Keyring {
    let mut ring = Keyring::new();
    for number in 0..keys {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        ring.insert(Selector::Number(meter(number).serial), Key::new(bytes)).expect("room");
    }
    ring
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("keyring lookup");
    for keys in [10, 1000, 100_000] {
        let ring = ring(keys);
        // A thousand meters are heard, however many keys there are.
        let heard: Vec<Meter> = (0..1000).map(|index| meter(index * 7919 % keys)).collect();
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            let mut next = heard.iter().cycle();
            b.iter(|| black_box(ring.get(*next.next().unwrap())).is_some());
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
