//! `/v1/*`: the API of gmux 1.x, and what is ours beside it. Answers stand in an envelope:
//! `{"data":…,"ok":true}`, and errors get theirs by the guard.

mod act;
mod changes;
mod clipboard;
mod described;
mod discovery;
mod dispatch;
mod events;
mod feed;
mod health;
mod input;
mod job_output;
mod launch;
mod launchers;
mod openapi;
mod queue;
mod repository;
mod runner;
mod scrollback;
mod sessions;
mod wait;

use std::future::Future;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use crate::serve::app::data;
use crate::serve::auth::Accepts;
use crate::serve::router::{Access, Route};
use crate::serve::{ApiError, App};
use crate::session::life::LifeError;
use crate::session::live::LiveSession;
use crate::session::{FindError, NameError, StartError, few, parse_name};
use crate::util::visible_line;

/// Small bodies.
const SMALL: Accepts = Accepts::Json(4096);

/// A command may be long.
const LAUNCH: Accepts = Accepts::Json(256 * 1024);

/// A message may be as long as a job's may, and every character of it escaped.
const DISPATCH: Accepts = Accepts::Json(2 * 1024 * 1024);

/// What may be typed at once, in bytes.
pub const INPUT_MAX: usize = 1024 * 1024;

/// What may be pasted as a file, in bytes.
pub const CLIPBOARD_MAX: usize = 10 * 1024 * 1024;

use Access::{Act, Watch};

/// Every path below `/v1`, in alphabetical order.
pub const V1: &[Route] = &[
    Route::get("/v1/capabilities", "/v1/capabilities", Watch, || get(health::capabilities)),
    Route::post("/v1/dead/{entry}/drop", "/v1/dead/1-0/drop", Act, || post(queue::drop_letter)).taking(SMALL),
    Route::post("/v1/dead/{entry}/requeue", "/v1/dead/1-0/requeue", Act, || post(queue::requeue))
        .taking(SMALL),
    Route::post("/v1/deregister", "/v1/deregister", Act, || post(runner::deregister)).taking(SMALL),
    Route::get("/v1/discovery", "/v1/discovery", Watch, || get(discovery::discovery)),
    Route::post("/v1/dispatch", "/v1/dispatch", Act, || post(dispatch::dispatch)).taking(DISPATCH),
    Route::get("/v1/events", "/v1/events", Watch, || get(events::events)),
    Route::get("/v1/frontend-config", "/v1/frontend-config", Watch, || get(health::frontend_config)),
    Route::get("/v1/health", "/v1/health", Watch, || get(health::health)),
    Route::post("/v1/jobs/{id}/cancel", "/v1/jobs/none/cancel", Act, || post(queue::cancel)).taking(SMALL),
    Route::get("/v1/jobs/{id}/changes", "/v1/jobs/none/changes", Act, || get(changes::changes)),
    Route::get("/v1/jobs/{id}/explain", "/v1/jobs/none/explain", Watch, || get(dispatch::explain)),
    Route::get("/v1/jobs/{id}/output", "/v1/jobs/none/output", Watch, || get(job_output::output)),
    Route::get("/v1/jobs/{id}/repository", "/v1/jobs/none/repository", Act, || get(repository::repository)),
    Route::post("/v1/jobs/{id}/retry", "/v1/jobs/none/retry", Act, || post(queue::retry)).taking(SMALL),
    Route::post("/v1/launch", "/v1/launch", Act, || post(launch::launch)).taking(LAUNCH),
    Route::post("/v1/machines/{id}/drain", "/v1/machines/none/drain", Act, || post(queue::drain))
        .taking(SMALL),
    Route::post("/v1/machines/{id}/undrain", "/v1/machines/none/undrain", Act, || post(queue::undrain))
        .taking(SMALL),
    Route::get("/v1/openapi.json", "/v1/openapi.json", Watch, || get(openapi::document)),
    Route::get("/v1/projects", "/v1/projects", Watch, || get(health::projects)),
    Route::post("/v1/queue/pause", "/v1/queue/pause", Act, || post(queue::pause)).taking(SMALL),
    Route::post("/v1/queue/resume", "/v1/queue/resume", Act, || post(queue::resume)).taking(SMALL),
    Route::post("/v1/register", "/v1/register", Act, || post(runner::register)).taking(SMALL),
    Route::get("/v1/sessions", "/v1/sessions", Watch, || get(sessions::list)),
    Route::get("/v1/sessions/{id}", "/v1/sessions/none", Watch, || get(sessions::one)),
    Route::post("/v1/sessions/{id}/attach", "/v1/sessions/none/attach", Watch, || post(sessions::attach))
        .taking(SMALL),
    Route::post("/v1/sessions/{id}/clipboard", "/v1/sessions/none/clipboard", Act, || post(clipboard::paste))
        .taking(Accepts::Bytes(CLIPBOARD_MAX)),
    Route::post("/v1/sessions/{id}/dismiss", "/v1/sessions/none/dismiss", Act, || post(act::dismiss))
        .taking(SMALL),
    Route::post("/v1/sessions/{id}/input", "/v1/sessions/none/input", Act, || post(input::input))
        .taking(Accepts::Bytes(INPUT_MAX)),
    Route::post("/v1/sessions/{id}/kill", "/v1/sessions/none/kill", Act, || post(act::kill)).taking(SMALL),
    Route::post("/v1/sessions/{id}/read", "/v1/sessions/none/read", Act, || post(act::read)).taking(SMALL),
    Route::post("/v1/sessions/{id}/rename", "/v1/sessions/none/rename", Act, || post(act::rename))
        .taking(SMALL),
    Route::post("/v1/sessions/{id}/restart", "/v1/sessions/none/restart", Act, || post(act::restart))
        .taking(SMALL),
    Route::post("/v1/sessions/{id}/resume", "/v1/sessions/none/resume", Act, || post(act::resume))
        .taking(SMALL),
    Route::get("/v1/sessions/{id}/result", "/v1/sessions/none/result", Watch, || get(sessions::result)),
    Route::get("/v1/sessions/{id}/scrollback", "/v1/sessions/none/scrollback", Watch, || {
        get(scrollback::scrollback)
    }),
    Route::post("/v1/sessions/{id}/wait", "/v1/sessions/none/wait", Watch, || post(wait::wait)).taking(SMALL),
];

/// Nothing to say beside that it was done.
fn done() -> Result<Response, ApiError> {
    data(&json!({}))
}

/// The session that a path names.
async fn find(app: &App, text: &str) -> Result<Arc<LiveSession>, ApiError> {
    app.live.seek(app.onward(text).unwrap_or(text)).await.map_err(not_found)
}

/// Why no session, or not one, is meant.
fn not_found(error: FindError) -> ApiError {
    match error {
        FindError::None(text) => {
            ApiError::not_found(format!("there is no session `{}`", visible_line(&text)))
        }
        FindError::Several { text, candidates } => {
            let (text, ids) = (visible_line(&text), few(&candidates));
            ApiError::bad_request("bad_request", format!("`{text}` could be {ids}; name it by its id"))
        }
        FindError::Io { source, .. } => ApiError::internal("looking for the session", &source),
    }
}

/// A name that a session is to have.
fn name(text: &str) -> Result<String, ApiError> {
    parse_name(text)
        .map_err(|message| ApiError::bad_request("validation_error", format!("`name`: {message}")))
}

/// Does it to the end, also when the client goes away meanwhile.
async fn to_the_end<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    app.shutdown.spawn(work).await.unwrap_or_else(|error| Err(ApiError::internal("doing it", &error)))
}

/// What went wrong in a session's life, with gmux's words for it.
fn refused(error: LifeError) -> ApiError {
    let message = visible_line(&error.to_string()).into_owned();
    match error {
        LifeError::None(_) => ApiError::not_found(message),
        LifeError::Alive(_) | LifeError::Outlived { .. } | LifeError::NotResumable { .. } => {
            ApiError::bad_request("not_resumable", message)
        }
        LifeError::Untold(_) => ApiError::new(StatusCode::CONFLICT, "not_told", message),
        LifeError::Name(NameError::Taken { .. }) | LifeError::NotItsName { .. } => name_taken(message),
        LifeError::Remains { .. } => ApiError::new(StatusCode::CONFLICT, "not_proved", message),
        LifeError::Slow { .. } => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "kill_timeout", message),
        LifeError::Start(error) => not_started(&error),
        LifeError::File { .. } | LifeError::Name(_) => ApiError::internal("changing the session", &message),
    }
}

fn name_taken(message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "name_taken", message)
}

/// Why a session did not start. What its program's start said is the client's business, the rest the log's.
fn not_started(error: &StartError) -> ApiError {
    let said = visible_line(&error.to_string()).into_owned();
    match error {
        StartError::Name(NameError::Taken { .. }) => name_taken(said),
        StartError::File { .. } | StartError::Host(_) | StartError::Name(_) => {
            ApiError::internal("starting the session", &said)
        }
        StartError::Process(_) => {
            let said = format!("{said}; what is asked for over HTTP gets the daemon's environment");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "launch_failed", said)
        }
        _ => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "launch_failed", said),
    }
}
