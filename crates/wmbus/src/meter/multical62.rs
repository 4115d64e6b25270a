//! MULTICAL 62, a large water meter with a calculator: volume, error flags, flow, water temperature.
//!
//! Source: a public log of its telegrams, and the flags of the MULTICAL 602 manual, whose calculator it shares.

use crate::address::Manufacturer;
use crate::meter::multical_heat::{FLAGS_16, broken_sensors};
use crate::meter::multical21::WATER;
use crate::meter::{Field, Model, Profile};

/// The family.
pub static PROFILE: Profile = Profile {
    name: "MULTICAL 62",
    models: &[Model {
        manufacturer: Manufacturer::KAMSTRUP,
        version: 0x33,
        devices: WATER,
        name: "MULTICAL 62",
    }],
    fields: &[Field::info(&[0xFD, 0x17], &FLAGS_16)],
    electric: false,
    water: true,
    loggers: true,
    temperature_start_values: false,
    finish: broken_sensors,
};
