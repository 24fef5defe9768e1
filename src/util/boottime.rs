//! Time since the machine was started: it goes on while the machine sleeps, and nobody sets it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The clock that counts sleep: that of Linux stands still under the usual name.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// Now.
    pub fn now() -> Self {
        let at = clock_gettime(CLOCK);
        let seconds = Duration::from_secs(u64::try_from(at.tv_sec).unwrap_or(0));
        Self(seconds + Duration::from_nanos(u64::try_from(at.tv_nsec).unwrap_or(0)))
    }

    /// How long ago it was, sleep included.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_at_least_what_the_timers_count() {
        let (began, timers) = (BootTime::now(), std::time::Instant::now());
        while timers.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        let timers = timers.elapsed();
        assert!(began.elapsed() >= timers && BootTime::now() > began, "{timers:?}");
    }
}
