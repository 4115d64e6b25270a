//! This test program once more, as a process that can be killed, recorded or made to fail. Without the environment
//! variable that says what to do, the test does nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use messages::batch::Stream;
use messages::status::DiskState;

use super::{block, text};
use crate::config::Collect;
use crate::store::{CollectStore, Commit, Options, Part, Writer};
use crate::world::Clock;

/// A command that does `what` in `directory`, started by `words` if there are any.
pub(super) fn command(words: &[String], what: &str, directory: &Path) -> Command {
    let program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let mut all = words.to_vec();
    all.push(program);
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).args(["--exact", "store::tests::child::does_as_it_is_told", "--nocapture"]);
    command.env("VESIGATE_STORE_CHILD", what).env("VESIGATE_STORE_DIRECTORY", directory);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn does_as_it_is_told() {
    let Ok(what) = std::env::var("VESIGATE_STORE_CHILD") else { return };
    let directory = std::env::var("VESIGATE_STORE_DIRECTORY").unwrap();
    let directory = Path::new(&directory);
    match what.as_str() {
        "endless" => write(directory, u64::MAX),
        "recorded" => write(directory, 25),
        "failing" => submit(directory, 12),
        "full" => fill(directory),
        other => panic!("{other}"),
    }
}

/// Commits one after the other, and says after each how far it is: `ACK readings events`.
fn write(directory: &Path, commits: u64) {
    let mut store = CollectStore::open(directory).unwrap();
    let first = store.head(Stream::Readings).unwrap().number();
    for number in first..first.saturating_add(commits) {
        let mut commit = Commit { blocks: vec![numbered(Stream::Readings, number + 1)], ..Commit::default() };
        let events = store.head(Stream::Events).unwrap();
        if number % 4 == 0 {
            commit.blocks.push(numbered(Stream::Events, events.number() + 1));
        }
        commit.parts.push((Part::Meters, text(Stream::Readings, number + 1)));
        commit.acknowledged.push((Stream::Readings, messages::batch::Seq::new(number.saturating_sub(10))));
        store.commit(&commit).unwrap();
        store.fold().unwrap();
        let events = store.head(Stream::Events).unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("ACK {} {events}\n", number + 1).as_bytes()).unwrap();
        out.flush().unwrap();
        if number % 8 == 7 {
            store.free_bytes(3000, false).unwrap();
        }
    }
    store.fold_all().unwrap();
}

fn numbered(stream: Stream, number: u64) -> crate::store::NewBlock {
    block(stream, &text(stream, number))
}

/// Hands commits to the writer, whatever fails, until all are stored.
fn submit(directory: &Path, commits: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let options = Options::new(directory.to_owned(), &Collect::default(), Clock::manual(0));
        let writer = Writer::start(options).unwrap();
        for number in 1..=commits {
            let commit = Commit { blocks: vec![numbered(Stream::Readings, number)], ..Commit::default() };
            writer.submit(commit).await.unwrap();
        }
        let mut attempts = 0;
        while !writer.flush().await.unwrap() && attempts < 50 {
            // An empty commit makes the writer try again.
            writer.submit(Commit::default()).await.unwrap();
            attempts += 1;
        }
        let failures = writer.status().borrow().failures;
        println!("DONE {} {failures}", writer.close().await.unwrap());
    });
}

/// Fills the file system the directory lies on, and makes room again.
fn fill(directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let clock = Clock::manual(0);
        let options = Options::new(directory.to_owned(), &Collect::default(), clock.clone());
        let writer = Writer::start(options).unwrap();
        let filler = directory.join("filler");
        std::fs::write(&filler, vec![0; 600_000]).unwrap();
        for number in 1..=60 {
            let blocks = vec![block(Stream::Readings, &vec![number; 20_000])];
            writer.submit(Commit { blocks, ..Commit::default() }).await.unwrap();
        }
        assert_eq!(writer.flush().await, Ok(false));
        let mut status = writer.status();
        assert_eq!(status.borrow_and_update().state, DiskState::Full);
        let stored = status.borrow().streams[&Stream::Readings];
        assert_eq!(stored.head.number() + stored.waiting, 60);
        let waiting = writer.ring().borrow().blocks(Stream::Readings, messages::batch::Seq::NONE, 100);
        assert_eq!(waiting.last().unwrap().body.bytes[0], 60, "what waits can be sent");
        std::fs::remove_file(&filler).unwrap();
        // Not all of it fits even now, but what fits is stored, in order.
        clock.advance(std::time::Duration::from_secs(10));
        let before = stored.head;
        status.wait_for(|status| status.streams[&Stream::Readings].head > before).await.unwrap();
        writer.flush().await.unwrap();
        assert!(writer.close().await.is_ok());
        let store = CollectStore::open(directory).unwrap();
        let head = store.head(Stream::Readings).unwrap();
        let blocks =
            crate::store::stream::read(&store.connection, Stream::Readings, messages::batch::Seq::NONE, 100);
        let (blocks, missing) = blocks.unwrap();
        assert!(missing.is_empty());
        assert!(blocks.iter().all(|block| u64::from(block.body.bytes[0]) == block.seq.number()));
        println!("FULL {} {head}", stored.head);
    });
}
