//! What a job made of its repository, where that is too large for Redis: the machine that ran it has it, and the one that it
//! was dispatched from asks through its own daemon.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;

use super::queue::job_id;
use super::repository::{seat, written};
use crate::model::MachineId;
use crate::serve::auth::Caller;
use crate::serve::params::{Params, wrong};
use crate::serve::{ApiError, App, forward};
use crate::wire::v1::Refusal;
use crate::workspace::KeptResults;

/// What a job changed that ran here, or on the peer `machine`: a pack of git's upon the commit that it began with.
#[utoipa::path(get, path = "/v1/jobs/{id}/changes", tag = "queue",
    params(
        ("id" = String, Path, description = "the job"),
        ("machine" = Option<String>, Query, description = "the peer that ran it"),
    ),
    responses(
        (status = 200, description = "a pack, at most 1 GiB", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 400, description = "`bad_request`", body = Refusal),
        (status = 404, description = "`not_found`: what it changed went by Redis, or is gone; or no such peer", body = Refusal),
        (status = 502, description = "`peer_unavailable`", body = Refusal),
        (status = 503, description = "`busy`: others are written", body = Refusal),
    )
)]
pub async fn changes(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let machine = params
        .text("machine")?
        .map(|text| MachineId::new(text).map_err(|_| wrong("machine", text, "a machine's name")));
    if let Some(machine) = machine.transpose()?.filter(|machine| machine.as_str() != app.machine_id()) {
        return forward::fetch(&app, &machine, &format!("/v1/jobs/{id}/changes"), caller).await;
    }
    let permit = seat(&app)?;
    let config = &app.inviting.config;
    let results = KeptResults::new(config.paths.results());
    let pack = results.stream(config.env(), &config.paths.mirrors(), &id).await;
    let pack = pack.map_err(|error| ApiError::internal("writing what the job changed", &error))?;
    let words = || ApiError::not_found(format!("nothing that job `{id}` changed waits here"));
    Ok(written(&app, caller, (pack.ok_or_else(words)?, permit)))
}
