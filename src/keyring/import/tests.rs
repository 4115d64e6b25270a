//! Key files as they come, and as an attacker would write them. The samples are synthetic.

use std::io::Write as _;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::*;
use crate::keyring::fuzzing::{key_file, key_file_inside, sealed_file};
use crate::keyring::parse_key;

const KEM_PLAIN: &[u8] = include_bytes!("../samples/kem1-plain.xml");
const KEM: &[u8] = include_bytes!("../samples/kem1-inner.kem");
const KEM_ZIP: &[u8] = include_bytes!("../samples/kem1-download.zip.kem");
const KEM_NUL: &[u8] = include_bytes!("../samples/kem1-bom-nul-inner.kem");
const KEM2: &[u8] = include_bytes!("../samples/kem2-inner.kem2");
const KEM2_ZIP: &[u8] = include_bytes!("../samples/kem2-download.zip.kem2");
const SEMICOLON: &[u8] = include_bytes!("../samples/keys-semicolon.csv");
const COMMA: &[u8] = include_bytes!("../samples/keys-comma.csv");
const BAD: &[u8] = include_bytes!("../samples/keys-bad.csv");

const KEM_KEYS: [(&str, char); 2] = [("KAM.10000001", 'A'), ("KAM.12345678", 'B')];
const PASSWORD: &str = "Sample-Pass1";
const PASSWORD2: &str = "Prøve-2-Sixteen";
const KEY_A: &str = "000102030405060708090A0B0C0D0E0F";
const KEY_B: &str = "00112233445566778899AABBCCDDEEFF";
const KEY_C: &str = "0F0E0D0C0B0A09080706050403020100";

fn open(bytes: &[u8], password: &str) -> Result<KeyFile, Fault> {
    let password = Password::new(password).ok();
    Loaded::from_bytes(Zeroizing::new(bytes.to_vec()))?.keys(password.as_ref())
}

fn inside(plain: &str) -> Result<KeyFile, Fault> {
    open(sealed_file(plain.as_bytes(), "p").as_bytes(), "p")
}

/// Whose key is which.
fn keys(file: &KeyFile) -> Vec<(String, char)> {
    let known = [('A', KEY_A), ('B', KEY_B), ('C', KEY_C)];
    let which =
        |key| known.into_iter().find(|(_, text)| parse_key(text).as_ref() == Ok(key)).map_or('?', |(k, _)| k);
    file.rows().map(|row| (row.entry.meter.to_string(), which(&row.entry.key))).collect()
}

fn of(meters: &[(&str, char)]) -> Vec<(String, char)> {
    meters.iter().map(|(meter, key)| ((*meter).to_owned(), *key)).collect()
}

fn zip_of(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn every_sample_opens_with_its_password() {
    for bytes in [KEM, KEM_ZIP, KEM_PLAIN] {
        let file = open(bytes, PASSWORD).unwrap();
        assert_eq!((file.kind, keys(&file)), (Kind::Kem, of(&KEM_KEYS)));
    }
    assert_eq!(keys(&open(KEM_NUL, "0123456789abcdef").unwrap()), of(&KEM_KEYS));
    for bytes in [KEM2, KEM2_ZIP] {
        let file = open(bytes, PASSWORD2).unwrap();
        assert_eq!(
            (file.kind, keys(&file)),
            (Kind::Kem2, of(&[("KAW.87654321", 'A'), ("KAM.10000002", 'C')]))
        );
        assert!(file.sealed);
    }
    assert_eq!(keys(&open(SEMICOLON, "").unwrap()), of(&[("10000001", 'A'), ("12345678", 'B')]));
    assert_eq!(keys(&open(COMMA, "").unwrap()), of(&[("10000001", 'A'), ("87654321", 'A')]));
}

#[test]
fn bad_rows_of_a_table_do_not_spoil_the_others() {
    let file = open(BAD, "").unwrap();
    let refused: Vec<_> = file.refused.iter().map(|one| one.place).collect();
    assert_eq!(refused, [Place::Line(3), Place::Line(4)]);
    let remarks: Vec<_> = file.rows().map(|row| (row.entry.meter.to_string(), row.remark)).collect();
    assert_eq!(remarks, [("01234567".to_owned(), None), ("12345678".to_owned(), Some(Remark::Placeholder))]);
}

#[test]
fn lines_of_numbers_and_keys_are_read() {
    let text = format!(
        "name=Cellar\nid=87654321\nkey={KEY_A}\n\nname=x\r\nid = 4711\r\nkey = {KEY_B}\r\nkey={KEY_C}\n"
    );
    let file = open(text.as_bytes(), "").unwrap();
    assert_eq!((file.kind, keys(&file)), (Kind::Lines, of(&[("87654321", 'A'), ("00004711", 'B')])));
    let refused: Vec<_> = file.refused.iter().map(|one| (one.place, one.why)).collect();
    assert_eq!(refused, [(Place::Line(8), RowFault::NoNumber)]);
}

#[test]
fn a_wrong_password_is_told_apart_from_a_damaged_file() {
    for (bytes, right) in [(KEM, PASSWORD), (KEM_ZIP, PASSWORD), (KEM2, PASSWORD2)] {
        assert_eq!(open(bytes, "wrong").unwrap_err(), Fault::WrongPassword);
        let changed = format!("{right}!");
        if changed.len() <= 16 {
            assert_eq!(open(bytes, &changed).unwrap_err(), Fault::WrongPassword);
        }
        assert!(open(bytes, right).is_ok());
    }
    // The first block damaged: what follows is text all the same.
    let at = KEM.windows(13).position(|window| window == b"<CipherValue>").unwrap() + 13;
    let mut damaged = KEM.to_vec();
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(open(&damaged, PASSWORD).unwrap_err(), Fault::Damaged);
    assert_eq!(open(&damaged, "wrong").unwrap_err(), Fault::WrongPassword);
    // One in the middle: not UTF-8, not XML, or a key of too few digits.
    let mut damaged = KEM.to_vec();
    damaged[at + 200] = if damaged[at + 200] == b'A' { b'B' } else { b'A' };
    let refused = open(&damaged, PASSWORD).map(|file| file.refused.len());
    assert!(matches!(refused, Err(Fault::Damaged) | Ok(1..)), "{refused:?}");
    // Cut short.
    assert_eq!(open(&KEM[..KEM.len() / 2], PASSWORD).unwrap_err(), Fault::Xml(XmlFault::NotWellFormed));
    assert_eq!(open(&KEM_ZIP[..KEM_ZIP.len() / 2], PASSWORD).unwrap_err(), ArchiveFault::Damaged.into());
}

#[test]
fn a_password_is_at_most_sixteen_bytes_and_never_shown() {
    assert_eq!(Password::new("").unwrap_err(), PasswordFault::Empty);
    assert_eq!(Password::new("12345678901234567").unwrap_err(), PasswordFault::TooLong { bytes: 17 });
    assert_eq!(Password::new("åäö-12345678901").unwrap_err(), PasswordFault::TooLong { bytes: 18 });
    assert_eq!(format!("{:?}", Password::new("hunter2").unwrap()), "Password(..)");
    assert_eq!(open(KEM, "").unwrap_err(), Fault::NeedsPassword);
}

#[test]
fn meters_that_cannot_be_used_are_named_and_the_others_taken() {
    let file = inside(
        "<MetersInOrder><Meter><DEK>00</DEK></Meter><Meter><SerialNo>123456789</SerialNo></Meter><Meter/>\
         <Meter><SerialNo>1</SerialNo></Meter><Meter><SerialNo>2</SerialNo><DEK>zz</DEK></Meter>\
         <Meter><SerialNo>3</SerialNo><VendorId>K</VendorId><DEK>000102030405060708090A0B0C0D0E0F</DEK></Meter>\
         </MetersInOrder>",
    )
    .unwrap();
    let refused: Vec<_> = file.refused.iter().map(|one| (one.place, one.why)).collect();
    assert_eq!(
        refused,
        [
            (Place::Meter(1), RowFault::NoNumber),
            (Place::Meter(2), RowFault::Number),
            (Place::Meter(3), RowFault::NoNumber),
            (Place::Meter(4), RowFault::NoKey),
            (Place::Meter(5), RowFault::Key(KeyError::NotHex)),
        ]
    );
    assert_eq!(keys(&file), of(&[("00000003", 'A')]));
}

#[test]
fn a_key_type_may_stand_in_an_attribute_and_other_keys_are_never_taken() {
    let file = inside(&format!(
        "<Devices><Device><DeviceId><SerialNumber>1</SerialNumber></DeviceId><Keys><Key Type=\"GPK\"><Value>{KEY_B}</Value>\
         </Key><Key Type=\"DEK\"><Value>{KEY_A}</Value></Key></Keys></Device>\
         <Device><SerialNumber>2</SerialNumber><Key><Name>GPK60</Name><Value>{KEY_B}</Value></Key></Device>\
         <Device><SerialNumber>3</SerialNumber><Key><Name>DEK</Name><Value>{KEY_A}</Value></Key>\
         <Key><Name>DEK</Name><Value>{KEY_B}</Value></Key></Device></Devices>"
    ))
    .unwrap();
    assert_eq!(keys(&file), of(&[("00000001", 'A')]));
    let refused: Vec<_> = file.refused.iter().map(|one| one.why).collect();
    assert_eq!(refused, [RowFault::NoKey, RowFault::SeveralKeys]);
}

#[test]
fn a_text_that_is_too_long_is_refused_and_not_cut() {
    let blanks = " ".repeat(124);
    let meter =
        |serial: &str, key: &str| format!("<Meter><SerialNo>{serial}</SerialNo><DEK>{key}</DEK></Meter>");
    let all = [
        meter(&format!("{blanks}12345678"), KEY_A),
        meter("2", &format!("{}{KEY_A}", " ".repeat(120))),
        meter("3", &format!("{KEY_A}{blanks}")),
        meter(&format!("{}4", " ".repeat(127)), KEY_A),
    ];
    let file = inside(&format!("<MetersInOrder>{}</MetersInOrder>", all.concat())).unwrap();
    let refused: Vec<_> = file.refused.iter().map(|one| (one.place, one.why)).collect();
    assert_eq!(refused, [1, 2, 3].map(|n| (Place::Meter(n), RowFault::TooLong)));
    assert_eq!(keys(&file), of(&[("00000004", 'A')]));
}

#[test]
fn a_meter_with_keys_without_end_takes_no_more_memory_than_with_one() {
    let many = format!("<DEK>{KEY_A}</DEK><Key><Name>DEK</Name><Value>{KEY_A}</Value></Key>").repeat(20_000);
    let file =
        inside(&format!("<Devices><Device><SerialNumber>1</SerialNumber>{many}</Device></Devices>")).unwrap();
    assert_eq!(keys(&file), of(&[("00000001", 'A')]));
}

#[test]
fn a_file_of_rows_without_end_is_read_no_further_than_a_keyring_goes() {
    let lines = "key=x\n".repeat(3 * MAX_KEYS);
    assert_eq!(lines::read(lines.as_bytes()).len(), MAX_KEYS + 1);
    assert_eq!(open(lines.as_bytes(), "").unwrap_err(), Fault::TooManyKeys);
    let table = format!("id,key\n{}", "x\n".repeat(3 * MAX_KEYS));
    let table = KeyTable::from_bytes(Zeroizing::new(table.into_bytes()));
    let found = rows(&table);
    assert_eq!((found.len(), found.capacity()), (MAX_KEYS + 1, MAX_KEYS + 1));
    let empty = KeyTable::from_bytes(Zeroizing::new(vec![b'\n'; 10 * MAX_KEYS]));
    assert_eq!((rows(&empty).len(), rows(&empty).capacity()), (0, MAX_KEYS + 1));
}

#[test]
fn a_meter_given_twice_counts_once() {
    let row =
        |serial: u32, key: &str| format!("<Meter><SerialNo>{serial}</SerialNo><DEK>{key}</DEK></Meter>");
    let all = [row(1, KEY_A), row(1, KEY_A), row(2, KEY_A), row(2, KEY_B)].concat();
    let file = inside(&format!("<MetersInOrder>{all}</MetersInOrder>")).unwrap();
    let rows: Vec<_> = file.rows().map(|row| (row.place, row.remark)).collect();
    assert_eq!(rows, [(Place::Meter(2), None), (Place::Meter(4), Some(Remark::GivenTwice))]);
}

#[test]
fn hostile_xml_is_refused_by_name_inside_and_outside() {
    for (text, fault) in [
        ("<!DOCTYPE a [<!ENTITY b \"x\">]><Devices>&b;</Devices>".to_owned(), XmlFault::DocumentType),
        ("<Devices><Device>&b;</Device></Devices>".to_owned(), XmlFault::Entity),
        (format!("<Devices>{}", "<a>".repeat(1000)), XmlFault::TooDeep),
    ] {
        assert_eq!(open(text.as_bytes(), "p").unwrap_err(), Fault::Xml(fault));
        let behind_declaration = format!("<?xml version=\"1.0\"?>{text}");
        assert_eq!(inside(&behind_declaration).unwrap_err(), Fault::Xml(fault));
    }
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let bomb = zip_of(&[("a.kem", &vec![b' '; 5_000_000])], CompressionMethod::Deflated);
    assert_eq!(open(&bomb, "p").unwrap_err(), ArchiveFault::Bomb.into());
    // One that lies about its size, in the archive's list and beside the entry.
    let mut lying = bomb.clone();
    let size = 5_000_000u32.to_le_bytes();
    while let Some(at) = lying.windows(4).position(|window| window == size) {
        lying[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
    }
    let refused = open(&lying, "p").unwrap_err();
    assert!(matches!(refused, Fault::Archive(ArchiveFault::Bomb | ArchiveFault::Damaged)), "{refused:?}");

    // One that lies about how small it is packed.
    let mut lying = bomb.clone();
    let packed = ZipArchive::new(io::Cursor::new(&bomb)).unwrap().by_index_raw(0).unwrap().compressed_size();
    let packed = u32::try_from(packed).unwrap().to_le_bytes();
    while let Some(at) = lying.windows(4).position(|window| window == packed) {
        lying[at..at + 4].copy_from_slice(&5_000_000u32.to_le_bytes());
    }
    assert_eq!(open(&lying, "p").unwrap_err(), ArchiveFault::Bomb.into());

    // One whose list of 64 bits promises a thousand million entries, by an end that promises one.
    let mut endless = bomb.clone();
    let end = endless.len() - 22;
    endless[end + 16..end + 20].fill(0xFF);
    let mut wide = b"PK\x06\x06".to_vec();
    wide.extend(44u64.to_le_bytes());
    wide.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [1_000_000_000, 1_000_000_000, 1 << 40, end as u64] {
        wide.extend(u64::to_le_bytes(value));
    }
    wide.extend(b"PK\x06\x07\0\0\0\0");
    wide.extend((end as u64).to_le_bytes());
    wide.extend(1u32.to_le_bytes());
    endless.splice(end..end, wide);
    assert_eq!(open(&endless, "p").unwrap_err(), ArchiveFault::Method.into());
    // One behind whose list stands another end, which promises more than there is room for.
    let mut two_ends = bomb.clone();
    let mut other = bomb[end..].to_vec();
    other[8..12].fill(0xF0);
    two_ends.splice(end..end, other);
    assert_eq!(open(&two_ends, "p").unwrap_err(), ArchiveFault::TooManyEntries.into());

    let names: Vec<String> = (0..65).map(|n| format!("{n}.txt")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let stored = CompressionMethod::Stored;
    assert_eq!(open(&zip_of(&many, stored), "p").unwrap_err(), ArchiveFault::TooManyEntries.into());
    assert_eq!(open(&zip_of(&[("a.txt", b"")], stored), "p").unwrap_err(), ArchiveFault::NoKeyFile.into());
    let two = zip_of(&[("a.kem", KEM), ("b.KEM2", KEM2)], stored);
    assert_eq!(open(&two, "p").unwrap_err(), ArchiveFault::SeveralKeyFiles.into());
    let sheet = zip_of(&[("[Content_Types].xml", b""), ("xl/workbook.xml", b"")], stored);
    assert_eq!(open(&sheet, "p").unwrap_err(), ArchiveFault::Spreadsheet.into());
    // The flag of an encrypted entry, in both its headers.
    let mut locked = zip_of(&[("a.kem", KEM)], stored);
    locked[6] |= 1;
    let list = locked.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    locked[list + 8] |= 1;
    assert_eq!(open(&locked, "p").unwrap_err(), ArchiveFault::Encrypted.into());
}

#[test]
fn a_small_archive_may_shrink_a_little() {
    let zip = zip_of(&[("a/b/../c.KEM", KEM), ("x.xsd", b"")], CompressionMethod::Deflated);
    assert_eq!(keys(&open(&zip, PASSWORD).unwrap()).len(), 2);
}

#[test]
fn other_files_are_told_what_they_are() {
    assert_eq!(open(b"", "p").unwrap_err(), Fault::Empty);
    assert_eq!(open(b" \r\n", "p").unwrap_err(), Fault::Empty);
    assert_eq!(open(b"\xFF\xFEi\0d\0;\0", "p").unwrap_err(), Fault::Utf16);
    assert_eq!(open(b"hello", "p").unwrap_err(), Fault::Unknown);
    assert_eq!(open(b"\x7FELF\x01", "p").unwrap_err(), Fault::Unknown);
    assert_eq!(open(b"<html/>", "p").unwrap_err(), Fault::Unknown);
    assert_eq!(open(b"id,key\n", "p").unwrap_err(), Fault::NoKeys);
    assert_eq!(inside("<Devices></Devices>").unwrap_err(), Fault::NoKeys);
    let other = String::from_utf8(KEM.to_vec()).unwrap().replace("#aes128-cbc\" />", "#aes256-cbc\" />");
    assert_eq!(open(other.as_bytes(), "p").unwrap_err(), Fault::OtherEncryption);
}

#[test]
fn no_message_repeats_what_stands_in_a_file() {
    let text = format!("<Devices><Device><SerialNumber>{KEY_A}</SerialNumber></Device></Devices>");
    let file = inside(&text).unwrap();
    let shown = format!("{file:?} {}", file.refused[0].why);
    assert!(!shown.contains("0001"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_as_key_file_are_keys_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        key_file(&bytes);
        key_file_inside(&bytes);
        key_file(&[b"PK\x03\x04", &bytes[..]].concat());
        key_file(&[b"id,key\n", &bytes[..]].concat());
        key_file(&[b"id=1\nkey=", &bytes[..]].concat());
    }

    #[test]
    fn anything_like_a_document_is_keys_or_a_refusal(
        text in "(<(/?)(Devices|Device|Keys?|Name|Value|SerialNumber|DEK|!DOCTYPE a)( Type=\"DEK\")?/?>|&(amp|#65|x);|DEK|[0-9]{8}|[0-9A-F]{32}|<!\\[CDATA\\[|\\]\\]>){0,40}"
    ) {
        key_file(text.as_bytes());
        key_file_inside(format!("<Devices>{text}</Devices>").as_bytes());
    }

    #[test]
    fn an_altered_file_never_gives_a_key_that_was_not_in_it_unnoticed(at in 0usize..10_000, bit in 0u8..8) {
        let mut bytes = KEM_ZIP.to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // The ZIP's checksum covers the enciphered text.
        if let Ok(file) = open(&bytes, PASSWORD) {
            prop_assert_eq!(keys(&file), of(&KEM_KEYS));
        }
    }
}
