//! How small a batch of hour rows is on the wire and in the store: measured on a made-up town, held to a bound.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use messages::batch::{Body, ContentType, Record};
use messages::reading::{
    Checked, Code, DurationClass, Extremes, HourRow, Minutes, Register, Registers, Role,
};
use messages::{Decimal, Hour, MeterId, Quantity, Time, Unit};

/// Bytes of a deflated batch per row: 16.1 when this was written; the same rows written one by one take 19.2.
const BOUND: usize = 18;

#[test]
fn a_thousand_rows_of_water_meters_deflate_to_a_few_bytes_each() {
    let rows: Vec<Record> = town(1000);
    let body = Body::encode(&rows).unwrap();
    assert_eq!(body.content_type, ContentType::Deflated);
    let (wire, json) = (body.bytes.len(), body.json().unwrap().len());
    println!("1000 rows: {wire} bytes deflated, {json} bytes of JSON");
    assert!(wire <= BOUND * 1000, "{wire} bytes for 1000 rows");
    let decoded: Result<Vec<Record>, _> = body.decode().unwrap().into_iter().collect();
    assert_eq!(decoded.unwrap(), rows);
}

/// flowIQ meters bought in five lots, in ordinary homes at six in the morning, sorted by meter.
fn town(meters: u32) -> Vec<Record> {
    let mut random = Random(0x5EED);
    let mut serial = 0;
    (0..meters)
        .map(|index| {
            serial =
                if index % 200 == 0 { 60_000_000 + index * 20_000 } else { serial + 1 + random.below(9) };
            Record::Hour(Box::new(row(serial, &mut random)))
        })
        .collect()
}

fn row(serial: u32, random: &mut Random) -> HourRow {
    let meter: MeterId = format!("KAW.{serial:08}.1B.16").parse().unwrap();
    let litres = |random: &mut Random, below| i64::from(random.below(below));
    let flow = if random.below(3) == 0 { litres(random, 900) } else { 0 };
    let (water, ambient) = (6 + litres(random, 4), 17 + litres(random, 6));
    let leak = random.below(50) == 0;
    let old = random.below(20) == 0;
    HourRow {
        meter,
        boundary: Hour::at_or_before(Time::from_unix(1_795_485_600).unwrap()),
        registers: Registers::from_iter([(
            Role::Volume,
            Register {
                value: quantity(litres(random, 900_000), -3, Unit::CubicMetre),
                offset: random.below(17).cast_signed() - 8,
            },
        )]),
        flow: Some(extremes(if leak { 12 } else { 0 }, flow, Unit::LitrePerHour)),
        water: Some(extremes(water, water + litres(random, 5), Unit::Celsius)),
        ambient: Some(extremes(ambient, ambient + litres(random, 3), Unit::Celsius)),
        codes: if leak { [Code::Leak].into() } else { [].into() },
        classes: if leak || old {
            [(Code::Leak, class(1 + random.below(5) as u8))].into()
        } else {
            [].into()
        },
        minutes: if leak { [(Code::Leak, Minutes::try_from(60).unwrap())].into() } else { [].into() },
        telegrams: 225 - random.below(40),
        rssi: Some(-60 - random.below(40) as i16),
        late: false,
        inferred: false,
        checked: Checked::Checksum,
        other: [].into_iter().collect(),
    }
}

fn class(number: u8) -> DurationClass {
    DurationClass::try_from(number).unwrap()
}

fn extremes(low: i64, high: i64, unit: Unit) -> Extremes {
    Extremes::of(quantity(low, 0, unit)).widened(Extremes::of(quantity(high.max(low), 0, unit)))
}

fn quantity(mantissa: i64, exponent: i8, unit: Unit) -> Quantity {
    Quantity { unit, value: Decimal::new(mantissa, exponent).unwrap() }
}

/// xorshift64*: the same town each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32;
        ((u64::from(high) * u64::from(bound)) >> 32) as u32
    }
}
