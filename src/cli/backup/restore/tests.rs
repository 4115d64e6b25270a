use messages::config::{MeterConfig, Part};

use super::*;
use crate::cli::backup::archive::{Entry, Kind, Manifest};
use crate::keyring::{Keyring, SealKey};
use crate::store::{DeliverReader, DeliverStore};

#[test]
fn a_path_that_climbs_out_of_its_folder_is_not_below_it() {
    let folder = Path::new("/etc/vesigate");
    assert!(is_below(Path::new("/etc/vesigate/meters.csv"), folder));
    for bad in ["/etc/cron.d/x", "/etc/vesigate/../cron.d/x", "/etc/vesigate2/x"] {
        assert!(!is_below(Path::new(bad), folder), "{bad}");
    }
}

/// A machine of its own below a folder, with the accounts of the package.
struct Scene {
    folder: tempfile::TempDir,
    machine: Machine,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("etc")).unwrap();
        let passwd =
            "root:x:0:0::/root:/bin/sh\nvesigate-collect:x:998:997::/:/x\nvesigate-deliver:x:996:997::/:/x\n";
        std::fs::write(at("etc/passwd"), passwd).unwrap();
        std::fs::write(at("etc/group"), "root:x:0:\nvesigate:x:997:\n").unwrap();
        let machine =
            Machine { root: folder.path().to_owned(), data: at("data"), config: at("etc/vesigate") };
        Self { folder, machine }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config_file(&self) -> PathBuf {
        self.at("etc/vesigate/vesigate.toml")
    }

    fn backup(&self, config: &str, more: &[(Kind, PathBuf, &[u8])]) -> PathBuf {
        let mut sources = Vec::new();
        let all = [(Kind::Config, self.config_file(), config.as_bytes())];
        for (number, (kind, path, content)) in all.iter().chain(more).enumerate() {
            let at = self.at(&format!("content{number}"));
            std::fs::write(&at, content).unwrap();
            sources.push(archive::Source { kind: *kind, path: path.clone(), content: at });
        }
        let workshop = self.at("packing");
        std::fs::create_dir(&workshop).unwrap();
        let to = self.at("backup.tar");
        archive::pack(&to, &workshop, Self::manifest(), &sources).unwrap();
        to
    }

    fn manifest() -> Manifest {
        Manifest {
            format: 0,
            vesigate: "0".to_owned(),
            at: messages::Time::from_unix(1_795_603_800).unwrap(),
            gateway: None,
            epochs: Vec::new(),
            with_seal_key: false,
            files: Vec::new(),
        }
    }

    fn restore(&self, backup: &Path, keys: &Keys) -> Result<Report, String> {
        restore(backup, &self.config_file(), keys, &self.machine)
    }

    fn data(&self) -> String {
        format!(
            "[gateway]\ndata_dir = \"{}\"\n[status]\nsockets = \"{0}/run\"\n",
            self.machine.data.display()
        )
    }
}

fn same(seal: Option<PathBuf>) -> Keys {
    Keys { new_machine: false, leave_out: false, seal }
}

#[test]
fn a_backup_does_not_choose_where_on_a_machine_without_configuration_it_writes() {
    let scene = Scene::new();
    let elsewhere = scene.at("elsewhere");
    for (number, config) in [
        format!("[gateway]\ndata_dir = \"{}\"\n", elsewhere.display()),
        format!("{}[keys]\nfile = \"{}/ring\"\n", scene.data(), elsewhere.display()),
        format!("{}[keys]\nseal_file = \"{}/../x\"\n", scene.data(), scene.machine.data.display()),
    ]
    .into_iter()
    .enumerate()
    {
        let backup = scene.backup(&config, &[]);
        let refused = scene.restore(&backup, &same(None)).unwrap_err();
        assert!(refused.contains("wants to write outside of"), "{number}: {refused}");
        std::fs::remove_file(backup).unwrap();
        std::fs::remove_dir_all(scene.at("packing")).unwrap();
    }
    assert!(!elsewhere.exists() && !scene.machine.data.exists() && !scene.config_file().exists());
    let list = elsewhere.join("meters.csv");
    let config = format!("{}[meters]\nfile = \"{}\"\n", scene.data(), list.display());
    let stray = scene.machine.config.join("stray");
    let backup =
        scene.backup(&config, &[(Kind::Named, list.clone(), b"x"), (Kind::Named, stray.clone(), b"x")]);
    let report = scene.restore(&backup, &same(None)).unwrap();
    assert_eq!(report.left_out, [list, stray]);
    assert!(!elsewhere.exists());
    assert_eq!(report.placed, [scene.config_file()]);
}

#[test]
fn a_key_that_is_none_and_a_backup_that_would_fill_the_disk_are_refused() {
    let scene = Scene::new();
    let huge = Entry {
        name: "00-x".to_owned(),
        kind: Kind::Config,
        path: scene.at("x"),
        bytes: 1 << 50,
        sha256: String::new(),
        access: None,
    };
    let mut manifest = Scene::manifest();
    (manifest.format, manifest.files) = (1, vec![huge]);
    let json = serde_json::to_vec(&manifest).unwrap();
    let file = scene.at("huge.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&file).unwrap());
    for (name, content) in [("vesigate-backup.json", json.as_slice()), ("00-x", b"x")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap();
    assert!(scene.restore(&file, &same(None)).unwrap_err().contains("is shorter than what it says"));
    let backup = scene.backup(&scene.data(), &[(Kind::DeliverKey, scene.at("x"), &[7; 33])]);
    assert!(scene.restore(&backup, &same(None)).unwrap_err().contains("is no key"));
    assert!(!scene.machine.data.exists());
    let left = std::fs::read_dir(scene.folder.path()).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".vesigate")));
}

#[test]
fn everything_belongs_to_the_half_that_uses_it_and_the_seal_key_that_was_named_is_in_its_place() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let scene = Scene::new();
    let old = scene.at("old-seal");
    let seal = SealKey::read_or_create(&old).unwrap();
    let ring = scene.at("old-ring");
    Keyring::new().save(&ring, &seal).unwrap();
    let ring = std::fs::read(ring).unwrap();
    let files =
        [(Kind::Keyring, scene.at("r"), ring.as_slice()), (Kind::DeliverKey, scene.at("x"), &[7; 32])];
    let backup = scene.backup(&scene.data(), &files);
    assert!(scene.restore(&backup, &same(None)).unwrap_err().contains("--seal-key"));
    scene.restore(&backup, &same(Some(old.clone()))).unwrap();
    let data = &scene.machine.data;
    assert_eq!(std::fs::read(data.join("keys/seal")).unwrap(), std::fs::read(&old).unwrap());
    let root = rustix::process::geteuid().is_root();
    for (name, mode, user) in [
        ("", 0o755, 0),
        ("keys", 0o700, 998),
        ("keys/seal", 0o600, 998),
        ("keys/keyring", 0o600, 998),
        ("collect", 0o750, 998),
        ("deliver", 0o700, 996),
        ("deliver/key", 0o600, 996),
    ] {
        let about = std::fs::metadata(data.join(name)).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, mode, "{name}");
        // Only root gives files away.
        if root {
            assert_eq!(about.uid(), user, "{name}");
        }
    }
}

#[test]
fn documents_that_the_new_key_cannot_open_are_forgotten_so_that_the_portal_sends_them_again() {
    for has_key in [true, false] {
        let scene = Scene::new();
        let store = scene.at("store");
        let mut deliver = DeliverStore::open(&store).unwrap();
        let document = MeterConfig { version: 4, part: Part::Live { deliver: None, key: None } };
        deliver.set_document("KAM.76348799.1B.16".parse().unwrap(), &document).unwrap();
        let copy = scene.at("copy");
        DeliverReader::open(&store).unwrap().copy(&copy).unwrap();
        let content = std::fs::read(copy).unwrap();
        let mut files = vec![(Kind::DeliverStore, scene.at("d"), content.as_slice())];
        if has_key {
            files.push((Kind::DeliverKey, scene.at("k"), &[7; 32]));
        }
        let backup = scene.backup(&scene.data(), &files);
        scene.restore(&backup, &same(None)).unwrap();
        let restored = DeliverStore::open(&scene.machine.data.join("deliver")).unwrap();
        assert_eq!(restored.documents().unwrap().len(), usize::from(has_key));
    }
}

#[test]
fn a_machine_with_its_seal_key_in_the_credential_store_gets_no_second_one() {
    let scene = Scene::new();
    let old = scene.at("old-seal");
    let seal = SealKey::read_or_create(&old).unwrap();
    Keyring::new().save(&scene.at("old-ring"), &seal).unwrap();
    let ring = std::fs::read(scene.at("old-ring")).unwrap();
    let store = scene.at("etc/credstore/vesigate.seal");
    let own = SealKey::read_or_create(&store).unwrap();
    let backup = scene.backup(&scene.data(), &[(Kind::Keyring, scene.at("r"), &ring)]);
    let keys = Keys { new_machine: true, leave_out: false, seal: Some(old) };
    scene.restore(&backup, &keys).unwrap();
    let keys = scene.machine.data.join("keys");
    assert!(!keys.join("seal").exists());
    Keyring::open(&keys.join("keyring"), &own).unwrap();
}
