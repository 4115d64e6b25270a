//! `vesigate keys`: the meter keys, sealed at rest. They are never shown, only a short mark of each.

mod import;
mod place;
mod seal;
mod source;
mod test;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use wmbus::Key;

use super::common::wrapped;
use super::prompt;
use super::{exit, harden};
use crate::config::Config;
use crate::halves::questions::{KeyMark, KeysAdded};
use crate::keyring::import::Fault;
use crate::keyring::{KeyTable, MAX_KEYS, MeterKey, Selector, parse_key};
use place::Place;

/// Import, add, list, test, remove and seal meter keys.
///
/// While the gateway runs, its receiving half is asked (as root, or as a member of the group vesigate) and changes are in
/// force at once. While it does not, root works on the sealed file that the configuration names under `[keys]`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Keys {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", global = true, default_value = super::CONFIG)]
    config: PathBuf,

    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate keys import 20260101_0800DownloadMeters.zip.kem
  vesigate keys import keys.csv --yes         # columns id and key, maybe q4
  vesigate keys add 76348799                  # asks for the key
  vesigate keys add KAM.76348799 < key.txt
  vesigate keys test                          # what opens of what is heard
  vesigate keys list --json
  vesigate keys seal --to KEY KAM.76348799.1B.16 < key.txt

How keys lie on the disk: each sealed under a key of this box, the seal key.
That is the systemd credential \"vesigate.seal\" if there is one, else a file
of mode 0600, made at the first start. Both keep keys from other users and
from whoever gets the keyring alone. Whoever takes the whole memory card
has both, unless the credential was encrypted with the box's TPM.
A new box: import the key files anew, or bring keyring and seal key from a
backup; a credential that a TPM encrypted does not move. See docs/keys.md.

Exit codes: 0 all well, 1 some was refused or does not open, 2 it could not run";

#[derive(Debug, Subcommand)]
enum Command {
    /// Import a key file: shows what it would do, asks, then does all or nothing
    Import(import::Import),
    /// Add a meter's key, or those of a CSV file
    Add(Add),
    /// List whose keys there are, with a mark of each
    List {
        /// One JSON object to a line
        #[arg(long)]
        json: bool,
    },
    /// Test which of the meters that are heard open with their keys
    Test(test::Test),
    /// Remove the keys of meters, named as `list` names them
    Remove {
        /// The meters
        #[arg(value_name = "METER", required = true)]
        meters: Vec<Selector>,
    },
    /// Seal keys for one gateway, on any machine: only its receiving half can open them
    Seal(seal::Seal),
}

#[derive(Debug, Args)]
struct Add {
    /// The meter: its number, MANUFACTURER.NUMBER, or the full address. The key is read from standard input, so that
    /// no list of processes shows it
    #[arg(value_name = "METER", required_unless_present = "file")]
    meter: Option<Selector>,

    /// A CSV file with the columns `id` and `key`
    #[arg(short, long, value_name = "FILE", conflicts_with = "meter")]
    file: Option<PathBuf>,
}

impl Keys {
    pub(super) fn run(self) -> u8 {
        self.try_run().unwrap_or_else(|reason| {
            tell(&reason);
            exit::USAGE
        })
    }

    fn try_run(self) -> Result<u8, String> {
        harden::no_dumps().map_err(|error| format!("core dumps cannot be turned off: {error}"))?;
        let config = || super::load(&self.config);
        match self.command {
            Command::Import(import) => import.run(&config()?),
            Command::Add(add) => add.run(&config()?),
            Command::List { json } => list(&Place::find(&config()?)?.list()?, json),
            Command::Test(test) => test.run(&config()?),
            Command::Remove { meters } => remove(&config()?, &meters),
            Command::Seal(seal) => seal.run(),
        }
    }
}

impl Add {
    fn run(self, config: &Config) -> Result<u8, String> {
        let (keys, refused) = match (&self.file, self.meter) {
            (Some(file), _) => read_table(file)?,
            (None, Some(meter)) => (vec![MeterKey { meter, key: read_key()?, q4: None }], 0),
            (None, None) => return Err("name a meter, or a file with --file".to_owned()),
        };
        let keys: Vec<&MeterKey> = keys.iter().collect();
        let KeysAdded { added, same, replaced } = Place::find(config)?.add(&keys)?;
        match self.meter {
            Some(meter) if added == 1 => say(format_args!("{meter}: added"))?,
            Some(meter) if same == 1 => say(format_args!("{meter}: there already"))?,
            Some(meter) => say(format_args!("{meter}: replaced"))?,
            None => say(format_args!(
                "{added} added, {replaced} replaced, {same} there already, {refused} refused"
            ))?,
        };
        Ok(if refused == 0 { exit::OK } else { exit::REFUSED })
    }
}

/// The rows of a file that can be read, and how many cannot; those are named.
fn read_table(file: &Path) -> Result<(Vec<MeterKey>, usize), String> {
    let table = KeyTable::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Reserved at once: a list that grew would leave copies of keys behind.
    let (mut keys, mut refused) = (Vec::with_capacity(table.most_rows()), 0usize);
    for row in table.entries() {
        if keys.len().saturating_add(refused) >= MAX_KEYS {
            return Err(format!("{} {}; no key was added", file.display(), Fault::TooManyKeys));
        }
        match row {
            Ok((_, entry)) => keys.push(entry),
            Err(problem) => {
                refused = refused.saturating_add(1);
                tell(&format!("{}: {problem}", file.display()));
            }
        }
    }
    Ok((keys, refused))
}

fn remove(config: &Config, meters: &[Selector]) -> Result<u8, String> {
    Place::find(config)?.remove(meters)?;
    for meter in meters {
        say(format_args!("{meter}: removed"))?;
    }
    Ok(exit::OK)
}

fn list(marks: &[KeyMark], json: bool) -> Result<u8, String> {
    for mark in marks {
        if json {
            say(format_args!("{}", serde_json::to_string(mark).map_err(|error| error.to_string())?))?;
        } else {
            let KeyMark { meter, mark, q4 } = mark;
            let q4 = q4.map_or_else(String::new, |q4| format!("  Q4 {q4} l/h"));
            say(format_args!("{meter:<20} {mark}{q4}"))?;
        }
    }
    Ok(exit::OK)
}

fn read_key() -> Result<Key, String> {
    let text = if io::stdin().is_terminal() {
        prompt::secret("Key (32 hexadecimal digits, not shown): ")
    } else {
        prompt::line()
    };
    let text = text.map_err(|error| format!("the key cannot be read: {error}"))?;
    parse_key(&text).map_err(|error| error.to_string())
}

/// To whoever reads the output. That nobody does any more is no reason to complain.
fn say(words: std::fmt::Arguments<'_>) -> Result<(), String> {
    match writeln!(io::stdout(), "{words}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// To the person at the terminal.
fn tell(words: &str) {
    let _ = writeln!(io::stderr(), "{}", wrapped("vesigate keys: ", words));
}
