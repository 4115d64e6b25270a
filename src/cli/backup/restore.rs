//! `vesigate restore` and `vesigate replace`: a backup becomes a gateway again, on the same machine or on another one.

mod unpacked;

use std::path::{Path, PathBuf};

use clap::Args;
use messages::batch::Epoch;
use serde::Serialize;

use self::unpacked::{Owners, Unpacked, is_below};
use super::Workshop;
use super::archive;
use crate::cli::common::{Common, ask_collect, ask_deliver, finish, print, print_json};
use crate::cli::exit;
use crate::config::Config;
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::health::status::{CollectStatus, DeliverStatus};

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

    /// The seal key that the meter keys were sealed with, if it is neither in its place nor in the backup
    #[arg(long, value_name = "FILE", conflicts_with = "without_keys")]
    seal_key: Option<PathBuf>,

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
  sudo vesigate restore /media/usb/gw-7.tar \\
      --seal-key /var/lib/vesigate.old/keys/seal
  sudo vesigate restore gw-7.tar --without-keys   # if the seal key is lost

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
        let keys = Keys { new_machine: false, leave_out: self.without_keys, seal: self.seal_key };
        put_back(&self.file, &self.common, &keys, &Machine::this())
    }
}

impl Replace {
    pub(in crate::cli) fn run(self) -> u8 {
        finish("replace", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let keys = Keys { new_machine: true, leave_out: self.without_keys, seal: self.seal_key };
        put_back(&self.file, &self.common, &keys, &Machine::this())
    }
}

/// What becomes of the meter keys.
struct Keys {
    /// Another machine: sealed anew with its own seal key.
    new_machine: bool,
    /// They are to be added again.
    leave_out: bool,
    /// What they were sealed with, if somebody named it.
    seal: Option<PathBuf>,
}

/// Where things belong on a machine without a configuration, and whom it knows.
struct Machine {
    root: PathBuf,
    /// Below these a backup may choose places.
    data: PathBuf,
    config: PathBuf,
}

impl Machine {
    fn this() -> Self {
        let config = Path::new(crate::cli::CONFIG).parent().unwrap_or_else(|| Path::new("/"));
        Self { root: PathBuf::from("/"), data: Config::default().gateway.data_dir, config: config.to_owned() }
    }

    /// The configuration in a backup, for a machine that has none. It chooses where root writes: only where a gateway
    /// has its things anyway.
    fn config_of(&self, file: &Path, at: &Path) -> Result<Config, String> {
        let text = archive::config(file)?.ok_or_else(|| {
            format!("there is no configuration, neither in the backup nor at {}", at.display())
        })?;
        let config = Config::parse(at, &text).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let keys = &config.keys;
        let outside: Vec<String> = [&config.gateway.data_dir, &keys.file, &keys.seal_file]
            .into_iter()
            .filter(|path| !is_below(path, &self.data))
            .map(|path| path.display().to_string())
            .collect();
        if outside.is_empty() {
            return Ok(config);
        }
        Err(format!(
            "the backup's configuration wants to write outside of {}: {}. A backup does not choose that: take the \
             configuration out of the archive, look at it, put it at {}, and run this again",
            self.data.display(),
            outside.join(", "),
            at.display()
        ))
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
    /// Meter keys that can be opened; absent where only the service can.
    keys: Option<usize>,
    #[serde(skip)]
    new_machine: bool,
}

fn put_back(file: &Path, common: &Common, keys: &Keys, machine: &Machine) -> Result<u8, String> {
    let report = restore(file, &common.config, keys, machine)?;
    if common.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(exit::OK)
}

fn restore(file: &Path, config_file: &Path, keys: &Keys, machine: &Machine) -> Result<Report, String> {
    let has_config = config_file.exists();
    let config =
        if has_config { crate::cli::load(config_file)? } else { machine.config_of(file, config_file)? };
    is_free(&config)?;
    // On the same file system, and beside the data: everything is checked and renewed before anything is in its place.
    let workshop = Workshop::new(&config.gateway.data_dir)?;
    let (manifest, files) = archive::unpack(file, &workshop.0)?;
    let folders = if has_config {
        let beside = config_file.parent().unwrap_or_else(|| Path::new("/"));
        [beside.to_owned(), config.gateway.data_dir.clone()]
    } else {
        [machine.config.clone(), machine.data.clone()]
    };
    let unpacked = Unpacked {
        manifest: &manifest,
        files: &files,
        workshop: &workshop,
        config: &config,
        machine,
        folders,
        owners: Owners::of(&manifest, &machine.root),
    };
    unpacked.check_keys()?;
    let (collect, deliver) = unpacked.stores(keys.new_machine)?;
    let ring = unpacked.keyring(keys)?;
    unpacked.place(config_file, &collect, &deliver, ring, keys.new_machine)
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
        let keys = match self.keys {
            Some(keys) => format!("{keys} meter keys"),
            None => "meter keys that only the service can open".to_owned(),
        };
        text.push_str(&format!("{name} is here, with {keys} and a new numbering.\n"));
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
mod tests;
