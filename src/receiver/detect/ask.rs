//! Asks a port who is there.

use std::{path::Path, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep_until, timeout},
};

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

pub(super) async fn converse(path: &Path, mut probe: Probe) -> Result<Option<Found>, Fault> {
    let mut port = port::open(path, probe.baud())?.0;
    let (mut buffer, mut actions, mut wake) = ([0; 1024], Vec::new(), now());
    let mut baud = probe.baud();
    probe.begin(now(), &mut actions);
    loop {
        if probe.baud() != baud {
            baud = probe.baud();
            port::set_speed(path, &mut port, baud)?;
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

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
