//! How fast is read what a peer sends: bursts at once, a flood no faster than this.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes a second in the long run, and at once.
const RATE: u64 = 4 * 1024 * 1024;
const BURST: u64 = 32 * 1024 * 1024;

/// What a piece costs beside its bytes: waking up for it.
const PIECE: u64 = 1024;

/// A bucket that fills with time.
#[derive(Debug)]
pub struct Pace {
    /// When it is full again.
    full_at: Instant,
}

impl Pace {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Waits until more may be read, after so many bytes.
    pub async fn keep(&mut self, bytes: usize) {
        if let Some(until) = self.after(Instant::now(), bytes as u64) {
            sleep_until(until).await;
        }
    }

    fn after(&mut self, now: Instant, bytes: u64) -> Option<Instant> {
        let cost = Duration::from_micros((bytes + PIECE) * 1_000_000 / RATE);
        self.full_at = self.full_at.max(now) + cost;
        let slack = Duration::from_micros(BURST * 1_000_000 / RATE);
        self.full_at.checked_sub(slack).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_passes_and_a_flood_has_to_wait() {
        let start = Instant::now() + Duration::from_mins(10);
        let mut pace = Pace::new(start);
        for _ in 0..100 {
            assert_eq!(pace.after(start, 64 * 1024), None);
        }
        // Further 512 MiB take about two minutes.
        let mut now = start;
        for _ in 0..8192 {
            now = pace.after(now, 64 * 1024).unwrap_or(now);
        }
        let took = now.duration_since(start).as_secs();
        assert!((110..140).contains(&took), "{took}");
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.after(later, 1024 * 1024), None);
    }
}
