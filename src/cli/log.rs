//! Where the daemon logs to: the journal when systemd listens, else standard error.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging.
///
/// # Errors
/// `level` cannot be read.
pub(super) fn start(level: &str) -> Result<(), String> {
    let filter = filter(level).ok_or_else(|| {
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

/// A word alone must be a level: taken for a module, a slip of the pen would silence everything else.
fn filter(level: &str) -> Option<Targets> {
    let is_clear = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    level.split(',').all(is_clear).then(|| level.parse().ok())?
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_for_all_and_by_module_are_understood_and_slips_are_not() {
        let info = filter("info,vesigate::uplink=debug").unwrap();
        assert!(info.would_enable("vesigate::store", &Level::INFO));
        assert!(!info.would_enable("vesigate::store", &Level::DEBUG));
        assert!(info.would_enable("vesigate::uplink::session", &Level::DEBUG));
        for slip in ["inof", "info,uplink", "vesigate=loud"] {
            assert!(filter(slip).is_none(), "{slip}");
        }
    }
}
