//! `vesigate completions` and `vesigate man`: made from the very definitions that the command line is parsed by.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::common::{finish, print};
use super::{Arguments, exit};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  vesigate completions bash > ~/.local/share/bash-completion/completions/vesigate
  vesigate completions zsh > ~/.zfunc/_vesigate
  vesigate completions fish > ~/.config/fish/completions/vesigate.fish

Exit codes: 0 printed, 2 it could not run";

/// Write man pages, one for each command, for packages
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(super) struct Man {
    /// The folder to write them into; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

const MAN_HELP: &str = "\
Examples:
  vesigate man target/man
  sudo vesigate man /usr/local/share/man/man1

Exit codes: 0 written, 2 it could not run";

impl Completions {
    pub(super) fn run(self) -> u8 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "vesigate", &mut script);
        finish("completions", print(&String::from_utf8_lossy(&script)).map(|()| exit::OK))
    }
}

impl Man {
    pub(super) fn run(self) -> u8 {
        let written = self.write();
        let failed = |error: io::Error| format!("{}: {error}", self.folder.display());
        finish("man", written.map(|()| exit::OK).map_err(failed))
    }

    fn write(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        clap_mangen::generate_to(Arguments::command(), &self.folder)
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// Every command below, each with its full name.
    fn commands(command: &Command, name: &str) -> Vec<(String, Command)> {
        let mut all = Vec::new();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("{name} {}", sub.get_name());
            all.push((name.clone(), sub.clone()));
            all.extend(commands(sub, &name));
        }
        all
    }

    fn built() -> Command {
        let mut command = Arguments::command();
        command.build();
        command
    }

    #[test]
    fn every_command_says_what_it_is_for_and_shows_examples() {
        for (name, command) in commands(&built(), "vesigate") {
            assert!(command.get_about().is_some(), "{name} has no about");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // Below a command that has examples of all of its own.
            let own = help.contains("Examples:") && help.contains("Exit codes:");
            assert!(own || name.split(' ').count() > 2, "{name} has no examples or exit codes");
        }
    }

    #[test]
    fn the_definitions_are_sound_and_every_shell_gets_completions() {
        Arguments::command().debug_assert();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vesigate", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (name, _) in commands(&built(), "vesigate") {
                assert!(script.contains(name.rsplit(' ').next().unwrap()), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn every_command_has_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Arguments::command(), folder.path()).unwrap();
        for (name, _) in commands(&built(), "vesigate") {
            let page = folder.path().join(format!("{}.1", name.replace(' ', "-")));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|_| panic!("{}", page.display()));
            assert!(text.contains(".SH"), "{name}");
        }
    }

    #[test]
    fn what_help_says_changes_only_on_purpose() {
        for (name, command) in commands(&built(), "vesigate") {
            // Eighty columns, as on an installer's terminal.
            let help = command.term_width(80).render_long_help().to_string();
            insta::assert_snapshot!(format!("help_{}", name.replace(' ', "_")), help);
        }
    }
}
