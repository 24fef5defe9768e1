//! The sessions of this machine and of its peers, read-only.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::peer::{Audience, RemoteSession};
use crate::serve::app::json;
use crate::serve::{ApiError, App};
use crate::wire::{SESSION_SCHEMA, SessionList, SessionStatus};

/// `GET /sessions`.
pub async fn list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let sessions = all(&app).await?.into_iter().map(SessionStatus::without_words).collect();
    let mut remote = app.peers.sessions(&Audience::All);
    remote.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    let line = |session: &Arc<RemoteSession>| serde_json::from_slice(&session.json()).ok();
    let remote = remote.iter().filter_map(line).collect();
    json(&SessionList { generated_at_ms: app.now_ms(), schema: SESSION_SCHEMA, sessions, remote })
}

/// Every session, newest first.
pub(super) async fn all(app: &App) -> Result<Vec<SessionStatus>, ApiError> {
    let table = app.sessions.clone();
    app.blocking("listing the sessions", move || table.list()).await
}
