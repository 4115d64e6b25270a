//! After all of it no meter key is found anywhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::memory::{self, count, forms};
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Portal, Site, SmtpServer};
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_address_lies_where_it_must_not() {
    let (broker, post) = (Broker::start().await, SmtpServer::start());
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mut site = Site::fast(100);
    site.log_level = "trace".to_owned();
    let mut town = Town::new(6, 9, START * 1000);
    let contact = "[[contact]]\nname = \"on-call\"\nemail = \"aino.salainen@example.fi\"\n";
    let sections =
        [&broker.uplink(""), &post.mail_section(""), "[alarm]\nleak = { after = \"1 min\" }\n", contact];
    site.settle(&town, &sections).await;
    // Started with core dumps allowed, as far as this user may.
    let collect = Gateway::spawn_through(&site, Half::Collect, &DUMPS_ALLOWED).ready().await;
    let deliver = Gateway::spawn_through(&site, Half::Deliver, &DUMPS_ALLOWED).ready().await;
    let mut keys: Vec<[u8; 16]> =
        town.residents().iter().map(|one| *one.meter.cipher().key().bytes()).collect();
    // The keys once more, through the socket of the running half.
    let table = town.keys_csv();
    let mut names: Vec<String> =
        table.lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned()).collect();
    site.add_keys(&table).await;
    // Others from key files, one of them encrypted, and one that the utility has sealed.
    import(&site).await;
    seal(&site, &collect).await;
    keys.extend(
        [IMPORTED, OF_THE_SAMPLE, SEALED].map(|key| u128::from_str_radix(key, 16).unwrap().to_be_bytes()),
    );
    names.extend(["KAM.70000001", "KAM.10000001", "KAM.12345678", SEALED_FOR].map(str::to_owned));
    town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
    let air = site.play(town);
    post.receives(1, 2 * hil_tests::SOON).await;
    site.clock().reach(START + 15 * 60).await;
    // Asked in every way, and with a key that is refused.
    site.status().await;
    site.vesigate(&["keys", "list"]).await;
    site.vesigate(&["keys", "test"]).await;
    collect
        .ask("collect", &serde_json::json!({"do": "keys_add", "keys": [{"meter": "x", "key": "zz"}]}))
        .await;
    air.stop().await;

    // Deliver holds none; collect holds them as keys, and nothing of the lines that brought them.
    let of_deliver = memory::of(deliver.pid()).expect("the memory of a process can be read by root only");
    let of_collect = memory::of(collect.pid()).unwrap();
    let found = |places: &[(String, Vec<u8>)], needle: &[u8]| -> usize {
        places.iter().map(|(_, content)| count(content, needle)).sum()
    };
    for key in &keys {
        for (form, needle) in forms(key) {
            assert_eq!(found(&of_deliver, &needle), 0, "a key in deliver's memory, {form}");
            match form {
                "raw" => assert!(found(&of_collect, &needle) > 0, "the search finds nothing at all"),
                _ => assert_eq!(found(&of_collect, &needle), 0, "a key in collect's memory, {form}"),
            }
        }
    }
    // What opens all that is sealed, the half that talks to the network has not; nobody has the key file's password.
    let own: Vec<(&str, Vec<u8>)> =
        ["seal", "collect"].map(|name| (name, fs::read(site.data().join("keys").join(name)).unwrap())).into();
    for (name, secret) in &own {
        assert_eq!(secret.len(), 32);
        for (form, needle) in forms(secret) {
            assert_eq!(found(&of_deliver, &needle), 0, "the key {name} in deliver's memory, {form}");
        }
    }
    for (half, memory) in [("deliver", &of_deliver), ("collect", &of_collect)] {
        assert_eq!(found(memory, PASSWORD.as_bytes()), 0, "the password in the memory of {half}");
    }
    drop(of_collect);

    // Keys that are removed are gone from memory, too.
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(site.vesigate(&[&["keys", "remove"], names.as_slice()].concat()).await.status.success());
    let of_collect = memory::of(collect.pid()).unwrap();
    for key in &keys {
        let left: Vec<_> = of_collect.iter().filter(|(_, content)| count(content, key) > 0).collect();
        let left: Vec<_> = left.iter().map(|(map, _)| map).collect();
        assert!(left.is_empty(), "a removed key is left in {left:?}");
    }
    site.add_keys(&table).await;

    // A crash with the keys in memory leaves no dump, where one of another program does.
    if !leaves_a_dump(&site.path("control")) {
        eprintln!("this machine writes no core dumps into the working folder: only the limits are looked at");
    }
    for gateway in [&collect, &deliver] {
        let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    }
    let pid = collect.pid();
    collect.signal(Signal::ABORT);
    assert!(!collect.end().await.success());
    assert!(deliver.stop().await.success());
    for folder in [Path::new("."), Path::new("/"), &site.path("")] {
        let dumps = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let dumps: Vec<_> = dumps.filter(|name| is_dump(&name.to_string_lossy(), pid)).collect();
        assert!(dumps.is_empty(), "dumps in {}: {dumps:?}", folder.display());
    }

    let mut places = Vec::new();
    files(&site.path(""), &mut places);
    let metadata = places.len();
    for (name, db) in [("collect.db", site.collect_db()), ("deliver.db", site.deliver_db())] {
        let contents = Store::open(&db).unwrap().everything();
        places.extend(contents.into_iter().map(|content| (name.to_owned(), content)));
    }
    places.push(("the broker's log".to_owned(), broker.log().into_bytes()));
    assert!(metadata > 5 && places.len() > metadata + 5);
    assert!(places.iter().any(|(name, content)| name.ends_with(".log") && content.len() > 100));
    for key in keys {
        for (form, needle) in forms(&key) {
            for (name, content) in &places {
                assert_eq!(count(content, &needle), 0, "a key in {name}, {form}");
            }
        }
    }
    for (whose, secret) in own {
        let itself = site.data().join("keys").join(whose).display().to_string();
        assert!(places.iter().any(|(name, _)| *name == itself), "the search finds nothing at all");
        for (form, needle) in forms(&secret) {
            for (name, content) in places.iter().filter(|(name, _)| *name != itself) {
                assert_eq!(count(content, &needle), 0, "the key {whose} in {name}, {form}");
            }
        }
    }
    for (name, content) in &places {
        assert_eq!(count(content, PASSWORD.as_bytes()), 0, "the key file's password in {name}");
    }
    for (name, content) in places.iter().filter(|(name, _)| name.ends_with(".log") || name == "collect.db") {
        assert_eq!(count(content, b"salainen"), 0, "an address in {name}");
    }
}

const IMPORTED: &str = "3B9F0C51D8E2467A95B4C7031FEA682D";
/// One of the two in the sample.
const OF_THE_SAMPLE: &str = "00112233445566778899AABBCCDDEEFF";
const PASSWORD: &str = "Sample-Pass1";
const SEALED: &str = "C417A8E05D3B92F6708E1DA4396BF25C";
const SEALED_FOR: &str = "KAM.70000002.1B.16";

/// Imports key files, which do not stay.
async fn import(site: &Site) {
    let (file, password) = (site.path("keys.kem"), site.path("password"));
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
    let sample = "../src/keyring/samples/kem1-download.zip.kem";
    let sample = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(sample)).unwrap();
    let plain = format!(
        "<MetersInOrder><Meter><SerialNo>70000001</SerialNo><VendorId>KAM</VendorId><DEK>{IMPORTED}</DEK></Meter></MetersInOrder>"
    );
    for content in [sample, plain.into_bytes()] {
        fs::write(&file, content).unwrap();
        let (file, password) = (file.to_str().unwrap(), password.to_str().unwrap());
        let done = site.vesigate(&["keys", "import", file, "--password-file", password, "--yes"]).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    fs::remove_file(file).unwrap();
    fs::remove_file(password).unwrap();
}

/// Hands a key over as deliver does.
async fn seal(site: &Site, collect: &Gateway) {
    let to = collect.status().await.unwrap()["collect_key"].as_str().unwrap().to_owned();
    let table = site.path("sealed.csv");
    fs::write(&table, format!("id,key\n{SEALED_FOR},{SEALED}\n")).unwrap();
    let sealed = site.vesigate(&["keys", "seal", "--to", &to, "--file", table.to_str().unwrap()]).await;
    fs::remove_file(table).unwrap();
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    let line: serde_json::Value = serde_json::from_slice(&sealed.stdout).unwrap();
    let question = serde_json::json!({"do": "meter_key", "meter": line["meter"], "sealed": line["key"]});
    let answer = collect.ask("collect", &question).await.unwrap();
    assert!(answer.get("ok").is_some(), "{answer}");
}

const DUMPS_ALLOWED: [&str; 4] = ["sh", "-c", "ulimit -c $(ulimit -H -c); exec \"$@\"", "sh"];

/// Whether a program that is like ours, but does not mind, leaves a dump.
fn leaves_a_dump(folder: &Path) -> bool {
    fs::create_dir(folder).unwrap();
    let mut command = std::process::Command::new(DUMPS_ALLOWED[0]);
    let mut child = command.args(&DUMPS_ALLOWED[1..]).args(["sh", "-c", "kill -ABRT $$"]);
    child = child.current_dir(folder);
    assert!(!child.status().unwrap().success());
    let dumped = fs::read_dir(folder).unwrap().count() > 0;
    fs::remove_dir_all(folder).unwrap();
    dumped
}

fn is_dump(name: &str, pid: u32) -> bool {
    name == "core" || name == format!("core.{pid}") || name.contains("vesigate") && name.contains("core")
}

fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), into);
        } else if kind.is_file() {
            into.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
}
