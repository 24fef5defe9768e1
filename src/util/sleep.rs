//! Noticing that the machine slept.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Clock;

/// How much further than the timers the wall clock must be.
const SLEPT: Duration = Duration::from_secs(5);

/// Notices when the wall clock ran on while the timers stood still.
#[derive(Debug)]
pub struct SleepWatch {
    clock: Clock,
    last: (Instant, Timestamp),
}

impl SleepWatch {
    /// From now on.
    pub fn new(clock: Clock) -> Self {
        let last = (Instant::now(), clock.now());
        Self { clock, last }
    }

    /// How long the machine slept since the last look, if it did.
    pub fn look(&mut self) -> Option<Duration> {
        let now = (Instant::now(), self.clock.now());
        let timers = now.0.duration_since(self.last.0);
        let wall = Duration::try_from(now.1.duration_since(self.last.1)).unwrap_or_default();
        self.last = now;
        wall.checked_sub(timers).filter(|slept| *slept >= SLEPT)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn a_jump_of_the_wall_clock_is_a_sleep_and_a_pause_is_none() {
        let clock = Clock::manual("2026-11-22T00:00:00Z".parse().unwrap());
        let mut watch = SleepWatch::new(clock.clone());
        assert_eq!(watch.look(), None);
        clock.advance(SignedDuration::from_hours(1));
        assert!(watch.look().unwrap() > Duration::from_mins(59));
        clock.advance(SignedDuration::from_hours(-1));
        assert_eq!(watch.look(), None);
    }
}
