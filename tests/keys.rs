//! `vesigate keys` as typed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

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
