//! What this daemon is and can do.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::launchers;
use crate::peer::Audience;
use crate::serve::app::data;
use crate::serve::auth::{Caller, Via};
use crate::serve::{ApiError, App};
use crate::wire::v1::{SessionCounts, V1Health};

/// What hubs of gmux look for: the API that is spoken here.
const SERVICE: &str = "gmuxd";

/// Who this machine is, and what can be launched.
#[utoipa::path(get, path = "/v1/health", tag = "daemon", responses(
    (status = 200, description = "`data`: who this machine is", body = V1Health),
))]
pub async fn health(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    if caller.via() == Via::Socket {
        // A command of this user asks how the links are: those that are down are tried at once.
        app.peers.wake();
    }
    let crew = app.launching.crew.clone();
    let look = move || Ok::<_, std::convert::Infallible>(launchers::here(&crew));
    let launchers = app.blocking("looking for programs", look).await?;
    let mut sessions = SessionCounts::default();
    for session in app.live.list() {
        *(if session.is_alive() { &mut sessions.local_alive } else { &mut sessions.dead }) += 1;
    }
    sessions.remote_alive = app.peers.sessions(&Audience::All).iter().filter(|session| session.alive).count();
    data(&V1Health {
        service: SERVICE.to_owned(),
        version: crate::VERSION.to_owned(),
        node_id: app.fleet.beacon.uid(),
        status: "ready".to_owned(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        listen: app.launching.listen.to_string(),
        default_launcher: launchers::SHELL.to_owned(),
        launchers,
        sessions,
        peers: app.peers.list(),
        machine_id: app.machine_id(),
    })
}

/// What the API can do.
#[utoipa::path(get, path = "/v1/capabilities", tag = "daemon", responses(
    (status = 200, description = "`data`: adapters, and how terminals are reached", body = Object),
))]
pub async fn capabilities() -> Result<Response, ApiError> {
    let adapters: Vec<_> = launchers::names().collect();
    data(&json!({ "adapters": adapters, "transport": { "kind": "websocket", "replay": true } }))
}

/// Settings of gmux's page; this daemon has none of them.
#[utoipa::path(get, path = "/v1/frontend-config", tag = "daemon", responses(
    (status = 200, description = "`data`: no theme and no settings", body = Object),
))]
pub async fn frontend_config() -> Result<Response, ApiError> {
    data(&json!({ "settings": null, "theme": null }))
}

/// Projects of gmux's page; this daemon keeps none, so every running session is in none of them.
#[utoipa::path(get, path = "/v1/projects", tag = "daemon", responses(
    (status = 200, description = "`data`: no projects", body = Object),
))]
pub async fn projects(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let alive = app.live.list().iter().filter(|session| session.is_alive()).count();
    data(&json!({ "configured": [], "discovered": [], "unmatched_active_count": alive }))
}
