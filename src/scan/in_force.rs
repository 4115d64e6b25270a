//! The meter list in force, as a file, and how another takes its place.
//!
//! A plan is made against what was read; between that and the writing lies a person who thinks about it. So the file is
//! compared once more, under a lock, and nobody's change is lost.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::config::{Contact, MeterList, Problem};
use crate::world::random;

/// The file as it was read.
#[derive(Debug)]
pub struct InForce {
    /// As the configuration names it.
    named: PathBuf,
    /// Where it is, behind all links.
    file: PathBuf,
    folder: PathBuf,
    bytes: Option<Vec<u8>>,
}

impl InForce {
    /// Reads the file; it need not be there yet.
    ///
    /// # Errors
    /// What the system says, and of which file.
    pub fn read(named: &Path) -> Result<Self, String> {
        let wrong = |error: io::Error| unreadable(named, &error);
        let named_folder =
            named.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let file = match fs::canonicalize(named) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(named).is_ok() {
                    return Err(format!("{} is a link to a file that is not there", named.display()));
                }
                let folder = fs::canonicalize(named_folder).map_err(wrong)?;
                folder.join(named.file_name().ok_or_else(|| format!("{} is no file", named.display()))?)
            }
            found => found.map_err(wrong)?,
        };
        let folder = file.parent().unwrap_or(named_folder).to_owned();
        let bytes = contents(&file).map_err(wrong)?;
        Ok(Self { named: named.to_owned(), file, folder, bytes })
    }

    /// The list in it; empty if there is no file.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn list(&self, contacts: &[Contact]) -> Result<MeterList, Vec<Problem>> {
        let Some(bytes) = &self.bytes else { return Ok(MeterList::default()) };
        MeterList::read(&self.named, bytes.as_slice(), contacts)
    }

    /// Puts `text` in the place of the file, at once and whole, if it still is as it was read. What was there is kept beside
    /// it, with `.former` at its end. Owner and mode are the former file's, or those of `like`.
    ///
    /// # Errors
    /// What the system says, and of which file; that somebody else has changed it.
    pub fn replace(&self, text: &str, like: &Path) -> Result<(), String> {
        let Self { named, file, folder, bytes } = self;
        let lock = File::open(folder).map_err(|error| unreadable(folder, &error))?;
        // Waiting is no use: whoever has the lock changes the file.
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => changed(named),
            TryLockError::Error(error) => unwritable(folder, &error),
        })?;
        if contents(file).map_err(|error| unreadable(named, &error))? != *bytes {
            return Err(changed(named));
        }
        let model = fs::metadata(file).or_else(|_| fs::metadata(like)).ok();
        let fresh = Beside::write(file, text.as_bytes(), model.as_ref())?;
        if let Some(bytes) = bytes {
            let mut former = file.as_os_str().to_owned();
            former.push(".former");
            Beside::write(file, bytes, model.as_ref())?.take_place_of(Path::new(&former))?;
        }
        fresh.take_place_of(file)?;
        // So that it is there after a power cut, too.
        lock.sync_all().map_err(|error| unwritable(folder, &error))
    }
}

fn contents(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let open = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    let mut bytes = Vec::new();
    open.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// More than a meter list may have.
const MOST_BYTES: u64 = (32 << 20) + 1;

/// A file on its way to its place; gone if it does not get there.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
}

impl Beside {
    fn write(file: &Path, bytes: &[u8], model: Option<&fs::Metadata>) -> Result<Self, String> {
        let mut path = file.as_os_str().to_owned();
        // Nobody can know it before, and put something there.
        path.push(format!(".{:016x}.new", u64::from_le_bytes(random())));
        let path = PathBuf::from(path);
        let wrong = |error: io::Error| unwritable(file, &error);
        // Nobody else reads it before its owner is right; never through a link that somebody put there.
        let open = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
        let beside = Self { path };
        fill(open, bytes, model).map_err(wrong)?;
        Ok(beside)
    }

    fn take_place_of(self, place: &Path) -> Result<(), String> {
        fs::rename(&self.path, place).map_err(|error| unwritable(place, &error))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Not there any more once it has taken its place.
        let _ = fs::remove_file(&self.path);
    }
}

fn fill(mut file: File, bytes: &[u8], model: Option<&fs::Metadata>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(model) = model {
        // Whoever is not root cannot give a file away; a file of one's own is one's own already.
        let own = file.metadata()?;
        if model.uid() != own.uid() || model.gid() != own.gid() {
            fchown(&file, Some(model.uid()), Some(model.gid()))?;
        }
        file.set_permissions(model.permissions())?;
    }
    file.sync_all()
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{path} cannot be written: run it with sudo"),
        _ => format!("{path} cannot be written: {error}"),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{path} cannot be read: run it with sudo"),
        _ => format!("{path} cannot be read: {error}"),
    }
}

fn changed(path: &Path) -> String {
    format!(
        "{} was changed by somebody else meanwhile: nothing was written; run it again to see what changes now",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn put(file: &Path, text: &str, like: &Path) {
        InForce::read(file).unwrap().replace(text, like).unwrap();
    }

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_former_file_is_kept_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meters.csv");
        let like = folder.path().join("vesigate.toml");
        fs::write(&like, "").unwrap();
        fs::set_permissions(&like, fs::Permissions::from_mode(0o640)).unwrap();
        put(&file, "one", &like);
        assert_eq!(mode(&file), 0o640);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o660)).unwrap();
        put(&file, "two", &like);
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_to_string(folder.path().join("meters.csv.former")).unwrap(), "one");
        assert_eq!((mode(&file), mode(&folder.path().join("meters.csv.former"))), (0o660, 0o660));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else stays");
        let refused = InForce::read(&folder.path().join("none/meters.csv")).unwrap_err();
        assert!(refused.contains("none/meters.csv cannot be read"), "{refused}");
    }

    #[test]
    fn the_owner_stays_when_root_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meters.csv");
        fs::write(&file, "one").unwrap();
        // Where this does not run as root the file stays one's own, which is to be kept as well.
        let _ = std::os::unix::fs::chown(&file, Some(4711), Some(4712));
        let owner = |file: &Path| fs::metadata(file).map(|found| (found.uid(), found.gid())).unwrap();
        let before = owner(&file);
        put(&file, "two", folder.path());
        assert_eq!(owner(&file), before);
        assert_eq!(owner(&folder.path().join("meters.csv.former")), before);
    }

    #[test]
    fn a_link_stays_a_link_and_what_it_means_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/list.csv"), "one").unwrap();
        symlink("real/list.csv", at("meters.csv")).unwrap();
        put(&at("meters.csv"), "two", folder.path());
        assert!(fs::symlink_metadata(at("meters.csv")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("real/list.csv")).unwrap(), "two");
        assert_eq!(fs::read_to_string(at("real/list.csv.former")).unwrap(), "one");
        fs::remove_file(at("real/list.csv")).unwrap();
        let refused = InForce::read(&at("meters.csv")).unwrap_err();
        assert!(refused.ends_with("is a link to a file that is not there"), "{refused}");
    }

    #[test]
    fn of_several_who_change_the_same_file_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meters.csv");
        for before in [None, Some("before")] {
            if let Some(before) = before {
                fs::write(&file, before).unwrap();
            }
            let all: Vec<_> = (0..8).map(|_| InForce::read(&file).unwrap()).collect();
            let done: Vec<_> = std::thread::scope(|scope| {
                let write = |(n, list): (usize, InForce)| {
                    let folder = folder.path();
                    scope.spawn(move || list.replace(&n.to_string(), folder).map(|()| n))
                };
                let threads: Vec<_> = all.into_iter().enumerate().map(write).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let won: Vec<_> = done.iter().filter_map(|done| done.as_ref().ok()).collect();
            assert_eq!(won.len(), 1, "{done:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), won[0].to_string());
            assert!(
                done.iter().all(|done| !done.as_ref().is_err_and(|said| !said.contains("somebody else")))
            );
        }
        assert_eq!(fs::read_to_string(folder.path().join("meters.csv.former")).unwrap(), "before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else stays");
    }

    #[test]
    fn what_somebody_else_has_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meters.csv");
        fs::write(&file, "id\n1\n").unwrap();
        let planned = InForce::read(&file).unwrap();
        assert_eq!(planned.list(&[]).unwrap().len(), 1);
        fs::write(&file, "theirs").unwrap();
        let refused = planned.replace("ours", folder.path()).unwrap_err();
        assert!(refused.contains("nothing was written"), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        fs::remove_file(&file).unwrap();
        assert!(planned.replace("ours", folder.path()).is_err(), "gone is changed, too");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
