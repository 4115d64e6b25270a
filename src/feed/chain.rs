//! A line for the shell that runs, with everything it starts, in a process group of its own, so that all of it ends
//! together: a program left behind would keep the stick.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether it has: nothing tells when the last process of a group is gone.
const LOOK: Duration = Duration::from_millis(20);

/// A running chain. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Chain {
    child: Child,
    group: Option<Pid>,
}

impl Chain {
    /// Starts it; what it writes can be read, and its standard input is empty.
    pub(super) fn start(line: &str) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What the service manager says is for us alone.
        for name in
            ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY"]
        {
            command.env_remove(name);
        }
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (out, error) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((Self { child, group }, out, error))
    }

    /// Until the shell ends by itself. Safe to cancel.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks all of it to end, waits a while, and kills what is left.
    pub(super) async fn end(mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        // The shell may be the first to go; the others are given the time to let go of what they hold, too.
        let ended = timeout(PATIENCE, async {
            let status = self.child.wait().await;
            while self.is_there() {
                sleep(LOOK).await;
            }
            status
        });
        let ended = ended.await;
        self.signal(Signal::KILL);
        match ended {
            Ok(status) => status.ok(),
            Err(_) => self.child.wait().await.ok(),
        }
    }

    /// Whether any process of the group is.
    fn is_there(&self) -> bool {
        self.group.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    /// To every process of the group that is still there.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

    use super::*;

    async fn start(line: &str) -> (Chain, BufReader<ChildStdout>, ChildStderr) {
        let (chain, out, error) = Chain::start(line).unwrap();
        (chain, BufReader::new(out), error)
    }

    /// Nobody holds the other end any more: every process of the chain is gone.
    async fn is_gone(out: &mut BufReader<ChildStdout>) {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(20), out.read_to_end(&mut rest)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_it_writes_is_read_and_how_it_ended_is_known() {
        let (mut chain, mut out, mut error) = start("echo a | cat; echo b >&2; exit 3").await;
        let (mut text, mut said) = (String::new(), String::new());
        out.read_to_string(&mut text).await.unwrap();
        error.read_to_string(&mut said).await.unwrap();
        assert_eq!((text.as_str(), said.as_str()), ("a\n", "b\n"));
        assert_eq!(chain.ended().await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn all_of_it_ends_together_also_what_does_not_want_to() {
        let line = "sh -c 'trap \"\" TERM; echo ready; while :; do sleep 60; done' & exec sleep 600";
        let (chain, mut out, _error) = start(line).await;
        let mut ready = String::new();
        out.read_line(&mut ready).await.unwrap();
        chain.end().await;
        is_gone(&mut out).await;
    }

    #[tokio::test]
    async fn dropped_it_is_killed_with_everything() {
        let (chain, mut out, _error) = start("sleep 600 & echo ready; sleep 600").await;
        let mut ready = String::new();
        out.read_line(&mut ready).await.unwrap();
        drop(chain);
        is_gone(&mut out).await;
    }
}
