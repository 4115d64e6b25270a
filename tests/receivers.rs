//! `vesigate receivers` as typed, in a system of folders with virtual dongles on pseudo-terminals.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use emulator::dongle::Kind;
use emulator::plugged::Plugged;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

struct Machine {
    root: TempDir,
    dongles: Vec<Plugged>,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["dev/serial/by-id", "dev/serial/by-path", "sys/class/tty"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Self { root, dongles: Vec::new() }
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(path)
    }

    fn plug_in(&mut self, name: &str, id: &str, [maker, product, serial]: [&str; 3], kind: Kind) {
        let node = self.at("dev").join(name);
        self.dongles.push(Plugged::plug_in(&node, kind.dongle()).unwrap());
        let device = self.at(format!("sys/devices/usb1/1-{}", self.dongles.len()));
        let port = device.join(name);
        fs::create_dir_all(&port).unwrap();
        let (vendor, number) = id.split_once(':').unwrap();
        for (file, text) in [
            ("idVendor", vendor),
            ("idProduct", number),
            ("manufacturer", maker),
            ("product", product),
            ("serial", serial),
        ] {
            fs::write(device.join(file), text).unwrap();
        }
        fs::create_dir_all(self.at("sys/class/tty").join(name)).unwrap();
        symlink(&port, self.at("sys/class/tty").join(name).join("device")).unwrap();
        symlink(&node, self.at(format!("dev/serial/by-id/usb-{maker}_{product}_{serial}-if00"))).unwrap();
    }

    async fn receivers(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vesigate"));
        command.arg("receivers").args(arguments).arg("--root").arg(self.root.path());
        let Output { status, stdout, stderr } = command.output().await.unwrap();
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (status.code().unwrap(), text.replace(&self.root.path().display().to_string(), ""))
    }
}

const NO_CONFIG: [&str; 2] = ["--config", "/dev/null"];

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_sees_what_is_plugged_in_and_what_to_write() {
    let mut machine = Machine::new();
    machine.plug_in("ttyUSB0", "0403:6001", ["FTDI", "FT232R", "A1"], Kind::Amb8465);
    machine.plug_in("ttyUSB1", "10c4:ea60", ["Silabs", "CP2102", "B7"], Kind::Im871a);
    machine.plug_in("ttyUSB2", "10c4:ea60", ["ITEAD", "Zigbee", "C1"], Kind::Im871a);

    let (code, listed) = machine.receivers(&NO_CONFIG).await;
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains("/dev/serial/by-id/usb-FTDI_FT232R_A1-if00\n  ttyUSB0, USB 0403:6001 FTDI FT232R, serial number A1\n  may be amb8465 or"), "{listed}");
    assert!(listed.contains("No port was asked") && !listed.contains("[[receiver]]"), "{listed}");
    assert!(machine.dongles.iter().all(|dongle| dongle.state().borrow().speed == 0), "none was opened");

    let (code, found) = machine.receivers(&["--probe", NO_CONFIG[0], NO_CONFIG[1]]).await;
    assert_eq!(code, 0, "{found}");
    for text in [
        "a receiver: AMB8465 (9600 baud)",
        "a receiver: iM871A 00102863, firmware 1.4 (57600 baud)",
        "is something else by its name: left alone",
        "\n[[receiver]]\npath = \"/dev/serial/by-id/usb-FTDI_FT232R_A1-if00\"\nkind = \"amb8465\"\n",
        "\n[[receiver]]\npath = \"/dev/serial/by-id/usb-Silabs_CP2102_B7-if00\"\nkind = \"im871a\"\n",
    ] {
        assert!(found.contains(text), "{text:?} in\n{found}");
    }
    assert_eq!(machine.dongles[2].state().borrow().speed, 0, "the Zigbee stick was not opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_a_line_for_each_port_and_the_configuration_is_minded() {
    let mut machine = Machine::new();
    machine.plug_in("ttyUSB0", "1a86:7523", ["QinHeng", "CH340", "A1"], Kind::Im871a);
    machine.plug_in("ttyUSB1", "10c4:ea60", ["Silabs", "CP2102", "B7"], Kind::Im871a);
    machine.plug_in("ttyACM0", "04b4:0003", ["IMST", "iU891A", "C1"], Kind::Iu891a);
    let config = machine.at("vesigate.toml");
    let text = format!(
        "[detect]\ndo_not_touch = [\"1a86:7523\"]\n[[receiver]]\npath = \"{}\"\nkind = \"im871a\"\n",
        machine.at("dev/ttyUSB1").display()
    );
    fs::write(&config, text).unwrap();

    let (code, lines) = machine.receivers(&["--probe", "--json", "--config", config.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{lines}");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["state"].as_str().unwrap(), line["kind"].as_str(), line["configured"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("found", Some("iu891a"), None),
            ("do-not-touch", None, None),
            ("found", Some("im871a"), Some("im871a"))
        ]
    );
    assert_eq!((&lines[0]["usb"]["id"], &lines[0]["baud"]), (&"04b4:0003".into(), &115_200.into()));
    let (code, text) =
        machine.receivers(&["--probe", "/dev/ttyUSB7", "--config", config.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(text.contains("no such serial port"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_port_it_says_so_and_a_missing_configuration_that_was_named_is_an_error() {
    let machine = Machine::new();
    let (code, text) = machine.receivers(&["--probe", NO_CONFIG[0], NO_CONFIG[1]]).await;
    assert_eq!((code, text.contains("No serial port is plugged in")), (1, true), "{text}");
    let (code, text) = machine.receivers(&["--config", "/nonexistent.toml"]).await;
    assert_eq!(code, 2, "{text}");
    let (code, _) = machine.receivers(&["--any"]).await;
    assert_eq!(code, 2);
}
