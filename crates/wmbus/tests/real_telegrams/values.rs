//! Our values, found by selectors and compared in the unit of the expected name.

use serde_json::Value as Json;
use wmbus::meter::{Amount, InfoCode, Period, Statistic};
use wmbus::record::{Absent, Function, Item, Quantity, Record, Value};
use wmbus::{Decimal, DeviceType, Reading, Telegram, What};

/// Where an expected value is found with us.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Selector {
    /// The number of the meter.
    Serial,
    /// The device type, compared by the other program's word.
    Media,
    /// Status byte and info codes together.
    Status,
    /// How long an info code was active.
    Duration(InfoCode),
    /// A measure of the reading.
    Measure { what: What, statistic: Statistic, period: Period, tariff: u32, subunit: u16 },
    /// A record that is no measure of a reading, or one of several: `nth` counts those that fit from 0.
    Record { quantity: Quantity, function: Function, storage: u64, nth: usize },
    /// The same, as the digits or hexadecimal bytes it was sent as.
    Digits(Quantity),
}

/// Everything a telegram told.
pub(crate) struct Values<'a> {
    pub(crate) telegram: &'a Telegram<'a>,
    pub(crate) reading: Reading,
    pub(crate) items: Vec<Item<'a>>,
}

/// One value of ours.
#[derive(Clone, Debug)]
pub(crate) enum Ours {
    Number(Decimal, &'static str),
    Text(String),
    Device(DeviceType),
    Words(Vec<String>),
    Absent,
}

impl Values<'_> {
    pub(crate) fn select(&self, selector: &Selector) -> Option<Ours> {
        match *selector {
            Selector::Serial => Some(Ours::Text(self.telegram.meter().serial.to_string().to_lowercase())),
            Selector::Media => Some(Ours::Device(self.telegram.meter().device)),
            Selector::Status => self.status(),
            Selector::Duration(code) => {
                let mut durations = self.reading.info?.durations();
                let (_, class) = durations.find(|(of, _)| *of == code)?;
                Some(Ours::Text(if class.number() == 0 { String::new() } else { class.words().to_owned() }))
            }
            Selector::Measure { what, statistic, period, tariff, subunit } => {
                let wanted = (what, statistic, period, tariff, subunit);
                let is = |m: &&wmbus::meter::Measure| {
                    (m.what, m.statistic, m.period, m.tariff, m.subunit) == wanted
                };
                let measure = self.reading.measures.iter().find(is)?;
                Some(match measure.amount {
                    Amount::Number(number) => Ours::Number(number, measure.unit),
                    Amount::Date(date) => Ours::Text(date.to_string()),
                    Amount::DateTime(moment) => Ours::Text(moment.to_string()),
                    Amount::Opaque(bytes) => Ours::Text(format!("{bytes:02X?}")),
                    Amount::Absent => Ours::Absent,
                })
            }
            Selector::Record { quantity, function, storage, nth } => {
                let wanted = (quantity, function, storage);
                let is = |r: &&Record<'_>| {
                    (r.quantity, r.header.function, r.header.storage) == wanted && !r.modifiers.backward
                };
                let record = self.records().filter(is).nth(nth)?;
                Some(match record.value {
                    Value::Number(number) => Ours::Number(number, record.unit),
                    Value::Date(date) => Ours::Text(date.to_string()),
                    Value::DateTime(moment) => Ours::Text(moment.to_string()),
                    Value::Text(text) => Ours::Text(text.to_string()),
                    Value::Absent(Absent::NotAvailable) => Ours::Absent,
                    _ => return None,
                })
            }
            Selector::Digits(quantity) => {
                let record = self.records().find(|record| record.quantity == quantity)?;
                Some(Ours::Text(match record.value {
                    Value::Text(text) => text.to_string(),
                    _ => record.data.iter().rev().map(|byte| format!("{byte:02X}")).collect(),
                }))
            }
        }
    }

    fn records(&self) -> impl Iterator<Item = &Record<'_>> {
        self.items.iter().filter_map(|item| match item {
            Item::Record(record) => Some(record),
            _ => None,
        })
    }

    /// Not reported is not "OK": `None`.
    fn status(&self) -> Option<Ours> {
        if self.reading.status.is_none() && self.reading.info.is_none() {
            return None;
        }
        let status = self.reading.status.into_iter().flat_map(|status| status.words());
        let codes = self.reading.info.into_iter().flat_map(|info| info.codes());
        let words = status.map(str::to_owned).chain(codes.map(|code| code.to_string()));
        Some(Ours::Words(words.map(|word| their_word(&word)).collect()))
    }
}

impl Ours {
    /// Whether it is what the other program says; the unit stands at the end of the name.
    pub(crate) fn equals(&self, name: &str, expected: &Json) -> bool {
        match (self, expected) {
            (Self::Absent, Json::Null) => true,
            (Self::Text(text), Json::String(expected)) => text == expected,
            (Self::Words(words), Json::String(expected)) => {
                let expected = if expected == "OK" { "" } else { expected };
                let mut theirs: Vec<&str> = expected.split_whitespace().collect();
                let mut ours: Vec<&str> = words.iter().map(String::as_str).collect();
                theirs.sort_unstable();
                ours.sort_unstable();
                theirs == ours
            }
            (Self::Device(device), Json::String(expected)) => their_media(*device) == Some(expected.as_str()),
            (Self::Number(number, unit), Json::Number(expected)) => {
                let expected = expected.to_string();
                match factor(unit, name) {
                    None => false,
                    Some((1, 1)) => decimal(&expected) == *number,
                    // They round to six digits, we do not divide: compare crosswise, to half of the last digit.
                    Some((by, over)) => {
                        let ours = i128::from(number.scaled_to(-6).unwrap()) * by;
                        let theirs = i128::from(decimal(&expected).scaled_to(-6).unwrap()) * over;
                        2 * (ours - theirs).abs() <= over
                    }
                }
            }
            _ => false,
        }
    }
}

/// Our unit into the one at the end of the name: times the first, divided by the second.
fn factor(unit: &str, name: &str) -> Option<(i128, i128)> {
    let theirs = name.rsplit('_').next()?;
    Some(match (unit, theirs) {
        ("MJ", "kwh") => (10, 36),
        ("s", "h") => (1, 3600),
        ("d", "y") => (10_000, 3_652_425),
        ("kWh", "kwh") | ("kW", "kw") | ("m³", "m3") | ("m³/h", "m3h") | ("m³·°C", "m3c") => (1, 1),
        ("°C" | "K", "c" | "temperature") | ("V", "v") | ("h", "h") | ("s", "s") => (1, 1),
        ("", "counter") => (1, 1),
        _ => return None,
    })
}

fn decimal(text: &str) -> Decimal {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let exponent = -i8::try_from(fraction.len()).unwrap();
    Decimal::new(format!("{whole}{fraction}").parse().unwrap(), exponent)
}

fn their_word(ours: &str) -> String {
    match ours {
        "t1_below_range" => "SENSOR_T1_BELOW_MEASURING_RANGE".to_owned(),
        "t2_below_range" => "SENSOR_T2_BELOW_MEASURING_RANGE".to_owned(),
        "abnormal_condition" => "ALARM".to_owned(),
        other => other.to_uppercase(),
    }
}

fn their_media(device: DeviceType) -> Option<&'static str> {
    Some(match device.0 {
        0x02 => "electricity",
        0x04 => "heat",
        0x06 => "warm water",
        0x07 => "water",
        0x0A => "cooling load volume at outlet",
        0x0C => "heat volume at inlet",
        0x0D => "heat/cooling load",
        0x16 => "cold water",
        _ => return None,
    })
}
