//! Files that are to lie beside the configuration: passwords that were typed, certificates, keys. They are tried at once
//! and written only at the end, with the configuration that names them.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::talk::Talk;
use crate::config::{Config, Credentials, Secret, SecretSource, Transport};
use crate::setup::draft::Draft;
use crate::setup::place::Place;
use crate::world::random;

/// Longer than any password, token or certificate.
const LONGEST: u64 = 64 * 1024;

/// What is to be written, and where.
pub(super) struct Pending {
    place: Place,
    held: Vec<Held>,
    stage: Option<Stage>,
    /// What an enrolment left for the case that it is not finished; goes once it is.
    left: Vec<PathBuf>,
}

struct Held {
    path: PathBuf,
    content: Secret,
    /// Whether the group may read it.
    is_public: bool,
}

impl Pending {
    pub(super) fn new(place: &Place) -> Self {
        Self { place: place.clone(), held: Vec::new(), stage: None, left: Vec::new() }
    }

    /// A file; in the place of what was to be written there before.
    pub(super) fn hold(&mut self, path: PathBuf, content: Secret, is_public: bool) {
        self.held.retain(|held| held.path != path);
        self.held.push(Held { path, content, is_public });
    }

    /// The password of a section: its file is named in the draft.
    pub(super) fn password(&mut self, draft: &mut Draft, section: &str, file: &str, password: &str) {
        let path = self.place.beside(file);
        draft.set(section, "password_file", path.display().to_string());
        self.hold(path, Secret::from(password), false);
    }

    /// A copy of a file that the service might not be able to read where it is. Gives its name.
    pub(super) fn copy(&mut self, from: &Path, name: &str, is_public: bool) -> Result<PathBuf, String> {
        let content = read_whole(from)?;
        let path = self.place.beside(name);
        self.hold(path.clone(), Secret::from(content.as_str()), is_public);
        Ok(path)
    }

    /// This goes once all is written.
    pub(super) fn remove_at_end(&mut self, path: PathBuf) {
        self.left.push(path);
    }

    /// What the configuration does not name after all is not written: an answer was changed. An enrolment that is not used
    /// stays to be taken up.
    pub(super) fn only_named(&mut self, configuration: &str) {
        let before = self.held.len();
        self.held.retain(|held| configuration.contains(&held.path.display().to_string()));
        if self.held.len() < before
            && !self.held.iter().any(|held| held.path.extension().is_some_and(|end| end == "key"))
        {
            self.left.clear();
        }
    }

    /// Secrets that are held go before what the files hold; credentials are looked for where the service manager does.
    pub(super) fn credentials(&self) -> Credentials {
        let mut credentials = Credentials::by_hand(None, PathBuf::from("/"));
        for held in self.held.iter().filter(|held| !held.is_public) {
            credentials.hold(SecretSource::File(held.path.clone()), held.content.clone());
        }
        credentials
    }

    /// The configuration as it can be tried: certificates that are not written yet lie elsewhere meanwhile.
    pub(super) fn tried(&mut self, config: &Config) -> Result<Config, String> {
        let mut config = config.clone();
        let Some(Transport::Tls(tls)) = config.uplink.as_mut().map(|uplink| &mut uplink.transport) else {
            return Ok(config);
        };
        tls.ca = self.staged(&tls.ca)?;
        if let Some(client) = &mut tls.client {
            client.certificate = self.staged(&client.certificate)?;
        }
        Ok(config)
    }

    fn staged(&mut self, path: &Path) -> Result<PathBuf, String> {
        let Some(held) = self.held.iter().find(|held| held.path == path) else { return Ok(path.to_owned()) };
        let stage = match &mut self.stage {
            Some(stage) => stage,
            none => none.insert(Stage::new()?),
        };
        let copy = stage.0.join(path.file_name().unwrap_or_default());
        let told = |error| format!("{} cannot be written: {error}", copy.display());
        fs::write(&copy, held.content.expose()).map_err(told)?;
        Ok(copy)
    }

    /// The files that will be new or different.
    pub(super) fn differences(&self) -> Vec<(&Path, &'static str)> {
        let differences = self.held.iter().filter_map(|held| {
            let present = fs::read(&held.path).map(Zeroizing::new).ok();
            match present {
                None => Some((held.path.as_path(), "new")),
                Some(present) if present.as_slice() != held.content.expose() => {
                    Some((held.path.as_path(), "replaced"))
                }
                Some(_) => None,
            }
        });
        differences.collect()
    }

    /// Writes them. What is replaced stays beside it, with .former at its end.
    pub(super) fn write(&self) -> Result<(), String> {
        for held in &self.held {
            let told = |error| format!("{} cannot be written: {error}", held.path.display());
            let put = |path: &Path, bytes: &[u8]| match std::str::from_utf8(bytes) {
                Ok(text) if held.is_public => self.place.write(path, text),
                _ => self.place.write_secret(path, bytes),
            };
            if let Ok(present) = fs::read(&held.path).map(Zeroizing::new)
                && present.as_slice() != held.content.expose()
            {
                let mut former = held.path.as_os_str().to_owned();
                former.push(".former");
                put(Path::new(&former), &present).map_err(told)?;
            }
            put(&held.path, held.content.expose()).map_err(told)?;
        }
        Ok(())
    }

    /// All is written.
    pub(super) fn finish(&self) {
        for path in &self.left {
            drop(fs::remove_file(path));
        }
    }
}

/// A folder of our own that goes with us.
struct Stage(PathBuf);

impl Stage {
    fn new() -> Result<Self, String> {
        let name = u64::from_be_bytes(random::<8>());
        let path = std::env::temp_dir().join(format!("vesigate-setup-{name:016x}"));
        let told = |error| format!("{} cannot be made: {error}", path.display());
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(told)?;
        Ok(Self(path))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn read_whole(file: &Path) -> Result<Zeroizing<String>, String> {
    let told = |error: io::Error| format!("{}: {error}", file.display());
    // One byte more, so that a longer file shows.
    let room = usize::try_from(LONGEST).unwrap_or_default().saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    let opened = fs::File::open(file).map_err(told)?;
    opened.take(LONGEST.saturating_add(1)).read_to_string(&mut text).map_err(told)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > LONGEST {
        return Err(format!("{} is longer than any secret or certificate (64 kB)", file.display()));
    }
    Ok(text)
}

/// The first line of a file; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, String> {
    let text = if file.as_os_str() == "-" {
        crate::cli::prompt::line().map_err(|error| format!("standard input: {error}"))?
    } else {
        read_whole(file)?
    };
    // A password may begin or end with a space.
    let line = text.lines().next().unwrap_or_default();
    if line.trim().is_empty() {
        return Err(format!("{} holds no secret: it is empty", file.display()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// A secret that is typed; not nothing.
pub(super) fn typed(question: &str) -> Result<Zeroizing<String>, String> {
    loop {
        let secret = Talk::secret(question)?;
        if !secret.trim().is_empty() {
            return Ok(secret);
        }
        Talk::tell("Nothing was typed; Ctrl-C ends, and nothing is changed.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_does_not_name_after_all_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), false);
        let mut pending = Pending::new(&place);
        for name in ["a.key", "broker.password"] {
            pending.hold(place.beside(name), Secret::from("x"), false);
        }
        let left = place.beside("enrolment.json");
        fs::write(&left, "{}").unwrap();
        pending.remove_at_end(left.clone());
        pending.only_named(&format!("password_file = {:?}", place.beside("broker.password")));
        pending.write().unwrap();
        pending.finish();
        assert!(place.beside("broker.password").exists() && !place.beside("a.key").exists());
        assert!(left.exists(), "an enrolment that is not used can be taken up");
    }

    #[test]
    fn a_secret_keeps_its_spaces_and_is_neither_empty_nor_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let said = |text: &str| {
            fs::write(&file, text).unwrap();
            read(&file).map(|secret| secret.to_string())
        };
        assert_eq!(said(" pass word \r\nmore").unwrap(), " pass word ");
        assert!(said(" \n").unwrap_err().contains("empty"));
        assert!(said(&"x".repeat(65_537)).unwrap_err().contains("longer"));
    }
}
