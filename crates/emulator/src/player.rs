//! Lets a dongle hear a town, at any speed.

use std::{num::NonZeroU32, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use wmbus::encode::EncodeError;

use crate::{plugged::Plugged, town::Town};

/// Who is later than this leaves telegrams out instead of sending them late.
const LATEST: Duration = Duration::from_secs(1);

/// How virtual time follows real time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    origin: Instant,
    start: i64,
    speed: NonZeroU32,
}

/// What a player has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Played {
    /// Telegrams put on the air.
    pub sent: u64,
    /// Telegrams left out, because the player could not keep up.
    pub skipped: u64,
    /// The virtual time of the last telegram, in UTC milliseconds.
    pub at: i64,
}

/// A town on the air.
#[derive(Debug)]
pub struct Player {
    town: Town,
    pace: Pace,
    played: watch::Sender<Played>,
}

impl Pace {
    /// At `origin` it is `start` (UTC milliseconds); from then on virtual time goes `speed` times as fast as real time.
    pub fn new(origin: Instant, start: i64, speed: NonZeroU32) -> Self {
        Self { origin, start, speed }
    }

    /// The virtual time of a real moment, in UTC milliseconds.
    pub fn at(&self, moment: Instant) -> i64 {
        let since = moment.saturating_duration_since(self.origin);
        let milliseconds = i64::try_from(since.as_micros() * u128::from(self.speed.get()) / 1_000);
        self.start.saturating_add(milliseconds.unwrap_or(i64::MAX))
    }

    /// The real moment of a virtual time; `origin` for all that is earlier.
    pub fn moment(&self, at: i64) -> Instant {
        let since = u64::try_from(at.saturating_sub(self.start)).unwrap_or(0);
        self.origin + Duration::from_millis(since) / self.speed.get()
    }
}

impl Player {
    /// Plays a town from the pace's present moment on.
    pub fn new(mut town: Town, pace: Pace) -> Self {
        town.jump(pace.at(Instant::now()));
        Self { town, pace, played: watch::Sender::new(Played::default()) }
    }

    /// What has been played, now and as it goes on.
    pub fn played(&self) -> watch::Receiver<Played> {
        self.played.subscribe()
    }

    /// The town.
    pub fn town(&mut self) -> &mut Town {
        &mut self.town
    }

    /// Plays up to a virtual time in UTC milliseconds, exclusive. To be called again for more; may be dropped at any time,
    /// which loses one telegram at most.
    ///
    /// # Errors
    /// See [`Town::next_telegram`].
    pub async fn play(&mut self, dongle: &Plugged, until: i64) -> Result<Played, EncodeError> {
        while let Some(at) = self.town.next_at().filter(|at| *at < until) {
            let due = self.pace.moment(at);
            if due.elapsed() > LATEST {
                self.town.skip();
                self.played.send_modify(|played| played.skipped += 1);
                continue;
            }
            sleep_until(due).await;
            let Some(sent) = self.town.next_telegram().transpose()? else { break };
            // A telegram of the codec's encoder has the right length byte.
            let _ = dongle.hear(&sent.telegram, sent.rssi_dbm).await;
            self.played.send_modify(|played| {
                played.sent += 1;
                played.at = sent.at;
            });
        }
        Ok(*self.played.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dongle::Kind;

    const START: i64 = 1_795_600_800_000;

    fn speed(times: u32) -> NonZeroU32 {
        NonZeroU32::new(times).unwrap()
    }

    #[tokio::test]
    async fn virtual_and_real_time_are_each_others_inverse() {
        let origin = Instant::now();
        let pace = Pace::new(origin, START, speed(60));
        let later = origin + Duration::from_secs(2);
        assert_eq!(pace.at(later), START + 120_000);
        assert_eq!(pace.moment(START + 120_000), later);
        assert_eq!(pace.moment(START - 1), origin);
    }

    #[tokio::test]
    async fn a_player_sends_what_the_town_sends_until_told_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let dongle = Plugged::plug_in(&folder.path().join("dongle"), Kind::Im871a.dongle()).unwrap();
        let town = Town::new(10, 1, START);
        let mut expected = town.clone();
        let until = START + 60_000;
        let mut player = Player::new(town, Pace::new(Instant::now(), START, speed(1_000)));
        let first = player.town().next_at().unwrap();
        expected.jump(first);
        let mut count = 0;
        while expected.next_at().unwrap() < until {
            expected.skip();
            count += 1;
        }
        let played = player.play(&dongle, until).await.unwrap();
        assert_eq!(played.sent + played.skipped, count);
        let mut state = dongle.state();
        let state = state.wait_for(|state| state.missed == played.sent).await.unwrap();
        assert_eq!(state.passed_on, 0, "nobody listens");
    }

    #[tokio::test]
    async fn a_player_that_is_late_leaves_telegrams_out_and_counts_them() {
        let folder = tempfile::tempdir().unwrap();
        let dongle = Plugged::plug_in(&folder.path().join("dongle"), Kind::Im871a.dongle()).unwrap();
        let Some(origin) = Instant::now().checked_sub(Duration::from_secs(5)) else { return };
        let pace = Pace::new(origin, START, speed(1_000));
        let mut player = Player::new(Town::new(3, 1, START), pace);
        player.town().jump(START);
        let until = START + 3_000_000;
        let played = player.play(&dongle, until).await.unwrap();
        assert!(played.sent == 0 && played.skipped > 500, "{played:?}");
    }
}
