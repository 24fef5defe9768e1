//! Waiting for a session to be idle, to end, or to show something.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::find;
use super::input::unreachable;
use crate::model::SessionId;
use crate::serve::app::data;
use crate::serve::auth::Caller;
use crate::serve::params::{Params, wrong};
use crate::serve::{ApiError, App};
use crate::session::live::LiveSession;
use crate::session::{Event, HostClient, LogReader, TextFinder, files, kind};
use crate::util::visible_line;
use crate::wire::v1::{Refusal, Waited};

/// How long is waited when nothing is said.
const TIMEOUT: u64 = 3600;

/// How long can be waited, in seconds.
const TIMEOUT_MAX: u64 = 86_400;

/// Output of an ended session read at a time, in bytes.
const PIECE: usize = 256 * 1024;

/// How soon a host that does not answer is asked again.
const HOST_AGAIN: Duration = Duration::from_millis(200);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Idle,
    Exit,
    Text,
}

impl For {
    fn of(params: &Params) -> Result<Self, ApiError> {
        match params.text("for")? {
            None | Some("idle") => Ok(Self::Idle),
            Some("exit") => Ok(Self::Exit),
            Some("text") => Ok(Self::Text),
            Some(other) => Err(wrong("for", other, "`idle`, `exit` or `text`")),
        }
    }
}

/// Waits.
#[utoipa::path(post, path = "/v1/sessions/{id}/wait", tag = "sessions",
    params(
        ("id" = String, Path, description = "id, the beginning or end of one, slug, or name"),
        ("timeout" = Option<u64>, Query, minimum = 1, maximum = 86_400, description = "seconds, 1 to 86400; 3600 when absent"),
        ("for" = Option<String>, Query, pattern = "^(idle|exit|text)$", description = "`idle` (when absent), `exit`, `text`"),
        ("text" = Option<String>, Query, description = "a regular expression that a line of the output fits"),
        ("from" = Option<u64>, Query, format = "uint64", description = "the offset to look from; the oldest output that is held when absent"),
    ),
    responses(
        (status = 200, description = "`data`: what happened", body = Waited),
        (status = 400, description = "`bad_request`, `validation_error`", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 408, description = "`timeout`", body = Refusal),
        (status = 422, description = "`no_idle_signal`: its program does not say when it waits", body = Refusal),
        (status = 502, description = "`runner_unreachable`", body = Refusal),
        (status = 503, description = "`busy`: too many wait; `stopping`", body = Refusal),
    )
)]
pub async fn wait(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let timeout = params.number("timeout", 1..=TIMEOUT_MAX)?.unwrap_or(TIMEOUT);
    let (what, from) = (For::of(&params)?, params.number("from", 0..=u64::MAX)?);
    let finder = finder(what, params.text("text")?)?;
    let session = find(&app, &id).await?;
    let id = session.id().clone();
    let _seat = app.waits.try_acquire().map_err(|_| ApiError::too_many_wait())?;
    let waited = async {
        match (what, finder) {
            (For::Text, Some(finder)) => text(&app, &id, finder, from).await,
            (For::Exit, _) => Ok(app.live.when(&id, |now| exit(now, "exited")).await),
            _ => idle(&app, &id).await,
        }
    };
    let waited = tokio::select! {
        waited = tokio::time::timeout(Duration::from_secs(timeout), waited) => waited,
        () = app.shutdown.stopped() => {
            return Err(ApiError::stopping());
        }
        () = caller.revoked() => return Err(ApiError::unauthorized("this token is not valid any more")),
    };
    let waited = waited.unwrap_or_else(|_| {
        let message = format!("nothing of it happened within {timeout} s");
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message))
    });
    data(&waited?)
}

fn finder(what: For, text: Option<&str>) -> Result<Option<TextFinder>, ApiError> {
    match (what, text) {
        (For::Text, Some(text)) => TextFinder::new(text).map(Some).map_err(|error| {
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("`text` is no pattern: {}", visible_line(why));
            ApiError::bad_request("validation_error", message)
        }),
        (For::Text, None) => {
            Err(ApiError::bad_request("validation_error", "`for=text` takes a pattern in `text`"))
        }
        (_, Some(_)) => Err(ApiError::bad_request("validation_error", "`text` is for `for=text`")),
        (_, None) => Ok(None),
    }
}

fn waited(reason: &str) -> Waited {
    Waited { reason: reason.to_owned(), exit_code: None, line: None, needs_you: None }
}

/// The answer for a session that has ended, or was removed.
fn exit(session: Option<&LiveSession>, reason: &str) -> Option<Waited> {
    match session {
        None => Some(waited("died")),
        Some(session) if session.is_alive() => None,
        Some(session) => Some(Waited { exit_code: session.object().exit_code, ..waited(reason) }),
    }
}

async fn idle(app: &App, id: &SessionId) -> Result<Waited, ApiError> {
    app.live
        .when(id, |session| {
            if let Some(ended) = exit(session, "died") {
                return Some(Ok(ended));
            }
            let status = session?.status();
            match &status.report {
                Some(report) if !report.working => {
                    let needs_you = session?.object().needs_you;
                    Some(Ok(Waited { needs_you, ..waited("idle") }))
                }
                // Its adapter will say so.
                None if status.kind.is_none() => {
                    let message = format!(
                        "a session of kind `{}` does not say when it waits; use `for=exit` or `for=text`",
                        visible_line(kind(status))
                    );
                    let code = StatusCode::UNPROCESSABLE_ENTITY;
                    Some(Err(ApiError::new(code, "no_idle_signal", message)))
                }
                _ => None,
            }
        })
        .await
}

async fn text(
    app: &App,
    id: &SessionId,
    mut finder: TextFinder,
    from: Option<u64>,
) -> Result<Waited, ApiError> {
    let found = |line| Waited { line: Some(line), ..waited("text") };
    let folder = app.live.folder(id);
    let alive = || app.live.get(id).is_some_and(|session| session.is_alive());
    while alive() {
        // It is being started, or too busy: the wait's own time limit ends this.
        let Ok(host) = HostClient::connect(&folder).await else {
            tokio::time::sleep(HOST_AGAIN).await;
            continue;
        };
        let mut events =
            host.attach(Some(from.unwrap_or(0)), false).await.map_err(|e| unreachable(&e))?.events;
        loop {
            match events.next().await.map_err(|error| unreachable(&error))? {
                Some(Event::Output(bytes)) => {
                    if let Some(line) = finder.push(&bytes) {
                        return Ok(found(line));
                    }
                }
                Some(Event::Gap(..)) => finder.gap(),
                Some(Event::Snapshot { .. } | Event::Size { .. }) => {}
                Some(Event::End(_)) | None => break,
            }
        }
        return Ok(app.live.when(id, |now| exit(now, "died")).await);
    }
    let search = move || on_disk(&mut finder, LogReader::new(folder.join(files::OUTPUT)), from.unwrap_or(0));
    if let Some(line) = app.blocking("reading the output", search).await? {
        return Ok(found(line));
    }
    Ok(app.live.when(id, |now| exit(now, "died")).await)
}

fn on_disk(finder: &mut TextFinder, mut log: LogReader, mut at: u64) -> io::Result<Option<String>> {
    let mut buffer = vec![0; PIECE];
    loop {
        let (from, count) = log.read_at(at, &mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        if from > at {
            finder.gap();
        }
        if let Some(line) = finder.push(&buffer[..count]) {
            return Ok(Some(line));
        }
        at = from + count as u64;
    }
}
