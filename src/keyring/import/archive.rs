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
    if promised_entries(bytes).is_some_and(|entries| entries > MAX_ENTRIES) {
        return Err(ArchiveFault::TooManyEntries);
    }
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
    let packed = file.compressed_size();
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

/// How many entries the record at the archive's end promises, so that a list of millions need not be read to refuse it.
fn promised_entries(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = bytes.get(at.checked_add(10)?..)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_le_bytes(*count)))
}

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
