//! Our units as the other crate spells them: a list of names with powers, and the power of ten from ours to theirs.

use m_bus_application_layer::value_information::UnitName::{self, *};

/// Our unit, theirs, and theirs as a power of ten of ours.
pub(crate) type Spelling = (&'static str, &'static [(UnitName, i32)], i8);

pub(crate) static UNITS: &[Spelling] = &[
    ("", &[], 0),
    ("kWh", &[(Watt, 1), (Hour, 1)], -3),
    ("MJ", &[(Joul, 1)], -6),
    ("m³", &[(Meter, 3)], 0),
    ("kg", &[(Kilogram, 1)], 0),
    ("kg", &[(Tonne, 1)], 3),
    ("kW", &[(Watt, 1)], -3),
    ("MJ/h", &[(Joul, 1), (Hour, -1)], -6),
    ("m³/h", &[(Meter, 3), (Hour, -1)], 0),
    ("m³/min", &[(Meter, 3), (Minute, -1)], 0),
    ("m³/s", &[(Meter, 3), (Second, -1)], 0),
    ("kg/h", &[(Kilogram, 1), (Hour, -1)], 0),
    ("°C", &[(Celsius, 1)], 0),
    ("K", &[(Kelvin, 1)], 0),
    ("bar", &[(Bar, 1)], 0),
    ("s", &[(Second, 1)], 0),
    ("min", &[(Minute, 1)], 0),
    ("h", &[(Hour, 1)], 0),
    ("d", &[(Day, 1)], 0),
    ("months", &[(Month, 1)], 0),
    ("years", &[(Year, 1)], 0),
    ("kvarh", &[(ReactiveWatt, 1), (Hour, 1)], -3),
    ("kVAh", &[(ApparentWatt, 1), (Hour, 1)], -3),
    ("kvar", &[(ReactiveWatt, 1)], -3),
    ("kVA", &[(ApparentWatt, 1)], -3),
    ("Mcal", &[(Calorie, 1)], -6),
    ("%", &[(Percent, 1)], 0),
    ("ft³", &[(Feet, 3)], 0),
    ("Hz", &[(Hertz, 1)], 0),
    ("V", &[(Volt, 1)], 0),
    ("A", &[(Ampere, 1)], 0),
    ("dBm", &[(DecibelMilliWatt, 1)], 0),
];

/// Our words for VIFE 20 to 38, theirs, and the power of ten that theirs puts into the scale.
pub(crate) static DIVISORS: &[Spelling] = &[
    ("per s", &[(Second, -1)], 0),
    ("per min", &[(Minute, -1)], 0),
    ("per h", &[(Hour, -1)], 0),
    ("per d", &[(Day, -1)], 0),
    ("per week", &[(Week, -1)], 0),
    ("per month", &[(Month, -1)], 0),
    ("per year", &[(Year, -1)], 0),
    ("per revolution", &[(Revolution, -1)], 0),
    ("per pulse on input 0", &[(Increment, 1), (InputPulseOnChannel0, -1)], 0),
    ("per pulse on input 1", &[(Increment, 1), (InputPulseOnChannel1, -1)], 0),
    ("per pulse on output 0", &[(Increment, 1), (OutputPulseOnChannel0, -1)], 0),
    ("per pulse on output 1", &[(Increment, 1), (OutputPulseOnChannel1, -1)], 0),
    ("per m³", &[(Meter, -3)], 0),
    ("per kg", &[(Kilogram, -1)], 0),
    ("per K", &[(Kelvin, -1)], 0),
    ("per kWh", &[(Watt, -1), (Hour, -1)], -3),
    ("per GJ", &[(Joul, -1)], -9),
    ("per kW", &[(Watt, -1)], -3),
    ("per K·l", &[(Kelvin, -1), (Liter, -1)], 0),
    ("per V", &[(Volt, -1)], 0),
    ("per A", &[(Ampere, -1)], 0),
    ("times s", &[(Second, 1)], 0),
    ("times s/V", &[(Second, 1), (Volt, -1)], 0),
    ("times s/A", &[(Second, 1), (Ampere, -1)], 0),
];
