//! `GET /ws/{id}`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::serve::auth::Caller;
use crate::serve::terminal::{Ready, TerminalQuery, relay};
use crate::serve::{ApiError, App};

/// Largest frame that a client may send, in bytes.
const FRAME_MAX: usize = 256 * 1024;

/// Bytes that may wait for a client inside the library, beyond what the session sends at once.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// The terminal of a session.
pub async fn terminal(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    asked: Result<Query<TerminalQuery>, QueryRejection>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = asked.map_err(|error| ApiError::bad_request("bad_request", error.body_text()))?;
    let session = app.live.find(&id).ok();
    if session.is_none() && !asked.is_ours() {
        return Err(ApiError::not_found("there is no such session"));
    }
    let upgrade = upgrade.map_err(|_| {
        let message = "this path is a WebSocket: ask for an upgrade, version 13";
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "bad_request", message)
    })?;
    let place = Arc::clone(&app.terminals).try_acquire_owned();
    let place = place.map_err(|_| {
        ApiError::busy("busy", "too many terminals are open at this moment; close some and try again", 5)
    })?;
    let ready = Ready { app: Arc::clone(&app), session, caller, asked, place };
    let upgrade = upgrade
        .max_message_size(FRAME_MAX)
        .max_frame_size(FRAME_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX);
    let shutdown = app.shutdown.clone();
    Ok(upgrade.on_upgrade(async move |socket| {
        // A task of the daemon's own, so that its end is waited for.
        let _ = shutdown.spawn(relay(socket, ready)).await;
    }))
}
