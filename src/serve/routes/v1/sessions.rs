//! Looking at sessions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::{find, not_found};
use crate::peer::{Audience, VIA};
use crate::serve::app::data;
use crate::serve::auth::{Caller, Via};
use crate::serve::{ApiError, App};
use crate::session::agent_result;
use crate::wire::v1::{AttachObject, Refusal, SessionObject};

/// Every session, those of the peers too, newest first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    params(("darkmux-via" = Option<String>, Header, description = "who asks, when it is a hub: it is not told of what came through it")),
    responses(
        (status = 200, description = "`data`: every session, newest first", body = Vec<SessionObject>),
    )
)]
pub async fn list(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap) -> Response {
    if caller.via() == Via::Socket {
        // A command of this user looks: links that are down are tried at once.
        app.peers.wake();
    }
    let audience = hub(&headers).unwrap_or(Audience::All);
    // Each session keeps its JSON; only the envelope is made here.
    let own =
        app.live.list().into_iter().map(|session| (session.status().created_at.clone(), session.json()));
    let remote = app.peers.sessions(&audience).into_iter();
    let remote = remote.map(|session| (session.created_at.to_string(), session.json()));
    let mut all: Vec<_> = own.chain(remote).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0));
    let mut body = b"{\"data\":[".to_vec();
    for (index, (_, json)) in all.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(json);
    }
    body.extend_from_slice(b"],\"ok\":true}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The hub that asks, when it is one of ours.
pub(super) fn hub(headers: &HeaderMap) -> Option<Audience> {
    Audience::of_via(headers.get(VIA)?.to_str().ok()?)
}

/// One session.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name; `@` and a peer's name behind it")),
    responses(
        (status = 200, description = "`data`: the session", body = SessionObject),
        (status = 400, description = "`bad_request`: several could be meant", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
    )
)]
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = app.onward(&id).unwrap_or(&id);
    if !id.contains('@') {
        return data(&find(&app, id).await?.object());
    }
    let session = app.peers.find(id).map_err(not_found)?;
    let body = [&b"{\"data\":"[..], &session.json(), b",\"ok\":true}"].concat();
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// What the built-in agent came to.
#[utoipa::path(get, path = "/v1/sessions/{id}/result", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "`data`: its last message, files and commands, as in `crew dispatch --json`", body = Object),
        (status = 404, description = "`not_found`: no such session, or it left no result", body = Refusal),
    )
)]
pub async fn result(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let session = find(&app, &id).await?;
    let folder = app.live.folder(session.id());
    let read = app.blocking("reading its result", move || Ok::<_, std::io::Error>(agent_result(&folder)));
    let words =
        || ApiError::not_found(format!("session `{}` left no result of the built-in agent", session.id()));
    data(&read.await?.ok_or_else(words)?)
}

/// How to reach its terminal.
#[utoipa::path(post, path = "/v1/sessions/{id}/attach", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "`data`: the way", body = AttachObject),
        (status = 404, description = "`not_found`", body = Refusal),
    )
)]
pub async fn attach(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    if let Some((_, to)) = app.elsewhere(&id)? {
        let (transport, ws_path) = ("websocket".to_owned(), format!("/ws/{}@{}", to.segment(), to.peer));
        return data(&AttachObject { transport, ws_path, socket_path: None });
    }
    let session = find(&app, &id).await?.object();
    data(&AttachObject {
        transport: "websocket".to_owned(),
        ws_path: format!("/ws/{}", session.id),
        socket_path: session.socket_path,
    })
}
