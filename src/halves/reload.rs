//! Callers who wait until the configuration is loaded again and in force.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use super::control::Answer;

/// What came of loading, or all that is wrong.
pub type Loaded = Result<(), String>;

/// A wish that the configuration be loaded again. Whoever wishes is told once the halves can see it, or what is wrong.
pub type Wish = oneshot::Sender<Loaded>;

/// More wishes than this at a time are refused.
pub const WISHES: usize = 16;

/// The wishes that came over the control socket of one half, oldest first.
#[derive(Debug)]
pub(super) struct Reloads {
    wishes: mpsc::Sender<Wish>,
    waiting: VecDeque<(oneshot::Receiver<Loaded>, oneshot::Sender<Answer>)>,
    /// What was wrong when this half last took a configuration.
    wrong: Option<String>,
}

impl Reloads {
    pub(super) const fn new(wishes: mpsc::Sender<Wish>) -> Self {
        Self { wishes, waiting: VecDeque::new(), wrong: None }
    }

    /// Somebody wishes it. The answer waits.
    pub(super) fn wish(&mut self, answer: oneshot::Sender<Answer>) {
        let (tell, told) = oneshot::channel();
        match self.wishes.try_send(tell) {
            Ok(()) => self.waiting.push_back((told, answer)),
            Err(_) => {
                let _ = answer.send(Answer::Later("it is loading already, many times over".to_owned()));
            }
        }
    }

    /// This half has taken the configuration that is loaded now.
    pub(super) fn taken(&mut self, taken: Loaded) {
        self.wrong = taken.err();
    }

    /// What came of the oldest wish. Between this and [`done`](Self::done) the half looks whether there is a new
    /// configuration, and takes it.
    pub(super) async fn loaded(&mut self) -> Loaded {
        match self.waiting.front_mut() {
            Some((told, _)) => told.await.unwrap_or_else(|_| Err("it is stopping".to_owned())),
            None => std::future::pending().await,
        }
    }

    /// Answers the oldest wish.
    pub(super) fn done(&mut self, loaded: Loaded) {
        let Some((_, answer)) = self.waiting.pop_front() else { return };
        let outcome = loaded.and_then(|()| self.wrong.clone().map_or(Ok(()), Err));
        let _ = answer.send(outcome.map_or_else(Answer::Refused, |()| Answer::of(&())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_caller_is_answered_with_what_came_of_its_own_wish() {
        let (wishes, mut wished) = mpsc::channel(2);
        let mut reloads = Reloads::new(wishes);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (answer, answered) = oneshot::channel();
            reloads.wish(answer);
            answers.push(answered);
        }
        assert!(matches!(answers.pop().unwrap().await, Ok(Answer::Later(_))), "there is room for two");
        wished.recv().await.unwrap().send(Err("x.toml:3: wrong".to_owned())).unwrap();
        let loaded = reloads.loaded().await;
        reloads.done(loaded);
        wished.recv().await.unwrap().send(Ok(())).unwrap();
        let loaded = reloads.loaded().await;
        reloads.taken(Err("the keys cannot be read".to_owned()));
        reloads.done(loaded);
        assert_eq!(answers.pop().unwrap().await.unwrap(), Answer::Refused("the keys cannot be read".into()));
        assert_eq!(answers.pop().unwrap().await.unwrap(), Answer::Refused("x.toml:3: wrong".into()));
    }
}
