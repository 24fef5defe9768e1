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
    /// Since when nobody listens to it.
    excused: Option<Instant>,
}

impl Heartbeat {
    /// Asks after so much `silence`, and gives the `answer` so much time.
    pub fn new(silence: Duration, answer: Duration) -> Self {
        let state = Beat { heard: Instant::now(), asked: None, excused: None };
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
        state.excused = state.excused.map(|_| state.heard);
    }

    /// Nobody listens to the client at the moment, or does again. Its time stands still meanwhile, and goes on where it
    /// was: who is not listened to for a moment, again and again, is asked all the same.
    pub fn excuse(&self, excused: bool) {
        let mut state = self.state();
        match (state.excused, excused) {
            (None, true) => state.excused = Some(Instant::now()),
            (Some(since), false) => {
                let stood = since.elapsed();
                state.heard += stood;
                state.asked = state.asked.map(|asked| asked + stood);
                state.excused = None;
            }
            _ => {}
        }
    }

    /// The next question, at its time; an error when the last one was not answered. Can be dropped while it waits.
    pub async fn next(&self) -> Result<Message, Close> {
        loop {
            let until = {
                let state = self.state();
                match (state.excused, state.asked) {
                    (Some(_), _) => Instant::now() + self.answer,
                    (None, Some(asked)) => asked + self.answer,
                    (None, None) => state.heard + self.silence,
                }
            };
            tokio::time::sleep_until(until).await;
            let mut state = self.state();
            let now = Instant::now();
            if state.excused.is_some() {
                continue;
            }
            if state.asked.is_some_and(|asked| now >= asked + self.answer) {
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
    async fn moments_in_which_nobody_listens_keep_no_silent_client() {
        let beat = Heartbeat::new(Duration::from_secs(20), Duration::from_secs(10));
        let moments = async {
            loop {
                tokio::time::sleep(Duration::from_secs(4)).await;
                beat.excuse(true);
                tokio::time::sleep(Duration::from_millis(100)).await;
                beat.excuse(false);
            }
        };
        let begun = Instant::now();
        let let_go = async {
            assert!(matches!(beat.next().await, Ok(Message::Ping(_))));
            assert!(matches!(beat.next().await, Err(Close::TooSlow)));
        };
        tokio::select! {
            () = moments => {}
            done = tokio::time::timeout(Duration::from_mins(10), let_go) => done.expect("it is let go"),
        }
        assert!((30..42).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
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
