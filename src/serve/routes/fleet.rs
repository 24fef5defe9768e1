//! What is alive, in the shapes of darkmux 1.9. Without Redis this machine knows only of itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::sessions::all;
use crate::model::SessionState;
use crate::serve::app::json;
use crate::serve::{ApiError, App};

/// 1.9's sign of life of a session.
#[derive(Serialize)]
struct SessionBeat {
    beat_ts_ms: u64,
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    session_id: String,
}

/// `GET /fleet/sessions/live`: the sessions that run.
pub async fn sessions(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let now = app.now_ms();
    let running = all(&app).await?.into_iter().filter(|session| session.state == SessionState::Running);
    let beats = running.map(|session| SessionBeat {
        beat_ts_ms: now,
        display_name: session.machine_id.to_string(),
        role: session.role.map(String::from),
        session_id: session.id.to_string(),
    });
    json(&beats.collect::<Vec<_>>())
}

/// `GET /fleet/machines/live`: the machines that beat in Redis, of which there is none here.
pub async fn machines() -> Result<Response, ApiError> {
    json::<[Value]>(&[])
}
