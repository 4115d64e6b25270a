//! `vesigate keys`: the meter keys, sealed at rest. They are never shown, only a short mark of each.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::exit;
use crate::config::{Config, Credentials};
use crate::keyring::{Inserted, KeyTable, Keyring, SealKey, Selector, parse_key};

/// Add and list meter keys.
///
/// Keys are sealed in the file that the configuration names under `[keys]`. Run it as the user who owns that file,
/// while the gateway is stopped.
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
  vesigate keys add 76348799                  # asks for the key
  vesigate keys add KAM.76348799 < key.txt
  vesigate keys add --file keys.csv           # columns id and key
  vesigate keys list --json

Exit codes: 0 all went well, 1 some rows were refused, 2 it could not run";

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a meter's key, or those of a CSV file
    Add(Add),
    /// List whose keys there are, with a mark of each
    List {
        /// One JSON object to a line
        #[arg(long)]
        json: bool,
    },
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
        let done = Store::open(&self.config).and_then(|store| match self.command {
            Command::Add(add) => add.run(store),
            Command::List { json } => list(&store, json),
        });
        done.unwrap_or_else(|reason| {
            let _ = writeln!(io::stderr(), "vesigate keys: {reason}");
            exit::USAGE
        })
    }
}

/// The keyring's file and what opens it.
struct Store {
    ring: Keyring,
    path: PathBuf,
    seal: SealKey,
}

impl Store {
    fn open(config: &Path) -> Result<Self, String> {
        let config = Config::load(config).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let credentials = Credentials::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let seal = config.keys.seal(&credentials).map_err(|error| error.to_string())?;
        let path = config.keys.file;
        let ring = Keyring::open(&path, &seal).map_err(|error| format!("{} {error}", path.display()))?;
        for damage in ring.damaged() {
            let _ = writeln!(io::stderr(), "vesigate keys: {}: {damage}", path.display());
        }
        Ok(Self { ring, path, seal })
    }

    fn save(&self) -> Result<(), String> {
        let failed = |error: io::Error| format!("{} cannot be written: {error}", self.path.display());
        self.ring.save(&self.path, &self.seal).map_err(failed)
    }
}

impl Add {
    fn run(self, mut store: Store) -> Result<u8, String> {
        if let Some(file) = &self.file {
            return add_table(&mut store, file);
        }
        let Some(meter) = self.meter else { return Err("name a meter, or a file with --file".to_owned()) };
        let text = read_key().map_err(|error| format!("the key cannot be read: {error}"))?;
        let key = parse_key(&text).map_err(|error| error.to_string())?;
        let done = store.ring.insert(meter, key).map_err(|full| full.to_string())?;
        store.save()?;
        let word = match done {
            Inserted::New => "added",
            Inserted::Same => "there already",
            Inserted::Replaced => "replaced",
        };
        say(format_args!("{meter}: {word}"))
    }
}

/// All rows that can be read, saved at once.
fn add_table(store: &mut Store, file: &Path) -> Result<u8, String> {
    let table = KeyTable::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut added, mut same, mut replaced, mut refused) = (0usize, 0usize, 0usize, 0usize);
    for row in table.rows() {
        match row {
            Ok((meter, key)) => match store.ring.insert(meter, key).map_err(|full| full.to_string())? {
                Inserted::New => added += 1,
                Inserted::Same => same += 1,
                Inserted::Replaced => replaced += 1,
            },
            Err(problem) => {
                refused += 1;
                let _ = writeln!(io::stderr(), "vesigate keys: {}: {problem}", file.display());
            }
        }
    }
    store.save()?;
    say(format_args!("{added} added, {replaced} replaced, {same} there already, {refused} refused"))?;
    Ok(if refused == 0 { exit::OK } else { exit::REFUSED })
}

fn list(store: &Store, json: bool) -> Result<u8, String> {
    let mut out = io::stdout().lock();
    for listed in store.ring.list() {
        let (meter, mark) = (listed.selector.to_string(), listed.fingerprint.to_string());
        let line = if json {
            serde_json::json!({ "meter": meter, "mark": mark }).to_string()
        } else {
            format!("{meter:<20} {mark}")
        };
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit::OK),
            other => other.map_err(|error| error.to_string())?,
        }
    }
    Ok(exit::OK)
}

fn read_key() -> io::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        write!(io::stderr(), "Key (32 hexadecimal digits): ")?;
    }
    // One line, and no more of it than a key can have.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_LINE));
    let mut bounded = io::BufReader::new(io::stdin().lock().take(LONGEST_LINE as u64));
    bounded.read_line(&mut text)?;
    Ok(text)
}

const LONGEST_LINE: usize = 128;

fn say(words: std::fmt::Arguments<'_>) -> Result<u8, String> {
    writeln!(io::stdout(), "{words}").map_err(|error| error.to_string())?;
    Ok(exit::OK)
}
