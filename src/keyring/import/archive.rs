//! The ZIP around Kamstrup's key files: exactly one entry is of interest, and nothing of it touches the disk.

use std::io::{Cursor, Read as _};

use thiserror::Error;
use zip::ZipArchive;
use zip::result::ZipError;

/// Entries in an archive; genuine ones have two.
const MAX_ENTRIES: usize = 64;
/// How many times larger than its compressed form an entry may be. The enciphered text does not shrink at all, and its
/// Base64 by a quarter.
const MAX_RATIO: u64 = 10;
/// The largest entry: some 150 000 meters.
pub(super) const MAX_ENTRY: u64 = 96_000_000;

/// Whether these are the first bytes of a ZIP.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// The key file inside.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, ArchiveFault> {
    check_ends(bytes)?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| ArchiveFault::Damaged)?;
    if archive.len() > MAX_ENTRIES {
        return Err(ArchiveFault::TooManyEntries);
    }
    let entry = find(&mut archive)?;
    let mut file = archive.by_index(entry).map_err(|error| match error {
        ZipError::CompressionMethodNotSupported(_) => ArchiveFault::Method,
        ZipError::UnsupportedArchive(_) => ArchiveFault::Method,
        _ => ArchiveFault::Damaged,
    })?;
    // What the archive says of this counts only as far as there are bytes.
    let packed = file.compressed_size().min(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let most = MAX_ENTRY.min(packed.saturating_mul(MAX_RATIO).saturating_add(1024));
    if file.size() > most {
        return Err(if file.size() > MAX_ENTRY { ArchiveFault::TooLarge } else { ArchiveFault::Bomb });
    }
    // What it says of its size is a hint only: it is read up to the limit, whatever it says.
    let mut content = Vec::with_capacity(usize::try_from(file.size()).unwrap_or_default());
    let read = file.by_ref().take(most.saturating_add(1)).read_to_end(&mut content);
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > most {
        return Err(ArchiveFault::Bomb);
    }
    read.map_err(|_| ArchiveFault::Damaged)?;
    Ok(content)
}

/// The one entry that is a key file.
fn find(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<usize, ArchiveFault> {
    let (mut found, mut spreadsheet) = (None, false);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|_| ArchiveFault::Damaged)?;
        let name = entry.name_raw().to_ascii_lowercase();
        spreadsheet |= name.starts_with(b"xl/");
        if !name.ends_with(b".kem") && !name.ends_with(b".kem2") {
            continue;
        }
        if entry.encrypted() {
            return Err(ArchiveFault::Encrypted);
        }
        if found.replace(index).is_some() {
            return Err(ArchiveFault::SeveralKeyFiles);
        }
    }
    found.ok_or(if spreadsheet { ArchiveFault::Spreadsheet } else { ArchiveFault::NoKeyFile })
}

/// Refuses what the records at the archive's end promise, so that room for millions is not made to refuse them then. All
/// that could be that record count: which one a reader takes depends on the others.
fn check_ends(bytes: &[u8]) -> Result<(), ArchiveFault> {
    let tail = bytes.get(bytes.len().saturating_sub(LONGEST_END)..).unwrap_or(bytes);
    for end in tail.windows(END).filter(|end| end.starts_with(b"PK\x05\x06")) {
        let Some(([.., low, high], rest)) = end.split_first_chunk::<12>() else { continue };
        if usize::from(u16::from_le_bytes([*low, *high])) > MAX_ENTRIES {
            return Err(ArchiveFault::TooManyEntries);
        }
        // The sign that a record of 64 bits counts instead, for archives above 4 GB.
        let (size, offset) = (rest.get(..4), rest.get(4..8));
        if [size, offset].contains(&Some(&[0xFF; 4])) {
            return Err(ArchiveFault::Method);
        }
    }
    Ok(())
}

/// The record at an archive's end, without the comment behind it.
const END: usize = 22;
/// The same with the longest comment is half as long.
const LONGEST_END: usize = 0x2_0000;

/// Why an archive is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ArchiveFault {
    /// It cannot be read as a ZIP, or a checksum in it is wrong.
    #[error("the ZIP is damaged: copy it again from where it came from, in binary mode")]
    Damaged,
    /// Entries without end.
    #[error(
        "the ZIP holds more than {MAX_ENTRIES} files; a key file's holds two, so this could be an attack"
    )]
    TooManyEntries,
    /// It would grow beyond all reason.
    #[error("the ZIP would grow to more than {MAX_RATIO} times its size, which no key file does: a ZIP bomb")]
    Bomb,
    /// Above the bound for one entry.
    #[error("the key file in the ZIP is larger than {} MB", MAX_ENTRY / 1_000_000)]
    TooLarge,
    /// The ZIP itself has a password.
    #[error(
        "the ZIP itself has a password, which Kamstrup's have not: unpack it first, then import what was in it"
    )]
    Encrypted,
    /// Packed by a method that key files do not use.
    #[error("the ZIP is packed by an unusual method: unpack it first, then import what was in it")]
    Method,
    /// No entry's name ends in `.kem` or `.kem2`.
    #[error("the ZIP holds no file whose name ends in .kem or .kem2")]
    NoKeyFile,
    /// More than one such entry.
    #[error("the ZIP holds several key files: unpack it and import them one by one")]
    SeveralKeyFiles,
    /// An Excel file.
    #[error("this is a spreadsheet (XLSX): save it as \"CSV UTF-8\" and import that")]
    Spreadsheet,
}
