//! Removing a session: marked, ended, renamed out of sight, deleted; in this order, so that a crash anywhere
//! leaves something that [`finish_dismissals`] completes.

use std::io;
use std::path::Path;

use super::LifeError;
use super::end::{current, end, end_remains, lease};
use crate::model::SessionId;
use crate::session::{Table, files, socket_path};
use crate::store::{Durability, FileLock, write_atomic};
use crate::wire::SessionStatus;
use crate::work::Journal;

/// What the name of a folder begins with that is being deleted. No id begins so.
const GONE: &str = ".gone-";

/// Whether the session in `folder` is to be removed.
pub(in crate::session) fn is_dismissed(folder: &Path) -> bool {
    folder.join(files::DISMISSED).exists()
}

/// Removes a session with everything it left, ending it first when it runs. An attempt of a job whose end is not told
/// stays: the runner would take it for lost.
pub async fn dismiss(table: &Table, journal: &Journal, id: &SessionId) -> Result<(), LifeError> {
    let now = current(table, id)?;
    let untold = journal.clone();
    let untold = tokio::task::spawn_blocking(move || untold.untold()).await;
    let untold = untold.unwrap_or_else(|error| Err(io::Error::other(error)));
    if untold.map_err(LifeError::file(table.folder(id)))?.contains(id) {
        return Err(LifeError::Untold(id.clone()));
    }
    // Before the mark: with it, a session that was lost is none any more.
    match end_remains(table, &now, None).await {
        // It is to be forgotten; what can't be proved to be its own is nobody's here.
        Err(error @ LifeError::Remains { .. }) => tracing::warn!(%error, "dismissed all the same"),
        ended => ended?,
    }
    let mark = table.folder(id).join(files::DISMISSED);
    if let Err(error) = write_atomic(&mark, b"", Durability::Synced) {
        // A full disk is a reason to dismiss. What is broken off without the mark is asked for again.
        tracing::warn!(%error, session = %id, "dismissed without a mark");
    }
    finish(table, id).await
}

async fn finish(table: &Table, id: &SessionId) -> Result<(), LifeError> {
    match end(table, id, None).await {
        // Marked and ended, it is none any more to whoever asks.
        Ok(_) | Err(LifeError::None(_)) => {}
        Err(error) => return Err(error),
    }
    let held = lease(table, id).await.map_err(|error| gone_already(error, id))?;
    delete(table, id, held).await
}

/// Somebody else was quicker.
pub(super) fn gone_already(error: LifeError, id: &SessionId) -> LifeError {
    match error {
        LifeError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            LifeError::None(id.clone())
        }
        error => error,
    }
}

/// Removes the ended session `seen`, and no other run of it: one that runs again meanwhile stays, and is not ended.
pub(super) async fn remove_ended(table: &Table, seen: &SessionStatus) -> Result<(), LifeError> {
    let (id, folder) = (&seen.id, table.folder(&seen.id));
    let alive = || LifeError::Alive(id.clone());
    let path = folder.join(files::LEASE);
    let held =
        FileLock::try_take(&path).map_err(LifeError::file(&path)).map_err(|error| gone_already(error, id))?;
    let held = held.map_err(|_| alive())?;
    let now = current(table, id)?;
    // Between rewriting the spec and the host's lease nobody holds one.
    let changed = |file| std::fs::metadata(folder.join(file)).and_then(|meta| meta.modified()).ok();
    let is_begun = changed(files::SPEC) > changed(files::STATE);
    if !now.state.is_final() || now.runs != seen.runs || now.ended_at != seen.ended_at || is_begun {
        return Err(alive());
    }
    delete(table, id, held).await
}

/// Renames the folder out of sight, and deletes it.
pub(super) async fn delete(table: &Table, id: &SessionId, held: FileLock) -> Result<(), LifeError> {
    let folder = table.folder(id);
    let gone = table.dir().join(format!("{GONE}{id}-{}", uuid::Uuid::new_v4().simple()));
    let socket = socket_path(&folder);
    std::fs::rename(&folder, &gone)
        .map_err(LifeError::file(&folder))
        .map_err(|error| gone_already(error, id))?;
    drop(held);
    let deleted = tokio::task::spawn_blocking(move || {
        // A host that was killed leaves it, and not always in the folder.
        let _ = std::fs::remove_file(socket);
        std::fs::remove_dir_all(&gone).map_err(LifeError::file(&gone))
    });
    deleted.await.unwrap_or_else(|error| Err(LifeError::file(&folder)(io::Error::other(error))))
}

/// Completes what was begun and broken off: by a crash, or by a session that did not end in time.
pub async fn finish_dismissals(table: &Table) -> Result<(), LifeError> {
    for id in table.ids().map_err(LifeError::file(table.dir()))? {
        if is_dismissed(&table.folder(&id))
            && let Err(error) = finish(table, &id).await
        {
            tracing::warn!(%error, session = %id, "a dismissed session is not removed yet");
        }
    }
    let dir = table.dir().to_owned();
    let swept = tokio::task::spawn_blocking(move || sweep(&dir));
    let swept = swept.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    swept.map_err(LifeError::file(table.dir()))
}

fn sweep(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(GONE.as_bytes()) {
            match std::fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MachineId, SessionState};
    use crate::util::Clock;
    use std::fs;

    fn ended(table: &Table, id: &str) -> SessionId {
        let id = SessionId::new(id).unwrap();
        let folder = table.folder(&id);
        fs::create_dir_all(folder.join("output")).unwrap();
        let at = "2026-01-01T00:00:00.000Z".to_owned();
        let mut status = SessionStatus::unknown(id.clone(), MachineId::new("m").unwrap(), at);
        status.state = SessionState::Exited;
        fs::write(folder.join(files::STATE), serde_json::to_vec(&status).unwrap()).unwrap();
        id
    }

    #[tokio::test]
    async fn what_was_broken_off_is_completed() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        let [dismissed, marked, kept] = ["a", "b", "c"].map(|id| ended(&table, id));
        let journal = Journal::new(&root.path().join("queue"), Clock::System);
        dismiss(&table, &journal, &dismissed).await.unwrap();
        assert!(matches!(dismiss(&table, &journal, &dismissed).await, Err(LifeError::None(_))));
        // As after a crash before the renaming, and one before the deleting.
        fs::write(table.folder(&marked).join(files::DISMISSED), "").unwrap();
        fs::create_dir_all(root.path().join(".gone-x-1/output")).unwrap();
        finish_dismissals(&table).await.unwrap();
        fs::remove_dir_all(root.path().join("queue")).ok();
        let left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [kept.as_str()]);
    }
}
