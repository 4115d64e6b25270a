//! Reads telegrams over and over, for counting instructions: run it under callgrind with two numbers and divide the
//! difference, so that start-up does not count. `docs/performance.md` tells how.
//!
//! ```text
//! telegrams KIND NUMBER      compact | full | mode10 | mode5 | compact-frame-a
//! telegrams KIND NUMBER -s   the same, and how many in a second
//! ```

mod samples;

use std::hint::black_box;
use std::time::Instant;

use samples::Samples;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(kind), Some(number)) = (arguments.next(), arguments.next()) else {
        return Err("a kind and a number are wanted".into());
    };
    let number: usize = number.parse()?;
    let samples = Samples::new(&kind)?;
    let on_the_air = kind.ends_with("frame-a");
    let start = Instant::now();
    let mut measures = 0;
    for count in 0..number {
        measures += samples.read(black_box(samples.bytes(count)), on_the_air).ok_or("not a reading")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{number} telegrams of {} bytes, {measures} measures", samples.bytes(0).len());
    if arguments.next().as_deref() == Some("-s") {
        println!("{:.0} telegrams/s", f64::from(u32::try_from(number)?) / seconds);
    }
    Ok(())
}
