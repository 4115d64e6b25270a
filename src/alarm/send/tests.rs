//! Against a server that misbehaves as it is told.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server does: the first line of a conversation that begins so is answered with this.
#[derive(Clone, Copy, Debug)]
enum Play {
    Say(&'static str),
    Hang,
    Cut,
}
use Play::{Cut, Hang, Say};

/// The parts of a conversation that can be changed; everything else is answered properly.
#[derive(Clone, Copy, Debug)]
struct Script {
    greeting: Play,
    hello: Play,
    auth: Play,
    from: Play,
    to: Play,
    data: Play,
    text: Play,
    quit: Play,
}

const GOOD: Script = Script {
    greeting: Say("220 mail.example ESMTP"),
    hello: Say("250-mail.example\r\n250 AUTH PLAIN"),
    auth: Say("235 ok"),
    from: Say("250 ok"),
    to: Say("250 ok"),
    data: Say("354 go on"),
    text: Say("250 2.0.0 taken"),
    quit: Say("221 bye"),
};

/// Serves one conversation, and gives what it was told.
async fn serve(listener: TcpListener, script: Script) -> Vec<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let mut told = Vec::new();
    if !act(&mut write, script.greeting).await {
        return told;
    }
    let mut in_text = false;
    while let Ok(Some(line)) = lines.next_line().await {
        told.push(line.clone());
        let play = match line.as_str() {
            "." if in_text => script.text,
            _ if in_text => continue,
            line if line.starts_with("EHLO") => script.hello,
            line if line.starts_with("AUTH") => script.auth,
            line if line.starts_with("MAIL") => script.from,
            line if line.starts_with("RCPT") => script.to,
            "DATA" => script.data,
            "QUIT" => script.quit,
            _ => Say("500 what?"),
        };
        in_text = line == "DATA";
        if !act(&mut write, play).await {
            return told;
        }
    }
    told
}

async fn act(write: &mut tokio::net::tcp::WriteHalf<'_>, play: Play) -> bool {
    match play {
        Say(line) => write.write_all(format!("{line}\r\n").as_bytes()).await.is_ok(),
        Hang => std::future::pending().await,
        Cut => false,
    }
}

fn smtp(port: u16, security: MailSecurity) -> Smtp {
    Smtp {
        server: "localhost".to_owned(),
        port,
        security,
        login: None,
        timeout: Duration::from_secs(30),
        roots: Vec::new(),
    }
}

fn mail(to: &str) -> Written {
    let envelope =
        lettre::address::Envelope::new(Some("alarm@example.org".parse().unwrap()), vec![to.parse().unwrap()]);
    Written { envelope: envelope.unwrap(), bytes: b"Subject: x\r\n\r\n.hidden\r\n".to_vec() }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn play(script: Script, change: impl FnOnce(&mut Smtp)) -> Outcome {
    let (listener, port) = listener().await;
    let mut smtp = smtp(port, MailSecurity::None);
    change(&mut smtp);
    let server = tokio::spawn(serve(listener, script));
    let outcome = smtp.send(&mail("aino@example.fi")).await;
    server.abort();
    outcome
}

/// A hanging server is waited for a short while only, in these tests.
fn impatient(smtp: &mut Smtp) {
    smtp.timeout = Duration::from_millis(300);
}

fn trouble(kind: TroubleKind, reply: Option<u16>) -> Trouble {
    Trouble { kind, reply }
}

#[tokio::test]
async fn a_good_server_gets_the_mail_with_dots_doubled_and_a_goodbye() {
    let (listener, port) = listener().await;
    let server = tokio::spawn(serve(listener, GOOD));
    let outcome = smtp(port, MailSecurity::None).send(&mail("aino@example.fi")).await;
    assert_eq!(outcome, Outcome::Sent { reply: 250 });
    let told = server.await.unwrap();
    assert!(told.contains(&"RCPT TO:<aino@example.fi>".to_owned()), "{told:?}");
    assert!(told.contains(&"..hidden".to_owned()), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("QUIT"));
}

#[tokio::test]
async fn what_the_server_has_taken_is_sent_whatever_it_does_at_goodbye() {
    for quit in [Hang, Cut, Say("421 too late")] {
        let outcome = play(Script { quit, ..GOOD }, |_| {}).await;
        assert_eq!(outcome, Outcome::Sent { reply: 250 });
    }
}

#[tokio::test]
async fn each_answer_means_something_else() {
    use TroubleKind::{Busy, Closed, Content, Login, LoginNeeded, Recipient, Sender};
    let server = |kind, reply| Outcome::Server(trouble(kind, Some(reply)));
    let later = |kind, reply| Outcome::Later(trouble(kind, Some(reply)));
    let refused = |kind, reply| Outcome::Refused(trouble(kind, Some(reply)));
    for (script, expected) in [
        (Script { greeting: Say("421 come back"), ..GOOD }, server(Busy, 421)),
        (Script { greeting: Say("554 not you"), ..GOOD }, server(Closed, 554)),
        (Script { hello: Say("450 slowly"), ..GOOD }, server(Busy, 450)),
        (Script { from: Say("530 5.7.0 log in"), ..GOOD }, server(LoginNeeded, 530)),
        (Script { from: Say("550 5.7.1 who?"), ..GOOD }, server(Sender, 550)),
        (Script { from: Say("451 4.7.1 later"), ..GOOD }, later(Sender, 451)),
        (Script { to: Say("451 4.7.1 greylisted"), ..GOOD }, later(Recipient, 451)),
        (Script { to: Say("421 4.7.0 too many"), ..GOOD }, server(Busy, 421)),
        (Script { to: Say("550 5.1.1 <aino@example.fi> unknown"), ..GOOD }, refused(Recipient, 550)),
        (Script { to: Say("535 5.7.8 no"), ..GOOD }, server(Login, 535)),
        (Script { data: Say("452 full"), ..GOOD }, later(Content, 452)),
        (Script { text: Say("552 too large"), ..GOOD }, refused(Content, 552)),
        (Script { text: Say("451 try again"), ..GOOD }, later(Content, 451)),
    ] {
        let outcome = play(script, |_| {}).await;
        assert_eq!(outcome, expected, "{script:?}");
        assert!(!outcome.trouble().unwrap().to_string().contains("aino"), "no address is repeated");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_after_the_text_it_may_have_the_mail() {
    let silent = Outcome::Server(trouble(TroubleKind::Silent, None));
    for script in [
        Script { greeting: Hang, ..GOOD },
        Script { hello: Hang, ..GOOD },
        Script { to: Hang, ..GOOD },
        Script { data: Hang, ..GOOD },
    ] {
        assert_eq!(play(script, impatient).await, silent, "{script:?}");
    }
    let uncertain = Outcome::Later(trouble(TroubleKind::Uncertain, None));
    assert_eq!(play(Script { text: Hang, ..GOOD }, impatient).await, uncertain);
    assert_eq!(play(Script { text: Cut, ..GOOD }, |_| {}).await, uncertain);
}

#[tokio::test]
async fn a_broken_connection_and_a_stranger_are_told_apart_from_no_server() {
    for script in [
        Script { greeting: Cut, ..GOOD },
        Script { greeting: Say("SSH-2.0-OpenSSH"), ..GOOD },
        Script { to: Cut, ..GOOD },
    ] {
        let outcome = play(script, |_| {}).await;
        assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::Broken, None)), "{script:?}");
    }
    let (listener, port) = listener().await;
    drop(listener);
    let outcome = smtp(port, MailSecurity::None).send(&mail("a@example.fi")).await;
    assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::Unreachable, None)));
    let unknown = Smtp { server: "no-such-host.invalid".to_owned(), ..smtp(25, MailSecurity::None) };
    let outcome = unknown.send(&mail("a@example.fi")).await;
    assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::Unreachable, None)));
}

fn with_login(smtp: &mut Smtp) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "hunter2").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret = crate::config::SecretSource::File(path).read(&Credentials::default()).unwrap();
    smtp.login = Some(("user".to_owned(), secret));
}

#[tokio::test]
async fn a_refused_login_keeps_the_mail() {
    let script = Script { auth: Say("535 5.7.8 bad"), ..GOOD };
    let outcome = play(script, with_login).await;
    assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::Login, Some(535))));
    let script = Script { hello: Say("250 mail.example"), ..GOOD };
    assert_eq!(play(script, with_login).await, Outcome::Server(trouble(TroubleKind::NoLogin, None)));
    assert_eq!(play(GOOD, with_login).await, Outcome::Sent { reply: 250 });
}

#[tokio::test]
async fn a_server_without_starttls_is_told_neither_password_nor_address() {
    let (listener, port) = listener().await;
    let mut smtp = smtp(port, MailSecurity::StartTls);
    with_login(&mut smtp);
    let server = tokio::spawn(serve(listener, GOOD));
    let outcome = smtp.send(&mail("aino@example.fi")).await;
    assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::NoTls, None)));
    let told = server.await.unwrap();
    assert!(told.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{told:?}");
}

#[tokio::test]
async fn letters_that_the_server_cannot_carry_are_said_and_others_are_not_held_up() {
    let (listener, port) = listener().await;
    let server = tokio::spawn(serve(listener, GOOD));
    let outcome = smtp(port, MailSecurity::None).send(&mail("matti.meikäläinen@example.fi")).await;
    assert_eq!(outcome, Outcome::Refused(trouble(TroubleKind::Address, None)));
    server.abort();
}

/// A server that speaks TLS from the first byte, with a certificate for `name`.
async fn tls_server(name: &str, expired: bool) -> (u16, Certificate, tokio::task::JoinHandle<()>) {
    let mut wanted = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        wanted.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = wanted.self_signed(&key).unwrap();
    let root = Certificate::from_der(certificate.der().to_vec()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let (listener, port) = listener().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk_tls(stream, config).await;
    });
    (port, root, server)
}

/// Shakes hands, greets, and closes.
async fn talk_tls(stream: TcpStream, config: rustls::ServerConfig) {
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let talk = move || {
        let mut line =
            rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let _ = io::Write::write_all(&mut line, b"421 later\r\n");
        let _ = io::Write::flush(&mut line);
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told_apart() {
    for (name, expired, trusted, expected) in [
        ("localhost", false, true, TroubleKind::Busy),
        ("localhost", false, false, TroubleKind::CertificateIssuer),
        ("elsewhere.example", false, true, TroubleKind::CertificateName),
        ("localhost", true, true, TroubleKind::CertificateDate),
    ] {
        let (port, root, server) = tls_server(name, expired).await;
        let roots = if trusted { vec![root] } else { Vec::new() };
        let outcome = Smtp { roots, ..smtp(port, MailSecurity::Tls) }.send(&mail("a@example.fi")).await;
        let Outcome::Server(trouble) = outcome else { panic!("{outcome:?}") };
        assert_eq!(trouble.kind, expected, "{name} {expired} {trusted}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn plain_text_where_tls_is_expected_is_said() {
    let (listener, port) = listener().await;
    let server = tokio::spawn(serve(listener, GOOD));
    let outcome = smtp(port, MailSecurity::Tls).send(&mail("a@example.fi")).await;
    assert_eq!(outcome, Outcome::Server(trouble(TroubleKind::Tls, None)));
    server.abort();
}
