//! The clock that gateway and meters share.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emulator::player::Pace;
use tokio::time::{Instant, sleep_until};

/// Begins at 10:50 UTC on a Wednesday in November: ten minutes before an hour that is none in particular.
pub const START: i64 = 1_795_603_800;

/// A clock that goes faster than time does; every process that is given the same one sees the same time.
#[derive(Clone, Copy, Debug)]
pub struct FastClock {
    start: i64,
    real_start: Duration,
    speed: NonZeroU32,
    pace: Pace,
}

impl FastClock {
    /// Shows `start` (seconds since 1970) now, and goes `speed` times as fast from now on.
    #[must_use]
    pub fn new(start: i64, speed: u32) -> Self {
        let speed = NonZeroU32::new(speed).unwrap();
        let (now, real_start) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        Self { start, real_start, speed, pace: Pace::new(now, start * 1000, speed) }
    }

    /// As `--clock` wants it.
    #[must_use]
    pub fn argument(&self) -> String {
        format!(
            "{},{}.{:09},{}",
            self.start,
            self.real_start.as_secs(),
            self.real_start.subsec_nanos(),
            self.speed
        )
    }

    /// As the emulator wants it.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// Its first moment.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// What it shows, seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.pace.at(Instant::now()).div_euclid(1000)
    }

    /// Until it shows `utc`.
    pub async fn reach(&self, utc: i64) {
        sleep_until(self.pace.moment(utc * 1000)).await;
    }

    /// Until so many of its seconds have passed.
    pub async fn pass(&self, seconds: i64) {
        self.reach(self.now() + seconds).await;
    }
}
