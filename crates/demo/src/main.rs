//! Everything together on one machine: a town of virtual meters on a virtual dongle, the gateway, a broker, a portal
//! that acknowledges, a mail server that keeps what it gets. One terminal shows what happens.

mod broker;
mod catcher;
mod gateway;
mod portal;
mod screen;

use std::{
    collections::BTreeMap,
    fs, io,
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use emulator::{
    dongle::Kind,
    event::{Event, Trouble},
    player::{Pace, Player},
    plugged::Plugged,
    town::Town,
};
use messages::{MeterId, config::Language, config::Rule, reading::Code};
use tokio::{
    process::Child,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use broker::{Broker, Choice};
use catcher::{Catcher, Mail};
use gateway::{Gateway, Site};
use portal::{News, Place, Portal};
use screen::{Screen, Seen};

/// 2026-11-25 06:40 in Finland: people get up.
const START: i64 = 1_795_581_600;
const MINUTE: i64 = 60;
/// Who gets mails is not real: RFC 2606 keeps this domain free.
const DOMAIN: &str = "vesi.example";
/// In reality ten hours; nobody watches a terminal for so long.
const LEAK_AFTER_MINUTES: u32 = 20;
/// How often the terminal says how much is heard.
const EVERY: Duration = Duration::from_secs(5);
/// For what is still under way when the gateway has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Shows a water utility's gateway at work: virtual meters, a leak, a mail.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    /// How many meters.
    #[arg(long, value_name = "N", default_value_t = 12)]
    meters: usize,
    /// The same seed gives the same town.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many times faster than real time.
    #[arg(long, value_name = "X", default_value = "60")]
    speed: NonZeroU32,
    /// The language of the mails.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    language: Language,
    /// Which broker.
    #[arg(long, value_enum, default_value = "auto")]
    broker: Choice,
    /// Where everything is kept; without this a temporary folder that goes at the end.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Ends by itself after so many real minutes.
    #[arg(long, value_name = "N")]
    minutes: Option<NonZeroU64>,
    /// Ends by itself once a reading, an episode and a mail have arrived; exit code 1 if they have not in --minutes (5
    /// without that).
    #[arg(long)]
    expect_mail: bool,
}

fn main() -> ExitCode {
    // The gateway is this program again, so that one build is enough.
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    if words.next().is_some_and(|word| word == gateway::WORD) {
        return vesigate::cli::run_from(std::iter::once(program).chain(words));
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(demo(&arguments)) {
        Ok(seen) if !arguments.expect_mail || seen.everything() => ExitCode::SUCCESS,
        Ok(seen) => failed(&io::Error::other(format!("not everything has arrived: {seen:?}"))),
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}

async fn demo(arguments: &Arguments) -> io::Result<Seen> {
    let mut stop = Stop::new()?;
    let temporary = if arguments.dir.is_none() { Some(tempfile::tempdir()?) } else { None };
    let folder = arguments.dir.as_deref().or_else(|| temporary.as_ref().map(tempfile::TempDir::path));
    let folder = folder.ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(folder)?;
    let folder = fs::canonicalize(folder)?;

    let broker = Broker::start(arguments.broker, &folder).await?;
    Screen::doing(&format!("{} listens on port {}", broker.name(), broker.port));
    let catcher = Catcher::new(&folder.join("mails")).await?;
    let mail_port = catcher.address()?.port();
    Screen::doing(&format!("a mail server that keeps every mail listens on port {mail_port}"));

    let town = town(arguments);
    let places = places(&town)?;
    let names = places.iter().map(|place| (place.meter, place.name.clone())).collect();
    let (keys, meters, link) = (folder.join("keys.csv"), folder.join("meters.csv"), folder.join("dongle"));
    fs::write(&keys, town.keys_csv())?;
    fs::write(&meters, town.meters_csv())?;
    let dongle = Plugged::plug_in(&link, Kind::Im871a.dongle())?;
    Screen::doing(&format!("{} meters within reach of a virtual iM871A, {}", places.len(), link.display()));

    let (mails, mut mails_in) = mpsc::channel(64);
    tokio::spawn(catcher.run(mails));
    let (news, mut news_in) = mpsc::channel(256);
    let rules = [(Code::Leak, LEAK_AFTER_MINUTES), (Code::Burst, 0), (Code::Reverse, 0), (Code::Dry, 0)];
    let rules = rules.map(|(code, after_minutes)| (code, Rule { after_minutes, repeat: None })).into();
    let gateway_name = "demo/gw-1".parse().map_err(io::Error::other)?;
    let generation = since_1970()?.as_secs();
    let portal = Portal::new(gateway_name, places, arguments.language, rules, generation);
    tokio::spawn(portal.run(broker.port, news, vesigate::world::random::<32>));
    Screen::doing("a portal takes readings in, acknowledges them, and says whom to mail");

    let gateway = Gateway::new(&Site {
        folder: &folder,
        dongle: &link,
        meters: &meters,
        broker: broker.port,
        mail: mail_port,
        leak_after_minutes: LEAK_AFTER_MINUTES,
    })?;
    gateway.add_keys(&keys).await?;
    let real_start = since_1970()?;
    let pace = Pace::new(Instant::now(), START * 1_000, arguments.speed);
    let (seconds, nanoseconds) = (real_start.as_secs(), real_start.subsec_nanos());
    let mut child = gateway.run(&format!("{START},{seconds}.{nanoseconds:09},{}", arguments.speed))?;
    Screen::doing(&format!("the gateway runs; its log is {}", gateway.log().display()));
    explain(arguments, &town);

    let mut watch = Watch { screen: Screen::new(names), pace, dongle: &dongle, arguments };
    let mut player = Player::new(town, pace);
    let ended = tokio::select! {
        ended = watch.until_the_end(&mut mails_in, &mut news_in, &mut child, &mut stop) => ended,
        played = player.play(&dongle, i64::MAX) => Err(io::Error::other(format!("{played:?}"))),
    };
    if let Err(error) = &ended {
        eprintln!("demo: {error}\n{}", last_lines(gateway.log()));
    }
    Screen::doing("stopping: the gateway first, so that nothing it heard is lost");
    watch.while_stopping(&mut mails_in, &mut news_in, &mut child).await;
    broker.stop().await;
    let Seen { telegrams, rows, episodes, mails } = watch.screen.seen;
    Screen::doing(&format!("{telegrams} telegrams, {rows} hour rows, {episodes} episodes, {mails} mails"));
    if temporary.is_none() {
        Screen::doing(&format!("everything is kept in {}", folder.display()));
    }
    ended.map(|()| watch.screen.seen)
}

/// The terminal's loop.
struct Watch<'a> {
    screen: Screen,
    pace: Pace,
    dongle: &'a Plugged,
    arguments: &'a Arguments,
}

impl Watch<'_> {
    /// Shows what happens until somebody or something says that it is enough.
    async fn until_the_end(
        &mut self,
        mails: &mut mpsc::Receiver<Mail>,
        news: &mut mpsc::Receiver<News>,
        child: &mut Child,
        stop: &mut Stop,
    ) -> io::Result<()> {
        let minutes = self.arguments.minutes.map(NonZeroU64::get);
        let minutes = minutes.or(if self.arguments.expect_mail { Some(5) } else { None });
        let end = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(mail) = mails.recv() => self.screen.mail(self.now(), &mail),
                Some(item) = news.recv() => self.screen.news(self.now(), &item),
                _ = tick.tick() => self.tick(),
                ended = child.wait() => {
                    return Err(io::Error::other(format!("the gateway has ended by itself, {}", ended?)));
                }
                () = async { sleep_until(end.unwrap_or_else(Instant::now)).await }, if end.is_some() => return Ok(()),
                () = stop.asked() => return Ok(()),
            }
            if self.arguments.expect_mail && self.screen.seen.everything() {
                return Ok(());
            }
        }
    }

    /// Ends the gateway, and still shows what it delivers meanwhile.
    async fn while_stopping(
        &mut self,
        mails: &mut mpsc::Receiver<Mail>,
        news: &mut mpsc::Receiver<News>,
        child: &mut Child,
    ) {
        let mut ending = std::pin::pin!(gateway::terminate(child));
        loop {
            tokio::select! {
                _ = &mut ending => break,
                Some(mail) = mails.recv() => self.screen.mail(self.now(), &mail),
                Some(item) = news.recv() => self.screen.news(self.now(), &item),
            }
        }
        // Its last words may still be on their way through the broker.
        let farewell = async {
            while let Some(item) = news.recv().await {
                self.screen.news(self.pace.at(Instant::now()) / 1_000, &item);
                if matches!(item, News::Gateway(_)) {
                    break;
                }
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
        while let Ok(mail) = mails.try_recv() {
            self.screen.mail(self.now(), &mail);
        }
        self.screen.seen.telegrams = self.dongle.state().borrow().passed_on;
    }

    fn tick(&mut self) {
        let heard = self.dongle.state().borrow().passed_on;
        self.screen.heard(self.now(), heard, EVERY.as_secs());
    }

    fn now(&self) -> i64 {
        self.pace.at(Instant::now()) / 1_000
    }
}

/// A town in which something goes wrong: at its first meter water has run since yesterday, at its second a pipe bursts.
fn town(arguments: &Arguments) -> Town {
    let mut town = Town::new(arguments.meters, arguments.seed, START * 1_000);
    let day = 24 * 60 * MINUTE;
    // A meter says leak after a day without an hour of rest: 45 minutes from the start.
    town.add(0, Event::new(Trouble::Leak, START + 45 * MINUTE - day, i64::MAX).with_flow(18_000));
    town.add(1, Event::new(Trouble::Burst, START + 120 * MINUTE, i64::MAX));
    town
}

fn places(town: &Town) -> io::Result<Vec<Place>> {
    let place = |resident: &emulator::town::Resident| {
        let meter: MeterId = resident.meter.address().to_string().parse().map_err(io::Error::other)?;
        let email = format!("resident-{}@{DOMAIN}", meter.serial()).parse().map_err(io::Error::other)?;
        Ok(Place { meter, name: resident.name.clone(), email })
    };
    town.residents().iter().map(place).collect()
}

/// What there will be to see.
fn explain(arguments: &Arguments, town: &Town) {
    let name = |index: usize| town.residents().get(index).map_or("", |resident| resident.name.as_str());
    let speed = arguments.speed.get();
    Screen::doing(&format!(
        "time runs {speed} times as fast: each hour brings a row of every meter, {} s from now on",
        (20 * 60 + 180) / speed
    ));
    Screen::doing(&format!(
        "{} leaks since yesterday: its meter says so in {} s, and {LEAK_AFTER_MINUTES} virtual minutes later a mail goes out",
        name(0),
        45 * 60 / speed
    ));
    Screen::doing(&format!("a pipe bursts at {} in {} s; Ctrl-C ends", name(1), 150 * 60 / speed));
}

fn language(text: &str) -> Result<Language, String> {
    let words = BTreeMap::from([("fi", Language::Fi), ("sv", Language::Sv), ("en", Language::En)]);
    words.get(text).copied().ok_or_else(|| "write fi, sv or en".to_owned())
}

fn since_1970() -> io::Result<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)
}

/// The end of a log, for a terminal.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
