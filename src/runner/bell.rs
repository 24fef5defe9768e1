//! Listening: a task that waits for hints and entries, and tells the one that claims.
//!
//! It listens to the streams as they were when the last claim found nothing. After one of them rang, or there is another
//! lane, it listens to hints alone until it is told anew, so that a full runner is not woken by every job.
//!
//! Invariant: a stream that was armed is listened to, or the one who armed it wakes the bell so that it will be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Runner;
use crate::util::Backoff;
use crate::work::{BELL_BLOCK, Doorbell, Hint};

/// Hints that wait to be looked at.
const QUEUE: usize = 64;

/// Pause before another bell is hung, growing to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How soon a runner with a free slot arms the bell again.
const ARMED_SOON: Duration = Duration::from_millis(20);

/// What to listen to.
#[derive(Debug, Clone, Default)]
pub struct Arm {
    /// Streams.
    pub streams: Vec<String>,
    /// After which of their entries.
    pub marks: Vec<String>,
}

/// The claiming side's end of the bell.
pub struct Bell {
    /// What rang; `None` in place of a hint when the bell was hung anew and everything must be looked at.
    pub rang: mpsc::Receiver<Option<Hint>>,
    arm: watch::Sender<Arm>,
    heard: Heard,
}

/// The streams that are listened to at this moment.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn set(&self, streams: &[String]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = streams.to_vec();
    }

    fn has_all(&self, streams: &[String]) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.iter().all(|stream| heard.contains(stream))
    }
}

impl Bell {
    /// Starts listening.
    pub fn hang(runner: &Arc<Runner>) -> Self {
        let (tell, rang) = mpsc::channel(QUEUE);
        let (arm, armed) = watch::channel(Arm::default());
        let heard = Heard::default();
        drop(runner.shutdown.spawn(listen(Arc::clone(runner), tell, armed, heard.clone())));
        Self { rang, arm, heard }
    }

    /// Listens to this from now on. `true` when the bell does not listen to all of it at this moment and must be woken
    /// by a hint.
    pub fn arm(&self, arm: Arm) -> bool {
        let streams = arm.streams.clone();
        self.arm.send_replace(arm);
        !self.heard.has_all(&streams)
    }
}

async fn listen(
    runner: Arc<Runner>,
    tell: mpsc::Sender<Option<Hint>>,
    mut armed: watch::Receiver<Arm>,
    heard: Heard,
) {
    let stopped = runner.shutdown.stopped();
    tokio::pin!(stopped);
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let mut bell = match Doorbell::hang(&runner.queue).await {
            Ok(bell) => bell,
            Err(error) => {
                tracing::debug!(%error, "no bell");
                if !runner.shutdown.rest(backoff.pause()).await {
                    return;
                }
                continue;
            }
        };
        backoff.reset();
        if tell.send(None).await.is_err() {
            return;
        }
        let mut rung = false;
        loop {
            let arm = loop {
                rung = rung && !armed.has_changed().unwrap_or(true);
                let arm = if rung { Arm::default() } else { armed.borrow_and_update().clone() };
                heard.set(&arm.streams);
                // Armed between the two: whoever did may have seen what was listened to before.
                if !armed.has_changed().unwrap_or(false) {
                    break arm;
                }
            };
            let waited = tokio::select! {
                () = &mut stopped => return,
                waited = bell.wait(&arm.streams, &arm.marks, BELL_BLOCK) => waited,
            };
            let Ok(hint) = waited.inspect_err(|error| tracing::debug!(%error, "the bell broke")) else {
                break;
            };
            let is_looked_for = matches!(hint, Hint::Work | Hint::Lanes);
            if hint != Hint::Quiet && tell.send(Some(hint)).await.is_err() {
                return;
            }
            if is_looked_for {
                // A runner with a free slot claims and arms again within this time.
                rung = tokio::time::timeout(ARMED_SOON, armed.changed()).await.is_err();
            }
        }
    }
}
