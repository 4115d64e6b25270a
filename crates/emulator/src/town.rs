//! Many meters, and who of them sends when.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt::{self, Write as _},
};

use wmbus::{Key, Serial, encode::EncodeError};

use crate::{
    chance::{Chance, Purpose},
    event::Event,
    meter::{Kind, Meter},
};

/// In turn, the kinds of a town's meters.
const KINDS: [Kind; 6] = [
    Kind::FlowIq2200,
    Kind::Multical21,
    Kind::FlowIq2200,
    Kind::Multical403,
    Kind::Multical21,
    Kind::FlowIq2200,
];
/// Every so many meters, one is in OMS mode instead.
const OMS_EVERY: usize = 12;
const STREETS: [&str; 12] = [
    "Kuusikuja",
    "Rantatie",
    "Koulukatu",
    "Mäntypolku",
    "Asemakatu",
    "Vesitorninmäki",
    "Pihlajakuja",
    "Myllytie",
    "Kirkkotie",
    "Satamakatu",
    "Puistotie",
    "Lehtikuja",
];
/// The first town's first number; a town of another seed begins elsewhere.
const FIRST_SERIAL: i64 = 61_000_000;

/// A town of meters within reach of one receiver, whose time goes on from telegram to telegram.
#[derive(Clone, Debug)]
pub struct Town {
    residents: Vec<Resident>,
    /// The next telegram of each meter: when, whose, its number.
    queue: BinaryHeap<Reverse<(i64, usize, u64)>>,
}

/// A meter and where it is.
#[derive(Clone)]
pub struct Resident {
    /// The meter.
    pub meter: Meter,
    /// What people call its place.
    pub name: String,
    /// The utility's number of its place.
    pub metering_point: String,
    /// How well it is heard, in dBm.
    pub rssi_dbm: i16,
    seed: u64,
}

/// `Debug` does not show what the place is called: in a real list that would be somebody's address.
impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("meter", &self.meter.address()).finish_non_exhaustive()
    }
}

/// A telegram on the air.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// When, in UTC milliseconds.
    pub at: i64,
    /// Whose: the place in [`Town::residents`].
    pub meter: usize,
    /// The how-manieth of this meter.
    pub number: u64,
    /// The telegram, beginning with its length byte, without link-layer CRCs.
    pub telegram: Vec<u8>,
    /// How it is heard, in dBm.
    pub rssi_dbm: i16,
}

impl Town {
    /// So many meters of all kinds, from a UTC millisecond on. The same seed gives the same meters and keys; a larger town
    /// has the smaller one's meters first.
    pub fn new(meters: usize, seed: u64, start: i64) -> Self {
        let residents = (0..meters).map(|number| {
            let kind = KINDS.get(number % KINDS.len()).copied().unwrap_or(Kind::FlowIq2200);
            let oms = number % OMS_EVERY == OMS_EVERY - 1;
            Resident::new(if oms { Kind::FlowIq2200Oms } else { kind }, seed, number)
        });
        Self::of(residents.collect(), start)
    }

    /// These meters, from a UTC millisecond on.
    pub fn of(residents: Vec<Resident>, start: i64) -> Self {
        let mut town = Self { residents, queue: BinaryHeap::new() };
        town.jump(start);
        town
    }

    /// Goes on from a UTC millisecond instead, earlier or later: nothing is sent in between.
    pub fn jump(&mut self, to: i64) {
        let next = self.residents.iter().enumerate().map(|(index, resident)| {
            let beat = resident.meter.beat();
            let number = beat.first_from(to);
            Reverse((beat.due(number), index, number))
        });
        self.queue = next.collect();
    }

    /// The meters.
    pub fn residents(&self) -> &[Resident] {
        &self.residents
    }

    /// One of them, to be asked for its registers.
    pub fn meter(&mut self, index: usize) -> Option<&mut Meter> {
        self.residents.get_mut(index).map(|resident| &mut resident.meter)
    }

    /// The meter of an eight-digit number, or the one at a place, counted from 0.
    pub fn find(&self, number: &str) -> Option<usize> {
        let serial: Option<Serial> = number.parse().ok();
        let by_serial = self.residents.iter().position(|one| Some(one.meter.address().serial) == serial);
        by_serial.or_else(|| number.parse().ok().filter(|index| *index < self.residents.len()))
    }

    /// Lets something go wrong at a meter. `false` if there is no such meter.
    pub fn add(&mut self, meter: usize, event: Event) -> bool {
        self.meter(meter).map(|meter| meter.add(event)).is_some()
    }

    /// When the next telegram is sent, in UTC milliseconds; `None` in a town without meters.
    pub fn next_at(&self) -> Option<i64> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next telegram; `None` in a town without meters.
    ///
    /// # Errors
    /// If a register has grown too large for its record. The next telegram is another one all the same.
    pub fn next_telegram(&mut self) -> Option<Result<Sent, EncodeError>> {
        let (at, index, number) = self.step()?;
        let resident = self.residents.get_mut(index)?;
        let telegram = resident.meter.telegram(number);
        let rssi_dbm = resident.rssi(number);
        Some(telegram.map(|telegram| Sent { at, meter: index, number, telegram, rssi_dbm }))
    }

    /// Leaves the next telegram out, without the work of making it. `false` in a town without meters.
    pub fn skip(&mut self) -> bool {
        self.step().is_some()
    }

    /// The keys as a table: `id,key`.
    pub fn keys_csv(&self) -> String {
        let mut csv = String::from("id,key\n");
        for resident in &self.residents {
            let _ = write!(csv, "{},", resident.meter.address());
            for byte in resident.meter.cipher().key().bytes() {
                let _ = write!(csv, "{byte:02X}");
            }
            csv.push('\n');
        }
        csv
    }

    /// The meters as a list: `id,name,metering_point,q4`.
    pub fn meters_csv(&self) -> String {
        let mut csv = String::from("id,name,metering_point,q4\n");
        for Resident { meter, name, metering_point, .. } in &self.residents {
            let _ = writeln!(csv, "{},{name},{metering_point},{}", meter.address(), meter.kind().q4());
        }
        csv
    }

    /// Takes the next telegram's place in the queue and queues the one after it.
    fn step(&mut self) -> Option<(i64, usize, u64)> {
        let Reverse((at, index, number)) = self.queue.pop()?;
        let beat = self.residents.get(index)?.meter.beat();
        self.queue.push(Reverse((beat.due(number + 1), index, number + 1)));
        Some((at, index, number))
    }
}

impl Resident {
    /// The meter at a place of the town of a seed. Its key, too, follows from the seed: never use it for a real meter.
    pub fn new(kind: Kind, seed: u64, number: usize) -> Self {
        let number_64 = i64::try_from(number).unwrap_or(i64::MAX);
        let mut chance = Chance::new(seed, Purpose::Resident, number_64);
        let own = chance.word();
        let rssi_dbm = i16::try_from(chance.between(-96, -52)).unwrap_or(-75);
        let house = chance.between(1, 48);
        let key = Key::new(Chance::new(seed, Purpose::Key, number_64).bytes());
        let first = FIRST_SERIAL + Chance::new(seed, Purpose::Key, -1).below(900) * 10_000;
        let serial = serial(first + number_64);
        let street = STREETS.get(number % STREETS.len()).copied().unwrap_or_default();
        Self {
            meter: Meter::new(kind, serial, key, own),
            name: format!("{street} {house}"),
            metering_point: format!("KP-{:05}", number.saturating_add(1)),
            rssi_dbm,
            seed: own,
        }
    }

    fn rssi(&self, number: u64) -> i16 {
        let number = i64::try_from(number).unwrap_or(0);
        self.rssi_dbm
            + i16::try_from(Chance::new(self.seed, Purpose::Radio, number).between(-3, 3)).unwrap_or(0)
    }
}

/// Two digits a byte, lowest first.
fn serial(number: i64) -> Serial {
    let pair = |divisor: i64| {
        let pair = u8::try_from(number / divisor % 100).unwrap_or(0);
        ((pair / 10) << 4) | (pair % 10)
    };
    Serial::from_wire([pair(1), pair(100), pair(10_000), pair(1_000_000)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Trouble;
    use wmbus::{Frame, Policy, Sealed};

    /// 2026-11-25 10:00 UTC.
    const START: i64 = 1_795_600_800_000;

    fn sent(town: &mut Town, count: usize) -> Vec<Sent> {
        (0..count).map(|_| town.next_telegram().unwrap().unwrap()).collect()
    }

    #[test]
    fn telegrams_come_in_the_order_of_their_times_from_all_meters() {
        let mut town = Town::new(12, 7, START);
        let sent = sent(&mut town, 12 * 5);
        assert!(sent.is_sorted_by_key(|one| one.at));
        assert!(sent[0].at >= START && sent[11].at < START + 17_000);
        for meter in 0..12 {
            let numbers: Vec<_> =
                sent.iter().filter(|one| one.meter == meter).map(|one| one.number).collect();
            assert!(numbers.len() >= 4 && numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
        }
    }

    #[test]
    fn every_telegram_opens_with_the_key_of_the_list() {
        let mut town = Town::new(24, 7, START);
        let keys = town.keys_csv();
        for one in sent(&mut town, 48) {
            let mut frame = Frame::bare(&one.telegram).unwrap();
            let sealed = Sealed::read(&mut frame).unwrap();
            let id = sealed.meter().to_string();
            let row = keys.lines().find(|row| row.starts_with(&id)).unwrap();
            let key: Key = row.split_once(',').unwrap().1.parse().unwrap();
            assert!(sealed.open(Some(&wmbus::Cipher::new(key)), Policy::Strict).is_ok(), "{id}");
        }
    }

    #[test]
    fn a_town_goes_on_after_a_restart_as_if_nothing_had_been() {
        let mut all = Town::new(5, 1, START);
        let whole = sent(&mut all, 200);
        let mut again = Town::new(5, 1, whole[100].at);
        assert_eq!(sent(&mut again, 100), whole[100..]);
        again.jump(START);
        assert_eq!(sent(&mut again, 100), whole[..100]);
    }

    #[test]
    fn a_larger_town_has_the_same_meters_first_and_another_seed_others() {
        let meters = |count, seed| Town::new(count, seed, START).meters_csv();
        assert!(meters(20, 3).starts_with(&meters(12, 3)));
        let (one, other) = (meters(12, 3), meters(12, 4));
        assert!(one.lines().skip(1).all(|row| !other.contains(row.split_once(',').unwrap().0)));
    }

    #[test]
    fn lists_have_the_columns_that_gateways_read() {
        let town = Town::new(2, 0, START);
        let (keys, meters) = (town.keys_csv(), town.meters_csv());
        assert!(keys.starts_with("id,key\nKAW.") && keys.lines().count() == 3);
        let row: Vec<_> = meters.lines().nth(1).unwrap().split(',').collect();
        assert_eq!((row.len(), row[2], row[3]), (4, "KP-00001", "5"));
    }

    #[test]
    fn meters_are_found_by_number_and_by_place() {
        let mut town = Town::new(3, 0, START);
        let serial = town.residents()[2].meter.address().serial.to_string();
        assert_eq!(
            [town.find(&serial), town.find("1"), town.find("3"), town.find("x")],
            [Some(2), Some(1), None, None]
        );
        assert!(
            town.add(1, Event::new(Trouble::Leak, 0, 1)) && !town.add(3, Event::new(Trouble::Leak, 0, 1))
        );
    }

    #[test]
    fn a_town_without_meters_is_silent() {
        let mut town = Town::new(0, 0, START);
        assert!(town.next_telegram().is_none() && !town.skip() && town.next_at().is_none());
    }
}
