//! The promises of the alarm side, over a real store.

mod properties;
mod reader;
mod requests;
mod told;

use std::path::Path;
use std::sync::Arc;

use messages::batch::{Body, Nonce, Record};
use messages::config::{Delivery, GatewayConfig, MeterConfig};
use messages::event::{Episode, Standing};
use messages::mail::{MailKind, MailOutcome, MailReport};
use messages::reading::Code;
use messages::seal::SecretKey;
use messages::{Id, MeterId, Other, Time};

use super::send::{Outcome, Trouble, TroubleKind};
use super::*;

const METER: &str = "KAM.76348799.1B.16";

/// Seconds after an hour in November 2026.
fn at(seconds: i64) -> Time {
    Time::from_unix(1_795_482_000 + seconds).unwrap()
}

fn secret() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

fn config(more: &str) -> Config {
    let text = format!(
        r#"
        [gateway]
        utility = "kylavesi"
        name = "gw-7"
        [mail]
        enabled = true
        server = "localhost"
        security = "none"
        from = "alarm@example.org"
        [[contact]]
        name = "on-call"
        email = "on-call@example.org"
        language = "en"
        {more}
        "#
    );
    Config::parse(Path::new("test.toml"), &text).unwrap()
}

/// Three hours of leak are an alarm, repeated twice each day; a burst at once.
fn ruled() -> Config {
    config("[alarm]\nleak = { after = \"3 h\", repeat_every = \"24 h\", repeat_up_to = 2 }")
}

/// A delivering half with its store.
struct Half {
    directory: tempfile::TempDir,
    store: DeliverStore,
    alarms: Alarms,
    config: Config,
}

impl Half {
    fn new(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DeliverStore::open(directory.path()).unwrap();
        let alarms = Alarms::new(&config, Arc::default(), secret());
        Self { directory, store, alarms, config }
    }

    /// As after a kill: all that is not stored is gone.
    fn restart(&mut self) {
        self.store = DeliverStore::open(self.directory.path()).unwrap();
        self.alarms = Alarms::new(&self.config, Arc::default(), secret());
    }

    fn hear(&mut self, episodes: &[Episode], now: Time) {
        let records: Vec<Record> = episodes.iter().cloned().map(Record::Episode).collect();
        let block = Block {
            seq: Seq::FIRST,
            nonce: Nonce::from_random(1),
            records: u32::try_from(records.len()).unwrap(),
            stored: None,
            body: Body::encode(&records).unwrap(),
        };
        self.alarms.take(&mut self.store, None, &[block], Some(now)).unwrap();
    }

    fn tick(&mut self, now: Time) {
        self.alarms.tick(&mut self.store, Some(now)).unwrap();
    }

    fn next(&mut self, now: Time) -> Option<Outgoing> {
        self.alarms.next(&mut self.store, None, Some(now)).unwrap()
    }

    fn done(&mut self, outgoing: &Outgoing, outcome: &Outcome, now: Time) {
        self.alarms.done(&mut self.store, &outgoing.message, outcome, now).unwrap();
    }

    /// Sends all that is due; gives the kinds and addresses.
    fn send_all(&mut self, now: Time) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(outgoing) = self.next(now) {
            sent.push(about(&outgoing));
            self.done(&outgoing, &SENT, now);
        }
        sent
    }

    fn records(&self) -> Vec<Record> {
        let blocks = self.store.blocks(Seq::new(0), 10_000).unwrap();
        blocks.iter().flat_map(|block| block.body.decode().unwrap()).map(Result::unwrap).collect()
    }

    fn reports(&self) -> Vec<(MailKind, MailOutcome, Option<u16>)> {
        let mails = self.records().into_iter().filter_map(|record| match record {
            Record::Mail(MailReport { kind, outcome, reply, .. }) => Some((kind, outcome, reply)),
            _ => None,
        });
        mails.collect()
    }

    /// The alarms raised: how many contacts each had.
    fn raised(&self) -> Vec<u32> {
        let alarms = self.records().into_iter().filter_map(|record| match record {
            Record::Alarm(alarm) => Some(alarm.contacts),
            _ => None,
        });
        alarms.collect()
    }

    /// The portal sends a document.
    fn document(&mut self, delivery: &str) {
        let version = self.store.documents().unwrap().first().map_or(1, |(_, version)| version + 1);
        let json = format!(r#"{{"meter":"{METER}","version":{version},{delivery}}}"#);
        let delivery: Delivery = serde_json::from_str(&json).unwrap();
        let sealed = MeterConfig::seal(&delivery, &secret().public(), [3; 32], None).unwrap();
        self.store.set_document(meter(), &sealed).unwrap();
        self.alarms.documents_changed();
    }

    fn portal(&mut self, config: &str) {
        let config: GatewayConfig = serde_json::from_str(config).unwrap();
        self.store.set_gateway_config(&config).unwrap();
        self.alarms.documents_changed();
    }
}

const SENT: Outcome = Outcome::Sent { reply: 250 };

fn later(reply: u16) -> Outcome {
    Outcome::Later(Trouble { kind: TroubleKind::Recipient, reply: Some(reply) })
}

fn refused() -> Outcome {
    Outcome::Refused(Trouble { kind: TroubleKind::Recipient, reply: Some(550) })
}

fn down() -> Outcome {
    Outcome::Server(Trouble { kind: TroubleKind::Unreachable, reply: None })
}

fn meter() -> MeterId {
    METER.parse().unwrap()
}

/// Kind and recipient.
fn about(outgoing: &Outgoing) -> String {
    let kind = outgoing.message.split(['.', '@']).nth(1).unwrap();
    let to: Vec<&str> = outgoing.mail.envelope.to().iter().map(AsRef::as_ref).collect();
    format!("{kind} {}", to.join(" "))
}

fn episode(id: u128, code: Code, started: i64, seen: i64, standing: Standing) -> Episode {
    Episode {
        id: Id::from_random(id),
        meter: meter(),
        code,
        started: Some(at(started)),
        seen: Some(at(seen)),
        lasted: u64::try_from(seen - started).unwrap(),
        standing,
        late: false,
        other: Other::default(),
    }
}

fn leak(seen: i64, standing: Standing) -> Episode {
    episode(1, Code::Leak, 0, seen, standing)
}

const CONTACT: &str = r#"{"id":"00000000000000000000000000000c01","email":"aino@example.fi","language":"sv",
    "codes":["leak","burst"],"kind":"customer","confirmed":true}"#;
const PORTAL: &str = r#"{"version":1,"meters":{"KAM.76348799.1B.16":1},"rules":{"leak":{"after_minutes":180}},
    "utility":{"name":"Kylän Vesi","time_zone":"Europe/Helsinki","language":"fi"}}"#;
