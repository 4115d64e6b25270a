//! What the daemon takes from the outside world besides files: time and random bits. Nothing below `main` asks the
//! system for either by itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// Time since the machine was started, suspension included (`CLOCK_BOOTTIME`): it never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uptime(pub Duration);

impl Uptime {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// How long after `earlier`; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which start of the machine an [`Uptime`] belongs to: the kernel's boot id, 32 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BootId(Box<str>);

impl BootId {
    /// From the kernel's text, with or without hyphens.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|letter| *letter != '-').collect();
        let good = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        good.then(|| Self(digits.to_ascii_lowercase().into()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The daemon's clock: the system's, a faster one for demonstrations, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Fast(Fast),
    Manual(Arc<Manual>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that runs faster than time does.
    #[must_use]
    pub const fn fast(fast: Fast) -> Self {
        Self(Kind::Fast(fast))
    }

    /// A clock that stands still at `utc` (seconds since 1970) until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(utc: i64) -> Self {
        let (now, _) = watch::channel(Duration::ZERO);
        Self(Kind::Manual(Arc::new(Manual { start: utc, now })))
    }

    /// Moves a manual clock on, and wakes whoever sleeps on it; does nothing to other clocks.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(manual) = &self.0 {
            manual.now.send_modify(|now| *now = now.saturating_add(by));
        }
    }

    /// Time since the machine was started.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        match &self.0 {
            Kind::System => {
                let now = clock_gettime(ClockId::Boottime);
                let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
                Uptime(Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default()))
            }
            Kind::Fast(fast) => Uptime(fast.elapsed()),
            Kind::Manual(manual) => Uptime(*manual.now.borrow()),
        }
    }

    /// When `instant` was, as an uptime. A manual clock stands still between its moves, so on it everything is now.
    #[must_use]
    pub fn uptime_at(&self, instant: Instant) -> Uptime {
        match &self.0 {
            Kind::Manual(_) => self.uptime(),
            _ => {
                let ago = instant.elapsed().saturating_mul(self.speed());
                Uptime(self.uptime().0.saturating_sub(ago))
            }
        }
    }

    /// What the kernel takes for UTC, seconds since 1970, whether or not it is to be trusted.
    #[must_use]
    pub fn kernel(&self) -> i64 {
        self.kernel_ms().div_euclid(1000)
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn kernel_ms(&self) -> i64 {
        let after = |start: i64, passed| start.saturating_mul(1000).saturating_add(milliseconds(passed));
        match &self.0 {
            Kind::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds),
            Kind::Fast(fast) => after(fast.start, fast.elapsed()),
            Kind::Manual(manual) => after(manual.start, *manual.now.borrow()),
        }
    }

    /// Whether this clock is right by definition: a demonstration's or a test's.
    #[must_use]
    pub const fn is_made_up(&self) -> bool {
        !matches!(self.0, Kind::System)
    }

    /// How many seconds pass on it in one.
    #[must_use]
    pub const fn speed(&self) -> u32 {
        match &self.0 {
            Kind::Fast(fast) => fast.speed,
            _ => 1,
        }
    }

    /// Until `duration` has passed on this clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(Uptime(self.uptime().0.saturating_add(duration))).await;
    }

    /// Until this clock shows `moment`; whatever moves it meanwhile, also before the first poll.
    pub async fn sleep_until(&self, moment: Uptime) {
        match &self.0 {
            Kind::Manual(manual) => {
                // The sender lives in `self`, so the channel stays open.
                let _ = manual.now.subscribe().wait_for(|now| *now >= moment.0).await;
            }
            _ => tokio::time::sleep(moment.since(self.uptime()) / self.speed().max(1)).await,
        }
    }
}

/// A clock that ran from `start` when the system's clock said `real_start`, and has run `speed` times as fast since.
/// Every process that is given the same one sees the same time. Written `START,REAL_START,SPEED`: two moments in seconds
/// since 1970, the second with decimals if wanted, and a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// Its first moment, seconds since 1970.
    pub start: i64,
    /// When it was started, since 1970.
    pub real_start: Duration,
    /// How many seconds pass on it in one.
    pub speed: u32,
}

impl Fast {
    fn elapsed(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(self.real_start).saturating_mul(self.speed)
    }

    /// A boot id for it: the machine counts as started when the clock was.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        BootId(format!("{:032x}", self.real_start.as_nanos()).into())
    }
}

impl FromStr for Fast {
    type Err = NotAFastClock;

    fn from_str(text: &str) -> Result<Self, NotAFastClock> {
        let mut parts = text.split(',');
        let mut part = || parts.next().map(str::trim).ok_or(NotAFastClock);
        let start = part()?.parse().map_err(|_| NotAFastClock)?;
        let real: f64 = part()?.parse().map_err(|_| NotAFastClock)?;
        let speed = part()?.parse().map_err(|_| NotAFastClock)?;
        let real_start = Duration::try_from_secs_f64(real).map_err(|_| NotAFastClock)?;
        if speed == 0 || parts.next().is_some() {
            Err(NotAFastClock)
        } else {
            Ok(Self { start, real_start, speed })
        }
    }
}

/// A text is not a fast clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write START,REAL_START,SPEED: two moments in seconds since 1970 and a whole number")]
pub struct NotAFastClock;

impl fmt::Display for Fast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, real_start, speed } = self;
        write!(f, "{start},{}.{:09},{speed}", real_start.as_secs(), real_start.subsec_nanos())
    }
}

#[derive(Debug)]
struct Manual {
    start: i64,
    now: watch::Sender<Duration>,
}

/// Fresh random bytes from the kernel.
///
/// # Panics
/// When the kernel has none to give, which Linux does not do once it has started.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "without random bits nothing here may go on; no input leads to it"
    )]
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// What runs here and what the outside gave it; `main` makes one, everything below borrows from it.
#[derive(Clone, Debug)]
pub struct World {
    /// Time.
    pub clock: Clock,
    /// Which start of the machine this is.
    pub boot: BootId,
}

impl World {
    /// The real one. `boot_id`: the environment's `VESIGATE_BOOT_ID`, for services that cannot see the kernel's own.
    ///
    /// # Errors
    /// When neither that nor the kernel tells which start of the machine this is.
    pub fn system(boot_id: Option<&str>) -> Result<Self, NoBootId> {
        let kernel = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let boot = boot_id.and_then(BootId::new).or_else(|| BootId::new(&kernel()?)).ok_or(NoBootId)?;
        Ok(Self { clock: Clock::system(), boot })
    }

    /// A demonstration's.
    #[must_use]
    pub fn fast(fast: Fast) -> Self {
        Self { clock: Clock::fast(fast), boot: fast.boot_id() }
    }

    /// A test's.
    #[must_use]
    pub fn manual(utc: i64) -> Self {
        Self { clock: Clock::manual(utc), boot: BootId("0".repeat(32).into()) }
    }
}

/// Nobody says which start of the machine this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the kernel's boot id cannot be read: set VESIGATE_BOOT_ID to 32 hexadecimal digits (%b in a systemd unit)"
)]
pub struct NoBootId;

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_is_written_and_read() {
        let fast: Fast = "1795482000,1795500000.25,100".parse().unwrap();
        assert_eq!(fast.real_start, Duration::from_millis(1_795_500_000_250));
        assert_eq!(fast.to_string().parse(), Ok(fast));
        for bad in ["", "1,2", "1,2,0", "1,2,3,4", "1,-2,3", "x,2,3"] {
            assert_eq!(bad.parse::<Fast>(), Err(NotAFastClock), "{bad}");
        }
    }

    #[tokio::test]
    async fn sleepers_on_a_manual_clock_wake_when_it_is_moved() {
        let clock = Clock::manual(1000);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep(Duration::from_secs(10)).await;
                clock.kernel()
            })
        };
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(4));
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(6));
        assert_eq!(sleeper.await.unwrap(), 1010);
    }

    #[test]
    fn a_boot_id_is_read_with_and_without_hyphens() {
        let with = BootId::new("0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0\n").unwrap();
        assert_eq!(Some(with), BootId::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0"));
        assert_eq!(BootId::new("hello"), None);
    }
}
