//! What a value information block means: quantity, unit and power of ten (EN 13757-3, tables 10 to 15).

use crate::record::header::{Header, Table};

/// What is measured or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is the standard's term")]
pub enum Quantity {
    Energy,
    ReactiveEnergy,
    ApparentEnergy,
    Volume,
    Mass,
    OnTime,
    OperatingTime,
    Power,
    ReactivePower,
    ApparentPower,
    CumulativeMaximumPower,
    VolumeFlow,
    MassFlow,
    FlowTemperature,
    ReturnTemperature,
    TemperatureDifference,
    ExternalTemperature,
    TemperatureLimit,
    Pressure,
    RelativeHumidity,
    Frequency,
    Voltage,
    Current,
    Date,
    DateTime,
    HeatCostAllocator,
    AveragingDuration,
    ActualityDuration,
    FabricationNumber,
    EnhancedIdentification,
    BusAddress,
    AccessNumber,
    DeviceType,
    Manufacturer,
    ParameterSet,
    ModelVersion,
    HardwareVersion,
    FirmwareVersion,
    SoftwareVersion,
    CustomerLocation,
    Customer,
    ErrorFlags,
    ErrorMask,
    DigitalOutput,
    DigitalInput,
    StorageDescriptor,
    StorageInterval,
    SinceLastReadout,
    TransmissionPeriod,
    Dimensionless,
    RadioContainer,
    ManufacturerContainer,
    ResetCounter,
    CumulationCounter,
    RadioLevel,
    RemainingBattery,
    PlainText,
    Any,
    ManufacturerSpecific,
    Unknown,
}

impl Quantity {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::ReactiveEnergy => "reactive_energy",
            Self::ApparentEnergy => "apparent_energy",
            Self::Volume => "volume",
            Self::Mass => "mass",
            Self::OnTime => "on_time",
            Self::OperatingTime => "operating_time",
            Self::Power => "power",
            Self::ReactivePower => "reactive_power",
            Self::ApparentPower => "apparent_power",
            Self::CumulativeMaximumPower => "cumulative_maximum_power",
            Self::VolumeFlow => "volume_flow",
            Self::MassFlow => "mass_flow",
            Self::FlowTemperature => "flow_temperature",
            Self::ReturnTemperature => "return_temperature",
            Self::TemperatureDifference => "temperature_difference",
            Self::ExternalTemperature => "external_temperature",
            Self::TemperatureLimit => "temperature_limit",
            Self::Pressure => "pressure",
            Self::RelativeHumidity => "relative_humidity",
            Self::Frequency => "frequency",
            Self::Voltage => "voltage",
            Self::Current => "current",
            Self::Date => "date",
            Self::DateTime => "date_time",
            Self::HeatCostAllocator => "heat_cost_allocator",
            Self::AveragingDuration => "averaging_duration",
            Self::ActualityDuration => "actuality_duration",
            Self::FabricationNumber => "fabrication_number",
            Self::EnhancedIdentification => "enhanced_identification",
            Self::BusAddress => "bus_address",
            Self::AccessNumber => "access_number",
            Self::DeviceType => "device_type",
            Self::Manufacturer => "manufacturer",
            Self::ParameterSet => "parameter_set",
            Self::ModelVersion => "model_version",
            Self::HardwareVersion => "hardware_version",
            Self::FirmwareVersion => "firmware_version",
            Self::SoftwareVersion => "software_version",
            Self::CustomerLocation => "customer_location",
            Self::Customer => "customer",
            Self::ErrorFlags => "error_flags",
            Self::ErrorMask => "error_mask",
            Self::DigitalOutput => "digital_output",
            Self::DigitalInput => "digital_input",
            Self::StorageDescriptor => "storage_descriptor",
            Self::StorageInterval => "storage_interval",
            Self::SinceLastReadout => "since_last_readout",
            Self::TransmissionPeriod => "transmission_period",
            Self::Dimensionless => "dimensionless",
            Self::RadioContainer => "radio_container",
            Self::ManufacturerContainer => "manufacturer_container",
            Self::ResetCounter => "reset_counter",
            Self::CumulationCounter => "cumulation_counter",
            Self::RadioLevel => "radio_level",
            Self::RemainingBattery => "remaining_battery",
            Self::PlainText => "plain_text_unit",
            Self::Any => "any",
            Self::ManufacturerSpecific => "manufacturer_specific",
            Self::Unknown => "unknown",
        }
    }
}

/// How the data is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A measure: signed, its lowest value means "not available".
    Measure,
    /// A number without sign whose highest value means "not available" (type C): counters and durations.
    Counter,
    /// A number without sign of which every value may be meant: versions, numbers, flags.
    Unsigned,
    /// A day, type G.
    Date,
    /// A moment: types F, I or J by length.
    Moment,
    /// Bytes as they are.
    Raw,
}

/// What a record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) quantity: Quantity,
    /// Empty for what has no unit.
    pub(crate) unit: &'static str,
    pub(crate) exponent: i8,
    /// The unit of the standard's table as a power of ten of `unit`: Wh is 10^-3 kWh.
    pub(crate) table_unit: i8,
    pub(crate) kind: Kind,
}

const TIMES: [&str; 4] = ["s", "min", "h", "d"];

pub(crate) fn meaning(header: &Header<'_>) -> Meaning {
    match header.table {
        Table::Primary => primary(header.code),
        Table::Fb => fb(header.code),
        Table::Fd => fd(header.code),
        Table::Manufacturer => unsigned(Quantity::ManufacturerSpecific),
        Table::PlainText => measure(Quantity::PlainText, "", 0),
        Table::Reserved => unsigned(Quantity::Unknown),
    }
}

/// EN 13757-3, table 10. Energies in kWh or MJ, powers in kW, so that one quantity has one unit.
fn primary(code: u8) -> Meaning {
    let n = (code & 0b111).cast_signed();
    let time = TIMES.get(usize::from(code & 0b11)).copied().unwrap_or_default();
    let quarter = (code & 0b11).cast_signed();
    match code {
        0x00..=0x07 => measure_in(Quantity::Energy, "kWh", -3, n - 3),
        0x08..=0x0F => measure_in(Quantity::Energy, "MJ", -6, n),
        0x10..=0x17 => measure(Quantity::Volume, "m³", n - 6),
        0x18..=0x1F => measure(Quantity::Mass, "kg", n - 3),
        0x20..=0x23 => measure(Quantity::OnTime, time, 0),
        0x24..=0x27 => measure(Quantity::OperatingTime, time, 0),
        0x28..=0x2F => measure_in(Quantity::Power, "kW", -3, n - 3),
        0x30..=0x37 => measure_in(Quantity::Power, "MJ/h", -6, n),
        0x38..=0x3F => measure(Quantity::VolumeFlow, "m³/h", n - 6),
        0x40..=0x47 => measure(Quantity::VolumeFlow, "m³/min", n - 7),
        0x48..=0x4F => measure(Quantity::VolumeFlow, "m³/s", n - 9),
        0x50..=0x57 => measure(Quantity::MassFlow, "kg/h", n - 3),
        0x58..=0x5B => measure(Quantity::FlowTemperature, "°C", quarter - 3),
        0x5C..=0x5F => measure(Quantity::ReturnTemperature, "°C", quarter - 3),
        0x60..=0x63 => measure(Quantity::TemperatureDifference, "K", quarter - 3),
        0x64..=0x67 => measure(Quantity::ExternalTemperature, "°C", quarter - 3),
        0x68..=0x6B => measure(Quantity::Pressure, "bar", quarter - 3),
        0x6C => Meaning { kind: Kind::Date, ..unsigned(Quantity::Date) },
        0x6D => Meaning { kind: Kind::Moment, ..unsigned(Quantity::DateTime) },
        0x6E => counter(Quantity::HeatCostAllocator, ""),
        0x70..=0x73 => measure(Quantity::AveragingDuration, time, 0),
        0x74..=0x77 => measure(Quantity::ActualityDuration, time, 0),
        0x78 => unsigned(Quantity::FabricationNumber),
        0x79 => unsigned(Quantity::EnhancedIdentification),
        0x7A => unsigned(Quantity::BusAddress),
        0x7E => unsigned(Quantity::Any),
        _ => unsigned(Quantity::Unknown),
    }
}

/// EN 13757-3, table 14: the byte behind `FB`.
fn fb(code: u8) -> Meaning {
    let one = (code & 0b1).cast_signed();
    let quarter = (code & 0b11).cast_signed();
    match code {
        0x00..=0x01 => measure_in(Quantity::Energy, "kWh", 3, one - 1),
        0x02..=0x03 => measure(Quantity::ReactiveEnergy, "kvarh", one),
        0x04..=0x05 => measure(Quantity::ApparentEnergy, "kVAh", one),
        0x08..=0x09 => measure_in(Quantity::Energy, "MJ", 3, one - 1),
        0x0C..=0x0F => measure(Quantity::Energy, "Mcal", quarter - 1),
        0x10..=0x11 => measure(Quantity::Volume, "m³", one + 2),
        0x14..=0x17 => measure(Quantity::ReactivePower, "kvar", quarter - 3),
        0x18..=0x19 => measure_in(Quantity::Mass, "kg", 3, one + 2),
        0x1A..=0x1B => measure(Quantity::RelativeHumidity, "%", one - 1),
        0x21 => measure(Quantity::Volume, "ft³", -1),
        0x28..=0x29 => measure_in(Quantity::Power, "kW", 3, one - 1),
        0x2C..=0x2F => measure(Quantity::Frequency, "Hz", quarter - 3),
        0x30..=0x31 => measure_in(Quantity::Power, "MJ/h", 3, one - 1),
        0x34..=0x37 => measure(Quantity::ApparentPower, "kVA", quarter - 3),
        0x74..=0x77 => measure(Quantity::TemperatureLimit, "°C", quarter - 3),
        0x78..=0x7F => {
            measure_in(Quantity::CumulativeMaximumPower, "kW", -3, (code & 0b111).cast_signed() - 3)
        }
        _ => unsigned(Quantity::Unknown),
    }
}

/// EN 13757-3, table 12: the byte behind `FD`.
fn fd(code: u8) -> Meaning {
    let time = TIMES.get(usize::from(code & 0b11)).copied().unwrap_or_default();
    let low = (code & 0x0F).cast_signed();
    match code {
        0x08 => unsigned(Quantity::AccessNumber),
        0x09 => unsigned(Quantity::DeviceType),
        0x0A => unsigned(Quantity::Manufacturer),
        0x0B => unsigned(Quantity::ParameterSet),
        0x0C => unsigned(Quantity::ModelVersion),
        0x0D => unsigned(Quantity::HardwareVersion),
        0x0E => unsigned(Quantity::FirmwareVersion),
        0x0F => unsigned(Quantity::SoftwareVersion),
        0x10 => unsigned(Quantity::CustomerLocation),
        0x11 => unsigned(Quantity::Customer),
        0x17 => unsigned(Quantity::ErrorFlags),
        0x18 => unsigned(Quantity::ErrorMask),
        0x1A => unsigned(Quantity::DigitalOutput),
        0x1B => unsigned(Quantity::DigitalInput),
        0x20..=0x23 => unsigned(Quantity::StorageDescriptor),
        0x24..=0x27 => counter(Quantity::StorageInterval, time),
        0x28 => counter(Quantity::StorageInterval, "months"),
        0x29 => counter(Quantity::StorageInterval, "years"),
        0x2C..=0x2F => counter(Quantity::SinceLastReadout, time),
        0x3A => measure(Quantity::Dimensionless, "", 0),
        0x3B => Meaning { kind: Kind::Raw, ..unsigned(Quantity::RadioContainer) },
        0x3C..=0x3F => counter(Quantity::TransmissionPeriod, time),
        0x40..=0x4F => measure(Quantity::Voltage, "V", low - 9),
        0x50..=0x5F => measure(Quantity::Current, "A", low - 12),
        0x60 => counter(Quantity::ResetCounter, ""),
        0x61 => counter(Quantity::CumulationCounter, ""),
        0x71 => measure(Quantity::RadioLevel, "dBm", 0),
        0x74 => counter(Quantity::RemainingBattery, "d"),
        0x76 => Meaning { kind: Kind::Raw, ..unsigned(Quantity::ManufacturerContainer) },
        _ => unsigned(Quantity::Unknown),
    }
}

const fn measure(quantity: Quantity, unit: &'static str, exponent: i8) -> Meaning {
    measure_in(quantity, unit, 0, exponent)
}

/// `exponent` as in the standard's table, whose unit is 10^`table_unit` of ours.
const fn measure_in(quantity: Quantity, unit: &'static str, table_unit: i8, exponent: i8) -> Meaning {
    Meaning { quantity, unit, exponent: exponent + table_unit, table_unit, kind: Kind::Measure }
}

const fn counter(quantity: Quantity, unit: &'static str) -> Meaning {
    Meaning { quantity, unit, exponent: 0, table_unit: 0, kind: Kind::Counter }
}

const fn unsigned(quantity: Quantity) -> Meaning {
    Meaning { quantity, unit: "", exponent: 0, table_unit: 0, kind: Kind::Unsigned }
}
