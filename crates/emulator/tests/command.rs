//! The `emulator` command, as a host on the other end of its line sees it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

/// Set configuration: link mode C1 and T1, RSSI attached. From IMST's specification of the interface.
const SET_UP: [u8; 12] = [0xA5, 0x81, 0x03, 0x06, 0x00, 0x02, 0x0A, 0x30, 0x01, 0x00, 0x80, 0xBF];

struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str], link: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
            .args(arguments)
            .arg("--link")
            .arg(link)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("ready {}", link.display()));
        Self { child, out }
    }

    /// Gives what it printed after it was told to stop.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

/// Sets the dongle up and reads what it hears: so many frames, each without head and trailer.
fn hear(link: &Path, frames: usize) -> Vec<Vec<u8>> {
    let mut port = File::options().read(true).write(true).open(link).unwrap();
    let mut termios = tcgetattr(&port).unwrap();
    termios.set_speed(57_600).unwrap();
    tcsetattr(&port, OptionalActions::Now, &termios).unwrap();
    port.write_all(&SET_UP).unwrap();
    let mut heard = Vec::new();
    while heard.len() < frames {
        let mut head = [0; 4];
        port.read_exact(&mut head).unwrap();
        let [start, control, message, length] = head;
        assert_eq!(start, 0xA5);
        let trailer = 2 + usize::from(control >> 6 & 1) + 4 * usize::from(control >> 5 & 1);
        let mut body = vec![0; usize::from(length) + trailer];
        port.read_exact(&mut body).unwrap();
        body.truncate(usize::from(length));
        if (control & 0x0F, message) == (2, 3) {
            heard.push(body);
        }
    }
    heard
}

#[test]
fn a_town_is_heard_and_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (link, keys, meters) =
        (folder.path().join("dongle"), folder.path().join("keys.csv"), folder.path().join("meters.csv"));
    let files = ["--keys-out", keys.to_str().unwrap(), "--meters-out", meters.to_str().unwrap()];
    let town = ["town", "--meters", "4", "--speed", "200", "--start", "2026-11-25", "--leak", "0@1h+2h"];
    let running = Running::start(&[&town[..], &files].concat(), &link);
    assert_eq!(std::fs::read_to_string(&keys).unwrap().lines().count(), 5);
    assert!(std::fs::read_to_string(&meters).unwrap().starts_with("id,name,metering_point,q4\n"));
    let telegrams = hear(&link, 12);
    assert!(telegrams.iter().all(|telegram| telegram[0] == 0x44 && telegram[9] == 0x8D), "{telegrams:02X?}");
    let last = running.stop();
    assert!(last.starts_with("sent ") && last.contains("skipped "), "{last}");
    assert!(!link.exists(), "the dongle is unplugged");
}

#[test]
fn a_recording_waits_for_its_listener_and_is_heard_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (link, file) = (folder.path().join("dongle"), folder.path().join("recording"));
    std::fs::write(&file, "0 09442D2C998734761B16 -71\n20 09442D2C998734761B17\n09442D2C998734761B18\n")
        .unwrap();
    let running = Running::start(&["replay", file.to_str().unwrap(), "--fast"], &link);
    let devices: Vec<_> = hear(&link, 3).iter().map(|telegram| telegram[8]).collect();
    assert_eq!(devices, [0x16, 0x17, 0x18]);
    assert_eq!(running.stop(), "played 3\n");
}

#[test]
fn a_meter_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("dongle");
    let mut command = Command::new(env!("CARGO_BIN_EXE_emulator"));
    let output =
        command.args(["town", "--meters", "2", "--leak", "7@1h", "--link"]).arg(&link).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "emulator: there is no meter 7; there are 2\n");
    assert!(!link.exists());
}
