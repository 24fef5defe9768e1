//! Changing a session's life.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;

use super::input::{ended, unreachable};
use super::launch::{TOLD, launched};
use super::{done, find, name, refused, to_the_end};
use crate::crew::{Again, rerun};
use crate::model::SessionId;
use crate::pty;
use crate::serve::app::data;
use crate::serve::of_json::of_json;
use crate::serve::params::{Params, wrong};
use crate::serve::{ApiError, App};
use crate::session::life::{self, LifeError};
use crate::session::live::LiveSession;
use crate::session::{HostClient, Settling};
use crate::wire::v1::{Launched, Refusal, RenameBody};

/// Longest time before KILL that who asks may name, in milliseconds: hubs wait no longer for the answer.
const GRACE_MAX_MS: u64 = 30_000;

/// Ends a session; one that has ended stays as it is. With `signal` only that is sent.
#[utoipa::path(post, path = "/v1/sessions/{id}/kill", tag = "sessions",
    params(
        ("id" = String, Path, description = "id, the beginning or end of one, slug, or name"),
        ("grace_ms" = Option<u64>, Query, format = "uint64", maximum = 30000, description = "time before KILL, if not the session's own"),
        ("signal" = Option<String>, Query, description = "a signal such as `INT`: it is sent, and nothing waited for"),
    ),
    responses(
        (status = 200, description = "it has ended, or the signal was sent", body = Object),
        (status = 400, description = "`bad_request`, `validation_error`; `no_socket`: what has ended takes no signal", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`not_proved`: it was lost with its host, and what may be its program is not proved to be", body = Refusal),
        (status = 504, description = "`kill_timeout`", body = Refusal),
    )
)]
pub async fn kill(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let grace = params.number("grace_ms", 0..=GRACE_MAX_MS)?.map(Duration::from_millis);
    let signal = params.text("signal")?;
    let known = |asked| pty::signal_names().find(|known| *known == asked);
    let signal =
        signal.map(|asked| known(asked).ok_or_else(|| wrong("signal", asked, "a signal such as INT")));
    let signal = signal.transpose()?;
    let session = find(&app, &id).await?;
    let id = session.id().clone();
    let here = Arc::clone(&app);
    let Some(name) = signal else {
        to_the_end(&app, async move { end(&here, &id, grace).await }).await?;
        return done();
    };
    if !session.is_alive() {
        return Err(ended());
    }
    let mut host = HostClient::connect(&app.live.folder(&id)).await.map_err(|error| unreachable(&error))?;
    host.signal(name).await.map_err(|error| unreachable(&error))?;
    done()
}

async fn end(app: &App, id: &SessionId, grace: Option<Duration>) -> Result<(), ApiError> {
    life::end(app.live.table(), id, grace).await.map_err(refused)?;
    app.live.announce(id).await;
    let known = app.live.when(id, |session| session.is_none_or(|session| !session.is_alive()).then_some(()));
    // It has ended; who asks at once and is told otherwise learns it by the events.
    let _ = tokio::time::timeout(TOLD, known).await;
    Ok(())
}

/// Removes a session with what it left, ending it first when it runs.
#[utoipa::path(post, path = "/v1/sessions/{id}/dismiss", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "it is gone", body = Object),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`not_told`: a job's attempt whose end is not told yet", body = Refusal),
        (status = 504, description = "`kill_timeout`", body = Refusal),
    )
)]
pub async fn dismiss(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = find(&app, &id).await?.id().clone();
    let here = Arc::clone(&app);
    to_the_end(&app, async move {
        match life::dismiss(here.live.table(), &here.journal, &id).await {
            // Somebody else did it.
            Ok(()) | Err(LifeError::None(_)) => here.live.remove(&id),
            Err(error) => return Err(refused(error)),
        }
        Ok(())
    })
    .await?;
    done()
}

/// Runs an ended session again, in its folder and under its id.
#[utoipa::path(post, path = "/v1/sessions/{id}/resume", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "`data`: it runs", body = Launched),
        (status = 400, description = "`not_resumable`", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`name_taken`: its name means another session that runs", body = Refusal),
        (status = 500, description = "`launch_failed`", body = Refusal),
    )
)]
pub async fn resume(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = find(&app, &id).await?.id().clone();
    let here = Arc::clone(&app);
    let resumed = to_the_end(&app, async move {
        life::may_run_again(here.live.table(), &id).map_err(refused)?;
        again(&here, &id, Again::GoesOn).await
    });
    data(&resumed.await?)
}

/// Ends a session when it runs, and runs it again.
#[utoipa::path(post, path = "/v1/sessions/{id}/restart", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "`data`: it runs", body = Launched),
        (status = 400, description = "`not_resumable`", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`name_taken`: its name means another session that runs", body = Refusal),
        (status = 500, description = "`launch_failed`", body = Refusal),
        (status = 504, description = "`kill_timeout`", body = Refusal),
    )
)]
pub async fn restart(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let session = find(&app, &id).await?;
    let id = session.id().clone();
    let here = Arc::clone(&app);
    let restarted = to_the_end(&app, async move {
        life::may_run_again(here.live.table(), &id).map_err(refused)?;
        end(&here, &id, None).await?;
        again(&here, &id, Again::Anew).await
    });
    data(&restarted.await?)
}

async fn again(app: &App, id: &SessionId, how: Again) -> Result<Launched, ApiError> {
    let next = rerun(app.live.table(), id, how).map_err(refused)?;
    let settling = Settling { clock: app.clock.clone(), flow: Some(app.flow.clone()) };
    let ran = life::rerun(app.live.table(), id, next, &app.launching.env, &settling).await;
    let launched = launched(app, id).await;
    match ran {
        // Who restarted it at the same moment did what is asked for.
        Err(LifeError::Alive(_)) if how == Again::Anew => {}
        ran => drop(ran.map_err(refused)?),
    }
    Ok(launched)
}

/// Gives a session another name.
#[utoipa::path(post, path = "/v1/sessions/{id}/rename", tag = "sessions", request_body = RenameBody,
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses(
        (status = 200, description = "it has the name", body = Object),
        (status = 400, description = "`bad_request`, `validation_error`", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`name_taken`: another session that runs has it", body = Refusal),
    )
)]
pub async fn rename(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let id = find(&app, &id).await?.id().clone();
    let asked: RenameBody = of_json(&bytes)?;
    let name = name(&asked.name)?;
    let here = Arc::clone(&app);
    to_the_end(&app, async move {
        life::set_name(here.live.table(), &id, &name).await.map_err(refused)?;
        here.live.announce(&id).await;
        let named = |session: &LiveSession| session.status().name.as_ref() == Some(&name);
        let known = here.live.when(&id, |session| session.is_none_or(named).then_some(()));
        let _ = tokio::time::timeout(TOLD, known).await;
        Ok(())
    })
    .await?;
    done()
}

/// Says that a person has seen it. One that does not exist has been seen by everybody.
#[utoipa::path(post, path = "/v1/sessions/{id}/read", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    responses((status = 200, description = "it is not unread", body = Object))
)]
pub async fn read(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let Ok(session) = find(&app, &id).await else { return done() };
    if session.status().unread {
        let id = session.id().clone();
        life::mark_read(app.live.table(), &id).await.map_err(refused)?;
        app.live.announce(&id).await;
        let seen = |session: &LiveSession| !session.status().unread;
        let known = app.live.when(&id, |session| session.is_none_or(seen).then_some(()));
        let _ = tokio::time::timeout(TOLD, known).await;
    }
    done()
}
