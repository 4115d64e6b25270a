//! Setting a damaged store aside: its directory is renamed, in one step, so that no file of it is ever paired with one of
//! the next store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messages::Time;

/// The directory of a store, below its half's.
const STORE: &str = "store";
const DAMAGED: &str = "store.damaged-";
/// Stands in a damaged directory from which everything has been saved.
const MARK: &str = "salvaged";
/// So many damaged ones are kept for whoever wants to look into them.
const KEPT: usize = 2;

/// The path of a database below its half's directory.
pub(super) fn path(directory: &Path, file: &str) -> PathBuf {
    directory.join(STORE).join(file)
}

/// The half's directory of a path that [`path`] made.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().and_then(Path::parent).unwrap_or(path)
}

/// Whether there was a database here that is gone or empty: SQLite would take that for a new one.
pub(super) fn is_emptied(directory: &Path, file: &str) -> bool {
    let path = path(directory, file);
    let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    // Its log stays beside it from the first commit on.
    length == 0 && path.with_extension("db-wal").exists() && path.with_extension("db-shm").exists()
}

/// Renames the directory of the store; the oldest damaged ones go.
///
/// # Errors
/// Those of the file system.
pub(super) fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let mut damaged = numbered(directory)?;
    let next = damaged.last().map_or(1, |(number, _)| number.saturating_add(1));
    let to = directory.join(format!("{DAMAGED}{next}"));
    fs::rename(directory.join(STORE), &to)?;
    sync(directory)?;
    damaged.push((next, to.clone()));
    let surplus = damaged.len().saturating_sub(KEPT);
    for (_, old) in damaged.drain(..surplus) {
        fs::remove_dir_all(old)?;
    }
    Ok(to)
}

/// Damaged stores from which not everything has been saved yet, oldest first.
pub(super) fn unsaved(directory: &Path) -> Vec<PathBuf> {
    let damaged = numbered(directory).unwrap_or_default();
    damaged.into_iter().map(|(_, path)| path).filter(|path| !path.join(MARK).exists()).collect()
}

/// Bytes that damaged stores take.
pub(super) fn damaged_bytes(directory: &Path) -> u64 {
    let damaged = numbered(directory).unwrap_or_default();
    damaged.into_iter().map(|(_, path)| size(&path)).fold(0, u64::saturating_add)
}

/// Removes those from which everything was saved long ago. The mark notes when; one without a time gets it now.
pub(super) fn remove_old(directory: &Path, now: Time, keep: Duration) -> io::Result<()> {
    for (_, path) in numbered(directory)? {
        let Ok(text) = fs::read_to_string(path.join(MARK)) else { continue };
        match text.trim().parse::<i64>() {
            Ok(since)
                if now.unix().saturating_sub(since).cast_unsigned() > keep.as_secs()
                    && since < now.unix() =>
            {
                fs::remove_dir_all(path)?;
            }
            Ok(_) => {}
            Err(_) => fs::write(path.join(MARK), now.unix().to_string())?,
        }
    }
    Ok(())
}

/// Everything has been saved from it.
pub(super) fn mark_saved(damaged: &Path) -> io::Result<()> {
    File::create(damaged.join(MARK))?.sync_all()?;
    sync(damaged)
}

/// Removes damaged stores from which everything has been saved; tells how many.
pub(super) fn remove_saved(directory: &Path) -> io::Result<usize> {
    let mut count = 0;
    for (_, path) in numbered(directory)? {
        if path.join(MARK).exists() {
            fs::remove_dir_all(path)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Bytes that the store and the damaged ones take.
pub(super) fn used(directory: &Path) -> u64 {
    let damaged = numbered(directory).unwrap_or_default().into_iter().map(|(_, path)| path);
    damaged.chain([directory.join(STORE)]).map(|path| size(&path)).fold(0, u64::saturating_add)
}

/// Bytes of the files in one directory.
pub(super) fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).fold(0, u64::saturating_add)
}

fn numbered(directory: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(DAMAGED)).and_then(|n| n.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
