//! Where this half's metrics are to be had: a Unix socket, and an address of this machine if one is configured.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Metrics;
use crate::halves::control;
use crate::health::metrics;

/// A connection that asks for metrics.
pub(super) type Scrape = Pin<Box<dyn Connection>>;

/// Something to read from and write to.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Connection for T {}

/// The listeners.
#[derive(Debug)]
pub(super) struct Scrapes {
    unix: Option<UnixListener>,
    tcp: Option<TcpListener>,
}

impl Scrapes {
    pub(super) fn open(directory: &Path, wanted: Metrics) -> io::Result<Self> {
        let unix = match wanted {
            Metrics::Off => None,
            Metrics::Sockets | Metrics::Loopback(_) => Some(control::bind(&metrics::socket(directory))?),
        };
        let tcp = match wanted {
            Metrics::Loopback(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Some(TcpListener::from_std(listener)?)
            }
            Metrics::Off | Metrics::Sockets => None,
        };
        Ok(Self { unix, tcp })
    }

    /// The next one; never, if metrics are off. Safe to cancel.
    pub(super) async fn next(&self) -> Scrape {
        loop {
            let accepted = tokio::select! {
                accepted = accept(self.unix.as_ref(), UnixListener::accept) => accepted.map(|(it, _)| Box::pin(it) as Scrape),
                accepted = accept(self.tcp.as_ref(), TcpListener::accept) => accepted.map(|(it, _)| Box::pin(it) as Scrape),
            };
            match accepted {
                Ok(scrape) => return scrape,
                // Too many open files, mostly: it passes.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

async fn accept<'a, L, T>(
    listener: Option<&'a L>,
    accept: impl AsyncFnOnce(&'a L) -> io::Result<T>,
) -> io::Result<T> {
    match listener {
        Some(listener) => accept(listener).await,
        None => std::future::pending().await,
    }
}
