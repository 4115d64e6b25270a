//! `emulator`: a virtual dongle that hears a virtual town, or a recording.

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use clap::{Parser, Subcommand};
use emulator::{
    dongle::{Kind, Mode},
    event::{Event, Trouble},
    player::{Pace, Player},
    plugged::Plugged,
    replay::{Recording, Speed},
    town::Town,
};
use jiff::{SignedDuration, Timestamp, civil::Date};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

/// Virtual meters on a virtual dongle, for tests, demonstrations and training.
#[derive(Debug, Parser)]
#[command(name = "emulator", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Town(TownArguments),
    Replay(ReplayArguments),
}

/// Lets a dongle hear a town of virtual meters until Ctrl-C.
#[derive(Debug, clap::Args)]
struct TownArguments {
    /// Where the dongle appears, such as /tmp/dongle.
    #[arg(long, value_name = "PATH")]
    link: PathBuf,
    /// What kind of dongle it is.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    dongle: Kind,
    /// How many meters.
    #[arg(long, value_name = "N", default_value_t = 12)]
    meters: usize,
    /// The same seed gives the same meters, keys and people.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many times faster than real time.
    #[arg(long, value_name = "X", default_value = "1")]
    speed: NonZeroU32,
    /// The virtual time at the real start, such as 2026-11-25T10:00:00Z or 2026-11-25. Without this: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<Timestamp>,
    /// The real start in Unix seconds, such as 1795600800.250, for programs that must agree. Without this: now.
    #[arg(long, value_name = "SECONDS", value_parser = unix_seconds)]
    real_start: Option<i64>,
    /// A leak: of a meter (its number, or its place counted from 0), so long after the virtual start, for so long, such
    /// as 3@6h or 3@6h+2h30m. May be repeated, as the next three.
    #[arg(long, value_name = "METER@OFFSET[+LENGTH]")]
    leak: Vec<Planned>,
    /// A burst pipe.
    #[arg(long, value_name = "METER@OFFSET[+LENGTH]")]
    burst: Vec<Planned>,
    /// Water that flows backwards.
    #[arg(long, value_name = "METER@OFFSET[+LENGTH]")]
    reverse: Vec<Planned>,
    /// A meter that is not filled.
    #[arg(long, value_name = "METER@OFFSET[+LENGTH]")]
    dry: Vec<Planned>,
    /// Meters tell leaks and bursts at once, not after a day and half an hour as real ones do.
    #[arg(long)]
    codes_at_once: bool,
    /// Where to write the keys (id,key).
    #[arg(long, value_name = "FILE")]
    keys_out: Option<PathBuf>,
    /// Where to write the list of meters (id,name,metering_point,q4).
    #[arg(long, value_name = "FILE")]
    meters_out: Option<PathBuf>,
}

/// Lets a dongle hear recorded telegrams once a host listens; then stays until Ctrl-C.
#[derive(Debug, clap::Args)]
struct ReplayArguments {
    /// The recording: lines of a time in milliseconds (or none), a telegram in hexadecimal, its dBm (or none).
    file: PathBuf,
    /// Where the dongle appears.
    #[arg(long, value_name = "PATH")]
    link: PathBuf,
    /// What kind of dongle it is.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    dongle: Kind,
    /// How many times faster than recorded.
    #[arg(long, value_name = "X", default_value = "1")]
    speed: NonZeroU32,
    /// Without any waiting.
    #[arg(long, conflicts_with = "speed")]
    fast: bool,
}

/// Trouble on the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Planned {
    meter: String,
    offset: i64,
    length: Option<i64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Town(arguments) => town(&arguments).await,
        Command::Replay(arguments) => replay(&arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("emulator: {error}");
            ExitCode::from(2)
        }
    }
}

async fn town(arguments: &TownArguments) -> Result<(), String> {
    let (now, real_now) = (Instant::now(), Timestamp::now());
    let start = arguments.start.unwrap_or(real_now).as_millisecond();
    // What has passed since the real start, at the town's speed.
    let late = arguments.real_start.map_or(0, |real_start| real_now.as_millisecond() - real_start);
    let virtual_now = start.saturating_add(late.saturating_mul(i64::from(arguments.speed.get())));
    let pace = Pace::new(now, virtual_now, arguments.speed);
    let mut town = Town::new(arguments.meters, arguments.seed, virtual_now);
    for (trouble, planned) in [
        (Trouble::Leak, &arguments.leak),
        (Trouble::Burst, &arguments.burst),
        (Trouble::Reverse, &arguments.reverse),
        (Trouble::Dry, &arguments.dry),
    ] {
        for plan in planned {
            plan.put(&mut town, trouble, start / 1_000, arguments.codes_at_once)?;
        }
    }
    write(arguments.keys_out.as_deref(), &town.keys_csv())?;
    write(arguments.meters_out.as_deref(), &town.meters_csv())?;
    let mut stop = Stop::new()?;
    let dongle = plug_in(&arguments.link, arguments.dongle)?;
    let mut player = Player::new(town, pace);
    let played = player.played();
    tokio::select! {
        ended = async {
            // A town without meters has nothing to send, and is still there.
            let ended = player.play(&dongle, i64::MAX).await;
            if ended.is_ok() { std::future::pending::<()>().await; }
            ended
        } => { ended.map_err(|error| error.to_string())?; }
        () = stop.asked() => {}
    }
    let played = *played.borrow();
    println!("sent {}, skipped {}", played.sent, played.skipped);
    Ok(())
}

async fn replay(arguments: &ReplayArguments) -> Result<(), String> {
    let text = fs::read_to_string(&arguments.file)
        .map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let recording: Recording =
        text.parse().map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let speed = if arguments.fast { Speed::Unpaced } else { Speed::Times(arguments.speed) };
    let mut stop = Stop::new()?;
    let dongle = plug_in(&arguments.link, arguments.dongle)?;
    let mut state = dongle.state();
    let played = async {
        // A host first speaks, then sets the modes; telegrams before that would be lost.
        let _ =
            state.wait_for(|state| state.listening && state.modes.iter().any(|mode| *mode != Mode::S1)).await;
        recording.play(&dongle, speed).await.map_err(|error| error.to_string())?;
        println!("played {}", recording.telegrams().len());
        std::future::pending::<Result<(), String>>().await
    };
    tokio::select! {
        ended = played => ended,
        () = stop.asked() => Ok(()),
    }
}

fn plug_in(link: &Path, kind: Kind) -> Result<Plugged, String> {
    let dongle =
        Plugged::plug_in(link, kind.dongle()).map_err(|error| format!("{}: {error}", link.display()))?;
    println!("ready {}", link.display());
    Ok(dongle)
}

/// Ctrl-C and SIGTERM, caught from the moment this is made.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, String> {
        let catch = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Self { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn write(file: Option<&Path>, text: &str) -> Result<(), String> {
    match file {
        Some(file) => fs::write(file, text).map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    }
}

impl Planned {
    fn put(&self, town: &mut Town, trouble: Trouble, start: i64, at_once: bool) -> Result<(), String> {
        let meter = town.find(&self.meter).ok_or_else(|| {
            format!("there is no meter {}; there are {}", self.meter, town.residents().len())
        })?;
        let from = start.saturating_add(self.offset);
        let to = self.length.map_or(i64::MAX, |length| from.saturating_add(length));
        let event = Event::new(trouble, from, to);
        town.add(meter, if at_once { event.told_at_once() } else { event });
        Ok(())
    }
}

impl FromStr for Planned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write METER@OFFSET or METER@OFFSET+LENGTH, such as 3@6h or 3@6h+2h30m".to_owned();
        let (meter, times) = text.split_once('@').ok_or_else(wrong)?;
        let (offset, length) = match times.split_once('+') {
            Some((offset, length)) => (offset, Some(seconds(length).ok_or_else(wrong)?)),
            None => (times, None),
        };
        Ok(Self { meter: meter.into(), offset: seconds(offset).ok_or_else(wrong)?, length })
    }
}

fn seconds(text: &str) -> Option<i64> {
    text.parse::<SignedDuration>().ok().map(|duration| duration.as_secs())
}

fn time(text: &str) -> Result<Timestamp, String> {
    let day = |text: &str| {
        let day: Date = text.parse().ok()?;
        Some(day.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let written_out = text.parse().ok();
    written_out
        .or_else(|| day(text))
        .ok_or_else(|| "write a time such as 2026-11-25T10:00:00Z, or a date for midnight in UTC".to_owned())
}

/// To milliseconds.
fn unix_seconds(text: &str) -> Result<i64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let milliseconds = || {
        let seconds = Duration::from_secs(whole.parse().ok()?);
        let rest = Duration::from_millis(thousandths.parse().ok()?);
        i64::try_from((seconds + rest).as_millis()).ok()
    };
    milliseconds().ok_or_else(|| "write Unix seconds, such as 1795600800.250".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_read_with_offset_and_length() {
        let planned = |text: &str| text.parse::<Planned>().map(|plan| (plan.meter, plan.offset, plan.length));
        assert_eq!(planned("3@6h"), Ok(("3".into(), 21_600, None)));
        assert_eq!(planned("61000001@90m+1h 30m"), Ok(("61000001".into(), 5_400, Some(5_400))));
        for wrong in ["3", "3@", "3@soon", "3@6h+"] {
            assert!(planned(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time("2026-11-25T10:00:00Z").unwrap().as_second(), 1_795_600_800);
        assert_eq!(time("2026-11-25").unwrap().as_second(), 1_795_564_800);
        assert!(time("yesterday").is_err());
        assert_eq!(unix_seconds("1795600800.25"), Ok(1_795_600_800_250));
        assert_eq!(unix_seconds("17"), Ok(17_000));
        assert!(unix_seconds("1.x").is_err() && unix_seconds("").is_err());
    }
}
