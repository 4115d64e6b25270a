//! Authorities and certificates for a test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// From when until when; the tests' clock stands in November 2026, the broker's where the machine's does.
#[derive(Clone, Copy)]
pub enum Valid {
    Now,
    Past,
    Future,
    /// Begins and ends after `Now` does.
    Renewed,
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2050, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    fn sign(&self, mut params: CertificateParams, name: &str, valid: Valid, serial: u64, at: &Path) {
        Self::fill(&mut params, name, valid, serial);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(at.with_extension("pem"), certificate.pem()).unwrap();
        let file = at.with_extension("key");
        std::fs::write(&file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn fill(params: &mut CertificateParams, name: &str, valid: Valid, serial: u64) {
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let (from, until) = match valid {
            Valid::Now => (date_time_ymd(2021, 1, 1), date_time_ymd(2045, 1, 1)),
            Valid::Past => (date_time_ymd(2021, 1, 1), date_time_ymd(2022, 1, 1)),
            Valid::Future => (date_time_ymd(2044, 1, 1), date_time_ymd(2045, 1, 1)),
            Valid::Renewed => (date_time_ymd(2022, 1, 1), date_time_ymd(2049, 1, 1)),
        };
        (params.not_before, params.not_after) = (from, until);
    }

    /// A client's certificate for a request, whose signature is checked.
    pub fn answer(&self, request: &str, name: &str, valid: Valid, serial: u64) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params = CertificateParams::new([]).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self::fill(&mut request.params, name, valid, serial);
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// A broker's certificate for `host` at `at`.pem, with `at`.key.
    pub fn broker(&self, host: &str, valid: Valid, at: &Path) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, host, valid, 1, at);
    }

    /// A client's.
    pub fn client(&self, name: &str, valid: Valid, serial: u64, at: &Path) {
        let mut params = CertificateParams::new([]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, name, valid, serial, at);
    }

    /// A list that revokes these.
    pub fn revoke(&self, serials: &[u64], path: &Path) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2045, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        std::fs::write(path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }
}
