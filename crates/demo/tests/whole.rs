//! The demonstration as a person starts it, faster: from the first telegram to the mail.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn demo(broker: &str) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--expect-mail", "--speed", "300", "--minutes", "2", "--broker", broker, "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    (output, folder)
}

fn everything_arrives(broker: &str) {
    let (output, folder) = demo(broker);
    let shown = String::from_utf8_lossy(&output.stdout);
    let log = std::fs::read_to_string(folder.path().join("gateway.log")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{shown}\n{log}");
    for part in
        ["reading", "the meter says leak", "leak raised, 1 to be told", "MAIL", "stopped in good order"]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}\n{log}");
    }
    assert!(folder.path().join("mails/001.eml").exists());
    // What the gateway logs is for everybody's eyes.
    assert!(!log.contains('@'), "{log}");
}

#[test]
fn a_reading_a_leak_and_a_mail_arrive_over_the_broker_that_is_there() {
    everything_arrives("auto");
}

#[test]
fn they_arrive_over_the_embedded_broker() {
    everything_arrives("embedded");
}
