//! Info codes: the meter's own condition flags, and how long each was active.

use core::fmt;

use crate::record::{DataField, Record};

/// A condition that a meter reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InfoCode {
    /// The meter is not filled with water.
    Dry,
    /// The water flows the wrong way.
    Reverse,
    /// Water has run without a pause for a day: something leaks.
    Leak,
    /// A constantly high flow: a pipe has burst.
    Burst,
    /// Somebody has meddled with the meter.
    Tamper,
    /// The battery is low.
    LowBattery,
    /// It is too cold around the meter: frost.
    AmbientTemperatureLow,
    /// It is too hot around the meter.
    AmbientTemperatureHigh,
    /// More flow than the meter is made for.
    FlowAboveQ4,
    /// No water has been used.
    NoConsumption,
    /// A condition of another kind of meter, by its name.
    Named(&'static str),
    /// A bit whose meaning is not public, counted from 0.
    Unknown(u8),
}

impl InfoCode {
    /// The word used in output; `None` for bits that have none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Dry => "dry",
            Self::Reverse => "reverse",
            Self::Leak => "leak",
            Self::Burst => "burst",
            Self::Tamper => "tamper",
            Self::LowBattery => "low_battery",
            Self::AmbientTemperatureLow => "ambient_temperature_low",
            Self::AmbientTemperatureHigh => "ambient_temperature_high",
            Self::FlowAboveQ4 => "flow_above_q4",
            Self::NoConsumption => "no_consumption",
            Self::Named(word) => word,
            Self::Unknown(_) => return None,
        })
    }

    /// The word used in output: `unknown` for bits whose meaning is not public; [`Display`](fmt::Display) adds their
    /// number.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.name().unwrap_or("unknown")
    }
}

impl fmt::Display for InfoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(bit) => write!(f, "bit_{bit}"),
            named => f.write_str(named.word()),
        }
    }
}

/// How many hours of the last thirty days a condition was active, in eight classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationClass(u8);

impl DurationClass {
    /// The class, 0 (never) to 7.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The hours it stands for, from and to; 744 is all of a month.
    #[must_use]
    pub const fn hours(self) -> (u16, u16) {
        match self.0 {
            0 => (0, 0),
            1 => (1, 8),
            2 => (9, 24),
            3 => (25, 72),
            4 => (73, 168),
            5 => (169, 336),
            6 => (337, 504),
            _ => (505, 744),
        }
    }

    /// The range in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.0 {
            0 => "never",
            1 => "1-8 hours",
            2 => "9-24 hours",
            3 => "2-3 days",
            4 => "4-7 days",
            5 => "8-14 days",
            6 => "15-21 days",
            _ => "22-31 days",
        }
    }
}

/// Where the bits of a word of info codes lie.
#[derive(Debug)]
pub struct InfoLayout {
    /// Bit by bit, what is active.
    pub bits: &'static [(u8, InfoCode)],
    /// The lowest of the three bits of each duration class.
    pub durations: &'static [(u8, InfoCode)],
}

impl InfoLayout {
    /// Bits that belong to a duration class.
    fn is_duration(&self, bit: u8) -> bool {
        self.durations.iter().any(|(lowest, _)| (*lowest..lowest + 3).contains(&bit))
    }
}

/// A word of info codes.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    bits: u32,
    layout: &'static InfoLayout,
}

impl Info {
    /// The word as sent.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// What is active now. Empty means that the meter says all is well.
    pub fn codes(self) -> impl Iterator<Item = InfoCode> {
        (0..32).filter(move |bit| self.bits >> bit & 1 == 1 && !self.layout.is_duration(*bit)).map(
            move |bit| {
                let named = self.layout.bits.iter().find(|(place, _)| *place == bit);
                named.map_or(InfoCode::Unknown(bit), |(_, code)| *code)
            },
        )
    }

    /// How long each condition was active in the last thirty days, for those the meter counts.
    pub fn durations(self) -> impl Iterator<Item = (InfoCode, DurationClass)> {
        let class = move |lowest: u8| DurationClass((self.bits >> lowest & 0b111) as u8);
        self.layout.durations.iter().map(move |(lowest, code)| (*code, class(*lowest)))
    }
}

/// Reads the data of an info record: one to four bytes of a fixed size, low byte first.
pub(crate) fn read(layout: &'static InfoLayout, record: &Record<'_>) -> Option<Info> {
    let data = match record.header.field {
        DataField::Integer(_) | DataField::Bcd(_) => record.data,
        DataField::None | DataField::Real | DataField::Variable => return None,
    };
    let mut wide = [0; 4];
    wide.get_mut(..data.len())?.copy_from_slice(data);
    (!data.is_empty()).then_some(Info { bits: u32::from_le_bytes(wide), layout })
}
