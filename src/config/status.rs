//! `[status]`: where the running halves can be asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::section::Section;

/// Where the running halves can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The directory of the Unix sockets; each half has its own directory in it.
    pub sockets: PathBuf,
    /// Where metrics are to be had.
    pub metrics: Metrics,
}

impl Default for Status {
    fn default() -> Self {
        Self { sockets: PathBuf::from("/run/vesigate"), metrics: Metrics::Sockets }
    }
}

impl Status {
    /// The sockets of the half that receives.
    #[must_use]
    pub fn collect_sockets(&self) -> PathBuf {
        self.sockets.join("collect")
    }

    /// Those sockets of the half that receives at which the other half speaks to it. The service of that one sees no
    /// others.
    #[must_use]
    pub fn between(&self) -> PathBuf {
        self.sockets.join("between")
    }

    /// The sockets of the half that delivers.
    #[must_use]
    pub fn deliver_sockets(&self) -> PathBuf {
        self.sockets.join("deliver")
    }

    /// Where feeders hand in telegrams; in a directory of its own, since they are let into no other.
    #[must_use]
    pub fn feed_socket(&self) -> PathBuf {
        self.sockets.join("feed/feed.sock")
    }

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let instead = "write \"socket\", \"off\", or an address of this machine such as \"127.0.0.1:9464\"";
        let metrics = section.text("metrics", instead, |text| match text {
            "socket" => Ok(Metrics::Sockets),
            "off" => Ok(Metrics::Off),
            _ => match text.parse::<SocketAddr>() {
                Ok(address) if !address.ip().is_loopback() => Err("is open to other machines"),
                Ok(address) if address.port() != 0 => Ok(Metrics::Loopback(address)),
                _ => Err("is no address with a port"),
            },
        });
        Self {
            sockets: section.path("sockets").unwrap_or(default.sockets),
            metrics: metrics.unwrap_or(default.metrics),
        }
    }
}

/// Where metrics are to be had (Prometheus' text format).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// On a Unix socket of each half.
    Sockets,
    /// So, and those of the delivering half at an address of this machine; the receiving half has no network.
    Loopback(SocketAddr),
}
