use messages::Hour;
use messages::batch::{Body, Record, Seq, Stream};
use messages::reading::{Checked, HourRow};

use super::super::tests::{START, half};
use super::*;
use crate::store::{CollectReader, Commit, NewBlock, nonce};

fn span() -> Span {
    let time = |hour: i64| Time::from_unix(START + hour * 3600).unwrap();
    ("KAM.11111111.1B.16".parse().unwrap(), time(0), time(10))
}

fn commit(hour: i64) -> Commit {
    let boundary = Hour::exact(Time::from_unix(START + hour * 3600).unwrap()).unwrap();
    let row = Record::Hour(Box::new(HourRow::new(span().0, boundary, Checked::Checksum)));
    let body = Body::encode(&[row]).unwrap();
    let block = NewBlock { stream: Stream::Readings, nonce: nonce(), records: 1, body };
    Commit { blocks: vec![block], ..Commit::default() }
}

/// Holds up the store's thread until it is released.
async fn hold_up(half: &Half) -> std::sync::mpsc::Sender<()> {
    let (release, released) = std::sync::mpsc::channel();
    tokio::select! {
        biased;
        _ = half.writer.ask(move |_| released.recv()) => panic!("not held up"),
        () = tokio::task::yield_now() => release,
    }
}

#[tokio::test]
async fn receiving_goes_on_while_a_span_is_erased_and_what_is_heard_of_it_meanwhile_does_not_survive() {
    let folder = tempfile::tempdir().unwrap();
    let mut half = half(folder.path()).await;
    half.writer.submit(commit(1)).await.unwrap();
    let release = hold_up(&half).await;
    let (to, mut answered) = oneshot::channel();
    half.erase(span(), to).await;
    let (to, mut another) = oneshot::channel();
    half.erase(span(), to).await;
    half.writer.submit(commit(2)).await.unwrap();
    assert!(answered.try_recv().is_err(), "not yet");
    release.send(()).unwrap();
    let erased = half.erasures.next().await.unwrap();
    half.writer.submit(commit(3)).await.unwrap();
    half.erased(erased).await;
    assert_eq!(answered.try_recv(), Ok(Answer::of(&())));
    assert_eq!(another.try_recv(), Ok(Answer::of(&())));
    assert!(half.erasures.next().await.is_none(), "both waited for the same");
    assert!(half.writer.flush().await.unwrap());
    let reader = CollectReader::open(&half.config.gateway.collect_dir()).unwrap();
    let blocks = reader.blocks(Stream::Readings, Seq::NONE, 9).unwrap();
    assert_eq!(blocks.iter().map(|block| block.records).collect::<Vec<_>>(), [0, 0, 0]);
}

#[tokio::test]
async fn whoever_asks_again_after_having_given_up_is_told_that_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut half = half(folder.path()).await;
    let (to, gave_up) = oneshot::channel();
    half.erase(span(), to).await;
    drop(gave_up);
    let erased = half.erasures.next().await.unwrap();
    half.erased(erased).await;
    let (to, mut answered) = oneshot::channel();
    half.erase(span(), to).await;
    assert_eq!(answered.try_recv(), Ok(Answer::of(&())));
    // Told once: the next question begins anew.
    let (to, mut answered) = oneshot::channel();
    half.erase(span(), to).await;
    assert!(answered.try_recv().is_err());
    let erased = half.erasures.next().await.unwrap();
    half.erased(erased).await;
    assert_eq!(answered.try_recv(), Ok(Answer::of(&())));
}
