//! Which feeds there are, and who is connected to each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messages::Time;
use messages::status::{Receiver as Told, ReceiverState};
use tokio::sync::watch;

use super::super::receivers::Wrong;
use super::FIRST_NUMBER;
use crate::config::{Feed, FeedName};
use crate::feed::wire::{Refusal, Report, SourceState};
use crate::health::status::FeedStatus;
use crate::receiver::quiet::Quiet;
use crate::world::{Clock, Uptime};

/// A fault that is over so soon is not worth telling anybody; a service that is started again needs a while.
const PATIENCE: Duration = Duration::from_secs(20);

/// The feeds; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Arc<Mutex<Vec<Place>>>);

/// One feed.
#[derive(Debug)]
struct Place {
    number: u8,
    feed: Feed,
    /// The feeder that is connected.
    taken: Option<Taken>,
    /// How many have been.
    seats: u64,
    report: Report,
    frames: u64,
    quiet: Quiet,
    /// When a telegram came last.
    heard: Option<Instant>,
    /// Since when it listens, outages left out.
    listens: Option<Instant>,
    /// Since when its source does not run.
    failed: Option<Instant>,
    /// Since when it runs.
    running: Option<Instant>,
    /// Why it did not run, until a telegram comes or it has run for a while: one that ends as soon as it is started
    /// begins no new trouble each time.
    trouble: Option<String>,
    /// Whether it works, and since when.
    works: (bool, Uptime),
    /// That it does not is told.
    told: bool,
}

/// A feeder that is connected.
#[derive(Debug)]
struct Taken {
    /// Tells it from others before and after it.
    id: u64,
    /// It has to go when there is a reason.
    go: watch::Sender<Option<String>>,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// See [`super::Feeds::apply`].
    pub(super) fn apply(&self, configured: &[Feed], now: Uptime) -> Vec<u8> {
        let mut places = self.lock();
        let mut before = std::mem::take(&mut *places);
        for place in before.extract_if(.., |place| !configured.contains(&place.feed)) {
            place.send_away("its configuration has changed");
        }
        let mut new = Vec::new();
        for feed in configured {
            let place = match before.iter().position(|place| place.feed == *feed) {
                Some(at) => before.swap_remove(at),
                None => {
                    let taken = |number| places.iter().chain(&before).any(|place| place.number == number);
                    let number = (FIRST_NUMBER..u8::MAX).find(|number| !taken(*number)).unwrap_or(u8::MAX);
                    new.push(number);
                    Place::new(number, feed.clone(), now)
                }
            };
            places.push(place);
        }
        new
    }

    /// A feeder of this name has come.
    pub(super) fn seat(&self, name: &FeedName) -> Result<Seat, Refusal> {
        let mut places = self.lock();
        let known = || places.iter().map(|place| place.feed.name.to_string()).collect();
        let Some(at) = places.iter().position(|place| place.feed.name == *name) else {
            return Err(Refusal::Unknown(known()));
        };
        let Some(place) = places.get_mut(at) else { return Err(Refusal::NotUnderstood) };
        if place.taken.is_some() {
            return Err(Refusal::Taken);
        }
        let (sender, go) = watch::channel(None);
        place.seats = place.seats.wrapping_add(1);
        let id = place.seats;
        place.taken = Some(Taken { id, go: sender });
        place.report = Report::default();
        (place.running, place.trouble) = (None, None);
        place.quiet.interrupted();
        Ok(Seat { table: self.clone(), number: place.number, id, feed: place.feed.clone(), go })
    }

    /// Sends everybody away.
    pub(super) fn close_all(&self, why: &str) {
        for place in self.lock().drain(..) {
            place.send_away(why);
        }
    }

    pub(super) fn names(&self) -> Vec<(u8, String)> {
        self.lock().iter().map(|place| (place.number, place.feed.name.to_string())).collect()
    }

    pub(super) fn told(&self, clock: &Clock, at: impl Fn(Uptime) -> Option<Time>) -> Vec<Told> {
        let places = self.lock();
        let told = |place: &Place| Told {
            name: place.feed.name.to_string(),
            protocol: place.feed.format.word().to_owned(),
            firmware: None,
            state: place.state(),
            since: at(place.works.1),
            frames: place.frames,
            garbage: place.report.counts.garbage_bytes,
            heard: place.heard.and_then(|instant| at(clock.uptime_at(instant))),
        };
        places.iter().map(told).collect()
    }

    pub(super) fn status(&self) -> Vec<FeedStatus> {
        let status = |place: &Place| FeedStatus {
            name: place.feed.name.to_string(),
            connected: place.taken.is_some(),
            trouble: place.trouble.clone().filter(|_| place.taken.is_some()),
            restarts: place.report.restarts,
            dropped: place.report.dropped,
            counts: place.report.counts,
        };
        self.lock().iter().map(status).collect()
    }

    pub(super) fn wrong(&self, now: Uptime, instant: Instant, deaf: Option<&str>) -> Vec<Wrong> {
        self.lock().iter_mut().map(|place| place.wrong(now, instant, deaf)).collect()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().iter().map(|place| place.report.dropped).fold(0, u64::saturating_add)
    }

    /// Does something with the feed of a number, if that feeder still has it.
    fn with(&self, seat: &Seat, change: impl FnOnce(&mut Place)) {
        let mut places = self.lock();
        let own = |place: &&mut Place| {
            place.feed == seat.feed && place.taken.as_ref().is_some_and(|taken| taken.id == seat.id)
        };
        if let Some(place) = places.iter_mut().find(own) {
            change(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn new(number: u8, feed: Feed, now: Uptime) -> Self {
        let mut quiet = Quiet::new();
        if let Some(limit) = feed.silent_after {
            quiet.limit(limit);
        }
        Self {
            number,
            feed,
            taken: None,
            seats: 0,
            report: Report::default(),
            frames: 0,
            quiet,
            heard: None,
            listens: None,
            failed: None,
            running: None,
            trouble: None,
            works: (true, now),
            told: false,
        }
    }

    fn send_away(&self, why: &str) {
        if let Some(taken) = &self.taken {
            let _ = taken.go.send(Some(why.to_owned()));
        }
    }

    fn state(&self) -> ReceiverState {
        match (&self.taken, &self.report.state) {
            (None, _) => ReceiverState::Gone,
            (Some(_), SourceState::Starting) => ReceiverState::Starting,
            (Some(_), SourceState::Running) => ReceiverState::Receiving,
            (Some(_), SourceState::Failed(_)) => ReceiverState::Mute,
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        let state = match report.state {
            SourceState::Failed(text) => SourceState::Failed(plain(&text)),
            state => state,
        };
        match &state {
            SourceState::Running => {
                self.running.get_or_insert(now);
                // What nobody listened to says nothing about the meters.
                let away = self.failed.take().map(|since| now.saturating_duration_since(since));
                if self.listens.is_none() || away.is_some_and(|away| away >= PATIENCE) {
                    self.listens = Some(now);
                    self.quiet.interrupted();
                }
            }
            SourceState::Starting => {}
            SourceState::Failed(text) => {
                self.failed.get_or_insert(now);
                (self.running, self.trouble) = (None, Some(text.clone()));
            }
        }
        self.report = Report { state, ..report };
    }

    fn wrong(&mut self, now: Uptime, instant: Instant, deaf: Option<&str>) -> Wrong {
        let name = self.feed.name.to_string();
        if self.running.is_some_and(|since| instant.saturating_duration_since(since) >= PATIENCE) {
            self.trouble = None;
        }
        let fault = match (&self.taken, &self.trouble) {
            (None, _) => Some(deaf.map_or_else(
                || format!("feed {name}: its feeder is not connected: {}", self.feed.how_to_start()),
                str::to_owned,
            )),
            (Some(_), Some(text)) => Some(format!("feed {name}: {text}")),
            (Some(_), None) => None,
        };
        if self.works.0 != fault.is_none() {
            self.works = (fault.is_none(), now);
        }
        // While it runs again only what was told goes on: whether it is over shows after a while.
        let lasts = now.since(self.works.1) >= PATIENCE && (self.told || self.running.is_none());
        let gone = fault.filter(|_| lasts);
        self.told = gone.is_some();
        let since = self.heard.max(self.listens).filter(|_| gone.is_none() && self.taken.is_some());
        let silent = since.map(|since| instant.saturating_duration_since(since));
        let deaf = silent.filter(|silent| *silent >= self.quiet.deaf_after()).map(|silent| {
            let minutes = silent.as_secs() / 60;
            let long = if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) };
            format!(
                "feed {name} has heard no meter for {long}: check its antenna, and journalctl -u vesigate-feed@{name}"
            )
        });
        Wrong { name, gone, deaf }
    }
}

/// A feeder's place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    table: Table,
    number: u8,
    id: u64,
    feed: Feed,
    go: watch::Receiver<Option<String>>,
}

impl Seat {
    /// What the feeder has to do.
    pub(super) const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The feed's number among the receivers.
    pub(super) const fn number(&self) -> u8 {
        self.number
    }

    /// Until it has to go, and why. Safe to cancel.
    pub(super) async fn has_to_go(&self) -> String {
        let mut go = self.go.clone();
        let why = go.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_else(|| "its configuration has changed".to_owned())
    }

    /// A telegram has come.
    pub(super) fn heard(&self, now: Instant) {
        self.table.with(self, |place| {
            place.frames = place.frames.saturating_add(1);
            (place.heard, place.trouble) = (Some(now), None);
            place.quiet.heard(now);
        });
    }

    /// This is how its source is.
    pub(super) fn report(&self, report: Report, now: Instant) {
        self.table.with(self, |place| place.report(report, now));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.with(self, |place| {
            place.taken = None;
            place.failed = Some(place.failed.unwrap_or_else(|| tokio::time::Instant::now().into_std()));
        });
    }
}

/// What a feeder says of its source, as far as it may stand in a log: it is trusted with no more than telegrams.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(MOST_SAID).collect()
}

const MOST_SAID: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FeedFormat, FeedSource};

    fn feed(name: &str) -> Feed {
        let source = FeedSource::Command("true".to_owned());
        Feed { name: name.parse().unwrap(), source, format: FeedFormat::Hex, silent_after: None }
    }

    fn at(seconds: u64) -> Uptime {
        Uptime(Duration::from_secs(seconds))
    }

    fn table(feeds: &[Feed]) -> Table {
        let table = Table::default();
        table.apply(feeds, at(0));
        table
    }

    #[test]
    fn a_feed_has_one_feeder_at_a_time_and_strangers_are_told_which_feeds_there_are() {
        let table = table(&[feed("a"), feed("b")]);
        let seat = table.seat(&"a".parse().unwrap()).unwrap();
        assert_eq!(table.seat(&"a".parse().unwrap()).unwrap_err(), Refusal::Taken);
        let known = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(table.seat(&"c".parse().unwrap()).unwrap_err(), Refusal::Unknown(known));
        drop(seat);
        assert!(table.seat(&"a".parse().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_feeder_whose_feed_has_changed_has_to_go_and_the_others_stay() {
        let table = table(&[feed("a"), feed("b")]);
        let (a, b) = (table.seat(&"a".parse().unwrap()).unwrap(), table.seat(&"b".parse().unwrap()).unwrap());
        let changed = Feed { format: FeedFormat::Raw, ..feed("a") };
        assert_eq!(table.apply(&[changed.clone(), feed("b")], at(1)).len(), 1);
        assert_eq!(a.has_to_go().await, "its configuration has changed");
        let again = table.seat(&"a".parse().unwrap()).unwrap();
        assert_eq!(again.feed(), &changed);
        // What the one before says, or that it goes, is nothing to the new one.
        a.heard(Instant::now());
        drop(a);
        assert_eq!(table.seat(&"a".parse().unwrap()).unwrap_err(), Refusal::Taken);
        assert!(table.told(&Clock::manual(0), |_| None).iter().all(|told| told.frames == 0));
        assert_ne!(again.number(), b.number());
        assert!(b.go.borrow().is_none());
    }

    #[test]
    fn a_feed_without_a_feeder_or_without_a_source_is_told_after_a_while() {
        let (table, now) = (table(&[feed("a")]), Instant::now());
        let wrong = |seconds| table.wrong(at(seconds), now + Duration::from_secs(seconds), None).remove(0);
        assert_eq!(wrong(1).gone, None);
        assert!(wrong(22).gone.unwrap().contains("systemctl enable --now vesigate-feed@a"));
        let seat = table.seat(&"a".parse().unwrap()).unwrap();
        assert_eq!(wrong(23).gone, None);
        let failed = SourceState::Failed("the chain has\u{1b}[31m ended".to_owned());
        seat.report(Report { state: failed, ..Report::default() }, now + Duration::from_secs(24));
        assert_eq!(wrong(25).gone, None);
        assert_eq!(wrong(60).gone.as_deref(), Some("feed a: the chain has?[31m ended"));
        seat.report(
            Report { state: SourceState::Running, ..Report::default() },
            now + Duration::from_secs(61),
        );
        assert!(wrong(62).gone.is_some(), "it has not shown yet that it lasts");
        let over = wrong(82);
        assert_eq!((over.gone, over.deaf), (None, None));
    }

    #[test]
    fn a_source_that_is_back_at_once_is_no_trouble() {
        let (table, now) = (table(&[feed("a")]), Instant::now());
        let instant = |seconds| now + Duration::from_secs(seconds);
        let seat = table.seat(&"a".parse().unwrap()).unwrap();
        let say = |state, second| seat.report(Report { state, ..Report::default() }, instant(second));
        for start in (0..600).step_by(70) {
            say(SourceState::Running, start);
            for second in start + 1..start + 69 {
                assert_eq!(table.wrong(at(second), instant(second), None).remove(0).gone, None, "{second}");
            }
            say(SourceState::Failed("the chain has ended".to_owned()), start + 69);
            assert_eq!(table.wrong(at(start + 69), instant(start + 69), None).remove(0).gone, None);
        }
    }

    #[test]
    fn a_source_that_ends_as_soon_as_it_is_started_is_one_trouble() {
        let (table, now) = (table(&[feed("a")]), Instant::now());
        let instant = |seconds| now + Duration::from_secs(seconds);
        let seat = table.seat(&"a".parse().unwrap()).unwrap();
        let mut told = Vec::new();
        for minute in 0..10 {
            let start = 60 * minute;
            seat.report(Report { state: SourceState::Running, ..Report::default() }, instant(start));
            for second in start..start + 60 {
                told.push(table.wrong(at(second), instant(second), None).remove(0).gone.is_some());
                let failed = SourceState::Failed("no stick".to_owned());
                seat.report(Report { state: failed, ..Report::default() }, instant(second));
            }
        }
        assert_eq!(told.chunk_by(|one, other| one == other).count(), 2, "it begins once and does not end");
        seat.heard(instant(600));
        assert_eq!(table.wrong(at(600), instant(600), None)[0].gone, None);
    }

    #[test]
    fn a_feed_that_hears_nothing_for_long_is_deaf_however_often_its_source_is_begun_anew() {
        let limit = Duration::from_secs(3600);
        let (table, now) = (table(&[Feed { silent_after: Some(limit), ..feed("a") }]), Instant::now());
        let instant = |seconds| now + Duration::from_secs(seconds);
        let seat = table.seat(&"a".parse().unwrap()).unwrap();
        for minute in 0..59 {
            seat.report(Report { state: SourceState::Running, ..Report::default() }, instant(60 * minute));
            let failed = SourceState::Failed("quiet".to_owned());
            seat.report(Report { state: failed, ..Report::default() }, instant(60 * minute + 1));
            seat.report(
                Report { state: SourceState::Running, ..Report::default() },
                instant(60 * minute + 2),
            );
        }
        assert_eq!(table.wrong(at(3599), instant(3599), None)[0].deaf, None);
        assert!(table.wrong(at(3600), instant(3600), None)[0].deaf.as_ref().unwrap().contains("for 60 min"));
        seat.heard(instant(3700));
        assert_eq!(table.wrong(at(3700), instant(3700), None)[0].deaf, None);
    }

    #[test]
    fn numbers_are_given_once_and_fit_the_table_of_meters() {
        let names: Vec<Feed> = (0..Feed::MOST).map(|number| feed(&format!("f{number}"))).collect();
        let table = table(&names);
        let numbers: Vec<u8> = table.names().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (8..16).collect::<Vec<u8>>());
        assert_eq!(table.apply(&names[1..], at(1)), Vec::<u8>::new());
        assert_eq!(table.apply(&names, at(1)), [8]);
    }
}
