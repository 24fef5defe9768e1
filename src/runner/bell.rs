//! Listening: a task that waits for hints and entries, and tells the one that claims.
//!
//! It listens to the streams as they were when the last claim found nothing. After one of them rang it listens to
//! hints alone until it is told anew, so that a full runner is not woken by every job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    deaf: Arc<AtomicBool>,
}

impl Bell {
    /// Starts listening.
    pub fn hang(runner: &Arc<Runner>) -> Self {
        let (tell, rang) = mpsc::channel(QUEUE);
        let (arm, armed) = watch::channel(Arm::default());
        let deaf = Arc::new(AtomicBool::new(true));
        drop(runner.shutdown.spawn(listen(Arc::clone(runner), tell, armed, Arc::clone(&deaf))));
        Self { rang, arm, deaf }
    }

    /// Listens to this from now on. `true` when the bell listens to hints alone at this moment and must be woken
    /// by one.
    pub fn arm(&self, arm: Arm) -> bool {
        let listens = !arm.streams.is_empty();
        self.arm.send_replace(arm);
        listens && self.deaf.load(Ordering::SeqCst)
    }
}

async fn listen(
    runner: Arc<Runner>,
    tell: mpsc::Sender<Option<Hint>>,
    mut armed: watch::Receiver<Arm>,
    deaf: Arc<AtomicBool>,
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
            rung = rung && !armed.has_changed().unwrap_or(true);
            let mut arm = if rung { Arm::default() } else { armed.borrow_and_update().clone() };
            deaf.store(arm.streams.is_empty(), Ordering::SeqCst);
            if rung && armed.has_changed().unwrap_or(true) {
                // It was armed between the two looks, and may not have seen that this is deaf.
                arm = armed.borrow_and_update().clone();
            }
            let heard = tokio::select! {
                () = &mut stopped => return,
                heard = bell.wait(&arm.streams, &arm.marks, BELL_BLOCK) => heard,
            };
            let Ok(hint) = heard.inspect_err(|error| tracing::debug!(%error, "the bell broke")) else {
                break;
            };
            let work = hint == Hint::Work;
            if hint != Hint::Quiet && tell.send(Some(hint)).await.is_err() {
                return;
            }
            if work {
                // A runner with a free slot claims and arms again within this time.
                rung = tokio::time::timeout(ARMED_SOON, armed.changed()).await.is_err();
            }
        }
    }
}
