mod echo;

use std::collections::BTreeMap;
use std::time::Duration;

use messages::batch::{Record, Stream};
use messages::event::Refusal;
use messages::reading::{Code, HourRow, Role, join};
use proptest::prelude::*;
use wmbus::encode::{Protection, RecordWriter, Shape, telegram};
use wmbus::link::{Communication, Session};
use wmbus::transport::Status;
use wmbus::{Cipher, Key};

mod attacks;
mod crowd;
mod erasing;
mod protection;
mod scan;

use super::*;
use crate::collector::open::Via;
use crate::health::clock::Calendar;
use crate::keyring::Selector;
use crate::store::Unplaced;
use crate::world::BootId;

/// A full hour.
const START: i64 = 1_795_482_000 / HOUR * HOUR;
const LEAK: i64 = 1 << 2;

fn key() -> Key {
    Key::new([7; 16])
}

fn meter() -> Meter {
    "KAM.76348799.1B.16".parse().unwrap()
}

fn up(second: u64) -> Uptime {
    Uptime(Duration::from_secs(second))
}

/// What the meter sends at this second of the test.
fn frame(second: u64, litres: i64, codes: i64) -> Vec<u8> {
    frame_of(meter(), second, litres, codes)
}

fn frame_of(meter: Meter, second: u64, litres: i64, codes: i64) -> Vec<u8> {
    ciphered(meter, second, &records(litres, codes))
}

fn ciphered(meter: Meter, second: u64, records: &RecordWriter) -> Vec<u8> {
    let second = u32::try_from(second).unwrap();
    let session = Session(((5000 + second / 60) << 4) | ((second % 60) / 4));
    let cipher = Cipher::new(key());
    let protection =
        Protection::EllCtr { cipher: &cipher, communication: Communication(0x20), access: 1, session };
    telegram(meter, protection, Shape::Full, records.bytes()).unwrap().bytes().to_vec()
}

/// The same with a tag that proves it.
fn proven(second: u64, litres: i64) -> Vec<u8> {
    let cipher = Cipher::new(key());
    let counter = u32::try_from(1000 + second).unwrap();
    let protection = Protection::Mode10 { cipher: &cipher, access: 1, status: Status(0), counter };
    telegram(meter(), protection, Shape::Full, records(litres, 0).bytes()).unwrap().bytes().to_vec()
}

fn records(litres: i64, codes: i64) -> RecordWriter {
    let mut records = RecordWriter::default();
    records.integer(&[0x02, 0xFF, 0x20], codes).unwrap();
    records.integer(&[0x04, 0x13], litres).unwrap();
    records
}

/// A gateway whose store is a list.
struct Site {
    collector: Collector,
    boot: BootId,
    records: Vec<(Stream, Record)>,
    parts: BTreeMap<&'static str, Vec<u8>>,
    unplaced: Vec<Unplaced>,
    placed: Vec<String>,
    sealed: Vec<SealedFrame>,
}

impl Site {
    fn new() -> Self {
        Self::with(Calendar::anchored(up(0), START * 1000))
    }

    fn with(calendar: Calendar) -> Self {
        let boot = BootId::new(&"0".repeat(32)).unwrap();
        let collector = begin(&boot, 0, calendar, &Memory::default());
        let (records, parts) = (Vec::new(), BTreeMap::new());
        let mut site = Self {
            collector,
            boot,
            records,
            parts,
            unplaced: Vec::new(),
            placed: Vec::new(),
            sealed: Vec::new(),
        };
        site.until(0);
        site
    }

    fn hear(&mut self, second: u64, frame: &[u8]) {
        self.until(second);
        self.collector.hear(frame, Reception { at: up(second), rssi: Some(-70), via: Via::default() });
        self.until(second);
    }

    fn until(&mut self, second: u64) {
        self.collector.tick(up(second));
        while let Some(commit) = self.collector.take_commit(up(second)) {
            self.keep(commit);
        }
    }

    fn keep(&mut self, commit: Commit) {
        for block in commit.blocks {
            let records = block.body.decode().unwrap().into_iter().map(|record| record.unwrap());
            self.records.extend(records.map(|record| (block.stream, record)));
        }
        for (part, body) in commit.parts {
            let name = match part {
                Part::Meters => "meters",
                Part::MetersSince => "since",
                Part::Episodes => "episodes",
                Part::Layouts => "layouts",
            };
            self.parts.insert(name, body);
        }
        self.unplaced.extend(commit.unplaced);
        self.placed.extend(commit.placed);
        self.sealed.extend(commit.sealed);
    }

    /// The process is killed, and starts again.
    fn kill(&mut self, second: u64) {
        let part = |name: &str| self.parts.get(name).cloned().unwrap_or_default();
        let memory = Memory {
            meters: part("meters"),
            meters_since: part("since"),
            episodes: part("episodes"),
            layouts: part("layouts"),
            ..Memory::default()
        };
        let calendar = *self.collector.calendar();
        self.collector = begin(&self.boot, second, calendar, &memory);
        self.until(second);
    }

    fn stop(&mut self, second: u64) {
        if let Some(commit) = self.collector.stop(up(second)) {
            self.keep(commit);
        }
    }

    /// Rows as the portal sees them: joined.
    fn rows(&self) -> BTreeMap<i64, HourRow> {
        let mut rows: BTreeMap<i64, HourRow> = BTreeMap::new();
        for (_, record) in &self.records {
            let Record::Hour(row) = record else { continue };
            let boundary = row.boundary.time().unix();
            let joined = rows.get(&boundary).map_or_else(|| join(row, row), |known| join(known, row));
            rows.insert(boundary, joined.unwrap());
        }
        rows
    }

    /// Litres and offset by boundary, in hours since the start.
    fn registers(&self) -> Vec<(i64, i64, i32)> {
        let rows = self.rows();
        rows.iter()
            .map(|(boundary, row)| {
                let volume = row.registers[&Role::Volume];
                ((boundary - START) / HOUR, volume.value.value.in_units_of(-3).unwrap(), volume.offset)
            })
            .collect()
    }

    fn episodes(&self) -> Vec<&messages::event::Episode> {
        let episode = |(_, record): &'_ (Stream, Record)| matches!(record, Record::Episode(_));
        let some = self.records.iter().filter(|record| episode(record));
        some.filter_map(|(_, record)| match record {
            Record::Episode(episode) => Some(episode),
            _ => None,
        })
        .collect()
    }
}

fn begin(boot: &BootId, second: u64, calendar: Calendar, memory: &Memory) -> Collector {
    let mut keys = Keyring::new();
    keys.insert(Selector::Full(meter()), key()).unwrap();
    let settings = Settings {
        q4: 5_000_000,
        block_every: 60,
        block_rows: 5000,
        list: MeterList::default(),
        thresholds: [(Code::Leak, [0, 3600].into())].into(),
    };
    let kernel = START + i64::try_from(second).unwrap();
    Collector::new(settings, keys, boot, (up(second), kernel, calendar), memory)
}

#[test]
fn a_frame_damaged_on_its_way_is_counted_and_names_no_meter() {
    let mut site = Site::new();
    site.collector.hear_damaged();
    let told = site.collector.telegrams();
    assert_eq!((told.heard, &told.refused), (1, &[(Refusal::Damaged, 1)].into()));
}

#[test]
fn every_hour_has_one_row_with_the_register_at_its_end() {
    let mut site = Site::new();
    for second in (0..3 * 3600 + 300).step_by(16) {
        site.hear(second, &frame(second, i64::try_from(second / 16).unwrap(), 0));
    }
    assert_eq!(site.registers(), [(0, 0, 0), (1, 225, 0), (2, 450, 0), (3, 675, 0)]);
    let rows = site.records.iter().filter(|(_, record)| matches!(record, Record::Hour(_))).count();
    assert_eq!(rows, 4, "each written once");
}

#[test]
fn nothing_is_written_while_nothing_is_heard() {
    let mut site = Site::new();
    for second in (0..300).step_by(16) {
        site.hear(second, &frame(second, 1, 0));
    }
    site.until(2 * 3600 + 300);
    let before = (site.records.len(), site.parts.clone());
    for second in (3 * 3600..20 * 3600).step_by(60) {
        site.until(second);
    }
    assert_eq!((site.records.len(), &site.parts), (before.0, &before.1));
    site.until(25 * 3600);
    let Some((_, Record::Meter(status))) = site.records.last().cloned() else {
        site.until(25 * 3600 + 120);
        let Some((_, Record::Meter(status))) = site.records.last() else { panic!("not told") };
        assert_eq!(status.reception.as_str(), "silent");
        return;
    };
    assert_eq!(status.reception.as_str(), "silent");
}

#[test]
fn an_episode_is_told_when_it_begins_at_its_threshold_and_when_it_is_over() {
    let mut site = Site::new();
    for second in (0..4 * 3600 + 600).step_by(16) {
        let codes = if second < 5000 { LEAK } else { 0 };
        site.hear(second, &frame(second, 1, codes));
    }
    let told: Vec<_> = site.episodes().iter().map(|e| (e.lasted, format!("{:?}", e.standing))).collect();
    let id = site.episodes()[0].id;
    assert!(site.episodes().iter().all(|episode| episode.id == id));
    let active = |lasted| (lasted, "Active".to_owned());
    // Begun; an hour, its threshold; two hours' rows; over.
    let expected =
        [active(16), active(3600), active(3712), active(4992), active(4992), (4992, "Ended".to_owned())];
    assert_eq!(told.first(), expected.first());
    assert!(told.contains(&active(3600)), "{told:?}");
    assert_eq!(told.last(), expected.last());
}

#[test]
fn an_episode_goes_on_over_a_kill_under_its_id() {
    let mut site = Site::new();
    for second in (0..1200).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    site.kill(1200);
    for second in (1200..5000).step_by(16) {
        site.hear(second, &frame(second, 1, LEAK));
    }
    let ids: std::collections::BTreeSet<_> = site.episodes().iter().map(|episode| episode.id).collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn readings_before_the_clock_was_set_become_rows_and_episodes_get_their_start() {
    let mut site = Site::with(Calendar::default());
    for second in (0..2 * 3600).step_by(16) {
        site.hear(second, &frame(second, i64::try_from(second / 16).unwrap(), LEAK));
    }
    assert!(site.rows().is_empty());
    assert_eq!(site.episodes()[0].started, None, "an alarm does not wait for the calendar");
    let stored = std::mem::take(&mut site.unplaced);
    assert!((8..=12).contains(&stored.len()), "one in ten minutes: {}", stored.len());
    let calendar = Calendar::anchored(up(0), START * 1000);
    let stored = stored.into_iter().map(|reading| (reading, calendar)).collect();
    site.collector.anchor(calendar, stored, up(7200));
    for second in (7200..8000).step_by(16) {
        site.hear(second, &frame(second, i64::try_from(second / 16).unwrap(), LEAK));
    }
    let registers = site.registers();
    assert_eq!(registers.iter().map(|(hour, ..)| *hour).collect::<Vec<_>>(), [0, 1, 2], "{registers:?}");
    assert_eq!(site.placed, [site.boot.as_str()]);
    let started: Vec<_> = site.episodes().iter().filter_map(|episode| episode.started).collect();
    assert_eq!(started.first().map(|time| time.unix()), Some(START));
}

#[test]
fn a_meter_with_a_key_is_not_heard_in_the_clear() {
    let mut site = Site::new();
    let mut records = RecordWriter::default();
    records.integer(&[0x04, 0x13], 5).unwrap();
    let (communication, session) = (Communication(0x20), Session(1 << 20));
    let clear = Protection::EllClear { communication, access: 1, session };
    let clear = telegram(meter(), clear, Shape::Full, records.bytes()).unwrap();
    site.hear(16, clear.bytes());
    assert_eq!(site.collector.telegrams().refused, [(Refusal::NotEncrypted, 1)].into());
    site.stop(32);
    assert!(site.rows().is_empty());
}

#[test]
fn a_start_that_never_had_the_time_is_dated_by_three_meters_that_agree() {
    let mut site = Site::new();
    let meters: Vec<Meter> = (1..=4).map(|n| format!("KAM.7634879{n}.1B.16").parse().unwrap()).collect();
    let mut keys = Keyring::new();
    for meter in &meters {
        keys.insert(Selector::Full(*meter), key()).unwrap();
    }
    site.collector.set_keys(keys);
    for second in (7200..7300).step_by(16) {
        for meter in &meters {
            site.hear(second, &frame_of(*meter, second, 1, 0));
        }
    }
    // Heard by another start of the machine, 2 h before this one; one of the meters is wrong by far.
    let kept = |meter: &Meter, minutes: u32| {
        let mut opener = Opener::default();
        let mut keys = Keyring::new();
        keys.insert(Selector::Full(*meter), key()).unwrap();
        let expected = Expected { keys: &keys, list: &MeterList::default() };
        let reception = Reception { at: up(600), rssi: None, via: Via::default() };
        let frame = frame_of(*meter, u64::from(minutes) * 60, 1, 0);
        let Outcome::Opened(_, opened) = opener.open(&frame, reception, expected) else { panic!() };
        let body = crate::collector::unplaced::write(&opened);
        Unplaced { boot: "1".repeat(32), uptime: 600, meter: *meter, body }
    };
    let mut readings: Vec<Unplaced> = meters.iter().take(2).map(|meter| kept(meter, 10)).collect();
    readings.push(kept(&meters[2], 90));
    assert_eq!(site.collector.calendar_by_meters(readings.iter()), None, "two agree");
    readings.push(kept(&meters[3], 10));
    let calendar = site.collector.calendar_by_meters(readings.iter()).unwrap();
    let at = calendar.place(up(600)).unwrap().unix();
    assert!((at - (START + 600)).abs() <= 60, "{}", at - START);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kills_and_duplicates_lose_no_hour_and_change_no_register(
        kills in proptest::collection::btree_set(0u64..700, 0..12),
        stops: bool,
    ) {
        let (mut quiet, mut killed) = (Site::new(), Site::new());
        for n in 0..700u64 {
            let second = n * 16;
            let genuine = frame(second, i64::try_from(second / 16).unwrap(), 0);
            quiet.hear(second, &genuine);
            killed.hear(second, &genuine);
            killed.hear(second, &genuine);
            if kills.contains(&n) {
                if stops { killed.stop(second + 1); }
                killed.kill(second + 2);
            }
        }
        let (quiet, killed) = (quiet.registers(), killed.registers());
        let hours = |registers: &[(i64, i64, i32)]| registers.iter().map(|r| r.0).filter(|hour| *hour < 3).collect::<Vec<_>>();
        prop_assert_eq!(hours(&quiet), hours(&killed));
        // Each is a register that the meter showed at its time.
        for (hour, litres, offset) in killed {
            let second = hour * 3600 + i64::from(offset);
            prop_assert!((litres - second / 16).abs() <= 4, "{} l at {}", litres, second);
        }
    }
}
