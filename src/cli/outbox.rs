//! `vesigate outbox`: what is on its way to the portal, and what holds it up.

use clap::{Args, Subcommand};
use messages::Time;
use messages::batch::{Seq, Stream};
use serde::Serialize;

use super::common::{
    Colour, Common, Table, Zone, ago, ask_collect, ask_deliver, finish, now, open_store, paint, print,
    print_json, size, span,
};
use super::exit;
use crate::config::Config;
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::halves::reports::{self, StreamReport};
use crate::health::status::{CollectStatus, DeliverStatus};
use crate::store::{CollectReader, DeliverReader, GapReason};

/// Show what waits to be sent to the portal, what can never be sent, and what is parked
///
/// Blocks of three streams go up in order; the portal acknowledges each. A block that broke the connection twice is
/// parked: the others go on, and it stays until `outbox resend` sends it again.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Outbox {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    common: Common,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate outbox
  vesigate outbox resend readings 4711
  vesigate outbox --json | jq '.streams[] | {stream, waiting, oldest}'

Exit codes: 0 nothing is parked or lost, 1 something is, 2 it could not run";

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a parked block again
    #[command(after_help = RESEND_HELP)]
    Resend {
        /// Its stream: readings, events or mails
        #[arg(value_name = "STREAM")]
        stream: Stream,
        /// Its number, as `vesigate outbox` shows it
        #[arg(value_name = "SEQ")]
        seq: Seq,
    },
}

const RESEND_HELP: &str = "\
Examples:
  vesigate outbox resend readings 4711
  vesigate outbox resend mails 12

Exit codes: 0 it is sent again, 2 it is not parked, or the uplink does not run";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    at: Time,
    /// Whether the delivering half was there to be asked.
    running: bool,
    /// Whether the broker's line is up; absent if the uplink is off or does not run.
    connected: Option<bool>,
    streams: Vec<StreamReport>,
    /// Blocks that wait in memory because the disk cannot be written.
    in_memory: u64,
    /// Why a stream is not there.
    unread: Vec<String>,
}

impl Outbox {
    pub(super) fn run(self) -> u8 {
        finish("outbox", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        let report = Report::read(&config)?;
        if let Some(Command::Resend { stream, seq }) = self.command {
            return report.resend(&config, stream, seq, self.common.json);
        }
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text(&Zone::of(&config)))?;
        }
        let wrong = |stream: &StreamReport| {
            !stream.parked.is_empty() || !stream.missing.is_empty() || stream.lost > 0
        };
        let wrong = report.streams.iter().any(wrong) || !report.unread.is_empty();
        Ok(if wrong { exit::REFUSED } else { exit::OK })
    }
}

impl Report {
    fn read(config: &Config) -> Result<Self, String> {
        let collect: Option<CollectStatus> = ask_collect(config, &OfCollect::Status)?;
        let in_memory =
            collect.iter().flat_map(|status| status.streams.values()).map(|one| one.in_memory).sum();
        let deliver: Option<DeliverStatus> = ask_deliver(config, &OfDeliver::Status)?;
        let told = collect.as_ref().and_then(|status| status.at);
        let told = told.or_else(|| deliver.as_ref().and_then(|status| status.at));
        let mut report = Self {
            at: told.unwrap_or_else(now),
            running: deliver.is_some(),
            connected: deliver.and_then(|status| status.uplink).map(|uplink| uplink.connected),
            streams: Vec::new(),
            in_memory,
            unread: Vec::new(),
        };
        if report.running {
            report.streams = ask_deliver(config, &OfDeliver::Outbox)?.unwrap_or_default();
        } else {
            report.read_files(config)?;
        }
        Ok(report)
    }

    fn read_files(&mut self, config: &Config) -> Result<(), String> {
        let (collect, deliver) = (config.gateway.collect_dir(), config.gateway.deliver_dir());
        let mut unread = Vec::new();
        let collect = open_store(&CollectReader::file(&collect), || CollectReader::open(&collect));
        let collect = collect.unwrap_or_else(|reason| {
            unread.push(reason);
            None
        });
        let deliver = open_store(&DeliverReader::file(&deliver), || DeliverReader::open(&deliver));
        let deliver = deliver.unwrap_or_else(|reason| {
            unread.push(reason);
            None
        });
        let view = deliver.as_ref().map(DeliverReader::view);
        self.streams = reports::streams(collect.as_ref(), view, None).map_err(|error| error.to_string())?;
        self.unread = unread;
        Ok(())
    }

    fn resend(&self, config: &Config, stream: Stream, seq: Seq, json: bool) -> Result<u8, String> {
        if !self.running {
            return Err("the delivering half does not run: systemctl start vesigate-deliver".to_owned());
        }
        let parked: Vec<String> = self
            .streams
            .iter()
            .flat_map(|one| one.parked.iter().map(move |block| format!("{} {}", one.stream, block.seq)))
            .collect();
        if !parked.contains(&format!("{stream} {seq}")) {
            let there = match parked.as_slice() {
                [] => "none is".to_owned(),
                parked => format!("parked are {}", parked.join(", ")),
            };
            return Err(format!("block {seq} of {stream} is not parked: {there}"));
        }
        ask_deliver::<()>(config, &OfDeliver::Unpark { stream, seq })?;
        if json {
            print_json(&serde_json::json!({ "stream": stream, "seq": seq, "sent_again": true }))?;
        } else {
            print(&format!(
                "Block {seq} of {stream} is sent again: `vesigate outbox` shows whether it gets through\n"
            ))?;
        }
        Ok(exit::OK)
    }

    fn text(&self, zone: &Zone) -> String {
        let mut table = Table::new(&["Stream", ">Newest", ">Portal has", ">Under way", ">Waiting", "Oldest"]);
        for stream in &self.streams {
            let colour = match (stream.waiting, stream.parked.is_empty() && stream.missing.is_empty()) {
                (_, false) => Colour::Red,
                (0, true) => Colour::Green,
                (_, true) => Colour::Yellow,
            };
            let oldest = |at: Time| format!("{} ({})", zone.minute(at), span(ago(at, self.at)));
            table.row(
                vec![
                    stream.stream.to_string(),
                    stream.head.to_string(),
                    stream.acknowledged.to_string(),
                    stream.in_flight.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                    match stream.waiting {
                        0 => "nothing".to_owned(),
                        count => format!("{count} ({})", size(stream.waiting_bytes)),
                    },
                    stream.oldest.filter(|_| stream.waiting > 0).map_or_else(String::new, oldest),
                ],
                Some(colour),
            );
            table.below_in(
                &format!("   epoch {}, {} kept ({})", stream.epoch, stream.kept, size(stream.kept_bytes)),
                Some(Colour::Dim),
            );
            for gap in &stream.missing {
                let why = match gap.why {
                    GapReason::Pruned => "given up: too old, or no room was left",
                    GapReason::Damaged => "the disk gave back something else than was stored",
                };
                table.below(&format!("   never sent: {} to {} ({why})", gap.first, gap.last));
            }
            if stream.lost > 0 && stream.missing.is_empty() {
                table.below(&format!("   {} blocks were given up before; the portal knows", stream.lost));
            }
            for parked in &stream.parked {
                table.below(&format!("   parked: {} ({})", parked.seq, parked.reason));
                table.below(&format!(
                    "     send it again: vesigate outbox resend {} {}",
                    stream.stream, parked.seq
                ));
            }
        }
        let mut text =
            if self.streams.is_empty() { "Nothing is stored yet\n".to_owned() } else { table.text() };
        text.push_str(&match (self.running, self.connected) {
            (false, _) => "The delivering half does not run: this is what the files say\n".to_owned(),
            (true, None) => "The uplink is off: blocks are kept, and sent once it is on\n".to_owned(),
            (true, Some(true)) => String::new(),
            (true, Some(false)) => {
                paint(Colour::Yellow, "The broker's line is down: `vesigate status` says why") + "\n"
            }
        });
        if self.in_memory > 0 {
            text.push_str(&format!("{} blocks wait in memory: the disk cannot be written\n", self.in_memory));
        }
        for reason in &self.unread {
            text.push_str(&format!("{reason}\n"));
        }
        text
    }
}
