//! The keyring's promises.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;

const NAME: usize = 13;
const ENTRY: usize = NAME + 60;
const HEADER: usize = 24;

fn seal(byte: u8) -> SealKey {
    SealKey::new(&Zeroizing::new([byte; 32]))
}

fn key(number: u32) -> Key {
    let mut bytes = [0xC3; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Key::new(bytes)
}

fn number(number: u32) -> Selector {
    format!("{number:08}").parse().unwrap()
}

fn meter(number: u32) -> Meter {
    format!("KAM.{number:08}.1B.16").parse().unwrap()
}

fn filled(keys: u32) -> Keyring {
    let mut keyring = Keyring::new();
    for n in 0..keys {
        keyring.insert(number(n), key(n)).unwrap();
    }
    keyring
}

fn saved(keys: u32) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring");
    filled(keys).save(&path, &seal(1)).unwrap();
    (directory, path)
}

fn change(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_most_specific_entry_wins() {
    let mut keyring = filled(0);
    let heard = meter(76_348_799);
    assert_eq!(keyring.get(heard), None);
    for (n, selector) in ["76348799", "KAM.76348799", "KAM.76348799.1B.16"].iter().zip(1..) {
        keyring.insert(n.parse().unwrap(), key(selector)).unwrap();
        assert_eq!(keyring.get(heard), Some(&key(selector)));
    }
    assert_eq!(keyring.get("KAW.76348799.1B.16".parse().unwrap()), Some(&key(1)));
    assert_eq!(keyring.get("KAM.76348799.1C.16".parse().unwrap()), Some(&key(2)));
    assert!(keyring.remove("KAM.76348799".parse().unwrap()));
    assert!(!keyring.remove("KAM.76348799".parse().unwrap()));
    assert_eq!(keyring.get("KAM.76348799.1C.16".parse().unwrap()), Some(&key(1)));
}

#[test]
fn what_an_insertion_did_is_said() {
    let mut keyring = filled(1);
    assert_eq!(keyring.insert(number(0), key(0)), Ok(Inserted::Same));
    assert_eq!(keyring.insert(number(0), key(9)), Ok(Inserted::Replaced));
    assert_eq!(keyring.get(meter(0)), Some(&key(9)));
    assert_eq!(keyring.insert(number(1), key(1)), Ok(Inserted::New));
}

#[test]
fn places_of_removed_keys_are_used_again() {
    let mut keyring = filled(1000);
    for n in 0..500 {
        assert!(keyring.remove(number(n)));
    }
    for n in 2000..2500 {
        keyring.insert(number(n), key(n)).unwrap();
    }
    assert_eq!(keyring.chunks.len(), filled(1000).chunks.len());
    for n in (500..1000).chain(2000..2500) {
        assert_eq!(keyring.get(meter(n)), Some(&key(n)));
    }
    assert_eq!(keyring.get(meter(0)), None);
}

#[test]
fn a_saved_keyring_is_read_back_and_belongs_to_its_owner_only() {
    let (directory, path) = saved(300);
    let mut keyring = Keyring::open(&path, &seal(1)).unwrap();
    assert_eq!(keyring.damaged(), []);
    assert_eq!(keyring.list(), filled(300).list());
    keyring.insert("KAW.00000007".parse().unwrap(), key(7)).unwrap();
    keyring.insert("KAM.00000007.1B.16".parse().unwrap(), key(8)).unwrap();
    keyring.save(&path, &seal(1)).unwrap();
    assert_eq!(Keyring::open(&path, &seal(1)).unwrap().list(), keyring.list());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");
}

#[test]
fn no_key_is_in_the_file_nor_in_what_is_shown() {
    let (_directory, path) = saved(50);
    let bytes = std::fs::read(&path).unwrap();
    let keyring = Keyring::open(&path, &seal(1)).unwrap();
    let shown = format!("{keyring:?} {:?} {:?}", keyring.list(), seal(1)).to_lowercase();
    for n in 0..50 {
        assert!(!bytes.windows(16).any(|window| window == key(n).bytes()));
    }
    assert!(!shown.contains("c3c3c3") && !shown.contains("195, 195"));
}

#[test]
fn a_flow_is_kept_with_its_key_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring");
    let mut keyring = filled(2);
    let flow = Some(Flow::litres_per_hour(3125));
    let entry = MeterKey { meter: number(1), key: key(1), q4: flow };
    assert_eq!(keyring.compare(&entry), Inserted::Replaced);
    assert_eq!(keyring.put(&entry), Ok(Inserted::Replaced));
    assert_eq!(keyring.put(&entry), Ok(Inserted::Same));
    assert_eq!(
        keyring.put(&MeterKey { q4: None, ..entry }),
        Ok(Inserted::Same),
        "a flow that is there stays"
    );
    keyring.save(&path, &seal(1)).unwrap();
    let mut keyring = Keyring::open(&path, &seal(1)).unwrap();
    assert_eq!((keyring.q4(meter(1)), keyring.q4(meter(0))), (flow, None));
    assert!(keyring.remove(number(1)));
    assert_eq!(keyring.q4(meter(1)), None);
}

#[test]
fn a_missing_file_is_an_empty_keyring() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Keyring::open(&directory.path().join("keyring"), &seal(1)).unwrap().is_empty());
}

#[test]
fn another_seal_key_is_told_apart_from_damage() {
    let (_directory, path) = saved(3);
    assert!(matches!(Keyring::open(&path, &seal(2)), Err(OpenError::WrongSeal)));
    std::fs::write(&path, b"not a keyring, but some other file").unwrap();
    assert!(matches!(Keyring::open(&path, &seal(1)), Err(OpenError::Unreadable)));
}

#[test]
fn a_damaged_entry_costs_only_itself_and_is_named() {
    for at in [NAME + 4, 44, 59, ENTRY - 1] {
        let (_directory, path) = saved(5);
        change(&path, HEADER + 2 * ENTRY + at);
        let keyring = Keyring::open(&path, &seal(1)).unwrap();
        assert_eq!(keyring.len(), 4);
        let [Damage::Entry { number: 3, selector: Some(lost) }] = *keyring.damaged() else {
            panic!("{:?}", keyring.damaged())
        };
        assert_eq!(keyring.exact(lost), None);
    }
}

#[test]
fn an_entry_whose_name_is_damaged_is_not_given_to_another_meter() {
    for at in 0..NAME {
        let (_directory, path) = saved(1);
        change(&path, HEADER + at);
        let keyring = Keyring::open(&path, &seal(1)).unwrap();
        assert!(keyring.is_empty());
        assert_eq!(keyring.damaged(), [Damage::Entry { number: 1, selector: None }]);
    }
}

#[test]
fn a_damaged_checksum_of_a_name_costs_nothing() {
    let (_directory, path) = saved(1);
    change(&path, HEADER + NAME);
    assert_eq!(Keyring::open(&path, &seal(1)).unwrap().list(), filled(1).list());
}

#[test]
fn swapped_keys_do_not_open() {
    let (_directory, path) = saved(2);
    let mut bytes = std::fs::read(&path).unwrap();
    let (first, second) = bytes[HEADER..].split_at_mut(ENTRY);
    first[NAME + 4..].swap_with_slice(&mut second[NAME + 4..]);
    std::fs::write(&path, bytes).unwrap();
    assert!(Keyring::open(&path, &seal(1)).unwrap().is_empty());
}

#[test]
fn a_damaged_header_costs_no_key() {
    for at in 0..HEADER {
        let (_directory, path) = saved(5);
        change(&path, at);
        let keyring = Keyring::open(&path, &seal(1)).unwrap();
        assert_eq!((keyring.len(), keyring.damaged()), (5, &[Damage::Header][..]));
    }
}

#[test]
fn a_file_cut_short_keeps_what_is_there() {
    let (_directory, path) = saved(5);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..HEADER + 3 * ENTRY + 20]).unwrap();
    let keyring = Keyring::open(&path, &seal(1)).unwrap();
    assert_eq!((keyring.len(), keyring.damaged()), (3, &[Damage::CutShort { missing: 2 }][..]));
    std::fs::write(&path, &bytes[..10]).unwrap();
    assert!(matches!(Keyring::open(&path, &seal(1)), Err(OpenError::Unreadable)));
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let (directory, path) = saved(5);
    let full = |_: &mut std::fs::File| Err(io::ErrorKind::StorageFull.into());
    let error = replace(&path, full).unwrap_err();
    assert!(error.to_string().ends_with("nothing was changed"), "{error}");
    assert_eq!(Keyring::open(&path, &seal(1)).unwrap().len(), 5);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_an_interrupted_save_left_is_removed_and_what_another_writes_is_not() {
    let (directory, path) = saved(5);
    for left in ["keyring.new", "keyring.new.0123456789abcdef", "keyring.newer"] {
        std::fs::write(directory.path().join(left), b"half").unwrap();
    }
    let written = std::fs::File::create(directory.path().join("keyring.new.1")).unwrap();
    written.lock().unwrap();
    filled(9).save(&path, &seal(1)).unwrap();
    assert_eq!(Keyring::open(&path, &seal(1)).unwrap().len(), 9);
    let mut names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["keyring", "keyring.new.1", "keyring.newer"]);
}

#[test]
fn two_who_save_at_the_same_time_do_not_write_into_one_file() {
    let (_directory, path) = saved(1);
    replace(&path, |_| {
        filled(7).save(&path, &seal(1)).unwrap();
        Err(io::ErrorKind::Interrupted.into())
    })
    .unwrap_err();
    assert_eq!(Keyring::open(&path, &seal(1)).unwrap().len(), 7);
}

#[test]
fn a_folder_that_root_makes_belongs_to_whom_its_parent_belongs() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let directory = tempfile::tempdir().unwrap();
    // Only root can give files away.
    if chown(directory.path(), Some(65_534), Some(65_533)).is_err() {
        return;
    }
    make_folder(&directory.path().join("a/b/keyring")).unwrap();
    for folder in ["a", "a/b"] {
        let about = std::fs::metadata(directory.path().join(folder)).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (65_534, 65_533, 0o700), "{folder}");
    }
}

#[test]
fn a_hundred_thousand_keys_fit_in_five_megabytes() {
    let keyring = filled(100_000);
    assert_eq!(keyring.get(meter(99_999)), Some(&key(99_999)));
    // A table of capacity c has 8c/7 buckets with one control byte each.
    let table = keyring.places.capacity().div_ceil(7) * 8 * (size_of::<(Selector, u32)>() + 1);
    let chunks = keyring.chunks.len() * (size_of::<[Key; CHUNK]>() + size_of::<usize>());
    assert!(table + chunks < 5_000_000, "{table} + {chunks} bytes");
}

#[test]
fn there_is_a_bound() {
    let mut keyring = filled(u32::try_from(MAX_KEYS).unwrap());
    assert_eq!(keyring.insert("KAM.00000001".parse().unwrap(), key(1)), Err(Full));
    assert_eq!(keyring.insert(number(1), key(2)), Ok(Inserted::Replaced));
}

proptest! {
    #[test]
    fn any_bytes_as_keyring_file_are_an_error_or_a_keyring(
        magic: bool, bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        let start: &[u8] = if magic { b"VESIKEY2" } else { b"" };
        std::fs::write(&path, [start, &bytes].concat()).unwrap();
        if let Ok(keyring) = Keyring::open(&path, &seal(1)) {
            prop_assert!(keyring.is_empty());
        }
    }

    #[test]
    fn one_changed_byte_never_changes_a_key(at in 0..HEADER + 3 * ENTRY, bit in 0u8..8) {
        let (_directory, path) = saved(3);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        let keyring = Keyring::open(&path, &seal(1)).unwrap();
        prop_assert!(keyring.len() >= 2);
        let original = filled(3);
        for (selector, found) in keyring.iter() {
            prop_assert_eq!(Some(found), original.exact(selector));
        }
    }
}
