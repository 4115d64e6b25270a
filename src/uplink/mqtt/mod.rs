//! The line to the broker: one connection, from CONNECT to its end. The only place that knows the MQTT library.
//!
//! A line is used once. Whatever goes wrong ends it with a [`Fault`] and a new one is opened, with nothing carried over:
//! the store is the session. That also gets rid of a client that hangs inside a poll.

mod fault;

use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::rustls::ClientConfig;
use rumqttc::{
    AsyncClient, ConnectProperties, ConnectionError, EventLoop, Incoming, LastWill, LastWillProperties,
    MqttOptions, PubAckReason, Publish, PublishNotice, PublishOptions, PublishProperties, PublishResult, QoS,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub use fault::Fault;
pub(super) use fault::Moment;

use crate::config::Secret;

/// Publishes that the broker has not answered, at most; mosquitto allows 20.
const IN_FLIGHT: u16 = 16;
/// The largest packet that we take: 1 MiB, beyond every document of the contract.
const LARGEST: u32 = 1 << 20;
/// Publishes and subscriptions that wait for the client to take them.
const REQUESTS: usize = 64;
/// Events that wait for us; while they do, the client does not read on.
const EVENTS: usize = 8;
/// TCP, TLS and CONNACK together.
const CONNECT: Duration = Duration::from_secs(20);
/// Data that nobody confirms for so long end the connection.
const UNSENT: Duration = Duration::from_secs(20);
/// How long the broker waits before it publishes our last will: a short break is none.
const WILL_DELAY: u32 = 10;
/// How long an orderly end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How to connect.
pub(super) struct Options {
    /// The broker.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// User name and client id.
    pub(super) name: String,
    /// TLS, unless the line is plain.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// User and password, if the configuration has them.
    pub(super) login: Option<(String, Secret)>,
    /// MQTT's keep-alive.
    pub(super) keep_alive: Duration,
    /// Topic and payload of the last will, if there is one.
    pub(super) will: Option<(String, Vec<u8>)>,
}

/// What a line says. Tags are the caller's: they come back with the outcome of what was published under them.
#[derive(Debug)]
pub(super) enum Event<T> {
    /// Connected. The largest packet that the broker takes, if it says so.
    Up(Option<u32>),
    /// The broker has answered the subscription.
    Subscribed,
    /// Something came.
    Came(Came),
    /// What became of a message.
    Outcome(T, Outcome),
    /// The end.
    Down(Fault),
}

/// A message from the broker.
#[derive(Debug)]
pub(super) struct Came {
    /// Its topic.
    pub(super) topic: String,
    /// Its payload.
    pub(super) payload: Vec<u8>,
    /// It lay at the broker before we came.
    pub(super) retained: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The broker has it and passes it on.
    Taken,
    /// The broker has nobody to pass it on to, and drops it.
    Nobody,
    /// The broker does not let us publish there.
    NotAuthorised,
    /// The broker refuses it with this reason.
    Refused(String),
    /// The line broke before the broker answered.
    Unanswered,
}

/// A message to be published with QoS 1.
#[derive(Debug)]
pub(super) struct Message {
    /// Where.
    pub(super) topic: String,
    /// What.
    pub(super) payload: Vec<u8>,
    /// The broker keeps it.
    pub(super) retain: bool,
    /// How to read the payload.
    pub(super) content_type: &'static str,
    /// User properties.
    pub(super) properties: Vec<(String, String)>,
}

impl Message {
    /// How large its packet is, at most.
    pub(super) fn size(&self) -> usize {
        let properties: usize =
            self.properties.iter().map(|(key, value)| key.len() + value.len()).map(|size| size + 5).sum();
        // Fixed header, lengths, packet id, content type's own header.
        self.topic.len() + self.payload.len() + self.content_type.len() + properties + 24
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line<T: 'static> {
    client: Option<AsyncClient>,
    events: mpsc::Receiver<Event<T>>,
    outcomes: JoinSet<(T, Outcome)>,
    task: JoinHandle<()>,
    /// It has ended so; told once every outcome is.
    ended: Option<Fault>,
}

impl<T: Send + 'static> Line<T> {
    /// Begins to connect.
    pub(super) fn open(options: Options) -> Self {
        let keep_alive = options.keep_alive;
        let tls = options.tls.is_some();
        let (client, poll) = AsyncClient::builder(mqtt(options)).capacity(REQUESTS).build();
        let (sender, events) = mpsc::channel(EVENTS);
        let task = tokio::spawn(drive(poll, keep_alive, tls, sender));
        Self { client: Some(client), events, outcomes: JoinSet::new(), task, ended: None }
    }

    /// The next event. May be dropped at any time without losing one. After [`Event::Down`], which comes when the outcome
    /// of every message has been told, nothing comes.
    pub(super) async fn event(&mut self) -> Event<T> {
        loop {
            if let Some(fault) = &self.ended
                && self.outcomes.is_empty()
            {
                return Event::Down(fault.clone());
            }
            tokio::select! {
                biased;
                Some(done) = self.outcomes.join_next() => {
                    if let Ok((tag, outcome)) = done {
                        return Event::Outcome(tag, outcome);
                    }
                }
                event = self.events.recv(), if self.ended.is_none() => match event {
                    Some(Event::Down(fault)) => self.end(fault),
                    Some(event) => return event,
                    None => self.end(Fault::Closed),
                },
            }
        }
    }

    /// What still lies in the client's queue goes with it, and says so.
    fn end(&mut self, fault: Fault) {
        self.ended = Some(fault);
        self.client = None;
    }

    /// Hands a message to the client; `false` if it has no room, which a caller that keeps to its window never sees.
    pub(super) fn publish(&mut self, tag: T, message: Message) -> bool {
        let Message { topic, payload, retain, content_type, properties } = message;
        let properties = PublishProperties {
            content_type: Some(content_type.to_owned()),
            user_properties: properties,
            ..PublishProperties::default()
        };
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain).properties(properties);
        let client = self.client.as_ref();
        match client.and_then(|client| client.try_publish_tracked(topic, payload, options).ok()) {
            Some(notice) => {
                self.outcomes.spawn(async move { (tag, outcome(notice).await) });
                true
            }
            None => false,
        }
    }

    /// Subscribes; each topic comes with what the broker keeps for it.
    pub(super) fn subscribe(&self, filters: impl IntoIterator<Item = String>) -> bool {
        let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        self.client.as_ref().is_some_and(|client| client.try_subscribe_many(filters).is_ok())
    }

    /// Ends in order, so that the broker does not publish the last will.
    pub(super) async fn close(mut self) {
        let client = self.client.as_ref();
        if client.is_some_and(|client| client.try_disconnect_with_timeout(FAREWELL).is_ok()) {
            let end = async { while !matches!(self.event().await, Event::Down(_)) {} };
            let _ = timeout(2 * FAREWELL, end).await;
        }
    }
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn mqtt(options: Options) -> MqttOptions {
    let Options { host, port, name, tls, login, keep_alive, will } = options;
    let mut mqtt = MqttOptions::new(name.clone(), (host, port));
    let seconds = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
    mqtt.set_keep_alive(seconds)
        .set_clean_start(true)
        .set_connect_timeout(CONNECT)
        .set_connect_properties(ConnectProperties::new())
        .set_max_packet_size(Some(LARGEST))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_socket_connector(|address, _| async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let socket = socket2::SockRef::from(&stream);
            socket.set_tcp_user_timeout(Some(UNSENT))?;
            socket.set_tcp_nodelay(true)?;
            Ok(stream)
        });
    match login {
        Some((user, password)) => mqtt.set_credentials(user, password.expose().to_vec()),
        None => mqtt.set_username(name),
    };
    if let Some(tls) = tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    let Some((topic, payload)) = will else { return mqtt };
    let properties = LastWillProperties {
        delay_interval: Some(WILL_DELAY),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: Some("application/json".to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    mqtt.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true, Some(properties)));
    mqtt
}

/// Owns the connection until its end.
async fn drive<T>(mut poll: EventLoop, keep_alive: Duration, tls: bool, events: mpsc::Sender<Event<T>>) {
    // A healthy idle connection turns at least once per keep-alive; before it is up it has its own timeout.
    let patience = (2 * keep_alive).max(CONNECT + UNSENT);
    let mut up = false;
    loop {
        let event = match timeout(patience, poll.poll()).await {
            Err(_) => Event::Down(Fault::Stuck),
            Ok(Err(ConnectionError::RequestsDone)) => Event::Down(Fault::Closed),
            Ok(Err(error)) => {
                tracing::debug!(?error, "the broker's line ends");
                Event::Down(fault::of(&error, up, tls))
            }
            Ok(Ok(rumqttc::Event::Incoming(packet))) => match packet {
                Incoming::ConnAck(ack) => {
                    up = true;
                    Event::Up(ack.properties.and_then(|properties| properties.max_packet_size))
                }
                Incoming::SubAck(ack) => {
                    let refused =
                        |code: &SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
                    match ack.return_codes.iter().find(|code| refused(code)) {
                        None => Event::Subscribed,
                        Some(code) => Event::Down(Fault::SubscriptionRefused(format!("{code:?}"))),
                    }
                }
                Incoming::Publish(publish) => match came(publish) {
                    Some(came) => Event::Came(came),
                    None => continue,
                },
                _ => continue,
            },
            Ok(Ok(_)) => continue,
        };
        if matches!(event, Event::Down(_)) {
            // Whoever waits for an answer learns first that none will come.
            drop(poll);
            let _ = events.send(event).await;
            return;
        }
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn came(publish: Publish) -> Option<Came> {
    let topic = String::from_utf8(publish.topic.to_vec()).ok()?;
    Some(Came { topic, payload: publish.payload.to_vec(), retained: publish.retain })
}

async fn outcome(notice: PublishNotice) -> Outcome {
    match notice.wait_async().await {
        Ok(PublishResult::Qos1(ack)) => match ack.reason {
            PubAckReason::Success => Outcome::Taken,
            PubAckReason::NoMatchingSubscribers => Outcome::Nobody,
            PubAckReason::NotAuthorized => Outcome::NotAuthorised,
            other => Outcome::Refused(format!("{other:?}")),
        },
        Ok(_) => Outcome::Taken,
        Err(rumqttc::PublishNoticeError::RetainNotSupported) => {
            Outcome::Refused("it keeps no retained messages".to_owned())
        }
        Err(_) => Outcome::Unanswered,
    }
}
