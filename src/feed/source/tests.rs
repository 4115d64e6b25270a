//! The promises of watching over a source.

use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::FeedFormat;

/// Something attended to, by a clock that stands still unless everybody waits.
struct Bench {
    to: DuplexStream,
    heard: mpsc::Receiver<Heard>,
    report: watch::Receiver<Report>,
    task: JoinHandle<(Attendant, End)>,
}

fn attendant(
    source: FeedSource,
    silent_after: Option<Duration>,
    room: usize,
) -> (Attendant, mpsc::Receiver<Heard>) {
    let (sender, heard) = mpsc::channel(room);
    let (report, _) = watch::channel(Report::default());
    let feed = Feed { name: "roof".parse().unwrap(), source, format: FeedFormat::RtlWmbus, silent_after };
    let mut quiet = Quiet::new();
    if let Some(limit) = silent_after {
        quiet.limit(limit);
    }
    let decoder = Decoder::new(feed.format);
    let stop = CancellationToken::new();
    let last_words = String::new();
    let attendant = Attendant {
        feed,
        decoder,
        heard: sender,
        report,
        stop,
        quiet,
        in_vain: 0,
        full: false,
        last_words,
        told: None,
    };
    (attendant, heard)
}

fn attend(mut attendant: Attendant, heard: mpsc::Receiver<Heard>) -> Bench {
    let (to, mut from) = duplex(64 * 1024);
    let report = attendant.report.subscribe();
    let task = tokio::spawn(async move {
        let end = attendant.attend(&mut from, None).await;
        (attendant, end)
    });
    Bench { to, heard, report, task }
}

fn chain() -> FeedSource {
    FeedSource::Command("true".to_owned())
}

fn line(number: u8) -> String {
    format!("T1;1;1;t;1;2;00000000;0x09{number:02x}2233445566778899\n")
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_quiet_is_begun_anew_ever_more_seldom_until_something_comes() {
    let (mut attendant, heard) = attendant(chain(), None, 8);
    let mut bench = attend(attendant, heard);
    let mut waited = Vec::new();
    for _ in 0..7 {
        let end;
        (attendant, end) = bench.task.await.unwrap();
        let End::Quiet(patience) = end else { panic!("{end:?}") };
        waited.push(patience.as_secs() / 60);
        bench = attend(attendant, bench.heard);
    }
    assert_eq!(waited, [15, 30, 60, 120, 240, 240, 240]);
    // Text, too, shows that the chain lives.
    bench.to.write_all(b"Found 1 device(s):\n").await.unwrap();
    let (_, end) = bench.task.await.unwrap();
    assert!(matches!(end, End::Quiet(patience) if patience == Duration::from_secs(15 * 60)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_site_with_one_weak_meter_is_left_alone_once_its_pace_is_known() {
    let (attendant, heard) = attendant(chain(), None, 200);
    let mut bench = attend(attendant, heard);
    let mut begun_anew = Vec::new();
    for telegram in 0..100 {
        tokio::time::sleep(Duration::from_secs(20 * 60)).await;
        if bench.task.is_finished() {
            let (attendant, end) = bench.task.await.unwrap();
            assert!(matches!(end, End::Quiet(_)), "{end:?}");
            begun_anew.push(telegram);
            bench = attend(attendant, bench.heard);
        }
        bench.to.write_all(line(telegram).as_bytes()).await.unwrap();
        assert!(bench.heard.recv().await.is_some());
    }
    assert!(begun_anew.iter().all(|telegram| *telegram <= 10), "{begun_anew:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_the_site_may_be_less_patient_and_standard_input_is_waited_for() {
    let limit = Duration::from_secs(300);
    let (attendant_, heard) = attendant(chain(), Some(limit), 8);
    let (_, end) = attend(attendant_, heard).task.await.unwrap();
    assert!(matches!(end, End::Quiet(patience) if patience == limit), "{end:?}");

    let (attendant, heard) = attendant(FeedSource::Input, Some(limit), 8);
    let mut bench = attend(attendant, heard);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    bench.to.write_all(line(1).as_bytes()).await.unwrap();
    assert!(bench.heard.recv().await.is_some());
    drop(bench.to);
    assert!(matches!(bench.task.await.unwrap().1, End::Ended(None)));
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_dropped_and_counted() {
    let (attendant, heard) = attendant(chain(), None, 2);
    let mut bench = attend(attendant, heard);
    let lines: String = (0..10).map(line).collect();
    bench.to.write_all(lines.as_bytes()).await.unwrap();
    bench.report.wait_for(|report| report.dropped == 8 && report.counts.good == 10).await.unwrap();
    for number in [0, 1] {
        assert_eq!(bench.heard.recv().await.unwrap().bytes[1], number);
    }
    bench.to.write_all(line(11).as_bytes()).await.unwrap();
    assert_eq!(bench.heard.recv().await.unwrap().bytes[1], 11);
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_to_standard_input_waits_and_nothing_is_dropped() {
    let (attendant, heard) = attendant(FeedSource::Input, None, 2);
    let mut bench = attend(attendant, heard);
    let lines: String = (0..100).map(line).collect();
    bench.to.write_all(lines.as_bytes()).await.unwrap();
    drop(bench.to);
    for number in 0..100 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.heard.recv().await.unwrap().bytes[1], number);
    }
    assert_eq!(bench.report.borrow().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_says_that_it_ends_is_believed() {
    let (attendant, heard) = attendant(chain(), None, 2);
    let mut bench = attend(attendant, heard);
    bench.to.write_all((line(1) + "rtl_wmbus: exiting\n").as_bytes()).await.unwrap();
    assert!(matches!(bench.task.await.unwrap().1, End::Ended(None)));
    assert!(bench.heard.recv().await.is_some());
}
