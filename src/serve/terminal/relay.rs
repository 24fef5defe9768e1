//! One socket from its begin to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::down::Down;
use super::frames::{Close, TerminalQuery};
use super::hello::{self, Shown};
use super::up;
use crate::serve::App;
use crate::serve::auth::Caller;
use crate::session::live::LiveSession;

/// How long a client may take for the frame that says why its socket is closed.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// How long a socket that cannot be read any more stays open for what it was told.
const LINGER: Duration = Duration::from_millis(300);

/// What a socket needs.
pub struct Ready {
    /// The daemon.
    pub app: Arc<App>,
    /// Whose terminal; `None` where there is none of this id.
    pub session: Option<Arc<LiveSession>>,
    /// Who looks.
    pub caller: Caller,
    /// What they asked for.
    pub asked: TerminalQuery,
    /// Its place among the sockets.
    pub place: OwnedSemaphorePermit,
}

/// Carries the session to the client and the client's keys to the session, until one of them ends it.
pub async fn relay(socket: WebSocket, ready: Ready) {
    let Ready { app, session, caller, asked, place: _place } = ready;
    let (sink, mut frames) = socket.split();
    let read_only = asked.is_read_only() || !caller.may_act();
    let shown = match &session {
        Some(session) => hello::open(&app, session, &asked, read_only).await,
        None => Shown::Nothing,
    };
    let (ours, stall) = (asked.is_ours(), app.limits.write_stall);
    let mut down = Down { sink, ours, read_only, at: asked.from, end: 0, stall, took: false };
    let close = match shown {
        Shown::Nothing => Some(Close::Gone),
        Shown::Ended { at, picture, exit_code } => Some(last_words(&mut down, at, picture, exit_code).await),
        Shown::Living { attached, end } => {
            down.end = end;
            let heartbeat = Heartbeat::new(app.limits.ping, app.limits.pong);
            let (mut events, mut input) = (attached.events, attached.input);
            tokio::select! {
                close = down.run(&mut events, &heartbeat) => Some(close),
                close = up::run(&mut frames, &mut input, read_only, &heartbeat) => close,
                () = caller.revoked() => Some(Close::SignedOut),
                () = app.shutdown.stopped() => Some(Close::ShuttingDown),
            }
        }
    };
    if let Some(close) = close {
        tracing::debug!(?close, "a terminal's socket is closed");
        let goodbye = async {
            let _ = down.sink.send(close.message()).await;
            // Closing before the client has answered could take the last frames from it.
            while let Some(Ok(_)) = frames.next().await {}
            if matches!(close, Close::Garbage | Close::TooBig) {
                // What it still sends cannot be read, and closing at once would take the frame from it, too.
                tokio::time::sleep(LINGER).await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

/// All there is to say of an ended session.
async fn last_words(down: &mut Down, at: u64, picture: Bytes, exit_code: Option<i32>) -> Close {
    let said = async {
        down.attached(at, true).await?;
        down.send(Message::Binary(picture)).await?;
        down.exit(exit_code).await
    };
    said.await.err().unwrap_or(Close::Exited)
}

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
