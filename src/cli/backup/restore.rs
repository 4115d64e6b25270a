//! `vesigate restore` and `vesigate replace`: a backup becomes a gateway again, on the same machine or on another one.

use std::path::{Path, PathBuf};

use clap::Args;
use messages::batch::Epoch;
use serde::Serialize;

use super::archive::{self, Kind, Manifest};
use super::{Workshop, named, place, secrets};
use crate::cli::common::{Common, ask_collect, ask_deliver, finish, print, print_json};
use crate::cli::exit;
use crate::config::{Config, Credentials};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::health::status::{CollectStatus, DeliverStatus};
use crate::keyring::{Keyring, SealKey};
use crate::store::{CollectReader, DeliverReader, forget_documents, renew};

/// Put a backup back on its own machine, into an empty data folder
///
/// Both stores begin a new numbering, so that no number is ever given to two contents: everything that they hold is sent
/// again, and the portal sorts it out. A configuration that is there stays. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub(in crate::cli) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leave the meter keys out: they are to be added again
    #[arg(long)]
    without_keys: bool,

    #[command(flatten)]
    common: Common,
}

const RESTORE_HELP: &str = "\
Examples:
  sudo systemctl stop vesigate.target
  sudo mv /var/lib/vesigate /var/lib/vesigate.old
  sudo vesigate restore /media/usb/gw-7.tar
  sudo vesigate restore --without-keys gw-7.tar

Exit codes: 0 restored, 2 it could not run; what is in the way is named";

/// Make this new machine take over the name and the meters of an old one, from its backup
///
/// As restore, with a machine of its own: the meter keys are sealed anew with this machine's seal key, and the halves make
/// new keys of their own at the first start; the portal then sends again what it had sealed to the old ones. Switch the
/// old machine off first: two gateways of one name throw each other off the broker.
#[derive(Debug, Args)]
#[command(after_help = REPLACE_HELP)]
pub(in crate::cli) struct Replace {
    /// The old machine's backup, made with --with-seal-key
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The old machine's seal key, if it is not in the backup
    #[arg(long, value_name = "FILE", conflicts_with = "without_keys")]
    seal_key: Option<PathBuf>,

    /// Leave the meter keys out: they are to be added again, or sent down by the utility
    #[arg(long)]
    without_keys: bool,

    #[command(flatten)]
    common: Common,
}

const REPLACE_HELP: &str = "\
Examples:
  sudo vesigate replace /media/usb/gw-7.tar
  sudo vesigate replace gw-7.tar --seal-key /media/safe/gw-7.seal
  sudo vesigate replace gw-7.tar --without-keys

Exit codes: 0 this machine is the gateway now, 2 it could not run";

impl Restore {
    pub(in crate::cli) fn run(self) -> u8 {
        finish("restore", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let keys = if self.without_keys { Keys::LeaveOut } else { Keys::AsTheyAre };
        put_back(&self.file, &self.common, &keys)
    }
}

impl Replace {
    pub(in crate::cli) fn run(self) -> u8 {
        finish("replace", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let seal = match (&self.seal_key, self.without_keys) {
            (_, true) => None,
            (Some(path), _) => Some(SealKey::read(path).map_err(|error| error.to_string())?),
            (None, _) => None,
        };
        put_back(&self.file, &self.common, &Keys::SealAnew { seal, leave_out: self.without_keys })
    }
}

/// What becomes of the meter keys.
enum Keys {
    /// The same machine: its seal key is here, or in the backup.
    AsTheyAre,
    /// They are to be added again.
    LeaveOut,
    /// Another machine: opened with the old seal key, sealed with its own.
    SealAnew { seal: Option<SealKey>, leave_out: bool },
}

impl Keys {
    const fn is_new_machine(&self) -> bool {
        matches!(self, Self::SealAnew { .. })
    }

    const fn are_left_out(&self) -> bool {
        matches!(self, Self::LeaveOut | Self::SealAnew { leave_out: true, .. })
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Whose backup it was.
    gateway: Option<String>,
    /// Numberings that are gone for good.
    old_epochs: Vec<Epoch>,
    /// Numberings from now on.
    new_epochs: Vec<Epoch>,
    /// What was put where.
    placed: Vec<PathBuf>,
    /// What was there and stayed.
    kept: Vec<PathBuf>,
    /// What is to be put back by hand, since a backup must not choose where on a machine it writes.
    left_out: Vec<PathBuf>,
    /// Meter keys that can be opened here.
    keys: usize,
    #[serde(skip)]
    new_machine: bool,
}

fn put_back(file: &Path, common: &Common, keys: &Keys) -> Result<u8, String> {
    let config = if common.config.exists() {
        crate::cli::load(&common.config)?
    } else {
        let workshop = Workshop::new(&std::env::temp_dir().join("vesigate.restoring"))?;
        let (manifest, files) = archive::unpack(file, &workshop.0)?;
        config_of(&manifest, &files, &common.config)?
    };
    is_free(&config)?;
    // Beside the data first, so that everything is checked and renewed before anything is in its place.
    let data = &config.gateway.data_dir;
    place::make_folder(data).map_err(|error| format!("{} cannot be made: {error}", data.display()))?;
    let workshop = Workshop::new(&data.join("restoring"))?;
    let (manifest, files) = archive::unpack(file, &workshop.0)?;
    let unpacked = Unpacked { manifest: &manifest, files: &files, workshop: &workshop, config: &config };
    let (collect, deliver) = unpacked.stores(keys.is_new_machine())?;
    let ring = unpacked.keyring(keys)?;
    let report = unpacked.place(&common.config, &collect, &deliver, ring, keys)?;
    if common.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(exit::OK)
}

/// The backup's own configuration, for a machine that has none.
fn config_of(manifest: &Manifest, files: &[PathBuf], at: &Path) -> Result<Config, String> {
    let found = manifest.files.iter().zip(files).find(|(entry, _)| entry.kind == Kind::Config);
    let (_, path) = found
        .ok_or_else(|| format!("there is no configuration, neither in the backup nor at {}", at.display()))?;
    crate::cli::load(path)
}

/// Nothing runs here, and nothing is here.
fn is_free(config: &Config) -> Result<(), String> {
    let collect = ask_collect::<CollectStatus>(config, &OfCollect::Status)?.is_some();
    let deliver = ask_deliver::<DeliverStatus>(config, &OfDeliver::Status)?.is_some();
    if collect || deliver {
        return Err("the gateway runs: stop it first (systemctl stop vesigate.target)".to_owned());
    }
    let (collect, deliver) = (config.gateway.collect_dir(), config.gateway.deliver_dir());
    let taken = [collect.join("store"), deliver.join("store"), config.keys.file.clone()];
    match taken.into_iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{} is there already, and nothing is overwritten: move the data folder away first (mv {} {}.old)",
            path.display(),
            config.gateway.data_dir.display(),
            config.gateway.data_dir.display()
        )),
    }
}

/// A backup on its way.
struct Unpacked<'a> {
    manifest: &'a Manifest,
    files: &'a [PathBuf],
    workshop: &'a Workshop,
    config: &'a Config,
}

impl Unpacked<'_> {
    fn find(&self, kind: Kind) -> Option<&PathBuf> {
        self.manifest.files.iter().zip(self.files).find(|(entry, _)| entry.kind == kind).map(|(_, path)| path)
    }

    /// The stores below two folders in the workshop, under new numberings.
    fn stores(&self, new_machine: bool) -> Result<(PathBuf, PathBuf), String> {
        let (collect, deliver) = (self.workshop.path("collect"), self.workshop.path("deliver"));
        for (kind, to) in [
            (Kind::CollectStore, CollectReader::file(&collect)),
            (Kind::DeliverStore, DeliverReader::file(&deliver)),
        ] {
            let Some(from) = self.find(kind) else { continue };
            crate::store::check_copy(from)
                .map_err(|error| format!("the backup's store is no good: {error}"))?;
            place::put(from, &to, 0o600).map_err(|error| format!("{}: {error}", to.display()))?;
        }
        renew(&collect, &deliver).map_err(|error| format!("a new numbering cannot be begun: {error}"))?;
        if new_machine {
            forget_documents(&deliver).map_err(|error| error.to_string())?;
        }
        Ok((collect, deliver))
    }

    /// The meter keys, opened.
    fn keyring(&self, keys: &Keys) -> Result<Option<Keyring>, String> {
        let Some(path) = self.find(Kind::Keyring).filter(|_| !keys.are_left_out()) else { return Ok(None) };
        let in_backup = self.find(Kind::SealKey).map(|path| SealKey::read(path)).transpose();
        let in_backup = in_backup.map_err(|error| error.to_string())?;
        let here;
        let seal = match keys {
            Keys::SealAnew { seal: Some(seal), .. } => seal,
            Keys::SealAnew { seal: None, .. } => in_backup.as_ref().ok_or(
                "the meter keys in it cannot be opened here, since the old machine's seal key is missing: name it with \
                 --seal-key, make the backup with --with-seal-key, or write --without-keys and add the keys again",
            )?,
            Keys::AsTheyAre | Keys::LeaveOut => match &in_backup {
                Some(seal) => seal,
                None => {
                    here = self.seal_here()?.ok_or(
                        "the meter keys in it cannot be opened, since the seal key is neither in the backup nor on this \
                         machine: put it back where it was, or write --without-keys and add the keys again",
                    )?;
                    &here
                }
            },
        };
        let ring = Keyring::open(path, seal).map_err(|error| format!("the backup's meter keys: {error}"))?;
        Ok(Some(ring))
    }

    /// Whether a file is one that the configuration names, in the folder of the configuration or of the data.
    fn is_ours(&self, path: &Path, config_file: &Path) -> bool {
        let named = named(self.config).into_iter().chain(secrets(self.config)).any(|named| named == path);
        let folders = [config_file.parent(), Some(self.config.gateway.data_dir.as_path())];
        named && folders.into_iter().flatten().any(|folder| is_below(path, folder))
    }

    /// This machine's seal key, if it has one.
    fn seal_here(&self) -> Result<Option<SealKey>, String> {
        let credentials = credentials();
        let named = credentials.path(&self.config.keys.seal_credential).filter(|path| path.exists());
        let path = named.unwrap_or_else(|| self.config.keys.seal_file.clone());
        if !path.exists() {
            return Ok(None);
        }
        SealKey::read(&path).map(Some).map_err(|error| error.to_string())
    }

    /// Everything into its place, the stores last.
    fn place(
        &self,
        config_file: &Path,
        collect: &Path,
        deliver: &Path,
        ring: Option<Keyring>,
        keys: &Keys,
    ) -> Result<Report, String> {
        let new_machine = keys.is_new_machine();
        let mut report = Report {
            gateway: self.manifest.gateway.clone(),
            old_epochs: self.manifest.epochs.clone(),
            new_epochs: epochs(collect, deliver),
            placed: Vec::new(),
            kept: Vec::new(),
            left_out: Vec::new(),
            keys: ring.as_ref().map_or(0, Keyring::len),
            new_machine,
        };
        let put = |from: &Path, to: &Path, mode: u32| {
            place::put(from, to, mode)
                .map_err(|error| format!("{} cannot be put in its place: {error}", to.display()))
        };
        for (entry, from) in self.manifest.files.iter().zip(self.files) {
            let (to, mode) = match entry.kind {
                Kind::Config => (config_file.to_owned(), 0o644),
                Kind::Named => (entry.path.clone(), 0o644),
                Kind::Secret => (entry.path.clone(), 0o600),
                Kind::Certificate => (place::certificate(self.config), 0o600),
                Kind::SealKey if !new_machine => (self.config.keys.seal_file.clone(), 0o600),
                Kind::CollectKey if !new_machine => (place::collect_key(self.config), 0o600),
                Kind::DeliverKey if !new_machine => (place::deliver_key(self.config), 0o600),
                _ => continue,
            };
            if to.exists() {
                report.kept.push(to);
            } else if matches!(entry.kind, Kind::Named | Kind::Secret) && !self.is_ours(&to, config_file) {
                report.left_out.push(to);
            } else {
                put(from, &to, mode)?;
                report.placed.push(to);
            }
        }
        if let Some(ring) = ring {
            let to = &self.config.keys.file;
            if new_machine {
                let seal = self.config.keys.seal(&credentials()).map_err(|error| error.to_string())?;
                let staged = self.workshop.path("keyring");
                ring.save(&staged, &seal)
                    .map_err(|error| format!("the meter keys cannot be sealed: {error}"))?;
                put(&staged, to, 0o600)?;
            } else if let Some(from) = self.find(Kind::Keyring) {
                put(from, to, 0o600)?;
            }
            report.placed.push(to.clone());
        }
        for (from, to, mode) in [
            (collect, self.config.gateway.collect_dir(), 0o640),
            (deliver, self.config.gateway.deliver_dir(), 0o600),
        ] {
            let (from, to) = (from.join("store"), to.join("store"));
            if from.exists() {
                put(&from, &to, mode)?;
                report.placed.push(to);
            }
        }
        Ok(report)
    }
}

/// Whether a path stays below a folder.
fn is_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) && !path.components().any(|part| part == std::path::Component::ParentDir)
}

fn epochs(collect: &Path, deliver: &Path) -> Vec<Epoch> {
    let collect = CollectReader::open(collect).and_then(|reader| reader.epoch());
    let deliver = DeliverReader::open(deliver).and_then(|reader| reader.view().epoch());
    collect.ok().into_iter().chain(deliver.ok().flatten()).collect()
}

fn credentials() -> Credentials {
    Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for path in &self.placed {
            text.push_str(&format!("  put back  {}\n", path.display()));
        }
        for path in &self.kept {
            text.push_str(&format!("  was there, stays  {}\n", path.display()));
        }
        for path in &self.left_out {
            text.push_str(&format!("  put it back by hand, out of the archive  {}\n", path.display()));
        }
        let name = self.gateway.as_deref().unwrap_or("a gateway without a name");
        text.push_str(&format!("{name} is here, with {} meter keys and a new numbering.\n", self.keys));
        text.push_str(if self.new_machine {
            "Next: make sure that the old machine is off for good, then\n  vesigate check\n  systemctl start vesigate.target\n\
             The portal sends contacts again once it has seen this machine's own keys. A client certificate that was\n\
             bound to the old machine is renewed with `vesigate setup`.\n"
        } else {
            "Next: vesigate check, then systemctl start vesigate.target\n"
        });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_climbs_out_of_its_folder_is_not_below_it() {
        let folder = Path::new("/etc/vesigate");
        assert!(is_below(Path::new("/etc/vesigate/meters.csv"), folder));
        for bad in ["/etc/cron.d/x", "/etc/vesigate/../cron.d/x", "/etc/vesigate2/x"] {
            assert!(!is_below(Path::new(bad), folder), "{bad}");
        }
    }
}
