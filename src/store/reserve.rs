//! Room that is taken before it is needed: on a full disk not even freeing works, since that writes to the log first.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

const NAME: &str = "reserve";
/// Its size.
pub(super) const SIZE: u64 = 4 << 20;
/// It is made only where so much more is free.
const PLENTY: u64 = 16 << 20;

/// Makes it if there is room for it.
pub(super) fn keep(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    let there = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == SIZE);
    if there || free(directory) < SIZE + PLENTY {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        drop(file);
        fs::remove_file(&path)?;
        return Err(error.into());
    }
    Ok(())
}

/// Gives it up; tells whether there was one.
pub(super) fn release(directory: &Path) -> bool {
    fs::remove_file(directory.join(NAME)).is_ok()
}

/// Bytes free on the file system.
pub(super) fn free(directory: &Path) -> u64 {
    statvfs(directory).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
