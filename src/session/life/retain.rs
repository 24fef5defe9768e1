//! How many ended sessions stay, and for how long the folders of ended jobs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::LifeError;
use super::dismiss::remove_ended;
use crate::model::SessionId;
use crate::session::{Table, files};
use crate::wire::SessionStatus;

/// Entries of a folder that are looked at; a larger one is kept.
const ENTRIES_MAX: usize = 1_000_000;

/// What of ended sessions is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// How many.
    pub count: usize,
    /// How much disk they may take altogether, in bytes.
    pub bytes: u64,
}

/// Dismisses the oldest of the ended sessions that are more than `keep` allows. One that is `needed` counts and
/// stays. Returns those that went.
pub async fn retain(
    table: &Table,
    keep: Keep,
    needed: impl Fn(&SessionStatus) -> bool,
) -> Result<Vec<SessionId>, LifeError> {
    let read = table.clone();
    let ended = tokio::task::spawn_blocking(move || ended(&read));
    let ended = ended.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let ended = ended.map_err(LifeError::file(table.dir()))?;
    let mut gone = Vec::new();
    for status in beyond(&ended, keep).into_iter().rev() {
        if needed(status) {
            continue;
        }
        match remove_ended(table, status).await {
            Ok(()) => gone.push(status.id.clone()),
            // Somebody else did it, or runs it again.
            Err(LifeError::None(_) | LifeError::Alive(_)) => {}
            Err(error) => tracing::warn!(%error, session = %status.id, "an old session is not removed yet"),
        }
    }
    Ok(gone)
}

/// The ended sessions with what their folders take, the newest end first.
fn ended(table: &Table) -> io::Result<Vec<(SessionStatus, u64)>> {
    let mut ended: Vec<_> = table.list()?.into_iter().filter(|status| status.state.is_final()).collect();
    ended.sort_by(|a, b| end_of(b).cmp(end_of(a)).then_with(|| a.id.cmp(&b.id)));
    Ok(ended
        .into_iter()
        .map(|status| {
            let folder = table.folder(&status.id);
            let parts = [folder.clone(), folder.join(files::OUTPUT), folder.join(files::CLIPBOARD)];
            let bytes = parts.iter().map(|dir| size_of(dir)).sum();
            (status, bytes)
        })
        .collect())
}

/// The moment by which a session is old; texts of this form are in the order of time.
fn end_of(status: &SessionStatus) -> &str {
    status.ended_at.as_deref().unwrap_or(&status.created_at)
}

/// Those that are more than `keep` allows, the oldest last.
fn beyond(ended: &[(SessionStatus, u64)], keep: Keep) -> Vec<&SessionStatus> {
    let mut held = 0_u64;
    let over = ended.iter().enumerate().filter(|(index, (_, bytes))| {
        held = held.saturating_add(*bytes);
        *index >= keep.count || held > keep.bytes
    });
    over.map(|(_, (status, _))| status).collect()
}

fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    files.map(|meta| meta.len()).sum()
}

/// Deletes the folders of jobs in `dir` in which nothing was changed for `age`, at any depth. One that is in `needed` stays, as does one that leads to a folder in it. Returns those that went.
pub fn retain_folders(
    dir: &Path,
    age: Duration,
    now: SystemTime,
    needed: &[PathBuf],
) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut gone = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_needed = || needed.iter().any(|folder| folder.starts_with(&path));
        if !is_old(&path, age, now) || is_needed() {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => gone.push(path),
            Err(error) => tracing::warn!(%error, folder = %path.display(), "an old folder is not removed"),
        }
    }
    Ok(gone)
}

/// Whether it is a folder, no link to one, and nothing in it at any depth was changed for `age`. One of which that
/// cannot be said is not old.
fn is_old(folder: &Path, age: Duration, now: SystemTime) -> bool {
    let old = |meta: &std::fs::Metadata| {
        let at = meta.modified().ok();
        at.and_then(|at| now.duration_since(at).ok()).is_some_and(|since| since > age)
    };
    match std::fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() && old(&meta) => {}
        _ => return false,
    }
    let mut left = ENTRIES_MAX;
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { return false };
        for entry in entries {
            let Ok((entry, meta)) = entry.and_then(|entry| entry.metadata().map(|meta| (entry, meta))) else {
                return false;
            };
            left -= 1;
            if left == 0 || !old(&meta) {
                return false;
            }
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MachineId, SessionState};
    use std::fs;

    fn session(table: &Table, id: &str, end: &str, bytes: usize) {
        let id = SessionId::new(id).unwrap();
        let mut status = SessionStatus::unknown(id, MachineId::new("m").unwrap(), end.to_owned());
        (status.state, status.ended_at) = (SessionState::Exited, Some(end.to_owned()));
        let folder = table.folder(&status.id);
        fs::create_dir_all(folder.join(files::OUTPUT)).unwrap();
        fs::write(folder.join(files::OUTPUT).join("0"), vec![0; bytes]).unwrap();
        fs::write(folder.join(files::STATE), serde_json::to_vec(&status).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn the_oldest_go_first_and_what_is_needed_stays() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        for (id, hour) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
            session(&table, id, &format!("2026-01-01T0{hour}:00:00.000Z"), 100_000);
        }
        let all = Keep { count: 5, bytes: 1 << 20 };
        assert!(retain(&table, all, |_| false).await.unwrap().is_empty());
        let gone =
            retain(&table, Keep { count: 3, ..all }, |status| status.id.as_str() == "b").await.unwrap();
        assert_eq!(gone.iter().map(SessionId::as_str).collect::<Vec<_>>(), ["a"]);
        let gone = retain(&table, Keep { bytes: 250_000, ..all }, |_| false).await.unwrap();
        assert_eq!(gone.iter().map(SessionId::as_str).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(table.list().unwrap().len(), 2);
    }

    #[test]
    fn folders_of_jobs_go_by_age_unless_somebody_needs_them() {
        let root = tempfile::tempdir().unwrap();
        for name in ["old/a/b", "needed/deep", "young/a/b"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let young = fs::File::create(root.path().join("young/a/b/file")).unwrap();
        std::os::unix::fs::symlink("/tmp", root.path().join("link")).unwrap();
        let (age, now) = (Duration::from_mins(1), SystemTime::UNIX_EPOCH);
        let needed = [root.path().join("needed/deep")];
        assert!(retain_folders(root.path(), age, now, &needed).unwrap().is_empty(), "of the future");
        let later = written(root.path()) + Duration::from_hours(1);
        young.set_modified(later).unwrap();
        assert!(retain_folders(root.path(), Duration::from_hours(2), later, &needed).unwrap().is_empty());
        assert_eq!(retain_folders(root.path(), age, later, &needed).unwrap(), [root.path().join("old")]);
        assert!(root.path().join("young/a/b/file").exists());
        assert!(root.path().join("needed/deep").exists() && root.path().join("link").exists());
    }

    fn written(path: &Path) -> SystemTime {
        fs::metadata(path).unwrap().modified().unwrap()
    }
}
