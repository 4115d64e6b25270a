//! What can be said of a data directory from outside, without being the half that owns it.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::sqlite::{self, Migrations};
use super::{StoreError, collect, deliver};

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes free for everybody.
    pub free: u64,
    /// Nothing can be written there.
    pub read_only: bool,
}

/// The room where a directory lies.
///
/// # Errors
/// It is not there, or may not be looked at.
pub fn space(directory: &Path) -> std::io::Result<Space> {
    let stat = statvfs(directory)?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// Checks the whole file of the receiving half's store. It takes a while, and disturbs nobody.
///
/// # Errors
/// [`StoreError::Damaged`] with what SQLite found first; [`StoreError::Absent`] if there is none.
pub fn look_over_collect(directory: &Path) -> Result<(), StoreError> {
    look_over(&collect::file(directory), collect::MIGRATIONS)
}

/// The same for the delivering half's.
///
/// # Errors
/// As [`look_over_collect`].
pub fn look_over_deliver(directory: &Path) -> Result<(), StoreError> {
    look_over(&deliver::file(directory), deliver::MIGRATIONS)
}

fn look_over(file: &Path, migrations: Migrations) -> Result<(), StoreError> {
    // SQLite says the same of a file that is not there and of one that may not be read.
    match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::Absent),
        opened => opened?,
    };
    let connection = sqlite::open_to_read(file, migrations)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_store_and_a_damaged_one_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(look_over_collect(folder.path()), Err(StoreError::Absent)));
        // A way that leads nowhere: there may be a store, and this user cannot tell.
        let blocked = folder.path().join("blocked");
        std::fs::write(&blocked, "").unwrap();
        assert!(matches!(look_over_collect(&blocked), Err(StoreError::Io(_))));
        let file = collect::file(folder.path());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let connection = sqlite::open(&file, collect::MIGRATIONS).unwrap();
        assert!(sqlite::truncate(&connection).unwrap());
        drop(connection);
        look_over_collect(folder.path()).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        // Everything behind the page that holds the schema.
        bytes[4096..].fill(0xA5);
        std::fs::write(&file, bytes).unwrap();
        assert!(look_over_collect(folder.path()).unwrap_err().is_damage());
    }

    #[test]
    fn a_directory_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let space = space(folder.path()).unwrap();
        assert!(space.free > 0 && !space.read_only);
        assert!(super::space(&folder.path().join("none")).is_err());
    }
}
