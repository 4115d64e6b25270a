//! The delivering half: MQTT and mail. It needs neither a dongle nor a key.
//!
//! One thread does it all. A loop reads what the receiving half has stored, lets the alarms follow from it and has one
//! mail sent at a time; the uplink and each attempt at a mail are tasks of their own, so that neither holds up the other.

mod answers;
mod loading;
mod post;
mod scrapes;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use messages::batch::Stream;
use messages::event::ProblemKind;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::control::{self, Asked, ask};
use super::nudge::{Ear, News};
use super::questions::{ByDeliver, InMemory, OfDeliver};
use super::reload::Reloads;
use super::{Daemon, Fatal, identity};
use crate::alarm::{Alarms, ReadError};
use crate::config::{Acknowledge, Config, MeterList};
use crate::health::clock::{Calendar, Source};
use crate::health::metrics;
use crate::health::supervisor::Pulse;
use crate::store::{Block, CollectReader, DeliverStore, StoreError};
use crate::uplink::{Setup, Shared, Signals, Unpark, Uplink};
use crate::world::Uptime;

use loading::{LIST, meter_list};
use post::Desk;
use scrapes::Scrapes;

/// A second on the world's clock: how often the receiving half's store is looked at, hint or not.
const TICK: Duration = Duration::from_secs(1);
/// How often the files are looked after.
const CARE: Duration = Duration::from_secs(60);
/// Queued mails wait so long for the portal's word when the line comes back: somebody else may have sent them.
const HOLD: i64 = 60;
/// How long the uplink may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long the receiving half may take to say what waits in its memory: it will hint again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Transactions in one turn; what is left is read in the next, so that nothing else waits.
const READS: usize = 16;

/// Runs until it is stopped.
///
/// # Errors
/// [`Fatal`]
pub async fn run(daemon: Daemon) -> Result<(), Fatal> {
    let config = daemon.config.borrow().clone();
    let sockets = Sockets::open(&config, &daemon.stop)?;
    let mut half = Half::open(daemon, config).await?;
    half.start_uplink()?;
    half.daemon.supervisor.started();
    half.turn(sockets).await;
    Ok(())
}

/// The half at work.
struct Half {
    daemon: Daemon,
    config: Arc<Config>,
    shared: Rc<Shared>,
    key: messages::seal::SecretKey,
    alarms: Alarms,
    /// The meter list in force.
    list: Arc<MeterList>,
    desk: Desk,
    reader: Option<CollectReader>,
    /// What the receiving half's store said of itself when it was last read.
    version: i64,
    /// Why that store cannot be read.
    unread: Option<String>,
    uplink: Option<Running>,
    /// Who waits for the configuration to be loaded again.
    reloads: Reloads,
    signals: watch::Receiver<Signals>,
    seen: Signals,
    started: Uptime,
    cared: Uptime,
    pulse: Pulse,
}

/// The uplink at work.
struct Running {
    unpark: Unpark,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Where others reach it.
struct Sockets {
    asked: mpsc::Receiver<Asked<OfDeliver>>,
    ear: Ear,
    scrapes: Scrapes,
}

impl Sockets {
    fn open(config: &Config, stop: &CancellationToken) -> Result<Self, Fatal> {
        let directory = config.status.deliver_sockets();
        let fatal = |path: &std::path::Path| {
            let path = path.to_owned();
            move |error| Fatal::File { path, error }
        };
        let (control, nudge) = (directory.join("control.sock"), directory.join("nudge.sock"));
        Ok(Self {
            asked: control::listen(&control, stop.clone()).map_err(fatal(&control))?,
            ear: Ear::open(&nudge).map_err(fatal(&nudge))?,
            scrapes: Scrapes::open(&directory, config.status.metrics).map_err(fatal(&directory))?,
        })
    }
}

impl Half {
    async fn open(daemon: Daemon, config: Arc<Config>) -> Result<Self, Fatal> {
        let directory = config.gateway.deliver_dir();
        let key = identity::read_or_create(&directory.join("key"))
            .map_err(|error| Fatal::Secret(error.to_string()))?;
        let store = match DeliverStore::open(&directory) {
            Err(error @ (StoreError::Full | StoreError::Unwritable(_) | StoreError::Io(_))) => {
                warn!("{error}; deliver goes on in memory until that is mended");
                DeliverStore::in_memory(&directory)?
            }
            other => other?,
        };
        let shared = Rc::new(Shared::new(daemon.world.clone(), store));
        let source = Source::of(config.gateway.clock, &daemon.world.clock);
        if source != Source::TimeService {
            shared.calendar.borrow_mut().synchronise(&daemon.world.clock);
        }
        spawn_local(keep_time(source, Rc::clone(&shared), daemon.stop.clone()));
        let started = daemon.world.clock.uptime();
        let list = meter_list(&config).unwrap_or_else(|reason| {
            shared.problem(ProblemKind::ConfigRefused, Some(LIST), Some(&reason));
            Arc::default()
        });
        Ok(Self {
            alarms: Alarms::new(&config, Arc::clone(&list), key.clone()),
            list,
            desk: Desk::new(&config, &daemon.credentials).map_err(Fatal::Secret)?,
            pulse: daemon.supervisor.watch("deliver"),
            reloads: Reloads::new(daemon.reload.clone()),
            signals: shared.signals.subscribe(),
            seen: Signals::default(),
            reader: None,
            version: -1,
            unread: None,
            uplink: None,
            cared: started,
            started,
            daemon,
            config,
            shared,
            key,
        })
    }

    fn start_uplink(&mut self) -> Result<(), Fatal> {
        let pulse = Some(self.daemon.supervisor.watch("uplink"));
        let setup = Setup::new(&self.config, self.daemon.credentials.clone(), self.key.clone(), pulse);
        let Some(setup) = setup else { return Ok(()) };
        let uplink =
            Uplink::new(setup, Rc::clone(&self.shared)).map_err(|error| Fatal::Program(error.to_string()))?;
        let (unpark, stop) = (uplink.unpark(), CancellationToken::new());
        let task = spawn_local(uplink.run(stop.clone()));
        self.uplink = Some(Running { unpark, stop, task });
        Ok(())
    }

    async fn stop_uplink(&mut self) {
        let Some(Running { stop, task, .. }) = self.uplink.take() else { return };
        stop.cancel();
        if tokio::time::timeout(GOODBYE, task).await.is_err() {
            warn!("the uplink did not say goodbye in time");
        }
    }

    async fn turn(&mut self, mut sockets: Sockets) {
        let (stop, clock) = (self.daemon.stop.clone(), self.daemon.world.clock.clone());
        let mut config = self.daemon.config.clone();
        let mut signals = self.signals.clone();
        loop {
            self.pulse.beat();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                sent = self.desk.sent() => {
                    if sent.is_none() {
                        self.alarms.lost();
                    }
                    self.desk.settle_later(sent);
                }
                news = sockets.ear.hear::<News>() => self.hear(news).await,
                Ok(()) = signals.changed() => {}
                Some(asked) = sockets.asked.recv() => match asked {
                    (OfDeliver::Reload, answer) => self.reloads.wish(answer),
                    (question, answer) => {
                        let _ = answer.send(self.answer(&question));
                    }
                },
                scrape = sockets.scrapes.next() => {
                    let page = metrics::of_deliver(&self.status());
                    tokio::spawn(async move {
                        let answer = metrics::answer(scrape, std::future::ready(page));
                        let _ = tokio::time::timeout(Duration::from_secs(5), answer).await;
                    });
                }
                Ok(()) = config.changed() => self.take(&mut config).await,
                loaded = self.reloads.loaded() => {
                    // It was loaded on another thread, perhaps after the branch above had looked.
                    if config.has_changed().unwrap_or_default() {
                        self.take(&mut config).await;
                    }
                    self.reloads.done(loaded);
                }
                () = clock.sleep(TICK) => {}
            }
            self.work();
        }
        self.stop_uplink().await;
        if let Some(sent) = self.desk.wait_for_last().await {
            self.desk.settle_later(sent);
            self.work();
        }
    }

    /// The receiving half has stored something, or cannot: then its events are asked for, so that alarms still go out.
    async fn hear(&mut self, news: News) {
        self.shared.in_memory.set(news.in_memory);
        if !news.in_memory {
            return;
        }
        self.shared.news.notify_one();
        let socket = self.config.status.between().join("deliver.sock");
        let asked = tokio::time::timeout(PATIENCE, ask::<Vec<InMemory>>(&socket, &ByDeliver::InMemory)).await;
        let Ok(Ok(waiting)) = asked else { return };
        let events = waiting.iter().filter(|block| block.stream == Stream::Events);
        let blocks: Vec<Block> = events.filter_map(InMemory::block).collect();
        let taken = self.alarms.take(&mut self.shared.store.borrow_mut(), None, &blocks, self.shared.now());
        if let Err(error) = taken {
            self.store_failed(&error);
        }
    }

    /// Everything that is to be done now.
    fn work(&mut self) {
        let done = self.listen_to_signals().and_then(|()| self.read()).and_then(|()| self.alarm());
        if let Err(error) = done {
            self.store_failed(&error);
        }
        let (clock, trouble) = (&self.daemon.world.clock, self.alarms.server_trouble());
        self.shared.problem(ProblemKind::MailServer, None, trouble);
        if clock.uptime().since(self.cared) >= CARE {
            self.cared = clock.uptime();
            self.care();
        }
    }

    /// Documents of the portal, and mails that wait for its word.
    fn listen_to_signals(&mut self) -> Result<(), StoreError> {
        let now = *self.shared.signals.borrow();
        let before = std::mem::replace(&mut self.seen, now);
        if now.documents != before.documents {
            self.alarms.documents_changed();
        }
        let by_portal =
            self.config.uplink.as_ref().is_some_and(|uplink| uplink.acknowledge == Acknowledge::Portal);
        if now.lines != before.lines && by_portal {
            let until = self.shared.now().map(|now| now.unix().saturating_add(HOLD));
            self.alarms.hold_until(until.and_then(messages::Time::from_unix));
        }
        if now.settled {
            self.alarms.hold_until(None);
        }
        Ok(())
    }

    /// What the receiving half has stored since.
    fn read(&mut self) -> Result<(), StoreError> {
        let opened = self.open_reader().and_then(|reader| reader.map(CollectReader::version).transpose());
        let version = match opened {
            Ok(version) => version,
            Err(error) => {
                self.cannot_read(&error);
                return Ok(());
            }
        };
        let (Some(reader), Some(version)) = (&self.reader, version) else { return Ok(()) };
        if version == self.version {
            return Ok(());
        }
        for _ in 0..READS {
            let now = self.shared.now();
            let read = self.alarms.read(&mut self.shared.store.borrow_mut(), reader, now);
            match read {
                Ok(true) => self.shared.news.notify_one(),
                Ok(false) => {
                    self.version = version;
                    self.shared.news.notify_one();
                    break;
                }
                Err(ReadError::Theirs(error)) => {
                    self.cannot_read(&error);
                    return Ok(());
                }
                Err(ReadError::Ours(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// The receiving half sees to its store; it is opened again in the next turn.
    fn cannot_read(&mut self, error: &StoreError) {
        self.reader = None;
        self.unread = Some(error.to_string());
    }

    fn open_reader(&mut self) -> Result<Option<&CollectReader>, StoreError> {
        if self.reader.as_ref().is_some_and(|reader| !reader.is_current()) {
            self.reader = None;
        }
        if self.reader.is_none() {
            let reader = CollectReader::open(&self.config.gateway.collect_dir())?;
            self.take_anchor(&reader)?;
            (self.version, self.unread) = (-1, None);
            self.reader = Some(reader);
        }
        Ok(self.reader.as_ref())
    }

    /// The time service's own word is gone after a restart without a network; what the receiving half noted is not.
    fn take_anchor(&self, reader: &CollectReader) -> Result<(), StoreError> {
        let trusted = self.shared.calendar.borrow().is_trusted();
        let anchor = reader.anchor(self.daemon.world.boot.as_str())?.filter(|_| !trusted);
        if let Some(anchor) = anchor {
            self.shared.calendar.replace(Calendar::anchored(anchor.uptime, anchor.utc_ms));
        }
        Ok(())
    }

    /// Alarms that are due, mails to be sent, mails that were.
    fn alarm(&mut self) -> Result<(), StoreError> {
        let Self { alarms, desk, shared, reader, .. } = self;
        let now = shared.now();
        let mut store = shared.store.borrow_mut();
        if let (Some((message, outcome)), Some(now)) = (desk.unsettled(), now) {
            alarms.done(&mut store, message, outcome, now)?;
            desk.settled();
            shared.news.notify_one();
        }
        alarms.tick(&mut store, now)?;
        if desk.is_free()
            && let Some(outgoing) = alarms.next(&mut store, reader.as_ref(), now)?
        {
            desk.send(outgoing);
        }
        let thresholds = alarms.thresholds();
        if *shared.thresholds.borrow() != *thresholds {
            shared.thresholds.replace(thresholds.clone());
            shared.news.notify_one();
        }
        Ok(())
    }

    /// Our own store cannot be used. A damaged one is replaced; a full disk passes, and meanwhile nothing is lost: it is
    /// all read again.
    fn store_failed(&mut self, error: &StoreError) {
        let now = self.shared.now();
        let kind = match error {
            StoreError::Full => ProblemKind::DiskFull,
            StoreError::Unwritable(_) => ProblemKind::DiskReadOnly,
            _ => ProblemKind::StoreDamaged,
        };
        // Its beginning cannot be stored; status shows it.
        let _ = self.shared.problems.borrow_mut().raise(kind, Some("deliver"), &error.to_string(), now);
        if error.is_damage() {
            // What is in memory is nowhere else; it goes back by itself.
            if !self.shared.store.borrow().is_in_memory() {
                self.replace_store();
            }
        } else if matches!(error, StoreError::Full | StoreError::Unwritable(_)) {
            // Alarms still go out.
            let left = self.shared.store.borrow_mut().leave_disk();
            if let Err(error) = left {
                // Tried in every turn; the problem above has been told once.
                debug!("deliver's store cannot go on in memory: {error}");
            }
        }
    }

    fn replace_store(&mut self) {
        match DeliverStore::open(&self.config.gateway.deliver_dir()) {
            Ok(store) => {
                self.shared.store.replace(store);
            }
            Err(error) => debug!("deliver's store cannot be replaced: {error}"),
        }
    }

    /// Once a minute: whether the files are still ours, what happened to them, what is old.
    fn care(&mut self) {
        let directory = self.config.gateway.deliver_dir();
        let back = self.shared.store.borrow_mut().return_to_disk(&directory);
        if let Err(error) = back.and_then(|()| self.shared.store.borrow_mut().look()) {
            self.store_failed(&error);
        }
        let troubles = self.shared.store.borrow().troubles();
        for trouble in troubles {
            warn!("{trouble}");
        }
        if let Some(now) = self.shared.now() {
            let collect = &self.config.collect;
            let freed =
                self.shared.store.borrow_mut().free_old(now, collect.keep_acknowledged, collect.keep_at_most);
            match freed {
                Ok(()) if !self.shared.store.borrow().is_in_memory() => self.store_works(),
                Ok(()) => {}
                Err(error) => self.store_failed(&error),
            }
        }
    }

    fn store_works(&self) {
        for kind in [ProblemKind::DiskFull, ProblemKind::DiskReadOnly, ProblemKind::StoreDamaged] {
            self.shared.problem(kind, Some("deliver"), None);
        }
    }
}

/// Looks whether the clock is right: often until it is, then at ease.
async fn keep_time(source: Source, shared: Rc<Shared>, stop: CancellationToken) {
    loop {
        if source.is_synchronised().await {
            let first = !shared.calendar.borrow().is_trusted();
            shared.calendar.borrow_mut().synchronise(&shared.world.clock);
            if first {
                info!("the clock is trusted from now on");
            }
        }
        let trusted = shared.calendar.borrow().is_trusted();
        let pause = if trusted { Duration::from_secs(600) } else { Duration::from_secs(10) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.world.clock.sleep(pause) => {}
        }
    }
}
