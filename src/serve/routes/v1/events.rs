//! What happens to sessions, as server-sent events in the form of gmux: every session there is, then every change.
//! Ids, the end of the first part and notices are ours.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Duration;

use super::feed::{Any, Feed, FeedNews, Happened, Place};
use super::sessions;
use crate::peer::{Audience, RemoteEvent};
use crate::serve::auth::Caller;
use crate::serve::params::{Params, wrong};
use crate::serve::{ApiError, App};
use crate::session::live::{LiveEvent, Notice};
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
    params(
        ("scope" = Option<String>, Query, description = "`own`, as when absent: the sessions of this machine and of its local peers; `all`: those of every peer, too"),
        ("darkmux-via" = Option<String>, Header, description = "who asks, when it is a hub: it is told of all that did not come through it"),
        ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was seen"),
    ),
    responses(
        (status = 200, description = "`session-upsert`, `session-remove`, `session-activity`, `peer-status`, and ours: `discovery`, `session-snapshot` after the first part, `session-notice`", content_type = "text/event-stream", body = EventObject),
        (status = 400, description = "`bad_request`: no such scope", body = Refusal),
        (status = 503, description = "`too_many_streams`", body = Refusal),
    )
)]
pub async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let audience = audience(&params, &headers)?;
    let seat = Arc::clone(&app.v1_streams).try_acquire_owned().map_err(|_| {
        ApiError::busy(
            "too_many_streams",
            "all event streams are taken; close one, or raise `serve.streams`",
            5,
        )
    })?;
    if !matches!(audience, Audience::Hub(_)) {
        app.peers.wake();
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let client = Client {
        epoch: app.live.epoch().to_owned(),
        news: Feed::new(&app.live, &app.peers, last.and_then(|last| Place::of(&app, last)), audience),
        waiting: VecDeque::new(),
        told: None,
        beat: app.limits.v1_heartbeat,
        over: Box::pin(over(&caller, &app.shutdown)),
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

/// Which sessions of other machines they are told of.
fn audience(params: &Params, headers: &HeaderMap) -> Result<Audience, ApiError> {
    let scope = match params.text("scope")? {
        None | Some("own") => Audience::Near,
        Some("all") => Audience::All,
        Some(other) => return Err(wrong("scope", other, "`own` or `all`")),
    };
    Ok(sessions::hub(headers).unwrap_or(scope))
}

struct Client {
    epoch: String,
    news: Feed,
    /// Of the first part, what is not sent yet.
    waiting: VecDeque<Any>,
    /// What ends the first part: its place and all ids.
    told: Option<(Place, Vec<String>)>,
    beat: Duration,
    /// For the whole stream: who is asked after a minute whether they may still look is asked also while it beats.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    _seat: OwnedSemaphorePermit,
}

/// Resolves when the daemon stops, or the caller may no longer look.
fn over(caller: &Caller, shutdown: &Shutdown) -> impl Future<Output = ()> + Send + use<> {
    let (stopped, revoked) = (shutdown.stopped(), caller.revoked());
    async move {
        tokio::select! {
            () = stopped => {}
            () = revoked => {}
        }
    }
}

impl Client {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.rest() {
            return Some(bytes);
        }
        let news = tokio::select! {
            biased;
            () = &mut self.over => return None,
            news = self.news.next() => news,
            () = tokio::time::sleep(self.beat) => return Some(Bytes::from_static(BEAT)),
        };
        match news {
            FeedNews::All(place, sessions) => {
                self.told = Some((place, sessions.iter().map(|session| session.id().to_owned()).collect()));
                self.waiting = sessions.into();
                self.rest()
            }
            FeedNews::Changes(changes) => {
                let mut out = Vec::new();
                for (place, event) in changes {
                    self.id(&mut out, place);
                    match event {
                        Happened::Own(event) => own(&mut out, event),
                        Happened::Remote(event) => remote(&mut out, event),
                    }
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
            let (place, ids) = self.told.take()?;
            let mut said = json!({ "count": ids.len(), "type": "session-snapshot" });
            let ids = Value::from(ids);
            if ids.to_string().len() <= IDS_MAX {
                said["ids"] = ids;
            }
            self.id(&mut out, place);
            event(&mut out, "session-snapshot", said.to_string().as_bytes());
        }
        Some(out.into())
    }

    fn id(&self, out: &mut Vec<u8>, place: Place) {
        // Writing to memory can't fail.
        let _ = writeln!(out, "id: {}", place.shown(&self.epoch));
    }
}

fn own(out: &mut Vec<u8>, what: LiveEvent) {
    match what {
        LiveEvent::Upsert(session) => upsert(out, &Any::Own(session)),
        LiveEvent::Remove(id) => simple(out, "session-remove", &id),
        LiveEvent::Activity(id) => simple(out, "session-activity", &id),
        LiveEvent::Notice(id, notice) => notice_of(out, &id, &notice),
    }
}

fn remote(out: &mut Vec<u8>, what: RemoteEvent) {
    match what {
        RemoteEvent::Upsert(session) => upsert(out, &Any::Remote(session)),
        RemoteEvent::Remove(id) => simple(out, "session-remove", &id),
        RemoteEvent::Activity(id) => simple(out, "session-activity", &id),
        RemoteEvent::Notice(id, notice) => notice_of(out, &id, &notice),
        RemoteEvent::Status(name) => simple(out, "peer-status", &name),
        RemoteEvent::Found => simple(out, "discovery", &""),
    }
}

fn notice_of(out: &mut Vec<u8>, id: &dyn Display, notice: &Notice) {
    let clip = |text: &str| text.chars().take(NOTICE_MAX).collect::<String>();
    let said = json!({
        "body": visible(&clip(&notice.body)), "id": id.to_string(),
        "title": visible_line(&clip(&notice.title)), "type": "session-notice",
    });
    event(out, "session-notice", said.to_string().as_bytes());
}

fn event(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let _ = write!(out, "event: {name}\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

fn simple(out: &mut Vec<u8>, name: &str, id: &dyn Display) {
    event(out, name, json!({ "id": id.to_string(), "type": name }).to_string().as_bytes());
}

fn upsert(out: &mut Vec<u8>, session: &Any) {
    let mut data = format!("{{\"id\":\"{}\",\"session\":", session.id()).into_bytes();
    data.extend_from_slice(&session.json());
    data.extend_from_slice(b",\"type\":\"session-upsert\"}");
    event(out, "session-upsert", &data);
}
