//! A real mosquitto for a test, with the shipped configuration.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Where Debian installs it.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// Whether mosquitto is here; says so if not.
pub fn is_here() -> bool {
    let here = Path::new(PROGRAM).exists();
    if !here {
        eprintln!("skipped: no {PROGRAM}");
    }
    here
}

/// A running broker, killed when dropped.
pub struct Broker {
    folder: PathBuf,
    pub port: u16,
    process: Option<Child>,
    /// Counts its starts.
    starts: watch::Sender<u64>,
}

impl Broker {
    /// Starts one with this configuration; `@PORT@` and `@DIR@` are filled in.
    pub fn start(folder: &Path, config: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = config
            .replace("@PORT@", &port.to_string())
            .replace("@DIR@", folder.to_str().unwrap())
            // Started by root it would change to a user who may not read the test's files.
            + "\nuser root\n";
        std::fs::write(folder.join("mosquitto.conf"), config).unwrap();
        let mut broker =
            Self { folder: folder.to_owned(), port, process: None, starts: watch::Sender::new(0) };
        broker.again();
        broker
    }

    /// Starts it again.
    pub fn again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let process = Command::new(PROGRAM)
            .arg("-c")
            .arg(self.folder.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "mosquitto does not start: {}", self.log());
            std::thread::yield_now();
        }
        self.starts.send_modify(|starts| *starts += 1);
    }

    /// Tells of each start.
    pub fn starts(&self) -> watch::Receiver<u64> {
        self.starts.subscribe()
    }

    /// Changes its configuration; in force with the next start.
    pub fn change(&self, from: &str, to: &str) {
        let path = self.folder.join("mosquitto.conf");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, config.replace(from, to)).unwrap();
    }

    /// As if the power had failed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
