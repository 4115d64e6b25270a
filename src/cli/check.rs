//! `vesigate check`: everything at once.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::common::wrapped;
use super::exit;
use crate::check::{self, Area, Finding, Verdict};
use crate::config::{Config, Credentials, Email};
use crate::world::Clock;

/// Look at everything at once: configuration, files, receivers, clock, disk, stores, keys, broker, mail server
///
/// Changes nothing here and sends no mail unless that is wanted. Run it as root, so that it may look everywhere. While the gateway runs it is
/// asked; what surely does not run is tried in its place: at the broker it connects by the gateway's name, publishes its
/// retained state as stopped, which is true, and tries whether it may write where it should not; at the mail server it logs
/// in.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Check {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// Send a test mail to ADDRESS, or without one to every [[contact]] of the configuration
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    send_test_mail: Option<Option<Email>>,

    /// One JSON object to a finding: area, verdict (good, skipped, doubtful, bad), text
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate check
  vesigate check --send-test-mail=me@example.org
  vesigate check --json | jq -r 'select(.verdict == \"bad\") | .text'

Exit codes: 0 nothing is bad, 1 something is, 2 it could not run";

impl Check {
    pub(super) fn run(self) -> u8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = writeln!(io::stderr(), "vesigate check: {error}");
                return exit::USAGE;
            }
        };
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credentials = Credentials::by_hand(directory, PathBuf::from("/"));
        let colour = io::stdout().is_terminal();
        let (mut worst, mut bad, mut doubtful) = (Verdict::Good, 0_u32, 0_u32);
        let mut tell = |finding: Finding| {
            worst = worst.max(finding.verdict);
            bad += u32::from(finding.verdict == Verdict::Bad);
            doubtful += u32::from(finding.verdict == Verdict::Doubtful);
            let line = if self.json {
                serde_json::to_string(&finding).unwrap_or_default()
            } else {
                line(&finding, colour)
            };
            // Whoever does not read to the end still gets the exit code.
            let _ = writeln!(io::stdout(), "{line}");
        };
        let clock = Clock::system();
        runtime.block_on(check::run(&self.config, &credentials, &clock, &mut tell));
        if let Some(to) = &self.send_test_mail
            && let Ok(config) = Config::load(&self.config)
        {
            let sent = check::send_test_mail(&config, &credentials, &clock, to.as_ref());
            runtime.block_on(sent).into_iter().for_each(&mut tell);
        }
        if !self.json {
            let _ = writeln!(io::stdout(), "{}", conclusion(bad, doubtful));
        }
        if worst == Verdict::Bad { exit::REFUSED } else { exit::OK }
    }
}

fn conclusion(bad: u32, doubtful: u32) -> String {
    match (bad, doubtful) {
        (0, 0) => "All is well.".to_owned(),
        (0, _) => format!("Works; {doubtful} point(s) deserve a look."),
        _ => format!("{bad} point(s) to mend, {doubtful} to look at."),
    }
}

/// A finding; at a terminal coloured, and in lines that fit.
pub(super) fn line(finding: &Finding, for_people: bool) -> String {
    let (mark, paint) = match finding.verdict {
        Verdict::Good => ("ok", AnsiColor::Green),
        Verdict::Skipped => ("--", AnsiColor::BrightBlack),
        Verdict::Doubtful => ("??", AnsiColor::Yellow),
        Verdict::Bad => ("!!", AnsiColor::Red),
    };
    let area = match finding.area {
        Area::Configuration => "config",
        Area::Files => "files",
        Area::Halves => "gateway",
        Area::Receiver => "receiver",
        Area::Clock => "clock",
        Area::Disk => "disk",
        Area::Store => "store",
        Area::Meters => "meters",
        Area::Broker => "broker",
        Area::Mail => "mail",
    };
    if !for_people {
        return format!("{mark}  {area:<9} {}", finding.text);
    }
    let style = Style::new().fg_color(Some(paint.into()));
    let text = wrapped(&format!("{mark}  {area:<9} "), &finding.text);
    format!("{style}{mark}{style:#}{}", text.strip_prefix(mark).unwrap_or(&text))
}
