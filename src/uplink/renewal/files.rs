//! The request that waits for its certificate, and the pair that comes of it, in the delivering half's folder. Whatever
//! moment the power fails at, the private key is there as long as its certificate is not in use.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::{Credentials, Secret, SecretError, SecretSource};
use crate::keyring;
use crate::uplink::identity::{self, FORMER, Facts, Identity, KeyKind, RENEWED};

/// The new private key and the request for its certificate. One file, since a signature is another one each time, and
/// whoever signs the request by hand must not find another one tomorrow.
const REQUEST: &str = "broker.request.pem";

/// A request that waits for its certificate. The private key stays in the file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// PKCS#10 in PEM.
    pub(super) pem: String,
    /// Its public key with its kind, in DER.
    pub(super) key: Vec<u8>,
    /// The common name and the kind of key that it asks for.
    name: Option<String>,
    kind: KeyKind,
}

impl Request {
    fn read(text: &str) -> Option<Self> {
        let pem = section(text, "CERTIFICATE REQUEST")?;
        section(text, PRIVATE_KEY)?;
        let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
        let Pem { contents, .. } = der;
        let (_, request) = X509CertificationRequest::from_der(&contents).ok()?;
        let about = &request.certification_request_info;
        let name = about.subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        Some(Self {
            pem: format!("{pem}\n"),
            key: about.subject_pki.raw.to_vec(),
            name: name.map(str::to_owned),
            kind: KeyKind::of(&about.subject_pki),
        })
    }

    /// Whether it asks for what would be asked for now.
    fn suits(&self, present: &Facts) -> bool {
        (&self.name, self.kind) == (&present.name, present.kind.made())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The request that waits. One that was made for another name or kind of key is none.
    pub(super) fn request(&self, present: &Facts) -> Result<Option<Request>, FilesError> {
        Ok(self.waiting()?.filter(|request| request.suits(present)))
    }

    /// A request whose certificate is in use already is removed: the power failed in between.
    pub(super) fn tidy(&self) -> Result<(), FilesError> {
        match self.waiting() {
            Err(FilesError::Damaged | FilesError::Secret(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn waiting(&self) -> Result<Option<Request>, FilesError> {
        let request = match self.secret(REQUEST) {
            Ok(secret) => secret.expose_text().and_then(Request::read),
            Err(FilesError::Io(io::ErrorKind::NotFound)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let request = request.ok_or(FilesError::Damaged)?;
        if self.renewed_key().as_ref() == Some(&request.key) {
            std::fs::remove_file(self.path(REQUEST)).map_err(io_error)?;
            return Ok(None);
        }
        Ok(Some(request))
    }

    /// Makes a private key and a request for its certificate, in the name of the present one.
    pub(super) fn make_request(&self, present: &Facts) -> Result<Request, FilesError> {
        let kind = match present.kind.made() {
            KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
            KeyKind::Ed25519 => &PKCS_ED25519,
            KeyKind::P256 | KeyKind::Other => &PKCS_ECDSA_P256_SHA256,
        };
        let mut key = KeyPair::generate_for(kind).map_err(|_| FilesError::NoRequest)?;
        let pem = identity::request(&key, present.name.as_deref());
        let secret = Zeroizing::new(key.serialize_pem());
        key.zeroize();
        let pem = pem.map_err(|_| FilesError::NoRequest)?;
        let text = Zeroizing::new(format!("{}{pem}", secret.as_str()));
        let request = Request::read(&text).ok_or(FilesError::NoRequest)?;
        keyring::replace(&self.path(REQUEST), |file| file.write_all(text.as_bytes()))
            .map_err(|error| io_error(error.into()))?;
        Ok(request)
    }

    /// From now on the renewed pair is the request's key with these certificates (PEM). `present` is the key in use: if
    /// that is a renewed one, its pair is kept as the former one.
    pub(super) fn install(&self, present: &[u8], request: &Request, chain: &str) -> Result<(), FilesError> {
        let waiting = self.secret(REQUEST)?;
        let text = waiting.expose_text().filter(|text| Request::read(text).as_ref() == Some(request));
        let key = text.and_then(|text| section(text, PRIVATE_KEY)).ok_or(FilesError::Damaged)?;
        if self.renewed_key().is_some_and(|renewed| renewed == present) {
            std::fs::rename(self.path(RENEWED), self.path(FORMER)).map_err(io_error)?;
        }
        let pair = Zeroizing::new(format!("{key}\n{chain}"));
        keyring::replace(&self.path(RENEWED), |file| file.write_all(pair.as_bytes()))
            .map_err(|error| io_error(error.into()))?;
        // From here on the request is a copy; if it cannot be removed, the next start does.
        drop(std::fs::remove_file(self.path(REQUEST)));
        Ok(())
    }

    /// The keys of the renewed pair and of the one before.
    pub(super) fn known_keys(&self) -> Vec<Vec<u8>> {
        [RENEWED, FORMER].into_iter().filter_map(|name| self.key(name)).collect()
    }

    fn renewed_key(&self) -> Option<Vec<u8>> {
        self.key(RENEWED)
    }

    fn key(&self, name: &str) -> Option<Vec<u8>> {
        Some(Identity::pair(self.path(name))?.facts?.key)
    }

    fn secret(&self, name: &str) -> Result<Secret, FilesError> {
        SecretSource::File(self.path(name)).read(&Credentials::default()).map_err(|error| match error {
            SecretError::Io(kind) => FilesError::Io(kind),
            error => FilesError::Secret(error),
        })
    }
}

const PRIVATE_KEY: &str = "PRIVATE KEY";

/// The first PEM section of this kind, from its first dash to its last.
fn section<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    sections(text, kind).next()
}

/// Every PEM section of this kind, each from its first dash to its last.
pub(super) fn sections<'a>(text: &'a str, kind: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, from) = rest.split_at_checked(rest.find(&begin)?)?;
        let (section, after) = from.split_at_checked(from.find(&end)?.checked_add(end.len())?)?;
        rest = after;
        Some(section)
    })
}

fn io_error(error: io::Error) -> FilesError {
    FilesError::Io(error.kind())
}

/// Why there is no request, or no renewed pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum FilesError {
    /// The file system's reason.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The file of the request cannot be used.
    #[error("the file of the request {0}")]
    Secret(SecretError),
    /// Nobody knows any more what was requested.
    #[error("the file of the request is damaged")]
    Damaged,
    /// The library makes none.
    #[error("no request can be made in the name of the present certificate")]
    NoRequest,
}
