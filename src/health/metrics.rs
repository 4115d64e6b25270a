//! Metrics in Prometheus' text format, made from the status when somebody asks.

use std::io;
use std::path::Path;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::status::{CollectStatus, DeliverStatus, FeedStatus};

type Labels = Vec<(&'static str, String)>;

/// A page of metrics being written. All are gauges: the counters behind them live elsewhere.
struct Page(Registry);

impl Page {
    fn new() -> Self {
        Self(Registry::with_prefix("vesigate"))
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, [(Labels::new(), value)]);
    }

    fn by<K: ToString>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (K, u64)>,
    ) {
        self.family(
            name,
            help,
            values.into_iter().map(|(key, value)| (vec![(label, key.to_string())], value)),
        );
    }

    fn family(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.0.register(name, help, family);
    }

    fn finish(self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0);
        text
    }
}

/// The receiving half's metrics.
#[must_use]
pub fn of_collect(status: &CollectStatus) -> String {
    let mut page = Page::new();
    let (telegrams, meters) = (&status.telegrams, &status.meters);
    page.one("uptime_seconds", "Since the start of the program", status.uptime_s);
    page.one("clock_trusted", "1 if readings can be dated", u64::from(status.at.is_some()));
    page.by(
        "telegrams",
        "Telegrams since the start, by outcome",
        "outcome",
        [
            ("heard", telegrams.heard),
            ("accepted", telegrams.accepted),
            ("duplicate", telegrams.duplicates),
            ("foreign", telegrams.foreign),
            ("installation", telegrams.installation),
            ("dropped", telegrams.dropped),
        ],
    );
    page.by(
        "refused",
        "Telegrams refused since the start",
        "reason",
        telegrams.refused.iter().map(|(k, v)| (k, *v)),
    );
    page.by(
        "meters",
        "Meters, by standing",
        "standing",
        [
            ("expected", meters.expected),
            ("heard", meters.heard),
            ("opened", meters.opened),
            ("no_key", meters.no_key),
            ("wrong_key", meters.wrong_key),
            ("silent", meters.silent),
            ("foreign", meters.foreign),
        ],
    );
    page.one("hour_rows", "Hour rows written since the start", status.rows);
    page.one("episodes", "Running episodes", status.episodes);
    page.one("sealed_frames", "Frames that wait for a key", meters.sealed);
    page.one("unplaced_readings", "Readings that wait for a trusted clock", status.clock.unplaced);
    let streams = || status.streams.iter();
    page.by("stream_head", "Newest block", "stream", streams().map(|(k, v)| (k, v.head.number())));
    page.by(
        "stream_acknowledged",
        "Acknowledged block",
        "stream",
        streams().map(|(k, v)| (k, v.acknowledged.number())),
    );
    page.by("stream_bytes", "Bytes kept", "stream", streams().map(|(k, v)| (k, v.bytes)));
    page.by("stream_lost", "Blocks given up unacknowledged", "stream", streams().map(|(k, v)| (k, v.lost)));
    page.by(
        "stream_in_memory",
        "Blocks that wait in memory",
        "stream",
        streams().map(|(k, v)| (k, v.in_memory)),
    );
    page.one("disk_used_bytes", "Bytes that the files take", status.disk.used);
    page.one("disk_free_bytes", "Bytes free on the file system", status.disk.free);
    let receivers = || status.receivers.iter();
    page.by(
        "receiver_frames",
        "Frames since the start",
        "receiver",
        receivers().map(|r| (&r.name, r.frames)),
    );
    page.by("receiver_garbage_bytes", "Bytes skipped", "receiver", receivers().map(|r| (&r.name, r.garbage)));
    let works =
        |r: &messages::status::Receiver| u64::from(r.state == messages::status::ReceiverState::Receiving);
    page.by("receiver_works", "1 if it receives", "receiver", receivers().map(|r| (&r.name, works(r))));
    feeds(&mut page, &status.feeds);
    problems(&mut page, &status.problems_begun, status.problems.len());
    page.finish()
}

fn feeds(page: &mut Page, feeds: &[FeedStatus]) {
    let values = feeds.iter().flat_map(|feed| {
        let counts = &feed.counts;
        let outcomes = [
            ("good", counts.good),
            ("again", counts.again),
            ("mended", counts.mended),
            ("bad_crc", counts.bad_crc),
            ("bad_coding", counts.bad_coding),
            ("malformed", counts.malformed),
            ("text", counts.log_lines),
            ("dropped", feed.dropped),
        ];
        outcomes.map(|(outcome, count)| {
            (vec![("feed", feed.name.clone()), ("outcome", outcome.to_owned())], count)
        })
    });
    page.family("feed_telegrams", "What came from a feed since its feeder was started", values);
    page.by(
        "feed_restarts",
        "Times its source was started again",
        "feed",
        feeds.iter().map(|f| (&f.name, f.restarts)),
    );
}

/// The delivering half's metrics.
#[must_use]
pub fn of_deliver(status: &DeliverStatus) -> String {
    let mut page = Page::new();
    page.one("deliver_uptime_seconds", "Since the start of the program", status.uptime_s);
    if let Some(uplink) = &status.uplink {
        page.one("uplink_connected", "1 if the broker's line is up", u64::from(uplink.connected));
        page.one("uplink_connections", "Connections made since the start", uplink.connections);
        page.one("uplink_parked", "Batches parked", u64::try_from(uplink.parked.len()).unwrap_or(u64::MAX));
        let streams = || uplink.streams.iter();
        page.by("uplink_head", "Newest block", "stream", streams().map(|(k, v)| (k, v.head.number())));
        page.by(
            "uplink_acknowledged",
            "What the portal has",
            "stream",
            streams().map(|(k, v)| (k, v.acknowledged.number())),
        );
        page.by("uplink_sent", "Batches sent since the start", "stream", streams().map(|(k, v)| (k, v.sent)));
    }
    if let Some(mail) = &status.mail {
        page.by(
            "mails",
            "Mails, by state",
            "state",
            [
                ("queued", mail.queued),
                ("sent", mail.sent),
                ("refused", mail.refused),
                ("given_up", mail.given_up),
            ],
        );
        page.one("alarms", "Alarms that run", mail.alarms);
    }
    problems(&mut page, &status.problems_begun, status.problems.len());
    page.finish()
}

fn problems(page: &mut Page, begun: &std::collections::BTreeMap<String, u64>, running: usize) {
    page.by("problems_begun", "Problems since the start", "problem", begun.iter().map(|(k, v)| (k, *v)));
    page.one("problems_running", "Problems that run", u64::try_from(running).unwrap_or(u64::MAX));
}

/// Answers one scrape (HTTP/1.1, then closes). `page` is made only when somebody asks.
///
/// # Errors
/// Those of the connection.
pub async fn answer<S>(mut stream: S, page: impl Future<Output = String>) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = [0; 4096];
    // Whatever is asked, there is one page. A caller that says nothing is given up by the caller of this.
    let _ = stream.read(&mut request).await?;
    let page = page.await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

/// Where a half's metrics are to be had.
#[must_use]
pub fn socket(half: &Path) -> std::path::PathBuf {
    half.join("metrics.sock")
}
