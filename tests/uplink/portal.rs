//! A small portal: stores batches in memory and acknowledges as the contract says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::batch::{Body, Envelope, Epoch, Missing, Nonce, Seq, Stream};
use messages::topic::{Gateway, Leaf, Topic};
use messages::{Ack, Cursor};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, PublishOptions, QoS};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Broker;

/// What a portal keeps; survives its restarts when kept.
#[derive(Default)]
pub struct Database {
    pub generation: u64,
    streams: BTreeMap<(Stream, Epoch), Numbered>,
    /// Batches received, repetitions included.
    pub received: u64,
    /// Whether it acknowledges nothing.
    pub silent: bool,
    /// Statuses and states received, newest last.
    pub documents: BTreeMap<String, Vec<u8>>,
}

#[derive(Default, Clone)]
struct Numbered {
    cursor: Seq,
    blocks: BTreeMap<Seq, (Nonce, Body)>,
    missing: Vec<Missing>,
}

impl Database {
    pub fn new(generation: u64) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { generation, ..Self::default() }))
    }

    /// Takes a batch in; gives the acknowledgement to publish.
    fn store(&mut self, envelope: &Envelope, body: Body) -> Ack {
        self.received += 1;
        let numbered = self.streams.entry((envelope.stream, envelope.epoch)).or_default();
        numbered.blocks.insert(envelope.seq, (envelope.nonce, body));
        if !envelope.missing.is_empty() && numbered.missing.last() != Some(&envelope.missing) {
            numbered.missing.push(envelope.missing.clone());
        }
        loop {
            let next = numbered.cursor.next();
            let passed = numbered.missing.iter().map(|missing| missing.pass(numbered.cursor)).max();
            if numbered.blocks.contains_key(&next) {
                numbered.cursor = next;
            } else if let Some(passed) = passed.filter(|passed| *passed > numbered.cursor) {
                numbered.cursor = passed;
            } else {
                break;
            }
        }
        self.ack(envelope.stream, envelope.epoch)
    }

    fn ack(&self, stream: Stream, epoch: Epoch) -> Ack {
        let Numbered { cursor, blocks, .. } = &self.streams[&(stream, epoch)];
        let nonce = blocks.get(cursor).map(|(nonce, _)| *nonce);
        Ack { generation: self.generation, epochs: vec![Cursor { epoch, seq: *cursor, nonce }] }
    }

    /// How far a stream has come, in its newest numbering.
    pub fn cursor(&self, stream: Stream, epoch: Epoch) -> Seq {
        self.streams.get(&(stream, epoch)).map_or(Seq::NONE, |numbered| numbered.cursor)
    }

    /// The newest document of the gateway under this topic.
    pub fn document<T: serde::de::DeserializeOwned>(&self, topic: &str) -> Option<T> {
        self.documents.get(topic).map(|payload| serde_json::from_slice(payload).unwrap())
    }

    /// The bodies of a stream, whatever their numbering.
    pub fn bodies(&self, stream: Stream) -> Vec<Vec<u8>> {
        let of = self.streams.iter().filter(|((found, _), _)| *found == stream);
        of.flat_map(|(_, numbered)| numbered.blocks.values().map(|(_, body)| body.bytes.clone())).collect()
    }

    /// Forgets everything after `seq`, as a restored backup does.
    pub fn restore(&mut self, stream: Stream, epoch: Epoch, seq: Seq) {
        self.generation += 1;
        let numbered = self.streams.get_mut(&(stream, epoch)).unwrap();
        numbered.cursor = seq;
        numbered.blocks.retain(|number, _| *number <= seq);
    }

    /// Claims to have another content at the cursor.
    pub fn forge(&mut self, stream: Stream, epoch: Epoch) {
        let numbered = self.streams.get_mut(&(stream, epoch)).unwrap();
        let cursor = numbered.cursor;
        numbered.blocks.get_mut(&cursor).unwrap().0 = Nonce::from_random(0xBAD);
    }
}

/// A running portal.
pub struct Portal {
    pub client: AsyncClient,
    database: Arc<Mutex<Database>>,
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Portal {
    /// Connects without protection.
    pub async fn open(broker: &Broker, utility: &str, database: Arc<Mutex<Database>>) -> Self {
        let mut options = MqttOptions::new(format!("{utility}/portal"), ("127.0.0.1", broker.port));
        options.set_keep_alive(30);
        Self::with(broker, options, utility, database).await
    }

    /// Connects as `options` say; again when the broker is started again.
    pub async fn with(
        broker: &Broker,
        mut options: MqttOptions,
        utility: &str,
        database: Arc<Mutex<Database>>,
    ) -> Self {
        let mut starts = broker.starts();
        options.set_max_packet_size(Some(2 << 20)).set_outgoing_inflight_upper_limit(100);
        let (client, mut events) = AsyncClient::builder(options).capacity(1000).build();
        let (changed, mut changes) = watch::channel(0_u64);
        let ready = utility.to_owned();
        let task = {
            let (client, database) = (client.clone(), database.clone());
            tokio::spawn(async move {
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                            starts.mark_unchanged();
                            let filters = Topic::uplink_filters(&ready.parse().unwrap());
                            let filters =
                                filters.map(|filter| rumqttc::SubscribeFilter::new(filter, QoS::AtLeastOnce));
                            client.try_subscribe_many(filters).unwrap();
                        }
                        Ok(Event::Incoming(Incoming::SubAck(_))) => changed.send_modify(|count| *count += 1),
                        Ok(Event::Incoming(Incoming::Publish(publish))) => {
                            take(&client, &database, &publish);
                            changed.send_modify(|count| *count += 1);
                        }
                        Ok(_) => {}
                        // It was killed, and comes back or does not.
                        Err(_) => drop(starts.changed().await),
                    }
                }
            })
        };
        changes.wait_for(|count| *count > 0).await.unwrap();
        Self { client, database, changes, task }
    }

    /// Waits until the database is as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Database) -> bool) {
        let database = self.database.clone();
        let seen = self.changes.wait_for(|_| wanted(&database.lock().unwrap()));
        if tokio::time::timeout(Duration::from_secs(90), seen).await.is_err() {
            let database = self.database.lock().unwrap();
            let cursors: Vec<_> =
                database.streams.iter().map(|(place, numbered)| (*place, numbered.cursor)).collect();
            panic!("never came: {} batches received, {cursors:?}", database.received);
        }
    }

    /// Publishes a retained document.
    pub async fn say(&self, gateway: &str, leaf: Leaf, payload: impl Into<Vec<u8>>) {
        let topic = gateway.parse::<Gateway>().unwrap().topic(leaf).to_string();
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        let sent = self.client.publish_tracked(topic, payload.into(), options).await.unwrap();
        sent.wait_async().await.unwrap();
    }

    /// Publishes the acknowledgement of a stream, as at a start.
    pub async fn acknowledge(&self, gateway: &str, stream: Stream, epoch: Epoch) {
        let ack = self.database.lock().unwrap().ack(stream, epoch);
        self.say(gateway, Leaf::Ack(stream), serde_json::to_vec(&ack).unwrap()).await;
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn take(client: &AsyncClient, database: &Mutex<Database>, publish: &rumqttc::Publish) {
    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
    let Topic { gateway, leaf } = topic.parse().unwrap();
    if leaf != Leaf::Uplink {
        database.lock().unwrap().documents.insert(topic, publish.payload.to_vec());
        return;
    }
    let properties = publish.properties.clone().unwrap();
    let envelope = Envelope::from_properties(&properties.user_properties).unwrap();
    let content_type = properties.content_type.unwrap().parse().unwrap();
    let body = Body { content_type, bytes: publish.payload.to_vec() };
    let (ack, silent) = {
        let mut database = database.lock().unwrap();
        (database.store(&envelope, body), database.silent)
    };
    if silent {
        return;
    }
    let topic = gateway.topic(Leaf::Ack(envelope.stream)).to_string();
    let options = PublishOptions::new(QoS::AtLeastOnce).retained();
    client.try_publish(topic, serde_json::to_vec(&ack).unwrap(), options).unwrap();
}
