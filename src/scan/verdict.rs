//! How well a meter is heard: good, marginal or poor, and why. The rules stand here and nowhere else.
//!
//! An hour row needs one telegram in an hour, an alarm two that agree, so that a meter heard now and then still delivers.
//! What matters is the margin: leaves, snow, a parked van cost 10 dB and more.
//!
//! | | good | marginal | poor |
//! |---|---|---|---|
//! | telegrams heard of those sent | 70 % and more | below 70 % | below 25 % |
//! | signal (receivers end near -105 dBm) | -90 dBm and more | below -90 | below -100 |
//! | longest silence | | above 10 min and 5 intervals | |
//! | silent now | | | above 15 min and 10 intervals |
//!
//! The worst counts. Too few telegrams in too short a time say nothing yet. What counts is the last hour, or the time of a
//! survey.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::receiver::LinkMode;

/// Below so many of a hundred telegrams reception is no longer good.
const GOOD_SHARE: u8 = 70;
/// Below so many it is poor.
const POOR_SHARE: u8 = 25;
/// Weaker than this is no longer good, in dBm.
const GOOD_RSSI: i16 = -90;
/// Weaker than this is poor: a few dB above where receivers end.
const POOR_RSSI: i16 = -100;
/// A silence of so many intervals, and of [`GAP`], is no longer good.
const GAP_INTERVALS: u64 = 5;
const GAP: u64 = 10 * MINUTE;
/// Who has been silent for so many intervals, and for [`SILENT`], is gone.
const SILENT_INTERVALS: u64 = 10;
const SILENT: u64 = 15 * MINUTE;
/// With so many telegrams, or after so many intervals, there is something to say.
const ENOUGH_TELEGRAMS: u32 = 4;
const ENOUGH_INTERVALS: u64 = 6;
pub(super) const MINUTE: u64 = 60_000;

/// What is known of a meter's reception. All times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Over how long.
    pub watched: u64,
    /// Telegrams in that time.
    pub telegrams: u32,
    /// The meter's own interval, if it is known.
    pub interval: Option<u64>,
    /// How it is sent.
    pub link_mode: Option<LinkMode>,
    /// How long ago the last telegram was.
    pub silent: u64,
    /// The longest silence, if that was watched.
    pub longest: Option<u64>,
    /// How strong it is, in dBm.
    pub rssi: Option<i16>,
}

/// How well a meter is heard, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Readings will be missed.
    Poor,
    /// Works, without much margin.
    Marginal,
    /// It is too early to tell.
    Early,
    /// Works, with margin.
    Good,
}

impl Verdict {
    /// As a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Marginal => "marginal",
            Self::Early => "too early",
            Self::Good => "good",
        }
    }

    /// In four letters at most.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Marginal => "marg",
            Self::Early => "..",
            Self::Good => "good",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why it is not better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many of a hundred telegrams are heard.
    Missed(u8),
    /// The signal is weak, in dBm.
    Weak(i16),
    /// Silent for so many milliseconds now.
    Silent(u64),
    /// It was silent for so long.
    Gap(u64),
    /// So few telegrams in so long a time.
    Few(u32, u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missed(share) => write!(f, "only {share} % of its telegrams are heard"),
            Self::Weak(rssi) => write!(f, "weak at {rssi} dBm"),
            Self::Silent(time) => write!(f, "silent for {}", span(time)),
            Self::Gap(time) => write!(f, "was silent for {}", span(time)),
            Self::Few(1, time) => write!(f, "one telegram in {}", span(time)),
            Self::Few(count, time) => write!(f, "{count} telegrams in {}", span(time)),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reception {
    /// How well.
    pub verdict: Verdict,
    /// Why not better.
    pub reasons: Vec<Reason>,
    /// How many of a hundred telegrams are heard, if its interval is known.
    pub share: Option<u8>,
}

impl Heard {
    /// Judges by the rules of this module.
    #[must_use]
    pub fn judge(&self) -> Reception {
        let share = self.share();
        let interval = self.interval.unwrap_or_else(|| usual_interval(self.link_mode));
        let mut found: Vec<(Verdict, Reason)> = Vec::new();
        let gone = self.silent > SILENT.max(interval.saturating_mul(SILENT_INTERVALS));
        if gone {
            found.push((Verdict::Poor, Reason::Silent(self.silent)));
        }
        let long_enough = self.watched >= interval.saturating_mul(ENOUGH_INTERVALS);
        if self.telegrams < ENOUGH_TELEGRAMS && !long_enough && !gone {
            return Reception {
                verdict: Verdict::Early,
                reasons: vec![Reason::Few(self.telegrams, self.watched)],
                share,
            };
        }
        match share {
            Some(share) if share < POOR_SHARE => found.push((Verdict::Poor, Reason::Missed(share))),
            Some(share) if share < GOOD_SHARE => found.push((Verdict::Marginal, Reason::Missed(share))),
            None => found.push((Verdict::Poor, Reason::Few(self.telegrams, self.watched))),
            Some(_) => {}
        }
        match self.rssi {
            Some(rssi) if rssi < POOR_RSSI => found.push((Verdict::Poor, Reason::Weak(rssi))),
            Some(rssi) if rssi < GOOD_RSSI => found.push((Verdict::Marginal, Reason::Weak(rssi))),
            _ => {}
        }
        let gap = GAP.max(interval.saturating_mul(GAP_INTERVALS));
        if let Some(longest) = self.longest.filter(|longest| !gone && *longest > gap) {
            found.push((Verdict::Marginal, Reason::Gap(longest)));
        }
        found.sort_by_key(|(verdict, _)| *verdict);
        let verdict = found.first().map_or(Verdict::Good, |(verdict, _)| *verdict);
        Reception { verdict, reasons: found.into_iter().map(|(_, reason)| reason).collect(), share }
    }

    /// How many of a hundred telegrams are heard. The beat of the meter and the time watched do not begin together: one
    /// telegram less may have been due.
    #[must_use]
    pub fn share(&self) -> Option<u8> {
        let due = (self.watched / self.interval?.max(1)).max(1);
        let share = u64::from(self.telegrams).saturating_mul(100) / due;
        Some(u8::try_from(share.min(100)).unwrap_or(100))
    }
}

/// What a meter sends at that was heard once only: the longest of the usual intervals of its mode.
pub(super) const fn usual_interval(link_mode: Option<LinkMode>) -> u64 {
    match link_mode {
        Some(LinkMode::C1) => 96_000,
        _ => 900_000,
    }
}

/// A length of time in milliseconds, for people.
#[must_use]
pub fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds / 60),
        6000..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(watched_s: u64, telegrams: u32, rssi: i16) -> Heard {
        Heard {
            watched: watched_s * 1000,
            telegrams,
            interval: Some(16_000),
            link_mode: Some(LinkMode::C1),
            silent: 5000,
            longest: None,
            rssi: Some(rssi),
        }
    }

    fn said(heard: Heard) -> (Verdict, String) {
        let reception = heard.judge();
        let reasons: Vec<_> = reception.reasons.iter().map(ToString::to_string).collect();
        (reception.verdict, reasons.join("; "))
    }

    #[test]
    fn each_rule_gives_its_verdict_and_its_reason() {
        assert_eq!(said(heard(1600, 100, -70)), (Verdict::Good, String::new()));
        assert_eq!(
            said(heard(1600, 60, -70)),
            (Verdict::Marginal, "only 60 % of its telegrams are heard".into())
        );
        assert_eq!(
            said(heard(1600, 20, -70)),
            (Verdict::Poor, "only 20 % of its telegrams are heard".into())
        );
        assert_eq!(said(heard(1600, 100, -91)), (Verdict::Marginal, "weak at -91 dBm".into()));
        assert_eq!(said(heard(1600, 100, -101)), (Verdict::Poor, "weak at -101 dBm".into()));
        let silent = Heard { silent: 1_000_000, ..heard(16_000, 900, -70) };
        assert_eq!(said(silent), (Verdict::Poor, "silent for 16 min".into()));
        let gap = Heard { longest: Some(700_000), ..heard(1600, 100, -70) };
        assert_eq!(said(gap), (Verdict::Marginal, "was silent for 11 min".into()));
    }

    #[test]
    fn the_worst_reason_comes_first() {
        let (verdict, reasons) = said(heard(1600, 60, -104));
        assert_eq!(verdict, Verdict::Poor);
        assert_eq!(reasons, "weak at -104 dBm; only 60 % of its telegrams are heard");
    }

    #[test]
    fn little_in_a_short_time_says_nothing_yet() {
        assert_eq!(said(heard(40, 2, -70)), (Verdict::Early, "2 telegrams in 40 s".into()));
        let once = Heard { interval: None, ..heard(300, 1, -70) };
        assert_eq!(said(once).0, Verdict::Early);
        let long = Heard { interval: None, ..heard(600, 1, -70) };
        assert_eq!(said(long), (Verdict::Poor, "one telegram in 10 min".into()));
        let slow = Heard { link_mode: Some(LinkMode::T1), ..long };
        assert_eq!(said(slow).0, Verdict::Early, "an OMS meter sends every quarter of an hour");
    }
}
