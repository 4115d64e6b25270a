//! Info codes: the meter's own condition flags.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Word;
use crate::text::words;

words! {
    /// A condition that the meter itself reports, as a word.
    ///
    /// The words of water meters come from Kamstrup's info registers FF20, FF23 and FF24, those of heat and cooling
    /// meters from FF22 and from the error flags of MULTICAL 402 and 602. A set bit without a public meaning is
    /// `bit_17`, by its number in the info register.
    Code {
        /// The flow sensor is not filled with water.
        Dry = "dry",
        /// Water flows the wrong way.
        Reverse = "reverse",
        /// Water has not stood still for a whole hour in the last 24 hours (continuous flow).
        Leak = "leak",
        /// Constantly high flow for at least half an hour.
        Burst = "burst",
        /// Somebody tampered with the meter.
        Tamper = "tamper",
        /// The battery is nearly empty.
        LowBattery = "low_battery",
        /// Cold around the meter, danger of frost.
        AmbientTemperatureLow = "ambient_temperature_low",
        /// Hot around the meter.
        AmbientTemperatureHigh = "ambient_temperature_high",
        /// More than the overload flow Q4.
        FlowAboveQ4 = "flow_above_q4",
        /// No water used for long.
        NoConsumption = "no_consumption",
        /// The supply voltage was interrupted.
        SupplyInterrupted = "supply_interrupted",
        /// Sensor error or external alarm.
        SensorError = "sensor_error",
        /// Sensor t1 above its range or disconnected.
        T1AboveRange = "t1_above_range",
        /// Sensor t2 above its range or disconnected.
        T2AboveRange = "t2_above_range",
        /// Sensor t3 above its range or disconnected.
        T3AboveRange = "t3_above_range",
        /// Sensor t1 below its range or short-circuited.
        T1BelowRange = "t1_below_range",
        /// Sensor t2 below its range or short-circuited.
        T2BelowRange = "t2_below_range",
        /// Sensor t3 below its range or short-circuited.
        T3BelowRange = "t3_below_range",
        /// Sensor t1 outside its range, either way.
        T1OutsideRange = "t1_outside_range",
        /// Sensor t2 outside its range, either way.
        T2OutsideRange = "t2_outside_range",
        /// Sensor t3 outside its range, either way.
        T3OutsideRange = "t3_outside_range",
        /// The difference t1 - t2 is wrong.
        WrongTemperatureDifference = "wrong_temperature_difference",
        /// Air in flow sensor V1, or a weak signal.
        V1Air = "v1_air",
        /// Air in flow sensor V2, or a weak signal.
        V2Air = "v2_air",
        /// Flow through V1 the wrong way.
        V1WrongDirection = "v1_wrong_direction",
        /// Flow through V2 the wrong way.
        V2WrongDirection = "v2_wrong_direction",
        /// Flow through V1 above its limit for more than an hour.
        V1FlowHigh = "v1_flow_high",
        /// Flow through V2 above its limit.
        V2FlowHigh = "v2_flow_high",
        /// No communication with flow sensor V1, or wrong data from it.
        V1CommunicationError = "v1_communication_error",
        /// No communication with flow sensor V2, or wrong data from it.
        V2CommunicationError = "v2_communication_error",
        /// Flow sensor V1 has the wrong pulse figure.
        V1PulseFigure = "v1_pulse_figure",
        /// Flow sensor V2 has the wrong pulse figure.
        V2PulseFigure = "v2_pulse_figure",
        /// Leak behind pulse input A.
        InputALeak = "input_a_leak",
        /// Leak behind pulse input B.
        InputBLeak = "input_b_leak",
        /// Leak behind pulse input A2.
        InputA2Leak = "input_a2_leak",
        /// Leak behind pulse input B2.
        InputB2Leak = "input_b2_leak",
        /// External alarm on input A.
        InputAAlarm = "input_a_alarm",
        /// External alarm on input B.
        InputBAlarm = "input_b_alarm",
        /// Heat circuit: burst, water loss.
        BurstLoss = "burst_loss",
        /// Heat circuit: burst, penetration.
        BurstPenetration = "burst_penetration",
        /// Heat circuit: leak, water loss.
        LeakLoss = "leak_loss",
        /// Heat circuit: leak, penetration.
        LeakPenetration = "leak_penetration",
        /// Leak of cold water, seen by a heat meter.
        ColdWaterLeak = "cold_water_leak",
        /// Leak of heating water.
        HeatingLeak = "heating_leak",
        /// Burst of the heating circuit.
        HeatingBurst = "heating_burst",
    }
}

impl Code {
    /// A set bit of the info register without a public meaning, numbered from the lowest, 0.
    ///
    /// ```
    /// assert_eq!(messages::reading::Code::bit(17).as_str(), "bit_17");
    /// ```
    #[must_use]
    pub fn bit(number: u8) -> Self {
        Self::Other(Word::numbered("bit_", number))
    }
}

/// Hours with a code during the last 30 days, as the meter counts them: 0 none, 1 up to 8 h, 2 up to 24 h, 3 up to
/// 3 days, 4 up to 7, 5 up to 14, 6 up to 21, 7 more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub struct DurationClass(#[schemars(range(max = 7))] u8);

impl DurationClass {
    /// The class, 0 to 7.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for DurationClass {
    type Error = NotADurationClass;

    fn try_from(number: u8) -> Result<Self, NotADurationClass> {
        if number <= 7 { Ok(Self(number)) } else { Err(NotADurationClass) }
    }
}

impl From<DurationClass> for u8 {
    fn from(class: DurationClass) -> Self {
        class.0
    }
}

/// A number is not a duration class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a duration class is 0 to 7")]
pub struct NotADurationClass;

/// How many minutes of one hour, 0 to 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub struct Minutes(#[schemars(range(max = 60))] u8);

impl Minutes {
    /// The minutes, 0 to 60.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Minutes {
    type Error = NotMinutes;

    fn try_from(number: u8) -> Result<Self, NotMinutes> {
        if number <= 60 { Ok(Self(number)) } else { Err(NotMinutes) }
    }
}

impl From<Minutes> for u8 {
    fn from(minutes: Minutes) -> Self {
        minutes.0
    }
}

/// A number is not a count of minutes in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an hour has 0 to 60 minutes")]
pub struct NotMinutes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_word_is_read_as_itself_and_others_are_kept() {
        for code in Code::KNOWN {
            assert_eq!(code.as_str().parse().as_ref(), Ok(code));
        }
        assert_eq!("bit_17".parse(), Ok(Code::bit(17)));
        assert!("Leak".parse::<Code>().is_err());
    }

    #[test]
    fn classes_and_minutes_have_their_bounds() {
        assert_eq!(DurationClass::try_from(8), Err(NotADurationClass));
        assert_eq!(Minutes::try_from(61), Err(NotMinutes));
        assert_eq!(Minutes::try_from(60).map(Minutes::number), Ok(60));
    }
}
