//! Ending a session.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{LifeError, Remains};
use crate::model::{SessionId, SessionState};
use crate::session::{HostClient, Table, files, table};
use crate::store::{Durability, FileLock, write_atomic};
use crate::wire::SessionStatus;

/// How long the kernel and the disk may take beside the grace.
const BESIDE: Duration = Duration::from_secs(5);

/// How long the end of a session's host may take after the session's own: it lets its viewers read the rest.
pub(super) const HOST_END: Duration = Duration::from_secs(10);

/// Between two looks at whether it has ended; only while somebody waits for it.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Ends the session and returns what it is then. One that has ended already is left as it is; of one that was lost with
/// its host, what still runs is ended. `grace` is the time before KILL; the session's own when `None`.
pub async fn end(table: &Table, id: &SessionId, grace: Option<Duration>) -> Result<SessionStatus, LifeError> {
    let now = current(table, id)?;
    end_remains(table, &now, grace).await?;
    if now.state.is_final() {
        return Ok(now);
    }
    let folder = table.folder(id);
    let limit = within(table, id, grace).saturating_add(BESIDE);
    let ended = async {
        loop {
            // A host that is just being started does not listen yet.
            if let Ok(mut host) = HostClient::connect(&folder).await {
                match host.stop(grace).await {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        return Err(LifeError::file(&folder)(error));
                    }
                    Err(_) => {}
                }
            }
            if let Some(status) = ended(table, id)? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        loop {
            if let Some(status) = ended(table, id)? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let slow = |_| Err(LifeError::Slow { id: id.clone(), limit });
    let status = tokio::time::timeout(limit, ended).await.unwrap_or_else(slow)?;
    // Its host may have died of something else meanwhile.
    end_remains(table, &status, grace).await?;
    Ok(status)
}

/// Ends what a session that was lost with its host left running.
pub(super) async fn end_remains(
    table: &Table,
    status: &SessionStatus,
    grace: Option<Duration>,
) -> Result<(), LifeError> {
    if status.state == SessionState::Lost {
        Remains::end(status, within(table, &status.id, grace)).await?;
    }
    Ok(())
}

/// The time before KILL: what is asked for, else the session's own.
fn within(table: &Table, id: &SessionId, grace: Option<Duration>) -> Duration {
    let own = || super::super::spec_in(&table.folder(id)).ok().flatten();
    grace.or_else(|| own().map(|spec| Duration::from_millis(spec.grace_ms))).unwrap_or(BESIDE)
}

/// Waits until no host holds the lease of a session that has ended, and takes it.
pub(super) async fn lease(table: &Table, id: &SessionId) -> Result<FileLock, LifeError> {
    let path = table.folder(id).join(files::LEASE);
    let waited = async {
        loop {
            if let Some(lease) = try_lock(&path).await? {
                return Ok(lease);
            }
            let now = table.get(id).map_err(LifeError::file(table.folder(id)))?;
            if now.is_some_and(|now| !now.state.is_final()) {
                return Err(LifeError::Alive(id.clone()));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(HOST_END, waited)
        .await
        .unwrap_or_else(|_| Err(LifeError::Slow { id: id.clone(), limit: HOST_END }))
}

/// Takes a lock of a session's folder, unless somebody has it. Whoever takes it at the same moment delays no other task.
pub(super) async fn try_lock(path: &Path) -> Result<Option<FileLock>, LifeError> {
    if FileLock::is_held(path).map_err(LifeError::file(path))? {
        return Ok(None);
    }
    let here = path.to_owned();
    let taken = tokio::task::spawn_blocking(move || FileLock::try_take(&here)).await;
    let taken = taken.unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(taken.map_err(LifeError::file(path))?.ok())
}

/// What the session's folder says to who holds its lease.
pub(super) fn held(table: &Table, id: &SessionId) -> Result<SessionStatus, LifeError> {
    table.held(id).map_err(LifeError::file(table.folder(id)))?.ok_or_else(|| LifeError::None(id.clone()))
}

/// Changes what the folder of a session says that has ended, or that was lost and has not been given its end yet.
pub(super) async fn change(
    table: &Table,
    id: &SessionId,
    change: impl FnOnce(&mut SessionStatus),
) -> Result<SessionStatus, LifeError> {
    let _lease = lease(table, id).await?;
    let folder = table.folder(id);
    if !held(table, id)?.state.is_final() {
        return Err(LifeError::Alive(id.clone()));
    }
    let written = table::read_state(&folder).map_err(LifeError::file(&folder))?;
    let mut status = written.ok_or_else(|| LifeError::None(id.clone()))?;
    change(&mut status);
    let path = folder.join(files::STATE);
    let text = serde_json::to_vec(&status).map_err(|error| LifeError::file(&path)(error.into()))?;
    write_atomic(&path, &text, Durability::Cached).map_err(LifeError::file(&path))?;
    Ok(status)
}

fn ended(table: &Table, id: &SessionId) -> Result<Option<SessionStatus>, LifeError> {
    Ok(Some(current(table, id)?).filter(|status| status.state.is_final()))
}

/// What the session's folder says.
pub(super) fn current(table: &Table, id: &SessionId) -> Result<SessionStatus, LifeError> {
    table.get(id).map_err(LifeError::file(table.folder(id)))?.ok_or_else(|| LifeError::None(id.clone()))
}
