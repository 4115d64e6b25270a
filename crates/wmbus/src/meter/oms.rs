//! Any meter of any maker, by the open standard alone (EN 13757-3, OMS Volume 2): registers, flows, temperatures and
//! dates come out; error flags are the maker's own and are told by the number of the bit.

use crate::meter::info::InfoLayout;
use crate::meter::profile::nothing_to_mend;
use crate::meter::{Field, Profile};

/// For meters of no known family.
pub static PROFILE: Profile = Profile {
    name: "OMS",
    models: &[],
    // VIFE 1D says that the flags follow a standard's list; as that list is not public, they too are told by number.
    fields: &[Field::info(&[0xFD, 0x17], &FLAGS), Field::info(&[0xFD, 0x97, 0x1D], &FLAGS)],
    electric: false,
    water: false,
    loggers: false,
    temperature_start_values: false,
    finish: nothing_to_mend,
};

static FLAGS: InfoLayout = InfoLayout { bits: &[], durations: &[] };
