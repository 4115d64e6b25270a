//! `vesigate diagnose`: a bundle for whoever helps, without keys and personal data.

mod mask;
mod settings;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::Value;

use super::common::{
    Common, ask_collect, ask_deliver, finish, new_file, not_made, now, print, print_json, size,
};
use super::exit;
use crate::config::Config;
use crate::halves::questions::{OfCollect, OfDeliver};

use mask::Mask;

/// Gather what somebody who helps needs to see, without keys and personal data
///
/// In the file are the configuration without secrets, addresses and names; how both halves are; versions, receivers, disk;
/// and the last lines of the log, if this user may read the journal. Meters are called by tags that mean nothing outside
/// of the file. It is plain text in a tar archive: look through it before you send it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Diagnose {
    /// The file to write; by default vesigate-diagnose-DATE.tar.gz here
    #[arg(value_name = "FILE.tar.gz")]
    file: Option<PathBuf>,

    /// How many lines of the log
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    log_lines: u32,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  sudo vesigate diagnose
  sudo vesigate diagnose /tmp/gw-7.tar.gz --log-lines 5000
  tar xzOf gw-7.tar.gz | less        # look through it

Exit codes: 0 written, 2 it could not run";

/// One file in the bundle.
struct Part {
    name: &'static str,
    /// What it is, for the list.
    about: &'static str,
    text: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    bytes: u64,
    parts: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
    bytes: usize,
}

impl Diagnose {
    pub(super) fn run(self) -> u8 {
        finish("diagnose", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let at = now();
        let date = at.to_string().split('T').next().unwrap_or_default().to_owned();
        let file =
            self.file.clone().unwrap_or_else(|| PathBuf::from(format!("vesigate-diagnose-{date}.tar.gz")));
        let mut parts = self.parts();
        let mut readme =
            "A support bundle of vesigate. Secrets, addresses, names and meter numbers are masked.\n\n"
                .to_owned();
        for part in &parts {
            let _ = writeln!(readme, "{:<14} {}", part.name, part.about);
        }
        parts.insert(0, Part { name: "README", about: "this list", text: readme });
        write(&file, &parts, at.unix().unsigned_abs()).map_err(|error| not_made(&file, &error))?;
        let bytes = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let listed = |part: &Part| Listed { name: part.name, about: part.about, bytes: part.text.len() };
        let report = Report { file: &file, bytes, parts: parts.iter().map(listed).collect() };
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text())?;
        }
        Ok(exit::OK)
    }

    fn parts(&self) -> Vec<Part> {
        // A configuration that is wrong is a reason to ask for help.
        let loaded = super::load(&self.common.config);
        let config = loaded.as_ref().ok();
        let text = fs::read(&self.common.config).map(|text| String::from_utf8_lossy(&text).into_owned());
        let mask = Mask::new(names(config, text.as_deref().unwrap_or_default()));
        let default = Config::default();
        let of = config.unwrap_or(&default);
        let masked = |text: String| mask.text(&text);
        vec![
            Part { name: "system.txt", about: "versions, machine, memory, clock", text: masked(system()) },
            Part {
                name: "config.toml",
                about: "the configuration: comments and texts that may be secret are left out",
                text: text.map_or_else(
                    |error| format!("cannot be read: {error}\n"),
                    |text| settings::config(&text, &mask),
                ),
            },
            Part {
                name: "problems.txt",
                about: "what is wrong with the configuration",
                text: match &loaded {
                    Ok(_) => "nothing\n".to_owned(),
                    Err(problems) => masked(format!("{problems}\n")),
                },
            },
            Part { name: "collect.json", about: "how the receiving half is", text: collect(of, &mask) },
            Part { name: "deliver.json", about: "how the delivering half is", text: deliver(of, &mask) },
            Part { name: "outbox.json", about: "what waits to be sent", text: outbox(of, &mask) },
            Part { name: "receivers.txt", about: "serial ports and USB devices", text: masked(receivers()) },
            Part { name: "disk.txt", about: "files, their owners and modes, room", text: masked(disk(of)) },
            Part { name: "log.txt", about: "the last lines of the log", text: masked(log(self.log_lines)) },
        ]
    }
}

/// Names of people, places and machines that the configuration and the meter list hold, and this machine's own. They are
/// read as text: a file that is wrong is a reason to ask for help.
fn names(config: Option<&Config>, text: &str) -> Vec<String> {
    let mut names = settings::names(text);
    let list = config.and_then(|config| config.meter_list.clone()).or_else(|| settings::list_file(text));
    names.extend(list.iter().flat_map(|list| settings::names_in_list(list)));
    names.extend(fs::read_to_string("/proc/sys/kernel/hostname"));
    names
}

fn pretty(answer: Result<Option<Value>, String>, mask: &Mask) -> String {
    let value = match answer {
        Ok(Some(value)) => mask.json(value),
        Ok(None) => Value::String("it does not run".to_owned()),
        Err(reason) => Value::String(mask.text(&reason)),
    };
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn collect(config: &Config, mask: &Mask) -> String {
    pretty(ask_collect(config, &OfCollect::Status), mask)
}

fn deliver(config: &Config, mask: &Mask) -> String {
    pretty(ask_deliver(config, &OfDeliver::Status), mask)
}

fn outbox(config: &Config, mask: &Mask) -> String {
    pretty(ask_deliver(config, &OfDeliver::Outbox), mask)
}

fn system() -> String {
    let read =
        |path: &str| fs::read_to_string(path).unwrap_or_default().trim_matches(['\0', '\n']).to_owned();
    let lines = |text: String, wanted: &[&str]| {
        let keep = |line: &&str| wanted.iter().any(|start| line.starts_with(start));
        text.lines().filter(keep).collect::<Vec<_>>().join("\n")
    };
    let mut text = format!("vesigate {} for {}\n", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let _ = writeln!(text, "{}", read("/proc/sys/kernel/ostype") + " " + &read("/proc/sys/kernel/osrelease"));
    let _ = writeln!(text, "{}", lines(read("/etc/os-release"), &["PRETTY_NAME"]));
    let _ = writeln!(text, "machine: {}", read("/proc/device-tree/model"));
    let _ = writeln!(text, "uptime: {} s", read("/proc/uptime").split('.').next().unwrap_or_default());
    let _ = writeln!(text, "load: {}", read("/proc/loadavg"));
    let _ = writeln!(text, "{}", memory(&read("/proc/meminfo")));
    let _ = writeln!(
        text,
        "clock: {}, synchronised: {}",
        now(),
        Path::new("/run/systemd/timesync/synchronized").exists()
    );
    let _ = writeln!(text, "temperature: {}", read("/sys/class/thermal/thermal_zone0/temp"));
    let _ = writeln!(text, "throttled: {}", read("/sys/devices/platform/soc/soc:firmware/get_throttled"));
    text
}

/// The lines that matter, rounded: eight digits would be masked as a meter's number.
fn memory(meminfo: &str) -> String {
    let rounded = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let wanted = matches!(name, "MemTotal" | "MemAvailable" | "SwapTotal");
        wanted.then(|| format!("{name}: {}", size(kilobytes.saturating_mul(1024))))
    };
    meminfo.lines().filter_map(rounded).collect::<Vec<_>>().join("\n")
}

fn receivers() -> String {
    let mut text = "/dev/serial/by-id:\n".to_owned();
    for entry in fs::read_dir("/dev/serial/by-id").into_iter().flatten().flatten() {
        let to = fs::read_link(entry.path()).unwrap_or_default();
        let _ = writeln!(text, "  {} -> {}", entry.file_name().to_string_lossy(), to.display());
    }
    text.push_str("USB:\n");
    for entry in fs::read_dir("/sys/bus/usb/devices").into_iter().flatten().flatten() {
        let read =
            |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default().trim().to_owned();
        let (vendor, product) = (read("idVendor"), read("idProduct"));
        if !vendor.is_empty() {
            let name = entry.file_name();
            let _ = writeln!(
                text,
                "  {} {vendor}:{product} {} {}",
                name.to_string_lossy(),
                read("manufacturer"),
                read("product")
            );
        }
    }
    text
}

fn disk(config: &Config) -> String {
    let data = &config.gateway.data_dir;
    let mut text = String::new();
    match rustix::fs::statvfs(data) {
        Ok(about) => {
            let bytes = |blocks: u64| size(blocks.saturating_mul(about.f_frsize));
            let _ = writeln!(
                text,
                "{}: {} of {} free",
                data.display(),
                bytes(about.f_bavail),
                bytes(about.f_blocks)
            );
        }
        Err(error) => {
            let _ = writeln!(text, "{}: {error}", data.display());
        }
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.starts_with("/dev/")) {
        let _ = writeln!(text, "{line}");
    }
    list(data, 0, &mut text);
    list(&config.status.sockets, 0, &mut text);
    text
}

/// A folder and what is in it, four deep.
fn list(path: &Path, depth: usize, text: &mut String) {
    use std::os::unix::fs::MetadataExt as _;
    match fs::symlink_metadata(path) {
        Ok(about) => {
            let (mode, owner) = (about.permissions().mode() & 0o7777, (about.uid(), about.gid()));
            let _ = writeln!(
                text,
                "{mode:04o} {}:{} {:>9} {}",
                owner.0,
                owner.1,
                size(about.len()),
                path.display()
            );
            if about.is_dir() && depth < 4 {
                let mut entries: Vec<PathBuf> =
                    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
                entries.sort();
                for entry in entries.iter().take(100) {
                    list(entry, depth + 1, text);
                }
            }
        }
        Err(error) => {
            let _ = writeln!(text, "{}: {error}", path.display());
        }
    }
}

fn log(lines: u32) -> String {
    let output = Command::new("journalctl")
        .args([
            "--no-pager",
            "--no-hostname",
            "-o",
            "short-iso",
            "-u",
            "vesigate-collect",
            "-u",
            "vesigate-deliver",
            "-u",
            "vesigate",
        ])
        .args(["-n", &lines.to_string()])
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => format!("the journal cannot be read: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => format!("journalctl cannot be run: {error}\n"),
    }
}

/// For its owner only.
fn write(file: &Path, parts: &[Part], at: u64) -> io::Result<()> {
    let out = new_file(file)?;
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_mtime(at);
        header.set_size(u64::try_from(part.text.len()).unwrap_or(u64::MAX));
        archive.append_data(&mut header, format!("vesigate-diagnose/{}", part.name), part.text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

impl Report<'_> {
    fn text(&self) -> String {
        let mut text = format!("{} ({}) holds:\n", self.file.display(), size(self.bytes));
        for part in &self.parts {
            let _ = writeln!(
                text,
                "  {:<14} {:>8}  {}",
                part.name,
                size(u64::try_from(part.bytes).unwrap_or(0)),
                part.about
            );
        }
        text.push_str("Look through it before you send it: tar xzOf FILE | less\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_memory_there_is_is_not_taken_for_a_meter() {
        let shown = memory("MemTotal:       16384000 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n");
        assert_eq!(Mask::new([]).text(&shown), "MemTotal: 16 GB\nSwapTotal: 0 B");
    }

    #[test]
    fn the_reason_why_a_half_does_not_answer_is_masked_as_its_answer_is() {
        let mask = Mask::new(["Kuja 1".to_owned()]);
        let reason = "no answer for KUJA 1 from 192.168.1.7";
        assert_eq!(pretty(Err(reason.to_owned()), &mask), "\"no answer for <name> from <address>\"\n");
    }
}
