//! TLS to the broker: certificates and keys from their files, read again for each connection, and the time at which
//! dates are judged.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::{self, Credentials, SecretError};
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

/// From when until when a certificate is valid, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// Its beginning.
    pub(super) from: i64,
    /// Its end.
    pub(super) until: i64,
}

/// What a connection needs.
pub(super) struct Material {
    /// For the TLS library.
    pub(super) config: Arc<ClientConfig>,
    /// Of our own certificate, if we have one.
    pub(super) validity: Option<Validity>,
}

impl Material {
    /// Reads the files.
    pub(super) fn read(
        tls: &config::Tls,
        credentials: &Credentials,
        calendar: &Calendar,
    ) -> Result<Self, TlsFault> {
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
        let Some(client) = &tls.client else {
            return Ok(Self { config: Arc::new(builder.with_no_client_auth()), validity: None });
        };
        let chain: Vec<CertificateDer<'static>> = pem(&client.certificate, "tls.certificate")?;
        let validity = chain.first().and_then(validity);
        let secret = client.key.read(credentials).map_err(TlsFault::Key)?;
        let key = PrivateKeyDer::from_pem_slice(secret.expose()).map_err(|_| TlsFault::NoKey)?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsFault::OtherKey,
            error => TlsFault::Unfit { key: "tls.certificate", why: error.to_string() },
        })?;
        Ok(Self { config: Arc::new(config), validity })
    }
}

/// The certificates of the authorities; one that cannot be read in the system's long list is passed over.
fn roots(path: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::<CertificateDer<'static>>(path, "tls.ca")?);
    if roots.is_empty() { Err(TlsFault::Nothing { key: "tls.ca" }) } else { Ok(roots) }
}

/// What a PEM file holds of one kind.
fn pem<T: rustls::pki_types::pem::PemObject>(path: &Path, key: &'static str) -> Result<Vec<T>, TlsFault> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error| TlsFault::Unreadable { key, why: error.kind() })?;
    let items: Vec<T> = T::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsFault::Unfit { key, why: "it is no PEM file".to_owned() })?;
    if items.is_empty() { Err(TlsFault::Nothing { key }) } else { Ok(items) }
}

fn validity(certificate: &CertificateDer<'static>) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some(Validity { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
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

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("validity", &self.validity).finish_non_exhaustive()
    }
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
