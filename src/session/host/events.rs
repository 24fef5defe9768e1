//! `GET /v1/events`: what happens in the session, one JSON object a line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Host;
use crate::session::HostEvent;
use crate::session::screen::Notice;

/// Shortest time between two states.
const STATUS_PAUSE: Duration = Duration::from_millis(50);

/// Shortest time between two signs of activity.
const ACTIVITY_PAUSE: Duration = Duration::from_millis(500);

/// One who follows.
struct Follower {
    host: Arc<Host>,
    changes: watch::Receiver<u64>,
    notices: broadcast::Receiver<Notice>,
    /// Output up to here is told of.
    seen: u64,
    status_after: Instant,
    activity_after: Instant,
    first: bool,
    ended: bool,
}

/// The lines for one who follows: the state, what happens, and the final state.
pub(super) fn lines(host: Arc<Host>) -> impl Stream<Item = Bytes> {
    let now = Instant::now();
    let follower = Follower {
        changes: host.told.changes(),
        notices: host.told.notices(),
        seen: host.output.end(),
        status_after: now,
        activity_after: now,
        first: true,
        ended: false,
        host,
    };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((Bytes::from(line), follower))
    })
}

impl Follower {
    fn status(&mut self) -> HostEvent {
        self.changes.mark_unchanged();
        self.status_after = Instant::now() + STATUS_PAUSE;
        HostEvent::Status { status: Box::new(self.host.status_now()) }
    }

    async fn next(&mut self) -> Option<HostEvent> {
        if self.ended {
            return None;
        }
        if std::mem::take(&mut self.first) {
            return Some(self.status());
        }
        loop {
            // A copy: what it sees counts as seen only once it is told.
            let mut changes = self.changes.clone();
            let status_after = self.status_after;
            let another = async move {
                let _ = changes.changed().await;
                tokio::time::sleep_until(status_after).await;
            };
            tokio::select! {
                biased;
                // Before it is closed the state is final.
                () = self.host.output.closed() => {
                    self.ended = true;
                    return Some(self.status());
                }
                () = another => return Some(self.status()),
                notice = self.notices.recv() => match notice {
                    Ok(Notice { title, body }) => return Some(HostEvent::Notice { title, body }),
                    // It was too slow for some; the newest come.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                end = activity(&self.host, self.seen, self.activity_after) => {
                    self.seen = end;
                    self.activity_after = Instant::now() + ACTIVITY_PAUSE;
                    if !self.host.viewers.attended() {
                        return Some(HostEvent::Activity);
                    }
                }
            }
        }
    }
}

/// Resolves when there is new output, with its end.
async fn activity(host: &Host, seen: u64, after: Instant) -> u64 {
    tokio::time::sleep_until(after).await;
    if !host.output.grown(seen).await {
        // The end is told by another.
        std::future::pending::<()>().await;
    }
    host.output.end()
}
