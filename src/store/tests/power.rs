//! Power cuts: a run is recorded with `strace`, and the disk is put together as it may be after a cut at any moment. What
//! was synchronised is there; of what was not, every 512 bytes may be there or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use messages::batch::Stream;

use super::{Dice, all, child, fast_directory, long, number_in};
use crate::store::{CollectStore, Part};

/// What a sector of a disk holds: a write is whole or not for each of them.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Op {
    Create(String),
    Write(String, usize, Arc<Vec<u8>>),
    Truncate(String, usize),
    Remove(String),
    Sync(String),
    Ack(u64, u64),
}

type Disk = BTreeMap<String, Vec<u8>>;

#[test]
fn a_power_cut_loses_nothing_that_was_committed() {
    let directory = fast_directory();
    let log = directory.path().join("log");
    let place = directory.path().join("run");
    std::fs::create_dir(&place).unwrap();
    let words = ["strace", "-f", "-y", "-xx", "-s", "200000", "-qq", "-o"];
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    words.push(log.to_string_lossy().into_owned());
    words.push("-e".to_owned());
    words.push("trace=openat,pwrite64,write,ftruncate,fdatasync,fsync,unlink,unlinkat".to_owned());
    let out = child::command(&words, "recorded", &place).output();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if out.is_err() || !text.contains("pwrite64") {
        println!("skipped: there is no strace, or it may not trace here");
        return;
    }
    let ops = read(&text, &place);
    let acks = ops.iter().filter(|op| matches!(op, Op::Ack(..))).count();
    assert_eq!(acks, 25, "the recording is not understood");
    let mut dice = Dice(7);
    let (mut firm, mut loose): (Disk, Vec<Op>) = Default::default();
    let mut acked = (0, 0);
    let samples = 2 * long();
    let mut states = 0;
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Ack(readings, events) => acked = (*readings, *events),
            Op::Sync(name) => loose.retain(|op| {
                let firmed = !matches!(op, Op::Write(other, ..) | Op::Truncate(other, _) if other != name);
                if firmed {
                    apply(&mut firm, op, &mut |_| true);
                }
                !firmed
            }),
            other => loose.push(other.clone()),
        }
        // Every place is cut; each time one of the ways to lose what was loose, more when asked for.
        for sample in 0..samples {
            let way = (at + sample) % 6;
            let mut disk = firm.clone();
            let torn = dice.below(loose.len().max(1));
            for (index, op) in loose.iter().enumerate() {
                match way {
                    0 => {}
                    1 => apply(&mut disk, op, &mut |_| true),
                    2 if index < torn => apply(&mut disk, op, &mut |_| true),
                    2 if index == torn => apply(&mut disk, op, &mut |sector| sector < 3),
                    2 => {}
                    3 => apply(&mut disk, op, &mut |_| index != torn),
                    4 => apply(&mut disk, op, &mut |_| dice.below(2) == 0),
                    _ => apply(&mut disk, op, &mut |_| dice.below(10) != 0),
                }
            }
            check(&disk, acked, directory.path(), &format!("at {at}, way {way}"));
            states += 1;
        }
    }
    println!("{states} states after power cuts");
}

/// Puts an operation on a disk as far as `keeps` says, which is asked for every sector.
fn apply(disk: &mut Disk, op: &Op, keeps: &mut dyn FnMut(usize) -> bool) {
    match op {
        Op::Create(name) => drop(disk.entry(name.clone()).or_default()),
        Op::Write(name, offset, bytes) => {
            let file = disk.entry(name.clone()).or_default();
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if keeps(index) {
                    let start = offset + index * SECTOR;
                    let end = start + sector.len();
                    if file.len() < end {
                        file.resize(end, 0);
                    }
                    file[start..end].copy_from_slice(sector);
                }
            }
        }
        Op::Truncate(name, length) => {
            if keeps(0) {
                disk.entry(name.clone()).or_default().resize(*length, 0);
            }
        }
        Op::Remove(name) => {
            if keeps(0) {
                disk.remove(name);
            }
        }
        Op::Sync(_) | Op::Ack(..) => {}
    }
}

fn check(disk: &Disk, (readings, events): (u64, u64), below: &Path, what: &str) {
    let directory = below.join("cut");
    let place = directory.join("store");
    std::fs::create_dir_all(&place).unwrap();
    for (name, bytes) in disk {
        std::fs::write(place.join(name), bytes).unwrap();
    }
    let store = CollectStore::open(&directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    let damage: String = store.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(damage, "ok", "{what}");
    for (stream, least) in [(Stream::Readings, readings), (Stream::Events, events)] {
        let head = store.head(stream).unwrap().number();
        assert!(head >= least, "{what}: {stream} {head} of {least}");
        let acknowledged = store.acknowledged(stream).unwrap().number();
        let blocks = all(&directory, stream);
        assert!((acknowledged + 1..=head).all(|seq| blocks.contains_key(&seq)), "{what}: a block is gone");
        for (seq, block) in blocks {
            assert_eq!(number_in(stream, &block.body.bytes), seq, "{what}");
        }
        if let (Stream::Readings, Some(part)) = (stream, store.part(Part::Meters).unwrap()) {
            assert_eq!(number_in(stream, &part), head, "{what}: the checkpoint is of another commit");
        }
    }
    drop(store);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Reads a recording, as far as it is about files of the store.
fn read(log: &str, place: &Path) -> Vec<Op> {
    let place = std::fs::canonicalize(place).unwrap();
    let name = |path: &str| -> Option<String> {
        let path = PathBuf::from(String::from_utf8(bytes(path)).ok()?);
        let name = path.file_name()?.to_str()?.to_owned();
        (path.starts_with(&place) && !name.ends_with("-shm")).then_some(name)
    };
    let mut ops = Vec::new();
    let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, start.to_owned());
            continue;
        }
        let joined = rest.starts_with("<... ").then(|| {
            let start = unfinished.remove(process).unwrap_or_default();
            format!("{start}{}", rest.split_once("resumed>").map_or("", |(_, end)| end))
        });
        let call = joined.as_deref().unwrap_or(rest);
        let Some((function, arguments)) = call.split_once('(') else { continue };
        if arguments.rsplit_once(" = ").is_none_or(|(_, result)| result.starts_with('-')) {
            continue;
        }
        let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
        let quoted: Vec<&str> = arguments.split('"').collect();
        let content = quoted.get(1).copied().unwrap_or_default();
        let last = |text: &str| -> usize {
            let (before, _) = text.rsplit_once(") = ").unwrap();
            before.rsplit(", ").next().unwrap().trim().parse().unwrap()
        };
        match function {
            "write" if content.starts_with(r"\x41\x43\x4b\x20") => {
                let text = String::from_utf8(bytes(content)).unwrap();
                let mut numbers = text.split_whitespace().skip(1).map(|number| number.parse().unwrap());
                ops.push(Op::Ack(numbers.next().unwrap(), numbers.next().unwrap()));
            }
            "openat" if arguments.contains("O_CREAT") => ops.extend(name(content).map(Op::Create)),
            "unlink" | "unlinkat" => ops.extend(name(content).map(Op::Remove)),
            "pwrite64" => ops.extend(file.and_then(name).map(|file| {
                let bytes = bytes(content);
                Op::Write(file, last(arguments), Arc::new(bytes))
            })),
            "ftruncate" => ops.extend(file.and_then(name).map(|file| Op::Truncate(file, last(arguments)))),
            "fdatasync" | "fsync" => ops.extend(file.and_then(name).map(Op::Sync)),
            _ => {}
        }
    }
    ops
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}
