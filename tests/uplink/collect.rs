//! The receiving half, as far as the uplink asks it: how it is, and what waits in its memory.

use std::sync::{Arc, Mutex};

use messages::batch::{Body, Epoch, Nonce, Record, Seq, Stream};
use messages::seal::{PublicKey, SecretKey};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use vesigate::halves::control::{Answer, listen};
use vesigate::halves::questions::{ByDeliver, InMemory};
use vesigate::health::status::CollectStatus;

use crate::site::Site;

pub struct Collect {
    memory: Arc<Mutex<Vec<InMemory>>>,
    asked: watch::Receiver<u64>,
    _stop: DropGuard,
}

impl Collect {
    /// Listens where the gateway's uplink asks.
    pub fn listen(site: &Site) -> Self {
        let stop = CancellationToken::new();
        let path = site.between().join("deliver.sock");
        let mut questions = listen::<ByDeliver>(&path, stop.clone()).unwrap();
        let memory = Arc::new(Mutex::new(Vec::new()));
        let (count, asked) = watch::channel(0);
        let (blocks, status) = (memory.clone(), status(site));
        tokio::spawn(async move {
            while let Some((question, answer)) = questions.recv().await {
                let _ = answer.send(match question {
                    ByDeliver::Status => Answer::of(&status),
                    ByDeliver::InMemory => {
                        let blocks = Answer::of(&*blocks.lock().unwrap());
                        count.send_modify(|count| *count += 1);
                        blocks
                    }
                    _ => Answer::Refused("not here".to_owned()),
                });
            }
        });
        Self { memory, asked, _stop: stop.drop_guard() }
    }

    /// The disk cannot be written: a block waits in memory.
    pub fn keep(&self, stream: Stream, epoch: Epoch, seq: u64, record: Record) -> Body {
        let body = Body::encode(&[record]).unwrap();
        let block = InMemory {
            stream,
            epoch,
            seq: Seq::new(seq),
            nonce: Nonce::from_random(seq),
            deflated: body.content_type == messages::batch::ContentType::Deflated,
            body: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &body.bytes),
        };
        self.memory.lock().unwrap().push(block);
        body
    }

    /// The disk can be written again: nothing waits.
    pub fn stores_it(&self) {
        self.memory.lock().unwrap().clear();
    }

    /// Waits until it is asked what waits.
    pub async fn is_asked(&mut self) {
        self.asked.mark_unchanged();
        self.asked.changed().await.unwrap();
    }
}

pub fn key() -> PublicKey {
    SecretKey::from_bytes([11; 32]).public()
}

fn status(site: &Site) -> CollectStatus {
    let streams: serde_json::Map<_, _> = [Stream::Readings, Stream::Events]
        .map(|stream| {
            let head = site.collect.head(stream).unwrap();
            let kept = serde_json::json!({
                "epoch": site.collect.epoch(), "head": head, "acknowledged": 0, "blocks": 10, "bytes": 1000,
                "in_memory": 0, "lost": 3,
            });
            (stream.to_string(), kept)
        })
        .into_iter()
        .collect();
    let status = serde_json::json!({
        "version": "0.1.0", "uptime_s": 12, "at": null,
        "clock": {"trust": "trusted", "synchronised": "2026-11-25T08:00:00Z", "unplaced": 4},
        "receivers": [
            {"name": "cellar", "protocol": "im871a", "firmware": "1.3", "state": "receiving", "frames": 77, "garbage": 1},
            {"name": "roof", "protocol": "im871a", "state": "gone"},
        ],
        "streams": streams,
        "disk": {"state": "writable", "used": 20_971_520, "budget": 209_715_200, "free": 12_884_901_888_u64},
        "collect_key": key(),
        "meters": {"expected": 0, "keys": 0, "heard": 0, "opened": 0, "no_key": 0, "wrong_key": 0, "silent": 0,
            "foreign": 0, "sealed": 0},
        "telegrams": {"heard": 0, "accepted": 0, "duplicates": 0, "foreign": 0, "installation": 0, "refused": {},
            "dropped": 0},
        "episodes": 0, "rows": 0, "never_placed": 5, "refusing": [], "problems": [], "problems_begun": {},
    });
    serde_json::from_value(status).unwrap()
}
