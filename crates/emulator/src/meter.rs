//! Virtual Kamstrup meters: what they measure, when they send, what they send.
//!
//! Everything about a meter follows from its kind, number, key and seed and from the moment asked about, besides the
//! events that were added. So a meter made again after a restart goes on as if it had never stopped: its registers and its
//! counters rise on.

mod beat;
mod records;

use wmbus::{
    Cipher, Key, Serial,
    encode::{EncodeError, Protection, RecordWriter, Shape, telegram},
    link::{Communication, Session},
    transport::Status,
};

use crate::{
    calendar::{self, DAY},
    chance::{Chance, Purpose},
    event::Event,
    heating::Heating,
    household::Household,
};
pub use beat::Beat;

/// Every eighth telegram is a full frame, the seven between are compact.
const FULL_EVERY: u64 = 8;
/// Sent in step with the access number; nothing else.
const SYNCHRONOUS: Communication = Communication(0x20);

/// Which meter, and how it is configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// MULTICAL 21 for cold water.
    Multical21,
    /// flowIQ 2200 with 32-bit info codes, AES-CTR in the extended link layer.
    FlowIq2200,
    /// flowIQ 2200 as it is sold for open networks: OMS security profile D (mode 10), full frames only, volume by 100 l,
    /// and of the codes only "dry" has a public bit.
    FlowIq2200Oms,
    /// MULTICAL 403 for heat.
    Multical403,
}

impl Kind {
    /// The overload flow it is made for, in m3/h.
    pub fn q4(self) -> &'static str {
        match self {
            Self::Multical21 => "3.125",
            Self::FlowIq2200 | Self::FlowIq2200Oms => "5",
            Self::Multical403 => "3",
        }
    }

    /// Whether it measures water, not heat.
    pub fn is_water(self) -> bool {
        self != Self::Multical403
    }

    fn address(self, serial: Serial) -> wmbus::Meter {
        let (manufacturer, version, device) = match self {
            Self::Multical21 => (wmbus::Manufacturer::KAMSTRUP, 0x1B, 0x16),
            Self::FlowIq2200 | Self::FlowIq2200Oms => (wmbus::Manufacturer::KAMSTRUP_WATER, 0x3C, 0x16),
            Self::Multical403 => (wmbus::Manufacturer::KAMSTRUP, 0x34, 0x04),
        };
        wmbus::Meter { manufacturer, serial, version, device: wmbus::DeviceType(device) }
    }
}

/// One meter.
#[derive(Clone, Debug)]
pub struct Meter {
    kind: Kind,
    address: wmbus::Meter,
    cipher: Cipher,
    seed: u64,
    beat: Beat,
    source: Source,
    events: Vec<Told>,
}

#[derive(Clone, Debug)]
enum Source {
    Water(Household),
    Heat(Heating),
}

/// An event, and what the household alone had used when it began and ended.
#[derive(Clone, Copy, Debug)]
struct Told {
    event: Event,
    used_before: i64,
    used_after: i64,
}

impl Meter {
    /// A meter that has been working since some day of the two years before 2025.
    pub fn new(kind: Kind, serial: Serial, key: Key, seed: u64) -> Self {
        let age = Chance::new(seed, Purpose::Resident, -1).between(30 * DAY, 700 * DAY);
        let fraction = Chance::new(seed, Purpose::Resident, -2).below(16_000);
        let source = if kind.is_water() {
            Source::Water(Household::new(seed))
        } else {
            Source::Heat(Heating::new(seed))
        };
        Self {
            kind,
            address: kind.address(serial),
            cipher: Cipher::new(key),
            seed,
            beat: Beat::new((calendar::BEGIN - age) * 1_000 + fraction, 16_000),
            source,
            events: Vec::new(),
        }
    }

    /// The same, sending at another interval; at least 4 s, since no more than sixteen telegrams a minute can be numbered.
    #[must_use]
    pub fn with_interval(mut self, milliseconds: u32) -> Self {
        self.beat = Beat::new(self.beat.started(), i64::from(milliseconds.max(4_500)));
        self
    }

    /// Lets something go wrong. Of a heat meter only the codes change.
    pub fn add(&mut self, event: Event) {
        let mut used_at = |at| match &mut self.source {
            Source::Water(household) => household.volume_at(at),
            Source::Heat(_) => 0,
        };
        let used_before = used_at(event.from);
        // The end of an endless event is never asked about.
        let used_after = if event.to == i64::MAX { used_before } else { used_at(event.to) };
        self.events.push(Told { event, used_before, used_after });
    }

    /// Kind and configuration.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its address.
    pub fn address(&self) -> wmbus::Meter {
        self.address
    }

    /// Its key, made ready.
    pub fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    /// When it sends.
    pub fn beat(&self) -> Beat {
        self.beat
    }

    /// Millilitres on its register at a UTC second: of a heat meter V1.
    pub fn volume_at(&mut self, at: i64) -> i64 {
        let used = match &mut self.source {
            Source::Heat(heating) => return heating.counted_at(at).millilitres,
            Source::Water(household) => household.volume_at(at),
        };
        let changes = self.events.iter().map(|told| told.event.added(at) - told.uncounted(at, used));
        used + changes.sum::<i64>()
    }

    /// Watt-hours on its register at a UTC second; of a water meter none.
    pub fn energy_at(&mut self, at: i64) -> i64 {
        match &mut self.source {
            Source::Heat(heating) => heating.counted_at(at).watt_hours,
            Source::Water(_) => 0,
        }
    }

    /// The records of a full frame sent at a UTC second.
    ///
    /// # Errors
    /// If a number does not fit its record: registers end after some centuries.
    pub fn records(&mut self, at: i64) -> Result<RecordWriter, EncodeError> {
        records::of(self, at)
    }

    /// The first telegram at or after a UTC millisecond, and when it is sent.
    ///
    /// # Errors
    /// See [`records`](Self::records).
    pub fn next_telegram(&mut self, at: i64) -> Result<(i64, Vec<u8>), EncodeError> {
        let number = self.beat.first_from(at);
        Ok((self.beat.due(number), self.telegram(number)?))
    }

    /// Its telegram of a number, beginning with the length byte, without link-layer CRCs.
    ///
    /// # Errors
    /// See [`records`](Self::records).
    pub fn telegram(&mut self, number: u64) -> Result<Vec<u8>, EncodeError> {
        let records = self.records(self.beat.due(number).div_euclid(1_000))?;
        let access = access(number);
        if self.kind == Kind::FlowIq2200Oms {
            let counter = u32::try_from(number + 1).unwrap_or(u32::MAX);
            let protection = Protection::Mode10 { cipher: &self.cipher, access, status: Status(0), counter };
            let frame = telegram(self.address, protection, Shape::Full, records.bytes())?;
            return with_short_extended_link(frame.bytes(), access);
        }
        let protection = Protection::EllCtr {
            cipher: &self.cipher,
            communication: SYNCHRONOUS,
            access,
            session: self.session(number),
        };
        let frame = telegram(self.address, protection, self.shape(number), records.bytes())?;
        Ok(frame.bytes().to_vec())
    }

    /// Whether the telegram of a number is a full frame.
    pub fn shape(&self, number: u64) -> Shape {
        match number % FULL_EVERY {
            0 => Shape::Full,
            _ if self.kind == Kind::FlowIq2200Oms => Shape::Full,
            _ => Shape::Compact,
        }
    }

    /// The session number of a telegram.
    pub fn session(&self, number: u64) -> Session {
        Session(self.beat.session(number))
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|told| &told.event)
    }
}

/// The access number counts telegrams.
fn access(number: u64) -> u8 {
    (number % 256).try_into().unwrap_or(0)
}

impl Told {
    /// What the household has used while the meter was dry, `used` being what it has used by now.
    fn uncounted(&self, at: i64, used: i64) -> i64 {
        match self.event.trouble {
            crate::event::Trouble::Dry if at >= self.event.to => self.used_after - self.used_before,
            crate::event::Trouble::Dry if at >= self.event.from => used - self.used_before,
            _ => 0,
        }
    }
}

/// Puts the first kind of extended link layer behind the address, as flowIQ meters have it in front of mode 10.
fn with_short_extended_link(frame: &[u8], access: u8) -> Result<Vec<u8>, EncodeError> {
    let (head, rest) = frame.split_at_checked(10).ok_or(EncodeError::TooLong)?;
    let mut bytes = head.to_vec();
    bytes.extend([0x8C, SYNCHRONOUS.0, access]);
    bytes.extend(rest);
    let length = u8::try_from(bytes.len() - 1).map_err(|_| EncodeError::TooLong)?;
    bytes.iter_mut().take(1).for_each(|byte| *byte = length);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
