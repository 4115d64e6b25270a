//! Who we are to the broker: certificates with their private keys, the configured pair and those that were renewed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::tls::{TlsFault, pem};
use crate::config::{ClientCertificate, Credentials, SecretError, SecretSource};

/// The renewed pair that is to be used: private key and certificates in one file, so that they change together.
pub const RENEWED: &str = "broker.pem";
/// The one before, for a broker that does not take the newest.
pub(super) const FORMER: &str = "broker.former.pem";

/// From when until when a certificate is valid, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// Its beginning.
    pub(super) from: i64,
    /// Its end.
    pub(super) until: i64,
}

/// What kind of key a certificate is for, as far as such keys can be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    P256,
    P384,
    Ed25519,
    /// RSA and whatever else is still used, but not made.
    Other,
}

/// What a certificate says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) validity: Validity,
    /// The common name.
    pub(super) name: Option<String>,
    /// The public key with its kind, in DER.
    pub(super) key: Vec<u8>,
    pub(super) kind: KeyKind,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        let name = certificate.subject().iter_common_name().next();
        let key = certificate.public_key();
        Some(Self {
            validity: Validity {
                from: validity.not_before.timestamp(),
                until: validity.not_after.timestamp(),
            },
            name: name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            key: key.raw.to_vec(),
            kind: KeyKind::of(key),
        })
    }
}

impl KeyKind {
    /// The kind that a new key is made of where this one is in use.
    pub(super) const fn made(self) -> Self {
        match self {
            Self::Other => Self::P256,
            kind => kind,
        }
    }

    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &key.algorithm;
        if algorithm.algorithm == OID_SIG_ED25519 {
            return Self::Ed25519;
        }
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        match curve.filter(|_| algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY) {
            Some(curve) if curve == OID_EC_P256 => Self::P256,
            Some(curve) if curve == OID_NIST_EC_P384 => Self::P384,
            _ => Self::Other,
        }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("validity", &self.validity)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A certificate and its private key, which belong together.
pub(super) struct Identity {
    /// What TLS shows and signs with.
    pub(super) certified: Arc<CertifiedKey>,
    /// `None` if the certificate is a riddle.
    pub(super) facts: Option<Facts>,
}

impl Identity {
    /// The pair that the configuration names.
    fn configured(client: &ClientCertificate, credentials: &Credentials) -> Result<Self, TlsFault> {
        let chain: Vec<CertificateDer<'static>> = pem(&client.certificate, "tls.certificate")?;
        let secret = client.key.read(credentials).map_err(TlsFault::Key)?;
        let key = PrivateKeyDer::from_pem_slice(secret.expose()).map_err(|_| TlsFault::NoKey)?;
        Self::of(chain, key)
    }

    pub(super) fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsFault> {
        let facts = chain.first().and_then(Facts::of);
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsFault::OtherKey,
            error => TlsFault::Unfit { key: "tls.certificate", why: error.to_string() },
        })?;
        Ok(Self { certified: Arc::new(certified), facts })
    }

    /// A pair in one file; `None` if there is none, or none that is of any use: then there are others.
    pub(super) fn pair(path: PathBuf) -> Option<Self> {
        let secret = match SecretSource::File(path.clone()).read(&Credentials::default()) {
            Ok(secret) => secret,
            Err(SecretError::Io(io::ErrorKind::NotFound)) => return None,
            Err(error) => {
                tracing::warn!("{} {error}: it is not used", path.display());
                return None;
            }
        };
        let pair = Self::read_pair(secret.expose());
        if pair.is_none() {
            tracing::warn!(
                "{} holds no certificate with the private key that belongs to it: it is not used",
                path.display()
            );
        }
        pair
    }

    fn read_pair(pem: &[u8]) -> Option<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
        Self::of(chain, key).ok().filter(|pair| pair.facts.is_some())
    }

    /// The certificate, and the chain below the authority.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    fn from(&self) -> i64 {
        self.facts.as_ref().map_or(i64::MIN, |facts| facts.validity.from)
    }

    fn is_over(&self, now: i64) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.validity.until <= now)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.facts).finish()
    }
}

/// A request (PKCS#10, PEM) for a certificate of this name for this key.
pub(super) fn request(key: &KeyPair, name: Option<&str>) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.serialize_request(key)?.pem()
}

/// What we can show the broker, the newest first; never nothing. A renewed pair counts while it is made out for the name
/// that the configured one is made out for; one that is over counts only if all are.
pub(super) fn candidates(
    client: &ClientCertificate,
    credentials: &Credentials,
    folder: &Path,
    now: i64,
) -> Result<Vec<Identity>, TlsFault> {
    let configured = Identity::configured(client, credentials);
    let facts = configured.as_ref().ok().and_then(|identity| identity.facts.clone());
    let ours = |pair: &Identity| {
        let name = pair.facts.as_ref().map(|pair| &pair.name);
        facts.as_ref().is_none_or(|facts| Some(&facts.name) == name)
    };
    let mut found: Vec<Identity> = [RENEWED, FORMER]
        .into_iter()
        .filter_map(|name| Identity::pair(folder.join(name)))
        .filter(ours)
        .collect();
    match configured {
        Ok(configured) => found.push(configured),
        Err(fault) if found.is_empty() => return Err(fault),
        Err(fault) => tracing::debug!("{fault}; the renewed certificate is used"),
    }
    if found.iter().any(|identity| !identity.is_over(now)) {
        found.retain(|identity| !identity.is_over(now));
    }
    // Stable: of equally new ones the renewed pair comes first.
    found.sort_by_key(|identity| std::cmp::Reverse(identity.from()));
    Ok(found)
}
