//! `vesigate keys import`: look, ask, then all or nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::place::Place;
use super::source::PasswordFrom;
use super::{exit, say, tell};
use crate::cli::common::wrapped;
use crate::cli::prompt;
use crate::config::Config;
use crate::halves::questions::KeysAdded;
use crate::keyring::import::{KeyFile, KeyRow, Kind};
use crate::keyring::{Fingerprint, Inserted, MeterKey};

/// Up to so many rows all are shown; of more, those that need looking at.
const ALL_SHOWN: usize = 20;
/// So many of each sort are shown.
const MOST_SHOWN: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The key file: KEM or KEM2 as it was downloaded (a ZIP) or unpacked, or a CSV table. What it is, its content says
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    password: PasswordFrom,

    /// Import without asking
    #[arg(short, long)]
    yes: bool,

    /// The preview as JSON, one object to a line
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(&self, config: &Config) -> Result<u8, String> {
        let file = self.password.open(&self.file)?;
        let rows: Vec<KeyRow<'_>> = file.rows().collect();
        let keys: Vec<&MeterKey> = rows.iter().map(|row| row.entry).collect();
        let mut place = Place::find(config)?;
        let compared = place.compare(&keys)?;
        let mut counts = KeysAdded::default();
        compared.iter().for_each(|inserted| counts.count(*inserted));
        let preview = Preview { file: &file, rows: &rows, compared: &compared, counts };
        if self.json {
            preview.json()?;
        } else {
            preview.table(&self.file)?;
        }
        if counts.added + counts.replaced == 0 {
            self.say("There is nothing to import.")?;
        } else if self.agreed(&counts)? {
            let done = place.add(&keys)?;
            self.say(&format!(
                "Imported: {} new, {} changed. {}",
                done.added,
                done.replaced,
                match place {
                    Place::Running(_) => "They are in force now; \"vesigate keys test\" shows what opens.",
                    Place::File(_) => "The gateway uses them from its next start on.",
                }
            ))?;
            if !file.sealed {
                self.say(
                    "The key file is not encrypted: delete it, or keep it where nobody else can read it.",
                )?;
            }
        } else {
            self.say("Nothing was changed.")?;
            return Ok(exit::REFUSED);
        }
        Ok(if file.refused.is_empty() { exit::OK } else { exit::REFUSED })
    }

    fn agreed(&self, counts: &KeysAdded) -> Result<bool, String> {
        if self.yes {
            return Ok(true);
        }
        if !prompt::is_possible() {
            return Err(
                "nothing was changed: there is no terminal to ask on. Say --yes to import this".to_owned()
            );
        }
        if counts.replaced > 0 {
            tell("A changed key takes the place of the one that is there, which is gone then.");
        }
        let question = format!("Import {} keys?", counts.added.saturating_add(counts.replaced));
        prompt::consent(&question).map_err(|error| error.to_string())
    }

    /// For people; programs read the preview alone.
    fn say(&self, words: &str) -> Result<(), String> {
        if self.json {
            tell(words);
            return Ok(());
        }
        say(format_args!("{}", wrapped("", words)))
    }
}

/// What an import would do.
struct Preview<'a> {
    file: &'a KeyFile,
    rows: &'a [KeyRow<'a>],
    compared: &'a [Inserted],
    counts: KeysAdded,
}

impl Preview<'_> {
    fn table(&self, path: &Path) -> Result<(), String> {
        let Self { file, rows, compared, counts } = self;
        let kind = match (file.kind, file.sealed) {
            (Kind::Kem2, true) => "KEM2 file, encrypted (its signature is not checked)".to_owned(),
            (kind, true) => format!("{kind} file, encrypted"),
            (kind, false) => format!("{kind} file, not encrypted"),
        };
        let meters = rows.len().saturating_add(file.refused.len());
        say(format_args!("{}", wrapped("", &format!("{}: {kind}, {meters} meters", path.display()))))?;
        say(format_args!(""))?;
        let all = meters <= ALL_SHOWN;
        for (wanted, word) in
            [(Inserted::New, "new"), (Inserted::Replaced, "changed"), (Inserted::Same, "the same")]
        {
            let of_sort = rows.iter().zip(*compared).filter(|(_, inserted)| **inserted == wanted);
            let worth = |row: &KeyRow<'_>| all || wanted == Inserted::Replaced || row.remark.is_some();
            let mut shown = of_sort.map(|(row, _)| row).filter(|row| worth(row));
            for row in shown.by_ref().take(MOST_SHOWN) {
                say(format_args!("{}", wrapped(&format!("  {word:<10}"), &describe(row))))?;
            }
            match shown.count() {
                0 => {}
                more => say(format_args!("  {word:<10}and {more} more (--json shows them)"))?,
            }
        }
        for refused in file.refused.iter().take(MOST_SHOWN) {
            let whose = refused.meter.map_or_else(String::new, |meter| format!(", {meter}"));
            let text = format!("{}{whose}: {}", refused.place, refused.why);
            say(format_args!("{}", wrapped("  refused   ", &text)))?;
        }
        match file.refused.len().saturating_sub(MOST_SHOWN) {
            0 => {}
            more => say(format_args!("  refused   and {more} more (--json shows them)"))?,
        }
        say(format_args!(
            "\n{} new, {} changed, {} the same, {} refused",
            counts.added,
            counts.replaced,
            counts.same,
            file.refused.len()
        ))
    }

    fn json(&self) -> Result<(), String> {
        let Self { file, rows, compared, counts } = self;
        for (row, inserted) in rows.iter().zip(*compared) {
            say(format_args!(
                "{}",
                json!({
                    "meter": row.entry.meter.to_string(),
                    "would": inserted,
                    "mark": Fingerprint::of(&row.entry.key).to_string(),
                    "q4_litres_per_hour": row.entry.q4.map(crate::keyring::Flow::as_litres_per_hour),
                    "place": row.place.to_string(),
                    "remark": row.remark.map(|remark| remark.to_string()),
                })
            ))?;
        }
        for refused in &file.refused {
            say(format_args!(
                "{}",
                json!({
                    "meter": refused.meter.map(|meter| meter.to_string()),
                    "would": "refuse",
                    "place": refused.place.to_string(),
                    "why": refused.why.to_string(),
                })
            ))?;
        }
        say(format_args!(
            "{}",
            json!({
                "kind": file.kind.to_string(),
                "encrypted": file.sealed,
                "new": counts.added,
                "replaced": counts.replaced,
                "same": counts.same,
                "refused": file.refused.len(),
            })
        ))
    }
}

fn describe(row: &KeyRow<'_>) -> String {
    let MeterKey { meter, key, q4 } = row.entry;
    let mut text = format!("{:<20} mark {}", meter.to_string(), Fingerprint::of(key));
    if let Some(q4) = q4 {
        text += &format!(", Q4 {} l/h", q4.as_litres_per_hour());
    }
    if let Some(remark) = row.remark {
        text += &format!("; {remark}");
    }
    text
}
