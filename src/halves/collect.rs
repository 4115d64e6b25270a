//! The receiving half.

use super::{Daemon, Fatal};

/// Runs until it is stopped.
///
/// # Errors
/// [`Fatal`]
pub async fn run(daemon: Daemon) -> Result<(), Fatal> {
    daemon.supervisor.started();
    daemon.stop.cancelled().await;
    Ok(())
}
