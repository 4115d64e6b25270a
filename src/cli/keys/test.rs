//! `vesigate keys test`: whether keys are right shows only by what they open.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use wmbus::Frame;

use super::place::Place;
use super::{exit, say, tell};
use crate::cli::common::wrapped;
use crate::config::Config;
use crate::decode::unhex;
use crate::keyring::trial::{KeyTest, Tested, Trials};

/// What goes into one question.
const MOST_BYTES: usize = 3_500_000;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Try the frames of a recording instead of what is heard: a line each, in hexadecimal
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,

    /// One JSON object to a line
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(&self, config: &Config) -> Result<u8, String> {
        let frames = self.frames.as_deref().map(read_frames).transpose()?;
        let mut tests = match (Place::find(config)?, frames) {
            (Place::Running(line), frames) => line.test(frames)?,
            (Place::File(_), None) => {
                return Err("the gateway does not run, so nothing is heard: start it (systemctl start \
                            vesigate.target), or give a recording with --frames FILE"
                    .to_owned());
            }
            (Place::File(ring), Some(frames)) => {
                let mut trials = Trials::new(&ring.keys);
                let read = frames.iter().filter_map(|frame| Frame::detect(&unhex(frame).ok()?).ok());
                read.for_each(|frame| trials.hear(frame));
                trials.results()
            }
        };
        tests.sort_by(|a, b| (a.result, &a.meter).cmp(&(b.result, &b.meter)));
        let bad =
            |test: &KeyTest| matches!(test.result, Tested::WrongKey | Tested::NoKey | Tested::OtherName);
        let code = if tests.iter().any(bad) { exit::REFUSED } else { exit::OK };
        if self.json {
            for test in &tests {
                say(format_args!("{}", serde_json::to_string(test).map_err(|error| error.to_string())?))?;
            }
            return Ok(code);
        }
        if tests.is_empty() {
            tell(if self.frames.is_some() {
                "the recording holds no frame that names a meter"
            } else {
                "no meter with a key was heard yet: wait some minutes; \"vesigate status\" shows whether the receiver works"
            });
            return Ok(exit::REFUSED);
        }
        for test in &tests {
            let (word, text) = explain(test);
            say(format_args!(
                "{}",
                wrapped(&format!("  {word:<13}"), &format!("{:<20} {text}", test.meter))
            ))?;
        }
        let count = |wanted| tests.iter().filter(|test| test.result == wanted).count();
        let summary = format!(
            "{} meters heard: {} open, {} do not open with their key, {} have no key that fits",
            tests.len(),
            count(Tested::Opens),
            count(Tested::WrongKey),
            count(Tested::NoKey).saturating_add(count(Tested::OtherName))
        );
        say(format_args!("\n{}", wrapped("", &summary)))?;
        Ok(code)
    }
}

fn explain(test: &KeyTest) -> (&'static str, String) {
    let filed = test.filed_under.as_deref().unwrap_or_default();
    let mark = test.mark.as_deref().unwrap_or_default();
    let instead =
        test.opens_with.as_deref().map(|name| format!("; the key of {name} does: were they mixed up?"));
    match test.result {
        Tested::Opens => ("opens", format!("with the key of {filed}, mark {mark}")),
        Tested::WrongKey => (
            "WRONG KEY",
            format!(
                "the key of {filed}, mark {mark}, does not open it{}",
                instead.as_deref().unwrap_or("; ask the utility for the right one")
            ),
        ),
        Tested::NoKey => (
            "NO KEY",
            format!(
                "it has none{}",
                instead
                    .as_deref()
                    .unwrap_or("; import it (vesigate keys import FILE) or add it (vesigate keys add)")
            ),
        ),
        Tested::OtherName => (
            "OTHER NAME",
            format!("its number has a key, but under {filed}: add that key again under the name at the left"),
        ),
        Tested::InTheClear => ("in the clear", "it sends unencrypted".to_owned()),
        Tested::Untried => {
            ("untried", format!("heard, but not since it has the key of {filed}: ask again later"))
        }
    }
}

/// The frames of a recording: of each line its longest word, which neither a time nor a signal strength is.
fn read_frames(path: &Path) -> Result<Vec<String>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(u64::try_from(4 * MOST_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut text).map_err(wrong)?;
    let text = String::from_utf8_lossy(&text);
    let (mut frames, mut bytes) = (Vec::new(), 0usize);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some(frame) = line.split_whitespace().max_by_key(|word| word.len()) else { continue };
        bytes = bytes.saturating_add(frame.len()).saturating_add(3);
        if bytes > MOST_BYTES {
            tell(&format!("only the first {} frames are tried", frames.len()));
            break;
        }
        frames.push(frame.to_owned());
    }
    Ok(frames)
}
