//! Where the files of a gateway belong, and to whom.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cli::common::new_file;
use crate::config::Config;
use crate::uplink::RENEWED;

/// The receiving half's own key.
pub(super) fn collect_key(config: &Config) -> PathBuf {
    config.gateway.data_dir.join("keys").join("collect")
}

/// The delivering half's own key.
pub(super) fn deliver_key(config: &Config) -> PathBuf {
    config.gateway.deliver_dir().join("key")
}

/// The client certificate that the portal renewed, with its private key.
pub(super) fn certificate(config: &Config) -> PathBuf {
    config.gateway.deliver_dir().join(RENEWED)
}

/// Whose a file is and who may read it, by number and by name: another machine counts its accounts in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
}

/// The accounts of a machine, as its files have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    users: Vec<(String, u32)>,
    groups: Vec<(String, u32)>,
}

/// Files go to accounts of services only: a backup must not hand anything to a person's.
const SYSTEM: std::ops::Range<u32> = 0..1000;

/// A user and a group; whatever is absent is the same as that of the folder above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    user: Option<u32>,
    group: Option<u32>,
}

impl Owner {
    /// The group only.
    pub(super) const fn group_of(self) -> Self {
        Self { user: None, group: self.group }
    }

    pub(super) const fn is_known(self) -> bool {
        self.user.is_some()
    }
}

impl Accounts {
    /// Of the machine whose files lie below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let table = |file: &str| {
            let text = fs::read_to_string(root.join("etc").join(file)).unwrap_or_default();
            let entry = |line: &str| {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            };
            text.lines().filter_map(entry).collect()
        };
        Self { users: table("passwd"), groups: table("group") }
    }

    pub(super) fn access(&self, about: &Metadata) -> Access {
        let name = |table: &[(String, u32)], id: u32| {
            table.iter().find(|(_, known)| *known == id).map(|(name, _)| name.clone())
        };
        Access {
            mode: about.mode() & 0o777,
            uid: about.uid(),
            gid: about.gid(),
            user: name(&self.users, about.uid()),
            group: name(&self.groups, about.gid()),
        }
    }

    /// Who that is on this machine.
    pub(super) fn owner(&self, access: &Access) -> Owner {
        let here = |table: &[(String, u32)], name: Option<&String>, id: u32| {
            let id = match name {
                Some(name) => table.iter().find(|(known, _)| known == name).map(|(_, id)| *id),
                None => Some(id),
            };
            id.filter(|id| SYSTEM.contains(id))
        };
        Owner {
            user: here(&self.users, access.user.as_ref(), access.uid),
            group: here(&self.groups, access.group.as_ref(), access.gid),
        }
    }

    /// An account that the service's package makes.
    pub(super) fn named(&self, user: &str, group: &str) -> Owner {
        self.owner(&Access {
            mode: 0,
            uid: 0,
            gid: 0,
            user: Some(user.to_owned()),
            group: Some(group.to_owned()),
        })
    }
}

/// Moves a file or folder to where it belongs. A place that is taken is an error.
pub(super) fn put(from: &Path, to: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    let parent = to.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(parent, 0o750, Owner::default())?;
    let above = fs::metadata(parent)?;
    let (user, group) =
        (owner.user.unwrap_or_else(|| above.uid()), owner.group.unwrap_or_else(|| above.gid()));
    // Before it is in its place: whoever finds it there may use it.
    give(from, user, group, mode)?;
    if move_new(from, to)? == Moved::Copied {
        give(to, user, group, mode)?;
    }
    File::open(parent)?.sync_all()
}

/// Makes a folder, and those above it, if it is not there.
pub(super) fn make_folder(path: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(parent, 0o755, Owner::default())?;
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let above = fs::metadata(parent)?;
    own(path, owner.user.unwrap_or_else(|| above.uid()), owner.group.unwrap_or_else(|| above.gid()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    File::open(parent)?.sync_all()
}

/// How something came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Renamed,
    /// To another file system, or one that cannot rename without overwriting.
    Copied,
}

/// Moves without ever overwriting.
pub(super) fn move_new(from: &Path, to: &Path) -> io::Result<Moved> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Moved::Renamed),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            copy_new(from, to)?;
            Ok(Moved::Copied)
        }
        Err(error) => Err(error.into()),
    }
}

fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_new(&entry.path(), &to.join(entry.file_name()))?;
        }
        File::open(to)?.sync_all()?;
        return fs::remove_dir(from);
    }
    let mut made = new_file(to)?;
    let copied = io::copy(&mut File::open(from)?, &mut made).and_then(|_| made.sync_all());
    if let Err(error) = copied {
        // Half a file is worse than none.
        let _ = fs::remove_file(to);
        return Err(error);
    }
    fs::remove_file(from)
}

/// Files get `mode`, folders the same with the right to enter.
fn give(path: &Path, user: u32, group: u32, mode: u32) -> io::Result<()> {
    own(path, user, group)?;
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user, group, mode)?;
        }
        Ok(())
    } else {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

fn own(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let about = fs::metadata(path)?;
    if (about.uid(), about.gid()) == (user, group) {
        return Ok(());
    }
    match chown(path, Some(user), Some(group)) {
        // Whoever may not give files away works on files of his own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Accounts) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\nvesigate-collect:x:998:997::/:/bin/false\naino:x:1000:1000::/:/bin/sh\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\nvesigate:x:997:aino\n").unwrap();
        let accounts = Accounts::read(root.path());
        (root, accounts)
    }

    #[test]
    fn accounts_are_found_by_name_first_and_people_get_nothing() {
        let (_root, accounts) = machine();
        let access = |user: Option<&str>, uid| Access {
            mode: 0o600,
            uid,
            gid: 5,
            user: user.map(str::to_owned),
            group: Some("vesigate".to_owned()),
        };
        let user = |user, uid| accounts.owner(&access(user, uid)).user;
        assert_eq!(user(Some("vesigate-collect"), 123), Some(998), "its number was another there");
        assert_eq!(user(Some("vesigate-gone"), 123), None);
        assert_eq!(user(None, 123), Some(123));
        assert_eq!(user(Some("aino"), 1000), None);
        assert_eq!(user(None, 1000), None);
        assert_eq!(
            accounts.named("vesigate-collect", "vesigate"),
            Owner { user: Some(998), group: Some(997) }
        );
    }

    #[test]
    fn a_place_that_is_taken_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert_eq!(move_new(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(copy_new(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
        fs::remove_file(&to).unwrap();
        copy_new(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
    }
}
