//! Why a line ended, in words that say what to do.

use std::io;

use messages::Time;
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use rumqttc::{ConnectReturnCode, ConnectionError, DisconnectReasonCode, StateError, TlsError};

/// Why the line to the broker is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// CONNACK with a reason.
    #[error("the broker refuses the connection: {}", refusal(.0))]
    Refused(String),
    /// SUBACK with a reason.
    #[error(
        "the broker refuses the subscription ({0}): let this gateway read its own ack/#, config and config/#"
    )]
    SubscriptionRefused(String),
    /// PUBACK: not authorised.
    #[error(
        "the broker does not let us publish (reason 135, not authorised): let this gateway write its own uplink, state \
         and status, and check that [gateway] utility and name are those of the certificate or user"
    )]
    PublishRefused,
    /// PUBACK with another reason.
    #[error("the broker does not take what we publish ({0}): see its log")]
    NotTaken(String),

    /// Nobody we trust has signed the broker's certificate.
    #[error(
        "the broker's certificate is signed by an unknown authority: tls.ca is not the broker's authority, or this is not \
         our broker"
    )]
    UnknownIssuer,
    /// The broker's certificate is too old, or our clock is ahead.
    #[error(
        "the broker's certificate expired at {until}, and it is {now} here: renew it, or correct our clock"
    )]
    Expired {
        /// What we take for the time.
        now: Moment,
        /// Its end.
        until: Moment,
    },
    /// The broker's certificate is too young, or our clock is behind.
    #[error("the broker's certificate is valid from {from} only, and it is {now} here: correct our clock")]
    NotYetValid {
        /// What we take for the time.
        now: Moment,
        /// Its beginning.
        from: Moment,
    },
    /// The broker's certificate is somebody else's.
    #[error(
        "the broker's certificate is not for {expected} but for {presented}: write that name in uplink.host"
    )]
    WrongName {
        /// What we connect to.
        expected: String,
        /// What it is made out for.
        presented: String,
    },
    /// The broker's certificate is on the list.
    #[error("the broker's certificate is revoked")]
    Revoked,
    /// The list of revoked certificates is out of date or of no use.
    #[error(
        "the list of revoked certificates (tls.crl) does not cover the broker's certificate or is out of date: renew it"
    )]
    RevocationUnknown,
    /// Anything else about the broker's certificate.
    #[error("the broker's certificate is not accepted: {0}")]
    BadBrokerCertificate(String),

    /// The broker wants a certificate of ours.
    #[error("the broker requires a client certificate: write certificate and key in uplink.tls")]
    CertificateRequired,
    /// The broker does not know who signed ours.
    #[error(
        "the broker does not know the authority that signed our certificate: have it signed by the broker's"
    )]
    OurIssuerUnknown,
    /// Ours is too old.
    #[error("our certificate has expired, says the broker: renew it, or correct the broker's clock")]
    OurCertificateExpired,
    /// Ours is on the broker's list.
    #[error("our certificate is revoked, says the broker: enrol this gateway again")]
    OurCertificateRevoked,
    /// Ours is not accepted for another reason; one that is not valid yet by the broker's clock gives this.
    #[error(
        "the broker does not accept our certificate ({0}): check its dates and purpose (clientAuth) and both clocks"
    )]
    OurCertificateBad(String),

    /// A certificate, key or password file.
    #[error("{0}")]
    Files(String),
    /// TLS does not come about.
    #[error("TLS with the broker fails: {0}")]
    Tls(String),
    /// The other end hangs up while TLS begins.
    #[error(
        "the connection ends while TLS begins: does this port speak TLS? A plain one is usually 1883, TLS 8883"
    )]
    NotTls,
    /// The other end hangs up before it answers.
    #[error("the broker closes the connection before it answers: does this port expect TLS?")]
    NotPlain,

    /// The port is closed.
    #[error("nothing listens at the broker's address: check host and port, and that the broker runs")]
    NothingListens,
    /// The name is not known.
    #[error("the broker's name is not known: check uplink.host and the name server")]
    UnknownHost,
    /// No way there.
    #[error("the broker cannot be reached ({0}): check the network")]
    Unreachable(io::ErrorKind),
    /// It takes too long.
    #[error("the broker does not answer")]
    Silent,
    /// A connection that nothing gets through.
    #[error("the connection to the broker is stuck: nothing gets through")]
    Stuck,
    /// The broker takes messages and confirms none.
    #[error("the broker takes messages but confirms none")]
    NeverAcknowledges,
    /// The other end hung up.
    #[error("the broker closed the connection")]
    Closed,
    /// It said why.
    #[error("the broker closed the connection: {0}")]
    Disconnected(String),
    /// Another client connected with our name.
    #[error(
        "another client uses our name at the broker: find the second gateway with this utility and name, or with a copy of \
         this card"
    )]
    Twin,
    /// The other end does not keep to MQTT 5.
    #[error("the broker does not speak MQTT 5 as it should: {0}")]
    Protocol(String),
}

impl Fault {
    /// Whether the broker does not take our certificate: with another one it may let us in.
    #[must_use]
    pub const fn is_about_our_certificate(&self) -> bool {
        matches!(
            self,
            Self::OurIssuerUnknown
                | Self::OurCertificateExpired
                | Self::OurCertificateRevoked
                | Self::OurCertificateBad(_)
        )
    }
}

/// Seconds since 1970, shown as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Time::from_unix(self.0) {
            Some(time) => write!(f, "{time}"),
            None => write!(f, "{} s since 1970", self.0),
        }
    }
}

fn refusal(reason: &str) -> String {
    let mend = match reason {
        "BadUserNamePassword" => "user or password is wrong (reason 134)",
        "NotAuthorized" => {
            "not authorised (reason 135): check user, password or certificate, and the broker's list"
        }
        "ClientIdentifierNotValid" | "BadClientId" => {
            "the client id is not valid (reason 133): the broker must allow utility/gateway"
        }
        "Banned" => "banned (reason 138)",
        "ServerBusy" => "it is busy (reason 137)",
        "ServerUnavailable" | "ServiceUnavailable" => "it is not available (reason 136)",
        "QuotaExceeded" => "a quota is exceeded (reason 151)",
        "ConnectionRateExceeded" => "too many connections (reason 159)",
        "UnsupportedProtocolVersion" | "RefusedProtocolVersion" => "it does not speak MQTT 5 (reason 132)",
        "PacketTooLarge" => "the packet is too large (reason 149)",
        "BadAuthenticationMethod" => "the authentication method is not accepted (reason 140)",
        other => return other.to_owned(),
    };
    mend.to_owned()
}

/// Why the library's connection ended. `up`: CONNACK had come.
pub(super) fn of(error: &ConnectionError, up: bool, tls: bool) -> Fault {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::Timeout(_) => Fault::Silent,
        ConnectionError::Tls(TlsError::Io(error)) => of_io(error, Phase::Handshake),
        ConnectionError::Tls(TlsError::TLS(error)) => of_tls(error),
        ConnectionError::Tls(error) => Fault::Tls(error.to_string()),
        ConnectionError::Io(error) => of_io(error, if up { Phase::Up } else { Phase::Connect }),
        ConnectionError::MqttState(error) => of_state(error, up, tls),
        other => Fault::Protocol(other.to_string()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connect,
    Handshake,
    Login { tls: bool },
    Up,
}

fn of_state(error: &StateError, up: bool, tls: bool) -> Fault {
    let phase = if up { Phase::Up } else { Phase::Login { tls } };
    match error {
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => of_io(error, phase),
        StateError::ConnFail { reason } => refused(*reason),
        StateError::ConnectionAborted => hung_up(phase),
        StateError::AwaitPingResp | StateError::CollisionTimeout => Fault::Stuck,
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::SessionTakenOver, .. } => {
            Fault::Twin
        }
        StateError::ServerDisconnect { reason_code, .. } => Fault::Disconnected(format!("{reason_code:?}")),
        StateError::Deserialization(PacketError::InvalidConnectReturnCode(code)) => {
            Fault::Refused(format!("reason {code}"))
        }
        other => Fault::Protocol(other.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Fault {
    Fault::Refused(format!("{code:?}"))
}

fn of_io(error: &io::Error, phase: Phase) -> Fault {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::NothingListens,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => hung_up(phase),
        io::ErrorKind::TimedOut if phase == Phase::Up => Fault::Stuck,
        io::ErrorKind::TimedOut => Fault::Silent,
        // The name service has no kind of its own.
        _ if phase == Phase::Connect && error.raw_os_error().is_none() => Fault::UnknownHost,
        kind => Fault::Unreachable(kind),
    }
}

fn hung_up(phase: Phase) -> Fault {
    match phase {
        Phase::Handshake => Fault::NotTls,
        Phase::Login { tls: false } => Fault::NotPlain,
        Phase::Connect | Phase::Login { tls: true } | Phase::Up => Fault::Closed,
    }
}

fn of_tls(error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::InvalidCertRevocationList(_) => Fault::RevocationUnknown,
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Fault::CertificateRequired,
            AlertDescription::UnknownCA => Fault::OurIssuerUnknown,
            AlertDescription::CertificateExpired => Fault::OurCertificateExpired,
            AlertDescription::CertificateRevoked => Fault::OurCertificateRevoked,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown => Fault::OurCertificateBad(format!("{alert:?}")),
            other => Fault::Tls(format!("the broker says {other:?}")),
        },
        // What answers is no TLS at all.
        rustls::Error::InvalidMessage(_) => Fault::NotTls,
        other => Fault::Tls(other.to_string()),
    }
}

fn of_certificate(error: &CertificateError) -> Fault {
    let moment =
        |time: &rustls::pki_types::UnixTime| Moment(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match error {
        CertificateError::UnknownIssuer => Fault::UnknownIssuer,
        CertificateError::ExpiredContext { time, not_after } => {
            Fault::Expired { now: moment(time), until: moment(not_after) }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Fault::NotYetValid { now: moment(time), from: moment(not_before) }
        }
        CertificateError::NotValidForNameContext { expected, presented } => Fault::WrongName {
            expected: expected.to_str().into_owned(),
            presented: if presented.is_empty() {
                "nobody (it names no host)".to_owned()
            } else {
                presented.join(", ")
            },
        },
        CertificateError::Revoked => Fault::Revoked,
        CertificateError::UnknownRevocationStatus | CertificateError::ExpiredRevocationListContext { .. } => {
            Fault::RevocationUnknown
        }
        other => Fault::BadBrokerCertificate(other.to_string()),
    }
}
