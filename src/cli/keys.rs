//! `vesigate keys`: the meter keys, sealed at rest. They are never shown, only a short mark of each.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use wmbus::Key;
use zeroize::Zeroizing;

use super::exit;
use crate::config::{Config, Credentials};
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{KeyMark, KeysAdded, NewKey, OfCollect};
use crate::keyring::{Inserted, KeyTable, Keyring, Listed, SealKey, Selector, parse_key};

/// Add and list meter keys.
///
/// While the gateway runs, its receiving half is asked (as root, or as a member of the group vesigate) and the keys are
/// in force at once. While it does not, the sealed file is worked on that the configuration names under `[keys]`; run it
/// as the user who owns that file then.
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
        self.try_run().unwrap_or_else(|reason| {
            let _ = writeln!(io::stderr(), "vesigate keys: {reason}");
            exit::USAGE
        })
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        match self.command {
            Command::Add(add) => add.run(config),
            Command::List { json } => list(&Ring::all(config)?, json),
        }
    }
}

/// Asks the running half; `None` if it does not run.
fn ask_running<A: DeserializeOwned>(config: &Config, question: &OfCollect) -> Result<Option<A>, String> {
    let socket = config.status.collect_sockets().join("control.sock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string())?.block_on(ask(&socket, question)) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => Ok(None),
        Err(error) => Err(format!("the gateway runs, but {error}")),
    }
}

/// The keyring's file and what opens it.
struct Ring {
    ring: Keyring,
    path: PathBuf,
    seal: SealKey,
}

impl Ring {
    /// The keys of the running half, else those of the file.
    fn all(config: Config) -> Result<Vec<KeyMark>, String> {
        if let Some(marks) = ask_running(&config, &OfCollect::KeysList)? {
            return Ok(marks);
        }
        let mark = |listed: Listed| KeyMark {
            meter: listed.selector.to_string(),
            mark: listed.fingerprint.to_string(),
        };
        Ok(Self::open(config)?.ring.list().into_iter().map(mark).collect())
    }

    fn open(config: Config) -> Result<Self, String> {
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
    fn run(self, config: Config) -> Result<u8, String> {
        let (keys, refused) = match (&self.file, self.meter) {
            (Some(file), _) => read_table(file)?,
            (None, Some(meter)) => {
                let text = read_key().map_err(|error| format!("the key cannot be read: {error}"))?;
                (vec![(meter, parse_key(&text).map_err(|error| error.to_string())?)], 0)
            }
            (None, None) => return Err("name a meter, or a file with --file".to_owned()),
        };
        let KeysAdded { added, same, replaced } = add(config, &keys)?;
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

/// All of them or none: by the running half if it runs, else in the file.
fn add(config: Config, keys: &[(Selector, Key)]) -> Result<KeysAdded, String> {
    let new = |(meter, key): &(Selector, Key)| {
        let digits = key.bytes().iter().fold(String::with_capacity(32), |mut digits, byte| {
            // Writing to a string cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut digits, format_args!("{byte:02x}"));
            digits
        });
        NewKey { meter: meter.to_string(), key: Zeroizing::new(digits) }
    };
    let question = OfCollect::KeysAdd { keys: keys.iter().map(new).collect() };
    if let Some(added) = ask_running(&config, &question)? {
        return Ok(added);
    }
    let mut store = Ring::open(config)?;
    let mut done = KeysAdded::default();
    for (meter, key) in keys {
        let count = match store.ring.insert(*meter, key.clone()).map_err(|full| full.to_string())? {
            Inserted::New => &mut done.added,
            Inserted::Same => &mut done.same,
            Inserted::Replaced => &mut done.replaced,
        };
        *count = count.saturating_add(1);
    }
    store.save()?;
    Ok(done)
}

/// The rows of a file that can be read, and how many cannot; those are named.
fn read_table(file: &Path) -> Result<(Vec<(Selector, Key)>, usize), String> {
    let table = KeyTable::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut keys, mut refused) = (Vec::new(), 0usize);
    for row in table.rows() {
        match row {
            Ok(row) => keys.push(row),
            Err(problem) => {
                refused = refused.saturating_add(1);
                let _ = writeln!(io::stderr(), "vesigate keys: {}: {problem}", file.display());
            }
        }
    }
    Ok((keys, refused))
}

fn list(marks: &[KeyMark], json: bool) -> Result<u8, String> {
    let mut out = io::stdout().lock();
    for KeyMark { meter, mark } in marks {
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

fn say(words: std::fmt::Arguments<'_>) -> Result<(), String> {
    writeln!(io::stdout(), "{words}").map_err(|error| error.to_string())
}
