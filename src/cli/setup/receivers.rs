//! Which dongles the gateway listens with.

use std::path::{Path, PathBuf};

use toml_edit::Table;

use super::Setup;
use super::talk::{After, Talk};
use crate::check::{Area, Finding, Verdict};
use crate::cli::common::wrapped;
use crate::cli::receivers::says;
use crate::config::{Config, ReceiverKind};
use crate::halves::collect::exempt;
use crate::receiver::detect::{self, Detected, Kind, System, What, Wishes};
use crate::setup::draft::{Draft, Many};

/// One `--receiver`, or one that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    path: PathBuf,
    kind: ReceiverKind,
    baud: Option<u32>,
    /// It is configured so already, and stays as it is.
    kept: bool,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    /// `PATH`, `PATH=KIND` or `PATH=KIND@BAUD`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, rest) = text.split_once('=').unwrap_or((text, "auto"));
        let (kind, baud) = match rest.split_once('@') {
            Some((kind, baud)) => (kind, Some(baud.parse().map_err(|_| "the speed is a number of baud")?)),
            None => (rest, None),
        };
        if !path.starts_with('/') {
            return Err("write the whole path, such as /dev/serial/by-id/...".to_owned());
        }
        let kind = ReceiverKind::of_word(kind)
            .ok_or("the kind is auto, im871a, iu891a, amb8465, amb3665, cul, rc1180, raw or hex")?;
        Ok(Self { path: path.into(), kind, baud, kept: false })
    }
}

impl Wanted {
    fn of(one: &Detected) -> Option<Self> {
        let What::Found(found) = &one.what else { return None };
        let kind = ReceiverKind::of_word(found.kind.word())?;
        let baud = (kind.usual_baud() != Some(found.baud)).then_some(found.baud);
        Some(Self { path: one.port.path.clone(), kind, baud, kept: false })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("path", toml_edit::value(self.path.display().to_string()));
        if self.kept {
            return table;
        }
        table.insert("kind", toml_edit::value(self.kind.word()));
        if let Some(baud) = self.baud {
            table.insert("baud", toml_edit::value(i64::from(baud)));
        }
        if self.kind.word() == Kind::Amb3665.word() {
            table.insert("modes", toml_edit::value("n-a"));
        }
        table
    }
}

/// Finds them, and writes those that are wanted.
pub(super) async fn step(
    setup: &Setup,
    talk: &mut Talk,
    draft: &mut Draft,
    config: &Config,
) -> Result<(), String> {
    Talk::heading("Receivers");
    if setup.no_receiver {
        Talk::tell("left as they are");
        return Ok(());
    }
    if !setup.receivers.is_empty() {
        draft.set_all(Many::Receiver, setup.receivers.iter().map(Wanted::table).collect());
        for wanted in &setup.receivers {
            talk.found(try_one(wanted, config).await);
        }
        return Ok(());
    }
    let system = System::below(&setup.root);
    loop {
        talk.forget(Area::Receiver);
        let mut wanted = kept(config);
        for one in look(&system, config, Vec::new(), true).await? {
            take(&mut wanted, &one, talk)?;
        }
        for absent in wanted.iter().filter(|wanted| wanted.kept && !wanted.path.exists()) {
            let text = format!("{} is configured and not plugged in: it stays", absent.path.display());
            talk.found(Finding::new(Area::Receiver, Verdict::Doubtful, text));
        }
        if talk.asks {
            wanted = chosen(wanted)?;
            while let Some(path) = Talk::ask_perhaps("Path of another receiver")? {
                let named = look(&system, config, vec![path.clone().into()], true).await?;
                let known = |wanted: &Wanted| {
                    wanted.path == Path::new(&path) || named.iter().any(|one| one.port.is_at(&wanted.path))
                };
                match (named.iter().find_map(Wanted::of), path.parse::<Wanted>()) {
                    _ if wanted.iter().any(known) => Talk::tell("That one is taken already."),
                    (Some(found), _) => wanted.push(found),
                    (None, Ok(by_hand)) if path.contains('=') => wanted.push(by_hand),
                    (None, _) if !Path::new(path.split('=').next().unwrap_or_default()).exists() => {
                        Talk::tell("Nothing is plugged in there.");
                    }
                    (None, _) => Talk::tell(
                        "Not taken. If you know what is there, write PATH=KIND (see --receiver in `vesigate setup --help`).",
                    ),
                }
            }
        }
        let (verdict, text) = match wanted.len() {
            0 if !config.feeds.is_empty() => (Verdict::Good, "none, but what [[feed]] names".to_owned()),
            0 => (
                Verdict::Bad,
                "none: plug a receiver in, or see `vesigate receivers --probe` for why".to_owned(),
            ),
            1 => (Verdict::Good, "1 receiver".to_owned()),
            many => (Verdict::Good, format!("{many} receivers")),
        };
        talk.found(Finding::new(Area::Receiver, verdict, text));
        if verdict == Verdict::Bad && talk.asks && Talk::after()? != After::Keep {
            continue;
        }
        draft.set_all(Many::Receiver, wanted.iter().map(Wanted::table).collect());
        return Ok(());
    }
}

/// Those of them that somebody wants: all, or each that is said yes to.
fn chosen(wanted: Vec<Wanted>) -> Result<Vec<Wanted>, String> {
    if wanted.is_empty() || Talk::yes("Listen with all of these?", true)? {
        return Ok(wanted);
    }
    let mut chosen = Vec::new();
    for one in wanted {
        if Talk::yes(&format!("Listen with {}?", one.path.display()), true)? {
            chosen.push(one);
        }
    }
    Ok(chosen)
}

/// Those that are configured, plugged in or not.
fn kept(config: &Config) -> Vec<Wanted> {
    let kept = config.receivers.iter();
    kept.map(|receiver| Wanted { path: receiver.path.clone(), kind: receiver.kind, baud: None, kept: true })
        .collect()
}

/// Takes what was found; where something is configured, it is to be that.
fn take(wanted: &mut Vec<Wanted>, one: &Detected, talk: &mut Talk) -> Result<(), String> {
    let Some(found) = Wanted::of(one) else { return Ok(()) };
    match wanted.iter_mut().find(|wanted| one.port.is_at(&wanted.path)) {
        None => wanted.push(found),
        Some(present) if present.kind == found.kind || present.kind == ReceiverKind::Auto => {}
        Some(present) => {
            let path = present.path.display();
            let question = format!(
                "At {path} is a {}, not the {}: change that?",
                found.kind.word(),
                present.kind.word()
            );
            if talk.asks && Talk::yes(&question, true)? {
                *present = Wanted { path: present.path.clone(), ..found };
            } else {
                let text = format!(
                    "{path}: {} is configured, and a {} answers: name it with --receiver",
                    present.kind.word(),
                    found.kind.word()
                );
                talk.found(Finding::new(Area::Receiver, Verdict::Bad, text));
            }
        }
    }
    Ok(())
}

/// Asks the ports, all that may be receivers or these; tells of each if that is wished.
async fn look(
    system: &System,
    config: &Config,
    only: Vec<PathBuf>,
    tells: bool,
) -> Result<Vec<Detected>, String> {
    let exempt = exempt(&config.detect.do_not_touch);
    let all = only.is_empty();
    let wishes = Wishes { ask: true, ask_unknown: false, only, exempt, patience: 1 };
    let mut left = 0_u32;
    let show = |one: &Detected| {
        let is_left = matches!(one.what, What::OnBoard | What::Unknown | What::Foreign | What::Exempt);
        if all && is_left {
            left = left.saturating_add(1);
        } else if tells {
            Talk::say(&format!("  {}", one.port.path.display()));
            Talk::say(&wrapped("      ", &says(&one.what)));
        }
    };
    let found = detect::detect(system, &wishes, show).await;
    let found = found.map_err(|error| format!("the serial ports cannot be listed: {error}"))?;
    if left > 0 && tells {
        Talk::tell(&format!("{left} other serial port(s) left alone; `vesigate receivers` says why"));
    }
    Ok(found)
}

/// Whether somebody is there, where that can be asked.
async fn try_one(wanted: &Wanted, config: &Config) -> Finding {
    let finding = |verdict, text: &str| {
        Finding::new(Area::Receiver, verdict, format!("{}: {text}", wanted.path.display()))
    };
    if !Path::new(&wanted.path).exists() {
        return finding(Verdict::Bad, "nothing is plugged in there yet");
    }
    let found = look(&System::here(), config, vec![wanted.path.clone()], false).await.ok();
    match found.as_deref() {
        Some([one, ..]) if matches!(one.what, What::Found(_)) => finding(Verdict::Good, &says(&one.what)),
        Some([one, ..]) if matches!(one.what, What::Busy(_) | What::OnlyTalks) => {
            finding(Verdict::Doubtful, &says(&one.what))
        }
        Some([one, ..]) => finding(Verdict::Bad, &says(&one.what)),
        _ => finding(Verdict::Skipped, "is no serial port that can be asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_read_with_kind_and_speed_or_without() {
        let read = |text: &str| text.parse::<Wanted>();
        let one = read("/dev/ttyUSB0").unwrap();
        assert_eq!((one.kind, one.baud), (ReceiverKind::Auto, None));
        let one = read("/dev/ttyUSB0=cul@57600").unwrap();
        assert_eq!(
            (one.path.as_path(), one.kind, one.baud),
            (Path::new("/dev/ttyUSB0"), ReceiverKind::Cul, Some(57_600))
        );
        assert!(read("ttyUSB0").unwrap_err().contains("whole path"));
        assert!(read("/dev/ttyUSB0=zigbee").unwrap_err().contains("im871a"));
        assert!(read("/dev/ttyUSB0=cul@fast").unwrap_err().contains("baud"));
    }
}
