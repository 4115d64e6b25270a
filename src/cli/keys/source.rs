//! A key file on the command line: where it lies, and how it is opened.

use std::path::PathBuf;

use clap::Args;

use crate::cli::prompt;
use crate::config::{Credentials, SecretSource};
use crate::keyring::import::{Fault, KeyFile, Loaded, Password};

/// So often a wrong password may be typed.
const TRIES: usize = 3;

/// The password of an encrypted key file.
#[derive(Debug, Args)]
pub(super) struct PasswordFrom {
    /// The file that holds the key file's password, readable by you alone; without it the password is asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordFrom {
    /// Opens a key file.
    pub(super) fn open(&self, path: &std::path::Path) -> Result<KeyFile, String> {
        let wrong = |fault: Fault| format!("{} {fault}", path.display());
        let loaded = Loaded::read(path).map_err(wrong)?;
        if !loaded.needs_password() {
            return loaded.keys(None).map_err(wrong);
        }
        if let Some(file) = &self.password_file {
            let secret = SecretSource::File(file.clone()).read(&Credentials::default());
            let secret = secret.map_err(|error| format!("the password file {} {error}", file.display()))?;
            let text = secret
                .expose_text()
                .ok_or_else(|| format!("the password file {} is not UTF-8 text", file.display()))?;
            let password = Password::new(text).map_err(|fault| fault.to_string())?;
            return loaded.keys(Some(&password)).map_err(wrong);
        }
        if !prompt::is_possible() {
            return Err(wrong(Fault::NeedsPassword));
        }
        for left in (0..TRIES).rev() {
            let question = format!("Password of {} (not shown): ", path.display());
            let text = prompt::secret(&question).map_err(|error| format!("the password: {error}"))?;
            match Password::new(&text) {
                Err(fault) if left == 0 => return Err(fault.to_string()),
                Err(fault) => super::tell(&format!("{fault}. Try again.")),
                Ok(password) => match loaded.keys(Some(&password)) {
                    Err(Fault::WrongPassword) if left > 0 => {
                        super::tell("That password is wrong. Try again.");
                    }
                    other => return other.map_err(wrong),
                },
            }
        }
        Err(wrong(Fault::WrongPassword))
    }
}
