use std::os::unix::fs::PermissionsExt as _;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;

use super::files::{Files, Request};
use super::fitting::{Expected, Fitting, Unfit, fitting};
use super::*;
use crate::config::{ClientCertificate, Credentials, SecretSource};
use crate::uplink::identity::KeyKind;

const NAME: &str = "kylavesi/gw-7";
/// 25 November 2026.
const NOW: i64 = 1_795_600_000;
type Day = (i32, u8, u8);

struct Authority(Issuer<'static, KeyPair>, CertificateDer<'static>);

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2050, 1, 1));
        let certificate = params.self_signed(&key).unwrap();
        Self(Issuer::new(params, key), certificate.der().clone())
    }

    fn params(name: &str, from: Day, until: Day) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let day = |(year, month, day)| date_time_ymd(year, month, day);
        (params.not_before, params.not_after) = (day(from), day(until));
        params
    }

    /// Signs a request in this name.
    fn sign(&self, request: &str, name: &str, from: Day, until: Day) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params = Self::params(name, from, until);
        request.signed_by(&self.0).unwrap().pem()
    }
}

/// A gateway whose certificate of a year ends in two weeks, and its authority.
struct Gateway {
    folder: tempfile::TempDir,
    authority: Authority,
    roots: RootCertStore,
    present: Present,
}

impl Gateway {
    fn new() -> Self {
        Self::with(&Authority::new("clients' authority"), true)
    }

    /// `known`: the authority is the one of `uplink.tls.ca`.
    fn with(signer: &Authority, known: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            Authority::params(NAME, (2025, 12, 9), (2026, 12, 9)).signed_by(&key, &signer.0).unwrap();
        std::fs::write(folder.path().join("gateway.pem"), certificate.pem()).unwrap();
        write_private(&folder.path().join("gateway.key"), &key.serialize_pem());
        let authority = Authority::new("authority");
        let mut roots = RootCertStore::empty();
        roots.add(if known { signer.1.clone() } else { authority.1.clone() }).unwrap();
        let chain = vec![certificate.der().clone()];
        let present = Present { facts: Facts::of(certificate.der()).unwrap(), chain };
        Self { folder, authority, roots, present }
    }

    fn files(&self) -> Files {
        Files::new(self.folder.path().to_owned())
    }

    fn candidates(&self, now: i64) -> Vec<Facts> {
        let path = |name| self.folder.path().join(name);
        let client = ClientCertificate {
            certificate: path("gateway.pem"),
            key: SecretSource::File(path("gateway.key")),
        };
        let found = candidates(&client, &Credentials::default(), self.folder.path(), now).unwrap();
        found.into_iter().map(|identity| identity.facts.unwrap()).collect()
    }

    fn fitting(&self, answer: &str, request: &Request, trusted: bool) -> Result<Fitting, Unfit> {
        let expected = Expected {
            present: &self.present.facts,
            chain: &self.present.chain,
            key: &request.key,
            roots: &self.roots,
            now: NOW,
            trusted,
        };
        fitting(answer, expected)
    }
}

fn write_private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

const FROM: Day = (2026, 11, 1);
const UNTIL: Day = (2027, 11, 1);

#[test]
fn renewal_is_due_thirty_days_before_the_end_or_a_third_of_a_short_life() {
    let day = 86_400;
    let year = Validity { from: 0, until: 365 * day };
    assert!(!is_due(year, 335 * day));
    assert!(is_due(year, 335 * day + 1));
    let week = Validity { from: 0, until: 6 * day };
    assert!(!is_due(week, 4 * day));
    assert!(is_due(week, 4 * day + 1));
    assert!(is_due(week, 7 * day));
    assert!(
        !is_due(Validity { from: 10, until: 5 }, 0),
        "a certificate that is never valid is left to the broker"
    );
}

#[test]
fn a_request_is_made_in_the_present_name_and_stays_the_same() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    assert_eq!(gateway.files().request(&gateway.present.facts), Ok(None));
    let made = gateway.files().make_request(&gateway.present.facts).unwrap();
    let path = gateway.folder.path().join("broker.request.pem");
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(gateway.files().request(&gateway.present.facts), Ok(Some(made.clone())));
    assert!(!made.pem.contains("PRIVATE KEY") && !format!("{made:?}").contains("REQUEST"));
    // This checks the signature, too.
    let read = CertificateSigningRequestParams::from_pem(&made.pem).unwrap();
    let name = read.params.distinguished_name.get(&DnType::CommonName).unwrap();
    assert_eq!(name, &rcgen::DnValue::Utf8String(NAME.to_owned()));
    assert_eq!(read.public_key.algorithm(), &rcgen::PKCS_ECDSA_P256_SHA256);
    for (kind, algorithm) in
        [(KeyKind::P384, &rcgen::PKCS_ECDSA_P384_SHA384), (KeyKind::Ed25519, &rcgen::PKCS_ED25519)]
    {
        let request = gateway.files().make_request(&Facts { kind, ..gateway.present.facts.clone() }).unwrap();
        let read = CertificateSigningRequestParams::from_pem(&request.pem).unwrap();
        assert_eq!(read.public_key.algorithm(), algorithm);
        let pem = signer.sign(&request.pem, NAME, FROM, UNTIL);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(Facts::of(&der).unwrap().kind, kind);
    }
}

#[test]
fn a_damaged_request_is_told_from_none() {
    let gateway = Gateway::new();
    write_private(&gateway.folder.path().join("broker.request.pem"), "-----BEGIN CERTIFICATE REQUEST-----\n");
    assert_eq!(gateway.files().request(&gateway.present.facts), Err(FilesError::Damaged));
}

#[test]
fn an_answer_that_fits_is_taken_without_what_else_is_in_it() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    let fitting = gateway.fitting(&format!("{stranger}hello\n{answer}"), &request, true).unwrap();
    assert_eq!(fitting.until, 1_825_027_200);
    let one_line_end = |text: &str| text.replace("\r\n", "\n");
    assert_eq!(one_line_end(&fitting.pem), one_line_end(&answer));
}

#[test]
fn each_answer_that_does_not_fit_is_refused_for_its_own_reason() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let refused = |answer: &str| gateway.fitting(answer, &request, true).unwrap_err();
    let good = signer.sign(&request.pem, NAME, FROM, UNTIL);
    assert_eq!(refused(""), Unfit::Unreadable);
    assert_eq!(refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Unfit::Unreadable);
    assert_eq!(refused(&good.repeat(9)), Unfit::Unreadable);
    assert_eq!(refused(&format!("{good}{}", "x".repeat(40_000))), Unfit::Unreadable);

    let elsewhere = Gateway::with(&signer, true);
    let other = elsewhere.files().make_request(&elsewhere.present.facts).unwrap();
    let theirs = signer.sign(&other.pem, NAME, FROM, UNTIL);
    assert_eq!(refused(&theirs), Unfit::OtherKey(other.key));

    let sign = |name, from, until| signer.sign(&request.pem, name, from, until);
    assert_eq!(refused(&sign("kylavesi/gw-8", FROM, UNTIL)), Unfit::OtherName);
    assert_eq!(refused(&sign(NAME, (2026, 1, 1), (2026, 11, 1))), Unfit::Expired(Moment(1_793_491_200)));
    let future = sign(NAME, (2026, 12, 1), UNTIL);
    assert_eq!(refused(&future), Unfit::NotYet(Moment(1_796_083_200)));
    // A clock that is not trusted may be behind.
    assert!(gateway.fitting(&future, &request, false).is_ok());
    // It ends before the present one does, or would be renewed at once.
    assert!(matches!(refused(&sign(NAME, (2026, 11, 24), (2026, 12, 5))), Unfit::TooShort(_)));
    assert!(matches!(refused(&sign(NAME, (2026, 1, 1), (2026, 12, 20))), Unfit::TooShort(_)));

    let another = Authority::new("another").sign(&request.pem, NAME, FROM, UNTIL);
    assert_eq!(refused(&another), Unfit::OtherAuthority);
    let mut server = CertificateSigningRequestParams::from_pem(&request.pem).unwrap();
    server.params = Authority::params(NAME, FROM, UNTIL);
    server.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(matches!(refused(&server.signed_by(&signer.0).unwrap().pem()), Unfit::Refused(_)));
}

#[test]
fn where_the_brokers_authority_did_not_sign_the_present_one_nobody_can_tell() {
    let signer = Authority::new("clients' authority");
    let gateway = Gateway::with(&signer, false);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    for authority in [&signer, &gateway.authority] {
        let answer = authority.sign(&request.pem, NAME, FROM, UNTIL);
        assert!(gateway.fitting(&answer, &request, true).is_ok());
    }
}

#[test]
fn the_key_is_there_whatever_moment_the_power_fails_at() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let path = |name: &str| gateway.folder.path().join(name);
    let present = gateway.present.facts.clone();
    let renew = |present: &Facts, from, until| {
        let request = gateway.files().make_request(present).unwrap();
        let waiting = std::fs::read_to_string(path("broker.request.pem")).unwrap();
        let answer = signer.sign(&request.pem, NAME, from, until);
        gateway.files().install(&present.key, &request, &answer).unwrap();
        (waiting, request)
    };
    let (waiting, request) = renew(&present, FROM, UNTIL);
    assert!(!path("broker.request.pem").exists());
    let found = gateway.candidates(NOW);
    assert_eq!(found.iter().map(|facts| &facts.key).collect::<Vec<_>>(), [&request.key, &present.key]);
    assert_eq!(std::fs::metadata(path("broker.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    // The power failed after the pair was there and before the request was gone.
    write_private(&path("broker.request.pem"), &waiting);
    assert_eq!(gateway.files().request(&gateway.present.facts), Ok(None));
    assert!(!path("broker.request.pem").exists());

    // The next time the first renewed pair becomes the former one.
    let (waiting, next) = renew(&found[0], (2027, 10, 10), (2028, 11, 1));
    let later = NOW + 330 * 86_400;
    let keys = |now| gateway.candidates(now).into_iter().map(|facts| facts.key).collect::<Vec<_>>();
    assert_eq!(keys(later), [next.key.clone(), request.key.clone()], "the configured one is over by then");
    // The power failed after the present pair was renamed and before the new one was there.
    std::fs::remove_file(path("broker.pem")).unwrap();
    write_private(&path("broker.request.pem"), &waiting);
    assert_eq!(keys(later), std::slice::from_ref(&request.key));
    assert_eq!(gateway.files().request(&gateway.present.facts).unwrap().unwrap().key, next.key);
    // What is over is shown if there is nothing else: the broker then says so.
    assert_eq!(keys(later + 400 * 86_400).len(), 2);
}

#[test]
fn a_pair_that_was_not_taken_makes_way_and_the_working_one_stays() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let mut present = gateway.present.facts.clone();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let request = gateway.files().make_request(&present).unwrap();
        gateway
            .files()
            .install(&present.key, &request, &signer.sign(&request.pem, NAME, FROM, UNTIL))
            .unwrap();
        present = gateway.candidates(NOW).remove(0);
        keys.push(present.key.clone());
    }
    // The broker takes the first of the two only, so that is the present one.
    let former = gateway.files().known_keys();
    assert_eq!(former, [keys[1].clone(), keys[0].clone()]);
    let request = gateway.files().make_request(&present).unwrap();
    gateway.files().install(&keys[0], &request, &signer.sign(&request.pem, NAME, FROM, UNTIL)).unwrap();
    assert_eq!(gateway.files().known_keys(), [request.key, keys[0].clone()]);
}

#[test]
fn a_configured_pair_that_is_newer_or_has_another_name_goes_first() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    gateway.files().install(&gateway.present.facts.key, &request, &answer).unwrap();
    let configure = |name, from| {
        let key = KeyPair::generate().unwrap();
        let certificate = Authority::params(name, from, (2029, 1, 1)).signed_by(&key, &signer.0).unwrap();
        std::fs::write(gateway.folder.path().join("gateway.pem"), certificate.pem()).unwrap();
        write_private(&gateway.folder.path().join("gateway.key"), &key.serialize_pem());
        Facts::of(certificate.der()).unwrap().key
    };
    let key = configure(NAME, (2026, 11, 20));
    assert_eq!(gateway.candidates(NOW)[0].key, key);
    assert_eq!(gateway.candidates(NOW).len(), 2);
    configure("kylavesi/gw-8", (2020, 1, 1));
    assert_eq!(gateway.candidates(NOW).len(), 1, "the renewed pair is made out for another gateway");
    // A configured pair that cannot be read any more does not matter.
    std::fs::remove_file(gateway.folder.path().join("gateway.key")).unwrap();
    assert_eq!(gateway.candidates(NOW)[0].key, request.key);
}

#[test]
fn a_renewed_pair_whose_key_is_not_that_of_its_certificate_leaves_the_others_to_be_shown() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    gateway.files().install(&gateway.present.facts.key, &request, &answer).unwrap();
    let pair = gateway.folder.path().join("broker.pem");
    write_private(&pair, &format!("{}{answer}", KeyPair::generate().unwrap().serialize_pem()));
    let keys = || gateway.candidates(NOW).into_iter().map(|facts| facts.key).collect::<Vec<_>>();
    assert_eq!(keys(), std::slice::from_ref(&gateway.present.facts.key));
    // The configured pair is no better: a good renewed one is enough.
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    gateway.files().install(&gateway.present.facts.key, &request, &answer).unwrap();
    write_private(&gateway.folder.path().join("gateway.key"), &KeyPair::generate().unwrap().serialize_pem());
    assert_eq!(keys(), [request.key]);
}

#[test]
fn a_request_for_another_name_or_kind_of_key_is_none() {
    let gateway = Gateway::new();
    let present = &gateway.present.facts;
    let made = gateway.files().make_request(present).unwrap();
    let renamed = Facts { name: Some("kylavesi/gw-8".to_owned()), ..present.clone() };
    let stronger = Facts { kind: KeyKind::P384, ..present.clone() };
    for other in [renamed, stronger] {
        assert_eq!(gateway.files().request(&other), Ok(None));
    }
    // In place of a kind that is not made here P-256 is asked for.
    let rsa = Facts { kind: KeyKind::Other, ..present.clone() };
    assert_eq!(gateway.files().request(&rsa), Ok(Some(made)));
}

#[test]
fn what_is_left_of_an_answered_request_is_gone_after_the_next_start() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let request = gateway.files().make_request(&gateway.present.facts).unwrap();
    let path = gateway.folder.path().join("broker.request.pem");
    gateway.files().tidy().unwrap();
    assert!(path.exists(), "it still waits");
    let waiting = std::fs::read_to_string(&path).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    gateway.files().install(&gateway.present.facts.key, &request, &answer).unwrap();
    write_private(&path, &waiting);
    Renewal::new(gateway.folder.path().to_owned()).tidy();
    assert!(!path.exists());
}

#[test]
fn a_certificate_is_never_joined_with_the_key_of_another_request() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let present = &gateway.present.facts;
    let request = gateway.files().make_request(present).unwrap();
    let answer = signer.sign(&request.pem, NAME, FROM, UNTIL);
    gateway.files().make_request(present).unwrap();
    assert_eq!(gateway.files().install(&present.key, &request, &answer), Err(FilesError::Damaged));
    assert!(!gateway.folder.path().join("broker.pem").exists());
}

/// Linux takes no longer name, with the zero at its end.
const LONGEST_PATH: usize = 4096;

#[test]
fn where_the_new_pair_cannot_be_stored_the_request_and_the_pair_before_are_there() {
    let signer = Authority::new("authority");
    let gateway = Gateway::with(&signer, true);
    let first = gateway.files().make_request(&gateway.present.facts).unwrap();
    let answer = signer.sign(&first.pem, NAME, FROM, UNTIL);
    gateway.files().install(&gateway.present.facts.key, &first, &answer).unwrap();
    let present = gateway.candidates(NOW).remove(0);
    let second = gateway.files().make_request(&present).unwrap();
    // The same folder under a name that leaves room for the file's, and none for that of the file beside it.
    let mut far = gateway.folder.path().display().to_string();
    while far.len() < LONGEST_PATH - 30 {
        far += "/.";
    }
    let far = Files::new(far.into());
    let answer = signer.sign(&second.pem, NAME, FROM, UNTIL);
    assert!(far.install(&present.key, &second, &answer).is_err());
    assert!(!gateway.folder.path().join("broker.pem").exists(), "it had come that far");
    assert_eq!(gateway.files().request(&present), Ok(Some(second.clone())));
    assert_eq!(gateway.candidates(NOW)[0].key, first.key);
    assert_eq!(gateway.files().known_keys(), std::slice::from_ref(&first.key));
    gateway.files().install(&present.key, &second, &answer).unwrap();
    assert_eq!(gateway.candidates(NOW)[0].key, second.key);
    assert_eq!(gateway.files().known_keys(), [second.key, first.key]);
}
