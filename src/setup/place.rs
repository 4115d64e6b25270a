//! Where on this machine things go, and to whom they belong: the services of systemd/README.md, where their users are
//! there, else whoever runs the command.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use messages::enrol::EnrolAnswer;
use messages::seal::PublicKey;
use zeroize::Zeroizing;

use crate::config::{Config, Half};
use crate::halves::identity;
use crate::keyring;
use crate::uplink::enrol::{EnrolError, Enrolment};

/// The user of each half, and the group that reads the configuration (systemd/sysusers.d).
const GROUP: &str = "vesigate";

/// The machine.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    collect: Option<u32>,
    deliver: Option<u32>,
    group: Option<u32>,
}

impl Place {
    /// With the configuration in this folder. Users are looked up in /etc/passwd, where `systemd-sysusers` puts them.
    /// Only root can give files away.
    #[must_use]
    pub fn new(folder: &Path, is_root: bool) -> Self {
        let read =
            |file: &str| if is_root { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
        let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
        Self {
            folder: folder.to_owned(),
            collect: number(&users, "vesigate-collect"),
            deliver: number(&users, "vesigate-deliver"),
            group: number(&groups, GROUP),
        }
    }

    /// A file beside the configuration.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where an enrolment lies until the configuration is written.
    #[must_use]
    pub fn enrolment(&self) -> Unfinished {
        Unfinished { key: self.beside("enrolment.key"), answer: self.beside("enrolment.json") }
    }

    /// Makes the folder of the configuration, if it is not there: it holds mail addresses.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_folder(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o750).create(&self.folder)?;
        self.give(&self.folder, None)
    }

    /// A secret of the delivering half, in the place of what was there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_secret(&self, path: &Path, secret: &[u8]) -> io::Result<()> {
        keyring::replace(path, |file| file.write_all(secret))?;
        self.give(path, self.deliver)
    }

    /// A file that members of the group may read, in the place of what was there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        keyring::replace(path, |file| file.write_all(text.as_bytes()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o640))?;
        self.give(path, None)
    }

    /// The public keys of both halves, collect's first: keys are made here if the halves never ran.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn public_keys(&self, config: &Config) -> Result<(PublicKey, PublicKey), String> {
        let collect = config.gateway.data_dir.join("keys").join("collect");
        let deliver = config.gateway.deliver_dir().join("key");
        Ok((self.public_key(&collect, Half::Collect)?, self.public_key(&deliver, Half::Deliver)?))
    }

    fn public_key(&self, path: &Path, half: Half) -> Result<PublicKey, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let user = match half {
            Half::Collect => self.collect,
            Half::Deliver => self.deliver,
        };
        if !folder.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(told)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(told)?;
            self.give(folder, user).map_err(told)?;
        }
        let is_new = !path.exists();
        let key = identity::read_or_create(path).map_err(|error| error.to_string())?;
        if is_new {
            self.give(path, user).map_err(told)?;
        }
        Ok(key.public())
    }

    /// To this user, or root, and the group; where they are there.
    fn give(&self, path: &Path, user: Option<u32>) -> io::Result<()> {
        if self.group.is_none() && user.is_none() { Ok(()) } else { chown(path, user, self.group) }
    }
}

/// An enrolment that is under way: a token is good once, so what it brought is kept until it is in use.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The private key (PEM), made before the portal is asked.
    pub key: PathBuf,
    /// What the portal answered (JSON).
    pub answer: PathBuf,
}

impl Unfinished {
    /// What a portal has answered and nobody uses yet.
    #[must_use]
    pub fn unfinished(&self) -> Option<(EnrolAnswer, Enrolment)> {
        let answer: EnrolAnswer = serde_json::from_slice(&fs::read(&self.answer).ok()?).ok()?;
        let enrolment = Enrolment::again(&Zeroizing::new(fs::read_to_string(&self.key).ok()?)).ok()?;
        enrolment.check(&answer).ok()?;
        Some((answer, enrolment))
    }

    /// A request for the key that is kept, or for a new one.
    ///
    /// # Errors
    /// [`EnrolError::NoKey`]
    pub fn key_or_new(&self) -> Result<Enrolment, EnrolError> {
        let kept = fs::read_to_string(&self.key).map(Zeroizing::new);
        kept.ok().and_then(|key| Enrolment::again(&key).ok()).map_or_else(Enrolment::new, Ok)
    }
}

/// The number of a user or group in the lines of /etc/passwd or /etc/group.
fn number(file: &str, name: &str) -> Option<u32> {
    let mut lines = file.lines().map(|line| line.split(':'));
    let mut line = lines.find(|line| line.clone().next() == Some(name))?;
    line.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn users_are_found_by_their_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nvesigate-deliver:x:998:997::/:/usr/sbin/nologin\nbad\n";
        assert_eq!(number(passwd, "vesigate-deliver"), Some(998));
        assert_eq!(number(passwd, "vesigate"), None);
        assert_eq!(number("vesigate:x:", "vesigate"), None);
    }

    #[test]
    fn secrets_are_for_one_reader_and_the_configuration_for_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("etc/vesigate"), false);
        place.make_folder().unwrap();
        place.make_folder().unwrap();
        let (secret, file) = (place.beside("mail.password"), place.beside("vesigate.toml"));
        fs::write(&file, "former").unwrap();
        place.write_secret(&secret, b"hunter2").unwrap();
        place.write(&file, "new").unwrap();
        assert_eq!((mode(&secret), mode(&file), mode(&place.folder)), (0o600, 0o640, 0o750));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn the_halves_keys_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), false);
        let mut config = Config::default();
        config.gateway.data_dir = folder.path().join("data");
        let keys = place.public_keys(&config).unwrap();
        assert_eq!(place.public_keys(&config).unwrap(), keys);
        assert!(keys.0 != keys.1);
        assert_eq!(mode(&folder.path().join("data/keys")), 0o700);
    }
}
