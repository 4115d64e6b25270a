//! A place where a gateway stands: a dongle on a pseudo-terminal, meters, keys, a configuration, a folder for all of it.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use emulator::dongle::Kind;
use emulator::player::{Played, Player};
use emulator::plugged::Plugged;
use emulator::town::Town;
use messages::topic::Gateway as GatewayName;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::FastClock;
use crate::gateway::binary;

/// A place with a gateway.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    /// The clock of everything here; without it gateways take the machine's.
    pub clock: Option<FastClock>,
    /// The dongle. Tests may unplug it, mute it, let it stammer.
    pub dongle: Arc<Plugged>,
    /// What kind it is.
    pub kind: Kind,
    /// Further receivers, and what kinds they are.
    pub others: Vec<(Arc<Plugged>, Kind)>,
    /// Further lines of `[gateway]`.
    pub gateway_lines: String,
    /// What the gateway logs, as `--log` wants it.
    pub log_level: String,
    /// Where gateways look for authorities that sign mail servers' certificates.
    pub mail_authority: Option<PathBuf>,
}

impl Site {
    /// A place whose clock goes `speed` times as fast as time does.
    #[must_use]
    pub fn fast(speed: u32) -> Self {
        Self { clock: Some(FastClock::new(crate::clock::START, speed)), ..Self::new() }
    }

    /// A place with the machine's own clock. Its dongle is of the kind that the environment's `VESI_DONGLE` says, so that
    /// everything can be tried with any kind.
    #[must_use]
    pub fn new() -> Self {
        let named = std::env::var("VESI_DONGLE").ok();
        let kind = named.map_or(Kind::Im871a, |name| {
            let kind = Kind::all().iter().find(|kind| kind.name() == name);
            *kind.unwrap_or_else(|| panic!("VESI_DONGLE: there is no {name}"))
        });
        Self::with_dongle(kind)
    }

    /// The same with another kind of dongle.
    #[must_use]
    pub fn with_dongle(kind: Kind) -> Self {
        let mut folder = tempfile::Builder::new().prefix("vesi-").tempdir().unwrap();
        if std::env::var_os("VESI_KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("{} is kept", folder.path().display());
        }
        for name in ["data", "run", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let dongle = Plugged::plug_in(&folder.path().join("usb-dongle"), kind.dongle()).unwrap();
        Self {
            folder,
            clock: None,
            dongle: Arc::new(dongle),
            kind,
            others: Vec::new(),
            gateway_lines: String::new(),
            log_level: "info".to_owned(),
            mail_authority: None,
        }
    }

    /// Plugs another dongle in. To be called before [`configure`](Self::configure).
    pub fn plug_in(&mut self, name: &str, kind: Kind) -> Arc<Plugged> {
        let dongle = Arc::new(Plugged::plug_in(&self.path(name), kind.dongle()).unwrap());
        self.others.push((Arc::clone(&dongle), kind));
        dongle
    }

    /// Who the gateway is.
    #[must_use]
    pub fn name() -> GatewayName {
        "kylavesi/gw-7".parse().unwrap()
    }

    /// A path below the place's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the gateway keeps its things.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("vesigate.toml")
    }

    /// The collecting half's database.
    #[must_use]
    pub fn collect_db(&self) -> PathBuf {
        self.data().join("collect/store/collect.db")
    }

    /// The delivering half's database.
    #[must_use]
    pub fn deliver_db(&self) -> PathBuf {
        self.data().join("deliver/store/deliver.db")
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> FastClock {
        self.clock.expect("this place has no clock of its own")
    }

    /// Writes the configuration: who and where, the receivers, and these sections besides.
    pub fn configure(&self, sections: &[&str]) {
        let (name, path) = (Self::name(), |name: &str| self.path(name).display().to_string());
        let mut text = String::new();
        let _ = write!(
            text,
            "[gateway]\nutility = \"{}\"\nname = \"{}\"\ndata_dir = \"{}\"\n{}\n\n\
             [status]\nsockets = \"{}\"\n\n",
            name.utility(),
            name.name(),
            path("data"),
            self.gateway_lines,
            path("run"),
        );
        for (dongle, kind) in [(&self.dongle, self.kind)].into_iter().chain(self.others()) {
            let _ = write!(
                text,
                "[[receiver]]\npath = \"{}\"\n{}\n",
                dongle.link().display(),
                kind.configuration(),
            );
        }
        if self.path("meters.csv").exists() {
            let _ = write!(text, "[meters]\nfile = \"{}\"\n\n", path("meters.csv"));
        }
        for section in sections {
            let _ = writeln!(text, "{section}\n");
        }
        fs::write(self.config(), text).unwrap();
    }

    fn others(&self) -> impl Iterator<Item = (&Arc<Plugged>, Kind)> {
        self.others.iter().map(|(dongle, kind)| (dongle, *kind))
    }

    /// Expects these meters: `id`, as wanted `name`, `metering_point`, `q4`, `contacts`. To be called before
    /// [`configure`](Self::configure).
    pub fn expect_meters(&self, csv: &str) {
        fs::write(self.path("meters.csv"), csv).unwrap();
    }

    /// Adds keys with `vesigate keys add`: `id`, `key`. The table itself does not stay.
    pub async fn add_keys(&self, csv: &str) {
        let table = self.path("keys.csv");
        fs::write(&table, csv).unwrap();
        let output = self.vesigate(&["keys", "add", "--file", table.to_str().unwrap()]).await;
        fs::remove_file(&table).unwrap();
        assert!(output.status.success(), "keys add: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Expects the meters of a town and knows their keys.
    pub async fn settle(&self, town: &Town, sections: &[&str]) {
        self.expect_meters(&town.meters_csv());
        self.configure(sections);
        self.add_keys(&town.keys_csv()).await;
    }

    /// Runs `vesigate` with these arguments and this place's configuration.
    pub async fn vesigate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.config()).kill_on_drop(true);
        command.output().await.unwrap()
    }

    /// What `vesigate status --json` says.
    pub async fn status(&self) -> serde_json::Value {
        let output = self.vesigate(&["status", "--json"]).await;
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("status: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Puts a town on the air.
    #[must_use]
    pub fn play(&self, town: Town) -> Air {
        Air::new(town, &self.dongle, self.clock())
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A town that is being heard.
#[derive(Debug)]
pub struct Air {
    played: watch::Receiver<Played>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Player>,
}

impl Air {
    fn new(town: Town, dongle: &Arc<Plugged>, clock: FastClock) -> Self {
        let mut player = Player::new(town, clock.pace());
        let played = player.played();
        let (stop, mut stopped) = watch::channel(false);
        let dongle = Arc::clone(dongle);
        let task = tokio::spawn(async move {
            tokio::select! {
                played = player.play(&dongle, i64::MAX) => { played.unwrap(); }
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            player
        });
        Self { played, stop, task }
    }

    /// What has been sent so far.
    #[must_use]
    pub fn played(&self) -> Played {
        *self.played.borrow()
    }

    /// Until so many more telegrams have been sent.
    pub async fn hear(&mut self, more: u64) {
        let wanted = self.played().sent + more;
        self.played.wait_for(|played| played.sent >= wanted).await.unwrap();
    }

    /// Silence. Gives the player back, with its town.
    pub async fn stop(self) -> Player {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}
