//! Kamstrup's pressure sensor: lowest, mean and highest pressure in hundredths of a bar, flags, and two floating-point
//! numbers whose meaning is not public. Source: public telegrams and drivers.

use crate::address::Manufacturer;
use crate::meter::info::{InfoCode, InfoLayout};
use crate::meter::profile::nothing_to_mend;
use crate::meter::{Field, Model, Profile};

/// The family.
pub static PROFILE: Profile = Profile {
    name: "pressure sensor",
    models: &[Model {
        manufacturer: Manufacturer::KAMSTRUP,
        version: 0x01,
        devices: &[0x18],
        name: "PressureSensor",
    }],
    fields: &[Field::info(&[0xFD, 0x17], &FLAGS), Field::unread(&[0xFF, 0x09]), Field::unread(&[0xFF, 0x0A])],
    electric: false,
    water: false,
    loggers: false,
    temperature_start_values: false,
    finish: nothing_to_mend,
};

static FLAGS: InfoLayout = InfoLayout {
    bits: &[
        (0, InfoCode::Named("pressure_drop")),
        (1, InfoCode::Named("pressure_surge")),
        (2, InfoCode::Named("pressure_high")),
        (3, InfoCode::Named("pressure_low")),
        (4, InfoCode::Named("pressure_transient")),
        (5, InfoCode::Named("measurement_error")),
    ],
    durations: &[],
};
