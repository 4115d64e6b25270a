//! Disks and databases that fail: a clear problem, nothing lost that could be kept, and on it goes by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::chance::Chance;
use hil_tests::clock::START;
use hil_tests::portal::Records;
use hil_tests::store::Store;
use hil_tests::{Air, Broker, Gateway, Half, Portal, SOON, Site, SmtpServer, until};
use messages::batch::Stream;
use serde_json::Value;

const CONTACT: &str = "[[contact]]\nname = \"on-call\"\nemail = \"aino@example.fi\"\n";
const ALARM: &str = "[alarm]\nleak = { after = \"0 s\" }\n";
const LONG: Duration = Duration::from_secs(90);

/// A gateway whose data lie on a file system of their own, 1 MB large, that nobody else sees.
struct SmallDisk {
    site: Site,
    broker: Broker,
    portal: Portal,
    post: SmtpServer,
    gateway: Gateway,
}

impl SmallDisk {
    /// `None`, and a line that says why, where that is not permitted.
    async fn new(town: &Town) -> Option<Self> {
        if !may_mount() {
            return None;
        }
        let (broker, post) = (Broker::start().await, SmtpServer::start());
        let portal = Portal::connect(&broker);
        portal.listens().await;
        let site = Site::fast(300);
        let keys = format!(
            "[keys]\nfile = \"{}\"\nseal_file = \"{}\"\n",
            site.path("keyring").display(),
            site.path("seal").display()
        );
        site.settle(town, &[&broker.uplink(""), &post.mail_section(""), ALARM, CONTACT, &keys]).await;
        let data = site.data().display().to_string();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\"";
        let gateway =
            Gateway::spawn_through(&site, Half::Both, &["unshare", "--mount", "sh", "-c", script, &data]);
        Some(Self { site, broker, portal, post, gateway: gateway.ready().await })
    }

    /// A path below the data folder, as the gateway sees it.
    fn inside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.gateway.pid()));
        root.join(self.site.data().join(name).strip_prefix("/").unwrap())
    }

    async fn all_rows_arrive(self, air: Air) {
        // The next full hour passes on the mended disk.
        self.site.clock().pass(70 * 60).await;
        air.stop().await;
        // SQLite would resolve the path to one outside: a copy can be read.
        let (inside, copied) = (self.inside("collect/store"), self.site.path("copied"));
        let rows = until("the store", SOON, async || {
            copy(&inside, &copied);
            Store::open(&copied.join("collect.db"))
        });
        let rows = rows.await.rows();
        assert!(!rows.is_empty());
        self.portal
            .has_within(LONG, "all rows", |records| {
                rows.keys().all(|key| records.rows().contains_key(key)).then_some(())
            })
            .await;
        assert!(self.portal.records().breaches.is_empty(), "{:?}", self.portal.records());
        assert!(self.gateway.stop().await.success());
        drop(self.broker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_alarms_still_go_out_and_rows_wait() {
    let mut town = Town::new(4, 6, START * 1000);
    town.add(0, Event::new(Trouble::Leak, START + 15 * 60, i64::MAX).told_at_once());
    let Some(small) = SmallDisk::new(&town).await else { return };
    let air = small.site.play(town);
    let mut filler = fs::File::create(small.inside("filler")).unwrap();
    while filler.write_all(&[1; 512]).is_ok() {}
    let text = small.gateway.has_problem("collect", "disk_full").await;
    assert!(!text.is_empty());
    small.post.receives(1, LONG).await;
    drop(filler);
    fs::remove_file(small.inside("filler")).unwrap();
    small.gateway.is_free_of("collect", "disk_full").await;
    small.all_rows_arrive(air).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_read_only_disk_alarms_still_go_out_and_rows_wait() {
    if !may_mount() {
        return;
    }
    let (broker, post) = (Broker::start().await, SmtpServer::start());
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(300);
    let mut town = Town::new(4, 6, START * 1000);
    town.add(0, Event::new(Trouble::Leak, START + 10 * 60, i64::MAX).told_at_once());
    site.settle(&town, &[&broker.uplink(""), &post.mail_section(""), ALARM, CONTACT]).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    assert!(Gateway::start(&site, Half::Collect).await.stop().await.success());
    let data = site.data().display().to_string();
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let collect =
        Gateway::spawn_through(&site, Half::Collect, &["unshare", "--mount", "sh", "-c", script, &data]);
    let collect = collect.ready().await;
    let air = site.play(town);
    collect.has_problem("collect", "disk_read_only").await;
    post.receives(1, LONG).await;
    // Rows go out, too, from memory; nothing of them is stored here.
    let from_memory = |records: &Records| (records.from_memory(Stream::Readings) > 0).then_some(());
    portal.has_within(LONG, "rows from memory", from_memory).await;
    let pid = collect.pid().to_string();
    let mut mount = Command::new("nsenter");
    mount.args(["--target", &pid, "--mount", "mount", "-o", "remount,rw,bind", &data]);
    assert!(mount.status().unwrap().success());
    collect.is_free_of("collect", "disk_read_only").await;
    site.clock().pass(70 * 60).await;
    air.stop().await;
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    assert!(!rows.is_empty());
    portal
        .has_within(LONG, "all rows", |records| {
            rows.keys().all(|key| records.rows().contains_key(key)).then_some(())
        })
        .await;
    assert!(portal.records().breaches.is_empty(), "{:?}", portal.records());
    assert!(deliver.stop().await.success());
}

fn may_mount() -> bool {
    let permitted = Command::new("unshare").args(["--mount", "true"]).status();
    let permitted = permitted.is_ok_and(|status| status.success());
    if !permitted {
        hil_tests::skip("no mount namespaces here: unshare --mount is not permitted");
    }
    permitted
}

/// What is done to a database file.
struct Damage {
    what: &'static str,
    done: fn(&Path, &mut Chance),
    /// Also a running gateway notices it for sure. Pages that it has in its memory or in its log it may mend unseen.
    shows: bool,
}

const DAMAGES: [Damage; 5] = [
    Damage {
        what: "bits are flipped",
        done: |file, chance| {
            let mut bytes = fs::read(file).unwrap();
            // Some in every page and in every block: it does not take luck to find them.
            for part in bytes.chunks_mut(256) {
                let at = usize::try_from(chance.below(u64::try_from(part.len()).unwrap())).unwrap();
                part[at] ^= 1 << chance.below(8);
            }
            fs::write(file, bytes).unwrap();
        },
        shows: false,
    },
    Damage {
        what: "the head is overwritten",
        done: |file, _| {
            let mut bytes = fs::read(file).unwrap();
            bytes[..100].fill(0xFF);
            fs::write(file, bytes).unwrap();
        },
        shows: false,
    },
    Damage {
        what: "it is cut short",
        done: |file, _| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        },
        shows: true,
    },
    Damage { what: "it is emptied", done: |file, _| fs::write(file, b"").unwrap(), shows: true },
    Damage { what: "it is deleted", done: |file, _| fs::remove_file(file).unwrap(), shows: true },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_found_damaged_is_set_aside_and_readings_go_on() {
    each_damage(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_damaged_under_the_running_gateway_is_set_aside_once_that_shows_and_readings_go_on() {
    each_damage(true).await;
}

/// All at once, each at a place of its own: they wait for virtual hours.
async fn each_damage(running: bool) {
    let [a, b, c, d, e] = DAMAGES.map(|damage| async move {
        let mut chance = Chance::from_environment(damage.what);
        damaged(&damage, running, &mut chance).await;
    });
    tokio::join!(a, b, c, d, e);
}

async fn damaged(Damage { what, done, shows }: &Damage, running: bool, chance: &mut Chance) {
    eprintln!("{what}");
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(600);
    let town = Town::new(4, 6, START * 1000);
    site.settle(&town, &[&broker.uplink("")]).await;
    let mut collect = Gateway::start(&site, Half::Collect).await;
    let deliver = Gateway::start(&site, Half::Deliver).await;
    let air = site.play(town);
    let two_hours = |records: &Records| (records.rows().len() >= 8).then(|| records.rows().clone());
    let before = portal.has_within(LONG, "rows of two hours", two_hours).await;
    if running {
        done(&site.collect_db(), chance);
    } else {
        assert!(collect.stop().await.success());
        done(&site.collect_db(), chance);
        collect = Gateway::start(&site, Half::Collect).await;
    }
    let more = |records: &Records| (records.rows().len() >= before.len() + 8).then_some(());
    portal.has_within(LONG, "rows of the hours after the damage", more).await;
    if *shows || !running {
        let begun = |status: &Value| status["problems_begun"]["store_damaged"].as_u64() >= Some(1);
        collect.reports("collect", "that its store was damaged", begun).await;
        assert!(site.data().join("collect/store.damaged-1").is_dir(), "{what}: it is not set aside");
        let two = |records: &Records| (records.epochs(Stream::Readings).len() == 2).then_some(());
        portal.has_within(LONG, "another numbering", two).await;
    }
    air.stop().await;
    {
        let records = portal.records();
        assert!(records.breaches.is_empty(), "{what}: {records:?}");
        // The last hour may still have been growing.
        let newest = before.keys().map(|(_, boundary)| *boundary).max().unwrap();
        let full = before.iter().filter(|((_, boundary), _)| *boundary < newest);
        for (key, row) in full {
            assert_eq!(records.rows().get(key), Some(row), "{what}: a row from before is another one");
        }
    }
    assert!(collect.is_running());
    assert!(collect.stop().await.success());
    assert!(deliver.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_begins_a_new_numbering_and_loses_nothing() {
    restored(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restored_under_a_running_delivering_half_begins_a_new_numbering_and_loses_nothing() {
    restored(false).await;
}

async fn restored(deliver_too: bool) {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let site = Site::fast(600);
    let town = Town::new(4, 6, START * 1000);
    site.settle(&town, &[&broker.uplink("")]).await;
    let collect = Gateway::start(&site, Half::Collect).await;
    let mut deliver = Gateway::start(&site, Half::Deliver).await;
    let air = site.play(town);
    portal.has_within(LONG, "rows of two hours", |records| (records.rows().len() >= 8).then_some(())).await;
    assert!(collect.stop().await.success());
    let backup = site.path("backup");
    let store = site.collect_db().parent().unwrap().to_owned();
    copy(&store, &backup);
    let collect = Gateway::start(&site, Half::Collect).await;
    let old = Store::open(&site.collect_db()).unwrap().epoch().unwrap();
    let head = Store::open(&site.collect_db()).unwrap().head(Stream::Readings);
    portal
        .has_within(LONG, "batches after the backup", |records| {
            (records.cursor(Stream::Readings, old) > head).then_some(())
        })
        .await;
    assert!(collect.stop().await.success());
    fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    if deliver_too {
        deliver.kill().await;
        deliver = Gateway::start(&site, Half::Deliver).await;
    }
    let collect = Gateway::start(&site, Half::Collect).await;
    portal
        .has_within(LONG, "another numbering", |records| {
            (records.epochs(Stream::Readings).len() == 2).then_some(())
        })
        .await;
    air.stop().await;
    assert!(collect.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    portal
        .has_within(LONG, "all rows", |records| {
            rows.keys().all(|key| records.rows().contains_key(key)).then_some(())
        })
        .await;
    // Under the old numbering the restored store may have written other content before it knew; the portal tells.
    assert!(deliver.stop().await.success());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
