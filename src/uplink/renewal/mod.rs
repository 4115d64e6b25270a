//! Our certificate: which one the broker is shown, and a new one before it ends.
//!
//! When little of its life is left, a private key and a request are made and kept (`files`); the request travels in
//! `status`, the certificate comes back in `config`. One that fits (`fitting`) is shown from then on; the one before is
//! kept for a broker that does not take it.

mod files;
mod fitting;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use messages::Time;
use messages::event::ProblemKind;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::{info, warn};

use self::files::{Files, FilesError, Request};
use self::fitting::{Expected, Unfit, fitting};
use super::identity::{Facts, Identity, Validity, candidates};
use super::mqtt::{Fault, Moment};
use super::session::Session;
use super::tls::{TlsFault, client_config, roots};
use crate::config::{self, Transport};

/// A certificate is renewed when less than this is left, or less than a third of its life.
const LEFT: i64 = 30 * 86_400;
/// How often is looked for an answer, or tried to make a request, besides when something comes.
const LOOK: Duration = Duration::from_secs(60);
/// After the broker did not take a renewed certificate: how long none is asked for.
const HELD_BACK: Duration = Duration::from_secs(86_400);
/// Places of problems: an answer that does not fit, a certificate that the broker does not take.
const ANSWER: &str = "certificate";
const SHOWN: &str = "renewed certificate";

/// The present certificate and what is to become of it.
#[derive(Debug)]
pub(super) struct Renewal {
    files: Files,
    present: Option<Rc<Present>>,
    /// The newest that could be shown, by its key.
    newest: Option<Vec<u8>>,
    /// How many could be shown, and which of them is: the broker did not take those before it.
    count: usize,
    turn: usize,
    request: Option<Request>,
    looked: Option<Instant>,
    held_back: Option<Instant>,
    /// Why there is no request.
    trouble: Option<FilesError>,
    /// There is a certificate that the broker has not been shown.
    installed: bool,
}

/// What the broker is shown.
#[derive(Debug)]
struct Present {
    facts: Facts,
    chain: Vec<CertificateDer<'static>>,
}

impl Renewal {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self {
            files: Files::new(folder),
            present: None,
            newest: None,
            count: 0,
            turn: 0,
            request: None,
            looked: None,
            held_back: None,
            trouble: None,
            installed: false,
        }
    }

    /// What the power cut short is finished: a request whose certificate is in use already is gone.
    pub(super) fn tidy(&self) {
        if let Err(error) = self.files.tidy() {
            warn!("the file of a request that is answered cannot be removed: {error}");
        }
    }

    /// The request to be published.
    pub(super) fn request(&self) -> Option<String> {
        self.request.as_ref().map(|request| request.pem.clone())
    }

    /// Until when the present certificate is valid.
    pub(super) fn expires(&self) -> Option<Time> {
        self.present.as_ref().and_then(|present| Time::from_unix(present.facts.validity.until))
    }

    /// Something has come that may be the answer.
    pub(super) const fn look_again(&mut self) {
        self.looked = None;
    }

    /// Whether the line is to be made anew; asked once.
    pub(super) const fn take_installed(&mut self) -> bool {
        std::mem::replace(&mut self.installed, false)
    }

    /// The one that is to be shown of these.
    fn choose(&mut self, mut found: Vec<Identity>) -> Option<Identity> {
        let newest = found.first().and_then(|identity| Some(identity.facts.as_ref()?.key.clone()));
        if newest != self.newest {
            (self.newest, self.turn) = (newest, 0);
        }
        self.count = found.len();
        if self.turn >= found.len() {
            self.turn = 0;
        }
        let identity = (self.turn < found.len()).then(|| found.swap_remove(self.turn))?;
        self.present =
            identity.facts.clone().map(|facts| Rc::new(Present { facts, chain: identity.chain().to_vec() }));
        Some(identity)
    }
}

/// Whether it is time for a new certificate.
fn is_due(validity: Validity, now: i64) -> bool {
    validity.until.saturating_sub(now) < early(validity)
}

/// Whether the portal has had the time to renew it, and has not.
pub(super) fn is_late(validity: Validity, now: i64) -> bool {
    let patience = early(validity).saturating_mul(2).checked_div(3).unwrap_or(0);
    validity.until.saturating_sub(now) <= patience
}

/// How long before its end a certificate is renewed.
fn early(Validity { from, until }: Validity) -> i64 {
    until.saturating_sub(from).max(0).checked_div(3).unwrap_or(0).min(LEFT)
}

impl Session {
    /// What a connection needs. Files are read for each: a certificate that was changed is taken without a restart.
    pub(super) fn tls(&mut self, tls: &config::Tls) -> Result<Arc<ClientConfig>, Fault> {
        let fault = |fault: TlsFault| Fault::Files(fault.to_string());
        let now = self.calendar.now();
        let identity = match &tls.client {
            None => None,
            Some(client) => {
                let folder = self.renewal.files.folder();
                let found = candidates(client, &self.setup.credentials, folder, now).map_err(fault)?;
                self.renewal.choose(found)
            }
        };
        let validity = self.renewal.present.as_ref().map(|present| present.facts.validity);
        if let Some(validity) = validity.filter(|validity| now < validity.from) {
            // The broker would say "bad certificate" only.
            warn!(
                "our certificate is valid from {} only, and it is {} here: correct our clock",
                Moment(validity.from),
                Moment(now)
            );
        }
        client_config(tls, identity, &self.calendar).map_err(fault)
    }

    /// The broker did not take our certificate: it is shown the one before, if there is one.
    pub(super) fn certificate_refused(&mut self, fault: &Fault) {
        let renewal = &mut self.renewal;
        if renewal.count < 2 {
            return;
        }
        if renewal.turn == 0 {
            renewal.held_back = Instant::now().checked_add(HELD_BACK);
            let text = format!("{fault}; until that is mended it is shown the certificate before");
            self.shared.problem(ProblemKind::ConfigRefused, Some(SHOWN), Some(&text));
        }
        self.renewal.turn = self.renewal.turn.saturating_add(1);
    }

    /// The broker has taken something: then it has taken our certificate.
    pub(super) fn certificate_taken(&mut self) {
        if self.renewal.turn == 0 {
            self.renewal.held_back = None;
            self.shared.problem(ProblemKind::ConfigRefused, Some(SHOWN), None);
        }
    }

    /// Once a second: has the present certificate renewed, if it is time.
    pub(super) fn renew_certificate(&mut self) {
        let Some(present) = self.renewal.present.clone() else { return };
        let now = self.calendar.now();
        if is_due(present.facts.validity, now) {
            let last = self.renewal.looked;
            if last.is_none_or(|last| Instant::now().saturating_duration_since(last) >= LOOK) {
                self.renewal.looked = Some(Instant::now());
                self.ask_for_certificate(&present);
                self.look_for_certificate(&present);
            }
        } else {
            self.renewal.request = None;
            self.shared.problem(ProblemKind::ConfigRefused, Some(ANSWER), None);
        }
        self.check_certificate(present.facts.validity, now);
    }

    /// A problem, once the portal has had time to answer.
    fn check_certificate(&self, validity: Validity, now: i64) {
        let left = validity.until.saturating_sub(now);
        let text = is_late(validity, now).then(|| {
            let end = Moment(validity.until);
            let asked = match (&self.renewal.request, self.renewal.trouble) {
                (Some(_), _) => "; the portal has been asked for a new one".to_owned(),
                (None, Some(why)) => format!("; no new one can be asked for: {why}"),
                (None, None) => String::new(),
            };
            if left <= 0 {
                format!("our certificate has expired at {end}: renew it, or correct our clock{asked}")
            } else {
                format!("our certificate expires at {end}: renew it{asked}")
            }
        });
        self.shared.problem(ProblemKind::CertificateExpiring, None, text.as_deref());
    }

    /// The request that waits, or a new one. The file counts, not what is remembered of it: without its private key the
    /// answer would be of no use.
    fn ask_for_certificate(&mut self, present: &Present) {
        let renewal = &mut self.renewal;
        if renewal.request.is_none() && renewal.held_back.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let request = match renewal.files.request(&present.facts) {
            Ok(Some(request)) => Ok(request),
            Ok(None) | Err(FilesError::Damaged | FilesError::Secret(_)) => {
                renewal.files.make_request(&present.facts)
            }
            Err(error) => Err(error),
        };
        match request {
            Ok(request) => {
                if renewal.request.as_ref() != Some(&request) {
                    info!(
                        expires = %Moment(present.facts.validity.until),
                        "the portal is asked for a new certificate"
                    );
                }
                (renewal.request, renewal.trouble) = (Some(request), None);
            }
            Err(error) => (renewal.request, renewal.trouble) = (None, Some(error)),
        }
    }

    /// What the portal has brought, if it has.
    fn look_for_certificate(&mut self, present: &Present) {
        let Some(request) = self.renewal.request.clone() else { return };
        let config = self.shared.note(self.shared.store.borrow().gateway_config()).flatten();
        let answer = config.and_then(|config| config.certificate);
        let unfit = answer.and_then(|answer| self.take_certificate(&answer, &request, present).err());
        let text = unfit.map(|why| {
            format!("the certificate that the portal brings is refused: {why}; the present one stays in use")
        });
        self.shared.problem(ProblemKind::ConfigRefused, Some(ANSWER), text.as_deref());
    }

    fn take_certificate(&mut self, answer: &str, request: &Request, present: &Present) -> Result<(), String> {
        let Transport::Tls(tls) = &self.setup.config.transport else { return Ok(()) };
        let roots = roots(&tls.ca).map_err(|error| error.to_string())?;
        let expected = Expected {
            present: &present.facts,
            chain: &present.chain,
            key: &request.key,
            roots: &roots,
            now: self.calendar.now(),
            trusted: self.shared.now().is_some(),
        };
        let fitting = match fitting(answer, expected) {
            Ok(fitting) => fitting,
            // The answer to the request before: the portal keeps it until it has one for this.
            Err(Unfit::OtherKey(key)) if key == present.facts.key => return Ok(()),
            Err(Unfit::OtherKey(key)) if self.renewal.files.known_keys().contains(&key) => return Ok(()),
            Err(why) => return Err(why.to_string()),
        };
        self.renewal
            .files
            .install(&present.facts.key, request, &fitting.pem)
            .map_err(|error| format!("it cannot be stored: {error}"))?;
        info!(expires = %Moment(fitting.until), "our certificate is renewed");
        self.renewal.request = None;
        self.renewal.installed = true;
        Ok(())
    }
}
