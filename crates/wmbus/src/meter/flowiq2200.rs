//! The flowIQ 2200 family: flowIQ 2200 and 2250, KWM2230, KWM2231, KWM3230; manufacturer code KAW.
//!
//! Sends 32-bit info codes (`04FF23` in cold places, `04FF24` in hot ones) or the old sixteen bits, volume, target
//! volume and date, flow now, highest and lowest flow of day or month, water and ambient temperatures, acoustic noise.
//! In OMS mode (security profile D): `046D`, `0415`, `02FF25`, `06FF1B`, `446D`, `4415`. Bits 0 to 9 after public
//! drivers written from Kamstrup's documentation; the duration classes agree with all public telegrams.

use crate::address::Manufacturer;
use crate::meter::info::{InfoCode, InfoLayout};
use crate::meter::multical21::{WATER, WATER_FIELDS};
use crate::meter::profile::nothing_to_mend;
use crate::meter::{Model, Profile};

/// The family.
pub static PROFILE: Profile = Profile {
    name: "flowIQ 2200",
    models: &[
        Model {
            manufacturer: Manufacturer::KAMSTRUP_WATER,
            version: 0x3A,
            devices: WATER,
            name: "flowIQ 2200",
        },
        Model {
            manufacturer: Manufacturer::KAMSTRUP_WATER,
            version: 0x3C,
            devices: WATER,
            name: "flowIQ 2200 / KWM2231",
        },
        Model {
            manufacturer: Manufacturer::KAMSTRUP_WATER,
            version: 0x42,
            devices: WATER,
            name: "KWM2230 / KWM3230",
        },
    ],
    fields: &WATER_FIELDS,
    electric: false,
    water: true,
    loggers: true,
    temperature_start_values: true,
    finish: nothing_to_mend,
};

const DURATIONS_COLD: &[(u8, InfoCode)] = &[
    (11, InfoCode::Dry),
    (14, InfoCode::Reverse),
    (17, InfoCode::Leak),
    (20, InfoCode::Burst),
    (23, InfoCode::AmbientTemperatureLow),
    (26, InfoCode::FlowAboveQ4),
];

const DURATIONS_HOT: &[(u8, InfoCode)] = &[
    (11, InfoCode::Dry),
    (14, InfoCode::Reverse),
    (17, InfoCode::Leak),
    (20, InfoCode::Burst),
    (23, InfoCode::AmbientTemperatureHigh),
    (26, InfoCode::FlowAboveQ4),
];

/// `FF23`.
pub(crate) static INFO_COLD: InfoLayout = InfoLayout {
    bits: &[
        (0, InfoCode::Dry),
        (1, InfoCode::Reverse),
        (2, InfoCode::Leak),
        (3, InfoCode::Burst),
        (4, InfoCode::Tamper),
        (5, InfoCode::LowBattery),
        (6, InfoCode::AmbientTemperatureLow),
        (7, InfoCode::FlowAboveQ4),
        (9, InfoCode::NoConsumption),
    ],
    durations: DURATIONS_COLD,
};

/// `FF24`: as `FF23`, but the ambient temperature is too high.
pub(crate) static INFO_HOT: InfoLayout = InfoLayout {
    bits: &[
        (0, InfoCode::Dry),
        (1, InfoCode::Reverse),
        (2, InfoCode::Leak),
        (3, InfoCode::Burst),
        (4, InfoCode::Tamper),
        (5, InfoCode::LowBattery),
        (6, InfoCode::AmbientTemperatureHigh),
        (7, InfoCode::FlowAboveQ4),
        (9, InfoCode::NoConsumption),
    ],
    durations: DURATIONS_HOT,
};

/// `FF25`, for fixed networks: no duration classes. Its bits are not public; only the first, seen on a meter that was
/// dry, is taken for what it is everywhere else.
pub(crate) static INFO_FIXED_NETWORK: InfoLayout = InfoLayout { bits: &[(0, InfoCode::Dry)], durations: &[] };
