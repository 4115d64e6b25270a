//! Erasing what is kept of a meter, while receiving goes on: on a slow card with a full store it takes minutes.

use std::collections::VecDeque;

use messages::{MeterId, Time};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Half;
use crate::halves::control::Answer;
use crate::store::{Erasing, StoreError};

/// So many are under way at a time.
const MOST: usize = 8;

/// Which meter, from when, and until before when.
pub(super) type Span = (MeterId, Time, Time);

/// One that is done, or has failed.
pub(super) type Erased = (Erasing, Result<u64, StoreError>);

/// What is being erased, and who wants to know.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    running: JoinSet<Erased>,
    asked: Vec<(Span, Vec<oneshot::Sender<Answer>>)>,
    /// Those that are done when nobody waits any more: whoever asks again is told so.
    unheard: VecDeque<Span>,
}

impl Erasures {
    /// The next one that is done; `None` while nothing is erased. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Option<Erased> {
        self.running.join_next().await?.ok()
    }
}

impl Half {
    /// Erases a span, or joins those who wait for it already.
    pub(super) async fn erase(&mut self, span: Span, to: oneshot::Sender<Answer>) {
        let erasures = &mut self.erasures;
        if let Some(place) = erasures.unheard.iter().position(|done| *done == span) {
            erasures.unheard.remove(place);
            let _ = to.send(Answer::of(&()));
            return;
        }
        if let Some((_, waiting)) = erasures.asked.iter_mut().find(|(asked, _)| *asked == span) {
            waiting.retain(|answer| !answer.is_closed());
            waiting.push(to);
            return;
        }
        if erasures.asked.len() >= MOST {
            let _ = to.send(Answer::Later(format!("{MOST} spans are being erased")));
            return;
        }
        // What is not stored yet must not get there later.
        let (meter, from, until) = span;
        self.collector.erase(meter, from, until);
        self.store().await;
        match self.writer.begin_erasing(meter, from, until).await {
            Ok(mut erasing) => {
                self.erasures.asked.push((span, vec![to]));
                self.erasures.running.spawn(async move {
                    let erased = erasing.done().await;
                    (erasing, erased)
                });
            }
            Err(closed) => {
                let _ = to.send(Answer::Later(closed.to_string()));
            }
        }
    }

    /// It is done in the store, or has failed.
    pub(super) async fn erased(&mut self, (erasing, erased): Erased) {
        let span = erasing.of();
        let (meter, from, until) = span;
        if let Ok(sealed) = &erased {
            // What was heard meanwhile belongs to the span as well, and the store lets it in from here on.
            self.collector.erase(meter, from, until);
            self.collector.set_sealed(meter, *sealed);
            self.store().await;
        }
        if self.writer.end_erasing(erasing).await.is_err() {
            return;
        }
        let place = self.erasures.asked.iter().position(|(asked, _)| *asked == span);
        let waiting = place.map(|place| self.erasures.asked.swap_remove(place).1).unwrap_or_default();
        let answer = match &erased {
            Ok(_) => Answer::of(&()),
            // A disk that is full, and a store that is being replaced, pass.
            Err(error) => Answer::Later(error.to_string()),
        };
        let heard = waiting.into_iter().map(|to| to.send(answer.clone()).is_ok());
        // Each is to be told.
        if heard.filter(|heard| *heard).count() == 0 && erased.is_ok() {
            self.erasures.unheard.truncate(MOST - 1);
            self.erasures.unheard.push_front(span);
        }
    }
}

#[cfg(test)]
mod tests;
