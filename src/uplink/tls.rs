//! TLS to the broker: authorities from their files, read again for each connection, and the time at which dates are
//! judged.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::identity::Identity;
use crate::config::{self, SecretError};
use crate::world::Clock;

/// The largest file that is read: the system's list of authorities has about 250 kB.
const MOST_BYTES: u64 = 4 << 20;

/// When this program was built: its clock cannot be right if it says something earlier.
const BUILT: &str = env!("VESIGATE_BUILT");

/// The time at which certificates' dates are judged: the kernel's clock, but, until it is trusted, not before the moment
/// this program was built nor before anything that is stored. Otherwise a clock that starts in the past would refuse the
/// very connection that might put it right.
#[derive(Clone, Debug)]
pub struct Calendar {
    clock: Clock,
    newest: Arc<AtomicI64>,
    trusted: Arc<AtomicBool>,
}

impl Calendar {
    /// By this clock, which is not trusted yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let built = BUILT.parse().unwrap_or_default();
        Self { clock, newest: Arc::new(AtomicI64::new(built)), trusted: Arc::default() }
    }

    /// Something was stored at this moment (seconds since 1970).
    pub fn stored(&self, moment: i64) {
        self.newest.fetch_max(moment, Ordering::Relaxed);
    }

    /// Whether the clock is trusted.
    pub fn trust(&self, trusted: bool) {
        self.trusted.store(trusted, Ordering::Relaxed);
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        let kernel = self.clock.kernel();
        if self.trusted.load(Ordering::Relaxed) {
            kernel
        } else {
            kernel.max(self.newest.load(Ordering::Relaxed))
        }
    }
}

impl TimeProvider for Calendar {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// What a connection needs for TLS. `identity` is what the broker is shown of us, if anything.
pub(super) fn client_config(
    tls: &config::Tls,
    identity: Option<Identity>,
    calendar: &Calendar,
) -> Result<Arc<ClientConfig>, TlsFault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = roots(&tls.ca)?;
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if let Some(path) = &tls.crl {
        let lists: Vec<CertificateRevocationListDer<'static>> = pem(path, "tls.crl")?;
        verifier = verifier.with_crls(lists).only_check_end_entity_revocation();
    }
    let verifier = verifier.build().map_err(|error| TlsFault::Unfit {
        key: if tls.crl.is_some() { "tls.crl" } else { "tls.ca" },
        why: error.to_string(),
    })?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(calendar.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault::Unfit { key: "tls", why: error.to_string() })?
        .with_webpki_verifier(verifier);
    let Some(Identity { certified, .. }) = identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let shown = Arc::new(SingleCertAndKey::from(certified));
    Ok(Arc::new(builder.with_client_cert_resolver(shown)))
}

/// The certificates of the authorities; one that cannot be read in the system's long list is passed over.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::<CertificateDer<'static>>(path, "tls.ca")?);
    if roots.is_empty() { Err(TlsFault::Nothing { key: "tls.ca" }) } else { Ok(roots) }
}

/// What a PEM file holds of one kind.
pub(super) fn pem<T: rustls::pki_types::pem::PemObject>(
    path: &Path,
    key: &'static str,
) -> Result<Vec<T>, TlsFault> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error| TlsFault::Unreadable { key, why: error.kind() })?;
    let items: Vec<T> = T::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsFault::Unfit { key, why: "it is no PEM file".to_owned() })?;
    if items.is_empty() { Err(TlsFault::Nothing { key }) } else { Ok(items) }
}

/// Why TLS cannot even be tried. Says nothing of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum TlsFault {
    /// The file system's reason.
    #[error("the file of uplink.{key} cannot be read: {why}")]
    Unreadable {
        /// The configuration's key.
        key: &'static str,
        /// The reason.
        why: std::io::ErrorKind,
    },
    /// Nothing of the kind in it.
    #[error("the file of uplink.{key} holds nothing of its kind: name a PEM file")]
    Nothing {
        /// The configuration's key.
        key: &'static str,
    },
    /// It does not fit.
    #[error("the file of uplink.{key} is of no use: {why}")]
    Unfit {
        /// The configuration's key.
        key: &'static str,
        /// Why.
        why: String,
    },
    /// The private key's file.
    #[error("the private key of uplink.tls.key {0}")]
    Key(SecretError),
    /// It holds no private key.
    #[error("the file of uplink.tls.key holds no private key: name a PEM file (PKCS#8)")]
    NoKey,
    /// Key and certificate are strangers.
    #[error("the private key of uplink.tls.key does not belong to the certificate of uplink.tls.certificate")]
    OtherKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_past_is_not_believed_until_it_is_trusted() {
        let calendar = Calendar::new(Clock::manual(1000));
        let built: i64 = BUILT.parse().unwrap();
        assert_eq!(calendar.now(), built);
        calendar.stored(built + 5000);
        assert_eq!(calendar.now(), built + 5000);
        calendar.trust(true);
        assert_eq!(calendar.now(), 1000);
    }

    #[test]
    fn a_clock_that_is_ahead_of_everything_is_taken() {
        let calendar = Calendar::new(Clock::manual(9_000_000_000));
        assert_eq!(calendar.now(), 9_000_000_000);
    }
}
