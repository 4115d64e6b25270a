//! One feeder's line, from its greeting to its end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, info};

use super::table::{Seat, Table};
use crate::feed::wire::{self, Ears, Refusal, ToCollect, ToFeeder};
use crate::receiver::{LinkCrcs, RawFrame};

/// How long a greeting may take, and a goodbye.
const PATIENCE: Duration = Duration::from_secs(10);
/// A feeder that says nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(60);
/// No radio brings telegrams faster: the shortest takes some milliseconds on the air.
const SHORTEST: Duration = Duration::from_millis(4);
/// So much faster than that it may be for a moment, since pipes gather what they carry.
const BURST: Duration = Duration::from_secs(1);

/// Attends to a caller until it goes, or has to go.
pub(super) async fn attend(stream: UnixStream, table: &Table, telegrams: &mpsc::Sender<(u8, RawFrame)>) {
    let (read, mut write) = stream.into_split();
    let mut line = Line { read, ears: Ears::new(), buffer: [0; 1024], said: Vec::new() };
    let hello = timeout(PATIENCE, line.next()).await;
    let seated = match hello {
        Ok(Some(Some(ToCollect::Hello(name)))) => table.seat(&name),
        Ok(Some(_)) => Err(Refusal::NotUnderstood),
        // It says nothing, or is gone already.
        Ok(None) | Err(_) => return,
    };
    let (answer, seat) = match seated {
        Ok(seat) => (ToFeeder::Welcome(seat.feed().clone()), Some(seat)),
        Err(why) => (ToFeeder::Refused(why), None),
    };
    let greeted = say(&mut write, &answer).await;
    let Some(seat) = seat.filter(|_| greeted) else { return };
    let name = seat.feed().name.clone();
    info!(feed = %name, "feed {name}: its feeder is connected");
    let why = listen(&mut line, &seat, telegrams).await;
    drop(seat);
    match why {
        Some(why) => {
            info!(feed = %name, "feed {name}: its feeder is sent away: {why}");
            say(&mut write, &ToFeeder::Closed(why)).await;
        }
        None => info!(feed = %name, "feed {name}: its feeder has gone"),
    }
}

async fn say(write: &mut OwnedWriteHalf, what: &ToFeeder) -> bool {
    let Ok(bytes) = wire::line(what) else { return false };
    matches!(timeout(PATIENCE, write.write_all(&bytes)).await, Ok(Ok(())))
}

/// Takes what it says. Gives why it has to go; `None` if it went.
async fn listen(line: &mut Line, seat: &Seat, telegrams: &mpsc::Sender<(u8, RawFrame)>) -> Option<String> {
    let mut due = now();
    loop {
        let said = tokio::select! {
            biased;
            why = seat.has_to_go() => return Some(why),
            said = line.next() => said?,
            // It reports each ten seconds: one that hangs must not keep the place of one that works.
            () = tokio::time::sleep(HANGS) => return Some("nothing came from its feeder for a minute".to_owned()),
        };
        match said {
            Some(ToCollect::Telegram { hex, mode }) => {
                let Some(bytes) = wire::frame(&hex) else {
                    return Some("a telegram's length byte does not agree with its bytes".to_owned());
                };
                let at = now();
                seat.heard(at);
                due = due.max(at) + SHORTEST;
                let frame = RawFrame {
                    bytes,
                    crcs: LinkCrcs::Removed,
                    link_mode: mode,
                    rssi_dbm: None,
                    heard_at: at,
                };
                let hand_on = async {
                    let sent = telegrams.send((seat.number(), frame)).await;
                    tokio::time::sleep(due.saturating_duration_since(at).saturating_sub(BURST)).await;
                    sent
                };
                tokio::select! {
                    biased;
                    sent = hand_on => if sent.is_err() {
                        return Some("the gateway is stopping".to_owned());
                    },
                    why = seat.has_to_go() => return Some(why),
                }
            }
            Some(ToCollect::Report(report)) => seat.report(report, now()),
            Some(ToCollect::Hello(_)) | None => {
                debug!(feed = %seat.feed().name, "a line that says nothing");
                return Some(Refusal::NotUnderstood.to_string());
            }
        }
    }
}

/// What a feeder says, one thing after the other.
struct Line {
    read: OwnedReadHalf,
    ears: Ears,
    buffer: [u8; 1024],
    /// Whole already; the next one is the last.
    said: Vec<Option<ToCollect>>,
}

impl Line {
    /// What it says next, `Some(None)` for what is not understood; `None` once it is gone. Safe to cancel.
    async fn next(&mut self) -> Option<Option<ToCollect>> {
        loop {
            if let Some(said) = self.said.pop() {
                return Some(said);
            }
            let count = self.read.read(&mut self.buffer).await.ok().filter(|count| *count > 0)?;
            let said = &mut self.said;
            self.ears.take(self.buffer.get(..count).unwrap_or_default(), |next| said.push(next));
            said.reverse();
        }
    }
}

/// Time as those who look after silence have it: tokio's, so that tests can hold it still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Feed, FeedFormat, FeedSource};
    use crate::feed::wire::{Report, SourceState};
    use crate::receiver::LinkMode;
    use crate::world::{Clock, Uptime};

    fn table() -> Table {
        let source = FeedSource::Command("true".to_owned());
        let feed =
            Feed { name: "roof".parse().unwrap(), source, format: FeedFormat::Hex, silent_after: None };
        let table = Table::default();
        table.apply(&[feed], Uptime::default());
        table
    }

    fn line(said: &ToCollect) -> Vec<u8> {
        wire::line(said).unwrap()
    }

    fn hello() -> Vec<u8> {
        line(&ToCollect::Hello("roof".parse().unwrap()))
    }

    fn telegram(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut bytes = vec![255, high, low];
        bytes.resize(256, 7);
        line(&wire::telegram(&bytes, Some(LinkMode::T1)))
    }

    /// What collect answers to this, until it ends the line.
    async fn answers(table: &Table, said: &[u8]) -> Vec<ToFeeder> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (telegrams, _frames) = mpsc::channel(8);
        let attended = attend(theirs, table, &telegrams);
        let talk = async {
            let (mut read, mut write) = ours.into_split();
            let _ = write.write_all(said).await;
            drop(write);
            let mut answer = Vec::new();
            let _ = read.read_to_end(&mut answer).await;
            answer
        };
        let ((), answer) = tokio::join!(attended, talk);
        let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_feeder_is_told_what_to_do_and_what_it_says_of_itself_is_kept() {
        let table = table();
        let report = Report { state: SourceState::Running, restarts: 3, ..Report::default() };
        let said = [hello(), telegram(1), line(&ToCollect::Report(report))].concat();
        let told = answers(&table, &said).await;
        assert!(matches!(&told[..], [ToFeeder::Welcome(feed)] if feed.name.as_str() == "roof"), "{told:?}");
        let [status] = &table.status()[..] else { panic!() };
        assert_eq!((status.restarts, status.connected), (3, false));
        assert_eq!(table.told(&Clock::manual(0), |_| None)[0].frames, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_feeder_that_hangs_loses_its_place() {
        let table = table();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (telegrams, _frames) = mpsc::channel(8);
        ours.write_all(&hello()).await.unwrap();
        let begun = tokio::time::Instant::now();
        attend(theirs, &table, &telegrams).await;
        assert!(begun.elapsed() >= HANGS);
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("nothing came from its feeder for a minute"), "{answer}");
        assert!(!table.status()[0].connected, "another one may come");
    }

    #[tokio::test]
    async fn rubbish_ends_the_line_with_a_sentence() {
        let table = table();
        for rubbish in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\n",
            &telegram(1),
            &[b'x'; 5000],
            &[[b'x'; 5000].as_slice(), b"\n"].concat(),
        ] {
            let told = answers(&table, rubbish).await;
            let fits = matches!(&told[..], [] | [ToFeeder::Refused(Refusal::NotUnderstood)]);
            assert!(fits, "{told:?}");
        }
        let short = b"{\"telegram\":{\"hex\":\"0A442D2C\"}}\n";
        for rubbish in [&b"{}\n"[..], short, &hello(), b"{\"report\":1}\n"] {
            let told = answers(&table, &[&hello(), rubbish].concat()).await;
            assert!(matches!(&told[..], [ToFeeder::Welcome(_), ToFeeder::Closed(_)]), "{told:?}");
        }
        assert!(!table.status()[0].connected, "the place is free again");
    }

    #[tokio::test]
    async fn a_feeder_waits_while_the_collector_is_busy_and_nothing_is_lost_nor_gathered() {
        let (table, (ours, theirs)) = (table(), UnixStream::pair().unwrap());
        let (telegrams, mut frames) = mpsc::channel(2);
        let attended = tokio::spawn(async move { attend(theirs, &table, &telegrams).await });
        let (mut read, mut write) = ours.into_split();
        write.write_all(&hello()).await.unwrap();
        let mut answer = [0; 512];
        assert!(read.read(&mut answer).await.unwrap() > 0);
        // The system's buffer is all that takes them while nobody reads.
        let mut handed = 0u16;
        let mut stuck = false;
        while !stuck {
            let line = telegram(handed);
            let sent = timeout(Duration::from_millis(200), write.write_all(&line));
            stuck = sent.await.is_err();
            handed += u16::from(!stuck);
            assert!(handed < 5000, "it takes whatever comes");
        }
        drop(write);
        for number in 0..handed {
            let (receiver, frame) = frames.recv().await.unwrap();
            assert_eq!((receiver, &frame.bytes[1..3]), (8, &number.to_be_bytes()[..]));
        }
        attended.await.unwrap();
    }
}
