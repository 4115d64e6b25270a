//! A mail server that misbehaves on request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Mail, SOON, free_port};

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes all mails.
    Good,
    /// Nobody listens.
    Gone,
    /// Accepts connections and says nothing.
    Wedged,
    /// Greets with this code and hangs up: 421.
    Greets(u16),
    /// Answers every recipient with this code.
    Recipients(u16),
    /// Answers the end of every mail with this code.
    Content(u16),
    /// Takes the mail, then says nothing.
    HangsAfterData,
    /// Takes the mail, then hangs up instead of answering.
    CutsAfterData,
    /// Does not ask for the mail's text until it is [told](SmtpServer::go_on).
    HoldsData,
    /// Takes the mail, and does not answer until it is [told](SmtpServer::go_on).
    HoldsAnswer,
}

/// A mail that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who sends, as the envelope says.
    pub from: String,
    /// Who receives, as the envelope says.
    pub to: Vec<String>,
    /// The mail.
    pub mail: Mail,
    /// Whether the client was told that it was taken.
    pub answered: bool,
    /// In which [era](SmtpServer::new_era) it came.
    pub era: u64,
}

/// The server. Without TLS: it stands on the same machine.
#[derive(Debug)]
pub struct SmtpServer {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    mood: watch::Sender<Mood>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    connections: watch::Sender<usize>,
    /// Answers held back, and those of them that were given in the end.
    held: watch::Sender<usize>,
    given: watch::Sender<usize>,
    go_on: Notify,
    era: AtomicU64,
}

impl SmtpServer {
    /// On a port of its own, in a good mood.
    #[must_use]
    pub fn start() -> Self {
        let port = free_port();
        let shared = Arc::new(Shared {
            mood: watch::Sender::new(Mood::Good),
            received: Mutex::default(),
            count: watch::Sender::new(0),
            connections: watch::Sender::new(0),
            held: watch::Sender::new(0),
            given: watch::Sender::new(0),
            go_on: Notify::new(),
            era: AtomicU64::new(0),
        });
        let task = tokio::spawn(listen(port, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on behaves so. Connections that hang are cut.
    pub fn mood(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// Waits until so many answers are held back, or have been, since the start.
    ///
    /// # Panics
    /// When they are not.
    pub async fn holds(&self, answers: usize) {
        let mut held = self.shared.held.subscribe();
        let came = timeout(4 * SOON, held.wait_for(|held| *held >= answers)).await.is_ok();
        assert!(came, "no answer could be held back");
    }

    /// Gives the answer that is held back. On return it is on its way: whoever waits for it, and is still there, will
    /// read it.
    pub async fn go_on(&self) {
        let mut given = self.shared.given.subscribe();
        let wanted = *given.borrow() + 1;
        self.shared.go_on.notify_one();
        given.wait_for(|given| *given >= wanted).await.unwrap();
    }

    /// Begins another era: its client has been killed. Within an era nothing that was answered may come again.
    pub fn new_era(&self) {
        self.shared.era.fetch_add(1, Ordering::SeqCst);
    }

    /// The gateway's `[mail]` section for it, with these lines besides.
    #[must_use]
    pub fn mail_section(&self, lines: &str) -> String {
        format!(
            "[mail]\nenabled = true\nserver = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\n\
             from = \"Kylän Vesi <halytys@kylavesi.example>\"\n{lines}",
            self.port
        )
    }

    /// All mails that came, also those that were not answered.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so many mails have come.
    ///
    /// # Panics
    /// When they have not `within`.
    pub async fn receives(&self, mails: usize, within: Duration) -> Vec<Received> {
        let mut count = self.shared.count.subscribe();
        let came = timeout(within, count.wait_for(|count| *count >= mails)).await.is_ok();
        let received = self.received();
        assert!(came, "{} mails instead of {mails} in {within:?}", received.len());
        received
    }

    /// Waits until so many more connections have been made.
    ///
    /// # Panics
    /// When they have not.
    pub async fn is_tried(&self, more: usize) {
        let mut connections = self.shared.connections.subscribe();
        let wanted = *connections.borrow() + more;
        let tried = timeout(2 * SOON, connections.wait_for(|count| *count >= wanted)).await;
        assert!(tried.is_ok(), "the mail server was not tried {more} times");
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(port: u16, shared: Arc<Shared>) {
    let mut mood = shared.mood.subscribe();
    loop {
        mood.wait_for(|mood| *mood != Mood::Gone).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    shared.connections.send_modify(|count| *count += 1);
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let mut changed = shared.mood.subscribe();
                        let mood = *changed.borrow_and_update();
                        tokio::select! {
                            _ = serve(stream, mood, &shared) => {}
                            _ = changed.changed() => {}
                        }
                    });
                }
                _ = mood.wait_for(|mood| *mood == Mood::Gone) => break,
            }
        }
    }
}

async fn serve(stream: TcpStream, mood: Mood, shared: &Shared) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    // A test's own client, which sends nothing large.
    let mut read = BufReader::new(read.take(16 << 20));
    if mood == Mood::Gone {
        return Ok(());
    }
    if mood == Mood::Wedged {
        return std::future::pending().await;
    }
    if let Mood::Greets(code) = mood {
        return write.write_all(format!("{code} not now\r\n").as_bytes()).await;
    }
    write.write_all(b"220 mail.example ESMTP\r\n").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n".to_owned(),
            "MAIL" => {
                (from, to) = (address(&line), Vec::new());
                "250 ok\r\n".to_owned()
            }
            "RCPT" => match mood {
                Mood::Recipients(code) => format!("{code} not this one\r\n"),
                _ => {
                    to.push(address(&line));
                    "250 ok\r\n".to_owned()
                }
            },
            "DATA" => {
                let holds = mood == Mood::HoldsData;
                answer(&mut write, shared, holds, b"354 go on\r\n").await?;
                let raw = data(&mut read).await?;
                let answered =
                    matches!(mood, Mood::Good | Mood::Recipients(_) | Mood::HoldsData | Mood::HoldsAnswer);
                if !matches!(mood, Mood::Content(_)) {
                    let (mail, era) = (Mail::read(&raw), shared.era.load(Ordering::SeqCst));
                    let received = Received { from: from.clone(), to: to.clone(), mail, answered, era };
                    shared.received.lock().unwrap().push(received);
                    shared.count.send_modify(|count| *count += 1);
                }
                match mood {
                    Mood::Content(code) => format!("{code} not this mail\r\n"),
                    Mood::CutsAfterData => return Ok(()),
                    Mood::HangsAfterData => return std::future::pending().await,
                    _ => {
                        answer(&mut write, shared, mood == Mood::HoldsAnswer, b"250 taken\r\n").await?;
                        continue;
                    }
                }
            }
            "QUIT" => return write.write_all(b"221 bye\r\n").await,
            "RSET" | "NOOP" => "250 ok\r\n".to_owned(),
            _ => "502 what?\r\n".to_owned(),
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

/// Answers, at once or when told.
async fn answer(
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
    shared: &Shared,
    hold: bool,
    answer: &[u8],
) -> std::io::Result<()> {
    if hold {
        shared.held.send_modify(|held| *held += 1);
        shared.go_on.notified().await;
    }
    write.write_all(answer).await?;
    if hold {
        shared.given.send_modify(|given| *given += 1);
    }
    Ok(())
}

fn address(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0.to_owned()
}

async fn data(read: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut line = Vec::new();
        if read.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(all);
        }
        all.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
