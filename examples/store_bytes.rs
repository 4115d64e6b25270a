//! Bytes that reach the device for each hour row: `store_bytes DIRECTORY [DEVICE] [METERS]`.
//!
//! Ten days after two that do not count: each hour a block of rows, the checkpoint that is replaced with it and the
//! cursor that rides along; what is acknowledged is freed daily. DEVICE is the name below `/sys/block` of the device
//! that the directory lies on, such as `loop0`; without it only what this program wrote is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use messages::batch::{Body, Record, Seq, Stream};
use messages::reading::{Checked, Extremes, HourRow, Register, Role};
use messages::{Decimal, Hour, Quantity, Time, Unit};
use vesigate::store::{Commit, NewBlock, Options, Part, Writer, nonce};
use vesigate::world::Clock;

const START: i64 = 1_795_478_400;
/// What the collector remembers of a meter: counter, newest register, written hour.
const REMEMBERED: usize = 37;
const WARM_UP: u64 = 48;
const MEASURED: u64 = 240;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = Path::new(&arguments[0]);
    let device = arguments.get(1).filter(|name| !name.is_empty());
    let meters = arguments.get(2).map_or(1000, |count| count.parse().unwrap());
    let clock = Clock::manual(START);
    let day = Duration::from_secs(86_400);
    let options = Options {
        directory: directory.to_owned(),
        budget: 200_000_000,
        keep_acknowledged: day,
        keep_at_most: 100 * day,
        clock: clock.clone(),
    };
    let writer = Writer::start(options).unwrap();
    let mut random = Random(0x5EED);
    let mut before = (0, 0);
    let mut sizes = 0;
    for hour in 0..WARM_UP + MEASURED {
        if hour == WARM_UP {
            before = written(device);
        }
        let block = block(hour, meters, &mut random);
        sizes += block.body.bytes.len();
        let checkpoint = (0..meters * REMEMBERED).map(|_| random.below(256).to_le_bytes()[0]).collect();
        let commit = Commit {
            blocks: vec![block],
            at: Time::from_unix(clock.kernel()),
            parts: vec![(Part::Meters, checkpoint)],
            acknowledged: vec![(Stream::Readings, Seq::new(hour))],
            ..Commit::default()
        };
        writer.submit(commit).await.unwrap();
        assert!(writer.flush().await.unwrap());
        clock.advance(Duration::from_secs(3600));
    }
    let blocks = writer.status().borrow().streams[&Stream::Readings].blocks;
    writer.close().await.unwrap();
    let after = written(device);
    let rows = MEASURED * u64::try_from(meters).unwrap();
    let each = |bytes: u64| format!("{}.{}", bytes / rows, bytes * 10 / rows % 10);
    println!("{meters} meters, {MEASURED} hours, bytes for each row:");
    println!("  body      {}", each(u64::try_from(sizes).unwrap() * MEASURED / (WARM_UP + MEASURED)));
    println!("  program   {}", each(after.0 - before.0));
    if device.is_some() {
        println!("  device    {}", each(after.1 - before.1));
    }
    println!("  {blocks} blocks kept at the end");
}

/// Bytes that this program has caused to be written, and bytes that the device has taken.
fn written(device: Option<&String>) -> (u64, u64) {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let program = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap();
    let sectors = device.map(|name| {
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap()
    });
    (program, sectors.unwrap_or_default() * 512)
}

/// An hour of water meters in ordinary homes.
fn block(hour: u64, meters: usize, random: &mut Random) -> NewBlock {
    let boundary =
        Hour::exact(Time::from_unix(START + i64::try_from(hour).unwrap() * 3600).unwrap()).unwrap();
    let rows: Vec<Record> =
        (0..meters).map(|meter| Record::Hour(Box::new(row(meter, boundary, random)))).collect();
    let records = u32::try_from(rows.len()).unwrap();
    NewBlock { stream: Stream::Readings, nonce: nonce(), records, body: Body::encode(&rows).unwrap() }
}

fn row(meter: usize, boundary: Hour, random: &mut Random) -> HourRow {
    let meter = format!("KAW.{:08}.1B.16", 60_000_000 + meter * 7).parse().unwrap();
    let mut row = HourRow::new(meter, boundary, Checked::Checksum);
    let value = quantity(random.below(900_000), -3, Unit::CubicMetre);
    let offset = i32::try_from(random.below(17)).unwrap() - 8;
    row.registers.insert(Role::Volume, Register { value, offset });
    let flow = if random.below(3) == 0 { random.below(900) } else { 0 };
    let (water, ambient) = (6 + random.below(4), 17 + random.below(6));
    row.flow = Some(extremes(0, flow, Unit::LitrePerHour));
    row.water = Some(extremes(water, water + random.below(5), Unit::Celsius));
    row.ambient = Some(extremes(ambient, ambient + random.below(3), Unit::Celsius));
    row.telegrams = 225 - u32::try_from(random.below(40)).unwrap();
    row.rssi = Some(-60 - i16::try_from(random.below(40)).unwrap());
    row
}

fn extremes(low: i64, high: i64, unit: Unit) -> Extremes {
    Extremes::of(quantity(low, 0, unit)).widened(Extremes::of(quantity(high, 0, unit)))
}

fn quantity(mantissa: i64, exponent: i8, unit: Unit) -> Quantity {
    Quantity { unit, value: Decimal::new(mantissa, exponent).unwrap() }
}

/// xorshift64*: the same town each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        i64::try_from(high).unwrap() % bound
    }
}
