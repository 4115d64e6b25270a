//! Where the daemon logs to: the journal when systemd listens, else standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging.
///
/// # Errors
/// `level` cannot be read.
pub(super) fn start(level: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(level).map_err(|_| {
        format!("--log {level}: write error, warn, info, debug or trace, or levels by module such as info,vesigate::uplink=debug")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    // Somebody may have started it before: a demonstration that runs both halves in its own process.
    let _ = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
            registry.with(text.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
        }
    };
    Ok(())
}
