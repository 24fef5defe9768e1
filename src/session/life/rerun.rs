//! Running an ended session again, in the same folder and under the same id.

use std::io;
use std::path::{Path, PathBuf};

use super::dismiss::gone_already;
use super::end::{HOST_END, LOOK, current, held, lease, try_lock};
use super::{LifeError, Remains};
use crate::config::Environment;
use crate::model::{SessionId, SessionState};
use crate::session::{
    NameError, Settling, Table, check_free_name, files, first_spec_in, hold_name, spec_in, start_again,
};
use crate::store::{Durability, FileLock, write_atomic};
use crate::util::visible_line;
use crate::wire::{SessionSpec, SessionStatus, WindowSize};

/// How the next run differs from the first.
#[derive(Debug, Clone, Default)]
pub struct Rerun {
    /// Another command, such as the one by which an agent goes on with its conversation.
    pub argv: Option<Vec<String>>,
    /// Whether it goes on with what was said before, so that its message is not said again.
    pub goes_on: bool,
    /// Whether it begins as the first run did, with what was said to that, whatever the last one was.
    pub anew: bool,
    /// Variables that its process gets besides, instead of those of these names.
    pub env: Vec<(String, String)>,
    /// Further files (name and content) in its folder.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Another first size of its terminal than the last one it had.
    pub size: Option<WindowSize>,
}

/// Runs an ended session again, for whoever of those that ask at once comes first; the others are told that it runs. Its
/// output goes on where it ended. The host gets `env`, less darkmux's secrets. One that was lost is given its end before.
pub async fn rerun(
    table: &Table,
    id: &SessionId,
    how: Rerun,
    env: &Environment,
    settling: &Settling,
) -> Result<SessionStatus, LifeError> {
    let seen = current(table, id)?;
    if !seen.state.is_final() {
        return Err(LifeError::Alive(id.clone()));
    }
    let folder = table.folder(id);
    let _first = first(table, id).await?;
    // The end of its last host, before anything is held that others wait for.
    drop(lease(table, id).await?);
    let _name = match &seen.name {
        Some(name) => Some(hold_name(table, name, id).await.map_err(|error| not_its_name(id, error))?),
        None => None,
    };
    let lease = lease(table, id).await?;
    // Under the lease: it may have been run again meanwhile, also to its end.
    let last = held(table, id)?;
    if !last.state.is_final() || (last.runs, &last.started_at) != (seen.runs, &seen.started_at) {
        return Err(LifeError::Alive(id.clone()));
    }
    if let Remains::Program(tree) = Remains::of(&last) {
        // Two of it in one folder would write over each other.
        let program = visible_line(last.command.first().map_or("", String::as_str)).into_owned();
        return Err(LifeError::Outlived { id: id.clone(), program, pid: tree.leader() });
    }
    settle(table, &last, settling).await?;
    let not = |why| LifeError::NotResumable { id: id.clone(), why };
    let path = folder.join(files::SPEC);
    let spec = spec_in(&folder).map_err(LifeError::file(&path))?;
    let mut spec = spec.ok_or_else(|| not("what it was asked to be cannot be read"))?;
    if is_attempt(&spec) {
        return Err(not(ATTEMPT));
    }
    let first = first_spec(&folder, &spec)?;
    if how.anew {
        spec.argv = first.argv;
        spec.stdin_file = first.stdin_file;
    }
    if let Some(argv) = how.argv {
        spec.argv = argv;
    }
    if how.goes_on {
        spec.stdin_file = None;
    }
    if spec.argv.is_empty() {
        return Err(not("it has no command"));
    }
    spec.env.retain(|(name, _)| !how.env.iter().any(|(set, _)| set == name));
    spec.env.extend(how.env);
    spec.size = how.size.unwrap_or(last.size);
    for (name, content) in &how.files {
        let path = folder.join(name);
        write_atomic(&path, content, Durability::Cached).map_err(LifeError::file(&path))?;
    }
    let text = serde_json::to_vec(&spec).map_err(|error| LifeError::file(&path)(error.into()))?;
    write_atomic(&path, &text, Durability::Cached).map_err(LifeError::file(&path))?;
    // It waits for its host anew.
    remove_mark(&folder.join(files::GIVEN_UP))?;
    // The host takes it.
    drop(lease);
    start_again(&folder, env).await?;
    current(table, id)
}

/// Waits for who runs the session again at this moment, and is next.
async fn first(table: &Table, id: &SessionId) -> Result<FileLock, LifeError> {
    let path = table.folder(id).join(files::AGAIN);
    let waited = async {
        loop {
            if let Some(first) = try_lock(&path).await.map_err(|error| gone_already(error, id))? {
                return Ok(first);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let begins = |_| Err(LifeError::Alive(id.clone()));
    tokio::time::timeout(HOST_END, waited).await.unwrap_or_else(begins)
}

/// Gives a session that was lost its end: its next run counts as another one.
async fn settle(table: &Table, lost: &SessionStatus, settling: &Settling) -> Result<(), LifeError> {
    if lost.state != SessionState::Lost || lost.ended_at.is_some() {
        return Ok(());
    }
    let (here, status, settling) = (table.clone(), lost.clone(), settling.clone());
    let settled = tokio::task::spawn_blocking(move || settling.settle_held(&here, &status)).await;
    let settled = settled.unwrap_or_else(|error| Err(io::Error::other(error)));
    settled.map_err(LifeError::file(table.folder(&lost.id)))
}

fn not_its_name(id: &SessionId, error: NameError) -> LifeError {
    match error {
        NameError::Taken { name, other } => LifeError::NotItsName { id: id.clone(), name, other },
        error @ NameError::File { .. } => error.into(),
    }
}

fn remove_mark(path: &Path) -> Result<(), LifeError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LifeError::file(path)(error)),
        _ => Ok(()),
    }
}

/// What the first run was asked to be, which is kept before the second one.
fn first_spec(folder: &Path, spec: &SessionSpec) -> Result<SessionSpec, LifeError> {
    let path = folder.join(files::FIRST_SPEC);
    if !path.exists() {
        let text = serde_json::to_vec(spec).map_err(|error| LifeError::file(&path)(error.into()))?;
        write_atomic(&path, &text, Durability::Cached).map_err(LifeError::file(&path))?;
    }
    let first = first_spec_in(folder).map_err(LifeError::file(&path))?;
    Ok(first.unwrap_or_else(|| spec.clone()))
}

/// Why a job's session is not run again by itself.
const ATTEMPT: &str = "it is an attempt of a job; `darkmux job retry` runs the job again";

fn is_attempt(spec: &SessionSpec) -> bool {
    spec.dispatch.as_ref().is_some_and(|facts| facts.work_id.is_some())
}

/// Refuses what [`rerun`] would refuse for ever, so that nothing is ended for a run that cannot be; and a run under a
/// name that means another one by now.
pub fn may_run_again(table: &Table, id: &SessionId) -> Result<(), LifeError> {
    let now = current(table, id)?;
    if let Some(name) = now.name.filter(|_| now.state.is_final()) {
        check_free_name(table, &name, id).map_err(|error| not_its_name(id, error))?;
    }
    let folder = table.folder(id);
    let spec = spec_in(&folder).map_err(LifeError::file(folder.join(files::SPEC)))?;
    match spec {
        Some(spec) if is_attempt(&spec) => Err(LifeError::NotResumable { id: id.clone(), why: ATTEMPT }),
        _ => Ok(()),
    }
}
