//! What this machine remembers of the result of a job that ran here and was too large for Redis: the machine that the job was
//! dispatched from asks for it later.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::collect::own_objects;
use super::git::Printed;
use super::{Mirror, WorkspaceError, pack};
use crate::config::Environment;
use crate::model::SessionId;
use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic};

/// Largest of these files, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// A result that waits to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The job.
    pub id: SessionId,
    /// The name of the machine's copy of the repository.
    pub repo: String,
    /// The commit that the job began with.
    pub state: String,
    /// The commit of what it left.
    pub commit: String,
    /// The folder that it left it in.
    pub folder: PathBuf,
}

/// The results that wait on this machine: one file each.
#[derive(Debug, Clone)]
pub struct KeptResults {
    dir: PathBuf,
}

impl KeptResults {
    /// Those in this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps one, in the place of an earlier attempt's.
    pub fn keep(&self, kept: &Kept) -> Result<(), WorkspaceError> {
        let path = self.path(&kept.id);
        let write = || {
            ensure_private_dir(&self.dir)?;
            write_atomic(&path, &serde_json::to_vec(kept)?, Durability::Ordered)
        };
        write().map_err(WorkspaceError::file(&path))
    }

    /// The one of a job.
    pub fn get(&self, id: &SessionId) -> Result<Option<Kept>, WorkspaceError> {
        let path = self.path(id);
        let read = read_if_there(&path, FILE_MAX);
        let read = read.and_then(|text| Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?));
        read.map_err(WorkspaceError::file(&path))
    }

    /// What the job changed, as a pack that comes piece by piece; `None` where it waits no longer.
    pub async fn stream(
        &self,
        env: &Environment,
        mirrors: &Path,
        id: &SessionId,
    ) -> Result<Option<Printed>, WorkspaceError> {
        let Some(kept) = self.get(id)?.filter(|kept| kept.folder.is_dir()) else { return Ok(None) };
        let Some(mirror) = Mirror::known(env, mirrors, &kept.repo, &kept.state) else { return Ok(None) };
        mirror.changes(&kept.folder, &kept.state, &kept.commit).await
    }

    /// Forgets those whose folder is gone, and what is none.
    pub fn retain(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let file = entry.path();
            let gone = is_gone(&file).and_then(|gone| if gone { fs::remove_file(&file) } else { Ok(()) });
            if let Err(error) = gone {
                tracing::warn!(file = %file.display(), %error, "a result stays listed");
            }
        }
    }

    fn path(&self, id: &SessionId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

/// Whether a result is none, or its folder is gone; what cannot be read now is not.
fn is_gone(file: &Path) -> io::Result<bool> {
    let name = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
    if name.and_then(|name| SessionId::new(name).ok()).is_none() {
        return Ok(true);
    }
    let Some(text) = read_if_there(file, FILE_MAX)? else { return Ok(false) };
    let Ok(kept) = serde_json::from_slice::<Kept>(&text) else { return Ok(true) };
    match fs::symlink_metadata(&kept.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        folder => Ok(!folder?.is_dir()),
    }
}

impl Mirror {
    /// What a job that ended changed in `folder`, as a pack that comes piece by piece; `None` where it is not there any more.
    pub async fn changes(
        &self,
        folder: &Path,
        state: &str,
        commit: &str,
    ) -> Result<Option<Printed>, WorkspaceError> {
        let git = own_objects(self, self.git(), &folder.join(".git")).unwrap_or_else(|_| self.git());
        let there = git.says(&["cat-file", "-e", &format!("{commit}^{{commit}}")], b"").await?;
        if there.is_err() {
            return Ok(None);
        }
        pack::upon(&git, state, commit).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_waits_as_long_as_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let results = KeptResults::new(dir.path().join("results"));
        let id = SessionId::new("job-1").unwrap();
        assert_eq!(results.get(&id).unwrap(), None);
        let folder = dir.path().join("worktrees/job-1");
        fs::create_dir_all(&folder).unwrap();
        let (state, commit) = ("a".repeat(40), "b".repeat(40));
        let kept = Kept { id: id.clone(), repo: "site-1".into(), state, commit, folder: folder.clone() };
        results.keep(&kept).unwrap();
        fs::write(dir.path().join("results/job-2.json"), "garbage").unwrap();
        results.retain();
        assert_eq!(results.get(&id).unwrap(), Some(kept));
        assert_eq!(fs::read_dir(dir.path().join("results")).unwrap().count(), 1, "garbage went");
        // What cannot be read now is not gone.
        let file = results.path(&id);
        let aside = dir.path().join("aside");
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
        results.retain();
        assert!(file.is_dir());
        fs::remove_dir(&file).unwrap();
        fs::rename(aside, &file).unwrap();
        fs::remove_dir_all(folder).unwrap();
        results.retain();
        assert_eq!(results.get(&id).unwrap(), None);
    }
}
