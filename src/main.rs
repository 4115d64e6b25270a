//! The `vesigate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vesigate::cli::run()
}
