//! Spreading what would happen everywhere at once.

use std::time::Duration;

use uuid::Uuid;

/// `span` up to `percent` shorter or longer, at random.
pub fn jitter(span: Duration, percent: u32) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let most = u64::try_from(span.as_micros()).unwrap_or(u64::MAX) / 100 * u64::from(percent) * 2;
    let shortest = span * (100 - percent.min(100)) / 100;
    shortest + Duration::from_micros(random % most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_percentage() {
        for _ in 0..1000 {
            let span = jitter(Duration::from_secs(10), 30);
            assert!((7..=13).contains(&span.as_secs()), "{span:?}");
        }
        assert_eq!(jitter(Duration::ZERO, 10), Duration::ZERO);
    }
}
