//! Looking at sessions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::find;
use crate::serve::app::data;
use crate::serve::{ApiError, App};
use crate::wire::v1::{AttachObject, Refusal, SessionObject};

/// Every session, newest first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", responses(
    (status = 200, description = "`data`: every session, newest first", body = Vec<SessionObject>),
))]
pub async fn list(State(app): State<Arc<App>>) -> Response {
    // Each session keeps its JSON; only the envelope is made here.
    let sessions = app.live.list();
    let mut body = b"{\"data\":[".to_vec();
    for (index, session) in sessions.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&session.json());
    }
    body.extend_from_slice(b"],\"ok\":true}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// One session.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "`data`: the session", body = SessionObject),
        (status = 400, description = "`bad_request`: several could be meant", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
    )
)]
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    data(&find(&app, &id)?.object())
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
    let session = find(&app, &id)?.object();
    data(&AttachObject {
        transport: "websocket".to_owned(),
        ws_path: format!("/ws/{}", session.id),
        socket_path: session.socket_path,
    })
}
