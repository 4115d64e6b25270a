//! A real broker: mosquitto, with a folder of its own and a port of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rumqttc::MqttOptions;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::Identity;
use crate::{SOON, free_port, until};

/// mosquitto. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    frozen: bool,
    tls: Option<Tls>,
}

/// What a broker with TLS needs.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority that signs clients (PEM file).
    pub authority: PathBuf,
    /// Its own certificate.
    pub identity: Identity,
    /// Revoked client certificates (PEM file).
    pub revoked: Option<PathBuf>,
}

impl Broker {
    /// Without TLS, for whoever comes.
    pub async fn start() -> Self {
        Self::with(None, "allow_anonymous true\n").await
    }

    /// With TLS: clients are who their certificates say.
    pub async fn start_tls(tls: Tls) -> Self {
        Self::with(Some(tls), "").await
    }

    /// With these lines in its configuration besides.
    pub async fn with(tls: Option<Tls>, lines: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("vesi-broker-").tempdir().unwrap();
        let mut broker = Self { folder, port: free_port(), child: None, frozen: false, tls };
        broker.configure(lines);
        broker.restart().await;
        broker
    }

    /// Writes the configuration anew; in force after the next [`restart`](Self::restart).
    pub fn configure(&self, lines: &str) {
        let folder = self.folder.path().display();
        let mut text = format!(
            "per_listener_settings false\npersistence true\npersistence_location {folder}/\nautosave_interval 1\n\
             max_queued_messages 0\nmax_inflight_messages 20\nmax_packet_size 1100000\nlog_dest file {folder}/log\n\
             log_type all\nconnection_messages true\n",
        );
        if rustix::process::geteuid().is_root() {
            // Else it would become a user who cannot read this folder.
            text.push_str("user root\n");
        }
        let _ = writeln!(text, "listener {} 127.0.0.1\nuse_username_as_clientid true", self.port);
        if let Some(tls) = &self.tls {
            let _ = writeln!(
                text,
                "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
                 allow_anonymous false",
                tls.authority.display(),
                tls.identity.certificate.display(),
                tls.identity.key.display(),
            );
            if let Some(revoked) = &tls.revoked {
                let _ = writeln!(text, "crlfile {}", revoked.display());
            }
        }
        text.push_str(lines);
        fs::write(self.folder.path().join("mosquitto.conf"), text).unwrap();
    }

    /// A file in its folder, for ACLs and passwords.
    #[must_use]
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// SIGKILL: what it had not saved is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
        self.frozen = false;
    }

    /// SIGTERM: it saves and says goodbye.
    pub async fn stop(&mut self) {
        self.thaw();
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::TERM);
            child.wait().await.unwrap();
        }
    }

    /// Starts it again, killing it first if it runs.
    pub async fn restart(&mut self) {
        self.kill().await;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("mosquitto is there: ./test installs it");
        self.child = Some(child);
        until("the broker", SOON, async || {
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                panic!("mosquitto ends:\n{}", self.log());
            }
            TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        })
        .await;
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn freeze(&mut self) {
        if let Some(child) = &self.child {
            signal(child, Signal::STOP);
            self.frozen = true;
        }
    }

    /// Goes on after [`freeze`](Self::freeze).
    pub fn thaw(&mut self) {
        if let (Some(child), true) = (&self.child, self.frozen) {
            signal(child, Signal::CONT);
            self.frozen = false;
        }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The gateway's `[uplink]` section for it, with these lines besides.
    #[must_use]
    pub fn uplink(&self, lines: &str) -> String {
        format!("[uplink]\nenabled = true\nhost = \"localhost\"\nport = {}\n{lines}", self.port)
    }

    /// A client's options. Without TLS the name alone will do.
    #[must_use]
    pub fn client(&self, name: &str, identity: Option<&Identity>) -> MqttOptions {
        let mut options = MqttOptions::new(name, ("localhost", self.port));
        options
            .set_username(name)
            .set_keep_alive(10)
            .set_connect_timeout(Duration::from_secs(5))
            .set_max_packet_size(Some(1 << 20))
            .set_outgoing_inflight_upper_limit(16);
        if let (Some(tls), Some(identity)) = (&self.tls, identity) {
            options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Simple {
                ca: fs::read(&tls.authority).unwrap(),
                alpn: None,
                client_auth: Some((
                    fs::read(&identity.certificate).unwrap(),
                    fs::read(&identity.key).unwrap(),
                )),
            }));
        }
        options
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}
