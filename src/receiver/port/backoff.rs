//! How long to wait before the port is tried again.

use std::time::Duration;

const SECONDS: [u64; 7] = [1, 2, 4, 8, 16, 30, 60];

/// 1, 2, 4, 8, 16, 30 and from then on 60 seconds, each up to a fifth shorter or longer, so that several receivers behind
/// one bad hub do not all come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: usize,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { failures: 0 }
    }

    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let seconds = SECONDS.get(self.failures).or(SECONDS.last()).copied().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        let permille = 800 + u64::from(random % 401);
        Duration::from_millis(seconds * permille)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new();
        let waits: Vec<u64> = (0..9).map(|_| backoff.next(200).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(200).as_secs(), 1);
    }

    #[test]
    fn jitter_is_at_most_a_fifth() {
        assert_eq!(Backoff::new().next(0), Duration::from_millis(800));
        assert_eq!(Backoff::new().next(400), Duration::from_millis(1200));
        assert!((800..=1200).contains(&Backoff::new().next(u32::MAX).as_millis()));
    }
}
