//! What each kind of meter sends, record by record. All these layouts were seen in full frames on the air.

use jiff::civil;
use wmbus::{
    encode::{EncodeError, RecordWriter},
    record::{Date, DateTime, Time},
};

use super::{Kind, Meter, Source};
use crate::{
    calendar::{self, DAY, HOUR},
    chance::{Chance, Purpose},
    climate,
    event::{TROUBLES, Trouble, duration_class, is_told},
    heating::Heating,
};

/// The records of a full frame at a UTC second.
pub(super) fn of(meter: &mut Meter, at: i64) -> Result<RecordWriter, EncodeError> {
    let mut records = RecordWriter::default();
    match meter.kind {
        Kind::Multical21 => multical21(meter, at, &mut records)?,
        Kind::FlowIq2200 => flowiq2200(meter, at, &mut records)?,
        Kind::FlowIq2200Oms => flowiq2200_oms(meter, at, &mut records)?,
        Kind::Multical403 => {
            let codes = heat_codes(meter, at);
            if let Source::Heat(heating) = &mut meter.source {
                multical403(heating, codes, at, &mut records)?;
            }
        }
    }
    Ok(records)
}

/// Info codes, volume, volume at the target date, lowest water and ambient temperature of the last month.
fn multical21(meter: &mut Meter, at: i64, records: &mut RecordWriter) -> Result<(), EncodeError> {
    let month = last_month(at);
    let (seed, now, target) = (meter.seed, meter.volume_at(at), meter.volume_at(target(at)));
    records
        .raw(&[0x02, 0xFF, 0x20], &low_half(water_codes(meter, at, &WORD_16)))?
        .integer(&[0x04, 0x13], litres(now))?
        .integer(&[0x44, 0x13], litres(target))?
        .integer(&[0x61, 0x5B], degrees(lowest(&month, DAY, |at| climate::water(seed, at))))?
        .integer(&[0x61, 0x67], degrees(lowest(&month, DAY, |at| climate::ambient(seed, at))))
        .map(drop)
}

/// Info codes, volumes, flows and temperatures of the last day, acoustic noise.
fn flowiq2200(meter: &mut Meter, at: i64, records: &mut RecordWriter) -> Result<(), EncodeError> {
    let day = yesterday(at);
    let seed = meter.seed;
    let (now, target_volume) = (meter.volume_at(at), meter.volume_at(target(at)));
    let (flow, highest_flow, lowest_flow) =
        (flow(meter, at), highest_flow(meter, &day), lowest_flow(meter, &day));
    let water = |at| climate::water(seed, at);
    records
        .raw(&[0x04, 0xFF, 0x23], &water_codes(meter, at, &WORD_32).to_le_bytes())?
        .integer(&[0x04, 0x13], litres(now))?
        .integer(&[0x44, 0x13], litres(target_volume))?
        .raw(&[0x42, 0x6C], &type_g(calendar::date_of(target(at))))?
        .integer(&[0x02, 0x3B], litres(flow))?
        .integer(&[0x92, 0x01, 0x3B], litres(highest_flow))?
        .integer(&[0xA2, 0x01, 0x3B], litres(lowest_flow))?
        .raw(&[0x06, 0xFF, 0x1B], &noise(seed, at))?
        .integer(&[0xA1, 0x01, 0x5B], degrees(lowest(&day, HOUR, water)))?
        .integer(&[0x91, 0x01, 0x5B], degrees(-lowest(&day, HOUR, |at| -water(at))))?
        .integer(&[0xA1, 0x01, 0x67], degrees(lowest(&day, HOUR, |at| climate::ambient(seed, at))))
        .map(drop)
}

/// Date and time, volume by 100 l, info codes, acoustic noise, target date and volume.
fn flowiq2200_oms(meter: &mut Meter, at: i64, records: &mut RecordWriter) -> Result<(), EncodeError> {
    let (now, target_volume) = (meter.volume_at(at), meter.volume_at(target(at)));
    let dry = u16::from(is_told(meter.events(), Trouble::Dry, at));
    records
        .raw(&[0x04, 0x6D], &type_f(at))?
        .integer(&[0x04, 0x15], now.div_euclid(100_000))?
        .raw(&[0x02, 0xFF, 0x25], &dry.to_le_bytes())?
        .raw(&[0x06, 0xFF, 0x1B], &noise(meter.seed, at))?
        .raw(&[0x44, 0x6D], &type_f(target(at)))?
        .integer(&[0x44, 0x15], target_volume.div_euclid(100_000))
        .map(drop)
}

/// Energy, products, volume, flow, temperatures, info codes, date; energy and volume at the target date.
fn multical403(
    heating: &mut Heating,
    codes: u32,
    at: i64,
    records: &mut RecordWriter,
) -> Result<(), EncodeError> {
    let (now, then, load) = (heating.counted_at(at), heating.counted_at(target(at)), heating.load(at));
    records
        .integer(&[0x04, 0x06], now.watt_hours / 1_000)?
        .integer(&[0x04, 0xFF, 0x07], now.times_flow / 100_000_000)?
        .integer(&[0x04, 0xFF, 0x08], now.times_return / 100_000_000)?
        .integer(&[0x04, 0x14], now.millilitres / 10_000)?
        .integer(&[0x04, 0x3B], litres(load.flow))?
        .integer(&[0x02, 0x59], load.t1)?
        .integer(&[0x02, 0x5D], load.t2)?
        .raw(&[0x04, 0xFF, 0x22], &codes.to_le_bytes())?
        .raw(&[0x02, 0x6C], &type_g(calendar::date_of(at)))?
        .integer(&[0x44, 0x06], then.watt_hours / 1_000)?
        .integer(&[0x44, 0x14], then.millilitres / 10_000)?
        .raw(&[0x42, 0x6C], &type_g(calendar::date_of(target(at))))
        .map(drop)
}

/// Where dry, reverse, leak and burst have their duration classes; the bits of now are the lowest four of both words.
type Classes = [u32; 4];
const WORD_16: Classes = [4, 7, 10, 13];
const WORD_32: Classes = [11, 14, 17, 20];

fn water_codes(meter: &Meter, at: i64, classes: &Classes) -> u32 {
    let mut word = 0;
    for (bit, (trouble, class)) in (0..).zip(TROUBLES.into_iter().zip(classes)) {
        word |= u32::from(is_told(meter.events(), trouble, at)) << bit;
        word |= duration_class(meter.events(), trouble, at) << class;
    }
    word
}

/// Air in the pipe, wrong direction, loss by leak, loss by burst.
fn heat_codes(meter: &Meter, at: i64) -> u32 {
    let bits = TROUBLES.into_iter().zip([8, 9, 30, 28]);
    bits.map(|(trouble, bit)| u32::from(is_told(meter.events(), trouble, at)) << bit).sum()
}

fn flow(meter: &mut Meter, at: i64) -> i64 {
    let lasting = meter.events().filter(|event| event.lasts(at));
    let (dry, added) = lasting.fold((false, 0), |(dry, added), event| {
        (dry || event.trouble == Trouble::Dry, added + event.signed_flow())
    });
    match &mut meter.source {
        Source::Water(household) if !dry => household.flow_at(at) + added,
        _ => added,
    }
}

/// The household's highest flow, and the strongest event that lasted in that time.
fn highest_flow(meter: &mut Meter, day: &std::ops::Range<i64>) -> i64 {
    let touching = meter.events().filter(|event| event.from < day.end && event.to > day.start);
    let strongest = touching.map(|event| event.signed_flow()).max().unwrap_or(0).max(0);
    match &mut meter.source {
        Source::Water(household) => household.highest_flow(day.start) + strongest,
        Source::Heat(_) => 0,
    }
}

/// Nights have seconds without any draw, so only an event that lasted all the time leaves a flow.
fn lowest_flow(meter: &Meter, day: &std::ops::Range<i64>) -> i64 {
    let whole = meter.events().filter(|event| event.from <= day.start && event.to >= day.end);
    whole.map(|event| event.signed_flow()).sum::<i64>().max(0)
}

/// When the running month began: the target date of all meters.
fn target(at: i64) -> i64 {
    calendar::begin_of_date(calendar::date_of(at).first_of_month())
}

fn last_month(at: i64) -> std::ops::Range<i64> {
    let end = target(at);
    target(end - 1)..end
}

fn yesterday(at: i64) -> std::ops::Range<i64> {
    let (day, _) = calendar::day_of(at);
    calendar::begin_of(day - 1)..calendar::begin_of(day)
}

fn lowest(span: &std::ops::Range<i64>, step: i64, value: impl Fn(i64) -> i64) -> i64 {
    let steps = (span.end - span.start) / step;
    (0..steps).map(|number| value(span.start + number * step)).min().unwrap_or(0)
}

/// Registers show whole litres, flows whole litres an hour.
fn litres(millilitres: i64) -> i64 {
    millilitres.div_euclid(1_000)
}

fn degrees(hundredths: i64) -> i64 {
    hundredths.div_euclid(100)
}

fn low_half(word: u32) -> [u8; 2] {
    let [low, high, _, _] = word.to_le_bytes();
    [low, high]
}

/// What it means only the manufacturer knows; it looks like what real meters send.
fn noise(seed: u64, at: i64) -> [u8; 6] {
    let mut chance = Chance::new(seed, Purpose::Temperature, at.div_euclid(DAY));
    let level = u8::try_from(chance.between(4, 9)).unwrap_or(0);
    [level, 0x70, 0, level + 1, 0x70, 0]
}

fn type_g(date: civil::Date) -> [u8; 2] {
    day(date).to_type_g()
}

fn type_f(at: i64) -> [u8; 4] {
    let (_, second) = calendar::day_of(at);
    let part = |number: i64| u8::try_from(number).unwrap_or(0);
    let time = Time { hour: part(second / HOUR), minute: part(second % HOUR / 60), second: None };
    DateTime { date: day(calendar::date_of(at)), time, summer: false }.to_type_f()
}

fn day(date: civil::Date) -> Date {
    let number = |number: i8| number.unsigned_abs();
    Date { year: date.year().unsigned_abs(), month: number(date.month()), day: number(date.day()) }
}
