//! The shipped broker configuration, and certificates for everybody.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rumqttc::{MqttOptions, TlsConfiguration, Transport};

use crate::broker::Broker;
use crate::certificates::{Authority, Valid};
use crate::portal::{Database, Portal};
use crate::site::Site;

/// The shipped configuration, with a test's port and paths in place of the system's.
fn shipped(crl: bool) -> String {
    let shipped = std::fs::read_to_string("config/mosquitto/vesi.conf").unwrap();
    let shipped = if crl { shipped.replace("#crlfile", "crlfile") } else { shipped };
    shipped
        .replace("listener 8883", "listener @PORT@ 127.0.0.1")
        .replace("/etc/mosquitto/vesi.acl", concat!(env!("CARGO_MANIFEST_DIR"), "/config/mosquitto/vesi.acl"))
        .replace("/etc/mosquitto/vesi/", "@DIR@/")
        .replace("/var/lib/mosquitto/", "@DIR@/")
}

/// A broker with the shipped configuration, and certificates of one authority for everybody.
pub struct Town {
    folder: tempfile::TempDir,
    pub authority: Authority,
    pub broker: Broker,
}

impl Town {
    pub fn new() -> Self {
        Self::with(Valid::Now, "127.0.0.1", false)
    }

    pub fn with(valid: Valid, host: &str, crl: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::new("test authority");
        authority.write(&at("ca.pem"));
        authority.broker(host, valid, &at("broker"));
        authority.client("kylavesi/portal", Valid::Now, 2, &at("portal"));
        authority.client("kylavesi/gw-7", Valid::Now, 3, &at("gateway"));
        authority.revoke(&[99], &at("crl.pem"));
        let broker = Broker::start(folder.path(), &shipped(crl));
        Self { folder, authority, broker }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn site(&self) -> Site {
        self.site_with("certificate = \"@/gateway.pem\", key = \"@/gateway.key\"")
    }

    pub fn site_with(&self, tls: &str) -> Site {
        let tls = format!("ca = \"@/ca.pem\", {tls}").replace('@', self.path().to_str().unwrap());
        Site::new(&format!("port = {}\ntls = {{ {tls} }}", self.broker.port))
    }

    /// The utility's portal, with its certificate.
    pub async fn portal(&self, database: Arc<Mutex<Database>>) -> Portal {
        let options = self.options("portal", "kylavesi/portal");
        Portal::with(&self.broker, options, "kylavesi", database).await
    }

    pub fn options(&self, name: &str, client_id: &str) -> MqttOptions {
        let read = |file: &str| std::fs::read(self.path().join(file)).unwrap();
        let mut options = MqttOptions::new(client_id, ("127.0.0.1", self.broker.port));
        options.set_keep_alive(30).set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: read("ca.pem"),
            alpn: None,
            client_auth: Some((read(&format!("{name}.pem")), read(&format!("{name}.key")))),
        }));
        options
    }
}
