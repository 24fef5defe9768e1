//! Carrying what is asked about a session of another machine to the peer that knows the way.
//!
//! It stands between the gate and the handlers of every path about one session: who may ask was judged, and the body
//! was read within its bound, before anything goes out; no handler has to think of it.
//!
//! Not here: the terminal (`terminal::away`), and how an answer is judged (`peer::forward`).

use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::app::data;
use super::auth::Caller;
use super::{ApiError, App};
use crate::model::MachineId;
use crate::peer::{self, Carried, PeerClient, PeerError, PeerRequest, PeerStream, RemoteId};
use crate::util::{Shutdown, visible_line};
use crate::wire::RETURN;
use crate::wire::v1::LinkState;

/// How long a stream of output may say nothing.
const STREAM_IDLE: Duration = Duration::from_secs(30);

/// How long it may come altogether: the peer says how much there is, and is believed only so far.
const STREAM_TIME: Duration = Duration::from_hours(1);

/// How long it may take until it begins.
const STREAM_HEAD: Duration = Duration::from_secs(10);

/// How long what is written for us may take to begin.
const FETCH_HEAD: Duration = Duration::from_secs(30);

/// The paths whose session may be elsewhere; the rest of such a path is the action. `GET` of a session, and how to
/// attach to it, are answered here.
const PREFIX: &str = "/v1/sessions/{id}/";
const ANSWERED_HERE: &str = "/v1/sessions/{id}/attach";

/// Whether requests for this route go where their session is.
pub fn is_carried(path: &str) -> bool {
    path.starts_with(PREFIX) && path != ANSWERED_HERE
}

impl App {
    /// The peer that a session belongs to, and what it calls it; `None` for a session of this machine.
    pub(super) fn elsewhere<'a>(&self, id: &'a str) -> Result<Option<(PeerClient, RemoteId<'a>)>, ApiError> {
        let Some(id) = self.onward(id).and_then(RemoteId::parse) else { return Ok(None) };
        Ok(self.peer(id.peer)?.map(|client| (client, id)))
    }

    /// The direct peer of this name. Fails for one that can't be asked yet: its token could not be had.
    fn peer(&self, name: &str) -> Result<Option<PeerClient>, ApiError> {
        let status = self.peers.status(name);
        if status.as_ref().is_some_and(|status| status.status != LinkState::Connected) {
            // What is asked of it shows whether it is back; the link finds out, too.
            self.peers.wake();
        }
        match (self.peers.client(name), status) {
            (None, Some(status)) => {
                let why = status.last_error.unwrap_or_else(|| "it is being connected".to_owned());
                Err(unavailable(name, &PeerError::Failed(why)))
            }
            (client, _) => Ok(client),
        }
    }

    /// A way (`dev@server`, or a session before it) without this machine's own name at its end; `None` when nothing
    /// is left of it.
    pub(super) fn onward<'a>(&self, way: &'a str) -> Option<&'a str> {
        let own = self.machine_id();
        let rest = match way.strip_suffix(own.as_str()) {
            // A peer that has our name comes first: so its sessions are called here.
            Some(rest) if self.peers.client(&own).is_none() => rest,
            _ => return Some(way).filter(|way| !way.is_empty()),
        };
        if rest.is_empty() { None } else { Some(rest.strip_suffix('@').unwrap_or(way)) }
    }
}

/// Carries a request to the machine of its session, or lets the handler have it.
pub async fn forward(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Ok(Path(id)) = request.extract_parts::<Path<String>>().await else { return next.run(request).await };
    let carried = match app.elsewhere(&id) {
        Ok(None) => return next.run(request).await,
        Ok(Some((client, remote))) => carry(&app, &client, remote, request).await,
        Err(error) => Err(error),
    };
    carried.unwrap_or_else(IntoResponse::into_response)
}

async fn carry(
    app: &App,
    client: &PeerClient,
    to: RemoteId<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    // The gate has read it.
    let body = body.collect().await.map_err(|error| ApiError::internal("reading the body", &error))?;
    let action = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let query = parts.uri.query();
    let unavailable = |error: PeerError| unavailable(to.peer, &error);
    let body = body.to_bytes();
    let asked = question(&parts, action, to, body.clone());
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::internal("asking who asks", &"there is no caller"))?;
    if action == "scrollback" {
        let answer = client.stream(asked, STREAM_HEAD).await.map_err(unavailable)?;
        return output(answer, to.peer, caller, &app.shutdown).await;
    }
    let limit = peer::limit(action, query, to.further());
    if action != "wait" {
        let answer = client.ask(asked, limit).await.map_err(unavailable)?;
        return match action {
            _ if answer.status != StatusCode::NOT_FOUND => answered(&answer, to.peer),
            // So it is what was asked for. Daemons of gmux never say that a session of their own peers is gone.
            "dismiss" if app.peers.forget_session(&format!("{}@{}", to.rest, to.peer)) => data(&json!({})),
            "input" => typed(&answer, client, to, (query, &body)).await,
            _ => answered(&answer, to.peer),
        };
    }
    let _seat = app.waits.try_acquire().map_err(|_| ApiError::too_many_wait())?;
    tokio::select! {
        answer = client.ask(asked, limit) => answered(&answer.map_err(unavailable)?, to.peer),
        () = app.shutdown.stopped() => Err(ApiError::stopping()),
        () = caller.revoked() => Err(ApiError::unauthorized("this token is not valid any more")),
    }
}

/// The request as the peer gets it: of our headers, only the kind of the body.
fn question(parts: &Parts, action: &str, to: RemoteId<'_>, body: Bytes) -> PeerRequest {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/v1/sessions/{}/{action}{query}", to.segment());
    let mut asked = PeerRequest::new(parts.method.clone(), path);
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        asked = asked.with_header(header::CONTENT_TYPE, kind.clone());
    }
    if body.is_empty() { asked } else { asked.with_body(body) }
}

/// Types into a session, though its machine answered that it knows no such path: one of gmux says so in plain words, and
/// takes it by the terminal.
async fn typed(
    answer: &peer::PeerAnswer,
    client: &PeerClient,
    to: RemoteId<'_>,
    (query, body): (Option<&str>, &[u8]),
) -> Result<Response, ApiError> {
    let mut typed = body.to_vec();
    if query.unwrap_or_default().split('&').any(|pair| pair == "submit=1") {
        typed.extend_from_slice(RETURN);
    }
    if typed.is_empty() || serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok() {
        return answered(answer, to.peer);
    }
    let done = peer::type_by_terminal(client, to, &typed).await;
    done.map_err(|error| unavailable(to.peer, &error))?;
    data(&json!({}))
}

/// What is told of a peer that does not answer.
pub fn unavailable(peer: &str, error: &PeerError) -> ApiError {
    let message =
        format!("the machine `{peer}` can't be asked: {error} (`darkmux doctor` says what mends it)");
    ApiError::new(StatusCode::BAD_GATEWAY, "peer_unavailable", message)
}

/// The peer's answer as ours.
fn answered(answer: &peer::PeerAnswer, peer: &str) -> Result<Response, ApiError> {
    let carried = peer::carried(answer, peer).map_err(|error| unavailable(peer, &error))?;
    match carried {
        Carried::Json(status, body) => {
            let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
            response.headers_mut().extend(peer::kept(&answer.headers));
            Ok(response)
        }
        Carried::Words(status, words) => Err(in_words(status, peer, &words)),
    }
}

/// A refusal in plain words, in our shape.
fn in_words(status: StatusCode, peer: &str, words: &str) -> ApiError {
    let code = match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => "peer_unavailable",
        StatusCode::SERVICE_UNAVAILABLE => "busy",
        _ => "bad_request",
    };
    let words: String = visible_line(words).chars().take(300).collect();
    ApiError::new(status, code, format!("the machine `{peer}` says: {words}"))
}

/// A session's output, as it comes, for as long as the caller may have it.
async fn output(
    mut answer: PeerStream,
    peer: &str,
    caller: Caller,
    shutdown: &Shutdown,
) -> Result<Response, ApiError> {
    if !answer.status.is_success() {
        let (status, headers) = (answer.status, answer.headers.clone());
        let mut body = Vec::new();
        while body.len() < peer::REFUSAL_MAX
            && let Ok(Some(piece)) = answer.next(STREAM_IDLE).await
        {
            body.extend_from_slice(&piece);
        }
        return answered(&peer::PeerAnswer { status, headers, body: body.into() }, peer);
    }
    let kept: Vec<_> = peer::kept(&answer.headers).collect();
    let status = answer.status;
    let until = Instant::now() + STREAM_TIME;
    let pieces = stream::try_unfold(answer, move |mut answer| async move {
        let piece = timeout_at(until, answer.next(STREAM_IDLE)).await.map_err(|_| PeerError::TimedOut)??;
        Ok::<_, PeerError>(piece.map(|piece| (piece, answer)))
    });
    let mut response = (status, caller.until_revoked_body(pieces, shutdown)).into_response();
    response.headers_mut().extend(kept);
    // Whatever it calls it: a page of another machine's making is none of ours.
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// What the direct peer `machine` has at a path, as it comes.
pub async fn fetch(app: &App, machine: &MachineId, path: &str, caller: Caller) -> Result<Response, ApiError> {
    let name = machine.as_str();
    let unknown =
        || ApiError::not_found(format!("no peer `{name}` is known here; `darkmux fleet join` makes it one"));
    let client = app.peer(name)?.ok_or_else(unknown)?;
    let answer = client.stream(PeerRequest::get(path), FETCH_HEAD).await;
    output(answer.map_err(|error| unavailable(name, &error))?, name, caller, &app.shutdown).await
}

/// Starts a session on another machine: the body goes on as it is, with what is left of the way in `peer`.
pub async fn launch(app: &App, machine: &str, mut body: Map<String, Value>) -> Result<Response, ApiError> {
    let unknown = |what: String| ApiError::bad_request("unknown_peer", what);
    let (direct, further) = peer::launch_on(machine).ok_or_else(|| {
        let shown: String = visible_line(machine).chars().take(200).collect();
        let most = peer::HOPS_MAX;
        unknown(format!(
            "`{shown}` names no machine: a way is names of machines with `@` between, {most} at most"
        ))
    })?;
    let client = app.peer(direct)?.ok_or_else(|| unknown(format!("no peer `{direct}` is known here")))?;
    match further {
        Some(further) => body.insert("peer".to_owned(), further.into()),
        None => body.remove("peer"),
    };
    let hops = further.map_or(0, |further| further.matches('@').count() + 1);
    let limit = peer::limit("launch", None, u32::try_from(hops).unwrap_or(u32::MAX));
    let asked = PeerRequest::post("/v1/launch").with_json(&Value::Object(body));
    answered(&client.ask(asked, limit).await.map_err(|error| unavailable(direct, &error))?, direct)
}
