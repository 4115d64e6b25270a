//! `vesigate keys` as typed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

const KEY: &str = "000102030405060708090A0B0C0D0E0F";

/// A gateway's folder with a configuration file in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = format!("[keys]\nfile = {:?}\nseal_file = {:?}\n", path("keyring"), path("seal.key"));
    std::fs::write(folder.path().join("vesigate.toml"), config).unwrap();
    folder
}

fn keys(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vesigate"));
    command.arg("keys").args(arguments).arg("--config").arg(folder.join("vesigate.toml"));
    command.env_remove("CREDENTIALS_DIRECTORY");
    command
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

#[test]
fn a_key_is_added_listed_without_being_shown_and_sealed_at_rest() {
    let folder = folder();
    let added = keys(folder.path(), &["add", "76348799"]).write_stdin(format!("{KEY}\n")).assert().code(0);
    assert_eq!(stdout(&added), "76348799: added\n");
    let again = keys(folder.path(), &["add", "76348799"]).write_stdin(KEY).assert().code(0);
    assert_eq!(stdout(&again), "76348799: there already\n");
    let listed = stdout(&keys(folder.path(), &["list", "--json"]).assert().code(0));
    let line: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(line["meter"], "76348799");
    assert!(!listed.contains(KEY));
    let sealed = std::fs::read(folder.path().join("keyring")).unwrap();
    let raw: Vec<u8> = (0..16).collect();
    assert!(!sealed.windows(16).any(|window| window == raw), "not in the clear");
}

#[test]
fn a_table_is_added_and_bad_rows_are_named_without_their_keys() {
    let folder = folder();
    let table = folder.path().join("keys.csv");
    std::fs::write(&table, format!("id,key\n76348799,{KEY}\n12345678,{KEY}FF\n")).unwrap();
    let table = table.display().to_string();
    let assert = keys(folder.path(), &["add", "--file", &table]).assert().code(1);
    assert_eq!(stdout(&assert), "1 added, 0 replaced, 0 there already, 1 refused\n");
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains("line 3") && !error.contains(KEY), "{error}");
}

/// A copy of a sample, and a file with its password.
fn sample(folder: &Path, name: &str, password: &str) -> (String, String) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keyring/samples").join(name);
    let (file, secret) = (folder.join(name), folder.join("password"));
    std::fs::copy(from, &file).unwrap();
    std::fs::write(&secret, format!("{password}\n")).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (file.display().to_string(), secret.display().to_string())
}

#[test]
fn a_key_file_is_shown_and_imported_whole_and_the_second_time_nothing_is_new() {
    let folder = folder();
    let (file, password) = sample(folder.path(), "kem2-download.zip.kem2", "Prøve-2-Sixteen");
    let import = |more: &[&str]| {
        keys(folder.path(), &[&["import", &file, "--password-file", &password], more].concat()).assert()
    };
    let unasked = import(&[]).code(2);
    assert!(stdout(&unasked).contains("2 new, 0 changed, 0 the same, 0 refused"));
    assert_eq!(stdout(&keys(folder.path(), &["list"]).assert().code(0)), "", "nothing without consent");
    assert!(stdout(&import(&["--yes"]).code(0)).contains("Imported: 2 new, 0 changed."));
    assert!(stdout(&import(&["--yes"]).code(0)).contains("There is nothing to import."));
    keys(folder.path(), &["remove", "KAW.87654321"]).assert().code(0);
    keys(folder.path(), &["add", "KAM.10000002"]).write_stdin(KEY).assert().code(0);
    let shown = stdout(&import(&["--yes"]).code(0));
    assert!(shown.contains("changed   KAM.10000002") && shown.contains("new       KAW.87654321"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80 || line.contains(&file)), "{shown}");
    assert!(!shown.contains("0F0E0D") && !shown.contains("Flat 2"), "neither keys nor customers");
}

#[test]
fn a_wrong_password_a_readable_password_file_and_a_hostile_file_say_what_to_do() {
    let folder = folder();
    let (file, password) = sample(folder.path(), "kem1-inner.kem", "wrong");
    let says = |arguments: &[&str]| {
        let assert = keys(folder.path(), arguments).assert().code(2);
        let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        error.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(says(&["import", &file, "--password-file", &password]).contains("the password is wrong"));
    assert!(says(&["import", &file]).contains("--password-file FILE"), "no terminal to ask on");
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(says(&["import", &file, "--password-file", &password]).contains("lets everybody in"));
    let laughs = "<!DOCTYPE a [<!ENTITY b \"ha\">]><Devices>&b;</Devices>";
    std::fs::write(&file, laughs).unwrap();
    assert!(says(&["import", &file]).contains("document type (DTD)"));
    assert!(says(&["import", &format!("{file}.not-there")]).contains("is not there: check its name"));
}

#[test]
fn a_password_is_asked_for_without_showing_it_and_again_when_it_is_wrong() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let folder = folder();
    let (file, _) = sample(folder.path(), "kem1-download.zip.kem", "");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vesigate"));
    command.args(["keys", "import", &file, "--config"]).arg(folder.path().join("vesigate.toml"));
    command.stdin(terminal()).stdout(terminal()).stderr(terminal());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut master = File::from(master);
    // Read on a thread of its own, so that silence fails the test instead of stopping it.
    let mut from = master.try_clone().unwrap();
    let (said, says) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut some = [0; 512];
        while let Ok(read) = from.read(&mut some) {
            if said.send(some[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    let (mut seen, mut answered) = (String::new(), 0);
    for (question, answer) in [
        ("(not shown): ", "not-this-one"),
        ("Try again", ""),
        ("(not shown): ", "Sample-Pass1"),
        ("[y/N] ", "y"),
    ] {
        let end = loop {
            if let Some(at) = seen[answered..].find(question) {
                break answered + at + question.len();
            }
            match says.recv_timeout(Duration::from_secs(30)) {
                Ok(some) => seen += &String::from_utf8_lossy(&some),
                Err(error) => {
                    child.kill().unwrap();
                    panic!("{error} after:\n{seen}");
                }
            }
        };
        answered = end;
        if !answer.is_empty() {
            master.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
    }
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(!seen.contains("not-this-one") && !seen.contains("Sample-Pass1"), "{seen}");
    assert!(stdout(&keys(folder.path(), &["list"]).assert().code(0)).contains("KAM.12345678"));
}

#[test]
fn recorded_frames_tell_which_key_opens_them() {
    let folder = folder();
    let frames = folder.path().join("frames.txt");
    // A made-up flowIQ telegram of meter 87654321.
    let frame = "3444372C214365873C168D2011016A18205CD1F17A423BE1F423AA98F3494B8AF762452A124EED16ED2578E3BEBD0079430567E456";
    std::fs::write(&frames, format!("# a comment\n0 {frame} -71\n")).unwrap();
    let frames = frames.display().to_string();
    let test = ["test", "--json", "--frames", &frames];
    assert!(stdout(&keys(folder.path(), &test).assert().code(1)).contains("\"no_key\""));
    keys(folder.path(), &["add", "KAW.87654321"]).write_stdin(KEY).assert().code(0);
    assert!(stdout(&keys(folder.path(), &test).assert().code(0)).contains("\"opens\""));
    keys(folder.path(), &["test"]).assert().code(2);
}

#[test]
fn a_key_is_sealed_without_any_configuration() {
    let folder = folder();
    std::fs::remove_file(folder.path().join("vesigate.toml")).unwrap();
    let secret = messages::seal::SecretKey::from_bytes([7; 32]);
    let to = secret.public().to_string();
    let seal = |meter: &str| keys(folder.path(), &["seal", "--to", &to, meter]).write_stdin(KEY).assert();
    let line: serde_json::Value = serde_json::from_str(&stdout(&seal("KAM.76348799.1B.16").code(0))).unwrap();
    let sealed: messages::seal::SealedBox = serde_json::from_value(line["key"].clone()).unwrap();
    let key = sealed.open_key("KAM.76348799.1B.16".parse().unwrap(), &secret).unwrap();
    assert_eq!(key.as_slice(), (0..16).collect::<Vec<u8>>());
    seal("76348799").code(2);
}

#[test]
fn what_root_does_while_the_gateway_stands_still_stays_the_services() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let folder = folder();
    // Only root can give files away.
    if chown(folder.path(), Some(65_534), Some(65_534)).is_err() {
        return;
    }
    for meter in ["76348799", "76348800"] {
        keys(folder.path(), &["add", meter]).write_stdin(KEY).assert().code(0);
        for name in ["keyring", "seal.key"] {
            let about = std::fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (65_534, 65_534, 0o600), "{name}");
        }
    }
}

#[test]
fn a_lost_seal_key_is_told_and_never_made_anew() {
    let folder = folder();
    keys(folder.path(), &["add", "76348799"]).write_stdin(KEY).assert().code(0);
    std::fs::remove_file(folder.path().join("seal.key")).unwrap();
    let assert = keys(folder.path(), &["list"]).assert().code(2);
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("seal.key"));
    assert!(!folder.path().join("seal.key").exists());
}

#[test]
fn every_problem_of_the_configuration_is_told() {
    let folder = folder();
    std::fs::write(folder.path().join("vesigate.toml"), "[keys]\nfiel = \"x\"\n[uplink]\nport = 0\n")
        .unwrap();
    let assert = keys(folder.path(), &["list"]).assert().code(2);
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains("vesigate.toml:2:") && error.contains("vesigate.toml:4:"), "{error}");
}
