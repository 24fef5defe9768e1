//! What the caller's machine remembers of a job that left with a repository: which one, and with what.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Source, WorkspaceError};
use crate::config::Environment;
use crate::model::SessionId;
use crate::store::{Durability, ensure_private_dir, open_in, write_atomic};
use crate::util::clock::whole_ms;

/// Largest record, in bytes.
const RECORD_MAX: u64 = 64 * 1024;

/// A job and the repository that it was dispatched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this document.
    pub schema: u32,
    /// The job, or the session on this machine.
    pub id: SessionId,
    /// The repository's root.
    pub root: PathBuf,
    /// The commit that was checked out.
    pub base: String,
    /// The commit of everything that was there.
    pub state: String,
    /// What runners call their copy of it.
    pub repo: String,
    /// When it was dispatched, Unix milliseconds.
    pub at_ms: u64,
    /// Where it runs.
    pub runs: Where,
    /// The commit of the result that was taken in last.
    pub result: Option<String>,
}

/// Where a job with a repository runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// As a session of this machine, in this folder.
    Here(PathBuf),
    /// On a machine of the fleet.
    Fleet,
}

/// The records of this machine.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

impl Records {
    /// Those in this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps a record, in the place of an earlier one of the job.
    pub fn keep(&self, record: &Record) -> Result<(), WorkspaceError> {
        let path = self.dir.join(format!("{}.json", record.id));
        let write = || {
            ensure_private_dir(&self.dir)?;
            write_atomic(&path, &serde_json::to_vec(record)?, Durability::Ordered)
        };
        write().map_err(WorkspaceError::file(&path))
    }

    /// The record of a job.
    pub fn get(&self, id: &SessionId) -> Result<Option<Record>, WorkspaceError> {
        let name = format!("{id}.json");
        let read = || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(open_in(&self.dir, &name)?, RECORD_MAX), &mut bytes)?;
            Ok::<_, io::Error>(serde_json::from_slice(&bytes)?)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            record => record.map(Some).map_err(WorkspaceError::file(&self.dir.join(name))),
        }
    }

    /// Removes the record of a job.
    pub fn forget(&self, id: &SessionId) -> io::Result<()> {
        fs::remove_file(self.dir.join(format!("{id}.json")))
    }

    /// The jobs that there are records of.
    pub fn ids(&self) -> Vec<SessionId> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let id = |name: &str| SessionId::new(name.strip_suffix(".json")?).ok();
        entries.filter_map(|entry| id(entry.file_name().to_str()?)).collect()
    }

    /// Forgets jobs that were dispatched longer than `age` ago, and lets their snapshots go; branches stay. One whose session
    /// has a folder is kept with it.
    pub async fn retain(&self, env: &Environment, age: Duration, now_ms: u64) -> Vec<SessionId> {
        let mut gone = Vec::new();
        for id in self.ids() {
            let Ok(Some(record)) = self.get(&id) else { continue };
            let lives = matches!(&record.runs, Where::Here(folder) if folder.exists());
            if lives || now_ms.saturating_sub(record.at_ms) < whole_ms(age) {
                continue;
            }
            // A repository that is gone has let go of everything.
            if let Ok(Some(source)) = Source::find(env, &record.root).await
                && let Err(error) = source.release(&id).await
            {
                tracing::debug!(job = %id, %error, "its snapshot stays");
            }
            match self.forget(&id) {
                Ok(()) => gone.push(id),
                Err(error) => tracing::warn!(job = %id, %error, "its record is not removed"),
            }
        }
        gone
    }
}
