//! Asks a port who is there.

use std::{path::Path, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep_until, timeout},
};

use tokio_serial::SerialStream;

use super::{Found, Kind, Probe};
use crate::receiver::{Action, Fault, port};

/// How long a question may take to be written.
const WRITING: std::time::Duration = std::time::Duration::from_secs(1);

/// Asks the port at `path` which of these kinds is there, the port locked against everybody else meanwhile. Gives `None` if
/// nobody answered. Takes less than five seconds, six where telegrams keep coming.
///
/// # Errors
/// Why the port cannot be asked.
pub async fn ask(path: &Path, kinds: &[Kind]) -> Result<Option<Found>, Fault> {
    converse(path, Probe::new(kinds)).await
}

pub(super) async fn converse(path: &Path, probe: Probe) -> Result<Option<Found>, Fault> {
    let mut talk = Talk { port: port::open(path, probe.baud())?.0, probe };
    let Talk { port, probe } = &mut talk;
    let (mut buffer, mut actions, mut wake) = ([0; 1024], Vec::new(), now());
    let mut baud = probe.baud();
    probe.begin(now(), &mut actions);
    loop {
        if probe.baud() != baud {
            baud = probe.baud();
            port::set_speed(path, port, baud)?;
        }
        for action in actions.drain(..) {
            match action {
                Action::Write(command) => match timeout(WRITING, port.write_all(&command)).await {
                    Ok(written) => written.map_err(|error| port::broken(path, &error))?,
                    Err(_) => return Err(Fault::WriteStuck),
                },
                Action::Wake(at) => wake = at,
                Action::Heard(_) | Action::Ready(_) | Action::Reopen(_) => {}
            }
        }
        if let Some(found) = probe.outcome() {
            return Ok(found);
        }
        tokio::select! {
            read = port.read(&mut buffer) => {
                let count = read.map_err(|error| port::broken(path, &error))?;
                if count == 0 {
                    return Err(Fault::Gone);
                }
                probe.bytes(now(), buffer.get(..count).unwrap_or_default(), &mut actions);
            }
            () = sleep_until(wake.into()) => probe.tick(now(), &mut actions),
        }
    }
}

/// An open port and the conversation over it. However it ends, the receiver is not left in the middle.
struct Talk {
    port: SerialStream,
    probe: Probe,
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(farewell) = self.probe.farewell() {
            // There is room for so few bytes, or the port is broken.
            let _ = self.port.try_write(&farewell);
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
