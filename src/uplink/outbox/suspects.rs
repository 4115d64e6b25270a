//! Batches at which the connection breaks. One that did so twice, sent alone, is set aside, unless the next one fares
//! no better: then it is the broker or the line, and nothing is set aside.

use std::collections::BTreeMap;

use messages::batch::{Seq, Stream};

/// A batch of some stream.
pub(crate) type Place = (Stream, Seq);

/// Which batches are suspected, over all streams.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// How often the connection broke while each was alone under way.
    deaths: BTreeMap<Place, u32>,
    /// Set aside, but no other batch has gone through since.
    accused: Vec<Place>,
    /// Whether batches are sent one at a time.
    alone: bool,
}

/// What follows from a broken connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Unclear,
    /// This one is to be set aside.
    Park(Place),
    /// It is not the batches: these are to be sent again.
    Acquit(Vec<Place>),
}

/// How often is too often.
const DEATHS: u32 = 2;
/// At most this many are suspected at a time.
const MOST: usize = 64;

impl Suspects {
    /// Whether only one batch may be under way, of all streams.
    pub(crate) const fn alone(&self) -> bool {
        self.alone
    }

    /// The connection broke while the broker had not answered these.
    pub(crate) fn broke(&mut self, unanswered: &[Place]) -> Verdict {
        let place = match unanswered {
            [] => return Verdict::Unclear,
            [place] => *place,
            _ => {
                self.alone = true;
                return Verdict::Unclear;
            }
        };
        self.alone = true;
        if self.deaths.len() >= MOST {
            self.deaths.clear();
        }
        let deaths = self.deaths.entry(place).or_default();
        *deaths = deaths.saturating_add(1);
        if *deaths < DEATHS {
            return Verdict::Unclear;
        }
        self.deaths.remove(&place);
        if self.accused.is_empty() {
            self.accused.push(place);
            Verdict::Park(place)
        } else {
            self.deaths.clear();
            Verdict::Acquit(std::mem::take(&mut self.accused))
        }
    }

    /// The broker has taken a batch: gives those whose guilt is shown by that.
    pub(crate) fn passed(&mut self, place: Place) -> Vec<Place> {
        self.deaths.remove(&place);
        // The others wait for their turn alone.
        self.alone = !self.deaths.is_empty();
        std::mem::take(&mut self.accused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64) -> Place {
        (Stream::Readings, Seq::new(seq))
    }

    #[test]
    fn a_batch_is_set_aside_after_two_deaths_alone() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.broke(&[place(1), place(2)]), Verdict::Unclear);
        assert!(suspects.alone());
        assert_eq!(suspects.broke(&[place(1)]), Verdict::Unclear);
        assert_eq!(suspects.broke(&[place(1)]), Verdict::Park(place(1)));
        assert_eq!(suspects.passed(place(2)), [place(1)]);
        assert!(!suspects.alone());
    }

    #[test]
    fn a_broker_that_breaks_at_each_batch_gets_none_of_them_set_aside() {
        let mut suspects = Suspects::default();
        suspects.broke(&[place(1)]);
        assert_eq!(suspects.broke(&[place(1)]), Verdict::Park(place(1)));
        assert_eq!(suspects.broke(&[place(2)]), Verdict::Unclear);
        assert_eq!(suspects.broke(&[place(2)]), Verdict::Acquit(vec![place(1)]));
    }

    #[test]
    fn a_batch_that_passes_is_cleared() {
        let mut suspects = Suspects::default();
        suspects.broke(&[place(1)]);
        assert!(suspects.passed(place(1)).is_empty());
        assert!(!suspects.alone());
        assert_eq!(suspects.broke(&[place(1)]), Verdict::Unclear);
    }
}
