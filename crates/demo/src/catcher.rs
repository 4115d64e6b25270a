//! A mail server that delivers nothing: it takes every mail, keeps it as a file and tells of it. For this machine only.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// The longest mail and the longest line.
const MOST_BYTES: u64 = 1_000_000;
/// A mail's opening has so many lines.
const OPENING: usize = 6;
/// Nobody here writes to more people at once.
const MOST_RECIPIENTS: usize = 100;

/// A mail that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mail {
    /// To whom it was sent.
    pub(crate) to: Vec<String>,
    /// Its subject, decoded.
    pub(crate) subject: String,
    /// How it begins: the first lines that are not empty.
    pub(crate) opening: Vec<String>,
    /// Where it is kept.
    pub(crate) file: PathBuf,
}

/// The server, listening.
#[derive(Debug)]
pub(crate) struct Catcher {
    listener: TcpListener,
    folder: PathBuf,
}

impl Catcher {
    /// Listens on a port of its own choice; mails go into `folder`.
    pub(crate) async fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await?, folder: folder.into() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes mails, one connection after the other, until nobody wants to hear of them.
    pub(crate) async fn run(self, mails: mpsc::Sender<Mail>) {
        let mut number = 0;
        while let Ok((stream, _)) = self.listener.accept().await {
            // A sender that breaks off is the sender's trouble: it will come again.
            let _ = self.serve(stream, &mails, &mut number).await;
            if mails.is_closed() {
                return;
            }
        }
    }

    async fn serve(&self, stream: TcpStream, mails: &mpsc::Sender<Mail>, number: &mut u32) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        let mut to = Vec::new();
        write.write_all(b"220 demo\r\n").await?;
        while let Some(line) = line(&mut lines).await? {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => "250-demo\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
                "HELO" | "NOOP" => "250 OK\r\n",
                "MAIL" | "RSET" => {
                    to.clear();
                    "250 OK\r\n"
                }
                "RCPT" if to.len() < MOST_RECIPIENTS => {
                    to.push(address(&line).to_owned());
                    "250 OK\r\n"
                }
                "RCPT" => "452 Too many recipients\r\n",
                "DATA" if to.is_empty() => "503 Nobody to send it to\r\n",
                "DATA" => {
                    write.write_all(b"354 Go on\r\n").await?;
                    let text = content(&mut lines).await?;
                    *number += 1;
                    let file = self.folder.join(format!("{number:03}.eml"));
                    std::fs::write(&file, &text)?;
                    let (subject, opening) = (subject(&text), opening(&text));
                    let mail = Mail { to: std::mem::take(&mut to), subject, opening, file };
                    let _ = mails.send(mail).await;
                    "250 Taken\r\n"
                }
                "QUIT" => {
                    write.write_all(b"221 Bye\r\n").await?;
                    return Ok(());
                }
                _ => "502 Not here\r\n",
            };
            write.write_all(reply.as_bytes()).await?;
        }
        Ok(())
    }
}

/// The next line with its end; `None` at the end of the connection.
async fn line(lines: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    lines.take(MOST_BYTES).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A mail up to the dot alone on its line.
async fn content(lines: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(line) = line(lines).await? {
        match line.strip_prefix(b".") {
            Some(b"\r\n" | b"\n") => return Ok(text),
            // A dot more than meant stands before each line that begins with one (RFC 5321, 4.5.2).
            Some(rest) => text.extend_from_slice(rest),
            None => text.extend_from_slice(&line),
        }
        if u64::try_from(text.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// What stands between the angle brackets.
fn address(line: &str) -> &str {
    let after = line.split_once('<').map_or(line, |(_, after)| after);
    after.split_once('>').map_or(after, |(address, _)| address)
}

/// The subject, its lines joined and its encoded words decoded; empty if there is none.
fn subject(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let mut head = text
        .lines()
        .take_while(|line| !line.is_empty())
        .skip_while(|line| line.get(..8).is_none_or(|name| !name.eq_ignore_ascii_case("subject:")));
    let first = head.next().and_then(|line| line.get(8..)).unwrap_or_default();
    let rest = head.take_while(|line| line.starts_with([' ', '\t']));
    let joined = std::iter::once(first).chain(rest).flat_map(str::split_whitespace);
    let mut subject = String::new();
    let mut after_encoded = false;
    for word in joined {
        let decoded = encoded_word(word);
        // Space between two encoded words is not part of the text (RFC 2047, 6.2).
        let joins = after_encoded && decoded.is_some();
        if !subject.is_empty() && !joins {
            subject.push(' ');
        }
        after_encoded = decoded.is_some();
        subject.push_str(decoded.as_deref().unwrap_or(word));
    }
    // A mail must not write over the terminal.
    subject.retain(|letter| !letter.is_control());
    subject
}

/// `=?utf-8?b?...?=` or `=?utf-8?q?...?=`, decoded.
fn encoded_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (_charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match encoding {
        "b" | "B" => STANDARD.decode(text).ok()?,
        "q" | "Q" => unquote(text)?,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

/// The beginning of the plain text, its quoted-printable undone; empty if there is no such part.
fn opening(mail: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(mail).replace("\r\n", "\n");
    let part = text.split_once("Content-Type: text/plain").and_then(|(_, part)| part.split_once("\n\n"));
    let body = part.map_or("", |(_, body)| body);
    let body = body.split_once("\n--").map_or(body, |(body, _)| body).replace("=\n", "");
    // An underscore is a space in heads only.
    let decode = |line: &str| unquote(&line.replace('_', "=5F"));
    let lines = body.lines().filter(|line| !line.is_empty()).filter_map(decode).take(OPENING);
    let mut lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    lines.iter_mut().for_each(|line| line.retain(|letter| !letter.is_control()));
    lines
}

fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut letters = text.bytes();
    while let Some(letter) = letters.next() {
        bytes.push(match letter {
            b'_' => b' ',
            b'=' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(letters.next()?)? * 16 + digit(letters.next()?)?;
                u8::try_from(value).ok()?
            }
            plain => plain,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_decoded_and_joined() {
        for (head, expected) in [
            ("Subject: Leak at home\r\nTo: a@b\r\n\r\nbody", "Leak at home"),
            ("X: y\r\nsubject: =?utf-8?b?VnVvdG8=?=\r\n =?utf-8?b?aMOkbHl0eXM=?=\r\n\r\n", "Vuotohälytys"),
            ("Subject: a =?UTF-8?Q?h=C3=A4l_y?= b\r\n\r\n", "a häl y b"),
            ("Subject: one\r\n two\r\n\r\nSubject: body", "one two"),
            ("To: a@b\r\n\r\nSubject: body", ""),
            ("Subject: =?utf-8?b?G1szMW0=?=\r\n\r\n", "[31m"),
        ] {
            assert_eq!(subject(head.as_bytes()), expected);
        }
    }

    #[test]
    fn a_mail_opens_with_its_plain_text() {
        let mail = "Subject: x\r\n\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nVuoto=\r\nh=C3=A4lytys\r\n\r\na_b\r\n\
            --=_b\r\nContent-Type: text/html\r\n\r\n<p>no\r\n";
        assert_eq!(opening(mail.as_bytes()), ["Vuotohälytys", "a_b"]);
        assert!(opening(b"Subject: x\r\n\r\nbody").is_empty());
    }

    #[tokio::test]
    async fn a_mail_is_taken_kept_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let catcher = Catcher::new(folder.path()).await.unwrap();
        let address = catcher.address().unwrap();
        let (told, mut mails) = mpsc::channel(1);
        tokio::spawn(catcher.run(told));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(
                b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: Hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
            )
            .await
            .unwrap();
        let mail = mails.recv().await.unwrap();
        assert_eq!((mail.to, mail.subject.as_str()), (vec!["c@d".to_owned()], "Hi"));
        assert_eq!(std::fs::read(mail.file).unwrap(), b"Subject: Hi\r\n\r\n.dot\r\n");
        let mut replies = String::new();
        stream.read_to_string(&mut replies).await.unwrap();
        let codes: Vec<_> = replies.lines().map(|line| &line[..4]).collect();
        assert_eq!(codes, ["220 ", "250-", "250-", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]);
    }

    #[tokio::test]
    async fn a_mail_that_breaks_off_is_none_and_the_next_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let catcher = Catcher::new(folder.path()).await.unwrap();
        let address = catcher.address().unwrap();
        let (told, mut mails) = mpsc::channel(1);
        tokio::spawn(catcher.run(told));
        for mail in [
            "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: half",
            "HELP\r\nDATA\r\nMAIL FROM:<>\r\nRCPT TO:<e@f>\r\nDATA\r\n\r\n.\r\n",
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(mail.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut replies = String::new();
            stream.read_to_string(&mut replies).await.unwrap();
        }
        assert_eq!(mails.recv().await.unwrap().to, ["e@f"]);
        assert!(mails.try_recv().is_err());
    }
}
