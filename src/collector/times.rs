//! The clocks of the collector: uptime, by which everything is heard; a steady one, which goes on over restarts and by
//! which telegrams are compared; and UTC, once it is known.

use messages::Time;

use crate::health::clock::Calendar;
use crate::world::Uptime;

/// The clocks of one run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Which uptime is which UTC, as far as that is known.
    pub calendar: Calendar,
    /// The steady clock at the start of the run.
    base: u64,
    /// The uptime at the start of the run.
    start: Uptime,
}

impl Times {
    /// A run that starts at the uptime `start`, when the kernel's clock says `kernel`; `newest` is the newest moment
    /// of the steady clock that is stored. The steady clock never goes back behind it, whatever the kernel says.
    #[must_use]
    pub fn new(calendar: Calendar, start: Uptime, kernel: i64, newest: u64) -> Self {
        Self { calendar, base: newest.max(u64::try_from(kernel).unwrap_or_default()), start }
    }

    /// The steady clock at an uptime of this start of the machine.
    #[must_use]
    pub const fn steady(&self, uptime: Uptime) -> u64 {
        let later = uptime.since(self.start).as_secs();
        let earlier = self.start.since(uptime).as_secs();
        self.base.saturating_add(later).saturating_sub(earlier)
    }

    /// UTC at an uptime of this start of the machine.
    #[must_use]
    pub fn utc(&self, uptime: Uptime) -> Option<Time> {
        self.calendar.place(uptime)
    }

    /// UTC at a moment of this run's steady clock.
    #[must_use]
    pub fn utc_steady(&self, steady: u64) -> Option<Time> {
        self.place_steady(steady).utc()
    }

    /// The place of an uptime: its UTC, or itself until that is known.
    #[must_use]
    pub fn place(&self, uptime: Uptime) -> Place {
        self.utc(uptime).map_or_else(|| Place::Here(uptime.seconds()), |time| Place::Utc(time.unix()))
    }

    /// The place of a moment of this run's steady clock.
    #[must_use]
    pub fn place_steady(&self, steady: u64) -> Place {
        let since = std::time::Duration::from_secs(steady.saturating_sub(self.base));
        let before = std::time::Duration::from_secs(self.base.saturating_sub(steady));
        self.place(Uptime(self.start.0.saturating_add(since).saturating_sub(before)))
    }
}

/// When something was, as well as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// UTC, seconds since 1970.
    Utc(i64),
    /// Seconds of uptime of this start of the machine, which has no UTC yet.
    Here(u64),
    /// An uptime of another start of the machine: lost.
    #[default]
    Lost,
}

impl Place {
    /// The UTC, if it is known.
    #[must_use]
    pub fn utc(self) -> Option<Time> {
        match self {
            Self::Utc(unix) => Time::from_unix(unix),
            Self::Here(_) | Self::Lost => None,
        }
    }

    /// The same, as UTC if that can be told by now.
    #[must_use]
    pub fn settled(self, times: &Times) -> Self {
        match self {
            Self::Here(seconds) => times.place(Uptime(std::time::Duration::from_secs(seconds))),
            known => known,
        }
    }
}
