//! A backup on its way: unpacked into a workshop, checked and renewed there, then put in its place.

use std::path::{Path, PathBuf};

use messages::batch::Epoch;

use super::{Keys, Machine, Report};
use crate::cli::backup::archive::{Entry, Kind, Manifest};
use crate::cli::backup::place::{self, Accounts, Owner};
use crate::cli::backup::{Sealed, Workshop, credentials, named, secrets};
use crate::config::Config;
use crate::keyring::{Keyring, SealKey};
use crate::store::{CollectReader, DeliverReader, forget_documents, renew};

/// Who the halves are on this machine.
pub(super) struct Owners {
    accounts: Accounts,
    collect: Owner,
    deliver: Owner,
}

impl Owners {
    /// Those who had the files, or else those whom the package makes.
    pub(super) fn of(manifest: &Manifest, root: &Path) -> Self {
        let accounts = Accounts::read(root);
        let half = |kinds: &[Kind], user: &str| {
            let files = kinds.iter().flat_map(|kind| manifest.files.iter().filter(|file| file.kind == *kind));
            let owners = files.filter_map(|file| file.access.as_ref()).map(|access| accounts.owner(access));
            owners
                .into_iter()
                .find(|owner| owner.is_known())
                .unwrap_or_else(|| accounts.named(user, "vesigate"))
        };
        let collect = half(&[Kind::CollectStore, Kind::CollectKey, Kind::Keyring], "vesigate-collect");
        let deliver = half(&[Kind::DeliverStore, Kind::DeliverKey, Kind::Certificate], "vesigate-deliver");
        Self { collect, deliver, accounts }
    }

    fn of_file(&self, entry: &Entry) -> Owner {
        let recorded = || entry.access.as_ref().map(|access| self.accounts.owner(access)).unwrap_or_default();
        match entry.kind {
            Kind::CollectStore | Kind::CollectKey | Kind::Keyring | Kind::SealKey => self.collect,
            Kind::DeliverStore | Kind::DeliverKey | Kind::Certificate => self.deliver,
            // What the halves read and must not write.
            Kind::Config | Kind::Named => recorded().group_of(),
            Kind::Secret => recorded(),
        }
    }
}

/// A backup on its way.
pub(super) struct Unpacked<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) files: &'a [PathBuf],
    pub(super) workshop: &'a Workshop,
    pub(super) config: &'a Config,
    pub(super) machine: &'a Machine,
    /// Where files may go that the configuration names.
    pub(super) folders: [PathBuf; 2],
    pub(super) owners: Owners,
}

/// The meter keys as they are to be put in their place.
pub(super) struct Ring {
    file: PathBuf,
    /// How many, if they could be opened.
    count: Option<usize>,
    /// They are to be sealed anew with the key that this machine makes.
    seal_anew: Option<Keyring>,
    /// The seal key that goes with them.
    seal: Option<PathBuf>,
}

impl Unpacked<'_> {
    fn find(&self, kind: Kind) -> Option<&PathBuf> {
        self.manifest.files.iter().zip(self.files).find(|(entry, _)| entry.kind == kind).map(|(_, path)| path)
    }

    /// The stores below two folders in the workshop, under new numberings.
    pub(super) fn stores(&self, new_machine: bool) -> Result<(PathBuf, PathBuf), String> {
        let (collect, deliver) = (self.workshop.path("collect"), self.workshop.path("deliver"));
        for (kind, to) in [
            (Kind::CollectStore, CollectReader::file(&collect)),
            (Kind::DeliverStore, DeliverReader::file(&deliver)),
        ] {
            let Some(from) = self.find(kind) else { continue };
            crate::store::check_copy(from)
                .map_err(|error| format!("the backup's store is no good: {error}"))?;
            place::put(from, &to, 0o600, Owner::default())
                .map_err(|error| format!("{}: {error}", to.display()))?;
        }
        renew(&collect, &deliver).map_err(|error| format!("a new numbering cannot be begun: {error}"))?;
        // Whoever has another key cannot open what was sealed to the old one: without the documents the portal sends them
        // again, sealed to the new one.
        let deliver_key = self.find(Kind::DeliverKey).is_some() || place::deliver_key(self.config).exists();
        if new_machine || !deliver_key {
            forget_documents(&deliver).map_err(|error| error.to_string())?;
        }
        Ok((collect, deliver))
    }

    /// Keys are 32 bytes: a half that finds something else in its place does not start.
    pub(super) fn check_keys(&self) -> Result<(), String> {
        for (entry, path) in self.manifest.files.iter().zip(self.files) {
            let good = match entry.kind {
                Kind::CollectKey | Kind::DeliverKey => entry.bytes == 32,
                Kind::SealKey => SealKey::read(path).is_ok(),
                _ => true,
            };
            if !good {
                return Err(format!("{} in the backup is no key", entry.name));
            }
        }
        Ok(())
    }

    /// The meter keys, opened if that can be done here.
    pub(super) fn keyring(&self, keys: &Keys) -> Result<Option<Ring>, String> {
        let Some(file) = self.find(Kind::Keyring).filter(|_| !keys.leave_out) else { return Ok(None) };
        let sealed = Sealed::of(self.config, &self.machine.root)?;
        let here = match &sealed {
            Sealed::By(path) => Some(path),
            Sealed::ByNothing | Sealed::ByService(_) => None,
        };
        if let (Sealed::ByService(path), true) = (&sealed, keys.new_machine) {
            return Err(format!(
                "the meter keys cannot be sealed for this machine, since only its service can decrypt {}: write \
                 --without-keys, start the gateway, and add the keys again",
                path.display()
            ));
        }
        let candidates = [keys.seal.as_ref(), self.find(Kind::SealKey), here];
        let mut opened = None;
        let mut wrong = None;
        for path in candidates.into_iter().flatten() {
            let seal = SealKey::read(path).map_err(|error| error.to_string())?;
            match Keyring::open(file, &seal) {
                Ok(ring) => {
                    opened = Some((ring, path));
                    break;
                }
                Err(error) => wrong = Some(format!("the backup's meter keys: {error}")),
            }
        }
        let file = file.clone();
        match (opened, wrong) {
            (Some((ring, path)), _) => {
                let count = Some(ring.len());
                let other = keys.new_machine || here.is_some_and(|here| here != path);
                let seal = (!other && here.is_none() && sealed == Sealed::ByNothing).then(|| path.clone());
                Ok(Some(Ring { file, count, seal_anew: other.then_some(ring), seal }))
            }
            // The same machine, whose service can open them.
            (None, None) if matches!(sealed, Sealed::ByService(_)) => {
                Ok(Some(Ring { file, count: None, seal_anew: None, seal: None }))
            }
            (None, Some(wrong)) => Err(wrong),
            (None, None) if keys.new_machine => Err(
                "the meter keys in it cannot be opened here, since the old machine's seal key is missing: name it with \
                 --seal-key, make the backup with --with-seal-key, or write --without-keys and add the keys again"
                    .to_owned(),
            ),
            (None, None) => Err(
                "the meter keys in it cannot be opened, since the seal key is neither in the backup nor on this machine: \
                 name it with --seal-key, or write --without-keys and add the keys again"
                    .to_owned(),
            ),
        }
    }

    /// Whether a file is one that the configuration names, in a folder where it may lie.
    fn is_ours(&self, path: &Path) -> bool {
        let named = named(self.config).into_iter().chain(secrets(self.config)).any(|named| named == path);
        named && self.folders.iter().any(|folder| is_below(path, folder))
    }

    /// The folders of the data, as the service manager would make them.
    fn folders(&self) -> Result<(), String> {
        let (gateway, keys) = (&self.config.gateway, &self.config.keys);
        let (collect, deliver) = (self.owners.collect, self.owners.deliver);
        let above = |path: &Path| path.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        for (path, mode, owner) in [
            (gateway.data_dir.clone(), 0o755, Owner::default()),
            (above(&place::collect_key(self.config)), 0o700, collect),
            (above(&keys.file), 0o700, collect),
            (above(&keys.seal_file), 0o700, collect),
            (gateway.collect_dir(), 0o750, collect),
            (gateway.deliver_dir(), 0o700, deliver),
        ] {
            place::make_folder(&path, mode, owner)
                .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Everything into its place, the stores last.
    pub(super) fn place(
        &self,
        config_file: &Path,
        collect: &Path,
        deliver: &Path,
        ring: Option<Ring>,
        new_machine: bool,
    ) -> Result<Report, String> {
        let mut report = Report {
            gateway: self.manifest.gateway.clone(),
            old_epochs: self.manifest.epochs.clone(),
            new_epochs: epochs(collect, deliver),
            placed: Vec::new(),
            kept: Vec::new(),
            left_out: Vec::new(),
            keys: ring.as_ref().map_or(Some(0), |ring| ring.count),
            new_machine,
        };
        self.folders()?;
        let put = |from: &Path, to: &Path, mode: u32, owner: Owner| {
            place::put(from, to, mode, owner)
                .map_err(|error| format!("{} cannot be put in its place: {error}", to.display()))
        };
        for (entry, from) in self.manifest.files.iter().zip(self.files) {
            let to = match entry.kind {
                Kind::Config => config_file.to_owned(),
                Kind::Named | Kind::Secret => entry.path.clone(),
                Kind::Certificate => place::certificate(self.config),
                Kind::CollectKey if !new_machine => place::collect_key(self.config),
                Kind::DeliverKey if !new_machine => place::deliver_key(self.config),
                _ => continue,
            };
            if to.exists() {
                report.kept.push(to);
            } else if matches!(entry.kind, Kind::Named | Kind::Secret) && !self.is_ours(&to) {
                report.left_out.push(to);
            } else {
                let widest = entry.kind.widest();
                let mode = entry.access.as_ref().map_or(widest, |access| access.mode & widest | 0o600);
                let owner = self.owners.of_file(entry);
                if entry.kind == Kind::Config
                    && let Some(folder) = to.parent()
                {
                    place::make_folder(folder, 0o750, owner)
                        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
                }
                put(from, &to, mode, owner)?;
                report.placed.push(to);
            }
        }
        if let Some(ring) = ring {
            let keys = &self.config.keys;
            if let Some(from) = ring.seal {
                // What somebody named stays where it is.
                let copy = self.workshop.path("seal");
                std::fs::copy(&from, &copy)
                    .map_err(|error| format!("{} cannot be copied: {error}", from.display()))?;
                put(&copy, &keys.seal_file, 0o600, self.owners.collect)?;
                report.placed.push(keys.seal_file.clone());
            }
            let from = match &ring.seal_anew {
                Some(opened) => {
                    let seal = keys
                        .seal_by_hand(&credentials(), &self.machine.root)
                        .map_err(|error| error.to_string())?;
                    let staged = self.workshop.path("keyring");
                    opened
                        .save(&staged, &seal)
                        .map_err(|error| format!("the meter keys cannot be sealed: {error}"))?;
                    staged
                }
                None => ring.file,
            };
            put(&from, &keys.file, 0o600, self.owners.collect)?;
            report.placed.push(keys.file.clone());
        }
        let gateway = &self.config.gateway;
        for (from, to, mode, owner) in [
            (collect, gateway.collect_dir(), 0o640, self.owners.collect),
            (deliver, gateway.deliver_dir(), 0o600, self.owners.deliver),
        ] {
            let (from, to) = (from.join("store"), to.join("store"));
            if from.exists() {
                put(&from, &to, mode, owner)?;
                report.placed.push(to);
            }
        }
        Ok(report)
    }
}

/// Whether a path stays below a folder.
pub(super) fn is_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) && !path.components().any(|part| part == std::path::Component::ParentDir)
}

fn epochs(collect: &Path, deliver: &Path) -> Vec<Epoch> {
    let collect = CollectReader::open(collect).and_then(|reader| reader.epoch());
    let deliver = DeliverReader::open(deliver).and_then(|reader| reader.view().epoch());
    collect.ok().into_iter().chain(deliver.ok().flatten()).collect()
}
