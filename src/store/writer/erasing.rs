//! Erasing on the writer's thread: a bite at a time between commits, and nothing of the span is let into the store
//! meanwhile.

use messages::MeterId;
use messages::Time;
use tokio::sync::oneshot;

use super::super::collect::{CollectStore, Step};
use super::super::erase::Span;
use super::super::{Commit, StoreError, aside};
use super::keeper::Keeper;

/// So many spans are kept out at a time; one more is refused.
const MOST: usize = 16;

/// An erasing that was begun. Until it is ended, also once it is done, commits are stored without what it erases.
#[derive(Debug)]
pub struct Erasing {
    pub(super) span: Span,
    pub(super) done: oneshot::Receiver<Result<u64, StoreError>>,
}

impl Erasing {
    /// Waits until everything is erased; gives how many sealed frames of the meter are left.
    ///
    /// # Errors
    /// [`StoreError`] if not everything could be erased: end it and begin again.
    pub async fn done(&mut self) -> Result<u64, StoreError> {
        (&mut self.done).await.unwrap_or(Err(StoreError::Absent))
    }

    /// Which meter, from when, and until before when.
    #[must_use]
    pub const fn of(&self) -> (MeterId, Time, Time) {
        let Span { meter, from, to } = self.span;
        (meter, from, to)
    }
}

/// A span that is kept out of the store.
#[derive(Debug)]
pub(super) struct Erasure {
    span: Span,
    /// `None` once it is done or was given up.
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    step: Step,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

impl Keeper {
    pub(super) fn begin_erasing(&mut self, span: Span, answer: oneshot::Sender<Result<u64, StoreError>>) {
        if self.erasures.len() >= MOST {
            let _ = answer.send(Err(StoreError::Busy));
            return;
        }
        self.store_waiting();
        self.erasures.push(Erasure { span, work: Some(Work { step: Step::FIRST, answer }) });
        if let Err(error) = self.waiting.erase(&span) {
            self.answer_erasing(self.erasures.len().saturating_sub(1), Err(error));
        } else if self.store.is_none() {
            self.give_up_erasing();
        }
    }

    /// Commits may hold the span again.
    pub(super) fn end_erasing(&mut self, span: &Span) {
        let place = self.erasures.iter().position(|erasure| erasure.span == *span && erasure.work.is_none());
        if let Some(place) = place {
            self.erasures.remove(place);
        }
    }

    pub(super) fn is_erasing(&self) -> bool {
        self.erasures.iter().any(|erasure| erasure.work.is_some())
    }

    /// What is being erased comes into no commit.
    pub(super) fn leave_out(&mut self, commit: &mut Commit) {
        for place in 0..self.erasures.len() {
            let Some(erasure) = self.erasures.get(place) else { continue };
            if let Err(error) = erasure.span.leave_out(commit) {
                self.answer_erasing(place, Err(error));
            }
        }
    }

    /// The next bite of the oldest erasing.
    pub(super) fn erase_some(&mut self) {
        let Some(place) = self.erasures.iter().position(|erasure| erasure.work.is_some()) else { return };
        match self.try_to_erase(place) {
            Ok(None) => {}
            Ok(Some(sealed)) => self.answer_erasing(place, Ok(sealed)),
            Err(error) => {
                self.failed(&error);
                // The connection's state is unknown.
                let store = self.store.take();
                if error.is_damage() {
                    self.remedy(error, store);
                }
            }
        }
    }

    /// `None` while there is more to be done.
    fn try_to_erase(&mut self, place: usize) -> Result<Option<u64>, StoreError> {
        let (Some(store), Some(erasure)) = (&mut self.store, self.erasures.get_mut(place)) else {
            return Ok(None);
        };
        let (span, Some(work)) = (erasure.span, &mut erasure.work) else { return Ok(None) };
        if work.step != Step::Done {
            work.step = store.erase_some(&span, work.step)?;
            return Ok(None);
        }
        self.chores.start_over();
        self.chores.empty_log = !store.fold_all()?;
        aside::remove_saved(&self.options.directory)?;
        sealed(store, &span).map(Some)
    }

    /// The store is another one, or cannot be written: all of it is to be begun again.
    pub(super) fn give_up_erasing(&mut self) {
        for place in 0..self.erasures.len() {
            self.answer_erasing(place, Err(StoreError::Absent));
        }
    }

    fn answer_erasing(&mut self, place: usize, erased: Result<u64, StoreError>) {
        let work = self.erasures.get_mut(place).and_then(|erasure| erasure.work.take());
        if let Some(Work { answer, .. }) = work {
            // What waits is sent from what is told: before the answer, it must not hold the erased any more.
            self.tell();
            // Whoever asked may have stopped waiting.
            let _ = answer.send(erased);
        }
    }
}

/// How many sealed frames of the meter there are.
fn sealed(store: &CollectStore, span: &Span) -> Result<u64, StoreError> {
    let meters = store.sealed_meters()?;
    let of_it = meters.iter().find(|(meter, _)| meter.to_string() == span.meter.as_str());
    Ok(of_it.map_or(0, |(_, frames)| *frames))
}

#[cfg(test)]
mod tests;
