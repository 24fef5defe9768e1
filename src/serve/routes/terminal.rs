//! `GET /ws/{id}`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::peer::PeerError;
use crate::serve::auth::Caller;
use crate::serve::params::Params;
use crate::serve::terminal::away::{self, Away};
use crate::serve::terminal::{Ready, TerminalQuery, accept, serve};
use crate::serve::{ApiError, App};

/// The terminal of a session.
pub async fn terminal(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    params: Params,
    RawQuery(query): RawQuery,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = TerminalQuery::of(&params)?;
    let elsewhere = app.elsewhere(&id)?;
    let session = match elsewhere {
        None => app.live.seek(app.onward(&id).unwrap_or(&id)).await.ok(),
        Some(_) => None,
    };
    if elsewhere.is_none() && session.is_none() && !asked.is_ours() {
        return Err(ApiError::not_found("there is no such session"));
    }
    let (response, connection) = accept(request).ok_or_else(|| {
        let message = "this path is a WebSocket: ask for an upgrade, version 13";
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "bad_request", message)
    })?;
    let place = Arc::clone(&app.terminals).try_acquire_owned();
    let place = place.map_err(|_| {
        ApiError::busy("busy", "too many terminals are open at this moment; close some and try again", 5)
    })?;
    // Tasks of the daemon's own, so that their end is waited for.
    let shutdown = app.shutdown.clone();
    let Some((client, to)) = elsewhere else {
        drop(shutdown.spawn(serve(connection, Ready { app, session, caller, asked }, place)));
        return Ok(response);
    };
    let read_only = asked.is_read_only() || !caller.may_act();
    // The client's socket opens once the other machine's is open, so that what it is told is true.
    let opened = client.terminal(&away::path(to, query.as_deref(), read_only)).await;
    if let (Err(PeerError::Status(404, _)), false) = (&opened, asked.is_ours()) {
        return Err(ApiError::not_found("there is no such session"));
    }
    let name = to.peer.to_owned();
    let ready = Away { app: Arc::clone(&app), caller, read_only, place };
    drop(shutdown.spawn(async move {
        let Ok(socket) = connection.socket().await else { return };
        match opened {
            Ok(peer) => away::relay(socket, peer, name, ready).await,
            Err(error) => away::refuse(socket, &name, &error).await,
        }
    }));
    Ok(response)
}
