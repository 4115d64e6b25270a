//! The receiving half: receivers, keys, readings. It needs no network.

mod answers;
mod erasing;
mod feeds;
mod keeper;
mod kept;
mod keys;
mod receivers;
mod secrets;
mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use messages::event::ProblemKind;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use wmbus::Frame;

use super::control::{self, Asked};
use super::nudge::{Ear, News, Told, say};
use super::questions::{ByDeliver, OfCollect};
use super::reload::Reloads;
use super::tap::Tap;
use super::{Daemon, Fatal};
use crate::collector::codes::Thresholds;
use crate::collector::open::{Reception, Via};
use crate::collector::{Collector, Settings};
use crate::config::{self, CODES, Config};
use crate::health::clock::Source;
use crate::health::metrics;
use crate::health::problem::Problems;
use crate::health::supervisor::Pulse;
use crate::receiver::{LinkCrcs, RawFrame};
use crate::store::{Options, Ring, Writer, WriterStatus};
use crate::world::Uptime;

use erasing::Erasures;
use feeds::Feeds;
use keeper::Keeper;
use receivers::Receivers;
pub use receivers::exempt;
use secrets::{Vault, meter_list};

/// Telegrams that wait for the collector; receivers hold back when it is full.
const QUEUE: usize = 256;
/// How many of them are taken between looks at everything else.
const BATCH: usize = 64;
/// Meters whose kept frames are opened between looks at everything else.
const OPENED_AT_ONCE: usize = 8;
/// A second on the world's clock.
const TICK: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
///
/// # Errors
/// [`Fatal`]
pub async fn run(daemon: Daemon) -> Result<(), Fatal> {
    let config = daemon.config.borrow().clone();
    let (telegrams, frames) = mpsc::channel(QUEUE);
    let sockets = Sockets::open(&config, &daemon.stop)?;
    let mut half = Half::open(daemon, config, telegrams).await?;
    let (config, clock) = (&half.config, &half.daemon.world.clock);
    half.receivers.apply(&config.receivers, &config.detect.do_not_touch, clock).await;
    half.feeds.apply(&config.feeds, clock);
    half.daemon.supervisor.started();
    half.turn(frames, sockets).await;
    Ok(())
}

/// The half at work.
struct Half {
    daemon: Daemon,
    config: Arc<Config>,
    keeper: Keeper,
    collector: Collector,
    writer: Writer,
    writer_status: watch::Receiver<WriterStatus>,
    ring: watch::Receiver<Ring>,
    receivers: Receivers,
    feeds: Feeds,
    problems: Problems,
    /// Somebody records what is heard.
    tap: Tap,
    source: Source,
    started: Uptime,
    /// When the clock was last found right.
    synchronised: Option<Uptime>,
    /// Readings in the store that have no place on the calendar.
    unplaced: u64,
    /// When it is next tried to date them by the meters' own minutes.
    guess_at: Uptime,
    pulse: Pulse,
    /// Who waits for the configuration to be loaded again.
    reloads: Reloads,
    /// An import of keys that is under way.
    staged: Option<keys::Staged>,
    erasures: Erasures,
    /// A test of keys is under way.
    testing: Arc<Semaphore>,
}

/// Where others reach it.
struct Sockets {
    /// By commands.
    asked: mpsc::Receiver<Asked<OfCollect>>,
    /// By the other half.
    by_deliver: mpsc::Receiver<Asked<ByDeliver>>,
    ear: Ear,
    metrics: Option<UnixListener>,
    deliver: PathBuf,
}

impl Sockets {
    fn open(config: &Config, stop: &CancellationToken) -> Result<Self, Fatal> {
        let (directory, between) = (config.status.collect_sockets(), config.status.between());
        let fatal = |path: PathBuf| move |error| Fatal::File { path, error };
        let control = directory.join("control.sock");
        let (deliver, nudge) = (between.join("deliver.sock"), between.join("nudge.sock"));
        let metrics = match config.status.metrics {
            config::Metrics::Off => None,
            config::Metrics::Sockets | config::Metrics::Loopback(_) => {
                let path = metrics::socket(&directory);
                Some(control::bind(&path).map_err(fatal(path))?)
            }
        };
        Ok(Self {
            asked: control::listen(&control, stop.clone()).map_err(fatal(control))?,
            by_deliver: control::listen(&deliver, stop.clone()).map_err(fatal(deliver))?,
            ear: Ear::open(&nudge).map_err(fatal(nudge))?,
            metrics,
            deliver: config.status.deliver_sockets().join("nudge.sock"),
        })
    }
}

impl Half {
    async fn open(
        daemon: Daemon,
        config: Arc<Config>,
        telegrams: mpsc::Sender<(u8, RawFrame)>,
    ) -> Result<Self, Fatal> {
        let clock = daemon.world.clock.clone();
        let (of_keys, credentials) = (config.clone(), daemon.credentials.clone());
        let opened = keeper::beside(move || Vault::open(&of_keys, &credentials)).await;
        let (vault, keys) = opened.map_err(|error| Fatal::Program(error.to_string()))??;
        let directory = config.gateway.collect_dir();
        let writer = Writer::start(Options::new(directory.clone(), &config.collect, clock.clone()))?;
        let (memory, calendar) = kept::memory(&writer, &directory, &daemon.world.boot).await;
        let started = clock.uptime();
        let list = meter_list(&config).unwrap_or_default();
        let settings = settings(&config, list);
        let beginning = (started, clock.kernel(), calendar);
        let collector = Collector::new(settings, keys, &daemon.world.boot, beginning, &memory);
        let mut half = Self {
            source: Source::of(config.gateway.clock, &clock),
            pulse: daemon.supervisor.watch("collect"),
            writer_status: writer.status(),
            ring: writer.ring(),
            feeds: Feeds::new(telegrams.clone(), config.status.feed_socket()),
            receivers: Receivers::new(telegrams),
            problems: Problems::default(),
            tap: Tap::new(clock.speed()),
            synchronised: None,
            unplaced: 0,
            guess_at: started,
            reloads: Reloads::new(daemon.reload.clone()),
            started,
            daemon,
            config,
            keeper: Keeper::new(Arc::new(vault)),
            collector,
            writer,
            staged: None,
            erasures: Erasures::default(),
            testing: Arc::new(Semaphore::new(1)),
        };
        if half.collector.calendar().is_trusted() {
            half.place_kept().await;
        }
        if matches!(half.source, Source::Rtc | Source::MadeUp) {
            half.synchronise().await;
        }
        Ok(half)
    }

    /// The loop.
    async fn turn(&mut self, mut frames: mpsc::Receiver<(u8, RawFrame)>, mut sockets: Sockets) {
        let clock = self.daemon.world.clock.clone();
        let stop = self.daemon.stop.clone();
        let mut config = self.daemon.config.clone();
        config.mark_unchanged();
        let mut status = self.writer_status.clone();
        let mut right = kept::clock_watch(self.source, clock.clone(), stop.clone());
        let mut tick: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(clock.sleep(TICK));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut tick => {
                    tick = Box::pin(async { clock.sleep(TICK).await });
                    self.pulse.beat();
                    self.collector.tick(clock.uptime());
                    self.tap.tick(clock.uptime());
                    self.forget_staged(clock.uptime());
                    self.look();
                }
                (outcome, answer) = self.keeper.done() => self.made(outcome, answer),
                Some(asked) = sockets.asked.recv() => self.answer(asked).await,
                Some((question, to)) = sockets.by_deliver.recv() => self.answer((question.into(), to)).await,
                Some(erased) = self.erasures.next() => self.erased(erased).await,
                told = sockets.ear.hear::<Told>() => self.hear_told(told).await,
                Ok(()) = config.changed() => self.take(&mut config).await,
                loaded = self.reloads.loaded() => {
                    // It was loaded on another thread, perhaps after the branch above had looked.
                    if config.has_changed().unwrap_or_default() {
                        self.take(&mut config).await;
                    }
                    self.reloads.done(loaded);
                }
                Ok(()) = status.changed() => {
                    status.mark_unchanged();
                    say(&sockets.deliver, &News { in_memory: !self.ring.borrow().is_empty() });
                }
                Some(()) = right.recv() => self.synchronise().await,
                scrape = accept(sockets.metrics.as_ref()) => {
                    let page = metrics::of_collect(&self.status());
                    tokio::spawn(async move {
                        let answer = metrics::answer(scrape, std::future::ready(page));
                        let _ = tokio::time::timeout(Duration::from_secs(5), answer).await;
                    });
                }
                // What was kept of a meter is opened before its next telegram.
                () = std::future::ready(()), if self.collector.is_to_open() => {}
                Some(frame) = frames.recv() => {
                    self.hear(&frame);
                    for _ in 0..BATCH {
                        let Ok(frame) = frames.try_recv() else { break };
                        self.hear(&frame);
                    }
                }
            }
            self.store().await;
        }
        self.end(frames).await;
    }

    fn hear(&mut self, (receiver, frame): &(u8, RawFrame)) {
        let at = self.daemon.world.clock.uptime_at(frame.heard_at);
        let via = Via { receiver: Some(*receiver), link_mode: frame.link_mode };
        let reception = Reception { at, rssi: frame.rssi_dbm, via };
        let checked = match frame.crcs {
            LinkCrcs::Removed => {
                self.tap.keep(&frame.bytes, at, frame.rssi_dbm, *receiver);
                return self.collector.hear(&frame.bytes, reception);
            }
            LinkCrcs::FormatA => Frame::format_a(&frame.bytes),
            LinkCrcs::FormatB => Frame::format_b(&frame.bytes),
        };
        match checked {
            Ok(bare) => {
                self.tap.keep(bare.bytes(), at, frame.rssi_dbm, *receiver);
                self.collector.hear(bare.bytes(), reception);
            }
            Err(_) => self.collector.hear_damaged(),
        }
    }

    /// Hands over what is to be stored, and opens some of what waited for a key: all of it may take a minute.
    async fn store(&mut self) {
        let uptime = self.daemon.world.clock.uptime();
        for _ in 0..OPENED_AT_ONCE {
            let Some(meter) = self.collector.to_open() else { break };
            let frames = self.writer.ask(move |store| store.sealed(meter)).await;
            match frames {
                Ok(Some(Ok(frames))) => self.collector.open_sealed(meter, frames, uptime),
                _ => tracing::warn!("sealed frames cannot be read from the store; they stay there"),
            }
        }
        while let Some(commit) = self.collector.take_commit(uptime) {
            if self.writer.submit(commit).await.is_err() {
                tracing::error!("the store's thread has ended");
                self.daemon.stop.cancel();
                return;
            }
        }
    }

    /// An orderly stop: everything heard is stored.
    async fn end(&mut self, mut frames: mpsc::Receiver<(u8, RawFrame)>) {
        frames.close();
        self.receivers.stop().await;
        self.feeds.stop().await;
        self.keeper.finish().await;
        // What was kept of a meter and is not opened yet would be older than these, and refused at the next start.
        while !self.collector.is_to_open()
            && let Ok(frame) = frames.try_recv()
        {
            self.hear(&frame);
        }
        self.store().await;
        if let Some(commit) = self.collector.stop(self.daemon.world.clock.uptime()) {
            let _ = self.writer.submit(commit).await;
        }
        if !self.writer.close().await.unwrap_or_default() {
            tracing::error!("not everything could be stored: {:?}", self.writer_status.borrow().error);
        }
    }

    async fn hear_told(&mut self, told: Told) {
        let thresholds = told.thresholds.into_iter().map(|(code, minutes)| {
            (code, minutes.into_iter().map(|minutes| u64::from(minutes).saturating_mul(60)).collect())
        });
        self.collector.told(thresholds.collect());
        // A numbering that is no longer ours is passed over, and so is a clone that has been seen to.
        if self.writer_status.borrow().epoch != Some(told.epoch) {
            return;
        }
        if told.cloned {
            return self.begin_anew().await;
        }
        for (stream, seq) in told.acknowledged {
            self.collector.acknowledged(stream, seq);
        }
    }

    /// The portal knows other content under our numbering.
    async fn begin_anew(&mut self) {
        if let Err(error) = self.writer.renew_epoch().await {
            tracing::error!("a new numbering cannot be begun: {error}");
            return;
        }
        let now = self.daemon.world.clock.uptime();
        let at = self.collector.calendar().place(now);
        let text = "the store is a copy of another or was restored: everything that is kept is sent again";
        let begun = self.problems.raise(ProblemKind::StoreCloned, None, text, at);
        let over = self.problems.clear(&ProblemKind::StoreCloned, None, at);
        for record in begun.into_iter().chain(over) {
            self.collector.event(record, now);
        }
    }

    async fn take(&mut self, config: &mut watch::Receiver<Arc<Config>>) {
        let fresh = config.borrow_and_update().clone();
        let taken = self.reload(fresh).await;
        self.reloads.taken(taken);
    }

    /// Takes another configuration, and gives what of it could not be. The keyring is loaded beside the loop; what is wrong
    /// with it is told as a problem of its own.
    async fn reload(&mut self, config: Arc<Config>) -> Result<(), String> {
        self.keeper.reload();
        let list = meter_list(&config).map(|list| self.collector.reload(settings(&config, list)));
        let mut new = self
            .receivers
            .apply(&config.receivers, &config.detect.do_not_touch, &self.daemon.world.clock)
            .await;
        new.extend(self.feeds.apply(&config.feeds, &self.daemon.world.clock));
        for number in new {
            // What another receiver of that number has heard.
            self.collector.forget_receiver(number);
        }
        self.config = config;
        list
    }
}

/// What the collector needs of the configuration.
#[must_use]
pub fn settings(config: &Config, list: config::MeterList) -> Settings {
    let collect = &config.collect;
    let thresholds: BTreeMap<_, _> = CODES
        .iter()
        .filter_map(|(word, code)| {
            let after = config.alarm.rule(*code)?.after.as_secs();
            Some((word.parse().ok()?, [after].into()))
        })
        .collect::<Thresholds>();
    Settings {
        q4: i64::from(collect.default_q4.as_litres_per_hour()).saturating_mul(1000),
        block_every: collect.block_every.as_secs(),
        block_rows: usize::try_from(collect.block_rows).unwrap_or(usize::MAX),
        list,
        thresholds,
    }
}

/// The next scrape; never, if metrics are off.
async fn accept(listener: Option<&UnixListener>) -> tokio::net::UnixStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Too many open files, mostly: it passes.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

#[cfg(test)]
mod tests;
