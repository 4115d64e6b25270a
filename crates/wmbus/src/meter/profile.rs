//! What a family of meters is made of.

use crate::address::{Manufacturer, Meter};
use crate::meter::info::InfoLayout;
use crate::meter::{Period, Reading, What};
use crate::record::{Aspect, Quantity, Record};

/// A family of meters that send the same fields.
#[derive(Debug)]
pub struct Profile {
    /// What the family is called.
    pub name: &'static str,
    /// Its meters.
    pub models: &'static [Model],
    /// Fields that the standard leaves to the manufacturer.
    pub fields: &'static [Field],
    /// Whether the energies are electric: what is counted backwards is given back, not cooling.
    pub electric: bool,
    /// Whether it measures water: the flow temperature is the water's, the external one the room's.
    pub water: bool,
    /// Whether storage 1, 2 and 3 are the last month, day and year, as with Kamstrup.
    pub loggers: bool,
    /// Whether `7F` as lowest and `81` as highest temperature mean that the period has seen nothing yet.
    pub temperature_start_values: bool,
    /// What is to be mended when all fields have been read.
    pub finish: fn(&mut Reading),
}

/// One kind of meter in a family.
#[derive(Debug)]
pub struct Model {
    /// Manufacturer.
    pub manufacturer: Manufacturer,
    /// Version byte.
    pub version: u8,
    /// Device types.
    pub devices: &'static [u8],
    /// What the manufacturer calls it.
    pub name: &'static str,
}

/// A field of the manufacturer's, known by the bytes of its VIB, extension bits as sent.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// VIF and VIFE.
    pub vib: &'static [u8],
    /// What it is.
    pub kind: FieldKind,
    /// Whether it is a mean.
    pub average: bool,
}

/// What a manufacturer's field is.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// A measure with its unit.
    Measure(What, &'static str),
    /// A word of info codes.
    Info(&'static InfoLayout),
    /// Known to be there; its meaning is not public.
    Unread,
}

impl Field {
    pub(crate) const fn measure(vib: &'static [u8], what: What, unit: &'static str) -> Self {
        Self { vib, kind: FieldKind::Measure(what, unit), average: false }
    }

    pub(crate) const fn average(vib: &'static [u8], what: What, unit: &'static str) -> Self {
        Self { vib, kind: FieldKind::Measure(what, unit), average: true }
    }

    pub(crate) const fn info(vib: &'static [u8], layout: &'static InfoLayout) -> Self {
        Self { vib, kind: FieldKind::Info(layout), average: false }
    }

    pub(crate) const fn unread(vib: &'static [u8]) -> Self {
        Self { vib, kind: FieldKind::Unread, average: false }
    }
}

impl Profile {
    /// The model of a meter, if it belongs to the family.
    #[must_use]
    pub fn model(&self, meter: Meter) -> Option<&'static Model> {
        let is = |model: &&Model| {
            model.manufacturer == meter.manufacturer.unmarked()
                && model.version == meter.version
                && model.devices.contains(&meter.device.0)
        };
        self.models.iter().find(is)
    }

    pub(crate) fn field(&self, record: &Record<'_>) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.vib == record.header.vib())
    }

    pub(crate) fn period(&self, what: What, storage: u64) -> Period {
        match storage {
            0 => Period::Now,
            1 if self.loggers && !(what.is_register() || what == What::Clock) => Period::LastMonth,
            1 => Period::Target,
            2 if self.loggers => Period::LastDay,
            3 if self.loggers => Period::LastYear,
            other => Period::Storage(other),
        }
    }
}

/// A field that the open standard gives its meaning. `None` for what is no measure.
pub(crate) fn standard(profile: &Profile, record: &Record<'_>) -> Option<What> {
    if record.modifiers.unknown
        || record.modifiers.future
        || record.modifiers.manufacturer_from.is_some()
        || record.modifiers.per.is_some()
    {
        return None;
    }
    let backward = record.modifiers.backward;
    let water_input = |subunit| if subunit == 1 { What::InputA } else { What::InputB };
    Some(match (record.quantity, record.modifiers.aspect) {
        (Quantity::Date | Quantity::DateTime, None) => What::Clock,
        (_, Some(Aspect::Limit | Aspect::Exceeds | Aspect::Moment | Aspect::Duration)) => return None,
        (_, Some(Aspect::DuringExcess | Aspect::Profile)) => return None,
        (Quantity::Volume, _) if backward => What::ReverseVolume,
        (Quantity::Volume, _) if profile.loggers && matches!(record.header.subunit, 1 | 2) => {
            water_input(record.header.subunit)
        }
        (Quantity::Volume, _) => What::Volume,
        (Quantity::Energy, _) if backward => What::ReverseEnergy,
        (Quantity::Energy, _) => What::Energy,
        (Quantity::ReactiveEnergy, _) if backward => What::ReverseReactiveEnergy,
        (Quantity::ReactiveEnergy, _) => What::ReactiveEnergy,
        (Quantity::Power, _) if backward && profile.electric => What::ReversePower,
        (Quantity::Power, _) => What::Power,
        (Quantity::VolumeFlow, _) => What::Flow,
        (Quantity::FlowTemperature, _) if profile.water => What::WaterTemperature,
        (Quantity::FlowTemperature, _) => What::FlowTemperature,
        (Quantity::ReturnTemperature, _) => What::ReturnTemperature,
        (Quantity::TemperatureDifference, _) => What::TemperatureDifference,
        (Quantity::ExternalTemperature, _) => What::AmbientTemperature,
        (Quantity::Pressure, _) => What::Pressure,
        (Quantity::OnTime | Quantity::OperatingTime, _) => What::OperatingTime,
        (Quantity::Unknown | Quantity::ManufacturerSpecific | Quantity::Any | Quantity::PlainText, _) => {
            return None;
        }
        (other, _) => What::Other(other),
    })
}

/// For families in which nothing needs mending.
pub(crate) const fn nothing_to_mend(_: &mut Reading) {}
