//! The repository that a job left this machine with, for the peer that runs it: what is too large for Redis.
//!
//! Git in the caller's repository writes it while it is read; nothing is kept. Its hashes are git's own, and lead to the
//! commit that the job's signed record names.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::queue::job_id;
use crate::model::SessionId;
use crate::serve::auth::Caller;
use crate::serve::{ApiError, App};
use crate::wire::v1::Refusal;
use crate::workspace::{Printed, Records, Source, Where, WorkspaceError};

/// Everything that was in the work tree when a job was dispatched from it, without its history: a pack of git's.
#[utoipa::path(get, path = "/v1/jobs/{id}/repository", tag = "queue",
    params(("id" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "a pack, at most 1 GiB", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 400, description = "`bad_request`", body = Refusal),
        (status = 404, description = "`not_found`: no repository left this machine with it, or it was let go", body = Refusal),
        (status = 503, description = "`busy`: others are written", body = Refusal),
    )
)]
pub async fn repository(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let permit = seat(&app)?;
    let found =
        open(&app, &id).await.map_err(|error| ApiError::internal("writing the repository", &error))?;
    let Some(pack) = found else {
        return Err(ApiError::not_found(format!("no repository of job `{id}` is here any more")));
    };
    Ok(written(&app, caller, (pack, permit)))
}

/// A pack as git writes it, for as long as the caller may have it.
pub fn written(app: &App, caller: Caller, pack: (Printed, OwnedSemaphorePermit)) -> Response {
    let pieces = stream::try_unfold(pack, async |(mut pack, permit)| {
        Ok::<_, WorkspaceError>(pack.next().await?.map(|piece| (piece, (pack, permit))))
    });
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream"),
        (header::CACHE_CONTROL.as_str(), "no-store"),
    ];
    (headers, caller.until_revoked_body(pieces, &app.shutdown)).into_response()
}

/// Leave to have git write a pack.
pub fn seat(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let permit = Arc::clone(&app.packs).try_acquire_owned();
    permit.map_err(|_| ApiError::busy("busy", "other repositories are being fetched", 5))
}

/// The pack; `None` where there is none of this job.
async fn open(app: &App, id: &SessionId) -> Result<Option<Printed>, WorkspaceError> {
    let config = &app.inviting.config;
    let Some(record) = Records::new(config.paths.workspaces()).get(id)? else { return Ok(None) };
    if record.runs != Where::Fleet {
        return Ok(None);
    }
    let Some(source) = Source::find(config.env(), &record.root).await? else { return Ok(None) };
    source.stream(id, &record.base, &record.state).await
}
