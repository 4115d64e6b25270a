//! Questions over Unix sockets: one line of JSON asks, one answers. Commands of the installer and the other half ask.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::{Zeroize as _, Zeroizing};

/// A question and where its answer goes. Dropping it answers that the half is stopping, and to ask again later.
pub type Asked<Q> = (Q, oneshot::Sender<Answer>);

/// What was answered, or why not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The answer; what it holds depends on the question.
    Ok(Value),
    /// A verdict: why there is none, for people. To ask the same again brings the same.
    Refused(String),
    /// What is in the way now, for people. To ask again later may bring another answer; what was asked for may have been
    /// done all the same.
    Later(String),
}

impl Answer {
    /// An answer of this value.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::to_value(value).map_or_else(|error| Self::Refused(error.to_string()), Self::Ok)
    }
}

/// Longest question and answer. A question may carry a file of keys in pieces, an answer a list of meters.
const LONGEST: usize = 4 << 20;
/// Questions at a time.
const CALLERS: usize = 8;
/// How long a caller may take to ask, and an answer to be made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens at `path`, in place of what was there before, until `stop`; questions come out of the channel.
///
/// # Errors
/// Those of the file system.
pub fn listen<Q: DeserializeOwned + Send + 'static>(
    path: &Path,
    stop: CancellationToken,
) -> io::Result<mpsc::Receiver<Asked<Q>>> {
    let listener = bind(path)?;
    let (questions, asked) = mpsc::channel(CALLERS);
    let path = path.to_owned();
    tokio::spawn(async move {
        let callers = std::sync::Arc::new(Semaphore::new(CALLERS));
        loop {
            let caller = tokio::select! {
                () = stop.cancelled() => break,
                caller = listener.accept() => caller,
            };
            let (Ok((stream, _)), Ok(place)) = (caller, callers.clone().acquire_owned().await) else {
                continue;
            };
            let questions = questions.clone();
            tokio::spawn(async move {
                let _ = tokio::time::timeout(2 * PATIENCE, serve(stream, questions)).await;
                drop(place);
            });
        }
        let _ = std::fs::remove_file(path);
    });
    Ok(asked)
}

/// A socket at `path` for members of the group, in place of what was there before.
///
/// # Errors
/// Those of the file system.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    make_room(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn serve<Q: DeserializeOwned>(stream: UnixStream, questions: mpsc::Sender<Asked<Q>>) -> io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let line = read_line(&mut read).await?;
    let question = serde_json::from_slice::<Q>(&line);
    drop(line);
    // The parser's own message could repeat a key.
    let answer = match question {
        Ok(question) => put(question, &questions).await,
        Err(_) => Answer::Refused("this version does not know the question".to_owned()),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    write.shutdown().await
}

async fn put<Q>(question: Q, questions: &mpsc::Sender<Asked<Q>>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let answered = async {
        let _ = questions.send((question, answer)).await;
        answered.await
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::Later("it is stopping".to_owned()),
        Err(_) => Answer::Later("it takes too long".to_owned()),
    }
}

/// Asks the half that listens at `path`.
///
/// # Errors
/// [`AskError`]
pub async fn ask<A: DeserializeOwned>(path: &Path, question: &impl Serialize) -> Result<A, AskError> {
    let talk = async {
        let stream = UnixStream::connect(path).await?;
        let (mut read, mut write) = stream.into_split();
        let mut line = Wiped(Zeroizing::new(Vec::with_capacity(FIRST)));
        serde_json::to_writer(&mut line, question)?;
        line.push(b"\n");
        write.write_all(&line.0).await?;
        drop(line);
        read_line(&mut read).await
    };
    let talked = tokio::time::timeout(2 * PATIENCE, talk).await;
    let line = talked
        .map_err(|_| AskError::Io(io::ErrorKind::TimedOut))?
        .map_err(|error| AskError::Io(error.kind()))?;
    if line.is_empty() {
        return Err(AskError::Later("it ended while it was asked".to_owned()));
    }
    match serde_json::from_slice(&line).map_err(|_| AskError::Unreadable)? {
        Answer::Ok(value) => serde_json::from_value(value).map_err(|_| AskError::Unreadable),
        Answer::Refused(why) => Err(AskError::Refused(why)),
        Answer::Later(why) => Err(AskError::Later(why)),
    }
}

/// Whether somebody listens at `path`. Nothing is asked, so that nobody need be ready to answer.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    let connected = std::os::unix::net::UnixStream::connect(path);
    !connected.is_err_and(|error| AskError::Io(error.kind()).says_it_does_not_run())
}

/// One line, or what came of it before the end. It may hold keys: no copy of it stays behind.
async fn read_line(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Wiped(Zeroizing::new(Vec::with_capacity(FIRST)));
    let mut piece = Zeroizing::new([0; 4096]);
    while line.0.len() < LONGEST {
        let read = from.read(piece.as_mut_slice()).await?;
        let piece = piece.get(..read).unwrap_or_default();
        let end = piece.iter().position(|byte| *byte == b'\n');
        line.push(piece.get(..end.unwrap_or(read)).unwrap_or_default());
        if read == 0 || end.is_some() {
            break;
        }
    }
    Ok(line.0)
}

/// A buffer that wipes what it leaves behind when it grows, and itself at its end.
struct Wiped(Zeroizing<Vec<u8>>);

impl Wiped {
    fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.saturating_mul(2));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            *self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Room for most questions from the start.
const FIRST: usize = 4096;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or may not be asked by this user.
    #[error("{}", match .0 {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "it does not run",
        io::ErrorKind::PermissionDenied => "not allowed: run it as root, or as a member of the group vesigate",
        io::ErrorKind::TimedOut => "it does not answer",
        _ => "it cannot be asked",
    })]
    Io(io::ErrorKind),
    /// It said no, and would say it again.
    #[error("{0}")]
    Refused(String),
    /// It cannot say or do it now. What was asked for may have been done all the same.
    #[error("{0}")]
    Later(String),
    /// Another version answers.
    #[error("its answer cannot be read: another version runs there, restart it")]
    Unreadable,
}

impl AskError {
    /// Whether it surely does not run. One that hangs, or may not be asked by this user, may.
    #[must_use]
    pub const fn says_it_does_not_run(&self) -> bool {
        matches!(self, Self::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }
}

/// The directory of a socket is there, and no socket of an earlier run is.
pub(super) fn make_room(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "do", rename_all = "snake_case")]
    enum Question {
        Double { number: u32 },
    }

    #[tokio::test]
    async fn a_question_is_answered_and_an_unknown_one_refused_without_repeating_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("collect/control.sock");
        let stop = CancellationToken::new();
        let mut asked = listen::<Question>(&path, stop.clone()).unwrap();
        tokio::spawn(async move {
            while let Some((Question::Double { number }, answer)) = asked.recv().await {
                let _ = answer.send(Answer::of(&(2 * number)));
            }
        });
        assert_eq!(ask::<u32>(&path, &Question::Double { number: 21 }).await, Ok(42));
        let refused = ask::<u32>(&path, &serde_json::json!({"do": "sing", "key": "0123"})).await;
        assert_eq!(refused, Err(AskError::Refused("this version does not know the question".to_owned())));
        stop.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_that_stops_or_takes_too_long_is_to_be_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let stop = CancellationToken::new();
        let mut asked = listen::<Question>(&path, stop.clone()).unwrap();
        let (ask, answer) = (ask::<u32>(&path, &Question::Double { number: 21 }), asked.recv());
        let (told, kept) = tokio::join!(ask, async { answer.await.map(|(_, answer)| drop(answer)) });
        assert_eq!((told, kept), (Err(AskError::Later("it is stopping".to_owned())), Some(())));
        let (sender, kept) = oneshot::channel();
        let ask = super::ask::<u32>(&path, &Question::Double { number: 21 });
        let keep = async { sender.send(asked.recv().await).map_err(drop) };
        let (told, _) = tokio::join!(ask, keep);
        assert_eq!(told, Err(AskError::Later("it takes too long".to_owned())));
        drop(kept);
        stop.cancel();
    }

    #[tokio::test]
    async fn a_half_that_ends_without_an_answer_is_to_be_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let listener = bind(&path).unwrap();
        let end = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_line(&mut stream).await.unwrap();
        };
        let (told, ()) = tokio::join!(ask::<u32>(&path, &1), end);
        assert_eq!(told, Err(AskError::Later("it ended while it was asked".to_owned())));
    }

    #[tokio::test]
    async fn a_line_longer_than_any_buffer_comes_through_whole() {
        let text = "x".repeat(300_000) + "\nnot this";
        let read = read_line(&mut text.as_bytes()).await.unwrap();
        assert_eq!(read.len(), 300_000);
        let endless = vec![b'x'; LONGEST + 10_000];
        assert!(read_line(&mut endless.as_slice()).await.unwrap().len() < LONGEST + 4096);
    }

    #[tokio::test]
    async fn nobody_there_is_said_plainly() {
        let directory = tempfile::tempdir().unwrap();
        let answer = ask::<u32>(&directory.path().join("none.sock"), &1).await;
        assert_eq!(answer.unwrap_err().to_string(), "it does not run");
    }
}
