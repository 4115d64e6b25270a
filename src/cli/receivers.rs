//! `vesigate receivers`: what is plugged in, and what is there.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::exit;
use crate::config::{Config, Receiver, ReceiverKind};
use crate::halves::collect::exempt;
use crate::receiver::detect::{self, Detected, Kind, Port, System, Usb, What, Wishes};

/// List serial ports, and find out which receivers are plugged in.
///
/// Without --probe no port is opened: USB numbers and names say what they may be. With --probe those that may be
/// receivers are asked who they are, by questions that change nothing and let none of them transmit; less than five
/// seconds a port. Ports on the board (ttyAMA0, ttyS0), devices that are known to be something else, and those in
/// [detect] do_not_touch are left alone.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Receivers {
    /// Only these ports; one that is named is asked whatever it seems to be
    #[arg(value_name = "PORT")]
    ports: Vec<PathBuf>,

    /// Ask the ports who is there
    #[arg(long)]
    probe: bool,

    /// Ask also USB devices of which nothing is known; that may disturb some of them
    #[arg(long, requires = "probe")]
    any: bool,

    /// One JSON object per line and port
    #[arg(long)]
    json: bool,

    /// The configuration file; without this option it need not exist
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Another root folder
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate receivers
  vesigate receivers --probe
  vesigate receivers --probe /dev/ttyAMA0
  vesigate receivers --probe --json | jq -r 'select(.state == \"found\") | .path'

Exit codes: 0 a receiver was found (without --probe: there may be one), 1 there is none, 2 it could not run";

/// What `--json` prints for a port.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The name to configure.
    path: &'a Path,
    /// The device node, which may change.
    device: &'a Path,
    /// The USB device.
    usb: Option<UsbLine<'a>>,
    /// `found`, `perhaps`, `silent`, `only-talks`, `foreign`, `unknown`, `on-board`, `do-not-touch`, `busy`, `no-permission` or
    /// `failed`.
    state: &'static str,
    /// What it is, by its word in the configuration.
    kind: Option<&'static str>,
    /// What it may be.
    kinds: Vec<&'static str>,
    /// The speed at which it answered.
    baud: Option<u32>,
    /// What it says of itself.
    info: Option<String>,
    /// Who has it open.
    process: Option<u32>,
    /// As what it is configured.
    configured: Option<&'static str>,
    /// The same for people.
    text: String,
}

#[derive(Debug, Serialize)]
struct UsbLine<'a> {
    /// Vendor and product number, such as `10c4:ea60`.
    id: String,
    manufacturer: Option<&'a str>,
    product: Option<&'a str>,
    serial: Option<&'a str>,
}

impl Receivers {
    pub(super) fn run(self) -> u8 {
        match self.try_run() {
            Ok(code) => code,
            Err(reason) => {
                let _ = writeln!(io::stderr(), "vesigate receivers: {reason}");
                exit::USAGE
            }
        }
    }

    fn try_run(self) -> Result<u8, String> {
        let config = self.config()?;
        let system = System::below(&self.root);
        let wishes = Wishes {
            ask: self.probe,
            ask_unknown: self.any,
            only: self.ports.clone(),
            exempt: exempt(&config.detect.do_not_touch),
            patience: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let mut written = Ok(());
        // A port may take seconds: each is shown when it is done.
        let show = |one: &Detected| {
            let text = if self.json { json(one, &config) } else { Ok(shown(one, &config)) };
            if written.is_ok() {
                written = text.and_then(|text| write(&text));
            }
        };
        let detected = runtime.block_on(async {
            tokio::select! {
                detected = detect::detect(&system, &wishes, show) => Some(detected),
                // Dropped, it leaves no receiver in the middle of a conversation.
                _ = tokio::signal::ctrl_c() => None,
            }
        });
        let detected = detected.ok_or("interrupted")?;
        let detected = detected.map_err(|error| format!("the serial ports cannot be listed: {error}"))?;
        written?;
        if !self.json {
            write(&self.advice(&detected, &config))?;
        }
        let good = |one: &Detected| match one.what {
            What::Found(_) => true,
            What::Perhaps(_) => !self.probe,
            // The daemon has it.
            What::Busy(_) => configured(&one.port, &config).is_some(),
            _ => false,
        };
        Ok(if detected.iter().any(good) { exit::OK } else { exit::REFUSED })
    }

    /// An installer may come before there is one.
    fn config(&self) -> Result<Config, String> {
        match &self.config {
            Some(path) => super::load(path),
            None if Path::new(super::CONFIG).exists() => super::load(Path::new(super::CONFIG)),
            None => Ok(Config::default()),
        }
    }

    /// What to do with all that was found.
    fn advice(&self, detected: &[Detected], config: &Config) -> String {
        let mut text = String::new();
        if detected.is_empty() && self.ports.is_empty() {
            text += "No serial port is plugged in. Plug the receiver in, and try again.\n";
        } else if detected.is_empty() {
            text += "There is no such serial port; without PORT all are listed.\n";
        }
        let new = detected.iter().filter(|one| configured(&one.port, config).is_none());
        let new: Vec<String> = new.filter_map(section).collect();
        if !new.is_empty() {
            text = text + "\nTo use what was found, write into " + super::CONFIG + ":\n";
        }
        for section in new {
            text = text + "\n" + &section;
        }
        let unasked = detected.iter().any(|one| matches!(one.what, What::Perhaps(_)));
        if unasked && !self.probe {
            text += "\nNo port was asked. `vesigate receivers --probe` asks those that may be receivers.\n";
        }
        text
    }
}

/// One port for people.
fn shown(Detected { port, what }: &Detected, config: &Config) -> String {
    let node = port.device.file_name().unwrap_or_default().display();
    let usb = match &port.usb {
        Some(usb) => format!("USB {}", usb_name(usb)),
        None if port.device.starts_with("/dev/pts") => "no hardware".to_owned(),
        None => "on the board".to_owned(),
    };
    let mut text = format!("{}\n  {node}, {usb}\n  {}\n", port.path.display(), says(what));
    if let Some(receiver) = configured(port, config) {
        text = text + "  configured as " + receiver.kind.word() + "\n";
    }
    text
}

fn write(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn json(Detected { port, what }: &Detected, config: &Config) -> Result<String, String> {
    let found = if let What::Found(found) = what { Some(found) } else { None };
    let line = Line {
        path: &port.path,
        device: &port.device,
        usb: port.usb.as_ref().map(|usb| UsbLine {
            id: id(usb),
            manufacturer: usb.manufacturer.as_deref(),
            product: usb.product.as_deref(),
            serial: usb.serial.as_deref(),
        }),
        state: state(what),
        kind: found.map(|found| found.kind.word()),
        kinds: if let What::Perhaps(kinds) = what {
            kinds.iter().map(|kind| kind.word()).collect()
        } else {
            Vec::new()
        },
        baud: found.map(|found| found.baud),
        info: found.map(|found| found.info.to_string()),
        process: if let What::Busy(Some(holder)) = what { Some(holder.pid) } else { None },
        configured: configured(port, config).map(|receiver| receiver.kind.word()),
        text: says(what),
    };
    Ok(serde_json::to_string(&line).map_err(|error| error.to_string())? + "\n")
}

const fn state(what: &What) -> &'static str {
    match what {
        What::Found(_) => "found",
        What::Perhaps(_) => "perhaps",
        What::Silent => "silent",
        What::OnlyTalks => "only-talks",
        What::Foreign => "foreign",
        What::Unknown => "unknown",
        What::OnBoard => "on-board",
        What::Exempt => "do-not-touch",
        What::Busy(_) => "busy",
        What::NoPermission(_) => "no-permission",
        What::Failed(_) => "failed",
    }
}

/// What was found, and what to do about it.
pub(super) fn says(what: &What) -> String {
    match what {
        What::Found(found) => format!("a receiver: {} ({} baud)", found.info, found.baud),
        What::Perhaps(kinds) => {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            format!("may be {}, or something else", words.join(" or "))
        }
        What::Silent => {
            "no receiver answers: plug it out and in again and retry, or configure its kind yourself".into()
        }
        What::OnlyTalks => {
            "may be a receiver that only talks: it cannot be asked, configure its kind and baud yourself"
                .into()
        }
        What::Foreign => "is something else by its name: left alone".into(),
        What::Unknown => "is not known: left alone (`--probe --any` asks it, which may disturb it)".into(),
        What::OnBoard => "may be anything: left alone unless it is named on the command line".into(),
        What::Exempt => "left alone, as [detect] do_not_touch says".into(),
        What::Busy(Some(holder)) if holder.name == "vesigate" => {
            format!(
                "in use by the running gateway (process {}): `vesigate status` shows how it is",
                holder.pid
            )
        }
        What::Busy(Some(holder)) => {
            format!("in use by {} (process {}): stop it and try again", holder.name, holder.pid)
        }
        What::Busy(None) => {
            "in use by another program: stop it and try again; as root, its name is shown here".into()
        }
        What::NoPermission(group) => format!(
            "may not be opened by you: become a member of the group {}, or run this as root",
            group.as_deref().unwrap_or("dialout")
        ),
        What::Failed(fault) => fault.to_string(),
    }
}

/// The configuration of what was found.
fn section(one: &Detected) -> Option<String> {
    let What::Found(found) = &one.what else { return None };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "[[receiver]]\npath = \"{}\"\nkind = \"{}\"",
        one.port.path.display(),
        found.kind.word()
    );
    let usual = ReceiverKind::of_word(found.kind.word()).and_then(ReceiverKind::usual_baud);
    if usual.is_some_and(|usual| usual != found.baud) {
        let _ = writeln!(text, "baud = {}", found.baud);
    }
    if found.kind == Kind::Amb3665 {
        let _ = writeln!(text, "modes = \"n-a\"  # the meters' channel, n-a to n-f");
    }
    Some(text)
}

/// The configured receiver whose path leads to this port.
fn configured<'a>(port: &Port, config: &'a Config) -> Option<&'a Receiver> {
    config.receivers.iter().find(|receiver| port.is_at(&receiver.path))
}

fn id(usb: &Usb) -> String {
    format!("{:04x}:{:04x}", usb.id.0, usb.id.1)
}

fn usb_name(usb: &Usb) -> String {
    let names = [&usb.manufacturer, &usb.product];
    let mut text = id(usb);
    for name in names.into_iter().flatten() {
        text = text + " " + name;
    }
    match &usb.serial {
        Some(serial) => text + ", serial number " + serial,
        None => text + ", no serial number",
    }
}
