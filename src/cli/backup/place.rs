//! Where the files of a gateway belong, and to whom.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

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

/// Moves a file or folder to where it belongs, with the owner of the folder it comes into. A place that is taken is an
/// error.
pub(super) fn put(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    if to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let parent = to.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(parent)?;
    if fs::rename(from, to).is_err() {
        // Another file system: only single files go there.
        fs::copy(from, to)?;
        fs::remove_file(from)?;
    }
    let owner = fs::metadata(parent)?;
    give(to, owner.uid(), owner.gid(), mode)?;
    fs::File::open(parent)?.sync_all()
}

/// Makes a folder with the owner of the one above it.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(parent)?;
    fs::create_dir(path)?;
    let owner = fs::metadata(parent)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o750))?;
    own(path, owner.uid(), owner.gid())
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
    chown(path, Some(user), Some(group))
}
