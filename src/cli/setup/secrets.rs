//! Passwords that were typed or read from files: tried at once, written only at the end, each into a file of its own.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Credentials, Secret, SecretSource};
use crate::setup::draft::Draft;
use crate::setup::place::Place;

/// Longer than any password or token.
const LONGEST: u64 = 4096;

/// What is to be written, and where.
pub(super) struct Secrets {
    place: Place,
    held: Vec<(PathBuf, Secret)>,
}

impl Secrets {
    pub(super) fn new(place: &Place) -> Self {
        Self { place: place.clone(), held: Vec::new() }
    }

    /// The password of a section: its file is named in the draft.
    pub(super) fn take(&mut self, draft: &mut Draft, section: &str, file: &str, password: &str) {
        let path = self.place.beside(file);
        draft.set(section, "password_file", path.display().to_string());
        self.held.retain(|(held, _)| *held != path);
        self.held.push((path, Secret::from(password)));
    }

    /// The same, from a file; `-` is standard input.
    pub(super) fn take_file(
        &mut self,
        draft: &mut Draft,
        section: &str,
        file: &str,
        from: &Path,
    ) -> Result<(), String> {
        self.take(draft, section, file, &read(from)?);
        Ok(())
    }

    /// Those that are held go before what the files hold; credentials are looked for where the service manager does.
    pub(super) fn credentials(&self) -> Credentials {
        let mut credentials = Credentials::by_hand(None, PathBuf::from("/"));
        for (path, secret) in &self.held {
            credentials.hold(SecretSource::File(path.clone()), secret.clone());
        }
        credentials
    }

    /// Writes them.
    pub(super) fn write(&self) -> Result<(), String> {
        for (path, secret) in &self.held {
            let told = |error| format!("{} cannot be written: {error}", path.display());
            self.place.write_secret(path, secret.expose()).map_err(told)?;
        }
        Ok(())
    }
}

/// The first line of a file; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    if file.as_os_str() == "-" {
        return crate::cli::prompt::line().map_err(told);
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or_default()));
    let opened = std::fs::File::open(file).map_err(told)?;
    opened.take(LONGEST).read_to_string(&mut text).map_err(told)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(format!("{} is empty", file.display()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
