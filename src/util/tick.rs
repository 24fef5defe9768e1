//! Common moments for what is looked at now and then.

use std::time::Duration;

use super::Clock;

/// A tick that is nearer than this is the one that was just waited for.
const SAME: Duration = Duration::from_millis(5);

/// Waits for the next multiple of `every` on the machine's clock. Whoever looks at something of this machine now and
/// then waits here, so that an idle process wakes up once for all of them, and the processes of a machine together.
///
/// For looks at what machines share it is [`jitter`](super::jitter()).
pub async fn tick(every: Duration) {
    tokio::time::sleep(until_next(every, Clock::System.now().as_nanosecond())).await;
}

fn until_next(every: Duration, now: i128) -> Duration {
    let period = i128::try_from(every.as_nanos()).unwrap_or(i128::MAX).max(1);
    let left = u64::try_from(period - now.rem_euclid(period)).map_or(every, Duration::from_nanos);
    if left < SAME.min(every / 2) { left + every } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn whoever_waits_wakes_at_the_same_moments() {
        let two = Duration::from_secs(2);
        assert_eq!(until_next(two, 5 * SECOND), Duration::from_secs(1));
        assert_eq!(until_next(two, 5 * SECOND / 2), Duration::from_millis(1500));
        assert_eq!(until_next(Duration::from_secs(6), 6 * SECOND + SECOND / 2), Duration::from_millis(5500));
        assert_eq!(until_next(two, -SECOND / 2), Duration::from_millis(500), "before the epoch");
    }

    #[test]
    fn a_timer_that_is_early_wakes_nobody_twice() {
        let two = Duration::from_secs(2);
        assert_eq!(until_next(two, 4 * SECOND), two);
        assert_eq!(until_next(two, 4 * SECOND - 1_000_000), two + Duration::from_millis(1));
    }
}
