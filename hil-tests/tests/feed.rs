//! Feeds: telegrams of chains of programs and of TCP sources, through the real feeder into the real collect.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use emulator::dongle::Mode;
use emulator::town::{Sent, Town};
use hil_tests::clock::START;
use hil_tests::gateway::binary;
use hil_tests::store::Store;
use hil_tests::{Gateway, Half, SOON, Site};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const STRONG: i16 = -58;

/// As `rtl_wmbus` writes it.
fn line(flags: &str, telegram: &[u8]) -> String {
    let hex = telegram.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("C1;{flags};2026-11-25 10:20:30.000;112;97;00000000;0x{hex}\n")
}

/// A chain that writes what tests append to a file, as a chain with a stick writes what is on the air.
fn chain(site: &Site) -> String {
    let file = site.path("air");
    fs::write(&file, "").unwrap();
    format!("tail -n +1 -f {}", file.display())
}

fn say(site: &Site, text: &str) {
    let mut file = fs::File::options().append(true).open(site.path("air")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn section(name: &str, rest: &str) -> String {
    format!("[[feed]]\nname = \"{name}\"\n{rest}\n")
}

/// `vesigate feed`.
struct Feeder {
    child: Child,
    log: std::path::PathBuf,
}

impl Feeder {
    fn start(site: &Site, arguments: &[&str], input: Stdio) -> Self {
        let log = site.path("logs").join(format!("feed-{}.log", arguments[0]));
        let to = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(binary());
        command.arg("feed").args(arguments).arg("--config").arg(site.config()).args(["--log", "debug"]);
        command.env_remove("JOURNAL_STREAM").stdin(input).stdout(to.try_clone().unwrap()).stderr(to);
        Self { child: command.kill_on_drop(true).spawn().unwrap(), log }
    }

    async fn end(&mut self) -> Option<i32> {
        let ended = timeout(SOON, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the feeder does not end:\n{}", self.log())).unwrap().code()
    }

    async fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.end().await
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

fn accepted(status: &Value) -> u64 {
    status["telegrams"]["accepted"].as_u64().unwrap_or_default()
}

fn duplicates(status: &Value) -> u64 {
    status["telegrams"]["duplicates"].as_u64().unwrap_or_default()
}

/// The feed of this name among the receivers.
fn receiver<'a>(status: &'a Value, name: &str) -> &'a Value {
    let receivers = status["receivers"].as_array().unwrap();
    receivers.iter().find(|receiver| receiver["name"] == name).unwrap()
}

async fn dongle_listens(site: &Site) {
    let mut state = site.dongle.state();
    let listens = state.wait_for(|state| state.listening && state.modes.contains(&Mode::C1FormatA));
    timeout(SOON, listens).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_feeds_collect_and_only_good_lines_count() {
    let site = Site::fast(1);
    let mut town = Town::new(3, 2, START * 1000);
    let section = section("roof", &format!("command = \"{}\"", chain(&site)));
    site.settle(&town, &[&section]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    dongle_listens(&site).await;
    let status =
        gateway.reports("collect", "a feed", |status| status["feeds"][0]["connected"] == false).await;
    assert_eq!(receiver(&status, "roof")["state"], "gone");

    let feeder = Feeder::start(&site, &["roof"], Stdio::null());
    gateway.reports("collect", "the feeder", |status| receiver(status, "roof")["state"] == "receiving").await;
    let mut next = || -> Sent { town.next_telegram().unwrap().unwrap() };
    say(&site, "Found 1 device(s):\nTuned to 868950000 Hz.\n");
    for count in 1..=8 {
        let sent = next();
        let other = next();
        say(&site, &line("0;1", &other.telegram));
        say(&site, &line("1;0", &other.telegram));
        // Both demodulators, and the dongle, too: the same telegram.
        if count % 2 == 0 {
            site.dongle.hear(&sent.telegram, STRONG).await.unwrap();
            gateway.reports("collect", "that of the dongle", |status| accepted(status) >= count).await;
            say(&site, &line("1;1", &sent.telegram).repeat(2));
        } else {
            say(&site, &line("1;1", &sent.telegram).repeat(2));
            gateway.reports("collect", "that of the feed", |status| accepted(status) >= count).await;
            site.dongle.hear(&sent.telegram, STRONG).await.unwrap();
        }
        gateway.reports("collect", "the echo", |status| duplicates(status) >= count).await;
    }
    let status = gateway
        .reports("collect", "its counts", |status| {
            let feed = &status["feeds"][0];
            feed["good"] == 8 && feed["bad_crc"] == 8 && feed["bad_coding"] == 8
        })
        .await;
    let feed = &status["feeds"][0];
    assert_eq!((&feed["again"], &feed["log_lines"], &feed["dropped"]), (&8.into(), &2.into(), &0.into()));
    let roof = receiver(&status, "roof");
    assert_eq!((&roof["protocol"], &roof["frames"]), (&"rtl-wmbus".into(), &8.into()));
    assert_eq!((accepted(&status), duplicates(&status)), (8, 8));
    let output = site.vesigate(&["status"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("8 good, 8 with wrong CRCs, 8 with wrong symbols, 2 lines of text"), "{text}");

    assert_eq!(feeder.stop().await, Some(0));
    gateway.reports("collect", "its end", |status| receiver(status, "roof")["state"] == "gone").await;
    assert!(gateway.stop().await.success());
    let rows = Store::open(&site.collect_db()).unwrap().rows();
    let counted: u32 = rows.values().map(|row| row.telegrams).sum();
    assert_eq!(counted, 8, "{rows:#?}");
    for row in rows.values().filter(|row| row.telegrams > 0) {
        assert_eq!(row.rssi, Some(STRONG), "the dongle's: a feed has none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_dies_is_started_again_with_all_its_programs_gone() {
    let site = Site::fast(1);
    let mut town = Town::new(2, 5, START * 1000);
    let stick = site.path("stick");
    // The first program holds the stick; whoever finds it held gives up, as with a real one.
    let script = format!(
        "#!/bin/sh\nif ! mkdir {0}; then echo 'usb_claim_interface error -6' >&2; exit 1; fi\n\
         trap ': > {2}; rmdir {0}; exit' TERM\n{1} & wait\n",
        stick.display(),
        chain(&site),
        // What one has heard the next one does not hear again.
        site.path("air").display(),
    );
    fs::write(site.path("rtl_sdr"), script).unwrap();
    let command = format!("sh {} | cat", site.path("rtl_sdr").display());
    site.settle(&town, &[&section("roof", &format!("command = \"{command}\""))]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    let feeder = Feeder::start(&site, &["roof"], Stdio::null());
    gateway.reports("collect", "the feeder", |status| receiver(status, "roof")["state"] == "receiving").await;
    say(&site, &line("1;1", &town.next_telegram().unwrap().unwrap().telegram));
    gateway.reports("collect", "a telegram", |status| accepted(status) == 1).await;

    // It says itself that it ends; then it is killed; the next one hears what comes after it.
    fs::write(site.path("air"), "rtl_wmbus: exiting\n").unwrap();
    let status = gateway
        .reports("collect", "the restart", |status| {
            status["feeds"][0]["restarts"].as_u64() >= Some(1) && status["feeds"][0]["trouble"].is_string()
        })
        .await;
    let trouble = status["feeds"][0]["trouble"].as_str().unwrap();
    assert!(trouble.starts_with("the chain has ended"), "{trouble}");
    gateway.reports("collect", "it again", |status| receiver(status, "roof")["state"] == "receiving").await;
    say(&site, &line("1;1", &town.next_telegram().unwrap().unwrap().telegram));
    gateway.reports("collect", "another telegram", |status| accepted(status) == 2).await;
    assert!(!feeder.log().contains("usb_claim_interface"), "{}", feeder.log());

    assert_eq!(feeder.stop().await, Some(0));
    assert!(!stick.exists(), "let go of");
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_cannot_work_is_told_with_its_last_words() {
    let site = Site::fast(30);
    let town = Town::new(1, 5, START * 1000);
    let command = "echo 'No supported devices found.' >&2; exit 1";
    site.settle(&town, &[&section("roof", &format!("command = \"{command}\""))]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    let _feeder = Feeder::start(&site, &["roof"], Stdio::null());
    let status =
        gateway.reports("collect", "the trouble", |status| status["feeds"][0]["trouble"].is_string()).await;
    let trouble = status["feeds"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("exit status: 1 (its last words: No supported devices found.)"), "{trouble}");
    let output = site.vesigate(&["check"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("No supported devices found."), "{text}");

    let problem = gateway.has_problem("collect", "receiver_gone").await;
    assert!(problem.starts_with("feed roof: the chain has ended"), "{problem}");
    site.configure(&[]);
    gateway.reload();
    gateway.is_free_of("collect", "receiver_gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telegrams_come_over_tcp_in_digits_and_in_bytes_and_again_after_the_line_broke() {
    let site = Site::fast(1);
    let mut town = Town::new(3, 8, START * 1000);
    let (hex, raw) = (listener().await, listener().await);
    let connect = |name: &str, listener: &TcpListener, format: &str| {
        let port = listener.local_addr().unwrap().port();
        section(name, &format!("connect = \"localhost:{port}\"\nformat = \"{format}\""))
    };
    site.settle(&town, &[&connect("pump-3", &hex, "hex"), &connect("well", &raw, "raw")]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    let (pump, well) =
        (Feeder::start(&site, &["pump-3"], Stdio::null()), Feeder::start(&site, &["well"], Stdio::null()));
    let mut next = || town.next_telegram().unwrap().unwrap().telegram;
    for count in 1..=3u64 {
        let (mut digits, _) = timeout(SOON, hex.accept()).await.unwrap().unwrap();
        let (mut bytes, _) = timeout(SOON, raw.accept()).await.unwrap().unwrap();
        let text = next().iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"));
        digits.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        bytes.write_all(&next()).await.unwrap();
        gateway.reports("collect", "both", |status| accepted(status) == 2 * count).await;
    }
    gateway
        .reports("collect", "what the feeders counted", |status| {
            let feeds = status["feeds"].as_array().unwrap();
            feeds.iter().all(|feed| feed["restarts"].as_u64() >= Some(2) && feed["good"] == 3)
        })
        .await;
    assert_eq!((pump.stop().await, well.stop().await), (Some(0), Some(0)));
    assert!(gateway.stop().await.success());
}

async fn listener() -> TcpListener {
    TcpListener::bind("localhost:0").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_goes_on_while_the_other_is_away() {
    let site = Site::fast(1);
    let mut town = Town::new(3, 2, START * 1000);
    let entry = section("roof", &format!("command = \"{}\"", chain(&site)));
    site.settle(&town, &[&entry]).await;
    let mut next = || town.next_telegram().unwrap().unwrap().telegram;
    // The feeder first: it waits for the gateway.
    let feeder = Feeder::start(&site, &["roof"], Stdio::null());
    let gateway = Gateway::start(&site, Half::Collect).await;
    let receives = |status: &Value| receiver(status, "roof")["state"] == "receiving";
    gateway.reports("collect", "the feeder", receives).await;
    say(&site, &line("1;1", &next()));
    gateway.reports("collect", "a telegram", |status| accepted(status) == 1).await;

    gateway.kill().await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    gateway.reports("collect", "the feeder again", receives).await;
    say(&site, &line("1;1", &next()));
    gateway.reports("collect", "its telegram", |status| accepted(status) == 1).await;

    feeder.kill().await;
    gateway.reports("collect", "no feeder", |status| receiver(status, "roof")["state"] == "gone").await;
    dongle_listens(&site).await;
    site.dongle.hear(&next(), STRONG).await.unwrap();
    gateway.reports("collect", "that of the dongle", |status| accepted(status) == 2).await;
    let feeder = Feeder::start(&site, &["roof"], Stdio::null());
    gateway.reports("collect", "another feeder", receives).await;

    // Another command in the configuration: the feeder is sent away, comes back and does that.
    fs::write(site.path("other"), line("1;1", &next())).unwrap();
    let other = section("roof", &format!("command = \"cat {}; sleep 600\"", site.path("other").display()));
    site.configure(&[&other]);
    gateway.reload();
    gateway.reports("collect", "that of the other chain", |status| accepted(status) == 3).await;
    assert_eq!(feeder.stop().await, Some(0));
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_second_feeders_are_refused_with_a_sentence() {
    let site = Site::fast(1);
    let town = Town::new(1, 2, START * 1000);
    site.settle(&town, &[&section("roof", "command = \"sleep 600\""), &section("hand", "format = \"hex\"")])
        .await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    let mut stranger = Feeder::start(&site, &["cellar"], Stdio::null());
    assert_eq!(stranger.end().await, Some(2));
    assert!(stranger.log().contains("no [[feed]] of this name; it has roof, hand"), "{}", stranger.log());
    let first = Feeder::start(&site, &["roof"], Stdio::null());
    gateway.reports("collect", "the first", |status| receiver(status, "roof")["state"] == "receiving").await;
    let mut second = Feeder::start(&site, &["roof"], Stdio::null());
    assert_eq!(second.end().await, Some(2));
    assert!(second.log().contains("another feeder of this name is connected already"), "{}", second.log());
    assert_eq!(first.stop().await, Some(0));

    // Whoever does not speak as a feeder does is told so and let go, whatever it sends.
    for (rubbish, told) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "not_understood"),
        (b"{\"do\":\"status\"}\n", "not_understood"),
        (&[0xFF; 10_000], ""),
        (b"{\"hello\":\"hand\"}\n{\"telegram\":{\"hex\":\"0944\"}}\n", "closed"),
    ] {
        let socket = site.path("run/feed/feed.sock");
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let _ = stream.write_all(rubbish).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(told), "{answer}");
    }
    let status =
        gateway.reports("collect", "nobody", |status| receiver(status, "hand")["state"] == "gone").await;
    assert_eq!(status["telegrams"]["heard"], 0);
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_ones_own_is_handed_over_whole() {
    let site = Site::fast(1);
    let mut town = Town::new(40, 2, START * 1000);
    site.settle(&town, &[&section("hand", "format = \"rtl-wmbus\"")]).await;
    let gateway = Gateway::start(&site, Half::Collect).await;
    let lines: String =
        (0..300).map(|_| line("1;1", &town.next_telegram().unwrap().unwrap().telegram)).collect();
    fs::write(site.path("lines"), &lines).unwrap();
    let input = || Stdio::from(fs::File::open(site.path("lines")).unwrap());
    let mut feeder = Feeder::start(&site, &["hand", "-"], input());
    assert_eq!(feeder.end().await, Some(0), "{}", feeder.log());
    let status = gateway.reports("collect", "all", |status| status["telegrams"]["heard"] == 300).await;
    assert_eq!((&status["feeds"][0]["good"], &status["feeds"][0]["dropped"]), (&300.into(), &0.into()));

    // Without a gateway: printed.
    gateway.kill().await;
    let config = site.config();
    let print = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("feed").args(arguments).arg("--config").arg(&config).stdin(input());
        command
    };
    let output = print(&["hand", "-", "--print"]).output().await.unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).lines().count()),
        (Some(0), 300)
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("300 telegrams"));
    let output = print(&["hand", "-", "--print", "--json"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!(first["meter"].is_string() && first["mode"] == "C1", "{first}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["counts"]["good"], 300);
    let output = print(&["hand", "--print"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("vesigate feed hand -"), "{output:?}");
}
