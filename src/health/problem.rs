//! What is wrong with the gateway itself: told once when it begins and once when it is over, counted, reported to the
//! portal.

use std::collections::BTreeMap;

use messages::batch::Record;
use messages::event::{Problem, ProblemKind};
use messages::{Id, Other, Time};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::world::random;

/// The running problems of one half.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    running: BTreeMap<(ProblemKind, Option<String>), Running>,
    /// Problems begun, by kind, since the start of the program.
    begun: BTreeMap<ProblemKind, u64>,
}

#[derive(Clone, Debug)]
struct Running {
    id: Id,
    text: String,
    since: Option<Time>,
}

/// A running problem, for `vesigate status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// What.
    pub problem: ProblemKind,
    /// Which receiver, file or server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// In words, with what to do.
    pub text: String,
    /// Since when, if the clock can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl Problems {
    /// Something is wrong: `text` says what and what to do, without personal data. Gives the record of its beginning,
    /// `None` if it runs already (its text is renewed).
    pub fn raise(
        &mut self,
        problem: ProblemKind,
        place: Option<&str>,
        text: &str,
        at: Option<Time>,
    ) -> Option<Record> {
        let key = (problem.clone(), place.map(str::to_owned));
        if let Some(running) = self.running.get_mut(&key) {
            if running.text != text {
                warn!(problem = problem.as_str(), place, "{text}");
                text.clone_into(&mut running.text);
            }
            return None;
        }
        warn!(problem = problem.as_str(), place, "{text}");
        let id = Id::from_random(u128::from_be_bytes(random::<16>()));
        let count = self.begun.entry(problem).or_default();
        *count = count.saturating_add(1);
        let running = Running { id, text: text.to_owned(), since: at };
        let record = running.record(&key, None);
        self.running.insert(key, running);
        Some(record)
    }

    /// It is over. Gives the record of its end, `None` if it did not run.
    pub fn clear(&mut self, problem: &ProblemKind, place: Option<&str>, at: Option<Time>) -> Option<Record> {
        let key = (problem.clone(), place.map(str::to_owned));
        let running = self.running.remove(&key)?;
        info!(problem = problem.as_str(), place, "over: {}", running.text);
        Some(running.record(&key, at))
    }

    /// Raises or clears, by whether there is a text.
    pub fn set(
        &mut self,
        problem: ProblemKind,
        place: Option<&str>,
        text: Option<&str>,
        at: Option<Time>,
    ) -> Option<Record> {
        match text {
            Some(text) => self.raise(problem, place, text, at),
            None => self.clear(&problem, place, at),
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self, problem: &ProblemKind, place: Option<&str>) -> bool {
        self.running.contains_key(&(problem.clone(), place.map(str::to_owned)))
    }

    /// All that run.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = |((problem, place), running): (&(ProblemKind, Option<String>), &Running)| Listed {
            problem: problem.clone(),
            place: place.clone(),
            text: running.text.clone(),
            since: running.since,
        };
        self.running.iter().map(listed).collect()
    }

    /// How many have begun, by kind.
    #[must_use]
    pub const fn begun(&self) -> &BTreeMap<ProblemKind, u64> {
        &self.begun
    }
}

impl Running {
    fn record(&self, (problem, place): &(ProblemKind, Option<String>), until: Option<Time>) -> Record {
        Record::Problem(Problem {
            id: self.id,
            problem: problem.clone(),
            place: place.clone(),
            since: self.since,
            until,
            other: Other::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_reported_at_its_beginning_and_its_end_under_one_id() {
        let mut problems = Problems::default();
        let (begun, over) = (Time::from_unix(100), Time::from_unix(200));
        let first = problems.raise(ProblemKind::DiskFull, None, "full", begun);
        assert_eq!(problems.raise(ProblemKind::DiskFull, None, "still full", over), None);
        assert_eq!(problems.list().first().map(|listed| listed.text.as_str()), Some("still full"));
        let last = problems.clear(&ProblemKind::DiskFull, None, over);
        let (Some(Record::Problem(first)), Some(Record::Problem(last))) = (first, last) else { panic!() };
        assert_eq!((first.id, first.since, first.until), (last.id, begun, None));
        assert_eq!((last.since, last.until), (begun, over));
        assert_eq!(problems.clear(&ProblemKind::DiskFull, None, over), None);
        assert_eq!(problems.begun().get(&ProblemKind::DiskFull), Some(&1));
    }
}
