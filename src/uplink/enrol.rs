//! How a gateway joins a utility: one request to its portal, with a token that is good once, brings name, broker and
//! certificate.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use messages::Personal;
use messages::enrol::{EnrolAnswer, EnrolRequest};
use messages::seal::PublicKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use ureq::config::Config as HttpConfig;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::{Zeroize as _, Zeroizing};

use super::identity::{self, Facts, Identity};
use super::tls::pem;

/// Name resolution, connecting, TLS and the answer together. A portal signs in the same breath.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read: two certificates and some names.
const LARGEST: u64 = 64 * 1024;

/// Where a portal takes enrolments: `https://`, or `http://` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalAddress(String);

impl PortalAddress {
    /// From what a person writes: with or without `https://` and a slash at the end.
    ///
    /// # Errors
    /// [`EnrolError::Address`]
    pub fn parse(text: &str) -> Result<Self, EnrolError> {
        let text = text.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let text = text.strip_suffix('/').unwrap_or(&text).to_owned();
        let uri: ureq::http::Uri = text.parse().map_err(|_| EnrolError::Address)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(EnrolError::Address)?;
        let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if here => {}
            _ => return Err(EnrolError::Address),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || uri.query().is_some()
        {
            return Err(EnrolError::Address);
        }
        Ok(Self(text))
    }
}

impl fmt::Display for PortalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is asked for: a certificate for a key that was made here and stays here.
pub struct Enrolment {
    /// The private key, PEM (PKCS#8). To be kept before the portal is asked: an answer without it is worth nothing.
    pub private_key: Zeroizing<String>,
    csr: String,
    public: Vec<u8>,
}

impl Enrolment {
    /// A new key (P-256).
    ///
    /// # Errors
    /// [`EnrolError::NoKey`]
    pub fn new() -> Result<Self, EnrolError> {
        let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| EnrolError::NoKey)?;
        let request = Self::of(&key);
        key.zeroize();
        request
    }

    /// For a key that was kept.
    ///
    /// # Errors
    /// [`EnrolError::NoKey`]
    pub fn again(private_key: &str) -> Result<Self, EnrolError> {
        let mut key = KeyPair::from_pem(private_key).map_err(|_| EnrolError::NoKey)?;
        let request = Self::of(&key);
        key.zeroize();
        request
    }

    fn of(key: &KeyPair) -> Result<Self, EnrolError> {
        Ok(Self {
            private_key: Zeroizing::new(key.serialize_pem()),
            // The portal knows by the token who we are.
            csr: identity::request(key, None).map_err(|_| EnrolError::NoKey)?,
            public: rcgen::PublicKeyData::subject_public_key_info(key),
        })
    }

    /// Asks the portal, and checks what it answers. `ca` is a file with the portal's own authority (PEM), where the
    /// system's are not meant.
    ///
    /// # Errors
    /// [`EnrolError`]
    pub fn ask(
        &self,
        portal: &PortalAddress,
        ca: Option<&Path>,
        token: &str,
        (collect_key, deliver_key): (PublicKey, PublicKey),
    ) -> Result<EnrolAnswer, EnrolError> {
        let request =
            EnrolRequest { token: Personal::from(token), csr: self.csr.clone(), collect_key, deliver_key };
        let body = Zeroizing::new(serde_json::to_vec(&request).map_err(|_| EnrolError::NoKey)?);
        let agent = http(ca)?.new_agent();
        let sent = agent
            .post(format!("{portal}/enrol"))
            .content_type("application/json")
            .header("accept", "application/json")
            .send(body.as_slice());
        let mut answer = sent.map_err(EnrolError::of_http)?;
        match answer.status().as_u16() {
            200 | 201 => {}
            401 | 403 | 410 => return Err(EnrolError::Token),
            429 => return Err(EnrolError::TooOften),
            300..=399 | 404 | 405 => return Err(EnrolError::NoPortal),
            status => return Err(EnrolError::Status(status)),
        }
        let bytes =
            answer.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(EnrolError::of_http)?;
        let answer: EnrolAnswer = serde_json::from_slice(&bytes).map_err(|_| EnrolError::NoPortal)?;
        self.check(&answer)?;
        Ok(answer)
    }

    /// Whether an answer is one to this request.
    ///
    /// # Errors
    /// [`EnrolError::Unfit`]
    pub fn check(&self, answer: &EnrolAnswer) -> Result<(), EnrolError> {
        let unreadable = EnrolError::Unfit("its certificate cannot be read");
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(answer.certificate.as_bytes()).collect();
        let chain = chain.map_err(|_| unreadable.clone())?;
        let facts = chain.first().and_then(Facts::of).ok_or(unreadable)?;
        if facts.key != self.public {
            return Err(EnrolError::Unfit("its certificate is for another key"));
        }
        let key =
            PrivateKeyDer::from_pem_slice(self.private_key.as_bytes()).map_err(|_| EnrolError::NoKey)?;
        Identity::of(chain, key).map_err(|_| EnrolError::Unfit("its certificate is none that TLS takes"))?;
        if facts.name != Some(format!("{}/{}", answer.utility, answer.gateway)) {
            return Err(EnrolError::Unfit("its certificate is made out for another name"));
        }
        if CertificateDer::from_pem_slice(answer.broker_ca.as_bytes()).is_err() {
            return Err(EnrolError::Unfit("the broker's authority cannot be read"));
        }
        broker(answer).map(|_| ())
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(..)")
    }
}

/// Host and port of the broker that an answer names.
///
/// # Errors
/// [`EnrolError::Unfit`]
pub fn broker(answer: &EnrolAnswer) -> Result<(&str, u16), EnrolError> {
    let split = answer.broker.rsplit_once(':');
    let split = split.and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)));
    split.filter(|(host, _)| !host.is_empty()).ok_or(EnrolError::Unfit("it names no broker"))
}

fn http(ca: Option<&Path>) -> Result<HttpConfig, EnrolError> {
    let roots = match ca {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let found: Vec<CertificateDer<'static>> =
                pem(path, "tls.ca").map_err(|_| EnrolError::Authority)?;
            RootCerts::new_with_certs(
                &found.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>(),
            )
        }
    };
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build();
    let user_agent = concat!("vesigate/", env!("CARGO_PKG_VERSION"));
    Ok(HttpConfig::builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // A token goes to the portal that was named, nowhere else.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(user_agent)
        .build())
}

/// Why a gateway was not enrolled. `Display` says what to do about it, and never repeats a server's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnrolError {
    /// What was given as the portal's address is none.
    #[error("that is no address of a portal: write https:// and its name, without a path")]
    Address,
    /// The file of the portal's authority.
    #[error("the file of the portal's authority holds no certificate: name a PEM file that can be read")]
    Authority,
    /// No random numbers, or a kept key that is none.
    #[error("no private key can be made")]
    NoKey,
    /// No such name.
    #[error("the portal's name is not known: check the address, and this machine's name server")]
    UnknownName,
    /// Nobody answers.
    #[error("the portal cannot be reached ({0}): check the address, and this machine's network")]
    Unreachable(String),
    /// Not in time.
    #[error("the portal does not answer in time: check the address and the network, and try again")]
    Silent,
    /// TLS did not come about.
    #[error("no safe line to the portal ({0}): check this machine's date, and whether the address is right")]
    Tls(String),
    /// The token.
    #[error(
        "the portal does not take the token: it is good once and for an hour; ask for a new one in the back office"
    )]
    Token,
    /// Too many attempts.
    #[error("the portal takes no more attempts for now: try again in some minutes")]
    TooOften,
    /// Something else is there.
    #[error("no portal answers at that address: check it")]
    NoPortal,
    /// Another refusal.
    #[error("the portal answers with status {0}: ask its operator")]
    Status(u16),
    /// An answer that cannot be used.
    #[error("the portal's answer is of no use: {0}; ask its operator, and for a new token")]
    Unfit(&'static str),
}

impl EnrolError {
    fn of_http(error: ureq::Error) -> Self {
        match error {
            ureq::Error::HostNotFound => Self::UnknownName,
            ureq::Error::Timeout(_) => Self::Silent,
            ureq::Error::Tls(why) => Self::Tls(why.to_owned()),
            ureq::Error::Rustls(why) => Self::Tls(why.to_string()),
            ureq::Error::Io(error) => match rustls_error(&error) {
                Some(why) => Self::Tls(why.to_string()),
                None => Self::Unreachable(error.kind().to_string()),
            },
            ureq::Error::ConnectionFailed => Self::Unreachable("connection failed".to_owned()),
            ureq::Error::BadUri(_) => Self::Address,
            _ => Self::NoPortal,
        }
    }
}

fn rustls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests;
