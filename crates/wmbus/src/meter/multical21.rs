//! MULTICAL 21, and the flowIQ meters sold under the same documents (2101, 2102, 2103, 3100).
//!
//! Sends, by configuration: info codes (`02FF20`), volume, volume at the target date, and of month or day the highest
//! flow, lowest water temperature and lowest, highest or mean ambient temperature. Every eighth telegram is a full
//! frame. Sources: Kamstrup's technical descriptions of MULTICAL 21 and flowIQ 3100, and public telegrams.

use crate::address::Manufacturer;
use crate::meter::info::{InfoCode, InfoLayout};
use crate::meter::profile::nothing_to_mend;
use crate::meter::{Field, Model, Profile, What};

/// The family.
pub static PROFILE: Profile = Profile {
    name: "MULTICAL 21 / flowIQ 2101, 3100",
    models: &[
        Model {
            manufacturer: Manufacturer::KAMSTRUP,
            version: 0x17,
            devices: WATER,
            name: "MULTICAL 21 (old)",
        },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x1B, devices: WATER, name: "MULTICAL 21" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x1D, devices: WATER, name: "flowIQ 3100" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x1F, devices: WATER, name: "flowIQ 2101" },
    ],
    fields: &WATER_FIELDS,
    electric: false,
    water: true,
    loggers: true,
    temperature_start_values: true,
    finish: nothing_to_mend,
};

/// Cold, warm and plain water.
pub(crate) const WATER: &[u8] = &[0x16, 0x06, 0x07];

/// Kamstrup's fields in water meters, old and new: which of them a meter sends is a matter of its configuration.
pub(crate) static WATER_FIELDS: [Field; 8] = [
    Field::info(&[0xFF, 0x20], &INFO_16),
    Field::info(&[0xFF, 0x23], &super::flowiq2200::INFO_COLD),
    Field::info(&[0xFF, 0x24], &super::flowiq2200::INFO_HOT),
    Field::info(&[0xFF, 0x25], &super::flowiq2200::INFO_FIXED_NETWORK),
    Field::measure(&[0xFF, 0x1B], What::AcousticNoise, ""),
    // VIFE FF 0F: the mean.
    Field::average(&[0xE7, 0xFF, 0x0F], What::AmbientTemperature, "°C"),
    Field::average(&[0xDB, 0xFF, 0x0F], What::WaterTemperature, "°C"),
    Field::average(&[0xBB, 0xFF, 0x0F], What::Flow, "m³/h"),
];

/// The sixteen bits of `FF20`: four conditions now, then four duration classes.
pub(crate) static INFO_16: InfoLayout = InfoLayout {
    bits: &[(0, InfoCode::Dry), (1, InfoCode::Reverse), (2, InfoCode::Leak), (3, InfoCode::Burst)],
    durations: &[(4, InfoCode::Dry), (7, InfoCode::Reverse), (10, InfoCode::Leak), (13, InfoCode::Burst)],
};
