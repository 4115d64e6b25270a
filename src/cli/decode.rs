//! `vesigate decode`: explains telegrams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit;
use crate::decode::{Decoder, Keys, explain};
use crate::keyring::{KeyTable, parse_key};

/// Explain telegrams byte by byte, or as JSON.
///
/// Frames are given in hexadecimal, one to a line or argument; spaces, `|`, `_` and a leading `0x` do not matter, nor
/// whether link-layer CRCs are still in them. Frames that a log holds already deciphered are read too.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Decode {
    /// Frames in hexadecimal; `-` reads them from standard input
    #[arg(value_name = "HEX", required_unless_present = "file")]
    frames: Vec<String>,

    /// A file with one frame to a line; `#` starts a comment
    #[arg(short, long, value_name = "FILE", conflicts_with = "frames")]
    file: Option<PathBuf>,

    /// The meter's key, 32 hexadecimal digits. Other users of this machine can see it in the list of processes
    #[arg(short, long, value_name = "KEY", conflicts_with = "keys")]
    key: Option<String>,

    /// A CSV file with the columns `id` and `key`; rows that are neither are named and left out
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// One JSON object for each frame, as docs/decode.schema.json describes
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate decode 2A442D2C998734761B168D2091D37CAC21E1D6... --key 28F6...
  vesigate decode --file frames.txt --keys keys.csv --json | jq .reading
  journalctl -u logger -o cat | vesigate decode - --keys keys.csv

Exit codes: 0 every frame was read, 1 some were refused, 2 wrong arguments or an unreadable file";

impl Decode {
    pub(super) fn run(self) -> u8 {
        match self.try_run() {
            Ok(true) => exit::OK,
            Ok(false) => exit::REFUSED,
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
            Err(failure) => {
                let _ = writeln!(io::stderr(), "vesigate decode: {failure}");
                exit::USAGE
            }
        }
    }

    /// Whether every frame was read.
    fn try_run(self) -> Result<bool, Failure> {
        let keys = match (&self.key, &self.keys) {
            (Some(key), _) => {
                Keys::one(parse_key(key).map_err(|error| Failure::Argument(error.to_string()))?)
            }
            (None, Some(path)) => {
                let table = KeyTable::read(path).map_err(|error| Failure::file(path, &error))?;
                let (keys, problems) = Keys::of(&table);
                for problem in problems {
                    let _ =
                        writeln!(io::stderr(), "vesigate decode: {}: {problem}; left out", path.display());
                }
                keys
            }
            (None, None) => Keys::default(),
        };
        let mut decoder = Decoder::new(keys);
        let mut all = true;
        for line in self.lines()? {
            let line = line.map_err(Failure::Input)?;
            let frame = line.split('#').next().unwrap_or_default().trim();
            if !frame.is_empty() {
                all &= self.show(&mut decoder, frame).map_err(Failure::Output)?;
            }
        }
        Ok(all)
    }

    fn show(&self, decoder: &mut Decoder, frame: &str) -> io::Result<bool> {
        if self.json {
            let decoded = decoder.decode(frame);
            let mut out = io::stdout().lock();
            serde_json::to_writer(&mut out, &decoded)?;
            writeln!(out)?;
            return Ok(decoded.is_ok());
        }
        let (text, ok) = explain::telegram(decoder, frame);
        write!(anstream::stdout().lock(), "{text}")?;
        Ok(ok)
    }

    fn lines(&self) -> Result<Box<dyn Iterator<Item = io::Result<String>> + '_>, Failure> {
        if let Some(path) = &self.file {
            return Ok(Box::new(bounded_lines(BufReader::new(open(path)?))));
        }
        if self.frames.as_slice() == ["-"] {
            return Ok(Box::new(bounded_lines(io::stdin().lock())));
        }
        Ok(Box::new(self.frames.iter().cloned().map(Ok)))
    }
}

/// Lines of a reader, bytes that are no UTF-8 replaced, so that one bad line does not stop the rest. A line beyond the
/// limit is cut: no frame is that long.
fn bounded_lines(mut reader: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    const LIMIT: usize = 64 * 1024;
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        loop {
            let (used, ended) = match reader.fill_buf() {
                Ok([]) => return (!line.is_empty()).then(|| Ok(String::from_utf8_lossy(&line).into_owned())),
                Ok(buffer) => {
                    let end = buffer.iter().position(|byte| *byte == b'\n');
                    let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
                    let room = LIMIT.saturating_sub(line.len());
                    line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
                    (part.len() + usize::from(end.is_some()), end.is_some())
                }
                Err(error) => return Some(Err(error)),
            };
            reader.consume(used);
            if ended {
                return Some(Ok(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    })
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::file(path, &error))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Argument(String),
    #[error("reading frames: {0}")]
    Input(io::Error),
    #[error("writing: {0}")]
    Output(io::Error),
}

impl Failure {
    fn file(path: &Path, error: &io::Error) -> Self {
        Self::Argument(format!("{}: {error}", path.display()))
    }
}
