//! Numbers that will never come.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Seq;

/// At most this many ranges travel in one envelope.
pub const MAX_RANGES: usize = 256;

/// The ranges of an epoch that cannot be sent any more: pruned, damaged, parked. The portal's cursor passes over them.
///
/// Written `1-5,9`: ascending, inclusive, not touching each other. Only the lowest [`MAX_RANGES`] are kept; the others
/// are named by later batches, once the cursor has passed the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing(Vec<(u64, u64)>);

impl Missing {
    /// From inclusive ranges in any order, overlapping or not; an empty range (end before start) is skipped.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Seq, Seq)>) -> Self {
        let mut sorted: Vec<(u64, u64)> =
            ranges.into_iter().map(|(from, to)| (from.number().max(1), to.number())).collect();
        sorted.retain(|(from, to)| from <= to);
        sorted.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (from, to) in sorted {
            match merged.last_mut() {
                Some((_, end)) if from <= end.saturating_add(1) => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        merged.truncate(MAX_RANGES);
        Self(merged)
    }

    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.0.iter().map(|(from, to)| (Seq::new(*from), Seq::new(*to)))
    }

    /// Where a contiguous cursor that stands at `seq` may go: over every missing number that follows it directly.
    ///
    /// ```
    /// use messages::batch::{Missing, Seq};
    /// let missing: Missing = "1-5,7".parse()?;
    /// assert_eq!(missing.pass(Seq::NONE), Seq::new(5));
    /// assert_eq!(missing.pass(Seq::new(6)), Seq::new(7));
    /// assert_eq!(missing.pass(Seq::new(8)), Seq::new(8));
    /// # Ok::<(), messages::batch::NotMissing>(())
    /// ```
    #[must_use]
    pub fn pass(&self, seq: Seq) -> Seq {
        let next = seq.next().number();
        let range = self.0.iter().find(|(from, to)| (*from..=*to).contains(&next));
        range.map_or(seq, |(_, to)| Seq::new(*to))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if from == to { write!(f, "{from}")? } else { write!(f, "{from}-{to}")? }
        }
        Ok(())
    }
}

impl FromStr for Missing {
    type Err = NotMissing;

    fn from_str(text: &str) -> Result<Self, NotMissing> {
        let mut ranges = Vec::new();
        let mut end = 0_u64;
        for part in text.split(',') {
            if ranges.len() == MAX_RANGES {
                return Err(NotMissing::TooMany);
            }
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| digits.parse().map(Seq::number).map_err(|_| NotMissing::Number);
            let (from, to) = (number(from)?, number(to)?);
            if from <= end || to < from || (end > 0 && from == end + 1) {
                return Err(NotMissing::Order);
            }
            ranges.push((from, to));
            end = to;
        }
        Ok(Self(ranges))
    }
}

/// Why a text is no list of missing numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotMissing {
    /// Something else than digits.
    #[error("missing numbers are written like 1-5,9")]
    Number,
    /// Ranges that go back, touch or overlap.
    #[error("missing ranges must ascend from 1 without touching")]
    Order,
    /// More than [`MAX_RANGES`].
    #[error("more than {MAX_RANGES} missing ranges")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(ranges: &[(u64, u64)]) -> Missing {
        Missing::from_ranges(ranges.iter().map(|(from, to)| (Seq::new(*from), Seq::new(*to))))
    }

    #[test]
    fn ranges_are_merged_and_written_once() {
        assert_eq!(missing(&[(9, 9), (3, 5), (1, 2), (4, 5), (8, 7)]).to_string(), "1-5,9");
        assert_eq!(missing(&[(0, 2)]).to_string(), "1-2");
        assert_eq!(missing(&[(u64::MAX, u64::MAX), (1, u64::MAX)]).to_string(), format!("1-{}", u64::MAX));
    }

    #[test]
    fn only_the_lowest_ranges_travel() {
        let many = missing(&(1..=300).map(|index| (index * 2, index * 2)).collect::<Vec<_>>());
        assert_eq!(many.ranges().count(), MAX_RANGES);
        assert_eq!(many.to_string().parse(), Ok(many));
        let text = (1..=257).map(|index| (index * 2).to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(text.parse::<Missing>(), Err(NotMissing::TooMany));
    }

    #[test]
    fn what_is_not_in_order_is_refused() {
        for bad in ["0", "5-3", "1-2,3", "4,2", "1,1"] {
            assert_eq!(bad.parse::<Missing>(), Err(NotMissing::Order), "{bad}");
        }
        for bad in ["", "1,", "a", "-1", "1-", "18446744073709551616"] {
            assert_eq!(bad.parse::<Missing>(), Err(NotMissing::Number), "{bad}");
        }
    }
}
