//! What the store kept: what a run begins with, and readings that wait for their place on the calendar.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use messages::batch::{Record, Seq, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Half;
use crate::collector::pipeline::Memory;
use crate::health::clock::{Calendar, Source};
use crate::store::{CollectReader, CollectStore, Part, StoreError, Unplaced, Writer};
use crate::world::{BootId, Clock, Uptime};

/// So many of the newest blocks are looked into for rows that need not be written again.
const NEWEST: u64 = 4;
/// How often it is tried to date readings by the meters' own minutes.
const GUESS_EVERY: Duration = Duration::from_secs(600);

/// What a run begins with, and the calendar of this start of the machine if it has one. A store that cannot be read is
/// an empty one: receiving goes on.
pub(super) async fn memory(writer: &Writer, directory: &Path, boot: &BootId) -> (Memory, Calendar) {
    let boot = boot.clone();
    let read = writer.ask(move |store| stored(store, &boot)).await;
    let (mut memory, calendar) = match read {
        Ok(Some(Ok(read))) => read,
        Ok(Some(Err(error))) => {
            tracing::error!("what was remembered cannot be read: {error}");
            Default::default()
        }
        _ => Default::default(),
    };
    memory.newest = newest(directory).unwrap_or_default();
    (memory, calendar)
}

fn stored(store: &CollectStore, boot: &BootId) -> Result<(Memory, Calendar), StoreError> {
    let part = |part| store.part(part).map(Option::unwrap_or_default);
    let memory = Memory {
        meters: part(Part::Meters)?,
        meters_since: part(Part::MetersSince)?,
        episodes: part(Part::Episodes)?,
        layouts: part(Part::Layouts)?,
        newest: Vec::new(),
        sealed: store.sealed_meters()?,
    };
    Ok((memory, calendar(store, boot.as_str())?))
}

fn calendar(store: &CollectStore, boot: &str) -> Result<Calendar, StoreError> {
    let anchor = store.anchor(boot)?;
    Ok(anchor.map_or_else(Calendar::default, |anchor| Calendar::anchored(anchor.uptime, anchor.utc_ms)))
}

fn newest(directory: &Path) -> Result<Vec<Record>, StoreError> {
    let reader = CollectReader::open(directory)?;
    let head = reader.head(Stream::Readings)?.number();
    let blocks = reader.blocks(Stream::Readings, Seq::new(head.saturating_sub(NEWEST)), 4)?;
    let records = blocks.into_iter().filter_map(|block| block.body.decode().ok()).flatten();
    Ok(records.flatten().collect())
}

impl Half {
    /// The clock is right now.
    pub(super) async fn synchronise(&mut self) {
        let clock = &self.daemon.world.clock;
        let now = clock.uptime();
        self.synchronised = Some(now);
        let before = *self.collector.calendar();
        let mut calendar = before;
        if calendar.synchronise(clock) {
            let readings = if before.is_trusted() { Vec::new() } else { self.read_unplaced(calendar).await };
            self.collector.anchor(calendar, readings, self.daemon.world.clock.uptime());
        }
        // Readings of a start of the machine that never had the time wait for meters to be heard again.
        if self.unplaced > 0 && now >= self.guess_at {
            self.guess_at = Uptime(now.0.saturating_add(GUESS_EVERY));
            self.place_by_meters().await;
        }
    }

    async fn place_by_meters(&mut self) {
        let here = self.daemon.world.boot.as_str().to_owned();
        let read = self.writer.ask(CollectStore::unplaced).await;
        let Ok(Some(Ok(mut readings))) = read else { return };
        readings.retain(|reading| reading.boot != here);
        for readings in readings.chunk_by(|a, b| a.boot == b.boot) {
            let Some(calendar) = self.collector.calendar_by_meters(readings.iter()) else { continue };
            tracing::info!(readings = readings.len(), "readings were dated by the meters' own minutes");
            let placed = readings.iter().map(|reading| (reading.clone(), calendar));
            self.collector.place(placed, self.daemon.world.clock.uptime());
            self.unplaced = self.unplaced.saturating_sub(u64::try_from(readings.len()).unwrap_or_default());
        }
    }

    /// Readings that the store keeps without a place get one, where their start of the machine has a calendar.
    pub(super) async fn place_kept(&mut self) {
        let readings = self.read_unplaced(*self.collector.calendar()).await;
        self.collector.place(readings.into_iter(), self.daemon.world.clock.uptime());
    }

    /// Those of the store's readings that can be placed, with the calendar of their start of the machine.
    async fn read_unplaced(&mut self, here: Calendar) -> Vec<(Unplaced, Calendar)> {
        let boot = self.daemon.world.boot.as_str().to_owned();
        let read = self.writer.ask(move |store| {
            let mut calendars: BTreeMap<String, Calendar> = [(boot, here)].into();
            let mut placed = Vec::new();
            let mut left = 0u64;
            for reading in store.unplaced()? {
                let calendar = match calendars.get(&reading.boot) {
                    Some(calendar) => *calendar,
                    None => {
                        let calendar = calendar(store, &reading.boot)?;
                        calendars.insert(reading.boot.clone(), calendar);
                        calendar
                    }
                };
                if calendar.is_trusted() {
                    placed.push((reading, calendar));
                } else {
                    left = left.saturating_add(1);
                }
            }
            Ok::<_, StoreError>((placed, left))
        });
        match read.await {
            Ok(Some(Ok((placed, left)))) => {
                self.unplaced = left;
                placed
            }
            _ => Vec::new(),
        }
    }
}

/// Says when the clock was found right: at once, and about each minute after that.
pub(super) fn clock_watch(source: Source, clock: Clock, stop: CancellationToken) -> mpsc::Receiver<()> {
    let (right, found) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut wait = Duration::from_secs(1);
        loop {
            if source.is_synchronised().await {
                wait = Duration::from_secs(64);
                // A full channel has the same news.
                let _ = right.try_send(());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(wait) => {}
            }
            wait = (2 * wait).min(Duration::from_secs(64));
        }
    });
    found
}
