//! Who we are to the broker: certificates with their private keys, the configured pair and those that were renewed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::tls::{TlsFault, pem};
use crate::config::{ClientCertificate, Credentials, SecretSource};

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
    fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
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

/// A certificate and its private key.
pub(super) struct Identity {
    /// The certificate, and the chain below the authority.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// `None` if the certificate is a riddle; TLS will say so.
    pub(super) facts: Option<Facts>,
}

impl Identity {
    /// The pair that the configuration names.
    fn configured(client: &ClientCertificate, credentials: &Credentials) -> Result<Self, TlsFault> {
        let chain: Vec<CertificateDer<'static>> = pem(&client.certificate, "tls.certificate")?;
        let secret = client.key.read(credentials).map_err(TlsFault::Key)?;
        let key = PrivateKeyDer::from_pem_slice(secret.expose()).map_err(|_| TlsFault::NoKey)?;
        Ok(Self { facts: chain.first().and_then(Facts::of), chain, key })
    }

    /// A pair in one file; `None` if there is none, or none that is of any use.
    pub(super) fn pair(path: PathBuf) -> Option<Self> {
        let secret = SecretSource::File(path).read(&Credentials::default()).ok()?;
        let key = PrivateKeyDer::from_pem_slice(secret.expose()).ok()?;
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(secret.expose()).collect::<Result<_, _>>().ok()?;
        let facts = Facts::of(chain.first()?)?;
        Some(Self { chain, key, facts: Some(facts) })
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
