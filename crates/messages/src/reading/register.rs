//! Cumulative counters and the extremes of an hour.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Quantity;
use crate::text::words;

/// A register taken within this many seconds of the boundary counts as taken on it.
pub const SNAP: u32 = 60;

words! {
    /// What a register counts.
    Role {
        /// Volume forwards (m3); of a heat meter V1.
        Volume = "volume",
        /// Volume backwards (m3).
        ReverseVolume = "reverse_volume",
        /// Heat energy E1 (kWh or GJ).
        HeatEnergy = "heat_energy",
        /// Cooling energy E3 (kWh or GJ).
        CoolingEnergy = "cooling_energy",
        /// Volume times inlet temperature, E8 (m3°C).
        VolumeTimesInlet = "volume_times_inlet",
        /// Volume times outlet temperature, E9 (m3°C).
        VolumeTimesOutlet = "volume_times_outlet",
        /// Pulse input A (m3, kWh or pulses).
        InputA = "input_a",
        /// Pulse input B (m3, kWh or pulses).
        InputB = "input_b",
        /// Electricity taken from the net, A+ (kWh).
        ElectricityImport = "electricity_import",
        /// Electricity given to the net, A- (kWh).
        ElectricityExport = "electricity_export",
        /// Pressure (bar). A momentary value, carried like a register: the one nearest to the boundary.
        Pressure = "pressure",
    }
}

/// One register reading: exact value, and when it was taken. On the wire `["123.456 m3", -7]`.
///
/// Its order is the order of preference: nearest to the boundary first, then the earlier one, then the lower value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(Quantity, i32)", into = "(Quantity, i32)")]
pub struct Register {
    /// The counter.
    pub value: Quantity,
    /// When it was taken: seconds after the boundary, negative before it. -3600 to 120 in a row written in time.
    pub offset: i32,
}

impl Register {
    /// The same reading with an offset within [`SNAP`] seconds of the boundary made 0.
    #[must_use]
    pub const fn snapped(self) -> Self {
        if self.offset.unsigned_abs() <= SNAP { Self { offset: 0, ..self } } else { self }
    }
}

impl Ord for Register {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |register: &Self| (register.offset.unsigned_abs(), register.offset, register.value);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Register {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<(Quantity, i32)> for Register {
    fn from((value, offset): (Quantity, i32)) -> Self {
        Self { value, offset }
    }
}

impl From<Register> for (Quantity, i32) {
    fn from(register: Register) -> Self {
        (register.value, register.offset)
    }
}

/// Lowest and highest of something during an hour. On the wire `["0 l/h", "412 l/h"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(Quantity, Quantity)", into = "(Quantity, Quantity)")]
pub struct Extremes {
    low: Quantity,
    high: Quantity,
}

impl Extremes {
    /// The extremes of one value.
    #[must_use]
    pub const fn of(value: Quantity) -> Self {
        Self { low: value, high: value }
    }

    /// The lowest.
    #[must_use]
    pub const fn low(self) -> Quantity {
        self.low
    }

    /// The highest.
    #[must_use]
    pub const fn high(self) -> Quantity {
        self.high
    }

    /// Extremes that span both.
    #[must_use]
    pub fn widened(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

impl From<(Quantity, Quantity)> for Extremes {
    fn from((one, two): (Quantity, Quantity)) -> Self {
        Self::of(one).widened(Self::of(two))
    }
}

impl From<Extremes> for (Quantity, Quantity) {
    fn from(extremes: Extremes) -> Self {
        (extremes.low, extremes.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(value: &str, offset: i32) -> Register {
        Register { value: value.parse().unwrap(), offset }
    }

    #[test]
    fn the_nearest_is_preferred_then_the_earlier_then_the_lower() {
        assert!(register("2 m3", 61) < register("1 m3", -62));
        assert!(register("2 m3", -70) < register("1 m3", 70));
        assert!(register("1 m3", 0) < register("2 m3", 0));
    }

    #[test]
    fn sixty_seconds_are_on_the_hour_and_sixty_one_are_not() {
        assert_eq!(register("1 m3", -60).snapped().offset, 0);
        assert_eq!(register("1 m3", 60).snapped().offset, 0);
        assert_eq!(register("1 m3", 61).snapped().offset, 61);
        assert_eq!(register("1 m3", i32::MIN).snapped().offset, i32::MIN);
    }
}
