//! The harness itself: what it says about a gateway must be true.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::ErrorKind;
use std::time::Duration;

use hil_tests::certificates::{Authority, Years};
use hil_tests::{Broker, Mood, Portal, SOON, Site, SmtpServer, until};
use messages::batch::{Body, Envelope, Epoch, Missing, Nonce, Record, Seq, Stream};
use messages::reading::{Checked, HourRow, Register, Role};
use messages::topic::{Leaf, Topic};
use messages::{Ack, Hour, Time};
use rumqttc::{AsyncClient, Event, Incoming, PublishOptions, PublishProperties, QoS};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

const EPOCH: Epoch = Epoch::durable(0xC0DE);

/// A gateway that only publishes what it is told to.
struct Fake {
    client: AsyncClient,
    acks: watch::Receiver<Option<Ack>>,
}

impl Fake {
    fn connect(options: rumqttc::MqttOptions) -> Self {
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        let (sender, acks) = watch::channel(None);
        let subscriber = client.clone();
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        for filter in Topic::downlink_filters(&Site::name()) {
                            subscriber.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
                        }
                    }
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        sender.send_replace(serde_json::from_slice(&publish.payload).ok());
                    }
                    Ok(_) => {}
                    // The broker is away for a while, and it cannot be awaited that it listens again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Self { client, acks }
    }

    async fn send(&self, seq: u64, nonce: u64, missing: &str) {
        let missing: Missing = if missing.is_empty() { Missing::default() } else { missing.parse().unwrap() };
        let envelope = Envelope {
            stream: Stream::Readings,
            epoch: EPOCH,
            seq: Seq::new(seq),
            nonce: Nonce::from_random(nonce),
            missing,
        };
        let body = Body::encode(&[Record::Hour(Box::new(row(seq)))]).unwrap();
        let properties = PublishProperties {
            content_type: Some(body.content_type.to_string()),
            user_properties: envelope.to_properties(),
            ..PublishProperties::default()
        };
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(properties);
        self.client.publish(Site::name().topic(Leaf::Uplink).to_string(), body.bytes, options).await.unwrap();
    }

    async fn is_acknowledged(&mut self, seq: u64) -> Ack {
        let reached = |ack: &Option<Ack>| {
            ack.as_ref().and_then(|ack| ack.cursor(EPOCH)).is_some_and(|cursor| cursor.seq == Seq::new(seq))
        };
        let ack = tokio::time::timeout(SOON, self.acks.wait_for(reached)).await;
        ack.unwrap_or_else(|_| panic!("seq {seq} is not acknowledged")).unwrap().clone().unwrap()
    }
}

fn row(hour: u64) -> HourRow {
    let boundary = Time::from_unix(1_795_482_000 + 3600 * i64::try_from(hour).unwrap()).unwrap();
    let boundary = Hour::at_or_before(boundary);
    let volume = Register { value: format!("{hour}.000 m3").parse().unwrap(), offset: -7 };
    let mut row = HourRow::new("KAM.76348799.1B.16".parse().unwrap(), boundary, Checked::Checksum);
    row.registers.insert(Role::Volume, volume);
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_acknowledges_what_is_contiguous_and_passes_over_what_is_missing() {
    let broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mut fake = Fake::connect(broker.client("kylavesi/gw-7", None));
    fake.send(1, 11, "").await;
    assert_eq!(fake.is_acknowledged(1).await.epochs[0].nonce, Some(Nonce::from_random(11)));
    fake.send(3, 13, "").await;
    portal.has("the third batch", |records| (records.batches == 2).then_some(())).await;
    assert_eq!(portal.records().cursor(Stream::Readings, EPOCH), Seq::new(1));
    fake.send(5, 15, "4").await;
    fake.send(2, 12, "").await;
    fake.is_acknowledged(5).await;
    assert_eq!(portal.records().rows().len(), 4);
    assert!(portal.records().breaches.is_empty());
    fake.send(2, 99, "").await;
    portal.has("a breach", |records| (!records.breaches.is_empty()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_goes_away_falls_silent_and_restores_a_backup() {
    let broker = Broker::start().await;
    let mut portal = Portal::connect(&broker);
    portal.listens().await;
    let mut fake = Fake::connect(broker.client("kylavesi/gw-7", None));
    fake.send(1, 11, "").await;
    fake.is_acknowledged(1).await;
    let backup = portal.snapshot();

    portal.silent(true);
    fake.send(2, 12, "").await;
    portal.has("the second batch", |records| (records.batches == 2).then_some(())).await;
    portal.silent(false);
    fake.is_acknowledged(2).await;

    portal.away().await;
    fake.send(3, 13, "").await;
    portal.restore(backup);
    portal.back();
    // The third waited in the portal's session; the second is the gap that its gateway has to send again.
    let ack = fake.is_acknowledged(1).await;
    assert_eq!(ack.generation, 1);
    fake.send(2, 12, "").await;
    fake.is_acknowledged(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_can_be_killed_wedged_and_brought_back() {
    let mut broker = Broker::start().await;
    let portal = Portal::connect(&broker);
    portal.listens().await;
    let mut fake = Fake::connect(broker.client("kylavesi/gw-7", None));
    fake.send(1, 11, "").await;
    fake.is_acknowledged(1).await;
    broker.freeze();
    fake.send(2, 12, "").await;
    broker.thaw();
    fake.is_acknowledged(2).await;
    broker.restart().await;
    let count = portal.records().batches;
    until("a batch through the new broker", SOON, async || {
        fake.send(3, 13, "").await;
        (portal.records().batches > count).then_some(())
    })
    .await;
    fake.is_acknowledged(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_knows_its_clients_by_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let broker = Broker::start_tls(hil_tests::broker::Tls {
        authority: authority.certificate().to_owned(),
        identity: authority.server("localhost", Years::NOW),
        revoked: None,
    })
    .await;
    let portal = Portal::connect_as(&broker, Some(&authority.client("kylavesi/portal", Years::NOW)));
    portal.listens().await;
    let identity = authority.client("kylavesi/gw-7", Years::NOW);
    let mut fake = Fake::connect(broker.client("kylavesi/gw-7", Some(&identity)));
    fake.send(1, 11, "").await;
    fake.is_acknowledged(1).await;
    drop(portal);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_misbehaves_as_told() {
    let server = SmtpServer::start();
    let port: u16 =
        server.mail_section("").split("port = ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let connect = async || {
        until("the mail server", SOON, async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await
    };
    let said = async |stream: &mut BufReader<TcpStream>, line: &str| {
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        match stream.read_line(&mut answer).await {
            // A server that hangs up at once may take its last words along.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => drop(read.unwrap()),
        }
        answer
    };
    let mail = "Message-ID: <1@x>\r\nSubject: leak\r\n\r\nwater\r\n.\r\n";
    for (mood, answer, mails) in [
        (Mood::Good, "250 taken\r\n", 1),
        (Mood::Content(451), "451 not this mail\r\n", 1),
        (Mood::CutsAfterData, "", 2),
        (Mood::Good, "250 taken\r\n", 3),
    ] {
        server.mood(mood);
        let mut stream = BufReader::new(connect().await);
        assert!(said(&mut stream, "").await.starts_with("220"));
        assert!(said(&mut stream, "MAIL FROM:<a@x>\r\n").await.starts_with("250"));
        assert!(said(&mut stream, "RCPT TO:<b@y>\r\n").await.starts_with("250"));
        assert!(said(&mut stream, "DATA\r\n").await.starts_with("354"));
        assert_eq!(said(&mut stream, mail).await, answer);
        assert_eq!(server.receives(mails, SOON).await.len(), mails);
    }
    server.mood(Mood::Greets(421));
    assert!(said(&mut BufReader::new(connect().await), "").await.starts_with("421"));
    let mut wedged = {
        server.mood(Mood::Wedged);
        BufReader::new(connect().await)
    };
    server.mood(Mood::Gone);
    assert_eq!(said(&mut wedged, "").await, "", "what hung is cut");
    until("nobody", SOON, async || TcpStream::connect(("127.0.0.1", port)).await.err()).await;
    server.mood(Mood::Good);
    connect().await;
    let received = server.received();
    assert_eq!(
        (received[0].to[0].as_str(), received[0].answered, received[1].answered),
        ("b@y", true, false)
    );
    assert_eq!(received[0].mail.message_id(), "<1@x>");
}
