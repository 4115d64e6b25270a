//! The keyring's file.
//!
//! - header, 24 bytes: `VESIKEY2`, number of entries (4, LE), mark of the seal key (8), CRC-32C of these 20 bytes (LE)
//! - then entries of 73 bytes: kind (0 number, 1 manufacturer and number, 2 full), address in link layer order (8,
//!   absent parts 0), Q4 in litres an hour (4, LE, 0 unknown), CRC-32C of these 13 bytes (LE), nonce (24), sealed key
//!   (16), tag (16)
//!
//! An entry is sealed with XChaCha20-Poly1305 under a random nonce, its kind, address and Q4 as associated data, so that
//! nobody can give one meter the key of another. The CRCs are there for names and diagnosis, not for trust.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use wmbus::{Key, Meter, Serial};

use super::{Damage, Flow, Keyring, MAX_KEYS, MeterKey, OpenError, SealKey, Selector};

/// Reads all entries, keeping the good ones.
pub(super) fn read(path: &Path, seal: &SealKey) -> Result<Keyring, OpenError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keyring::new()),
        Err(error) => return Err(OpenError::Io(error)),
    };
    read_from(&mut BufReader::with_capacity(1 << 16, file), seal)
}

fn read_from(file: &mut impl Read, seal: &SealKey) -> Result<Keyring, OpenError> {
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => OpenError::Unreadable,
        _ => OpenError::Io(error),
    })?;
    let header = parse_header(&header);
    if header.as_ref().is_some_and(|header| header.seal != seal.id()) {
        return Err(OpenError::WrongSeal);
    }
    // A lost header costs no key: its entries prove by themselves that the seal key is right.
    let promised = header.as_ref().map_or(MAX_KEYS, |header| header.entries);
    let mut keyring =
        Keyring::with_capacity(header.as_ref().map_or(0, |header| header.entries.min(MAX_KEYS)));
    let mut seen = 0;
    while seen < promised.min(MAX_KEYS) {
        let mut entry = [0; ENTRY];
        match file.read_exact(&mut entry) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other.map_err(OpenError::Io)?,
        }
        seen += 1;
        match open_entry(&entry, seal) {
            Ok(entry) => drop(keyring.put(&entry)),
            Err(selector) => keyring.damaged.push(Damage::Entry { number: seen, selector }),
        }
    }
    match header {
        None if keyring.is_empty() => return Err(OpenError::Unreadable),
        None => keyring.damaged.push(Damage::Header),
        Some(header) if seen < header.entries => {
            keyring.damaged.push(Damage::CutShort { missing: header.entries - seen });
        }
        Some(_) => {}
    }
    Ok(keyring)
}

/// Writes all of `keyring` in place of `path`.
pub(super) fn write(path: &Path, keyring: &Keyring, seal: &SealKey) -> Result<(), SaveError> {
    replace(path, |file| {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        file.write_all(&header(keyring.len(), seal))?;
        for (selector, key) in keyring.iter() {
            let q4 = keyring.flows.get(&selector).copied();
            file.write_all(&seal_entry(selector, q4, key, seal)?)?;
        }
        file.flush()
    })
}

/// Replaces `path` by what `fill` writes, whole or not at all, even when the power fails: a file beside it, synced,
/// renamed, and the directory synced. The file's mode is 0600, its owner the one of the file that was there, else of the
/// directory: what root does for the service stays the service's.
pub(crate) fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), SaveError> {
    let directory = folder_of(path);
    remove_left_behind(path, directory);
    let beside = beside(path).map_err(SaveError::Untouched)?;
    let done = create_private(&beside).and_then(|mut file| {
        keep_owner(&file, path, directory)?;
        fill(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    if done.is_err() {
        // What is left of it would only take space; the error that counts is the first.
        drop(std::fs::remove_file(&beside));
    }
    done.map_err(SaveError::Untouched)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(SaveError::Unsure)
}

/// Why a file is not known to be written.
#[derive(Debug, Error)]
pub enum SaveError {
    /// What was there before still is.
    #[error("cannot be written: {0}; nothing was changed")]
    Untouched(#[source] io::Error),
    /// The new content is there.
    #[error("was changed, but may not outlast a power cut: {0}")]
    Unsure(#[source] io::Error),
}

impl From<SaveError> for io::Error {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Untouched(error) | SaveError::Unsure(error) => error,
        }
    }
}

/// Holds the folder of `path` against everybody else who does, until the lock is dropped: whoever loads a file there,
/// changes it and saves it again, does all three under it.
///
/// # Errors
/// When the folder cannot be opened; [`io::ErrorKind::WouldBlock`] when another holds it for long.
pub(crate) fn lock(path: &Path) -> io::Result<FolderLock> {
    // The folder itself: there is no further file that somebody else would own, or find in a backup.
    let folder = File::open(folder_of(path))?;
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(FolderLock { _folder: folder }),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another command works on it"))
}

/// What [`lock`] gives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _folder: File,
}

/// Ten seconds in all: a change of the largest keyring takes one or two on a small machine.
const LOCK_TRIES: usize = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the folder of `path`, for its owner only: what root makes for the service belongs to whom the nearest folder
/// that was there belongs to.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let directory = folder_of(path);
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    let Some(outermost) = missing.last() else { return Ok(()) };
    let owner = std::fs::metadata(folder_of(outermost))?;
    for folder in missing.iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            // Somebody else was faster, and it is theirs.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        give_to(&File::open(folder)?, &owner)?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A name beside `path` that nobody else writes to.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{BESIDE}.{:016x}", u64::from_le_bytes(number)));
    Ok(name.into())
}

const BESIDE: &str = ".new";

/// Removes what interrupted runs have left beside `path`; what somebody still writes is locked.
fn remove_left_behind(path: &Path, directory: &Path) {
    let (Some(name), Ok(entries)) = (path.file_name(), std::fs::read_dir(directory)) else { return };
    let is_beside = |other: &OsStr| {
        let rest = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        // Earlier versions used the name without a number.
        rest.and_then(|rest| rest.strip_prefix(BESIDE.as_bytes()))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    };
    let beside = entries.filter_map(Result::ok).filter(|entry| is_beside(&entry.file_name()));
    for left in beside.map(|entry| entry.path()).filter(|left| left.is_file()) {
        if File::open(&left).is_ok_and(|file| file.try_lock().is_ok()) {
            // It only takes space.
            drop(std::fs::remove_file(left));
        }
    }
}

fn keep_owner(file: &File, path: &Path, directory: &Path) -> io::Result<()> {
    give_to(file, &std::fs::metadata(path).or_else(|_| std::fs::metadata(directory))?)
}

fn give_to(file: &File, owner: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    match std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid())) {
        // Whoever may not give files away works on files of his own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Opens a new file that only its owner may read, and locks it while it is written.
fn create_private(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

struct Header {
    entries: usize,
    seal: [u8; 8],
}

fn parse_header(bytes: &[u8; HEADER]) -> Option<Header> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    let rest = body.strip_prefix(MAGIC)?;
    let (entries, seal) = rest.split_first_chunk::<4>()?;
    let whole = CRC.checksum(body) == u32::from_le_bytes(*crc);
    whole.then_some(Header {
        entries: usize::try_from(u32::from_le_bytes(*entries)).ok()?,
        seal: seal.try_into().ok()?,
    })
}

fn header(entries: usize, seal: &SealKey) -> Vec<u8> {
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    let mut bytes = [MAGIC.as_slice(), &entries.to_le_bytes(), &seal.id()].concat();
    bytes.extend(CRC.checksum(&bytes).to_le_bytes());
    bytes
}

/// The key, or whose key is lost, as far as the entry still says so.
fn open_entry(bytes: &[u8; ENTRY], seal: &SealKey) -> Result<MeterKey, Option<Selector>> {
    let Parts { name, crc, nonce, sealed, tag } = parts(bytes).ok_or(None)?;
    let selector = from_name(name).filter(|_| CRC.checksum(name) == u32::from_le_bytes(*crc));
    let mut key = *sealed;
    let whole = seal.open(nonce, name, &mut key, tag);
    let key = Key::new(std::mem::take(&mut key));
    match selector.or_else(|| from_name(name).filter(|_| whole)) {
        Some(meter) if whole => Ok(MeterKey { meter, key, q4: q4_of(name) }),
        selector => Err(selector),
    }
}

fn seal_entry(selector: Selector, q4: Option<Flow>, key: &Key, seal: &SealKey) -> io::Result<Vec<u8>> {
    let name = to_name(selector, q4);
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    let mut secret = *key.bytes();
    let tag = seal.seal(&nonce, &name, &mut secret).ok_or_else(|| io::Error::other("the cipher refused"))?;
    Ok([&name[..], &CRC.checksum(&name).to_le_bytes(), &nonce, &secret, &tag].concat())
}

struct Parts<'a> {
    name: &'a [u8; NAME],
    crc: &'a [u8; 4],
    nonce: &'a [u8; 24],
    sealed: &'a [u8; 16],
    tag: &'a [u8; 16],
}

fn parts(bytes: &[u8; ENTRY]) -> Option<Parts<'_>> {
    let (name, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let (sealed, rest) = rest.split_first_chunk()?;
    Some(Parts { name, crc, nonce, sealed, tag: rest.try_into().ok()? })
}

fn to_name(selector: Selector, q4: Option<Flow>) -> [u8; NAME] {
    let (kind, [m0, m1, i0, i1, i2, i3, version, device]) = match selector {
        Selector::Number(serial) => {
            let [i0, i1, i2, i3] = serial.to_wire();
            (0, [0, 0, i0, i1, i2, i3, 0, 0])
        }
        Selector::Maker(manufacturer, serial) => {
            let ([m0, m1], [i0, i1, i2, i3]) = (manufacturer.to_wire(), serial.to_wire());
            (1, [m0, m1, i0, i1, i2, i3, 0, 0])
        }
        Selector::Full(meter) => (2, meter.to_link()),
    };
    let [q0, q1, q2, q3] = q4.map_or(0, Flow::as_litres_per_hour).to_le_bytes();
    [kind, m0, m1, i0, i1, i2, i3, version, device, q0, q1, q2, q3]
}

fn q4_of(name: &[u8; NAME]) -> Option<Flow> {
    let litres = u32::from_le_bytes(*name.last_chunk()?);
    (litres > 0).then(|| Flow::litres_per_hour(litres))
}

fn from_name(name: &[u8; NAME]) -> Option<Selector> {
    let [kind, link @ .., _, _, _, _] = *name;
    let meter = Meter::from_link(link);
    let [.., i0, i1, i2, i3, _, _] = link;
    match kind {
        0 => Some(Selector::Number(Serial::from_wire([i0, i1, i2, i3]))),
        1 => Some(Selector::Maker(meter.manufacturer, meter.serial)),
        2 => Some(Selector::Full(meter)),
        _ => None,
    }
}

const MAGIC: &[u8; 8] = b"VESIKEY2";
const HEADER: usize = 24;
const NAME: usize = 13;
const ENTRY: usize = NAME + 60;
static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
