//! When the clock is to be trusted. A Raspberry Pi has no battery for its clock: after a power cut it starts somewhere in
//! the past, and readings must not be dated by that.
//!
//! A start of the machine is *anchored* once a time service has set the clock: a pair of uptime and UTC, kept in the
//! store, by which everything heard since that start gets its date. The pair is renewed at every synchronisation; what
//! was dated before stays. Once anchored, a start of the machine stays so: the kernel's own flag falls back after hours
//! without a network.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use messages::Time;

use crate::config;
use crate::world::{Clock, Uptime};

/// systemd-timesyncd touches it whenever it has set the clock.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";
/// How long the question whether another time service has set the clock may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where trust comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A time service: systemd-timesyncd, or whatever timedated knows of (chrony).
    TimeService,
    /// The configuration vouches for the machine's battery-backed clock.
    Rtc,
    /// A demonstration's clock is right by definition.
    MadeUp,
}

impl Source {
    /// By configuration and clock.
    #[must_use]
    pub const fn of(config: config::Clock, clock: &Clock) -> Self {
        match config {
            _ if clock.is_made_up() => Self::MadeUp,
            config::Clock::Rtc => Self::Rtc,
            config::Clock::Auto => Self::TimeService,
        }
    }

    /// Whether the kernel's clock is right now.
    pub async fn is_synchronised(self) -> bool {
        match self {
            Self::Rtc | Self::MadeUp => true,
            Self::TimeService => Path::new(TIMESYNCD).exists() || timedated().await,
        }
    }
}

/// Asks systemd's timedated, which knows of other time services by the kernel's flag.
async fn timedated() -> bool {
    let mut command = tokio::process::Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let said = tokio::time::timeout(PATIENCE, command.output()).await;
    matches!(said, Ok(Ok(output)) if output.stdout.trim_ascii() == b"yes")
}

/// The calendar of one start of the machine: which uptime was which UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    anchor: Option<Pair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    uptime: Uptime,
    utc_ms: i64,
}

impl Calendar {
    /// With a pair that was stored during this start of the machine.
    #[must_use]
    pub const fn anchored(uptime: Uptime, utc_ms: i64) -> Self {
        Self { anchor: Some(Pair { uptime, utc_ms }) }
    }

    /// The clock is right now: takes its time for a new pair. `true` if there was none, or if it differs by a second or
    /// more, so that it is worth storing.
    pub fn synchronise(&mut self, clock: &Clock) -> bool {
        let new = Pair { uptime: clock.uptime(), utc_ms: clock.kernel_ms() };
        let moved = self.place_ms(new.uptime).is_none_or(|known| known.abs_diff(new.utc_ms) >= 1500);
        if moved {
            self.anchor = Some(new);
        }
        moved
    }

    /// The pair, for storing.
    #[must_use]
    pub fn anchor(&self) -> Option<(Uptime, i64)> {
        self.anchor.map(|pair| (pair.uptime, pair.utc_ms))
    }

    /// Whether moments can be dated.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.anchor.is_some()
    }

    /// The date of an uptime of this start of the machine.
    #[must_use]
    pub fn place(&self, uptime: Uptime) -> Option<Time> {
        Time::from_unix(self.place_ms(uptime)?.div_euclid(1000))
    }

    fn place_ms(&self, uptime: Uptime) -> Option<i64> {
        let pair = self.anchor?;
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let later = ms(uptime.0.saturating_sub(pair.uptime.0));
        let earlier = ms(pair.uptime.0.saturating_sub(uptime.0));
        Some(pair.utc_ms.saturating_add(later).saturating_sub(earlier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_an_anchor_nothing_is_dated_and_after_it_everything() {
        let clock = Clock::manual(1_795_482_000);
        clock.advance(Duration::from_secs(100));
        let mut calendar = Calendar::default();
        assert_eq!(calendar.place(clock.uptime()), None);
        assert!(calendar.synchronise(&clock));
        assert_eq!(calendar.place(Uptime(Duration::from_secs(40))).unwrap().unix(), 1_795_482_040);
        assert_eq!(calendar.place(Uptime(Duration::from_secs(160))).unwrap().unix(), 1_795_482_160);
        assert!(!calendar.synchronise(&clock), "nothing new to store");
    }

    #[test]
    fn a_pair_taken_within_a_second_dates_to_the_millisecond() {
        let clock = Clock::manual(1_795_482_000);
        clock.advance(Duration::from_millis(900));
        let mut calendar = Calendar::default();
        calendar.synchronise(&clock);
        let place = |ms| calendar.place(Uptime(Duration::from_millis(ms))).unwrap().unix();
        assert_eq!((place(1999), place(2000)), (1_795_482_001, 1_795_482_002));
    }

    #[tokio::test]
    async fn a_clock_that_the_configuration_vouches_for_is_right_from_the_start() {
        assert!(Source::of(config::Clock::Rtc, &Clock::system()).is_synchronised().await);
        assert_eq!(Source::of(config::Clock::Auto, &Clock::system()), Source::TimeService);
        assert_eq!(Source::of(config::Clock::Auto, &Clock::manual(0)), Source::MadeUp);
    }
}
