//! Electricity: OMNIPOWER (A+, A-, P+, P-) and EM24 (energy, reactive energy, both also given back, flags). Source:
//! public telegrams; the flags of EM24 are not public.

use crate::address::Manufacturer;
use crate::meter::info::InfoLayout;
use crate::meter::profile::nothing_to_mend;
use crate::meter::{Field, Model, Profile};

/// The family.
pub static PROFILE: Profile = Profile {
    name: "OMNIPOWER / EM24",
    models: &[
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x30, devices: &[0x02], name: "OMNIPOWER" },
        Model { manufacturer: Manufacturer::KAMSTRUP, version: 0x33, devices: &[0x02], name: "EM24" },
    ],
    fields: &[Field::info(&[0xFD, 0x17], &FLAGS)],
    electric: true,
    water: false,
    loggers: false,
    temperature_start_values: false,
    finish: nothing_to_mend,
};

static FLAGS: InfoLayout = InfoLayout { bits: &[], durations: &[] };
