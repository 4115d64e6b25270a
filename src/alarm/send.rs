//! One mail to the server, and what came of it.
//!
//! Every step is taken by itself, so that a refused login, sender, recipient and text are told apart: the first two are
//! our own setting and keep the mail, the others are about this mail. What the server says is never repeated: it likes
//! to repeat addresses. One outer timeout covers all of it, since the library's own covers connecting only.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials as Login, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use rustls::CertificateError;

use super::mail::Written;
use crate::config::{Credentials, Mail, MailSecurity, Secret, SecretError};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it.
    Sent {
        /// Its reply.
        reply: u16,
    },
    /// Not now, this one; others may fare better.
    Later(Trouble),
    /// Never, this one.
    Refused(Trouble),
    /// The server as a whole: no other mail would fare better.
    Server(Trouble),
}

impl Outcome {
    /// What went wrong.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Sent { .. } => None,
            Self::Later(trouble) | Self::Refused(trouble) | Self::Server(trouble) => Some(trouble),
        }
    }
}

/// What went wrong. `Display` says what to do about it, and holds no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub kind: TroubleKind,
    /// The server's reply code, if there was one.
    pub reply: Option<u16>,
}

/// What went wrong, told apart by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// No connection.
    Unreachable,
    /// No answer in time.
    Silent,
    /// The connection broke, or what answers is no mail server.
    Broken,
    /// The connection broke after the whole mail: the server may have it.
    Uncertain,
    /// The server takes nothing at the moment.
    Busy,
    /// The server takes nothing from us.
    Closed,
    /// TLS was asked for and is not offered.
    NoTls,
    /// No TLS could be agreed on.
    Tls,
    /// The server's certificate has expired, or our clock is wrong.
    CertificateDate,
    /// The server's certificate is for another name.
    CertificateName,
    /// The server's certificate comes from somebody who is not trusted here.
    CertificateIssuer,
    /// The server's certificate is wrong in another way.
    Certificate,
    /// User or password are wrong.
    Login,
    /// The server knows no way to log in that we know.
    NoLogin,
    /// The server wants a login and there is none.
    LoginNeeded,
    /// Our own address.
    Sender,
    /// The recipient's address.
    Recipient,
    /// The mail itself.
    Content,
    /// The address has letters that this server cannot carry, or is none.
    Address,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TroubleKind::Unreachable => {
                "the mail server cannot be reached: check server and port of [mail], and the network"
            }
            TroubleKind::Silent => "the mail server does not answer in time: it or the network is overloaded",
            TroubleKind::Broken => {
                "the mail server broke the connection, or is none: check port and security of [mail]"
            }
            TroubleKind::Uncertain => {
                "the connection broke after the mail was handed over: it is sent again under the same Message-ID"
            }
            TroubleKind::Busy => "the mail server takes nothing at the moment: it is tried again",
            TroubleKind::Closed => {
                "the mail server takes nothing from this machine: ask its operator to let this gateway send"
            }
            TroubleKind::NoTls => {
                "the mail server offers no STARTTLS, nothing was sent: write security = \"tls\", or name another server"
            }
            TroubleKind::Tls => "no TLS with the mail server: check port and security of [mail]",
            TroubleKind::CertificateDate => {
                "the mail server's certificate has expired or is not valid yet: check this machine's date, then ask the server's operator"
            }
            TroubleKind::CertificateName => {
                "the mail server's certificate is for another name: write the name that the certificate has as server in [mail]"
            }
            TroubleKind::CertificateIssuer => {
                "the mail server's certificate comes from an authority that is not trusted here: add it to the system's list"
            }
            TroubleKind::Certificate => "the mail server's certificate is wrong: ask the server's operator",
            TroubleKind::Login => "the mail server refuses the login: check user and password_file of [mail]",
            TroubleKind::NoLogin => {
                "the mail server offers no login with a password: check port and security of [mail]"
            }
            TroubleKind::LoginNeeded => {
                "the mail server wants a login: write user and password_file in [mail]"
            }
            TroubleKind::Sender => {
                "the mail server refuses our sender address: write one as from in [mail] that the login may use"
            }
            TroubleKind::Recipient => "the mail server refuses the recipient's address",
            TroubleKind::Content => "the mail server refuses the mail itself: ask its operator why",
            TroubleKind::Address => {
                "the recipient's address cannot be used: it is none, or the server cannot carry its letters"
            }
        })?;
        match self.reply {
            Some(reply) => write!(f, " (reply {reply})"),
            None => Ok(()),
        }
    }
}

/// Where mails go.
#[derive(Clone, Debug)]
pub enum Post {
    /// To a server.
    Smtp(Arc<Smtp>),
    /// Nowhere: tests look at them.
    Memory(Memory),
}

impl Post {
    /// Sends a mail.
    pub async fn send(&self, mail: &Written) -> Outcome {
        match self {
            Self::Smtp(smtp) => smtp.send(mail).await,
            Self::Memory(memory) => memory.take(mail),
        }
    }
}

/// Keeps mails in memory, and answers as it is told.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    mails: Vec<Written>,
    answers: std::collections::VecDeque<Outcome>,
}

impl Memory {
    /// Answers this once, after what was told before; then that it has them.
    pub fn answer(&self, outcome: Outcome) {
        self.lock().answers.push_back(outcome);
    }

    /// The mails it has taken.
    #[must_use]
    pub fn mails(&self) -> Vec<Written> {
        self.lock().mails.clone()
    }

    fn take(&self, mail: &Written) -> Outcome {
        let mut kept = self.lock();
        let outcome = kept.answers.pop_front().unwrap_or(Outcome::Sent { reply: 250 });
        if matches!(outcome, Outcome::Sent { .. }) {
            kept.mails.push(mail.clone());
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mail server.
#[derive(Debug)]
pub struct Smtp {
    server: String,
    port: u16,
    security: MailSecurity,
    login: Option<(String, Secret)>,
    timeout: Duration,
    /// Authorities that are trusted besides the system's.
    roots: Vec<Certificate>,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Tls,
    Login,
    Sender,
    Recipient,
    Data,
    Text,
}

/// After the server has the mail it is told goodbye; nobody waits for its answer.
const GOODBYE: Duration = Duration::from_secs(5);

impl Smtp {
    /// The server of the configuration; its password is read now.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn new(mail: &Mail, credentials: &Credentials) -> Result<Self, SecretError> {
        let login = mail.login.as_ref();
        let login =
            login.map(|login| Ok::<_, SecretError>((login.user.clone(), login.password.read(credentials)?)));
        Ok(Self {
            server: mail.server.as_str().to_owned(),
            port: mail.port,
            security: mail.security,
            login: login.transpose()?,
            timeout: mail.timeout,
            roots: Vec::new(),
        })
    }

    /// Sends a mail.
    pub async fn send(&self, mail: &Written) -> Outcome {
        let mut step = Step::Greeting;
        let attempt = tokio::time::timeout(self.timeout, self.attempt(mail, &mut step)).await;
        match attempt {
            Ok(Ok(reply)) => Outcome::Sent { reply },
            Ok(Err(failure)) => failure.outcome(step),
            Err(_) => Failure::Silent.outcome(step),
        }
    }

    /// Goes as far as the login and says goodbye: no mail is sent.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn greet(&self) -> Result<(), Trouble> {
        let mut step = Step::Greeting;
        let failure = match tokio::time::timeout(self.timeout, self.connect(&mut step)).await {
            Ok(Ok(mut line)) => {
                let _ = tokio::time::timeout(GOODBYE, line.quit()).await;
                return Ok(());
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Silent,
        };
        failure.outcome(step).trouble().map_or(Ok(()), |trouble| Err(trouble.clone()))
    }

    /// Greeting, TLS and login.
    async fn connect(&self, step: &mut Step) -> Result<AsyncSmtpConnection, Failure> {
        let hello = ClientId::default();
        let implicit = match self.security {
            MailSecurity::Tls => Some(self.tls()?),
            MailSecurity::StartTls | MailSecurity::None => None,
        };
        let address = (self.server.as_str(), self.port);
        let mut line =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &hello, implicit, None).await?;
        if self.security == MailSecurity::StartTls {
            *step = Step::Tls;
            if !line.can_starttls() {
                return Err(Failure::Is(TroubleKind::NoTls));
            }
            line.starttls(self.tls()?, &hello).await?;
        }
        if let Some((user, password)) = &self.login {
            *step = Step::Login;
            if line.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
                return Err(Failure::Is(TroubleKind::NoLogin));
            }
            let password = password.expose_text().ok_or(Failure::Is(TroubleKind::Login))?;
            line.auth(DEFAULT_MECHANISMS, &Login::new(user.clone(), password.to_owned())).await?;
        }
        Ok(line)
    }

    async fn attempt(&self, mail: &Written, step: &mut Step) -> Result<u16, Failure> {
        let mut line = self.connect(step).await?;
        *step = Step::Sender;
        let ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let plain = mail.envelope.from().is_none_or(ascii) && mail.envelope.to().iter().all(ascii);
        if !plain && !line.server_info().supports_feature(Extension::SmtpUtfEight) {
            *step = Step::Recipient;
            return Err(Failure::Is(TroubleKind::Address));
        }
        let options = if plain { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
        line.command(MailFrom::new(mail.envelope.from().cloned(), options)).await?;
        *step = Step::Recipient;
        for to in mail.envelope.to() {
            line.command(Rcpt::new(to.clone(), Vec::new())).await?;
        }
        *step = Step::Data;
        line.command(Data).await?;
        *step = Step::Text;
        let reply = line.message(&mail.bytes).await?;
        tokio::spawn(async move { tokio::time::timeout(GOODBYE, line.abort()).await });
        Ok(u16::from(reply.code()))
    }

    fn tls(&self) -> Result<TlsParameters, Failure> {
        let builder = TlsParameters::builder(self.server.clone());
        let builder =
            self.roots.iter().fold(builder, |builder, root| builder.add_root_certificate(root.clone()));
        builder.build().map_err(|_| Failure::Is(TroubleKind::Tls))
    }
}

/// Why an attempt did not succeed.
enum Failure {
    Smtp(smtp::Error),
    Is(TroubleKind),
    Silent,
}

impl From<smtp::Error> for Failure {
    fn from(error: smtp::Error) -> Self {
        Self::Smtp(error)
    }
}

impl Failure {
    /// What it means where it happened.
    fn outcome(&self, step: Step) -> Outcome {
        let Self::Smtp(error) = self else {
            let kind = match self {
                Self::Is(kind) => *kind,
                _ if step == Step::Text => TroubleKind::Uncertain,
                _ => TroubleKind::Silent,
            };
            let trouble = Trouble { kind, reply: None };
            return match kind {
                TroubleKind::Address => Outcome::Refused(trouble),
                TroubleKind::Uncertain => Outcome::Later(trouble),
                _ => Outcome::Server(trouble),
            };
        };
        match error.status().map(u16::from) {
            Some(reply) => refused(step, reply),
            None => Outcome::Server(Trouble { kind: broken(error, step), reply: None }).or_later(step),
        }
    }
}

impl Outcome {
    /// A connection that broke after the mail was handed over concerns this mail alone.
    fn or_later(self, step: Step) -> Self {
        match self {
            Self::Server(trouble) if step == Step::Text => Self::Later(trouble),
            other => other,
        }
    }
}

/// The server said no.
fn refused(step: Step, reply: u16) -> Outcome {
    let trouble = |kind| Trouble { kind, reply: Some(reply) };
    let temporary = reply < 500;
    // A login may be asked for at any command (RFC 4954, 6).
    match (reply, step) {
        (421, _) => Outcome::Server(trouble(TroubleKind::Busy)),
        (530, _) => Outcome::Server(trouble(TroubleKind::LoginNeeded)),
        (534 | 535 | 538, _) => Outcome::Server(trouble(TroubleKind::Login)),
        (_, Step::Greeting | Step::Tls | Step::Login) if temporary => {
            Outcome::Server(trouble(TroubleKind::Busy))
        }
        (_, Step::Greeting) => Outcome::Server(trouble(TroubleKind::Closed)),
        (_, Step::Tls) => Outcome::Server(trouble(TroubleKind::NoTls)),
        (_, Step::Login) => Outcome::Server(trouble(TroubleKind::Login)),
        (_, Step::Sender) if temporary => Outcome::Later(trouble(TroubleKind::Sender)),
        // Our own setting: no mail would fare better, and all can be sent once it is mended.
        (_, Step::Sender) => Outcome::Server(trouble(TroubleKind::Sender)),
        (_, Step::Recipient) if temporary => Outcome::Later(trouble(TroubleKind::Recipient)),
        (_, Step::Recipient) => Outcome::Refused(trouble(TroubleKind::Recipient)),
        (_, Step::Data | Step::Text) if temporary => Outcome::Later(trouble(TroubleKind::Content)),
        (_, Step::Data | Step::Text) => Outcome::Refused(trouble(TroubleKind::Content)),
    }
}

/// The connection failed.
fn broken(error: &smtp::Error, step: Step) -> TroubleKind {
    if let Some(kind) = find(error, tls_trouble) {
        return kind;
    }
    match (step, find(error, |error| error.downcast_ref::<io::Error>().map(io::Error::kind))) {
        (Step::Text, _) => TroubleKind::Uncertain,
        (_, Some(io::ErrorKind::TimedOut)) => TroubleKind::Silent,
        (Step::Greeting, Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)) => {
            TroubleKind::Broken
        }
        (Step::Greeting, _) if !error.is_response() => TroubleKind::Unreachable,
        _ => TroubleKind::Broken,
    }
}

fn tls_trouble(error: &(dyn StdError + 'static)) -> Option<TroubleKind> {
    Some(match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TroubleKind::CertificateDate,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TroubleKind::CertificateName
            }
            CertificateError::UnknownIssuer => TroubleKind::CertificateIssuer,
            _ => TroubleKind::Certificate,
        },
        _ => TroubleKind::Tls,
    })
}

/// Looks through an error and what caused it.
fn find<T>(
    error: &(dyn StdError + 'static),
    mut wanted: impl FnMut(&(dyn StdError + 'static)) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = wanted(error) {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;
