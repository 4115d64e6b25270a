use rcgen::{CertificateParams, DistinguishedName};

use super::*;

#[test]
fn a_portals_address_is_https_or_on_this_machine() {
    let parsed = |text: &str| PortalAddress::parse(text).map(|address| address.to_string());
    assert_eq!(parsed(" portal.example.org/ ").unwrap(), "https://portal.example.org");
    assert_eq!(parsed("https://portal.example.org:8443").unwrap(), "https://portal.example.org:8443");
    assert_eq!(parsed("http://localhost:8080").unwrap(), "http://localhost:8080");
    for bad in [
        "http://portal.example.org",
        "ftp://localhost",
        "",
        "https://",
        "https://user@host",
        "https://a b",
        "a?b",
    ] {
        assert_eq!(parsed(bad), Err(EnrolError::Address), "{bad}");
    }
}

#[test]
fn a_kept_key_asks_for_the_same_certificate_again() {
    let one = Enrolment::new().unwrap();
    let again = Enrolment::again(&one.private_key).unwrap();
    assert_eq!(again.public, one.public);
    assert_ne!(Enrolment::new().unwrap().public, one.public);
    assert_eq!(Enrolment::again("no key").unwrap_err(), EnrolError::NoKey);
    assert!(!format!("{one:?}").contains("PRIVATE"));
}

/// A certificate of this name for this key, and an answer with it.
fn answer(enrolment: &Enrolment, name: &str) -> EnrolAnswer {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::from_pem(&enrolment.private_key).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    EnrolAnswer {
        utility: "kylavesi".parse().unwrap(),
        gateway: "gw-7".parse().unwrap(),
        broker_ca: certificate.clone(),
        certificate,
        broker: "broker.example.org:8883".to_owned(),
    }
}

#[test]
fn an_answer_is_taken_only_if_it_fits_the_request() {
    let ours = Enrolment::new().unwrap();
    let good = answer(&ours, "kylavesi/gw-7");
    assert_eq!(ours.check(&good), Ok(()));
    let unfit = |answer: &EnrolAnswer| ours.check(answer).unwrap_err().to_string();
    assert!(unfit(&answer(&Enrolment::new().unwrap(), "kylavesi/gw-7")).contains("another key"));
    assert!(unfit(&answer(&ours, "kylavesi/gw-8")).contains("another name"));
    assert!(
        unfit(&EnrolAnswer { certificate: "none".to_owned(), ..good.clone() }).contains("cannot be read")
    );
    // X.509 version 1 has no extensions: TLS does not take it.
    assert!(
        unfit(&EnrolAnswer { certificate: version_1(&good.certificate), ..good.clone() }).contains("TLS")
    );
    assert!(unfit(&EnrolAnswer { broker_ca: String::new(), ..good.clone() }).contains("authority"));
    for bad in ["broker.example.org", ":8883", "broker:mqtt", "broker:70000"] {
        assert!(
            unfit(&EnrolAnswer { broker: bad.to_owned(), ..good.clone() }).contains("no broker"),
            "{bad}"
        );
    }
    let six = EnrolAnswer { broker: "[2001:db8::1]:8883".to_owned(), ..good };
    assert_eq!(broker(&six).unwrap(), ("2001:db8::1", 8883));
}

/// The certificate without its version, which then is 1.
fn version_1(pem: &str) -> String {
    use base64::Engine as _;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let version = [0xA0, 0x03, 0x02, 0x01, 0x02];
    let at = der.windows(5).position(|bytes| bytes == version).unwrap();
    // What is signed begins right before the version; it and the whole are sequences with long lengths.
    let content = [&der[..at], &der[at + 5..]].concat();
    let signed = (0..at).rev().find(|start| der[*start] == 0x30).unwrap();
    let mut der = content;
    for start in [0, signed] {
        match der[start + 1] {
            0x81 => der[start + 2] -= 5,
            0x82 => {
                let shorter = u16::from_be_bytes([der[start + 2], der[start + 3]]) - 5;
                der[start + 2..start + 4].copy_from_slice(&shorter.to_be_bytes());
            }
            other => panic!("{other:02x}"),
        }
    }
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A portal on this machine that gives one answer.
fn portal(answer: &'static str) -> PortalAddress {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        // The request's body ends with the object that it is.
        while !request.ends_with(b"}") {
            let mut some = [0; 4096];
            let read = stream.read(&mut some).unwrap();
            request.extend_from_slice(&some[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    PortalAddress::parse(&address).unwrap()
}

#[test]
fn every_refusal_says_what_to_do() {
    let keys = || {
        let key = |seed| messages::seal::SecretKey::from_bytes([seed; 32]).public();
        (key(1), key(2))
    };
    let told = |answer| Enrolment::new().unwrap().ask(&portal(answer), None, "t", keys()).unwrap_err();
    let refused = |status| told(status);
    assert_eq!(refused("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"), EnrolError::Token);
    assert_eq!(refused("HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n"), EnrolError::TooOften);
    assert_eq!(refused("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"), EnrolError::NoPortal);
    // The token is not carried elsewhere.
    assert_eq!(
        refused("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:9/enrol\r\ncontent-length: 0\r\n\r\n"),
        EnrolError::NoPortal
    );
    assert_eq!(refused("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), EnrolError::Status(503));
    assert_eq!(refused("HTTP/1.1 200 Yes\r\ncontent-length: 2\r\n\r\n{}"), EnrolError::NoPortal);
    assert!(!matches!(refused("220 mail.example.org\r\n"), EnrolError::Token));
    let nobody = PortalAddress::parse("http://127.0.0.1:9").unwrap();
    let error = Enrolment::new().unwrap().ask(&nobody, None, "t", keys()).unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable(_)), "{error:?}");
}
