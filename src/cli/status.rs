//! `vesigate status`: how the running gateway is.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::common::{size, span};
use super::exit;
use crate::config::Config;
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::health::problem::Listed;
use crate::health::status::{CollectStatus, DeliverStatus, FeedStatus, MailStatus, UplinkStatus};

/// Show how the running gateway is.
///
/// Asks both halves; run it as root, or as a member of the group vesigate.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Status {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,

    /// One JSON object with both halves' answers
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate status
  vesigate status --json | jq .collect.telegrams

Exit codes: 0 all is well, 1 a half does not run or something is wrong, 2 it could not run";

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Both {
    collect: Option<CollectStatus>,
    deliver: Option<DeliverStatus>,
    /// Why a half did not answer.
    errors: Vec<String>,
}

impl Status {
    pub(super) fn run(self) -> u8 {
        match self.try_run() {
            Ok(code) => code,
            Err(reason) => {
                let _ = writeln!(io::stderr(), "vesigate status: {reason}");
                exit::USAGE
            }
        }
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let both = runtime.map_err(|error| error.to_string())?.block_on(ask_both(&config));
        let text = if self.json {
            serde_json::to_string(&both).map_err(|error| error.to_string())? + "\n"
        } else {
            both.text()
        };
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
            _ => Ok(if both.is_well() { exit::OK } else { exit::REFUSED }),
        }
    }
}

async fn ask_both(config: &Config) -> Both {
    let socket = |half: PathBuf| half.join("control.sock");
    let collect = ask(&socket(config.status.collect_sockets()), &OfCollect::Status).await;
    let deliver = ask(&socket(config.status.deliver_sockets()), &OfDeliver::Status).await;
    let mut errors = Vec::new();
    let mut failed = |half: &str, error: AskError| errors.push(format!("{half}: {error}"));
    let collect = collect.map_err(|error| failed("collect", error)).ok();
    let deliver = deliver.map_err(|error| failed("deliver", error)).ok();
    Both { collect, deliver, errors }
}

impl Both {
    fn is_well(&self) -> bool {
        let well = |problems: Option<&Vec<Listed>>| problems.is_some_and(Vec::is_empty);
        well(self.collect.as_ref().map(|half| &half.problems))
            && well(self.deliver.as_ref().map(|half| &half.problems))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if let Some(collect) = &self.collect {
            write_collect(text, collect)?;
        }
        if let Some(deliver) = &self.deliver {
            write_deliver(text, deliver)?;
        }
        for error in &self.errors {
            writeln!(text, "{error}")?;
        }
        let problems = self.collect.iter().flat_map(|half| &half.problems);
        for listed in problems.chain(self.deliver.iter().flat_map(|half| &half.problems)) {
            let since = listed.since.map_or_else(String::new, |since| format!(" (since {since})"));
            writeln!(text, "! {}{since}", listed.text)?;
        }
        Ok(())
    }
}

fn write_collect(text: &mut String, status: &CollectStatus) -> std::fmt::Result {
    writeln!(text, "collect   {} up {}", status.version, span(status.uptime_s))?;
    let synchronised =
        status.clock.synchronised.map_or_else(String::new, |at| format!(", synchronised {at}"));
    let waiting = if status.clock.unplaced == 0 {
        String::new()
    } else {
        format!(", {} readings wait for the time", status.clock.unplaced)
    };
    writeln!(text, "  clock       {}{synchronised}{waiting}", status.clock.trust)?;
    for receiver in &status.receivers {
        let firmware = receiver.firmware.as_deref().unwrap_or("");
        writeln!(
            text,
            "  receiver    {} {} {firmware}: {}, {} frames, {} bytes of garbage",
            receiver.name, receiver.protocol, receiver.state, receiver.frames, receiver.garbage
        )?;
    }
    for feed in &status.feeds {
        write_feed(text, feed)?;
    }
    let (telegrams, meters) = (&status.telegrams, &status.meters);
    writeln!(
        text,
        "  telegrams   {} heard, {} accepted, {} again, {} foreign, {} installation",
        telegrams.heard, telegrams.accepted, telegrams.duplicates, telegrams.foreign, telegrams.installation
    )?;
    for (reason, count) in &telegrams.refused {
        writeln!(text, "    refused   {count} {reason}")?;
    }
    writeln!(
        text,
        "  meters      {} expected, {} heard, {} opened, {} without key, {} with a wrong key, {} silent, {} foreign",
        meters.expected,
        meters.heard,
        meters.opened,
        meters.no_key,
        meters.wrong_key,
        meters.silent,
        meters.foreign
    )?;
    for meter in &status.refusing {
        write!(text, "    {} {}", meter.meter, meter.reception)?;
        for (reason, count) in &meter.refused {
            write!(text, ", {count} {reason}")?;
        }
        if meter.sealed > 0 {
            write!(text, ", {} frames wait for a key", meter.sealed)?;
        }
        writeln!(text)?;
    }
    writeln!(text, "  rows        {} written, {} episodes run", status.rows, status.episodes)?;
    for (stream, kept) in &status.streams {
        writeln!(
            text,
            "  {stream:<10}  block {} stored, {} acknowledged, {} kept ({}), {} in memory, {} lost",
            kept.head.number(),
            kept.acknowledged.number(),
            kept.blocks,
            size(kept.bytes),
            kept.in_memory,
            kept.lost
        )?;
    }
    let disk = &status.disk;
    writeln!(
        text,
        "  disk        {}, {} of {} used, {} free",
        disk.state,
        size(disk.used),
        size(disk.budget),
        size(disk.free)
    )
}

fn write_feed(text: &mut String, feed: &FeedStatus) -> std::fmt::Result {
    let counts = &feed.counts;
    let connected = if feed.connected { "" } else { "not connected, before: " };
    write!(text, "    {:<10}{connected}{} good", feed.name, counts.good)?;
    let others = [
        (counts.bad_crc, "with wrong CRCs"),
        (counts.bad_coding, "with wrong symbols"),
        (counts.malformed, "torn"),
        (counts.mended, "mended"),
        (counts.log_lines, "lines of text"),
        (feed.restarts, "restarts"),
        (feed.dropped, "dropped"),
    ];
    for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
        write!(text, ", {count} {what}")?;
    }
    writeln!(text)
}

fn write_deliver(text: &mut String, status: &DeliverStatus) -> std::fmt::Result {
    writeln!(text, "deliver   {} up {}", status.version, span(status.uptime_s))?;
    if let Some(reason) = &status.store {
        writeln!(text, "  store       {reason}")?;
    }
    match &status.uplink {
        None => writeln!(text, "  uplink      off")?,
        Some(uplink) => write_uplink(text, uplink)?,
    }
    match &status.mail {
        None => writeln!(text, "  mail        off"),
        Some(mail) => write_mail(text, mail),
    }
}

fn write_uplink(text: &mut String, uplink: &UplinkStatus) -> std::fmt::Result {
    let state = if uplink.connected { "connected" } else { "not connected" };
    let since = uplink.since.map_or_else(String::new, |since| format!(" since {since}"));
    let seen = uplink.portal_seen.map_or_else(|| "never".to_owned(), |at| at.to_string());
    writeln!(text, "  uplink      {state}{since}, portal seen {seen}")?;
    if let Some(error) = &uplink.error {
        writeln!(text, "              {error}")?;
    }
    for (stream, sending) in &uplink.streams {
        writeln!(
            text,
            "  {stream:<10}  block {} stored, {} with the portal, {} under way, {} sent",
            sending.head.number(),
            sending.acknowledged.number(),
            sending.in_flight,
            sending.sent
        )?;
    }
    for parked in &uplink.parked {
        writeln!(text, "    parked    {} {}: {}", parked.stream, parked.seq.number(), parked.reason)?;
    }
    Ok(())
}

fn write_mail(text: &mut String, mail: &MailStatus) -> std::fmt::Result {
    writeln!(
        text,
        "  mail        {} wait, {} sent, {} refused, {} given up; {} alarms run",
        mail.queued, mail.sent, mail.refused, mail.given_up, mail.alarms
    )?;
    match &mail.error {
        Some(error) => writeln!(text, "              {error}"),
        None => Ok(()),
    }
}
