//! `vesigate record`: what is on the air, into a file.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::common::{Common, finish, new_file, not_made, print, print_json};
use super::exit;
use crate::halves::control::{AskError, ask};
use crate::halves::questions::OfCollect;
use crate::halves::tap::{TapFrame, TapPage};

/// Record telegrams as they are heard, with time and signal strength
///
/// Telegrams are written as they came, ciphered: no key is in the file, but who reads it and has the keys can read the
/// meters, and it names every meter in reach. `vesigate replay` shows what becomes of it. Ctrl-C ends a recording; what
/// was heard until then is in the file.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Record {
    /// The file to write; one that is there is not overwritten. `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,

    /// At most so many telegrams
    #[arg(long, value_name = "N")]
    telegrams: Option<u64>,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate record site.txt
  vesigate record --minutes 120 /media/usb/kuja-1.txt
  vesigate record --telegrams 20 - | vesigate decode -

Each line: milliseconds since the first, the telegram in hexadecimal, dBm if known. `#` begins a comment.

Exit codes: 0 telegrams were recorded, 1 none was heard, 2 it could not run";

/// How often it is asked for more.
const EVERY: Duration = Duration::from_millis(250);

/// What `--json` prints at the end.
#[derive(Debug, Default, Serialize)]
struct Report {
    telegrams: u64,
    /// Heard, and gone before they were asked for.
    lost: u64,
    seconds: u64,
}

impl Record {
    pub(super) fn run(self) -> u8 {
        finish("record", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        let socket = config.status.collect_sockets().join("control.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let ask_for = async |after| ask::<TapPage>(&socket, &OfCollect::Tap { after }).await;
        // Asked before the file is made, so that a gateway that does not run leaves none behind.
        let begun = runtime.block_on(ask_for(None)).map_err(|error| reason(&error))?;
        let mut out = Out::new(&self)?;
        let report = runtime.block_on(async {
            let started = Instant::now();
            let until = Duration::from_secs(u64::from(self.minutes) * 60);
            let mut report = Report::default();
            let mut next = begun.next;
            let mut interrupt = Box::pin(tokio::signal::ctrl_c());
            loop {
                let page = ask_for(Some(next)).await.map_err(|error| reason(&error))?;
                next = page.next;
                report.lost = report.lost.saturating_add(page.lost);
                for frame in &page.frames {
                    if self.telegrams.is_some_and(|most| report.telegrams >= most) {
                        break;
                    }
                    if !out.write(frame).map_err(|error| format!("it cannot be written: {error}"))? {
                        return Ok::<_, String>(report);
                    }
                    report.telegrams = report.telegrams.saturating_add(1);
                }
                report.seconds = started.elapsed().as_secs();
                out.tell(&report);
                let enough = self.telegrams.is_some_and(|most| report.telegrams >= most);
                if enough || started.elapsed() >= until {
                    return Ok(report);
                }
                if page.more {
                    continue;
                }
                tokio::select! {
                    _ = &mut interrupt => return Ok(report),
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        })?;
        out.end(&report, self.common.json)?;
        Ok(if report.telegrams == 0 { exit::REFUSED } else { exit::OK })
    }
}

fn reason(error: &AskError) -> String {
    match error {
        AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            "the receiving half does not run, and only it has the receiver: systemctl start vesigate-collect"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// Where it is written.
struct Out {
    to: Box<dyn Write>,
    /// Uptime of the first telegram.
    first: Option<u64>,
    is_file: bool,
    shown: bool,
}

impl Out {
    fn new(record: &Record) -> Result<Self, String> {
        let path = &record.file;
        let is_file = path.as_os_str() != "-";
        let to: Box<dyn Write> = if is_file {
            let made = new_file(path).map_err(|error| not_made(path, &error))?;
            Box::new(BufWriter::new(made))
        } else {
            Box::new(io::stdout())
        };
        let shown = is_file && io::stderr().is_terminal() && !record.common.json;
        Ok(Self { to, first: None, is_file, shown })
    }

    /// `false` once nobody reads any more.
    fn write(&mut self, frame: &TapFrame) -> io::Result<bool> {
        match self.try_write(frame) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn try_write(&mut self, frame: &TapFrame) -> io::Result<()> {
        if !self.is_file {
            return writeln!(self.to, "{}", frame.hex);
        }
        let first = match self.first {
            Some(first) => first,
            None => {
                writeln!(self.to, "# vesigate recording 1: milliseconds, telegram, dBm")?;
                if let Some(at) = frame.at {
                    writeln!(self.to, "# began {at}")?;
                }
                *self.first.insert(frame.uptime_ms)
            }
        };
        write!(self.to, "{} {}", frame.uptime_ms.saturating_sub(first), frame.hex)?;
        if let Some(rssi) = frame.rssi_dbm {
            write!(self.to, " {rssi}")?;
        }
        writeln!(self.to)?;
        // What was heard is in the file, however the recording ends.
        self.to.flush()
    }

    fn tell(&self, report: &Report) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{} telegrams in {} s ", report.telegrams, report.seconds);
        }
    }

    fn end(self, report: &Report, json: bool) -> Result<(), String> {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        match (self.is_file, json) {
            (false, _) => Ok(()),
            (true, true) => print_json(report),
            (true, false) => {
                let lost = if report.lost > 0 { format!(", {} lost", report.lost) } else { String::new() };
                print(&format!("{} telegrams in {} s{lost}\n", report.telegrams, report.seconds))
            }
        }
    }
}
