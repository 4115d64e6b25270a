//! `vesigate keys` as typed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vesigate::halves::control::{Answer, listen};
use vesigate::halves::questions::{KeysAdded, OfCollect};

const KEY: &str = "000102030405060708090A0B0C0D0E0F";

/// A gateway's folder with a configuration file in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // Sockets of its own: a gateway that runs on this machine is not to be asked.
    let config = format!(
        "[status]\nsockets = {:?}\n[keys]\nfile = {:?}\nseal_file = {:?}\n",
        path("run"),
        path("keyring"),
        path("seal.key")
    );
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

/// A command that somebody types at a terminal.
struct Typed {
    child: std::process::Child,
    terminal: File,
    says: std::sync::mpsc::Receiver<Vec<u8>>,
    seen: String,
    answered: usize,
}

impl Typed {
    fn begin(folder: &Path, arguments: &[&str]) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vesigate"));
        command.arg("keys").args(arguments).arg("--config").arg(folder.join("vesigate.toml"));
        command.env_remove("CREDENTIALS_DIRECTORY");
        command.stdin(terminal()).stdout(terminal()).stderr(terminal());
        let child = command.spawn().unwrap();
        let terminal = File::from(master);
        // Read on a thread of its own, so that silence fails the test instead of stopping it.
        let mut from = terminal.try_clone().unwrap();
        let (said, says) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut some = [0; 512];
            while let Ok(read) = from.read(&mut some) {
                if said.send(some[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, terminal, says, seen: String::new(), answered: 0 }
    }

    /// Waits until it says this, behind what was waited for before.
    fn says(&mut self, words: &str) {
        self.answered = loop {
            if let Some(at) = self.seen[self.answered..].find(words) {
                break self.answered + at + words.len();
            }
            match self.says.recv_timeout(Duration::from_secs(30)) {
                Ok(some) => self.seen += &String::from_utf8_lossy(&some),
                Err(error) => {
                    self.child.kill().unwrap();
                    panic!("{error} after:\n{}", self.seen);
                }
            }
        };
    }

    fn answer(&mut self, answer: &str) {
        self.terminal.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
}

#[test]
fn a_password_is_asked_for_without_showing_it_and_again_when_it_is_wrong() {
    let folder = folder();
    let (file, _) = sample(folder.path(), "kem1-download.zip.kem", "");
    let mut import = Typed::begin(folder.path(), &["import", &file]);
    import.says("(not shown): ");
    import.answer("not-this-one");
    import.says("Try again");
    import.says("(not shown): ");
    import.answer("Sample-Pass1");
    import.says("[y/N] ");
    import.answer("y");
    let Typed { mut child, seen, .. } = import;
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(!seen.contains("not-this-one") && !seen.contains("Sample-Pass1"), "{seen}");
    assert!(stdout(&keys(folder.path(), &["list"]).assert().code(0)).contains("KAM.12345678"));
}

#[test]
fn what_is_changed_while_an_import_waits_for_consent_is_kept() {
    let folder = folder();
    let (file, password) = sample(folder.path(), "kem1-download.zip.kem", "Sample-Pass1");
    keys(folder.path(), &["add", "76348798"]).write_stdin(KEY).assert().code(0);
    let mut import = Typed::begin(folder.path(), &["import", &file, "--password-file", &password]);
    import.says("[y/N] ");
    keys(folder.path(), &["add", "76348799"]).write_stdin(KEY).assert().code(0);
    keys(folder.path(), &["remove", "76348798"]).assert().code(0);
    import.answer("y");
    assert!(import.child.wait().unwrap().success(), "{}", import.seen);
    let listed = stdout(&keys(folder.path(), &["list"]).assert().code(0));
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["76348799", "KAM.10000001", "KAM.12345678"]);
}

#[test]
fn many_at_a_time_lose_no_key() {
    let folder = folder();
    std::thread::scope(|scope| {
        for meter in 10_000_000..10_000_006 {
            let folder = folder.path();
            scope.spawn(move || {
                keys(folder, &["add", &meter.to_string()]).write_stdin(KEY).assert().code(0);
            });
        }
    });
    assert_eq!(stdout(&keys(folder.path(), &["list"]).assert().code(0)).lines().count(), 6);
}

#[test]
fn who_only_looks_and_who_says_no_makes_nothing() {
    let folder = folder();
    let (file, password) = sample(folder.path(), "kem1-download.zip.kem", "Sample-Pass1");
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = count();
    assert_eq!(stdout(&keys(folder.path(), &["list"]).assert().code(0)), "");
    keys(folder.path(), &["remove", "76348798"]).assert().code(2);
    let mut import = Typed::begin(folder.path(), &["import", &file, "--password-file", &password]);
    import.says("[y/N] ");
    import.answer("n");
    assert_eq!(import.child.wait().unwrap().code(), Some(1), "{}", import.seen);
    assert_eq!(count(), before);
}

/// The receiving half, as far as it is asked; `answer` says what to each question.
fn half(
    folder: &Path,
    answer: impl Fn(OfCollect) -> Option<Answer> + Send + 'static,
) -> (tokio::runtime::Runtime, CancellationToken) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let in_it = runtime.enter();
    let mut asked = listen::<OfCollect>(&folder.join("run/collect/control.sock"), stop.clone()).unwrap();
    drop(in_it);
    runtime.spawn(async move {
        while let Some((question, to)) = asked.recv().await {
            // Without an answer it is one that stops.
            if let Some(answer) = answer(question) {
                let _ = to.send(answer);
            }
        }
    });
    (runtime, stop)
}

#[test]
fn a_change_without_an_answer_may_have_been_made_and_one_that_is_refused_has_not() {
    let folder = folder();
    let _half = half(folder.path(), |question| match question {
        OfCollect::KeysCompare { .. } => Some(Answer::of(&[(); 0])),
        OfCollect::KeysAdd { .. } => None,
        OfCollect::KeysRemove { meters } if meters == ["76348799"] => {
            Some(Answer::Later("it takes too long".to_owned()))
        }
        _ => Some(Answer::Refused("there is no such key".to_owned())),
    });
    let says = |arguments: &[&str]| {
        let assert = keys(folder.path(), arguments).write_stdin(KEY).assert().code(2);
        let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        error.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let unsure = "may have been done all the same; look with \"vesigate keys list\"";
    let stopped = says(&["add", "76348799"]);
    assert!(stopped.contains("it is stopping") && stopped.contains(unsure), "{stopped}");
    let late = says(&["remove", "76348799"]);
    assert!(late.contains("it takes too long") && late.contains(unsure), "{late}");
    let refused = says(&["remove", "76348798"]);
    assert!(refused.ends_with("there is no such key"), "{refused}");
}

#[test]
fn a_gateway_that_is_started_while_an_import_waits_is_asked_to_do_it() {
    let folder = folder();
    let (file, password) = sample(folder.path(), "kem1-download.zip.kem", "Sample-Pass1");
    let mut import = Typed::begin(folder.path(), &["import", &file, "--password-file", &password]);
    import.says("[y/N] ");
    let (given, got) = std::sync::mpsc::channel();
    let _half = half(folder.path(), move |question| match question {
        OfCollect::KeysAdd { keys } => {
            given.send(keys.into_iter().map(|key| key.meter).collect::<Vec<_>>()).unwrap();
            Some(Answer::of(&KeysAdded { added: 2, same: 0, replaced: 0 }))
        }
        _ => Some(Answer::Refused("not asked for".to_owned())),
    });
    import.answer("y");
    import.says("They are in force now");
    assert!(import.child.wait().unwrap().success(), "{}", import.seen);
    assert_eq!(got.try_recv().unwrap(), ["KAM.10000001", "KAM.12345678"]);
    assert!(!folder.path().join("keyring").exists());
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
