//! Pauses between tries: longer each time, and never the same on two machines.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Grows from `least` to `most`.
#[derive(Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    tries: u32,
    random: RandomState,
}

impl Backoff {
    /// Nothing was tried yet.
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, tries: 0, random: RandomState::new() }
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to wait before the next try: between half of the step and all of it.
    pub fn pause(&mut self) -> Duration {
        let step = self.least.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        let share = u32::try_from(self.random.hash_one(self.tries) % 512).unwrap_or(0);
        (step * (512 + share) / 1024).max(self.least / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let (least, most) = (Duration::from_millis(250), Duration::from_secs(10));
        let mut backoff = Backoff::new(least, most);
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= least && pauses[99] >= most / 2, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause >= least / 2 && *pause <= most));
        backoff.reset();
        assert!(backoff.pause() <= least);
    }
}
