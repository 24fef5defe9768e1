//! What people do to jobs, to the queue and to its machines; the same as the command line does. A machine without
//! Redis has no queue, and refuses all of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{done, to_the_end};
use crate::model::{MachineId, SessionId};
use crate::serve::app::data;
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App};
use crate::util::visible_line;
use crate::wire::v1::Refusal;
use crate::work::{Cancelled, Queue, Retried, WorkError};

/// How long Redis may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Seconds after which a client that was refused may ask again.
const RETRY_SECONDS: u32 = 5;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// Dead letters that are looked through for one.
const LETTERS_MAX: usize = 10_000;

/// Longest name of a dead letter's entry, in bytes.
const ENTRY_MAX: usize = 64;

/// The queue, or why there is none.
pub(super) fn of(app: &App) -> Result<Queue, ApiError> {
    let queue = app.queue.as_ref().map(|view| view.queue().clone());
    queue.ok_or_else(|| {
        let message = "this machine has no queue; `darkmux config set redis.url …` joins one";
        ApiError::new(StatusCode::CONFLICT, "no_queue", message)
    })
}

/// What the queue said, within [`PATIENCE`].
pub(super) async fn asked<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, ApiError> {
    match timeout(PATIENCE, work).await {
        Ok(answer) => answer.map_err(|error| refused(&error)),
        Err(_) => Err(ApiError::busy("redis_unreachable", "Redis does not answer", RETRY_SECONDS)),
    }
}

fn refused(error: &WorkError) -> ApiError {
    let message = visible_line(&error.to_string()).into_owned();
    match error {
        WorkError::Redis(_) => ApiError::busy("redis_unreachable", message, RETRY_SECONDS),
        WorkError::Full(_) => ApiError::busy("queue_full", message, RETRY_SECONDS),
        WorkError::Unknown(_) => ApiError::not_found(message),
        WorkError::Invalid(_) => ApiError::bad_request("validation_error", message),
        WorkError::Strange(_) => ApiError::internal("asking the queue", &message),
    }
}

pub(super) fn job_id(id: String) -> Result<SessionId, ApiError> {
    SessionId::new(id).map_err(|error| ApiError::bad_request("bad_request", error.to_string()))
}

/// Does it to the queue to the end, also when the client goes away meanwhile.
async fn act<T: Send + 'static, F>(app: &Arc<App>, work: impl FnOnce(Queue) -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, WorkError>> + Send + 'static,
{
    let work = work(of(app)?);
    to_the_end(app, asked(work)).await
}

/// Body of `cancel`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct CancelBody {
    /// Why, for whoever looks at it later.
    reason: Option<String>,
}

/// Cancels a job: at once when it has not started, else its runner ends it.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "queue", request_body = Option<CancelBody>,
    params(("id" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "`data.state`: `cancelled`, `ending`, or how it had ended", body = Object),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let (id, CancelBody { reason }) = (job_id(id)?, of_json(&bytes)?);
    let reason = reason.unwrap_or_else(|| "cancelled by its user".to_owned());
    let reason: String = reason.chars().take(REASON_MAX).collect();
    let cancelled = act(&app, |queue| async move { queue.cancel(&id, &reason).await }).await?;
    let state = match cancelled {
        Cancelled::Now => "cancelled",
        Cancelled::Asked => "ending",
        Cancelled::Ended(state) => state.as_str(),
    };
    data(&json!({ "state": state }))
}

/// Puts an ended job into the queue once more; its attempts are counted on. One that waits, and that machines refused, is
/// offered to them again.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "queue",
    params(("id" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "it is in the queue again", body = Object),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`not_ended`, `no_queue`", body = Refusal),
        (status = 503, description = "`queue_full`, `redis_unreachable`", body = Refusal),
    )
)]
pub async fn retry(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let job = id.clone();
    match act(&app, |queue| async move { queue.retry(&job).await }).await? {
        Retried::Queued | Retried::Offered => done(),
        Retried::Live(state) => {
            let message = format!("job {id} has not ended: it is {}", state.as_str());
            Err(ApiError::new(StatusCode::CONFLICT, "not_ended", message))
        }
    }
}

/// Hands out no more jobs, anywhere; running ones go on.
#[utoipa::path(post, path = "/v1/queue/pause", tag = "queue", responses(
    (status = 200, description = "the queue is paused", body = Object),
    (status = 409, description = "`no_queue`", body = Refusal),
    (status = 503, description = "`redis_unreachable`", body = Refusal),
))]
pub async fn pause(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    act(&app, |queue| async move { queue.set_paused(true).await }).await?;
    done()
}

/// Hands out jobs again.
#[utoipa::path(post, path = "/v1/queue/resume", tag = "queue", responses(
    (status = 200, description = "the queue hands out jobs", body = Object),
    (status = 409, description = "`no_queue`", body = Refusal),
    (status = 503, description = "`redis_unreachable`", body = Refusal),
))]
pub async fn resume(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    act(&app, |queue| async move { queue.set_paused(false).await }).await?;
    done()
}

async fn set_drained(app: &Arc<App>, machine: String, drained: bool) -> Result<Response, ApiError> {
    let machine = MachineId::new(machine);
    let machine = machine.map_err(|error| ApiError::bad_request("bad_request", error.to_string()))?;
    act(app, |queue| async move { queue.set_drained(&machine, drained).await }).await?;
    done()
}

/// Hands out no more jobs to one machine; running ones go on.
#[utoipa::path(post, path = "/v1/machines/{id}/drain", tag = "queue",
    params(("id" = String, Path, description = "the machine's id")),
    responses(
        (status = 200, description = "it gets no more jobs", body = Object),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn drain(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_drained(&app, id, true).await
}

/// Hands out jobs to one machine again.
#[utoipa::path(post, path = "/v1/machines/{id}/undrain", tag = "queue",
    params(("id" = String, Path, description = "the machine's id")),
    responses(
        (status = 200, description = "it gets jobs", body = Object),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn undrain(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_drained(&app, id, false).await
}

fn entry(text: String) -> Result<String, ApiError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if plain && (1..=ENTRY_MAX).contains(&text.len()) {
        return Ok(text);
    }
    Err(ApiError::bad_request("bad_request", "an entry is `<milliseconds>-<number>`"))
}

/// Puts the job of a dead letter into the queue once more, and takes the letter away.
#[utoipa::path(post, path = "/v1/dead/{entry}/requeue", tag = "queue",
    params(("entry" = String, Path, description = "the dead letter's entry")),
    responses(
        (status = 200, description = "its job is in the queue", body = Object),
        (status = 400, description = "`no_job`: the entry was no job", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`queue_full`, `redis_unreachable`", body = Refusal),
    )
)]
pub async fn requeue(State(app): State<Arc<App>>, Path(text): Path<String>) -> Result<Response, ApiError> {
    let name = entry(text)?;
    let (wanted, queue) = (name.clone(), of(&app)?);
    let letters = asked(async { queue.dead(LETTERS_MAX).await }).await?;
    let letter = letters.into_iter().find(|letter| letter.entry == wanted);
    let letter = letter.ok_or_else(|| no_letter(&name))?;
    let job = letter.job.ok_or_else(|| {
        ApiError::bad_request("no_job", "that entry was no job; there is nothing to try again")
    })?;
    act(&app, |queue| async move {
        // One that lives already was requeued by somebody else; its letter has done what it is for.
        queue.retry(&job).await?;
        queue.drop_dead(&name).await
    })
    .await?;
    done()
}

/// Takes a dead letter away; its job stays until its time.
#[utoipa::path(post, path = "/v1/dead/{entry}/drop", tag = "queue",
    params(("entry" = String, Path, description = "the dead letter's entry")),
    responses(
        (status = 200, description = "it is gone", body = Object),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn drop_letter(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
) -> Result<Response, ApiError> {
    let name = entry(text)?;
    let shown = name.clone();
    if act(&app, |queue| async move { queue.drop_dead(&name).await }).await? {
        return done();
    }
    Err(no_letter(&shown))
}

fn no_letter(entry: &str) -> ApiError {
    ApiError::not_found(format!("there is no dead letter `{entry}`"))
}
