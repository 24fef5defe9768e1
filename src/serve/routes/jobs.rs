//! Jobs and the queue, read-only. A machine without Redis has none; while Redis does not answer, that is a failure
//! and no empty list.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json as value};

use crate::model::SessionId;
use crate::serve::app::json;
use crate::serve::{ApiError, App};
use crate::wire::JOB_SCHEMA;

/// `GET /jobs`: the jobs that have not ended, and the newest others.
pub async fn list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let jobs = match &app.queue {
        Some(queue) => value!(&*queue.jobs().await?),
        None => value!([]),
    };
    json(&value!({ "generated_at_ms": app.now_ms(), "jobs": jobs, "schema": JOB_SCHEMA }))
}

/// `GET /jobs/{id}`: one job.
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = SessionId::new(id).map_err(|error| ApiError::bad_request("bad_id", error.to_string()))?;
    let Some(queue) = &app.queue else { return json(&Value::Null) };
    match queue.job(&id).await? {
        Some(job) => json(&value!({ "generated_at_ms": app.now_ms(), "job": job, "schema": JOB_SCHEMA })),
        None => Err(ApiError::not_found(format!("there is no job {id}; ended jobs are kept for a time"))),
    }
}

/// `GET /queue`: how many jobs wait and run, who holds what, and the newest dead letters.
pub async fn queue(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Some(queue) = &app.queue else { return json(&Value::Null) };
    let whole = queue.whole().await?;
    let (status, dead) = &*whole;
    let letters: Vec<Value> = dead
        .iter()
        .map(|letter| value!({ "entry": letter.entry, "job": letter.job, "why": letter.why }))
        .collect();
    let mut body = serde_json::to_value(status).map_err(|error| ApiError::internal("answering", &error))?;
    body["dead_letters"] = letters.into();
    json(&body)
}
