//! A certificate authority for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// A certificate and its private key, as files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// The private key (PEM), for its owner alone.
    pub key: PathBuf,
    serial: u64,
}

/// When a certificate is valid, in years; the end is exclusive.
#[derive(Clone, Copy, Debug)]
pub struct Years(pub i32, pub i32);

impl Years {
    /// As long as any test runs.
    pub const NOW: Self = Self(2020, 2100);
    /// Over.
    pub const PAST: Self = Self(2020, 2022);
    /// Not yet.
    pub const FUTURE: Self = Self(2090, 2100);
}

/// Who signs.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
    issued: std::cell::Cell<u64>,
}

impl Authority {
    /// An authority of this name whose files lie in `folder`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2100, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = folder.join(format!("{name}.pem"));
        fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder: folder.into(), name: name.into(), issuer, certificate, issued: 0.into() }
    }

    /// Its own certificate (PEM file).
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// For a server that is called so.
    #[must_use]
    pub fn server(&self, host: &str, years: Years) -> Identity {
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        self.sign(params, host, years, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client that is called so.
    #[must_use]
    pub fn client(&self, name: &str, years: Years) -> Identity {
        let params = CertificateParams::new(Vec::new()).unwrap();
        self.sign(params, name, years, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A list of revoked certificates (PEM file).
    #[must_use]
    pub fn revoke(&self, revoked: &[&Identity]) -> PathBuf {
        let revoked_certs = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.join(format!("{}.crl", self.name));
        fs::write(&path, params.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }

    /// A client's certificate (PEM) for a request, whose signature is checked.
    #[must_use]
    pub fn answer(&self, request: &str, name: &str, years: Years) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params = CertificateParams::new(Vec::new()).unwrap();
        self.fill(&mut request.params, name, years, ExtendedKeyUsagePurpose::ClientAuth);
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// Gives the serial number.
    fn fill(
        &self,
        params: &mut CertificateParams,
        name: &str,
        years: Years,
        purpose: ExtendedKeyUsagePurpose,
    ) -> u64 {
        let serial = self.issued.get() + 1;
        self.issued.set(serial);
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.extended_key_usages.push(purpose);
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        serial
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        name: &str,
        years: Years,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Identity {
        let serial = self.fill(&mut params, name, years, purpose);
        let key = KeyPair::generate().unwrap();
        let stem = format!("{}-{serial}", self.name);
        let identity = Identity {
            certificate: self.folder.join(format!("{stem}.pem")),
            key: self.folder.join(format!("{stem}.key")),
            serial,
        };
        fs::write(&identity.certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o600)).unwrap();
        identity
    }
}
