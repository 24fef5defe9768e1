//! Whether a client is still there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tungstenite::Message;

use super::frames::Close;

/// Asks a quiet client whether it is there, and knows when it last said something.
#[derive(Debug)]
pub struct Heartbeat {
    silence: Duration,
    answer: Duration,
    state: Mutex<Beat>,
}

#[derive(Debug)]
struct Beat {
    heard: Instant,
    asked: Option<Instant>,
    excused: bool,
}

impl Heartbeat {
    /// Asks after so much `silence`, and gives the `answer` so much time.
    pub fn new(silence: Duration, answer: Duration) -> Self {
        let state = Beat { heard: Instant::now(), asked: None, excused: false };
        Self { silence, answer, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, Beat> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client said something.
    pub fn heard(&self) {
        let mut state = self.state();
        state.heard = Instant::now();
        state.asked = None;
    }

    /// Nobody listens to the client at the moment, or does again.
    pub fn excuse(&self, excused: bool) {
        let mut state = self.state();
        if state.excused && !excused {
            state.heard = Instant::now();
            state.asked = None;
        }
        state.excused = excused;
    }

    /// The next question, at its time; an error when the last one was not answered. Can be dropped while it waits.
    pub async fn next(&self) -> Result<Message, Close> {
        loop {
            let until = {
                let state = self.state();
                state.asked.map_or(state.heard + self.silence, |asked| asked + self.answer)
            };
            tokio::time::sleep_until(until).await;
            let mut state = self.state();
            let now = Instant::now();
            if state.excused {
                state.heard = now;
                state.asked = None;
            } else if state.asked.is_some_and(|asked| now >= asked + self.answer) {
                return Err(Close::TooSlow);
            } else if state.asked.is_none() && now >= state.heard + self.silence {
                state.asked = Some(now);
                return Ok(Message::Ping(Bytes::new()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_asked_once_and_then_let_go() {
        let beat = Heartbeat::new(Duration::from_secs(20), Duration::from_secs(10));
        let begun = Instant::now();
        assert!(matches!(beat.next().await, Ok(Message::Ping(_))));
        assert_eq!(begun.elapsed().as_secs(), 20);
        beat.heard();
        assert!(matches!(beat.next().await, Ok(Message::Ping(_))));
        assert_eq!(begun.elapsed().as_secs(), 40);
        assert!(matches!(beat.next().await, Err(Close::TooSlow)));
        assert_eq!(begun.elapsed().as_secs(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_not_listened_to_is_not_asked() {
        let beat = Heartbeat::new(Duration::from_secs(20), Duration::from_secs(10));
        beat.excuse(true);
        assert!(tokio::time::timeout(Duration::from_mins(10), beat.next()).await.is_err());
        beat.excuse(false);
        assert!(matches!(beat.next().await, Ok(Message::Ping(_))));
    }
}
