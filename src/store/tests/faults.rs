//! The n-th operation fails, or the disk is full: the writer's process itself is made to feel it.

use std::process::Command;

use messages::batch::Stream;

use super::{all, child, fast_directory, long, number_in};

#[test]
fn whatever_operation_fails_everything_is_stored_once_and_in_order() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let mut failures = 0;
    for fault in ["pwrite64:error=EIO", "pwrite64:error=ENOSPC", "fdatasync:error=EIO", "ftruncate:error=EIO"]
    {
        let step = (if fault.starts_with("pwrite") { 13 } else { 5 } / long()).max(1);
        for when in (1..60).step_by(step) {
            let directory = fast_directory();
            let (call, _) = fault.split_once(':').unwrap();
            let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"];
            let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            words.push(format!("inject={fault}:when={when}"));
            let out = child::command(&words, "failing", directory.path()).output().unwrap();
            let out = String::from_utf8_lossy(&out.stdout).into_owned();
            let Some(done) = out.lines().find_map(|line| line.split("DONE ").nth(1)) else {
                // Not every host lets its processes be traced.
                assert!(!out.contains("running"), "{fault} {when}: {out}");
                println!("skipped: strace may not trace here");
                return;
            };
            let (stored, failed) = done.split_once(' ').unwrap();
            assert_eq!(stored, "true", "{fault} {when}");
            failures += failed.trim().parse::<u32>().unwrap();
            let numbers: Vec<u64> = all(directory.path(), Stream::Readings)
                .into_iter()
                .map(|(seq, block)| (seq, number_in(Stream::Readings, &block.body.bytes)))
                .map(|(seq, number)| if seq == number { seq } else { 0 })
                .collect();
            assert_eq!(numbers, (1..=12).collect::<Vec<_>>(), "{fault} {when}");
        }
    }
    assert!(failures > 0, "nothing was made to fail");
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_room_is_used_as_soon_as_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=1m tmpfs '{}' && exec \"$@\"", directory.path().display());
    let words = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned);
    let Ok(out) = child::command(&words, "full", directory.path()).output() else {
        println!("skipped: there is no unshare");
        return;
    };
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.contains("running 1 test") {
        assert!(out.contains("FULL"), "{out}");
    } else {
        println!("skipped: mounting is not permitted here");
    }
}
