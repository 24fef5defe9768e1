//! Typing into a session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::find;
use crate::model::SessionId;
use crate::serve::app::data;
use crate::serve::params::Params;
use crate::serve::{ApiError, App};
use crate::session::HostClient;
use crate::util::visible_line;
use crate::wire::RETURN;
use crate::wire::v1::Refusal;

/// How long it may take until it is known that a session has ended.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Types the body as it is.
#[utoipa::path(post, path = "/v1/sessions/{id}/input", tag = "sessions",
    params(
        ("id" = String, Path, description = "id, the beginning or end of one, slug, or name"),
        ("submit" = Option<u8>, Query, maximum = 1, description = "1: the return key after it"),
    ),
    request_body(content = Option<Vec<u8>>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "`data`: `{\"output_end\"}`, the offset after all that was shown before", body = Object),
        (status = 400, description = "`empty_body`, `no_socket`: it has ended", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 413, description = "`too_large`", body = Refusal),
        (status = 500, description = "`write_failed`", body = Refusal),
        (status = 502, description = "`runner_unreachable`", body = Refusal),
    )
)]
pub async fn input(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    params: Params,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let submit = params.flag("submit")?;
    let session = find(&app, &id).await?;
    if bytes.is_empty() && !submit {
        return Err(ApiError::bad_request("empty_body", "there is nothing to type; send it as the body"));
    }
    if !session.is_alive() {
        return Err(ended());
    }
    let mut host = HostClient::connect(&app.live.folder(session.id())).await.map_err(|e| unreachable(&e))?;
    let end = host.status().await.map_err(|error| unreachable(&error))?.output.end;
    for typed in [bytes.as_ref(), if submit { RETURN } else { b"" }] {
        if typed.is_empty() {
            continue;
        }
        if let Err(error) = host.input(typed).await {
            return Err(not_typed(&app, session.id(), &error).await);
        }
    }
    data(&json!({ "output_end": end }))
}

/// Why it was not typed: what was typed first may have ended the session.
async fn not_typed(app: &App, id: &SessionId, error: &io::Error) -> ApiError {
    let known = app.live.when(id, |session| session.is_none_or(|session| !session.is_alive()).then_some(()));
    if tokio::time::timeout(END_PATIENCE, known).await.is_ok() {
        return ended();
    }
    let message = format!("it was not typed, or not all of it: {}", visible_line(&error.to_string()));
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "write_failed", message)
}

/// Nobody reads what is typed into it any more.
pub(super) fn ended() -> ApiError {
    ApiError::bad_request("no_socket", "the session has ended; `resume` runs it again")
}

/// Its host does not answer.
pub(super) fn unreachable(error: &io::Error) -> ApiError {
    let message = format!("the session's host does not answer: {}", visible_line(&error.to_string()));
    ApiError::new(StatusCode::BAD_GATEWAY, "runner_unreachable", message)
}
