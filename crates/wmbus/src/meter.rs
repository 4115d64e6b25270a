//! From records to a reading: what a meter of a known family means by what it sends.
//!
//! A family is one file with its layout, its info codes and the source of both; a meter of no known family is read by
//! the open standard ([`oms`]).

pub mod flowiq2200;
pub mod info;
pub mod multical21;
pub mod multical62;
pub mod multical_heat;
pub mod omnipower;
pub mod oms;
pub mod pressure;
mod profile;

pub use info::{DurationClass, Info, InfoCode};
pub use profile::{Field, FieldKind, Model, Profile};

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::address::{Manufacturer, Meter};
use crate::compact::{Compact, CompactError, Learned, Source};
use crate::decimal::Decimal;
use crate::record::{Date, DateTime, Function, Item, Items, Record, RecordError, Value};
use crate::security::Scheme;
use crate::telegram::Telegram;
use crate::transport::{Application, Status};

/// As many measures as a telegram can hold in practice: history of fifteen months and all registers fit.
pub const MAX_MEASURES: usize = 64;

/// All families, each with the meters that belong to it. The first that knows a meter reads it.
pub static PROFILES: [&Profile; 6] = [
    &multical21::PROFILE,
    &flowiq2200::PROFILE,
    &multical62::PROFILE,
    &multical_heat::PROFILE,
    &pressure::PROFILE,
    &omnipower::PROFILE,
];

/// The family that reads a meter. The version of a Kamstrup meter stands for a generation, so one that is not listed
/// is read as its nearest relatives: the manufacturer's own fields mean the same in all of them.
#[must_use]
pub fn profile(meter: Meter) -> &'static Profile {
    let listed = PROFILES.into_iter().find(|profile| profile.model(meter).is_some());
    listed.unwrap_or_else(|| match meter.manufacturer.unmarked() {
        Manufacturer::KAMSTRUP_WATER if multical21::WATER.contains(&meter.device.0) => &flowiq2200::PROFILE,
        Manufacturer::KAMSTRUP if multical21::WATER.contains(&meter.device.0) => &multical21::PROFILE,
        Manufacturer::KAMSTRUP if multical_heat::HEAT.contains(&meter.device.0) => &multical_heat::PROFILE,
        _ => &oms::PROFILE,
    })
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum What {
    /// Volume that has flowed forwards, V1.
    Volume,
    /// Volume that has flowed backwards.
    ReverseVolume,
    /// Pulse input A.
    InputA,
    /// Pulse input B.
    InputB,
    /// Heat energy, E1; the energy of meters that know only one.
    Energy,
    /// Cooling energy, E3; of electricity meters the energy given back.
    ReverseEnergy,
    /// Volume times flow temperature, E8, for estimates.
    VolumeFlowTemperature,
    /// Volume times return temperature, E9.
    VolumeReturnTemperature,
    /// Reactive energy.
    ReactiveEnergy,
    /// Reactive energy given back.
    ReverseReactiveEnergy,
    /// Flow.
    Flow,
    /// Power.
    Power,
    /// Power given back.
    ReversePower,
    /// Temperature of the water in a water meter.
    WaterTemperature,
    /// Temperature around the meter.
    AmbientTemperature,
    /// Temperature of a heat meter's flow, t1.
    FlowTemperature,
    /// Temperature of its return, t2.
    ReturnTemperature,
    /// t1 - t2.
    TemperatureDifference,
    /// Pressure.
    Pressure,
    /// Hours in operation.
    OperatingTime,
    /// The meter's own calendar; of a past period, the day the period ended.
    Clock,
    /// What a sensor in the water hears; only the manufacturer can read it.
    AcousticNoise,
    /// Something else that the standard names.
    Other(crate::record::Quantity),
}

impl What {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::ReverseVolume => "reverse_volume",
            Self::InputA => "input_a",
            Self::InputB => "input_b",
            Self::Energy => "energy",
            Self::ReverseEnergy => "reverse_energy",
            Self::VolumeFlowTemperature => "volume_times_flow_temperature",
            Self::VolumeReturnTemperature => "volume_times_return_temperature",
            Self::ReactiveEnergy => "reactive_energy",
            Self::ReverseReactiveEnergy => "reverse_reactive_energy",
            Self::Flow => "flow",
            Self::Power => "power",
            Self::ReversePower => "reverse_power",
            Self::WaterTemperature => "water_temperature",
            Self::AmbientTemperature => "ambient_temperature",
            Self::FlowTemperature => "flow_temperature",
            Self::ReturnTemperature => "return_temperature",
            Self::TemperatureDifference => "temperature_difference",
            Self::Pressure => "pressure",
            Self::OperatingTime => "operating_time",
            Self::Clock => "clock",
            Self::AcousticNoise => "acoustic_noise",
            Self::Other(quantity) => quantity.word(),
        }
    }

    /// Whether it only counts up while the meter works as it should: consumption is a difference of two of it.
    #[must_use]
    pub const fn is_register(self) -> bool {
        matches!(
            self,
            Self::Volume
                | Self::ReverseVolume
                | Self::InputA
                | Self::InputB
                | Self::Energy
                | Self::ReverseEnergy
                | Self::VolumeFlowTemperature
                | Self::VolumeReturnTemperature
                | Self::ReactiveEnergy
                | Self::ReverseReactiveEnergy
        )
    }
}

/// Which of the values over a time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// The value at one moment.
    Actual,
    /// The lowest.
    Minimum,
    /// The highest.
    Maximum,
    /// The mean.
    Average,
    /// The value while an error lasted.
    DuringError,
}

impl Statistic {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Average => "average",
            Self::DuringError => "during_error",
        }
    }
}

/// To which time a measure belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Now.
    Now,
    /// The last target date, usually the first of the month.
    Target,
    /// The last whole month.
    LastMonth,
    /// The last whole day.
    LastDay,
    /// The last whole year.
    LastYear,
    /// A storage number that the family gives no name.
    Storage(u64),
}

impl Period {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Target => "target",
            Self::LastMonth => "last_month",
            Self::LastDay => "last_day",
            Self::LastYear => "last_year",
            Self::Storage(_) => "storage",
        }
    }
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// An exact number in the measure's unit.
    Number(Decimal),
    /// A day.
    Date(Date),
    /// A moment of the meter's own local time.
    DateTime(DateTime),
    /// Bytes that only the manufacturer can read.
    Opaque([u8; 6]),
    /// The sensor is absent, broken or has nothing yet. Never zero.
    Absent,
}

/// One measure of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What.
    pub what: What,
    /// Which of the values over a time.
    pub statistic: Statistic,
    /// Which time.
    pub period: Period,
    /// The tariff it is counted under; 0 is all.
    pub tariff: u32,
    /// The subunit it comes from; 0 is the meter itself.
    pub subunit: u16,
    /// How much.
    pub amount: Amount,
    /// The unit; empty if there is none.
    pub unit: &'static str,
}

/// What a telegram says, by the family that read it.
///
/// ```
/// use wmbus::{Cipher, Frame, Learned, Policy, Sealed, What};
///
/// let frame = [
///     0x2A, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16, 0x8D, 0x20, 0x91, 0xD3, 0x7C, 0xAC, 0x21, 0xE1,
///     0xD6, 0x8C, 0xDA, 0xFF, 0xCD, 0x3D, 0xC4, 0x52, 0xBD, 0x80, 0x29, 0x13, 0xFF, 0x7B, 0x17, 0x06, 0xCA, 0x9E,
///     0x35, 0x5D, 0x6C, 0x27, 0x01, 0xCC, 0x24,
/// ];
/// let cipher = Cipher::new("28F64A24988064A079AA2C807D6102AE".parse()?);
/// let mut frame = Frame::bare(&frame)?;
/// let telegram = Sealed::read(&mut frame)?.open(Some(&cipher), Policy::Strict)?;
/// let reading = telegram.reading(&Learned::default())?;
/// assert_eq!(reading.profile.name, "MULTICAL 21 / flowIQ 2101, 3100");
/// assert_eq!(reading.now(What::Volume).unwrap().to_string(), "6.408");
/// assert_eq!(reading.info.unwrap().codes().next().unwrap().word(), "dry");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reading {
    /// The family that read it.
    pub profile: &'static Profile,
    /// The meter it tells of.
    pub meter: Meter,
    /// Everything measured, in the order it was sent.
    pub measures: ArrayVec<Measure, MAX_MEASURES>,
    /// Info codes; `None` means not reported in this telegram, which is not the same as "all well".
    pub info: Option<Info>,
    /// The transport layer's status byte, where there is one.
    pub status: Option<Status>,
    /// Through which layout a compact frame was read.
    pub layout: Option<Source>,
    /// Measures that did not fit.
    pub left_out: u16,
}

impl Reading {
    /// The value now of a measure, if it was sent and is a number.
    #[must_use]
    pub fn now(&self, what: What) -> Option<Decimal> {
        self.find(what, Statistic::Actual, Period::Now)
    }

    /// The number of a measure of the meter itself, all tariffs together.
    #[must_use]
    pub fn find(&self, what: What, statistic: Statistic, period: Period) -> Option<Decimal> {
        let wanted = |m: &&Measure| {
            (m.what, m.statistic, m.period, m.tariff, m.subunit) == (what, statistic, period, 0, 0)
        };
        match self.measures.iter().find(wanted)?.amount {
            Amount::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Reads records that belong to a meter.
    ///
    /// # Errors
    /// If the walk over the records breaks off: then nothing of the telegram is to be trusted.
    pub fn of<'a>(
        meter: Meter,
        records: impl Iterator<Item = Result<Record<'a>, RecordError>>,
    ) -> Result<Self, RecordError> {
        let mut reading = Self::empty(meter);
        for record in records {
            reading.add(&record?);
        }
        (reading.profile.finish)(&mut reading);
        Ok(reading)
    }

    fn empty(meter: Meter) -> Self {
        Self {
            profile: profile(meter),
            meter,
            measures: ArrayVec::new(),
            info: None,
            status: None,
            layout: None,
            left_out: 0,
        }
    }

    fn add(&mut self, record: &Record<'_>) {
        let field = self.profile.field(record);
        let what = match field.map(|field| field.kind) {
            Some(FieldKind::Info(layout)) => {
                // The value of now counts, and the first word that carries it.
                let now = record.header.storage == 0 && record.header.function == Function::Instantaneous;
                if now && self.info.is_none() {
                    self.info = info::read(layout, record);
                }
                return;
            }
            Some(FieldKind::Measure(what, _)) => what,
            Some(FieldKind::Unread) => return,
            None => match profile::standard(self.profile, record) {
                Some(what) => what,
                None => return,
            },
        };
        let unit = match field.map(|field| field.kind) {
            Some(FieldKind::Measure(_, unit)) => unit,
            _ => record.unit,
        };
        let statistic = statistic(record, field.is_some_and(|field| field.average));
        let Some(amount) = amount(record, self.profile.temperature_start_values) else { return };
        let measure = Measure {
            what,
            statistic,
            period: self.profile.period(what, record.header.storage),
            tariff: record.header.tariff,
            subunit: record.header.subunit,
            amount,
            unit,
        };
        if self.measures.try_push(measure).is_err() {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl Telegram<'_> {
    /// The items of its body, and through which layout if it is a compact frame.
    ///
    /// # Errors
    /// If there are no records in it, or a compact frame cannot be read.
    pub fn items<'a>(&'a self, learned: &'a Learned) -> Result<(Items<'a>, Option<Source>), ReadError> {
        match self.application {
            Application::Records => Ok((Items::full(self.body), None)),
            Application::Compact => {
                let (items, source) = Compact::read(self.body)?.items(learned, self.meter())?;
                Ok((items, Some(source)))
            }
            other => Err(ReadError::NoRecords(other)),
        }
    }

    /// The reading. Records behind the part that a key protects are left out: nothing vouches for them.
    ///
    /// # Errors
    /// If there are no records in it, a compact frame cannot be read, or the walk over the records breaks off.
    pub fn reading(&self, learned: &Learned) -> Result<Reading, ReadError> {
        // A reading is large: it is filled where the caller will have it.
        let mut reading = Ok(Reading::empty(self.meter()));
        if let Err(error) = reading.as_mut().map_or(Ok(()), |reading| self.fill(reading, learned)) {
            reading = Err(error);
        }
        reading
    }

    fn fill(&self, reading: &mut Reading, learned: &Learned) -> Result<(), ReadError> {
        let (items, layout) = self.items(learned)?;
        let enciphered = self.security.scheme != Scheme::None;
        let heads_in_body = self.application == Application::Records;
        let end = self.protected;
        let vouched = move |record: &Record<'_>| {
            let length = if heads_in_body { record.header.bytes.len() } else { 0 } + record.data.len();
            !enciphered || usize::from(record.at) + length <= end
        };
        for item in items {
            match &item {
                Ok(Item::Record(record)) if vouched(record) => reading.add(record),
                Ok(_) => {}
                Err(error) => return Err((*error).into()),
            }
        }
        (reading.profile.finish)(reading);
        reading.status = self.transport.map(|transport| transport.status);
        reading.layout = layout;
        Ok(())
    }
}

fn statistic(record: &Record<'_>, average: bool) -> Statistic {
    match record.header.function {
        _ if average || record.modifiers.average => Statistic::Average,
        Function::Instantaneous => Statistic::Actual,
        Function::Maximum => Statistic::Maximum,
        Function::Minimum => Statistic::Minimum,
        Function::DuringError => Statistic::DuringError,
    }
}

/// `start_values`: a period that has seen nothing yet has the highest temperature as its lowest, and the other way.
/// `None` for what was sent and is no amount: texts, times of day, bytes.
fn amount(record: &Record<'_>, start_values: bool) -> Option<Amount> {
    let temperature = record.unit == "°C" && start_values;
    match (record.data, record.header.function) {
        ([0x7F], Function::Minimum) | ([0x81], Function::Maximum) if temperature => {
            return Some(Amount::Absent);
        }
        _ => {}
    }
    Some(match record.value {
        Value::Number(number) => {
            // Six bytes of the manufacturer's are opaque, not a number.
            match record.data.try_into() {
                Ok(bytes) if record.manufacturer_extensions().is_some() => opaque(bytes),
                _ => Amount::Number(number),
            }
        }
        Value::Date(date) => Amount::Date(date),
        Value::DateTime(moment) => Amount::DateTime(moment),
        Value::Absent(_) => Amount::Absent,
        Value::Text(_) | Value::Bytes(_) | Value::Time(_) => return None,
    })
}

fn opaque(bytes: [u8; 6]) -> Amount {
    if bytes == [0xFF; 6] { Amount::Absent } else { Amount::Opaque(bytes) }
}

/// Why an opened telegram gives no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A compact frame that cannot be read.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// A record that cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its body is something other than records.
    #[error("no data records: {0}")]
    NoRecords(Application),
}

#[cfg(test)]
mod tests;
