//! A portal that does nothing but enrol gateways, over HTTPS.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use messages::enrol::{EnrolAnswer, EnrolRequest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::{Authority, Identity, Years};

/// The office. It serves until the test ends.
#[derive(Debug)]
pub struct Office {
    address: String,
    desk: Arc<Mutex<Desk>>,
}

/// What lies on its desk.
#[derive(Debug)]
pub struct Desk {
    /// Signs gateways.
    authority: Authority,
    /// What it says of the broker.
    broker: (String, String),
    /// Which gateway each token is for, and for which key it was used.
    tokens: HashMap<String, (String, Option<String>)>,
    /// Every request that came.
    pub requests: Vec<EnrolRequest>,
    /// Hangs up instead of answering, so many times, after it has done its work.
    pub loses_answers: usize,
}

impl Office {
    /// At `localhost`, with this certificate; `token` is good for the gateway `utility/name`. The broker is at that address,
    /// and its authority in that text (PEM).
    #[must_use]
    pub fn open(
        identity: &Identity,
        authority: Authority,
        broker: (String, String),
        (token, gateway): (&str, &str),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let desk = Desk {
            authority,
            broker,
            tokens: HashMap::from([(token.to_owned(), (gateway.to_owned(), None))]),
            requests: Vec::new(),
            loses_answers: 0,
        };
        let desk = Arc::new(Mutex::new(desk));
        let (certificate, key) = (&identity.certificate, &identity.key);
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        let (config, own) = (Arc::new(config), Arc::clone(&desk));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that breaks off is the client's affair.
                let _ = serve(stream, &config, &own);
            }
        });
        Self { address, desk }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its desk.
    ///
    /// # Panics
    /// When serving panicked.
    pub fn desk<T>(&self, look: impl FnOnce(&mut Desk) -> T) -> T {
        look(&mut self.desk.lock().unwrap())
    }
}

impl Desk {
    fn answer(&mut self, request: EnrolRequest) -> (u16, Vec<u8>) {
        let known = self.tokens.get_mut(request.token.reveal());
        let key = key_of(&request.csr);
        let answer = match known {
            Some((gateway, used)) if used.as_ref().is_none_or(|used| *used == key) => {
                *used = Some(key);
                let certificate = self.authority.answer(&request.csr, gateway, Years::NOW);
                let (utility, name) = gateway.split_once('/').unwrap();
                Some(EnrolAnswer {
                    utility: utility.parse().unwrap(),
                    gateway: name.parse().unwrap(),
                    certificate,
                    broker_ca: self.broker.1.clone(),
                    broker: self.broker.0.clone(),
                })
            }
            _ => None,
        };
        self.requests.push(request);
        answer.map_or((403, Vec::new()), |answer| (200, serde_json::to_vec(&answer).unwrap()))
    }
}

/// The public key that a request is for.
fn key_of(csr: &str) -> String {
    let request = rcgen::CertificateSigningRequestParams::from_pem(csr).unwrap();
    format!("{:?}", rcgen::PublicKeyData::der_bytes(&request.public_key))
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, desk: &Mutex<Desk>) -> std::io::Result<()> {
    let tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut line = BufReader::new(StreamOwned::new(tls, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if line.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    line.read_exact(&mut body)?;
    let (status, body) = if head.starts_with("POST /enrol HTTP/1.1") {
        let mut desk = desk.lock().unwrap();
        let answer = desk.answer(serde_json::from_slice(&body).unwrap());
        if desk.loses_answers > 0 {
            desk.loses_answers -= 1;
            return Ok(());
        }
        answer
    } else {
        (404, Vec::new())
    };
    let mut line = line.into_inner();
    write!(line, "HTTP/1.1 {status} So\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    line.write_all(&body)?;
    line.conn.send_close_notify();
    line.flush()
}
