//! Hours of consumption out of registers: exact, with gaps shown as gaps.

use std::collections::BTreeMap;

use messages::reading::{HourRow, Role};
use messages::{Decimal, Hour, Quantity, Time, Unit};
use serde::Serialize;

const HOUR: i64 = 3600;
/// What bridges more than this is an estimate.
const ESTIMATED: i64 = 90 * 60;

/// One hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HourLine {
    /// The full hour at its end.
    pub(super) boundary: Hour,
    /// The register nearest to that, if there is a row.
    pub(super) register: Option<Quantity>,
    /// When it was taken, seconds after the boundary.
    pub(super) offset_s: Option<i32>,
    /// What was consumed during the hour; absent where no register stands on both sides.
    pub(super) consumption: Option<Quantity>,
    /// It is a part of what was consumed over a longer gap.
    pub(super) estimated: bool,
    pub(super) codes: Vec<String>,
    pub(super) telegrams: u32,
    pub(super) rssi_dbm: Option<i16>,
}

/// The register that the table is about: the wanted one, else the volume, else the first that the rows have.
pub(super) fn role(rows: &BTreeMap<Hour, HourRow>, wanted: Option<&Role>) -> Option<Role> {
    let has = |role: &Role| rows.values().any(|row| row.registers.contains_key(role));
    match wanted {
        Some(role) => Some(role.clone()).filter(has),
        None if has(&Role::Volume) => Some(Role::Volume),
        None => rows.values().find_map(|row| row.registers.keys().next().cloned()),
    }
}

/// The hours that end after `from` up to `to`, oldest first. Rows from before `from` serve as neighbours.
pub(super) fn hours(rows: &BTreeMap<Hour, HourRow>, role: &Role, from: Hour, to: Hour) -> Vec<HourLine> {
    let series = Series::of(rows, role);
    let mut lines = Vec::new();
    let mut boundary = from.time().unix() + HOUR;
    while boundary <= to.time().unix() {
        if let Some(hour) = Time::from_unix(boundary).and_then(Hour::exact) {
            lines.push(line(&series, rows.get(&hour), role, hour));
        }
        boundary += HOUR;
    }
    lines
}

fn line(series: &Series, row: Option<&HourRow>, role: &Role, boundary: Hour) -> HourLine {
    let register = row.and_then(|row| row.registers.get(role));
    let end = boundary.time().unix();
    let (consumption, estimated) = match (series.at(end - HOUR), series.at(end)) {
        (Some(start), Some(end)) => {
            (series.quantity(end.value - start.value), start.bridge.max(end.bridge) > ESTIMATED)
        }
        _ => (None, false),
    };
    HourLine {
        boundary,
        register: register.map(|register| register.value),
        offset_s: register.map(|register| register.offset),
        consumption,
        estimated,
        codes: row.into_iter().flat_map(|row| &row.codes).map(ToString::to_string).collect(),
        telegrams: row.map_or(0, |row| row.telegrams),
        rssi_dbm: row.and_then(|row| row.rssi),
    }
}

/// A register over time, in millionths of its unit: of a volume whole millilitres.
struct Series {
    points: BTreeMap<i64, i64>,
    unit: Option<Unit>,
}

struct Interpolated {
    value: i64,
    /// How far apart the readings stand that it lies between.
    bridge: i64,
}

impl Series {
    fn of(rows: &BTreeMap<Hour, HourRow>, role: &Role) -> Self {
        let mut series = Self { points: BTreeMap::new(), unit: None };
        for row in rows.values() {
            let Some(register) = row.registers.get(role) else { continue };
            let unit = *series.unit.get_or_insert(register.value.unit);
            if let (true, Some(value)) = (unit == register.value.unit, register.value.value.in_units_of(-6)) {
                let at = row.boundary.time().unix().saturating_add(i64::from(register.offset));
                series.points.insert(at, value);
            }
        }
        series
    }

    /// Linear between the two neighbouring readings, rounded down; nothing before the first and after the last.
    fn at(&self, time: i64) -> Option<Interpolated> {
        let (before, low) = self.points.range(..=time).next_back()?;
        if *before == time {
            return Some(Interpolated { value: *low, bridge: 0 });
        }
        let (after, high) = self.points.range(time..).next()?;
        let bridge = after - before;
        let rise = i128::from(high - low) * i128::from(time - before);
        let value = i128::from(*low) + rise.div_euclid(i128::from(bridge));
        Some(Interpolated { value: i64::try_from(value).ok()?, bridge })
    }

    fn quantity(&self, millionths: i64) -> Option<Quantity> {
        Some(Quantity { unit: self.unit?, value: Decimal::new(millionths, -6)? })
    }
}

/// A consumption for people: water in litres, anything else in its own unit.
pub(super) fn say(consumption: Quantity) -> String {
    match consumption.unit {
        Unit::CubicMetre => {
            let tenths = consumption.value.in_units_of(-4).unwrap_or_default();
            Decimal::new(tenths, -1).map_or_else(String::new, |litres| format!("{litres} l"))
        }
        _ => consumption
            .value
            .in_units_of(-3)
            .and_then(|value| Decimal::new(value, -3))
            .map_or_else(String::new, |value| Quantity { unit: consumption.unit, value }.to_string()),
    }
}

/// A line of bars, one for each hour, `·` where nothing is known.
pub(super) fn sparkline(lines: &[HourLine]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let amount = |line: &HourLine| line.consumption.and_then(|used| used.value.in_units_of(-6));
    let most = lines.iter().filter_map(amount).max().unwrap_or_default().max(1);
    let bar = |line| match amount(line) {
        None => '·',
        Some(amount) => {
            let step = amount.max(0).saturating_mul(7).saturating_add(most - 1) / most;
            usize::try_from(step).ok().and_then(|step| BARS.get(step)).copied().unwrap_or('█')
        }
    };
    lines.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[(&str, &str, i32)]) -> BTreeMap<Hour, HourRow> {
        let row = |(boundary, volume, offset): &(&str, &str, i32)| -> (Hour, HourRow) {
            let row: HourRow = serde_json::from_value(serde_json::json!({
                "meter": "KAM.76348799.1B.16", "boundary": boundary, "checked": "checksum",
                "registers": { "volume": [volume, offset] }, "telegrams": 9,
            }))
            .unwrap();
            (row.boundary, row)
        };
        list.iter().map(row).collect()
    }

    fn shown(list: &[(&str, &str, i32)], from: &str, to: &str) -> Vec<(Option<String>, bool)> {
        let rows = rows(list);
        let lines = hours(&rows, &Role::Volume, from.parse().unwrap(), to.parse().unwrap());
        lines.iter().map(|line| (line.consumption.map(say), line.estimated)).collect()
    }

    #[test]
    fn sums_of_hours_equal_the_difference_of_registers_and_gaps_are_estimates() {
        let shown = shown(
            &[
                ("2026-11-24T01:00:00Z", "5.000 m3", 0),
                ("2026-11-24T02:00:00Z", "5.012 m3", 0),
                ("2026-11-24T05:00:00Z", "5.112 m3", 0),
            ],
            "2026-11-24T00:00:00Z",
            "2026-11-24T06:00:00Z",
        );
        let estimate = |text: &str| (Some(text.to_owned()), true);
        assert_eq!(
            shown,
            [
                (None, false),
                (Some("12.0 l".to_owned()), false),
                estimate("33.3 l"),
                estimate("33.3 l"),
                estimate("33.3 l"),
                (None, false)
            ]
        );
    }

    #[test]
    fn a_register_taken_beside_the_hour_is_brought_to_it() {
        let shown = shown(
            &[
                ("2026-11-24T01:00:00Z", "5.000 m3", 0),
                ("2026-11-24T02:00:00Z", "5.010 m3", -1800),
                ("2026-11-24T03:00:00Z", "5.040 m3", 0),
            ],
            "2026-11-24T01:00:00Z",
            "2026-11-24T03:00:00Z",
        );
        assert_eq!(shown, [(Some("20.0 l".to_owned()), false), (Some("20.0 l".to_owned()), false)]);
    }

    #[test]
    fn bars_rise_with_the_consumption_and_unknown_hours_are_dots() {
        let rows = rows(&[
            ("2026-11-24T01:00:00Z", "5.000 m3", 0),
            ("2026-11-24T02:00:00Z", "5.000 m3", 0),
            ("2026-11-24T03:00:00Z", "5.001 m3", 0),
            ("2026-11-24T04:00:00Z", "5.101 m3", 0),
        ]);
        let lines = hours(
            &rows,
            &Role::Volume,
            "2026-11-24T00:00:00Z".parse().unwrap(),
            "2026-11-24T05:00:00Z".parse().unwrap(),
        );
        assert_eq!(sparkline(&lines), "·▁▂█·");
    }
}
