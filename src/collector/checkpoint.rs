//! What the collector remembers over a restart, as bytes: at most 41 for each meter, since they are written with every
//! hour's rows.

use messages::Time;
use messages::reading::{Checked, Code};
use wmbus::compact::{Kind, StoredLayout};
use wmbus::{DeviceType, Learned, Manufacturer, Meter};

use super::bytes::{Bytes, put_counted, put_number};
use super::codes::Track;
use super::episode::{Episode, EpisodeId, Tracker};
use super::guard::{Counter, Point};
use super::times::Place;

const VERSION: u8 = 1;
const HOUR: i64 = 3600;
/// A moment of the steady clock takes 38 bits of five bytes.
const MOMENT: u64 = 0x3F_FFFF_FFFF;
/// The two bits above it: the place in this list, or 0.
const PROTECTION: [Checked; 3] = [Checked::Plain, Checked::Checksum, Checked::Authenticated];

/// One meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterEntry {
    /// Which.
    pub meter: Meter,
    /// Where it was last believed to stand.
    pub known: Option<Point>,
    /// When it was last heard, if it was never believed.
    pub heard: u64,
    /// The boundary of its last row.
    pub written: Option<Time>,
    /// What was last told of its reception.
    pub told: Option<u8>,
    /// The best protection that a believed telegram had.
    pub protection: Option<Checked>,
}

/// Meters as bytes.
#[must_use]
pub fn write_meters(entries: impl Iterator<Item = MeterEntry>) -> Vec<u8> {
    let mut to = vec![VERSION];
    for entry in entries {
        put_meter(&mut to, &entry);
    }
    to
}

/// Meters from bytes: those before the first that cannot be read.
pub fn read_meters(bytes: &[u8]) -> impl Iterator<Item = MeterEntry> {
    let (version, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut from = Bytes(if *version == VERSION { rest } else { &[] });
    std::iter::from_fn(move || meter(&mut from))
}

fn put_meter(to: &mut Vec<u8>, entry: &MeterEntry) {
    let point = entry.known;
    let (kind, number) = match point.and_then(|point| point.counter) {
        None => (0, None),
        Some(Counter::Session(number)) => (1, Some(number)),
        Some(Counter::Message(number)) => (2, Some(number)),
    };
    let register = point.and_then(|point| point.register);
    let flags = kind
        | u8::from(point.is_some()) << 2
        | u8::from(register.is_some()) << 3
        | u8::from(entry.written.is_some()) << 4
        | entry.told.map_or(0, |told| (told & 3) + 1) << 5;
    to.extend(entry.meter.to_link());
    to.push(flags);
    let at = point.map_or(entry.heard, |point| point.at).min(MOMENT);
    let protection = PROTECTION.iter().position(|known| Some(*known) == entry.protection);
    let protection = protection.and_then(|at| u64::try_from(at).ok()).map_or(0, |at| at + 1);
    to.extend((at | protection << 38).to_le_bytes().iter().take(5));
    to.extend(number.into_iter().flat_map(u32::to_le_bytes));
    to.extend(register.into_iter().flat_map(i64::to_le_bytes));
    to.extend(point.into_iter().flat_map(|point| point.digest.to_le_bytes()));
    let hours = |time: Time| u32::try_from(time.unix() / HOUR).unwrap_or_default();
    to.extend(entry.written.into_iter().flat_map(|time| hours(time).to_le_bytes()));
}

fn meter(from: &mut Bytes<'_>) -> Option<MeterEntry> {
    let meter = Meter::from_link(from.array()?);
    let flags = from.byte()?;
    let [a, b, c, d, e] = from.array()?;
    let protection = PROTECTION.get(usize::from(e >> 6).wrapping_sub(1)).copied();
    let heard = u64::from_le_bytes([a, b, c, d, e & 0x3F, 0, 0, 0]);
    let counter = match flags & 3 {
        0 => None,
        1 => Some(Counter::Session(u32::from_le_bytes(from.array()?))),
        2 => Some(Counter::Message(u32::from_le_bytes(from.array()?))),
        _ => return None,
    };
    let register = if flags & 8 == 0 { None } else { Some(i64::from_le_bytes(from.array()?)) };
    let known = if flags & 4 == 0 {
        None
    } else {
        Some(Point { counter, register, at: heard, digest: u64::from_le_bytes(from.array()?) })
    };
    let written = if flags & 16 == 0 {
        None
    } else {
        Time::from_unix(i64::from(u32::from_le_bytes(from.array()?)).saturating_mul(HOUR))
    };
    let told = (flags >> 5).checked_sub(1);
    Some(MeterEntry { meter, known, heard, written, told, protection })
}

/// Running episodes as bytes; `boot` is this start of the machine.
#[must_use]
pub fn write_episodes<'a>(
    boot: &str,
    episodes: impl Iterator<Item = (Meter, &'a Track, Episode)>,
) -> Vec<u8> {
    let mut to = vec![VERSION];
    put_counted(&mut to, boot.as_bytes());
    for (meter, track, episode) in episodes {
        to.extend(meter.to_link());
        put_counted(&mut to, track.code.as_str().as_bytes());
        to.extend(episode.id.0);
        to.push(u8::from(episode.unknown));
        for number in [episode.started, episode.last_seen, episode.lasted, episode.without, episode.heard] {
            put_number(&mut to, number);
        }
        for place in [track.started, track.seen] {
            let (kind, number) = match place {
                Place::Lost => (0, 0),
                Place::Utc(unix) => (1, u64::try_from(unix).unwrap_or_default()),
                Place::Here(uptime) => (2, uptime),
            };
            to.push(kind);
            put_number(&mut to, number);
        }
    }
    to
}

/// Running episodes from bytes: those before the first that cannot be read.
#[must_use]
pub fn read_episodes(bytes: &[u8], boot: &str) -> Vec<(Meter, Track)> {
    let mut from = Bytes(bytes);
    let same = match (from.byte(), from.counted()) {
        (Some(VERSION), Some(stored)) => stored == boot.as_bytes(),
        _ => return Vec::new(),
    };
    std::iter::from_fn(|| track(&mut from, same)).collect()
}

fn track(from: &mut Bytes<'_>, same_boot: bool) -> Option<(Meter, Track)> {
    let meter = Meter::from_link(from.array()?);
    let code: Code = std::str::from_utf8(from.counted()?).ok()?.parse().ok()?;
    let id = EpisodeId(from.array()?);
    let unknown = from.byte()? != 0;
    let mut number = || from.number();
    let episode = Episode {
        id,
        unknown,
        started: number()?,
        last_seen: number()?,
        lasted: number()?,
        without: number()?,
        heard: number()?,
    };
    let mut place = || {
        let (kind, number) = (from.byte()?, from.number()?);
        Some(match kind {
            1 => Place::Utc(i64::try_from(number).ok()?),
            2 if same_boot => Place::Here(number),
            _ => Place::Lost,
        })
    };
    let (started, seen) = (place()?, place()?);
    Some((meter, Track { code, tracker: Tracker::restore(episode), started, seen }))
}

/// Learned layouts as bytes.
#[must_use]
pub fn write_layouts(learned: &Learned) -> Vec<u8> {
    let mut to = vec![VERSION];
    for StoredLayout { kind, heads } in learned.stored() {
        to.extend(kind.manufacturer.to_wire());
        to.extend([kind.version, kind.device.0]);
        put_counted(&mut to, heads);
    }
    to
}

/// Takes layouts back from bytes.
pub fn read_layouts(bytes: &[u8], learned: &mut Learned) {
    let mut from = Bytes(bytes);
    if from.byte() != Some(VERSION) {
        return;
    }
    while let (Some([m0, m1, version, device]), Some(heads)) = (from.array(), from.counted()) {
        let manufacturer = Manufacturer::from_wire([m0, m1]);
        let kind = Kind { manufacturer, version, device: DeviceType(device) };
        learned.restore(StoredLayout { kind, heads });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = MeterEntry> {
        let counter = prop_oneof![
            Just(None),
            any::<u32>().prop_map(|number| Some(Counter::Session(number))),
            any::<u32>().prop_map(|number| Some(Counter::Message(number))),
        ];
        let point = (counter, any::<Option<i64>>(), any::<u64>());
        (any::<[u8; 8]>(), proptest::option::of(point), 0..=MOMENT, proptest::option::of(0i64..500_000))
            .prop_flat_map(|parts| (Just(parts), proptest::option::of(0u8..4), 0usize..4))
            .prop_map(|((link, point, heard, hours), told, protection)| MeterEntry {
                meter: Meter::from_link(link),
                known: point.map(|(counter, register, digest)| Point {
                    counter,
                    register,
                    at: heard,
                    digest,
                }),
                heard,
                written: hours.and_then(|hours| Time::from_unix(hours * HOUR)),
                told,
                protection: PROTECTION.get(protection).copied(),
            })
    }

    proptest! {
        #[test]
        fn meters_are_remembered_in_41_bytes_each(list in proptest::collection::vec(entries(), 0..20)) {
            let bytes = write_meters(list.iter().copied());
            prop_assert!(bytes.len() <= 1 + 41 * list.len());
            prop_assert_eq!(read_meters(&bytes).collect::<Vec<_>>(), list);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = read_meters(&bytes).count();
            let _ = read_episodes(&bytes, "boot");
            read_layouts(&bytes, &mut Learned::default());
        }
    }

    #[test]
    fn episodes_are_remembered_and_uptimes_of_another_boot_are_lost() {
        let episode = Episode {
            id: EpisodeId([7; 16]),
            started: 100,
            last_seen: 200,
            lasted: 90,
            unknown: true,
            without: 5,
            heard: 210,
        };
        let tracker = Tracker::restore(episode);
        let track = Track { code: Code::bit(17), tracker, started: Place::Here(60), seen: Place::Utc(900) };
        let meter: Meter = "KAM.76348799.1B.16".parse().unwrap();
        let bytes = write_episodes("one", [(meter, &track, episode)].into_iter());
        assert_eq!(read_episodes(&bytes, "one"), [(meter, track.clone())]);
        assert_eq!(read_episodes(&bytes, "two"), [(meter, Track { started: Place::Lost, ..track })]);
    }
}
