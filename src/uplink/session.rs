//! The loop: connect, talk until something is wrong, wait, again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use messages::batch::{Seq, Stream};
use messages::event::ProblemKind;
use messages::topic::{Gateway, Leaf, Topic};
use messages::{Presence, State};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::downlink::Downlink;
use super::home_assistant::HomeAssistant;
use super::jobs::Jobs;
use super::memory::Memory;
use super::mqtt::{Event, Fault, Line, Message, Options, Outcome};
use super::outbox::Verdict;
use super::renewal::Renewal;
use super::report::Report;
use super::sending::Sending;
use super::shared::Shared;
use super::tls::Calendar;
use super::{Setup, outbox};
use crate::config::Transport;
use crate::world::random;

/// How often everything is looked at, hints or not.
const TICK: Duration = Duration::from_secs(1);
/// Waits between attempts, each up to a fifth shorter or longer.
const WAITS: [u64; 7] = [1, 2, 4, 8, 16, 30, 60];
/// A line that has held so long was good.
const GOOD: Duration = Duration::from_secs(60);
/// A line that ends so soon after CONNACK or a publish ends because of something.
const SOON: Duration = Duration::from_secs(10);
/// So many lines in a row that the broker closes at once: somebody else has our name.
const TWINS: u32 = 3;

/// What is published under what tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// A block in its turn.
    Batch(Stream, Seq),
    /// A parked block that somebody wants sent again.
    Again(Stream, Seq),
    /// `state`.
    State,
    /// Anything that is published again soon in any case.
    Other,
}

/// Sends parked batches again.
#[derive(Clone, Debug)]
pub struct Unpark(mpsc::Sender<(Stream, Seq)>);

impl Unpark {
    /// Asks for a batch to be sent again; `false` if too many are asked for already.
    #[must_use]
    pub fn ask(&self, stream: Stream, seq: Seq) -> bool {
        self.0.try_send((stream, seq)).is_ok()
    }
}

/// One gateway's uplink.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) setup: Setup,
    pub(super) gateway: Gateway,
    pub(super) shared: Rc<Shared>,
    pub(super) calendar: Calendar,
    pub(super) sending: Sending,
    pub(super) downlink: Downlink,
    pub(super) report: Report,
    pub(super) home: Option<HomeAssistant>,
    pub(super) memory: Memory,
    pub(super) jobs: Jobs,
    pub(super) renewal: Renewal,
    pub(super) link: Link,
    suspects: outbox::Suspects,
    unpark: (mpsc::Sender<Place>, mpsc::Receiver<Place>),
}

/// A batch: its stream and number.
type Place = (Stream, Seq);

/// How the line is, and was.
#[derive(Debug, Default)]
pub(super) struct Link {
    line: Option<Line<Tag>>,
    /// When CONNACK came.
    pub(super) up: Option<Instant>,
    /// When the broker answered the subscription.
    pub(super) subscribed: Option<Instant>,
    /// The broker has taken something over this line.
    proved: bool,
    /// The largest packet that the broker takes.
    pub(super) largest: Option<usize>,
    /// Batches that the broker has not answered, and since when.
    pub(super) unanswered: BTreeMap<(Stream, Seq), Instant>,
    pub(super) fault: Option<Fault>,
    pub(super) connections: u64,
    failures: usize,
    short: u32,
    next: Option<Instant>,
}

impl Link {
    /// Hands a message to the line; `false` if there is none, or no room in it.
    pub(super) fn publish(&mut self, tag: Tag, message: Message) -> bool {
        self.line.as_mut().is_some_and(|line| line.publish(tag, message))
    }

    pub(super) fn subscribe(&self, filters: impl IntoIterator<Item = String>) {
        if let Some(line) = &self.line {
            line.subscribe(filters);
        }
    }

    /// The line has ended.
    fn forget(&mut self) {
        self.unanswered.clear();
        (self.up, self.subscribed, self.largest, self.proved) = (None, None, None, false);
    }

    async fn event(&mut self) -> Event<Tag> {
        match &mut self.line {
            Some(line) => line.event().await,
            None => std::future::pending().await,
        }
    }
}

impl Session {
    pub(super) fn new(setup: Setup, shared: Rc<Shared>) -> Result<Self, messages::topic::NotAName> {
        let gateway =
            Gateway::new(setup.config.utility.as_str().parse()?, setup.config.gateway.as_str().parse()?)?;
        Ok(Self {
            calendar: Calendar::new(shared.world.clock.clone()),
            sending: Sending::new(&setup.config),
            downlink: Downlink::default(),
            report: Report::default(),
            home: setup.home_assistant.clone().map(HomeAssistant::new),
            memory: Memory::default(),
            jobs: Jobs::new(setup.between.join("deliver.sock")),
            renewal: Renewal::new(setup.deliver_dir.clone()),
            link: Link::default(),
            suspects: outbox::Suspects::default(),
            unpark: mpsc::channel(16),
            gateway,
            setup,
            shared,
        })
    }

    pub(super) fn unpark(&self) -> Unpark {
        Unpark(self.unpark.0.clone())
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.renewal.tidy();
        self.look();
        loop {
            let next = self.link.next.filter(|_| self.link.line.is_none());
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.link.event() => self.event(event),
                done = self.jobs.done() => self.done(done),
                () = shared.news.notified() => self.look(),
                Some((stream, seq)) = self.unpark.1.recv() => self.send_again(stream, seq),
                () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
                _ = tick.tick() => self.tick(),
            }
            if self.renewal.take_installed() {
                self.begin_anew().await;
            }
            if self.link.line.is_none() && self.link.next.is_none_or(|next| Instant::now() >= next) {
                self.connect();
            }
            self.pump();
        }
        self.farewell().await;
    }

    fn connect(&mut self) {
        match self.options() {
            Ok(options) => {
                debug!(host = options.host, port = options.port, "connecting to the broker");
                self.link.line = Some(Line::open(options));
                self.link.next = None;
            }
            Err(fault) => self.down(fault),
        }
    }

    fn options(&mut self) -> Result<Options, Fault> {
        self.calendar.trust(self.shared.now().is_some());
        let config = self.setup.config.clone();
        let tls = match &config.transport {
            Transport::Plain => None,
            Transport::Tls(tls) => Some(self.tls(tls)?),
        };
        let login = match &config.login {
            None => None,
            Some(login) => {
                let secret = login
                    .password
                    .read(&self.setup.credentials)
                    .map_err(|error| Fault::Files(format!("the password of uplink.password_file {error}")))?;
                Some((login.user.clone(), secret))
            }
        };
        Ok(Options {
            host: config.host.as_str().to_owned(),
            port: config.port,
            name: self.gateway.to_string(),
            tls,
            login,
            keep_alive: config.keep_alive,
            will: Some((self.topic(Leaf::State), json(&State::LAST_WILL))),
        })
    }

    fn event(&mut self, event: Event<Tag>) {
        match event {
            Event::Up(largest) => self.came_up(largest),
            Event::Subscribed => self.link.subscribed = Some(Instant::now()),
            Event::Came(came) => self.came(came),
            Event::Outcome(tag, outcome) => {
                // What was never answered is what the end of the line is judged by.
                if let Tag::Batch(stream, seq) | Tag::Again(stream, seq) = tag
                    && outcome != Outcome::Unanswered
                {
                    self.link.unanswered.remove(&(stream, seq));
                }
                self.outcome(tag, outcome);
            }
            Event::Down(fault) => self.down(fault),
        }
    }

    fn came_up(&mut self, largest: Option<u32>) {
        let link = &mut self.link;
        link.up = Some(Instant::now());
        link.largest = largest.and_then(|largest| usize::try_from(largest).ok());
        link.connections = link.connections.saturating_add(1);
        link.subscribe(Topic::downlink_filters(&self.gateway));
        self.sending.line_up();
        self.downlink.line_up();
        self.report.line_up();
        self.memory.line_up();
        if let Some(home) = &mut self.home {
            home.line_up();
        }
        self.publish_state(Presence::Online);
        self.signal();
        self.unpark_what_fits();
    }

    fn publish_state(&mut self, presence: Presence) -> bool {
        let state = State { presence, at: self.shared.now() };
        let message = self.document(Leaf::State, json(&state));
        self.link.publish(Tag::State, message)
    }

    /// The line has ended, or could not be opened.
    fn down(&mut self, fault: Fault) {
        let now = Instant::now();
        let link = &mut self.link;
        link.line = None;
        let lived = link.up.map(|since| now.saturating_duration_since(since));
        if lived.is_some_and(|lived| lived >= GOOD) {
            link.failures = 0;
            link.short = 0;
        }
        // Some brokers hang up on whoever publishes what he may not.
        let refused = self.sending.refused && fault == Fault::Closed;
        let fault = if refused { Fault::PublishRefused } else { fault };
        let blame = self.blame(&fault, now);
        let link = &mut self.link;
        let closed_at_once = fault == Fault::Closed && !blame && lived.is_some_and(|lived| lived < SOON);
        link.short = if closed_at_once { link.short.saturating_add(1) } else { 0 };
        let twin = fault == Fault::Twin || link.short >= TWINS;
        let fault = if twin { Fault::Twin } else { fault };
        if link.fault.as_ref() != Some(&fault) {
            warn!("{fault}");
        }
        link.fault = Some(fault);
        link.forget();
        let wait = WAITS.get(link.failures).or(WAITS.last()).copied().unwrap_or(60);
        link.failures = link.failures.saturating_add(1).min(WAITS.len());
        let permille = 800 + u64::from(u16::from_be_bytes(random::<2>()) % 401);
        link.next = Some(now + Duration::from_millis(wait * permille));
        self.sending.line_down();
        if let Some(fault) = self.link.fault.clone().filter(Fault::is_about_our_certificate) {
            self.certificate_refused(&fault);
        }
        if twin {
            let text = Fault::Twin.to_string();
            self.shared.problem(ProblemKind::BrokerTwin, None, Some(&text));
        }
        self.signal();
        self.save_cursors(false);
    }

    /// Says goodbye, and connects at once: with the certificate that is new.
    async fn begin_anew(&mut self) {
        let Some(line) = self.link.line.take() else { return };
        line.close().await;
        self.link.forget();
        self.link.next = None;
        self.sending.line_down();
        self.signal();
    }

    /// Whether a batch may have broken the line; one that has done so twice is parked.
    fn blame(&mut self, fault: &Fault, now: Instant) -> bool {
        let ended = matches!(fault, Fault::Closed | Fault::Disconnected(_) | Fault::Protocol(_));
        let lately = self.link.unanswered.values().any(|since| now.saturating_duration_since(*since) < SOON);
        // Without anything that the broker took before, it is not this batch that it minds.
        if !ended || !lately || !self.link.proved {
            return false;
        }
        let unanswered: Vec<_> = self.link.unanswered.keys().copied().collect();
        match self.suspects.broke(&unanswered) {
            Verdict::Unclear => {}
            Verdict::Park((stream, seq)) => {
                self.park(stream, seq, &format!("the connection broke twice at it: {fault}"));
            }
            Verdict::Acquit(places) => {
                for (stream, seq) in places {
                    self.send_again(stream, seq);
                }
            }
        }
        true
    }

    /// Something was taken over this line: only now is it known to work.
    pub(super) fn proved(&mut self, batch: Option<(Stream, Seq)>) {
        let first = !std::mem::replace(&mut self.link.proved, true);
        let trouble = self.link.fault.take().is_some();
        if first && (trouble || self.link.connections == 1) {
            info!("connected to the broker");
        }
        if first {
            self.certificate_taken();
        }
        if let Some(place) = batch {
            self.suspects.passed(place);
        }
    }

    /// Whether batches are sent one at a time, since one of them is suspected.
    pub(super) const fn alone(&self) -> bool {
        self.suspects.alone()
    }

    fn tick(&mut self) {
        if let Some(pulse) = &self.setup.pulse {
            pulse.beat();
        }
        let now = Instant::now();
        let patience = (2 * self.setup.config.keep_alive).clamp(Duration::from_secs(20), GOOD);
        let oldest = self.link.unanswered.values().min();
        if oldest.is_some_and(|since| now.saturating_duration_since(*since) > patience) {
            // Whatever the client waits for, it waits in vain.
            self.down(Fault::NeverAcknowledges);
        }
        if self.link.up.is_some_and(|since| now.saturating_duration_since(since) >= GOOD) {
            self.link.failures = 0;
            self.link.short = 0;
            self.shared.problem(ProblemKind::BrokerTwin, None, None);
        }
        self.look();
        self.sending.tick(now);
        self.tell_collect(false);
        self.save_cursors(false);
        self.apply_documents();
        self.ask_memory();
        self.renew_certificate();
        self.send_status();
        self.send_home();
        self.refresh_status();
    }

    /// Says what the others of this half wait for.
    pub(super) fn signal(&self) {
        let (up, lines) = (self.link.up.is_some(), self.link.connections);
        let (settled, documents) = (up && self.downlink.settled(), self.downlink.changes());
        let signals = super::Signals { up, lines, settled, documents };
        self.shared.signals.send_if_modified(|last| std::mem::replace(last, signals) != signals);
    }

    async fn farewell(mut self) {
        self.save_cursors(true);
        if self.link.up.is_some() {
            self.publish_state(Presence::Stopped);
            if let Some(line) = self.link.line.take() {
                line.close().await;
            }
        }
    }

    pub(super) fn topic(&self, leaf: Leaf) -> String {
        self.gateway.topic(leaf).to_string()
    }

    /// A retained document of this gateway.
    pub(super) fn document(&self, leaf: Leaf, payload: Vec<u8>) -> Message {
        let topic = self.topic(leaf);
        Message { topic, payload, retain: true, content_type: "application/json", properties: Vec::new() }
    }
}

/// A document as it is published.
pub(super) fn json(document: &impl serde::Serialize) -> Vec<u8> {
    // Types of the contract have no keys but texts; nothing else can fail.
    serde_json::to_vec(document).unwrap_or_default()
}
