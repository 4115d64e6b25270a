//! As much of a portal as a gateway needs: it takes batches in, acknowledges them, and says who is to be told of alarms.
//!
//! It keeps nothing on disk; what it has taken in, it tells.

use std::{collections::BTreeMap, time::Duration};

use messages::{
    Ack, Cursor, Id, MeterId, Presence, State, Status,
    batch::{Body, Envelope, Epoch, Nonce, Record, Seq, Stream},
    config::{Contact, ContactKind, Delivery, GatewayConfig, Language, MeterConfig, Rules, UtilitySettings},
    reading::Code,
    seal::PublicKey,
    topic::{Gateway, Leaf, Topic},
};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, Publish, PublishOptions, PublishProperties, QoS};
use tokio::sync::mpsc;

/// What the portal tells of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// A gateway came or went.
    Gateway(Presence),
    /// Its meters' contacts were sealed and published: so many.
    Configured(usize),
    /// Records of a batch that had not been there before.
    Records(Stream, Vec<Record>),
    /// Something that should not have come, in words.
    Odd(String),
}

/// A metering point.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its meter.
    pub(crate) meter: MeterId,
    /// What it is called.
    pub(crate) name: String,
    /// Who lives there.
    pub(crate) email: messages::Email,
}

/// The portal of one utility with one gateway.
#[derive(Debug)]
pub(crate) struct Portal {
    gateway: Gateway,
    places: Vec<Place>,
    language: Language,
    rules: Rules,
    generation: u64,
    /// How far each stream of each numbering is taken in.
    cursors: BTreeMap<(Stream, Epoch), Cursor>,
    sealed_to: Option<PublicKey>,
    version: u64,
}

/// What a message leads to.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    publish: Vec<(Leaf, Vec<u8>)>,
    news: Vec<News>,
}

impl Portal {
    /// `generation`: of its store, UTC seconds.
    pub(crate) fn new(
        gateway: Gateway,
        places: Vec<Place>,
        language: Language,
        rules: Rules,
        generation: u64,
    ) -> Self {
        Self {
            gateway,
            places,
            language,
            rules,
            generation,
            cursors: BTreeMap::new(),
            sealed_to: None,
            version: 0,
        }
    }

    /// Works until nobody wants to hear of it. `random` gives fresh random bytes.
    pub(crate) async fn run(mut self, port: u16, news: mpsc::Sender<News>, random: fn() -> [u8; 32]) {
        let name = format!("{}/portal", self.gateway.utility());
        let mut options = MqttOptions::new(name, ("127.0.0.1", port));
        options
            .set_keep_alive(15)
            .set_clean_start(true)
            .set_outgoing_inflight_upper_limit(16)
            .set_max_packet_size(Some(1 << 20));
        // Room for every document at once; what does not fit is asked for again, as the contract has it.
        let (client, mut events) = AsyncClient::builder(options).capacity(64 + 2 * self.places.len()).build();
        loop {
            let publish = match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    for filter in Topic::uplink_filters(self.gateway.utility()) {
                        let _ = client.try_subscribe(filter, QoS::AtLeastOnce);
                    }
                    continue;
                }
                Ok(Event::Incoming(Incoming::Publish(publish))) => publish,
                Ok(_) => continue,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            };
            let answer = self.take(&publish, random);
            for (leaf, payload) in answer.publish {
                let topic = self.gateway.topic(leaf).to_string();
                let _ = client.try_publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce).retained());
            }
            for news_item in answer.news {
                if news.send(news_item).await.is_err() {
                    return;
                }
            }
        }
    }

    fn take(&mut self, publish: &Publish, random: fn() -> [u8; 32]) -> Answer {
        let topic = std::str::from_utf8(&publish.topic).unwrap_or_default().parse::<Topic>();
        let leaf = match topic {
            Ok(topic) if topic.gateway == self.gateway => topic.leaf,
            _ => return odd("a message of another gateway"),
        };
        match leaf {
            Leaf::Uplink => self.uplink(publish.properties.as_ref(), &publish.payload),
            Leaf::State => match serde_json::from_slice::<State>(&publish.payload) {
                Ok(state) => told(News::Gateway(state.presence)),
                Err(error) => odd(&format!("an unreadable state: {error}")),
            },
            Leaf::Status => match serde_json::from_slice::<Status>(&publish.payload) {
                Ok(status) => self.status(&status, random),
                Err(error) => odd(&format!("an unreadable status: {error}")),
            },
            _ => Answer::default(),
        }
    }

    /// A batch that joins is taken in; whatever came, the answer is how far everything is.
    fn uplink(&mut self, properties: Option<&PublishProperties>, payload: &[u8]) -> Answer {
        let Some(properties) = properties else { return odd("a batch without properties") };
        let envelope = match Envelope::from_properties(&properties.user_properties) {
            Ok(envelope) => envelope,
            Err(error) => return odd(&format!("a batch that cannot be placed: {error}")),
        };
        let key = (envelope.stream, envelope.epoch);
        let none = Cursor { epoch: envelope.epoch, seq: Seq::NONE, nonce: None };
        let cursor = self.cursors.entry(key).or_insert(none);
        pass(cursor, &envelope);
        let mut news = Vec::new();
        if envelope.seq == cursor.seq.next() {
            (cursor.seq, cursor.nonce) = (envelope.seq, Some(envelope.nonce));
            let bytes = payload.to_vec();
            let content_type = properties.content_type.as_deref().unwrap_or_default().parse();
            match content_type.map(|content_type| Body { content_type, bytes }.decode()) {
                Ok(Ok(records)) => {
                    let (good, bad): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
                    news.push(News::Records(envelope.stream, good.into_iter().flatten().collect()));
                    news.extend(bad.into_iter().filter_map(Result::err).map(|bad| News::Odd(bad.reason)));
                }
                Ok(Err(error)) => news.push(News::Odd(format!("an unreadable batch: {error}"))),
                Err(error) => news.push(News::Odd(format!("an unreadable batch: {error}"))),
            }
            pass(cursor, &envelope);
        }
        Answer {
            publish: vec![(Leaf::Ack(envelope.stream), self.ack(envelope.stream, envelope.epoch))],
            news,
        }
    }

    /// The durable numberings, and of the throw-away ones that just heard of.
    fn ack(&self, stream: Stream, latest: Epoch) -> Vec<u8> {
        let of_stream = self.cursors.iter().filter(|((of, _), _)| *of == stream).map(|(_, cursor)| *cursor);
        let named = of_stream.filter(|cursor| !cursor.epoch.is_throw_away() || cursor.epoch == latest);
        let ack = Ack { generation: self.generation, epochs: named.collect() };
        serde_json::to_vec(&ack).unwrap_or_default()
    }

    /// The first status of a gateway says to which key its documents are to be sealed.
    fn status(&mut self, status: &Status, random: fn() -> [u8; 32]) -> Answer {
        if self.sealed_to.as_ref() == Some(&status.deliver_key) {
            return Answer::default();
        }
        self.sealed_to = Some(status.deliver_key.clone());
        self.version += 1;
        let mut answer = Answer::default();
        for place in &self.places {
            let delivery = self.delivery(place, random);
            match MeterConfig::seal(&delivery, &status.deliver_key, random(), None) {
                Ok(sealed) => {
                    let json = serde_json::to_vec(&sealed).unwrap_or_default();
                    answer.publish.push((Leaf::Config(place.meter), json));
                }
                Err(error) => answer.news.push(News::Odd(format!("a document cannot be sealed: {error}"))),
            }
        }
        answer.publish.push((Leaf::GatewayConfig, serde_json::to_vec(&self.settings()).unwrap_or_default()));
        answer.news.push(News::Configured(self.places.len()));
        answer
    }

    fn delivery(&self, place: &Place, random: fn() -> [u8; 32]) -> Delivery {
        let id = Id::from_random(random().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes)));
        let contact = Contact {
            id,
            email: place.email.clone(),
            language: self.language,
            codes: [Code::Leak, Code::Burst, Code::Reverse, Code::Dry].into(),
            kind: ContactKind::Customer,
            confirmed: true,
            valid_until: None,
            unsubscribe: Some(format!("https://vesi.example/unsubscribe/{id}").into()),
        };
        Delivery {
            meter: place.meter,
            version: self.version,
            alarm_gateway: true,
            contacts: vec![contact],
            rules: Rules::new(),
            snoozes: Vec::new(),
            label: Some(place.name.as_str().into()),
            mailed: Vec::new(),
            claims: Vec::new(),
            requests: Vec::new(),
        }
    }

    fn settings(&self) -> GatewayConfig {
        GatewayConfig {
            version: self.version,
            meters: self.places.iter().map(|place| (place.meter, self.version)).collect(),
            rules: self.rules.clone(),
            utility: UtilitySettings {
                name: "Esimerkkilän Vesi".into(),
                time_zone: "Europe/Helsinki".into(),
                language: self.language,
                emergency_phone: Some("+358 9 000 0000".into()),
                portal_url: Some("https://vesi.example".into()),
            },
            certificate: None,
        }
    }
}

/// Numbers that will never come are passed over.
fn pass(cursor: &mut Cursor, envelope: &Envelope) {
    let passed = envelope.missing.pass(cursor.seq);
    if passed != cursor.seq {
        (cursor.seq, cursor.nonce) = (passed, None::<Nonce>);
    }
}

fn told(news: News) -> Answer {
    Answer { news: vec![news], ..Answer::default() }
}

fn odd(what: &str) -> Answer {
    told(News::Odd(what.into()))
}

#[cfg(test)]
mod tests;
