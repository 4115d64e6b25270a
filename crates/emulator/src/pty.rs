//! A pseudo-terminal that looks like a USB serial port behind a stable link.
//!
//! Linux gives every new pseudo-terminal a device node of its own (`/dev/pts/7`); the link stands for
//! `/dev/serial/by-id/...`, which stays the same when the node changes.

use std::{
    ffi::OsStr,
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt, unix::fs::symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use tokio::io::{Interest, unix::AsyncFd};

/// The device's end of the line. Dropping it hangs the line up, as unplugging does.
#[derive(Debug)]
pub struct Pty {
    master: AsyncFd<OwnedFd>,
    device: PathBuf,
    link: PathBuf,
}

impl Pty {
    /// The speed of a line whose other end has not set any, in baud. No receiver is so slow.
    pub const UNSET: u32 = 50;

    /// Makes a pseudo-terminal in raw mode and lets `link` lead to it, in place of what the link led to before. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// Whatever the system says: no pseudo-terminal left, or the link's folder cannot be written.
    pub fn new(link: &Path) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        // Raw before anybody opens it: a terminal as Linux makes it echoes the dongle's own bytes back to it.
        let mut termios = tcgetattr(&master)?;
        termios.make_raw();
        termios.set_speed(Self::UNSET)?;
        tcsetattr(&master, OptionalActions::Now, &termios)?;
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let device = PathBuf::from(OsStr::from_bytes(ptsname(&master, Vec::new())?.as_bytes()));
        // Made beside it and renamed, so that the link leads somewhere at every moment.
        let fresh = link.with_extension("new");
        let _ = fs::remove_file(&fresh);
        symlink(&device, &fresh)?;
        fs::rename(&fresh, link)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an `OwnedFd` keeps one descriptor open for its whole life"
        )]
        let master = AsyncFd::new(master)?;
        Ok(Self { master, device, link: link.into() })
    }

    /// The device node, such as `/dev/pts/7`.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The speed the other end has set, in baud. A pseudo-terminal carries bytes at any speed all the same.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn speed(&self) -> io::Result<u32> {
        Ok(tcgetattr(&self.master)?.output_speed())
    }

    /// Waits for bytes. An error means that the other end was open and has been closed; this pseudo-terminal is then of no
    /// further use (a killed process leaves its exclusive mark on it): make a new one.
    ///
    /// # Errors
    /// `EIO` on a closed other end, `BrokenPipe` on one that is open again.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.master.ready(Interest::READABLE).await?;
            let closed = ready.ready().is_read_closed();
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *buffer)?)) {
                Ok(read) => return read,
                // Closed, and opened again before anybody looked: it would count as readable for ever.
                Err(_would_block) if closed => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(_would_block) => {}
            }
        }
    }

    /// Writes as many bytes as fit into the line, waiting until at least one does.
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.master.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await
    }
}

/// The link goes with the device, unless it leads to another one by now.
impl Drop for Pty {
    fn drop(&mut self) {
        if fs::read_link(&self.link).is_ok_and(|device| device == self.device) {
            let _ = fs::remove_file(&self.link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_other_end_closed_and_opened_again_at_once_is_noticed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let pty = Pty::new(&folder.path().join("usb-dongle")).unwrap();
        let open = || fs::File::options().read(true).write(true).open(pty.device()).unwrap();
        drop(open());
        // The system has told of the end that is closed, and nobody has looked yet.
        assert!(pty.master.ready(Interest::READABLE).await.unwrap().ready().is_read_closed());
        let _again = open();
        assert!(pty.read(&mut [0; 8]).await.is_err());
    }
}
