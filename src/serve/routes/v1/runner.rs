//! What session hosts and those who start them tell the daemon.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;

use super::done;
use crate::model::SessionId;
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App};
use crate::wire::v1::{Refusal, RegisterBody};

/// A session was started, here or by somebody else.
#[utoipa::path(post, path = "/v1/register", tag = "daemon", request_body = RegisterBody, responses(
    (status = 200, description = "it is known", body = Object),
    (status = 400, description = "`bad_request`", body = Refusal),
    (status = 404, description = "`not_found`: it left no folder here", body = Refusal),
))]
pub async fn register(State(app): State<Arc<App>>, bytes: Bytes) -> Result<Response, ApiError> {
    let id = id(&bytes)?;
    match app.live.announce(&id).await {
        Some(_) => done(),
        None => Err(ApiError::not_found(format!("there is no session `{id}` on this machine"))),
    }
}

/// A session has ended, or is gone.
#[utoipa::path(post, path = "/v1/deregister", tag = "daemon", request_body = RegisterBody, responses(
    (status = 200, description = "it was looked at", body = Object),
    (status = 400, description = "`bad_request`", body = Refusal),
))]
pub async fn deregister(State(app): State<Arc<App>>, bytes: Bytes) -> Result<Response, ApiError> {
    app.live.announce(&id(&bytes)?).await;
    done()
}

fn id(bytes: &[u8]) -> Result<SessionId, ApiError> {
    let asked: RegisterBody = of_json(bytes)?;
    SessionId::new(asked.session_id).map_err(|error| ApiError::bad_request("bad_request", error.to_string()))
}
