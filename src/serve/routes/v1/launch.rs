//! Starting a session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;

use super::{launchers, not_started, to_the_end};
use crate::fleet::parse_key;
use crate::model::SessionId;
use crate::serve::app::data;
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App, forward};
use crate::session::live::LiveSession;
use crate::session::{self, Command, StartError, new_session_id, session_id_of};
use crate::util::visible_line;
use crate::wire::WindowSize;
use crate::wire::v1::{LaunchBody, Launched, Refusal};

/// Largest terminal that is asked for, in columns or rows.
const SIZE_MAX: u16 = 1000;

/// Longest folder, in bytes.
const CWD_MAX: usize = 4096;

/// How long what the disk says already may take to be known to everybody.
pub(super) const TOLD: Duration = Duration::from_secs(5);

/// How long the disk of the folder may take.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// Ids that are tried; two sessions in four thousand millions share one.
const IDS_MAX: usize = 5;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("validation_error", message)
}

/// Starts a program in a terminal.
#[utoipa::path(post, path = "/v1/launch", tag = "sessions", request_body = Option<LaunchBody>, responses(
    (status = 200, description = "`data`: the session", body = Launched),
    (status = 400, description = "`bad_request`, `validation_error`, `unknown_peer`, `launcher_unavailable`", body = Refusal),
    (status = 409, description = "`name_taken`: another session that runs has it", body = Refusal),
    (status = 500, description = "`launch_failed`", body = Refusal),
))]
pub async fn launch(State(app): State<Arc<App>>, bytes: Bytes) -> Result<Response, ApiError> {
    let asked: LaunchBody = of_json(&bytes)?;
    if let Some(machine) = asked.peer.as_deref().and_then(|way| app.onward(way)) {
        return forward::launch(&app, machine, of_json(&bytes)?).await;
    }
    let command = Command {
        argv: argv(&app, &asked)?,
        cwd: folder(asked.cwd.as_deref(), app.launching.home.as_deref()).await?,
        name: asked.name.as_deref().map(super::name).transpose()?,
        kind: None,
        asking_notices: Vec::new(),
        env: Vec::new(),
        size: asked.size.map(size).transpose()?.unwrap_or_default(),
    };
    let key = asked.key.map(|key| parse_key(&key).map_err(invalid)).transpose()?;
    let launched = Arc::clone(&app);
    data(&to_the_end(&app, async move { start(&launched, command, key).await }).await?)
}

async fn start(app: &App, command: Command, key: Option<String>) -> Result<Launched, ApiError> {
    let launching = &app.launching;
    let mut tries = 0;
    loop {
        tries += 1;
        let id = key.as_deref().map_or_else(new_session_id, session_id_of);
        let id = id.map_err(|error| ApiError::internal("making an id", &error))?;
        let machine = app.flow.provenance.machine_id.clone();
        let prepared = launching.prepare(command.clone(), &id);
        let spec = prepared.0.spec(id.clone(), &launching.session, (machine, app.clock.now()));
        match session::start(&launching.session.dir, &spec, &prepared.1, &launching.env).await {
            Ok(_) => return Ok(launched(app, &id).await),
            // It was started the first time; the answer was lost, or is on its way.
            Err(StartError::Exists(_)) if key.is_some() => return Ok(launched(app, &id).await),
            Err(StartError::Exists(_)) if tries < IDS_MAX => {}
            Err(error) => {
                // What is left of it tells how it went.
                app.live.announce(&id).await;
                return Err(not_started(&error));
            }
        }
    }
}

/// A session that was started just now, as its starter is told of it: once everybody else can see it, too.
pub(super) async fn launched(app: &App, id: &SessionId) -> Launched {
    let status = app.live.table().get(id).ok().flatten();
    app.live.announce(id).await;
    if let Some(status) = &status {
        let is_seen = |seen: &LiveSession| seen.status().started_at == status.started_at;
        let known = app.live.when(id, |seen| seen.is_none_or(is_seen).then_some(()));
        // Who looks at once and does not find it learns of it by the events.
        let _ = tokio::time::timeout(TOLD, known).await;
    }
    Launched { pid: status.and_then(|status| status.pid).unwrap_or(0), session_id: id.to_string() }
}

fn argv(app: &App, asked: &LaunchBody) -> Result<Vec<String>, ApiError> {
    if let Some(command) = asked.command.as_ref().filter(|command| !command.is_empty()) {
        if command[0].is_empty() {
            return Err(invalid("`command` begins with an empty program"));
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err(invalid("`command` holds a zero byte, which no program can be given"));
        }
        return Ok(command.clone());
    }
    let id = asked.launcher_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(launchers::SHELL);
    launchers::command(id, &app.launching.crew).ok_or_else(|| {
        let message = format!("there is no launcher `{}` here; `/v1/health` lists them", visible_line(id));
        ApiError::bad_request("launcher_unavailable", message)
    })
}

async fn folder(asked: Option<&str>, home: Option<&Path>) -> Result<PathBuf, ApiError> {
    let asked = asked.filter(|asked| !asked.is_empty()).unwrap_or("~");
    if asked.len() > CWD_MAX || asked.contains('\0') {
        return Err(invalid("`cwd` is no path"));
    }
    let at_home = || home.ok_or_else(|| invalid("the daemon has no HOME; give an absolute `cwd`"));
    let folder = match (asked, asked.strip_prefix("~/")) {
        ("~", _) => at_home()?.to_owned(),
        (_, Some(rest)) => at_home()?.join(rest),
        _ => PathBuf::from(asked),
    };
    let shown = visible_line(asked);
    if !folder.is_absolute() {
        return Err(invalid(format!("`cwd` is `{shown}`; give an absolute path, or one below `~/`")));
    }
    match tokio::time::timeout(DISK_PATIENCE, tokio::fs::metadata(&folder)).await {
        Ok(Ok(meta)) if meta.is_dir() => Ok(folder),
        Ok(Ok(_)) => Err(invalid(format!("`{shown}` is no folder"))),
        Ok(Err(error)) => Err(invalid(format!("the folder `{shown}` cannot be used: {error}"))),
        Err(_) => Err(invalid(format!("the disk of `{shown}` does not answer"))),
    }
}

fn size(size: WindowSize) -> Result<WindowSize, ApiError> {
    let fits = |cells| (1..=SIZE_MAX).contains(&cells);
    if fits(size.cols) && fits(size.rows) {
        return Ok(size);
    }
    Err(invalid(format!("`size` takes 1 to {SIZE_MAX} columns and rows")))
}
