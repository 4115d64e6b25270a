//! Whether a certificate that the portal brings is one that we can use.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use thiserror::Error;

use super::files::sections;
use super::is_due;
use crate::uplink::identity::{Facts, Validity};
use crate::uplink::mqtt::Moment;

/// The largest answer that is read, and how many certificates it may have.
const LARGEST: usize = 32 * 1024;
const LONGEST: usize = 8;

/// What an answer has to fit.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// What the present certificate says.
    pub(super) present: &'a Facts,
    /// The present certificate and its chain.
    pub(super) chain: &'a [CertificateDer<'static>],
    /// The public key of the request.
    pub(super) key: &'a [u8],
    /// The authorities of `uplink.tls.ca`.
    pub(super) roots: &'a RootCertStore,
    /// What we take for the time.
    pub(super) now: i64,
    /// Whether that is to be trusted.
    pub(super) trusted: bool,
}

/// An answer that fits: its certificates in PEM, and until when they are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitting {
    pub(super) pem: String,
    pub(super) until: i64,
}

/// Checks the portal's answer.
pub(super) fn fitting(answer: &str, expected: Expected<'_>) -> Result<Fitting, Unfit> {
    let Expected { present, key, now, trusted, .. } = expected;
    if answer.len() > LARGEST {
        return Err(Unfit::Unreadable);
    }
    let texts: Vec<&str> = sections(answer, "CERTIFICATE").take(LONGEST.saturating_add(1)).collect();
    let chain: Vec<CertificateDer<'static>> = texts
        .iter()
        .map(|text| CertificateDer::from_pem_slice(text.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|_| Unfit::Unreadable)?;
    let first = chain.first().filter(|_| chain.len() <= LONGEST).ok_or(Unfit::Unreadable)?;
    let Facts { validity, name, key: theirs, .. } = Facts::of(first).ok_or(Unfit::Unreadable)?;
    if theirs != key {
        return Err(Unfit::OtherKey(theirs));
    }
    if name != present.name {
        return Err(Unfit::OtherName);
    }
    if validity.until <= now {
        return Err(Unfit::Expired(Moment(validity.until)));
    }
    if validity.from > now && trusted {
        return Err(Unfit::NotYet(Moment(validity.from)));
    }
    let moment = now.max(validity.from);
    if is_due(validity, moment) || validity.until <= present.validity.until {
        return Err(Unfit::TooShort(Moment(validity.until)));
    }
    signed_like_ours(first, &chain, moment, expected)?;
    let pem = texts.iter().flat_map(|text| [*text, "\n"]).collect();
    Ok(Fitting { pem, until: validity.until })
}

/// `uplink.tls.ca` is there to check the broker. Where it has signed our present certificate, too, it must have signed the
/// new one; where not, nobody here can tell.
fn signed_like_ours(
    first: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    moment: i64,
    expected: Expected<'_>,
) -> Result<(), Unfit> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(expected.roots.clone());
    let Ok(verifier) = WebPkiClientVerifier::builder_with_provider(roots, provider).build() else {
        return Ok(());
    };
    let Validity { from, until } = expected.present.validity;
    let then = expected.now.min(until).max(from);
    let ours =
        expected.chain.first().is_some_and(|ours| verified(&*verifier, ours, expected.chain, then).is_ok());
    if !ours {
        return Ok(());
    }
    verified(&*verifier, first, chain, moment).map_err(|error| match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => Unfit::OtherAuthority,
        error => Unfit::Refused(error.to_string()),
    })
}

fn verified(
    verifier: &dyn ClientCertVerifier,
    first: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    moment: i64,
) -> Result<(), rustls::Error> {
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment).unwrap_or_default()));
    verifier.verify_client_cert(first, chain.get(1..).unwrap_or_default(), moment).map(|_| ())
}

/// Why the portal's answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unfit {
    /// No certificate in it, or too much.
    #[error("it cannot be read")]
    Unreadable,
    /// Not for the key that we asked a certificate for, but for this one.
    #[error("it is for another key than that of the request in `status`")]
    OtherKey(Vec<u8>),
    /// Somebody else's.
    #[error("its common name is not that of the present one")]
    OtherName,
    /// Over.
    #[error("it expired at {0}")]
    Expired(Moment),
    /// Not yet.
    #[error("it is valid from {0} only")]
    NotYet(Moment),
    /// It would have to be renewed at once.
    #[error("it ends too soon, at {0}")]
    TooShort(Moment),
    /// The authority that signed the present one did not sign it.
    #[error("it is not signed by an authority of uplink.tls.ca, as the present one is")]
    OtherAuthority,
    /// Another reason of the TLS library.
    #[error("it is of no use: {0}")]
    Refused(String),
}
