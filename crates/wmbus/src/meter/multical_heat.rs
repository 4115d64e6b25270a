//! Heat and cooling meters: MULTICAL 302, 303, 402, 403, 602, 603, 803.
//!
//! Energies E1 (heat) and E3 (cooling), volume V1, the products E8 = V1 x t1 and E9 = V1 x t2, flow and return
//! temperature, flow, power, pulse inputs A and B, info codes. Sources: Kamstrup's technical descriptions of MULTICAL
//! 403, 602 and 603, and public telegrams.

use crate::address::Manufacturer;
use crate::decimal::Decimal;
use crate::meter::info::{InfoCode, InfoLayout};
use crate::meter::{Amount, Field, Model, Period, Profile, Reading, Statistic, What};

/// Heat and cooling, wherever the flow sensor sits.
pub(crate) const HEAT: &[u8] = &[0x04, 0x0A, 0x0B, 0x0C, 0x0D];

/// The family.
pub static PROFILE: Profile = Profile {
    name: "MULTICAL 302, 303, 402, 403, 602, 603, 803",
    models: &[
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x30, devices: HEAT, name: "MULTICAL 302" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x40, devices: HEAT, name: "MULTICAL 303" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x19, devices: HEAT, name: "MULTICAL 402" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x34, devices: HEAT, name: "MULTICAL 403" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x1C, devices: HEAT, name: "MULTICAL 602" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x35, devices: HEAT, name: "MULTICAL 603" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x39, devices: HEAT, name: "MULTICAL 803" },
    ],
    fields: &[
        Field::info(&[0xFF, 0x22], &INFO_32),
        Field::info(&[0xFD, 0x17], &FLAGS_16),
        Field::info(&[0xFF, 0x21], &INFO_8),
        Field::measure(&[0xFF, 0x07], What::VolumeFlowTemperature, "m³·°C"),
        Field::measure(&[0xFF, 0x08], What::VolumeReturnTemperature, "m³·°C"),
        // The older calculators put the same two behind another VIF.
        Field::measure(&[0xEE, 0xFF, 0x07], What::VolumeFlowTemperature, "m³·°C"),
        Field::measure(&[0xEE, 0xFF, 0x08], What::VolumeReturnTemperature, "m³·°C"),
        Field::unread(&[0xF9, 0xFF, 0x15]),
    ],
    electric: false,
    water: false,
    loggers: true,
    temperature_start_values: false,
    finish: broken_sensors,
};

/// A broken sensor is sent as 0.00 or 185.00 °C beside an info code that says so: no temperature. The code tells of
/// now; 185.00 is beyond what the meters measure at any time.
pub(crate) fn broken_sensors(reading: &mut Reading) {
    let broken = |what: What| {
        let codes = match what {
            What::FlowTemperature | What::WaterTemperature => [T1_ABOVE, T1_BELOW, T1_OUTSIDE],
            What::ReturnTemperature => [T2_ABOVE, T2_BELOW, T2_OUTSIDE],
            _ => return false,
        };
        reading.info.is_some_and(|info| info.codes().any(|code| codes.contains(&code)))
    };
    let (t1, t2) = (broken(What::FlowTemperature), broken(What::ReturnTemperature));
    for measure in &mut reading.measures {
        let now = measure.period == Period::Now && measure.statistic == Statistic::Actual;
        let top = || measure.amount == Amount::Number(Decimal::new(185, 0));
        let absent = match measure.what {
            What::FlowTemperature | What::WaterTemperature => now && t1 || top(),
            What::ReturnTemperature => now && t2 || top(),
            What::TemperatureDifference => now && (t1 || t2),
            _ => false,
        };
        if absent {
            measure.amount = Amount::Absent;
        }
    }
}

const T1_ABOVE: InfoCode = InfoCode::Named("t1_above_range");
const T2_ABOVE: InfoCode = InfoCode::Named("t2_above_range");
const T1_BELOW: InfoCode = InfoCode::Named("t1_below_range");
const T2_BELOW: InfoCode = InfoCode::Named("t2_below_range");
const T1_OUTSIDE: InfoCode = InfoCode::Named("t1_outside_range");
const T2_OUTSIDE: InfoCode = InfoCode::Named("t2_outside_range");

/// `FF22` of MULTICAL 303 (sixteen bits), 403, 603 and 803 (32 bits). Bit 2 has two meanings in the documents: a sensor
/// error or an external alarm.
static INFO_32: InfoLayout = InfoLayout {
    bits: &[
        (0, InfoCode::Named("supply_interrupted")),
        (1, InfoCode::LowBattery),
        (2, InfoCode::Named("sensor_error")),
        (3, T1_ABOVE),
        (4, T2_ABOVE),
        (5, T1_BELOW),
        (6, T2_BELOW),
        (7, InfoCode::Named("wrong_temperature_difference")),
        (8, InfoCode::Named("v1_air")),
        (9, InfoCode::Named("v1_wrong_direction")),
        (11, InfoCode::Named("v1_flow_high")),
        (12, InfoCode::Named("input_a_leak")),
        (13, InfoCode::Named("input_b_leak")),
        (14, InfoCode::Named("input_a_alarm")),
        (15, InfoCode::Named("input_b_alarm")),
        (16, InfoCode::Named("v1_communication_error")),
        (17, InfoCode::Named("v1_pulse_figure")),
        (18, InfoCode::Named("input_a2_leak")),
        (19, InfoCode::Named("input_b2_leak")),
        (20, InfoCode::Named("t3_above_range")),
        (21, InfoCode::Named("t3_below_range")),
        (22, InfoCode::Named("v2_communication_error")),
        (23, InfoCode::Named("v2_pulse_figure")),
        (24, InfoCode::Named("v2_air")),
        (25, InfoCode::Named("v2_wrong_direction")),
        (27, InfoCode::Named("v2_flow_high")),
        (28, InfoCode::Named("burst_loss")),
        (29, InfoCode::Named("burst_penetration")),
        (30, InfoCode::Named("leak_loss")),
        (31, InfoCode::Named("leak_penetration")),
    ],
    durations: &[],
};

/// `FD17` of MULTICAL 402, 602 and 62 (manual of MULTICAL 602). Here t2 has the lower bit.
pub(crate) static FLAGS_16: InfoLayout = InfoLayout {
    bits: &[
        (0, InfoCode::Named("supply_interrupted")),
        (2, T2_OUTSIDE),
        (3, T1_OUTSIDE),
        (4, InfoCode::Named("v1_communication_error")),
        (5, InfoCode::Named("t3_outside_range")),
        (6, InfoCode::Named("cold_water_leak")),
        (7, InfoCode::Named("v2_pulse_figure")),
        (8, InfoCode::Named("heating_leak")),
        (9, InfoCode::Named("heating_burst")),
        (10, InfoCode::Named("v2_communication_error")),
        (11, InfoCode::Named("v1_pulse_figure")),
        (12, InfoCode::Named("v1_air")),
        (13, InfoCode::Named("v2_air")),
        (14, InfoCode::Named("v1_wrong_direction")),
        (15, InfoCode::Named("v2_wrong_direction")),
    ],
    durations: &[],
};

/// `FF21` of MULTICAL 302: its bits are not public, so each is told by its number.
static INFO_8: InfoLayout = InfoLayout { bits: &[], durations: &[] };
