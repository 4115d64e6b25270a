//! A receiver's bytes to a typed reading, by kind of telegram; the key schedule is made before.
#![allow(missing_docs, reason = "criterion's macros make functions without any")]

#[path = "../examples/telegrams/samples.rs"]
mod samples;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use samples::{KINDS, Samples};

fn telegrams(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reading");
    group.throughput(Throughput::Elements(1));
    for kind in KINDS {
        let samples = Samples::new(kind).unwrap_or_else(|error| unreachable!("{error}"));
        let on_the_air = kind.ends_with("frame-a");
        let mut count = 0;
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                count += 1;
                samples.read(black_box(samples.bytes(count)), on_the_air)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, telegrams);
criterion_main!(benches);
