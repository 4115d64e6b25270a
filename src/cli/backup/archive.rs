//! The file that a backup is: a tar archive whose first entry says what the others are, with a checksum of each.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use messages::Time;
use messages::batch::Epoch;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::place::{self, Access, Accounts};
use crate::cli::common::new_file;

/// The name of the entry that says what the others are.
const MANIFEST: &str = "vesigate-backup.json";
/// The version of this format.
const FORMAT: u32 = 1;
/// More than a manifest ever has.
const MOST_MANIFEST: u64 = 1 << 20;
/// More than a configuration may have.
const MOST_CONFIG: u64 = 1 << 19;

/// What a backup says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Manifest {
    /// The version of the format.
    pub(super) format: u32,
    /// The version of vesigate that made it.
    pub(super) vesigate: String,
    /// When.
    pub(super) at: Time,
    /// Whose it is, `utility/name`, if the configuration says so.
    pub(super) gateway: Option<String>,
    /// The numberings of the stores.
    pub(super) epochs: Vec<Epoch>,
    /// Whether the key that seals the meter keys is in it.
    pub(super) with_seal_key: bool,
    /// The other entries, in their order.
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its name in the archive.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Where it was.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub(super) sha256: String,
    /// Whose it was.
    #[serde(default)]
    pub(super) access: Option<Access>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The receiving half's store.
    CollectStore,
    /// The delivering half's store.
    DeliverStore,
    /// The meter keys, sealed.
    Keyring,
    /// The configuration.
    Config,
    /// Something that the configuration names: the meter list, certificates.
    Named,
    /// The key that seals the meter keys.
    SealKey,
    /// The receiving half's own key: opens meter keys that the utility sealed to this gateway.
    CollectKey,
    /// The delivering half's own key: opens what the portal sealed to this gateway.
    DeliverKey,
    /// The client certificate that the portal renewed, with its private key.
    Certificate,
    /// A password or private key that the configuration names.
    Secret,
}

impl Kind {
    pub(super) const fn say(self) -> &'static str {
        match self {
            Self::CollectStore => "readings and events",
            Self::DeliverStore => "alarms, mails and the portal's documents",
            Self::Keyring => "meter keys, sealed",
            Self::Config => "the configuration",
            Self::Named => "a file that the configuration names",
            Self::SealKey => "SECRET: the key that opens the meter keys",
            Self::CollectKey => "SECRET: the receiving half's own key",
            Self::DeliverKey => "SECRET: the delivering half's own key",
            Self::Certificate => "SECRET: the renewed client certificate with its key",
            Self::Secret => "SECRET: a password or private key",
        }
    }

    /// The most that a file of this kind ever allows.
    pub(super) const fn widest(self) -> u32 {
        match self {
            Self::Config | Self::Named => 0o644,
            Self::CollectStore | Self::Secret => 0o640,
            Self::DeliverStore
            | Self::Keyring
            | Self::SealKey
            | Self::CollectKey
            | Self::DeliverKey
            | Self::Certificate => 0o600,
        }
    }
}

/// A file to be packed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// Where it belongs.
    pub(super) path: PathBuf,
    /// Where its content is now.
    pub(super) content: PathBuf,
}

/// Writes an archive for its owner only, whole or not at all. Everything is copied into `workshop` first and packed from
/// there: what is written of a file meanwhile cannot come between its checksum and its content.
pub(super) fn pack(
    to: &Path,
    workshop: &Path,
    mut manifest: Manifest,
    sources: &[Source],
) -> Result<Manifest, String> {
    manifest.format = FORMAT;
    let accounts = Accounts::read(Path::new("/"));
    let mut copies = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let failed = |error: io::Error| format!("{} cannot be copied: {error}", source.path.display());
        let file =
            source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{number:02}-{file}");
        let from = File::open(&source.content).map_err(failed)?;
        if !from.metadata().map_err(failed)?.is_file() {
            return Err(format!("{} is no file", source.path.display()));
        }
        let access = std::fs::metadata(&source.path).ok().map(|about| accounts.access(&about));
        let copy = workshop.join(format!("packed-{number:02}"));
        let mut out = new_file(&copy).map_err(failed)?;
        let (bytes, sha256) = copy_summed(from, &mut out).map_err(failed)?;
        let (kind, path) = (source.kind, source.path.clone());
        manifest.files.push(Entry { name, kind, path, bytes, sha256, access });
        copies.push(copy);
    }
    let failed = |error: io::Error| format!("{} cannot be written: {error}", to.display());
    let part = beside(to, "part");
    let _ = std::fs::remove_file(&part);
    let written = write(&part, &manifest, &copies).and_then(|()| place::move_new(&part, to));
    // The stick may be pulled out as soon as this ends.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let written = written.and_then(|_| File::open(folder)?.sync_all());
    let _ = std::fs::remove_file(&part);
    written.map(|()| manifest).map_err(failed)
}

fn write(part: &Path, manifest: &Manifest, copies: &[PathBuf]) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::new(new_file(part)?));
    let header = |bytes: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(bytes);
        header.set_mtime(manifest.at.unix().unsigned_abs());
        header
    };
    let json = serde_json::to_vec_pretty(manifest)?;
    archive.append_data(&mut header(len(&json)), MANIFEST, json.as_slice())?;
    for (entry, copy) in manifest.files.iter().zip(copies) {
        let content = BufReader::new(File::open(copy)?);
        archive.append_data(&mut header(entry.bytes), &entry.name, content)?;
    }
    let mut out = archive.into_inner()?;
    out.flush()?;
    out.get_ref().sync_all()
}

/// Unpacks an archive into an empty folder, and checks every file of it. Nothing in the archive chooses where anything
/// is written: files are numbered. Gives the manifest and the path of each of its files.
pub(super) fn unpack(from: &Path, into: &Path) -> Result<(Manifest, Vec<PathBuf>), String> {
    let mut files = Vec::new();
    let manifest = read(from, |entry, content| {
        let path = into.join(files.len().to_string());
        let mut out = new_file(&path)?;
        let sum = copy_summed(content.take(entry.bytes.saturating_add(1)), &mut out)?;
        out.sync_all()?;
        files.push(path);
        Ok(Some(sum))
    })?;
    Ok((manifest, files))
}

/// The text of the configuration in an archive, read into memory only.
pub(super) fn config(from: &Path) -> Result<Option<String>, String> {
    let mut text = None;
    read(from, |entry, content| {
        if entry.kind != Kind::Config || text.is_some() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let sum = copy_summed(content.take(MOST_CONFIG), &mut bytes)?;
        text = String::from_utf8(bytes).ok();
        Ok(Some(sum))
    })?;
    Ok(text)
}

/// Goes through the files of an archive. `each` gives length and checksum of what it has read, or nothing if it has not.
fn read(
    from: &Path,
    mut each: impl FnMut(&Entry, &mut dyn Read) -> io::Result<Option<(u64, String)>>,
) -> Result<Manifest, String> {
    let wrong = |what: &str| format!("{} {what}", from.display());
    let unreadable = |error: io::Error| wrong(&format!("cannot be read: {error}"));
    let file = File::open(from).map_err(unreadable)?;
    let all = file.metadata().map_err(unreadable)?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut entries = archive.entries().map_err(unreadable)?;
    let not_ours = || wrong("is not a backup of vesigate");
    let mut first = entries.next().and_then(Result::ok).ok_or_else(not_ours)?;
    if first.path().map_err(|_| not_ours())?.as_ref() != Path::new(MANIFEST) {
        return Err(not_ours());
    }
    let mut json = Vec::new();
    first.by_ref().take(MOST_MANIFEST).read_to_end(&mut json).map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_slice(&json).map_err(|_| not_ours())?;
    if manifest.format != FORMAT {
        return Err(wrong(&format!(
            "was made by vesigate {}, in a form that this version does not know: install that version",
            manifest.vesigate
        )));
    }
    // What is packed takes its room in the archive: one that says otherwise wants to fill the disk.
    let promised = manifest.files.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add);
    if promised > all {
        return Err(wrong("is damaged: it is shorter than what it says is in it"));
    }
    for expected in &manifest.files {
        let cut = || wrong(&format!("is damaged: {} is missing or differs from its checksum", expected.name));
        let mut entry = entries.next().and_then(Result::ok).ok_or_else(cut)?;
        if entry.path().map_err(|_| cut())?.as_ref() != Path::new(&expected.name) {
            return Err(cut());
        }
        let read = each(expected, &mut entry)
            .map_err(|error| format!("{} cannot be unpacked: {error}", expected.name))?;
        if read.is_some_and(|(bytes, sha256)| bytes != expected.bytes || sha256 != expected.sha256) {
            return Err(cut());
        }
    }
    Ok(manifest)
}

/// Copies, and gives length and checksum of what was copied.
fn copy_summed(mut from: impl Read, to: &mut impl io::Write) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let (mut bytes, mut buffer) = (0u64, vec![0; 1 << 16]);
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        to.write_all(part)?;
        bytes = bytes.saturating_add(len(part));
    }
    let digits = hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut digits, format_args!("{byte:02x}"));
        digits
    });
    Ok((bytes, digits))
}

/// The same name with something behind it.
pub(super) fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(word);
    path.with_file_name(name)
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: 0,
            vesigate: "0".to_owned(),
            at: Time::from_unix(1_795_603_800).unwrap(),
            gateway: None,
            epochs: Vec::new(),
            with_seal_key: false,
            files: Vec::new(),
        }
    }

    fn packed() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        std::fs::write(&content, b"what is in it").unwrap();
        let source = Source { kind: Kind::Config, path: "/etc/../../x/vesigate.toml".into(), content };
        let to = folder.path().join("backup.tar");
        pack(&to, folder.path(), manifest(), &[source]).unwrap();
        (folder, to)
    }

    #[test]
    fn what_is_packed_comes_out_under_numbers_and_whole() {
        let (folder, backup) = packed();
        let into = folder.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let (manifest, files) = unpack(&backup, &into).unwrap();
        assert_eq!(manifest.files.len(), 1);
        assert_eq!(files, [into.join("0")]);
        assert_eq!(std::fs::read(&files[0]).unwrap(), b"what is in it");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&backup).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_backup_is_not_overwritten() {
        let (folder, backup) = packed();
        let before = std::fs::read(&backup).unwrap();
        pack(&backup, folder.path(), manifest(), &[]).unwrap_err();
        assert_eq!(std::fs::read(&backup).unwrap(), before);
        assert!(!beside(&backup, "part").exists());
    }

    #[test]
    fn every_flipped_byte_of_a_file_and_every_cut_is_found() {
        let (folder, backup) = packed();
        let bytes = std::fs::read(&backup).unwrap();
        let at = bytes.windows(7).rposition(|part| part == b"what is").unwrap();
        let bad = folder.path().join("bad.tar");
        let refused = |bytes: &[u8], name: &str| {
            std::fs::write(&bad, bytes).unwrap();
            let into = folder.path().join(name);
            std::fs::create_dir(&into).unwrap();
            unpack(&bad, &into).unwrap_err()
        };
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(refused(&flipped, "flipped").contains("is damaged"));
        for (number, end) in (0..at + 5).step_by(97).enumerate() {
            let reason = refused(&bytes[..end], &format!("cut{number}"));
            assert!(reason.contains("is damaged") || reason.contains("is not a backup"), "{end}: {reason}");
        }
    }
}
