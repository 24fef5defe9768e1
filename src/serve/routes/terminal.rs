//! `GET /ws/{id}`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::peer::PeerError;
use crate::serve::auth::Caller;
use crate::serve::terminal::away::{self, Away};
use crate::serve::terminal::{Ready, TerminalQuery, relay};
use crate::serve::{ApiError, App};

/// Largest frame that a client may send, in bytes.
const FRAME_MAX: usize = 256 * 1024;

/// Bytes that may wait for a client inside the library, beyond what the session sends at once.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// How a client asks for the socket, or why it does not.
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The terminal of a session.
pub async fn terminal(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    asked: Result<Query<TerminalQuery>, QueryRejection>,
    RawQuery(query): RawQuery,
    caller: Caller,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let Query(asked) = asked.map_err(|error| ApiError::bad_request("bad_request", error.body_text()))?;
    let elsewhere = app.elsewhere(&id)?;
    let session = if elsewhere.is_none() { app.live.find(app.onward(&id).unwrap_or(&id)).ok() } else { None };
    if elsewhere.is_none() && session.is_none() && !asked.is_ours() {
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
    let upgrade = upgrade
        .max_message_size(FRAME_MAX)
        .max_frame_size(FRAME_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX);
    let shutdown = app.shutdown.clone();
    let Some((client, to)) = elsewhere else {
        let ready = Ready { app: Arc::clone(&app), session, caller, asked, place };
        return Ok(upgrade.on_upgrade(async move |socket| {
            // A task of the daemon's own, so that its end is waited for.
            let _ = shutdown.spawn(relay(socket, ready)).await;
        }));
    };
    let read_only = asked.is_read_only() || !caller.may_act();
    // The client's socket opens once the other machine's is open, so that what it is told is true.
    let opened = client.terminal(&away::path(to, query.as_deref(), read_only)).await;
    if let (Err(PeerError::Status(404, _)), false) = (&opened, asked.is_ours()) {
        return Err(ApiError::not_found("there is no such session"));
    }
    let name = to.peer.to_owned();
    let ready = Away { app: Arc::clone(&app), caller, read_only, place };
    Ok(upgrade.on_upgrade(async move |socket| {
        let carried = shutdown.spawn(async move {
            match opened {
                Ok(peer) => away::relay(socket, peer, name, ready).await,
                Err(error) => away::refuse(socket, &name, &error).await,
            }
        });
        let _ = carried.await;
    }))
}
