//! The command line. One file per subcommand; this one only says which there are.

mod alarms;
mod backup;
mod check;
mod commission;
mod common;
mod daemon;
mod decode;
mod diagnose;
mod export;
mod feed;
mod generate;
mod harden;
mod keys;
mod known;
mod log;
mod meters;
mod outbox;
mod prompt;
mod readings;
mod receivers;
mod record;
mod replay;
mod scan;
mod setup;
mod status;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Half};

/// Exit codes, a promise to scripts.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// It ran, and some of what it was given was refused, or something is wrong.
    pub const REFUSED: u8 = 1;
    /// The daemon failed in a way that a restart may mend.
    pub const FAILED: u8 = 1;
    /// It could not run: wrong arguments, or a file that cannot be read.
    pub const USAGE: u8 = 2;
}

/// Where the configuration is if nothing else is said.
const CONFIG: &str = "/etc/vesigate/vesigate.toml";

/// Wireless M-Bus gateway: receives water and heat meters, stores, warns of leaks, forwards.
#[derive(Debug, Parser)]
#[command(name = "vesigate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: both halves in one process
    Run(daemon::Run),
    /// Run the receiving half alone: radio, keys, readings; needs no network
    Collect(daemon::Run),
    /// Run the delivering half alone: MQTT and mail; needs neither a dongle nor a key
    Deliver(daemon::Run),
    Feed(feed::Feed),
    Status(status::Status),
    Setup(Box<setup::Setup>),
    Scan(scan::Scan),
    Commission(commission::Commission),
    Meters(meters::Meters),
    Readings(readings::Readings),
    Alarms(alarms::Alarms),
    Outbox(outbox::Outbox),
    Export(export::Export),
    Backup(backup::Backup),
    Restore(backup::restore::Restore),
    Replace(backup::restore::Replace),
    Record(record::Record),
    Replay(replay::Replay),
    Diagnose(diagnose::Diagnose),
    Completions(generate::Completions),
    Man(generate::Man),
    Check(check::Check),
    Receivers(receivers::Receivers),
    Keys(keys::Keys),
    Decode(decode::Decode),
}

/// The configuration, or everything that is wrong with it, a line each.
fn load(path: &Path) -> Result<Config, String> {
    Config::load(path).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    run_from(std::env::args_os())
}

/// Runs what these arguments ask for, the program's name first.
#[must_use]
pub fn run_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = match Arguments::parse_from(arguments).command {
        Command::Run(run) => run.run(&[Half::Collect, Half::Deliver]),
        Command::Collect(run) => run.run(&[Half::Collect]),
        Command::Deliver(run) => run.run(&[Half::Deliver]),
        Command::Feed(feed) => feed.run(),
        Command::Status(status) => status.run(),
        Command::Setup(setup) => setup.run(),
        Command::Scan(scan) => scan.run(),
        Command::Commission(commission) => commission.run(),
        Command::Meters(meters) => meters.run(),
        Command::Readings(readings) => readings.run(),
        Command::Alarms(alarms) => alarms.run(),
        Command::Outbox(outbox) => outbox.run(),
        Command::Export(export) => export.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Replace(replace) => replace.run(),
        Command::Record(record) => record.run(),
        Command::Replay(replay) => replay.run(),
        Command::Diagnose(diagnose) => diagnose.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Check(check) => check.run(),
        Command::Receivers(receivers) => receivers.run(),
        Command::Keys(keys) => keys.run(),
        Command::Decode(decode) => decode.run(),
    };
    ExitCode::from(code)
}
