//! Home Assistant at a broker at home, with the shipped access list: what it sees, and what nobody may do.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use messages::batch::{Record, Stream};
use messages::home_assistant::Values;
use messages::reading::{Checked, Code, HourRow, Register, Role};
use messages::{Hour, Time};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, PublishOptions, QoS, SubscribeFilter};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::site::{METER, NOW, Site, meter};
use crate::with_mosquitto;

const VALUES: &str = "vesi/1/kylavesi/gw-7/meter/KAM.76348799.1B.16";
const VOLUME: &str = "homeassistant/sensor/vesi_KAM_76348799_1B_16/volume/config";
const LEAK: &str = "homeassistant/binary_sensor/vesi_KAM_76348799_1B_16/leak/config";
const PASSWORD: &str = "correct horse";

/// A broker with the shipped list, and passwords for the gateway, another one, and Home Assistant.
fn home(folder: &Path) -> Broker {
    let shipped = std::fs::read_to_string("config/mosquitto/home-assistant.acl").unwrap();
    std::fs::write(folder.join("acl"), shipped.replace("koti/gw", "kylavesi/gw-7")).unwrap();
    let passwords = folder.join("passwords");
    std::fs::write(&passwords, "").unwrap();
    for user in ["kylavesi/gw-7", "kylavesi/gw-8", "homeassistant"] {
        let mut command = Command::new("mosquitto_passwd");
        assert!(command.arg("-b").arg(&passwords).args([user, PASSWORD]).status().unwrap().success());
    }
    Broker::start(
        folder,
        "listener @PORT@ 127.0.0.1\nallow_anonymous false\npassword_file @DIR@/passwords\nacl_file @DIR@/acl\n",
    )
}

fn site(broker: &Broker, folder: &Path) -> Site {
    let password = folder.join("secret");
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Site::new(&format!(
        "port = {}\nacknowledge = \"broker\"\nuser = \"kylavesi/gw-7\"\npassword_file = \"{}\"\n[home_assistant]\n\
         enabled = true",
        broker.port,
        password.display()
    ))
}

/// Somebody at the broker. What comes is kept, newest last.
struct Client {
    client: AsyncClient,
    came: watch::Receiver<Vec<(String, Vec<u8>, bool)>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects, and is subscribed to everything.
    async fn open(broker: &Broker, user: &str) -> Self {
        let mut options =
            MqttOptions::new(format!("{user} {:?}", std::time::Instant::now()), ("127.0.0.1", broker.port));
        options.set_keep_alive(30).set_credentials(user, PASSWORD.as_bytes().to_vec());
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        let (news, came) = watch::channel(Vec::new());
        let (subscribed, mut ready) = watch::channel(false);
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await.unwrap() {
                    Event::Incoming(Incoming::Publish(publish)) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        let message = (topic, publish.payload.to_vec(), publish.retain);
                        news.send_modify(|came: &mut Vec<_>| came.push(message));
                    }
                    Event::Incoming(Incoming::SubAck(_)) => {
                        subscribed.send_replace(true);
                    }
                    _ => {}
                }
            }
        });
        let filters =
            ["vesi/#", "homeassistant/#"].map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        client.try_subscribe_many(filters).unwrap();
        ready.wait_for(|ready| *ready).await.unwrap();
        Self { client, came, task }
    }

    /// The newest message of a topic.
    async fn newest(&mut self, topic: &str, wanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, bool) {
        let find = |came: &Vec<(String, Vec<u8>, bool)>| {
            let found = came.iter().rev().find(|(of, payload, _)| of == topic && wanted(payload));
            found.map(|(_, payload, retained)| (payload.clone(), *retained))
        };
        let came = self.came.wait_for(|came| find(came).is_some());
        let came = tokio::time::timeout(Duration::from_secs(60), came).await;
        find(&came.unwrap_or_else(|_| panic!("{topic} never came")).unwrap()).unwrap()
    }

    /// Whether the broker lets it publish there.
    async fn may_publish(&self, topic: &str) -> bool {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let notice = self.client.publish_tracked(topic, "{}", options).await.unwrap();
        match notice.wait_async().await.unwrap() {
            rumqttc::PublishResult::Qos1(ack) => ack.reason != rumqttc::PubAckReason::NotAuthorized,
            other => panic!("{other:?}"),
        }
    }

    fn topics(&self) -> Vec<String> {
        self.came.borrow().iter().map(|(topic, ..)| topic.clone()).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn row(hour: i64, volume: &str, leak: bool) -> Record {
    let boundary = Hour::exact(Time::from_unix(NOW - NOW % 3600 + hour * 3600).unwrap()).unwrap();
    let mut row = HourRow::new(meter(), boundary, Checked::Checksum);
    row.registers.insert(Role::Volume, Register { value: volume.parse().unwrap(), offset: -7 });
    if leak {
        row.codes.insert(Code::Leak);
    }
    Record::Hour(Box::new(row))
}

fn values(payload: &[u8]) -> Values {
    serde_json::from_slice(payload).unwrap()
}

#[test]
fn home_assistant_sees_announcements_and_the_newest_values() {
    with_mosquitto(async {
        let folder = tempfile::tempdir().unwrap();
        let broker = home(folder.path());
        let mut site = site(&broker, folder.path());
        let mut assistant = Client::open(&broker, "homeassistant").await;
        site.store(Stream::Readings, row(0, "123.456 m3", false));
        let running = site.start();
        let (announced, _) = assistant.newest(VOLUME, |_| true).await;
        let announced: serde_json::Value = serde_json::from_slice(&announced).unwrap();
        assert_eq!(announced["state_topic"], VALUES);
        assert_eq!(announced["unit_of_measurement"], "m³");
        assert_eq!(announced["availability_topic"], "vesi/1/kylavesi/gw-7/state");
        let (first, _) = assistant.newest(VALUES, |_| true).await;
        assert_eq!(values(&first).registers[&Role::Volume].to_string(), "123.456");
        assert!(values(&first).codes.is_empty());

        site.store(Stream::Readings, row(1, "123.500 m3", true));
        let newer = |payload: &[u8]| values(payload).codes.contains(&Code::Leak);
        let (second, _) = assistant.newest(VALUES, newer).await;
        assert_eq!(values(&second).registers[&Role::Volume].to_string(), "123.500");

        // Whoever comes later finds all of it: it is retained. Batches and the status are not for Home Assistant.
        let mut late = Client::open(&broker, "homeassistant").await;
        for topic in [VOLUME, LEAK, VALUES, "vesi/1/kylavesi/gw-7/state"] {
            let (_, retained) = late.newest(topic, |_| true).await;
            assert!(retained, "{topic}");
        }
        let seen = [assistant.topics(), late.topics()].concat();
        let allowed = |topic: &str| {
            topic.starts_with("homeassistant/") || topic.ends_with("/state") || topic.ends_with(METER)
        };
        assert!(seen.iter().all(|topic| allowed(topic)), "{seen:?}");
        assert!(running.until(|status| status.connected).await.error.is_none());
        running.stop().await;
    });
}

#[test]
fn neither_home_assistant_nor_another_gateway_may_speak_for_a_gateway() {
    with_mosquitto(async {
        let folder = tempfile::tempdir().unwrap();
        let broker = home(folder.path());
        let assistant = Client::open(&broker, "homeassistant").await;
        let ours = Client::open(&broker, "kylavesi/gw-7").await;
        let other = Client::open(&broker, "kylavesi/gw-8").await;
        let of = |leaf: &str| format!("vesi/1/kylavesi/gw-7/{leaf}");
        for leaf in ["uplink", "state", "status", "config", "ack/readings", "meter/KAM.76348799.1B.16"] {
            assert!(!assistant.may_publish(&of(leaf)).await, "Home Assistant: {leaf}");
            assert!(!other.may_publish(&of(leaf)).await, "another gateway: {leaf}");
            assert_eq!(
                ours.may_publish(&of(leaf)).await,
                !leaf.starts_with(['c', 'a']),
                "the gateway: {leaf}"
            );
        }
        for topic in [VOLUME, LEAK] {
            assert!(!other.may_publish(topic).await, "another gateway: {topic}");
            assert!(ours.may_publish(topic).await, "the gateway: {topic}");
        }
        assert!(!ours.may_publish("homeassistant/sensor/x/y/state").await);
        assert!(!ours.may_publish("homeassistant/switch/x/y/config").await);
        // The other gateway hears nothing of all that; the broker has delivered it by the time it answers.
        assert!(other.may_publish("vesi/1/kylavesi/gw-8/status").await);
        assert!(other.topics().is_empty(), "{:?}", other.topics());
    });
}
