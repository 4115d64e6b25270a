//! The command line. One file per subcommand; this one only says which there are.

mod decode;
mod keys;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit codes, a promise to scripts.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// It ran, and some of what it was given was refused.
    pub const REFUSED: u8 = 1;
    /// It could not run: wrong arguments, or a file that cannot be read.
    pub const USAGE: u8 = 2;
}

/// Wireless M-Bus gateway: receives water and heat meters, stores, warns of leaks, forwards.
#[derive(Debug, Parser)]
#[command(name = "vesigate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(decode::Decode),
    Keys(keys::Keys),
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Decode(decode) => decode.run(),
        Command::Keys(keys) => keys.run(),
    };
    ExitCode::from(code)
}
