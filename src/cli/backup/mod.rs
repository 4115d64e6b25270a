//! `vesigate backup`: a copy of everything that makes this gateway, taken while it runs.

mod archive;
mod place;
pub(super) mod restore;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use messages::Time;
use messages::batch::Epoch;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::common::{Common, ask_collect, finish, now, open_store, print, print_json, size};
use super::exit;
use crate::config::{Config, Credentials, SecretSource, Transport};
use crate::halves::questions::OfCollect;
use crate::health::status::CollectStatus;
use crate::keyring::{Keyring, OpenError, SealError, SealFault, SealKey};
use crate::store::{CollectReader, DeliverReader, StoreError};
use crate::world::random;

use archive::{Kind, Manifest, Source};

/// Copy everything that makes this gateway into one file, while it runs
///
/// In it are both stores, each as it was at one moment; the meter keys, sealed; the configuration and the files that it
/// names. `vesigate restore` puts it back on this machine, `vesigate replace` makes another machine take over. The meter
/// keys can be opened only with the seal key, which stays here unless --with-seal-key is given. The file holds names and
/// consumption: keep it as you keep those.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Backup {
    /// The file to write, a tar archive; one that is there is not overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Put the seal key and all passwords and private keys into it, too. Whoever has that file can read every meter and
    /// pose as this gateway
    #[arg(long)]
    with_seal_key: bool,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  sudo vesigate backup /media/usb/gw-7.tar
  sudo vesigate backup --with-seal-key /media/usb/gw-7.tar     # for `vesigate replace`
  sudo vesigate backup --json gw-7-$(date +%F).tar

Exit codes: 0 written, 2 it could not run";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    bytes: u64,
    #[serde(flatten)]
    manifest: Manifest,
    /// What the configuration names and is not in it.
    left_out: Vec<String>,
}

impl Backup {
    pub(super) fn run(self) -> u8 {
        finish("backup", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        if self.file.exists() {
            return Err(format!(
                "{} is there already: remove it, or write another name",
                self.file.display()
            ));
        }
        let workshop = Workshop::new(&config.gateway.data_dir)?;
        let (report, sources) = self.gather(&config, &workshop)?;
        let manifest = archive::pack(&self.file, &workshop.0, report.manifest, &sources)?;
        let bytes = std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        let report = Report { manifest, bytes, ..report };
        if self.with_seal_key {
            let _ = writeln!(
                io::stderr(),
                "vesigate backup: WARNING: {} opens every meter key of this gateway. Keep it under lock, never send it, \
                 and destroy it once it has served.",
                self.file.display()
            );
        }
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text())?;
        }
        Ok(exit::OK)
    }

    fn gather(&self, config: &Config, workshop: &Workshop) -> Result<(Report<'_>, Vec<Source>), String> {
        let mut sources = Vec::new();
        let epochs = copy_stores(config, workshop, &mut sources)?;
        let mut left_out = Vec::new();
        let mut take = |kind: Kind, path: &Path, needed: bool| match File::open(path) {
            Ok(_) => {
                sources.push(Source { kind, path: path.to_owned(), content: path.to_owned() });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(format!("{} cannot be read by this user: run it with sudo", path.display()))
            }
            Err(error) => {
                left_out.push(format!("{}: {error}", path.display()));
                Ok(())
            }
        };
        take(Kind::Config, &self.common.config, true)?;
        take(Kind::Keyring, &config.keys.file, false)?;
        for path in named(config) {
            take(Kind::Named, &path, true)?;
        }
        let mut encrypted = None;
        if self.with_seal_key {
            match seal_that_opens(config)? {
                Sealed::By(path) => take(Kind::SealKey, &path, true)?,
                Sealed::ByNothing => {}
                Sealed::ByService(path) => encrypted = Some(path),
            }
            take(Kind::CollectKey, &place::collect_key(config), false)?;
            take(Kind::DeliverKey, &place::deliver_key(config), false)?;
            take(Kind::Certificate, &place::certificate(config), false)?;
            for path in secrets(config) {
                take(Kind::Secret, &path, true)?;
            }
        } else {
            left_out.extend(secrets(config).map(|path| format!("{}: a secret", path.display())));
        }
        let with_seal_key = sources.iter().any(|source| source.kind == Kind::SealKey);
        if let Some(path) = encrypted {
            left_out.push(format!(
                "the seal key: {} is encrypted for this machine; `systemd-creds decrypt` takes it out",
                path.display()
            ));
        } else if self.with_seal_key && !with_seal_key && config.keys.file.exists() {
            return Err("the meter keys are sealed, and their seal key is nowhere on this machine".to_owned());
        }
        let running: Option<CollectStatus> = ask_collect(config, &OfCollect::Status).ok().flatten();
        let at: Time = running.and_then(|status| status.at).unwrap_or_else(now);
        let gateway = &config.gateway;
        let manifest = Manifest {
            format: 0,
            vesigate: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            gateway: gateway
                .utility
                .as_ref()
                .zip(gateway.name.as_ref())
                .map(|(utility, name)| format!("{utility}/{name}")),
            epochs,
            with_seal_key,
            files: Vec::new(),
        };
        Ok((Report { file: &self.file, bytes: 0, manifest, left_out }, sources))
    }
}

fn copy_stores(
    config: &Config,
    workshop: &Workshop,
    sources: &mut Vec<Source>,
) -> Result<Vec<Epoch>, String> {
    let (collect, deliver) = (config.gateway.collect_dir(), config.gateway.deliver_dir());
    let failed = |error: StoreError| format!("a store cannot be copied: {error}");
    let mut epochs = Vec::new();
    let file = CollectReader::file(&collect);
    if let Some(reader) = open_store(&file, || CollectReader::open(&collect))? {
        let content = workshop.path("collect.db");
        reader.copy(&content).map_err(failed)?;
        epochs.push(reader.epoch().map_err(failed)?);
        sources.push(Source { kind: Kind::CollectStore, path: file, content });
    }
    let file = DeliverReader::file(&deliver);
    if let Some(reader) = open_store(&file, || DeliverReader::open(&deliver))? {
        let content = workshop.path("deliver.db");
        reader.copy(&content).map_err(failed)?;
        epochs.extend(reader.view().epoch().map_err(failed)?);
        sources.push(Source { kind: Kind::DeliverStore, path: file, content });
    }
    for source in sources.iter() {
        crate::store::check_copy(&source.content).map_err(failed)?;
    }
    Ok(epochs)
}

/// Files that the configuration names and that are no secrets.
fn named(config: &Config) -> Vec<PathBuf> {
    let mut named: Vec<PathBuf> = config.meter_list.iter().cloned().collect();
    if let Some(Transport::Tls(tls)) = config.uplink.as_ref().map(|uplink| &uplink.transport) {
        named.push(tls.ca.clone());
        named.extend(tls.client.iter().map(|client| client.certificate.clone()));
        named.extend(tls.crl.clone());
    }
    named
}

/// Files with passwords and private keys. Credentials are the service manager's.
fn secrets(config: &Config) -> impl Iterator<Item = PathBuf> {
    let uplink = config.uplink.as_ref();
    let key = match uplink.map(|uplink| &uplink.transport) {
        Some(Transport::Tls(tls)) => tls.client.as_ref().map(|client| &client.key),
        _ => None,
    };
    let logins = [
        uplink.and_then(|uplink| uplink.login.as_ref()),
        config.mail.as_ref().and_then(|mail| mail.login.as_ref()),
    ];
    let passwords = logins.into_iter().flatten().map(|login| &login.password);
    passwords.chain(key).filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Credential(_) => None,
    })
}

impl Report<'_> {
    fn text(&self) -> String {
        let mut text = format!("{} ({}) holds:\n", self.file.display(), size(self.bytes));
        for file in &self.manifest.files {
            text.push_str(&format!(
                "  {:>8}  {} ({})\n",
                size(file.bytes),
                file.path.display(),
                file.kind.say()
            ));
        }
        for left in &self.left_out {
            text.push_str(&format!("  not in it: {left}\n"));
        }
        if !self.manifest.with_seal_key {
            text.push_str(
                "The seal key is not in it: the meter keys open on this machine only. For a new machine see \
                 --with-seal-key.\n",
            );
        }
        text
    }
}

/// What the service seals meter keys with.
#[derive(Debug, PartialEq, Eq)]
enum Sealed {
    /// A file that can be read here.
    By(PathBuf),
    /// A credential that only the service manager can decrypt.
    ByService(PathBuf),
    /// There is no seal key yet.
    ByNothing,
}

impl Sealed {
    /// On the machine whose files lie below `root`.
    fn of(config: &Config, root: &Path) -> Result<Self, String> {
        match config.keys.seal_place(&credentials(), root) {
            Ok(Some(path)) => Ok(Self::By(path)),
            Ok(None) => Ok(Self::ByNothing),
            Err(SealError { path, why: SealFault::Encrypted }) => Ok(Self::ByService(path)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The same, and checked that it opens the meter keys.
fn seal_that_opens(config: &Config) -> Result<Sealed, String> {
    let sealed = Sealed::of(config, Path::new("/"))?;
    if let Sealed::By(path) = &sealed {
        let seal = SealKey::read(path).map_err(|error| error.to_string())?;
        if let Err(error @ OpenError::WrongSeal) = Keyring::open(&config.keys.file, &seal) {
            return Err(format!(
                "{} does not open the meter keys: {} {error}",
                path.display(),
                config.keys.file.display()
            ));
        }
    }
    Ok(sealed)
}

fn credentials() -> Credentials {
    Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
}

/// A folder for copies, gone with all that is in it when it is dropped. It is locked as long as it is in use, so that the
/// next one clears away what a killed run left.
#[derive(Debug)]
struct Workshop(PathBuf, #[expect(dead_code, reason = "held for its lock")] File);

const WORKSHOP: &str = ".vesigate-work-";

impl Workshop {
    /// In this folder, or where it is to be made.
    fn new(near: &Path) -> Result<Self, String> {
        let folder = near.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("/"));
        sweep(folder);
        let path = folder.join(format!("{WORKSHOP}{:016x}", u64::from_le_bytes(random())));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(&path).and_then(|()| {
            let lock = File::open(&path)?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(lock)
        });
        match made {
            Ok(lock) => Ok(Self(path, lock)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(format!("{} may not be written by this user: run it with sudo", folder.display()))
            }
            Err(error) => Err(format!("{} cannot be made: {error}", path.display())),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(WORKSHOP);
        let folder = ours && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(lock) = folder.then(|| File::open(entry.path()).ok()).flatten() else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workshop_is_private_and_what_a_killed_run_left_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("{WORKSHOP}0"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("collect.db"), "x").unwrap();
        let first = Workshop::new(folder.path()).unwrap();
        assert!(!left.exists());
        let second = Workshop::new(&folder.path().join("not/there/yet")).unwrap();
        assert!(first.0.is_dir(), "it is in use");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&second.0).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
        drop((first, second));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_seal_key_that_is_taken_along_is_one_that_opens_the_meter_keys() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let mut config = Config::default();
        config.keys.file = keys.join("keyring");
        config.keys.seal_file = keys.join("seal");
        let seal = SealKey::read_or_create(&config.keys.seal_file).unwrap();
        Keyring::new().save(&config.keys.file, &seal).unwrap();
        assert_eq!(seal_that_opens(&config), Ok(Sealed::By(config.keys.seal_file.clone())));
        std::fs::remove_file(&config.keys.seal_file).unwrap();
        SealKey::read_or_create(&config.keys.seal_file).unwrap();
        assert!(seal_that_opens(&config).unwrap_err().contains("does not open the meter keys"));
    }
}
