//! After all of it no meter key is found anywhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
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
    let keys: Vec<[u8; 16]> = town.residents().iter().map(|one| *one.meter.cipher().key().bytes()).collect();
    // The keys once more, through the socket of the running half.
    let table = town.keys_csv();
    let names: Vec<String> =
        table.lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned()).collect();
    site.add_keys(&table).await;
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
    for (name, content) in places.iter().filter(|(name, _)| name.ends_with(".log") || name == "collect.db") {
        assert_eq!(count(content, b"salainen"), 0, "an address in {name}");
    }
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
