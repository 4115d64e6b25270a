use super::*;
use crate::broker::{Broker, Choice};
use messages::{
    batch::Missing,
    event::{Problem, ProblemKind},
    seal::SecretKey,
};

const GATEWAY: &str = "demo/gw-1";

fn portal() -> Portal {
    let place = Place {
        meter: "KAM.61000001.1B.16".parse().unwrap(),
        name: "Kuusikuja 5".into(),
        email: "a@vesi.example".parse().unwrap(),
    };
    Portal::new(GATEWAY.parse().unwrap(), vec![place], Language::En, Rules::new(), 1)
}

fn record() -> Record {
    Record::Problem(Problem {
        id: Id::from_random(1),
        problem: ProblemKind::ReceiverGone,
        place: None,
        since: None,
        until: None,
        other: Default::default(),
    })
}

fn batch(seq: u64, missing: &str) -> Publish {
    let body = Body::encode(&[record()]).unwrap();
    let envelope = Envelope {
        stream: Stream::Events,
        epoch: Epoch::durable(7),
        seq: Seq::new(seq),
        nonce: Nonce::from_random(seq),
        missing: if missing.is_empty() { Missing::default() } else { missing.parse().unwrap() },
    };
    let properties = PublishProperties {
        user_properties: envelope.to_properties(),
        content_type: Some(body.content_type.to_string()),
        ..PublishProperties::default()
    };
    message("uplink", body.bytes, Some(properties))
}

fn message(leaf: &str, payload: Vec<u8>, properties: Option<PublishProperties>) -> Publish {
    let topic = format!("vesi/1/{GATEWAY}/{leaf}");
    Publish { topic: topic.into(), payload: payload.into(), properties, ..Publish::default() }
}

fn random() -> [u8; 32] {
    [5; 32]
}

/// How far it says that everything is, and whether it told of records.
fn taken(portal: &mut Portal, publish: &Publish) -> (u64, bool) {
    let answer = portal.take(publish, random);
    let [(Leaf::Ack(Stream::Events), payload)] = &answer.publish[..] else { panic!("{answer:?}") };
    let ack: Ack = serde_json::from_slice(payload).unwrap();
    (ack.cursor(Epoch::durable(7)).unwrap().seq.number(), !answer.news.is_empty())
}

#[test]
fn batches_are_taken_in_their_order_and_told_once() {
    let mut portal = portal();
    assert_eq!(taken(&mut portal, &batch(1, "")), (1, true));
    assert_eq!(taken(&mut portal, &batch(1, "")), (1, false), "again");
    assert_eq!(taken(&mut portal, &batch(3, "")), (1, false), "beyond a gap");
    assert_eq!(taken(&mut portal, &batch(2, "")), (2, true));
    assert_eq!(taken(&mut portal, &batch(6, "3-5")), (6, true), "what will never come is passed over");
}

#[test]
fn what_cannot_be_placed_is_not_acknowledged() {
    let mut portal = portal();
    for publish in [
        message("uplink", b"{}".to_vec(), None),
        message("uplink", b"{}".to_vec(), Some(PublishProperties::default())),
    ] {
        let answer = portal.take(&publish, random);
        assert!(answer.publish.is_empty() && matches!(answer.news[..], [News::Odd(_)]), "{answer:?}");
    }
}

#[test]
fn documents_are_sealed_to_the_key_of_the_status_once() {
    let secret = SecretKey::from_bytes([3; 32]);
    let status = message("status", status(&secret), None);
    let mut portal = portal();
    let answer = portal.take(&status, random);
    assert_eq!(answer.news, [News::Configured(1)]);
    let [(Leaf::Config(meter), sealed), (Leaf::GatewayConfig, list)] = &answer.publish[..] else {
        panic!("{answer:?}")
    };
    let sealed: MeterConfig = serde_json::from_slice(sealed).unwrap();
    let delivery = sealed.open(*meter, &secret).unwrap().unwrap();
    assert_eq!(delivery.contacts[0].email.reveal(), "a@vesi.example");
    let list: GatewayConfig = serde_json::from_slice(list).unwrap();
    assert_eq!(list.meters.get(meter), Some(&1));
    assert_eq!(portal.take(&status, random), Answer::default());
}

/// Over a real broker: what a gateway that has just connected sees.
async fn meet(choice: Choice) {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(choice, folder.path()).await.unwrap();
    let (news, mut told) = mpsc::channel(16);
    tokio::spawn(portal().run(broker.port, news, random));
    let mut options = MqttOptions::new(GATEWAY, ("127.0.0.1", broker.port));
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut events) = AsyncClient::builder(options).capacity(16).build();
    for filter in Topic::downlink_filters(&GATEWAY.parse().unwrap()) {
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
    }
    let options = || PublishOptions::new(QoS::AtLeastOnce);
    let retained = message("status", status(&SecretKey::from_bytes([3; 32])), None);
    client.publish(text(&retained), retained.payload.to_vec(), options().retained()).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        match events.poll().await.unwrap() {
            Event::Incoming(Incoming::Publish(publish)) => {
                let leaf = text(&publish).parse::<Topic>().unwrap().leaf;
                if leaf == Leaf::GatewayConfig {
                    // The portal is there by now: a batch cannot be lost before it has subscribed.
                    let batch = batch(1, "");
                    let options = options().properties(batch.properties.clone().unwrap());
                    client.publish(text(&batch), batch.payload.to_vec(), options).await.unwrap();
                }
                seen.insert(leaf);
            }
            _ => continue,
        }
    }
    assert_eq!(told.recv().await, Some(News::Configured(1)));
    assert_eq!(told.recv().await, Some(News::Records(Stream::Events, vec![record()])));
    broker.stop().await;
}

fn text(publish: &Publish) -> String {
    String::from_utf8(publish.topic.to_vec()).unwrap()
}

#[tokio::test]
async fn gateway_and_portal_meet_at_the_embedded_broker() {
    meet(Choice::Embedded).await;
}

#[tokio::test]
async fn gateway_and_portal_meet_at_the_broker_that_is_there() {
    meet(Choice::Auto).await;
}

fn status(secret: &SecretKey) -> Vec<u8> {
    let status = serde_json::json!({
        "versions": {"vesigate": "0.1.0"},
        "uptime_s": 1,
        "backlog": {},
        "receivers": [],
        "config": {"version": 0},
        "collect_key": serde_json::to_value(secret.public()).unwrap(),
        "deliver_key": serde_json::to_value(secret.public()).unwrap(),
        "clock": {"trust": "trusted"},
        "disk": {"state": "writable", "used": 0, "budget": 0, "free": 0},
    });
    serde_json::to_vec(&status).unwrap()
}
