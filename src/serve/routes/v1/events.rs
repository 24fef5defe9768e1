//! What happens to sessions, as server-sent events in the form of gmux: every session there is, then every change.
//! Ids, the end of the first part and notices are ours.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Duration;

use crate::serve::auth::Caller;
use crate::serve::{ApiError, App};
use crate::session::live::{LiveEvent, LiveSession, News, Subscription};
use crate::util::{Shutdown, visible, visible_line};
use crate::wire::v1::{EventObject, Refusal};

/// A sign of life.
const BEAT: &[u8] = b":\n\n";

/// Bytes of events sent at a time, about.
const PIECE: usize = 64 * 1024;

/// Longest list of ids, in bytes: hubs of gmux break off at lines of 256 KiB.
const IDS_MAX: usize = 128 * 1024;

/// Longest text of a notice, in characters.
const NOTICE_MAX: usize = 1000;

/// What happens to sessions.
#[utoipa::path(get, path = "/v1/events", tag = "sessions",
    params(("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was seen")),
    responses(
        (status = 200, description = "`session-upsert`, `session-remove`, `session-activity`, and ours: `session-snapshot` after the first part, `session-notice`", content_type = "text/event-stream", body = EventObject),
        (status = 503, description = "`too_many_streams`", body = Refusal),
    )
)]
pub async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seat = Arc::clone(&app.v1_streams).try_acquire_owned().map_err(|_| {
        ApiError::busy(
            "too_many_streams",
            "all event streams are taken; close one, or raise `serve.streams`",
            5,
        )
    })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.and_then(|id| {
        let (epoch, number) = id.trim().split_once('-')?;
        (epoch == app.live.epoch()).then(|| number.parse().ok())?
    });
    let client = Client {
        epoch: app.live.epoch().to_owned(),
        news: app.live.subscribe(after),
        waiting: VecDeque::new(),
        told: None,
        beat: app.limits.v1_heartbeat,
        shutdown: app.shutdown.clone(),
        caller,
        _seat: seat,
    };
    // Something to send at once: the head goes out with it.
    let body = Body::from_stream(stream::unfold((true, client), async |(first, mut client)| {
        let bytes = if first { Bytes::from_static(BEAT) } else { client.next().await? };
        Some((Ok::<_, std::convert::Infallible>(bytes), (false, client)))
    }));
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((kind, body).into_response())
}

struct Client {
    epoch: String,
    news: Subscription,
    /// Of the first part, what is not sent yet.
    waiting: VecDeque<Arc<LiveSession>>,
    /// What ends the first part: its number and all ids.
    told: Option<(u64, Vec<String>)>,
    beat: Duration,
    shutdown: Shutdown,
    caller: Caller,
    _seat: OwnedSemaphorePermit,
}

impl Client {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.rest() {
            return Some(bytes);
        }
        let (stopped, revoked) = (self.shutdown.stopped(), self.caller.revoked());
        let news = tokio::select! {
            biased;
            () = stopped => return None,
            () = revoked => return None,
            news = self.news.next() => news,
            () = tokio::time::sleep(self.beat) => return Some(Bytes::from_static(BEAT)),
        };
        match news {
            News::All(number, sessions) => {
                self.told = Some((number, sessions.iter().map(|session| session.id().to_string()).collect()));
                self.waiting = sessions.into();
                self.rest()
            }
            News::Changes(changes) => {
                let mut out = Vec::new();
                for (number, event) in &changes {
                    self.change(&mut out, *number, event);
                }
                Some(out.into())
            }
        }
    }

    /// More of the first part.
    fn rest(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while out.len() < PIECE
            && let Some(session) = self.waiting.pop_front()
        {
            // Without an id: who comes back in the middle gets all of it again.
            upsert(&mut out, &session);
        }
        if out.is_empty() {
            let (number, ids) = self.told.take()?;
            let mut said = json!({ "count": ids.len(), "type": "session-snapshot" });
            let ids = Value::from(ids);
            if ids.to_string().len() <= IDS_MAX {
                said["ids"] = ids;
            }
            self.id(&mut out, number);
            event(&mut out, "session-snapshot", said.to_string().as_bytes());
        }
        Some(out.into())
    }

    fn id(&self, out: &mut Vec<u8>, number: u64) {
        // Writing to memory can't fail.
        let _ = writeln!(out, "id: {}-{number}", self.epoch);
    }

    fn change(&self, out: &mut Vec<u8>, number: u64, what: &LiveEvent) {
        self.id(out, number);
        match what {
            LiveEvent::Upsert(session) => upsert(out, session),
            LiveEvent::Remove(id) => simple(out, "session-remove", id.as_str()),
            LiveEvent::Activity(id) => simple(out, "session-activity", id.as_str()),
            LiveEvent::Notice(id, notice) => {
                let clip = |text: &str| text.chars().take(NOTICE_MAX).collect::<String>();
                let said = json!({
                    "body": visible(&clip(&notice.body)), "id": id.as_str(),
                    "title": visible_line(&clip(&notice.title)), "type": "session-notice",
                });
                event(out, "session-notice", said.to_string().as_bytes());
            }
        }
    }
}

fn event(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let _ = write!(out, "event: {name}\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

fn simple(out: &mut Vec<u8>, name: &str, id: &str) {
    event(out, name, json!({ "id": id, "type": name }).to_string().as_bytes());
}

fn upsert(out: &mut Vec<u8>, session: &LiveSession) {
    let mut data = format!("{{\"id\":\"{}\",\"session\":", session.id()).into_bytes();
    data.extend_from_slice(&session.json());
    data.extend_from_slice(b",\"type\":\"session-upsert\"}");
    event(out, "session-upsert", &data);
}
