//! What systemd is told: ready, stopping, and that everything still turns.
//!
//! The watchdog is fed only while each loop that reports here has turned since it was fed last: a loop that hangs takes
//! the process with it, and systemd starts it again. An absent dongle, broker or meter is no hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use systemd::NotifyState;
use tokio_util::sync::CancellationToken;

/// Collects the signs of life of a process's loops.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    loops: Vec<Pulse>,
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

    /// A loop that will report.
    pub fn watch(&mut self, name: &'static str) -> Pulse {
        let pulse = Pulse { name, turned: Arc::new(AtomicBool::new(true)) };
        self.loops.push(pulse.clone());
        pulse
    }

    /// Says that the process is ready, and feeds the watchdog, if there is one, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tell(&[NotifyState::Ready]);
        let Some(limit) = systemd::watchdog_enabled() else { return stop.cancelled().await };
        let pace = (limit / 3).max(Duration::from_millis(100));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pace) => {}
            }
            match self.hanging() {
                None => tell(&[NotifyState::Watchdog]),
                Some(name) => tracing::error!(name, "the loop {name} hangs"),
            }
        }
        tell(&[NotifyState::Stopping]);
    }

    /// A loop that has not turned since the last call that found none hanging; all begin anew then.
    fn hanging(&self) -> Option<&'static str> {
        if let Some(pulse) = self.loops.iter().find(|pulse| !pulse.turned.load(Ordering::Relaxed)) {
            return Some(pulse.name);
        }
        for pulse in &self.loops {
            pulse.turned.store(false, Ordering::Relaxed);
        }
        None
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
        let mut supervisor = Supervisor::default();
        let (radio, _disk) = (supervisor.watch("radio"), supervisor.watch("disk"));
        assert_eq!(supervisor.hanging(), None);
        radio.beat();
        assert_eq!(supervisor.hanging(), Some("disk"));
        assert_eq!(supervisor.hanging(), Some("disk"));
        _disk.beat();
        assert_eq!(supervisor.hanging(), None);
    }
}
