//! A stand-in for the portal: takes in batches as the contract says, keeps a contiguous cursor, acknowledges, configures.

mod records;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use messages::batch::{Body, ContentType, Envelope, Stream};
use messages::config::{Delivery, GatewayConfig, MeterConfig};
use messages::seal::{PublicKey, SealedBox};
use messages::topic::{Gateway, Leaf, Topic};
use rumqttc::mqttbytes::v5::Publish;
use rumqttc::{
    AckMode, AsyncClient, BrokerSessionResumePolicy, Event, EventLoop, Incoming, MqttOptions, PublishOptions,
    PublishProperties, QoS, SubscribeFilter,
};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::broker::Broker;
use crate::certificates::Identity;
use crate::{SOON, Site};

pub use records::{Records, Snapshot};

/// Publishes that wait for the client.
const REQUESTS: usize = 256;
/// Until the next attempt to connect.
const AGAIN: Duration = Duration::from_millis(100);

/// The portal's stand-in. Dropping it takes it away as a crash would.
#[derive(Debug)]
pub struct Portal {
    shared: Arc<Shared>,
    options: MqttOptions,
    publish: mpsc::UnboundedSender<Document>,
    publish_out: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Document>>>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    records: Mutex<Records>,
    /// Counts what has come.
    changed: watch::Sender<u64>,
    /// Stores, and acknowledges nothing.
    silent: watch::Sender<bool>,
    /// Whether the broker has answered its subscription.
    subscribed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Document {
    topic: Topic,
    json: Vec<u8>,
}

impl Portal {
    /// Connects to a broker and goes on doing so.
    #[must_use]
    pub fn connect(broker: &Broker) -> Self {
        Self::connect_as(broker, None)
    }

    /// The same with a certificate.
    #[must_use]
    pub fn connect_as(broker: &Broker, identity: Option<&Identity>) -> Self {
        let name = format!("{}/portal", Site::name().utility());
        let mut options = broker.client(&name, identity);
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(3600))
            .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly)
            .set_ack_mode(AckMode::Manual);
        let (publish, publish_out) = mpsc::unbounded_channel();
        let shared = Shared {
            records: Mutex::new(Records::default()),
            changed: watch::Sender::new(0),
            silent: watch::Sender::new(false),
            subscribed: watch::Sender::new(false),
        };
        let mut portal = Self {
            shared: Arc::new(shared),
            options,
            publish,
            publish_out: Arc::new(tokio::sync::Mutex::new(publish_out)),
            task: None,
        };
        portal.back();
        portal
    }

    /// Crashes. The broker keeps its session.
    pub async fn away(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
        self.shared.subscribed.send_replace(false);
    }

    /// Waits until it hears what is published.
    ///
    /// # Panics
    /// When the broker does not let it.
    pub async fn listens(&self) {
        let mut subscribed = self.shared.subscribed.subscribe();
        let up = timeout(2 * SOON, subscribed.wait_for(|subscribed| *subscribed)).await;
        assert!(up.is_ok(), "the portal does not get through to the broker");
    }

    /// Comes back after [`away`](Self::away).
    pub fn back(&mut self) {
        let (shared, options) = (Arc::clone(&self.shared), self.options.clone());
        let publish = Arc::clone(&self.publish_out);
        self.task.get_or_insert_with(|| {
            tokio::spawn(async move {
                let mut publish = publish.lock().await;
                loop {
                    // An event loop with a history would refuse a session that the broker alone remembers.
                    serve(&shared, options.clone(), &mut publish).await;
                    shared.subscribed.send_replace(false);
                    sleep(AGAIN).await;
                }
            })
        });
    }

    /// Goes on storing, but acknowledges nothing; or does so again.
    pub fn silent(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// What it has stored.
    pub fn records(&self) -> MutexGuard<'_, Records> {
        self.shared.records.lock().unwrap()
    }

    /// Forgets the last `status`, to see the next one.
    pub fn forget_status(&self) {
        self.shared.records.lock().unwrap().status = None;
    }

    /// A backup.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.records().snapshot()
    }

    /// Restores a backup; the generation rises. To be called while it is [`away`](Self::away).
    pub fn restore(&self, snapshot: Snapshot) {
        self.records().restore(snapshot);
    }

    /// Waits until its records satisfy `is`.
    ///
    /// # Panics
    /// When they do not `within`.
    pub async fn has_within<T>(
        &self,
        within: Duration,
        what: &str,
        mut is: impl FnMut(&Records) -> Option<T>,
    ) -> T {
        let mut changed = self.shared.changed.subscribe();
        let look = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = is(&self.records()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = timeout(within, look).await;
        found.unwrap_or_else(|_| {
            panic!("waited {within:?} for {what} at the portal; it has {:?}", self.records())
        })
    }

    /// Waits until its records satisfy `is`.
    pub async fn has<T>(&self, what: &str, is: impl FnMut(&Records) -> Option<T>) -> T {
        self.has_within(2 * SOON, what, is).await
    }

    /// Waits for the key that documents for the delivering half are sealed to.
    pub async fn deliver_key(&self) -> PublicKey {
        self.has("the status with the key", |records| {
            records.status.as_ref().map(|status| status.deliver_key.clone())
        })
        .await
    }

    /// Publishes `config`.
    pub fn configure(&self, config: &GatewayConfig) {
        self.send(Leaf::GatewayConfig, config);
    }

    /// Publishes `config/<meter>`, sealed to the gateway.
    pub async fn configure_meter(&self, delivery: &Delivery, key: Option<SealedBox>) {
        let to = self.deliver_key().await;
        // A box of a test needs no good random; it needs another one each time.
        let mut random = [7; 32];
        random[..8].copy_from_slice(&delivery.version.to_le_bytes());
        let document = MeterConfig::seal(delivery, &to, random, key).unwrap();
        self.send(Leaf::Config(delivery.meter), &document);
    }

    /// Publishes any document, retained.
    pub fn send(&self, leaf: Leaf, document: &impl Serialize) {
        let topic = Site::name().topic(leaf);
        let json = serde_json::to_vec(document).unwrap();
        self.publish.send(Document { topic, json }).unwrap();
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// One connection, until it breaks.
async fn serve(shared: &Shared, options: MqttOptions, documents: &mut mpsc::UnboundedReceiver<Document>) {
    let (client, mut events) = AsyncClient::builder(options).capacity(REQUESTS).build();
    let mut silent = shared.silent.subscribe();
    loop {
        // Only a connection that is up takes documents, so that none is lost with one that is not.
        let up = connected(&mut events, shared, &client).await;
        if !up {
            return;
        }
        loop {
            tokio::select! {
                event = events.poll() => match event {
                    Err(_) => return,
                    Ok(Event::Incoming(Incoming::Publish(publish))) => take(shared, &client, &publish),
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => break,
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        shared.subscribed.send_replace(true);
                    }
                    Ok(_) => {}
                },
                Some(document) = documents.recv() => publish(&client, document),
                Ok(()) = silent.changed() => acknowledge_all(shared, &client),
            }
        }
    }
}

/// Waits for the connection, publishes all acknowledgements, then subscribes.
async fn connected(events: &mut EventLoop, shared: &Shared, client: &AsyncClient) -> bool {
    let remembered = loop {
        match events.poll().await {
            Err(_) => return false,
            Ok(Event::Incoming(Incoming::ConnAck(ack))) => break ack.session_present,
            Ok(_) => {}
        }
    };
    acknowledge_all(shared, client);
    if remembered {
        // The broker has the subscription, and this client may send nothing that needs a packet id: it does not know
        // which ones are free.
        shared.subscribed.send_replace(true);
        return true;
    }
    let filters = Topic::uplink_filters(Site::name().utility());
    client.try_subscribe_many(filters.map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce))).is_ok()
}

fn take(shared: &Shared, client: &AsyncClient, message: &Publish) {
    let topic = std::str::from_utf8(&message.topic).unwrap();
    let topic: Topic = topic.parse().unwrap_or_else(|_| panic!("a message on {topic}"));
    let stream = shared.records.lock().unwrap().message(topic.leaf, message);
    if let Some(stream) = stream {
        acknowledge(shared, client, &topic.gateway, stream);
    }
    let _ = client.try_ack(message);
    shared.changed.send_modify(|count| *count += 1);
}

fn acknowledge_all(shared: &Shared, client: &AsyncClient) {
    for stream in Stream::ALL {
        acknowledge(shared, client, &Site::name(), stream);
    }
}

fn acknowledge(shared: &Shared, client: &AsyncClient, gateway: &Gateway, stream: Stream) {
    let ack = shared.records.lock().unwrap().ack(stream);
    if !*shared.silent.borrow() && !ack.epochs.is_empty() {
        let topic = gateway.topic(Leaf::Ack(stream));
        publish(client, Document { topic, json: serde_json::to_vec(&ack).unwrap() });
    }
}

fn publish(client: &AsyncClient, document: Document) {
    let properties = PublishProperties {
        content_type: Some("application/json".to_owned()),
        ..PublishProperties::default()
    };
    // See `connected`. What is lost with a connection is published again with the next.
    let options = PublishOptions::new(QoS::AtMostOnce).retain(true).properties(properties);
    let _ = client.try_publish(document.topic.to_string(), document.json, options);
}

/// Envelope and body of a message on `uplink`.
///
/// # Panics
/// When the message is not as the contract says.
#[must_use]
pub fn batch(message: &Publish) -> (Envelope, Body) {
    let properties = message.properties.clone().expect("a batch has properties");
    let envelope = Envelope::from_properties(&properties.user_properties).unwrap();
    let content_type: ContentType = properties.content_type.unwrap().parse().unwrap();
    (envelope, Body { content_type, bytes: message.payload.to_vec() })
}
