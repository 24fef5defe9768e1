//! Folders that hold no session, because a crash came between making them and the disk's having what is in them: they
//! have the place of a session, and no list shows them.
//!
//! Invariant: only what is torn is removed, under the lease. A file that another version of darkmux wrote, or that cannot be
//! read now, is not torn.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::LifeError;
use super::dismiss::{delete, gone_already, is_dismissed};
use crate::model::SessionId;
use crate::session::{STATE_MAX, Table, files};
use crate::store::{FileLock, find_in, read_open};

/// How long such a folder stays, unless its place is needed: somebody may be filling it.
const STAYS: Duration = Duration::from_hours(1);

/// What the files of a session have in common, in every version.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// Makes the place of `id` free where a crash left something there that is no session, or one that was to be removed.
/// Whether it is free; `false` where a session is.
pub async fn clear_torn(table: &Table, id: &SessionId) -> Result<bool, LifeError> {
    remove(table, id, &[files::STATE, files::SPEC]).await
}

/// Removes the folders of which no list knows, once they are old.
pub(super) async fn sweep_torn(table: &Table, now: SystemTime) -> Result<(), LifeError> {
    for id in table.ids().map_err(LifeError::file(table.dir()))? {
        let folder = table.folder(&id);
        let changed = std::fs::metadata(&folder).and_then(|meta| meta.modified()).ok();
        let is_old = changed.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age > STAYS);
        if !is_old || !is_torn(&folder, files::STATE).unwrap_or(false) {
            continue;
        }
        match remove(table, &id, &[files::STATE]).await {
            Ok(true) => tracing::warn!(session = %id, "removed: what a crash left of a session"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, session = %id, "what a crash left is not removed yet"),
        }
    }
    Ok(())
}

/// Removes the folder of `id` where one of these files is torn. Whether there is none any more.
async fn remove(table: &Table, id: &SessionId, names: &[&str]) -> Result<bool, LifeError> {
    let folder = table.folder(id);
    let path = folder.join(files::LEASE);
    // It has a host. To be asked for the lease takes longer.
    if FileLock::is_held(&path).map_err(LifeError::file(&path))? {
        return Ok(false);
    }
    let held = match FileLock::try_take(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        held => held.map_err(LifeError::file(&path))?,
    };
    let Ok(held) = held else { return Ok(false) };
    let torn = names.iter().map(|name| is_torn(&folder, name));
    let torn: Vec<bool> = torn.collect::<io::Result<_>>().map_err(LifeError::file(&folder))?;
    if !torn.contains(&true) && !is_dismissed(&folder) {
        return Ok(false);
    }
    match delete(table, id, held).await.map_err(|error| gone_already(error, id)) {
        Ok(()) | Err(LifeError::None(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a file that a session's folder always has is missing, or holds nothing that names this session. The state may
/// be missing where there is a spec: it is written by the host, which may never have come.
fn is_torn(folder: &Path, name: &str) -> io::Result<bool> {
    let Some(file) = find_in(folder, name)? else {
        return if name == files::STATE { is_torn(folder, files::SPEC) } else { Ok(true) };
    };
    let named: Option<Named> = serde_json::from_slice(&read_open(&file, STATE_MAX)?).ok();
    Ok(named.is_none_or(|named| folder.file_name() != Some(named.id.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(table: &Table, id: &str, state: Option<&str>, spec: Option<&str>) -> SessionId {
        let id = SessionId::new(id).unwrap();
        let folder = table.folder(&id);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [(files::STATE, state), (files::SPEC, spec)] {
            if let Some(text) = text {
                fs::write(folder.join(name), text).unwrap();
            }
        }
        id
    }

    #[tokio::test]
    async fn only_what_a_crash_left_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        let left = [
            folder(&table, "bare", None, None),
            folder(&table, "begun", None, Some("{\"id\":")),
            folder(&table, "empty", Some(""), Some("{\"id\":\"empty\"}")),
            folder(&table, "zeros", Some("\0\0\0\0"), None),
            folder(&table, "renamed", Some("{\"id\":\"other\"}"), Some("{\"id\":\"renamed\"}")),
        ];
        let half = folder(&table, "half", Some("{\"id\":\"half\"}"), Some("{\"id\":"));
        let strange = folder(
            &table,
            "strange",
            Some("{\"id\":\"strange\",\"schema\":9}"),
            Some("{\"id\":\"strange\"}"),
        );
        let unhosted = folder(&table, "unhosted", None, Some("{\"id\":\"unhosted\"}"));
        let hosted = folder(&table, "hosted", None, None);
        let lease = FileLock::try_take(&table.folder(&hosted).join(files::LEASE)).unwrap().unwrap();

        let now = fs::metadata(table.folder(&hosted)).unwrap().modified().unwrap();
        sweep_torn(&table, now + Duration::from_mins(1)).await.unwrap();
        assert_eq!(table.ids().unwrap().len(), 9, "somebody may be filling them");
        let later = now + Duration::from_hours(2);
        sweep_torn(&table, later).await.unwrap();
        for id in &left {
            assert!(!table.folder(id).exists(), "{id}");
        }
        // Its output may be shown, and a job of its id has a right to its place.
        assert!(table.folder(&half).exists());
        assert!(clear_torn(&table, &half).await.unwrap());
        for id in [&strange, &unhosted, &hosted] {
            assert!(!clear_torn(&table, id).await.unwrap(), "{id}");
        }
        drop(lease);
        assert!(clear_torn(&table, &hosted).await.unwrap());
        assert!(clear_torn(&table, &hosted).await.unwrap(), "nothing is there");
        let mut ids = table.ids().unwrap();
        ids.sort_unstable();
        assert_eq!(ids, [strange, unhosted]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing is left aside");
    }
}
