//! A person's terminal: a pseudo-terminal of 80 columns and 24 lines with a program in it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{SOON, Site};

/// A terminal with `vesigate` in it.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    said: Receiver<Vec<u8>>,
    /// What it has written and nobody has waited for.
    seen: String,
    line: File,
}

impl Terminal {
    /// Starts `vesigate` with these arguments and a place's configuration.
    #[must_use]
    pub fn run(site: &Site, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        let mut command = Command::new(crate::gateway::binary());
        command.args(arguments).arg("--config").arg(site.config()).env("TERM", "xterm").kill_on_drop(true);
        if let Some(clock) = site.clock {
            command.args(["--clock", &clock.argument()]);
        }
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let mut from = master.try_clone().unwrap();
        let (told, said) = channel();
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read) = from.read(&mut some) {
                if told.send(some[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, master, said, seen: String::new(), line: open() }
    }

    /// Waits until it has written this, beyond what it had written when that was last waited for.
    ///
    /// # Panics
    /// With all that it has written, when it does not.
    pub fn shows(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.said.recv_timeout(SOON) {
                Ok(some) => self.seen += &String::from_utf8_lossy(&some),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {text:?} in:\n{}", self.seen)
                }
            }
        }
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// A signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
        kill_process(pid.expect("it runs"), signal).unwrap();
    }

    /// Whether lines are edited and echoed, as a shell wants it.
    #[must_use]
    pub fn is_as_it_was(&self) -> bool {
        use rustix::termios::LocalModes;
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for its end, gives its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(&mut self) -> Option<i32> {
        timeout(SOON, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}
