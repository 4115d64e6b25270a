//! What systemd is told: ready, stopping, and that everything still turns.
//!
//! The watchdog is fed only while each loop that reports here has turned since it was fed last: a loop that hangs takes
//! the process with it, and systemd starts it again. An absent dongle, broker or meter is no hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use systemd::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Collects the signs of life of a process's loops. Clones share them.
#[derive(Clone, Debug)]
pub struct Supervisor {
    loops: Arc<Mutex<Vec<Pulse>>>,
    /// Halves that have not started yet.
    starting: Arc<watch::Sender<usize>>,
}

/// A loop's sign of life.
#[derive(Clone, Debug)]
pub struct Pulse {
    name: &'static str,
    turned: Arc<AtomicBool>,
}

impl Pulse {
    /// The loop has turned: it made progress, or found that there is nothing to do. Call it at least every
    /// [`Supervisor::PACE`].
    pub fn beat(&self) {
        self.turned.store(true, Ordering::Relaxed);
    }
}

impl Supervisor {
    /// How often a loop has to show that it turns, at least.
    pub const PACE: Duration = Duration::from_secs(5);

    /// For a process that is ready once so many halves have started.
    #[must_use]
    pub fn new(halves: usize) -> Self {
        Self { loops: Arc::default(), starting: Arc::new(watch::channel(halves).0) }
    }

    /// A loop that will report.
    #[must_use]
    pub fn watch(&self, name: &'static str) -> Pulse {
        let pulse = Pulse { name, turned: Arc::new(AtomicBool::new(true)) };
        self.lock().push(pulse.clone());
        pulse
    }

    /// A half has opened all it needs.
    pub fn started(&self) {
        self.starting.send_modify(|halves| *halves = halves.saturating_sub(1));
    }

    /// Says when the process is ready, and feeds the watchdog, if there is one, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut starting = self.starting.subscribe();
        tokio::select! {
            () = stop.cancelled() => return,
            _ = starting.wait_for(|halves| *halves == 0) => tell(&[NotifyState::Ready]),
        }
        self.feed(&stop).await;
        tell(&[NotifyState::Stopping]);
    }

    async fn feed(&self, stop: &CancellationToken) {
        let Some(limit) = systemd::watchdog_enabled() else { return stop.cancelled().await };
        let pace = (limit / 3).max(Duration::from_millis(100));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pace) => {}
            }
            match self.hanging() {
                None => tell(&[NotifyState::Watchdog]),
                Some(name) => tracing::error!(name, "the loop {name} hangs"),
            }
        }
    }

    /// A loop that has not turned since the last call that found none hanging; all begin anew then.
    fn hanging(&self) -> Option<&'static str> {
        let loops = self.lock();
        if let Some(pulse) = loops.iter().find(|pulse| !pulse.turned.load(Ordering::Relaxed)) {
            return Some(pulse.name);
        }
        for pulse in loops.iter() {
            pulse.turned.store(false, Ordering::Relaxed);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pulse>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for `systemctl status`.
pub fn say(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Outside systemd nobody listens, which is no error.
fn tell(states: &[NotifyState<'_>]) {
    let _ = systemd::notify(states);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_turning_is_named_until_it_turns_again() {
        let supervisor = Supervisor::new(1);
        let (radio, disk) = (supervisor.watch("radio"), supervisor.watch("disk"));
        assert_eq!(supervisor.hanging(), None);
        radio.beat();
        assert_eq!(supervisor.hanging(), Some("disk"));
        assert_eq!(supervisor.hanging(), Some("disk"));
        disk.beat();
        assert_eq!(supervisor.hanging(), None);
    }
}
