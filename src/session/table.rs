//! The sessions of this machine, as their folders tell.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{STATE_MAX, files};
use crate::model::{SessionId, SessionState};
use crate::store::{FileLock, read_private};
use crate::util::Clock;
use crate::wire::SessionStatus;

/// How long a session may be without a host after it was asked for.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// Candidates named in a message about an ambiguous text.
const NAMED: usize = 5;

/// Why a text names no session.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None.
    #[error("no session `{}`; `darkmux session ls --all` lists them", crate::util::visible_line(.0))]
    None(String),
    /// Several.
    #[error("`{text}` could be {}; write more of the id", .candidates.join(", "))]
    Several {
        /// What was written.
        text: String,
        /// Ids it could mean, a few of them.
        candidates: Vec<String>,
    },
    /// The folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the folders of sessions.
#[derive(Debug, Clone)]
pub struct Table {
    dir: PathBuf,
    clock: Clock,
}

impl Table {
    /// The sessions below `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, clock: Clock::System }
    }

    /// The folder of one session.
    pub fn folder(&self, id: &SessionId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// Every session, newest first. A folder that holds no readable state is left out.
    pub fn list(&self) -> io::Result<Vec<SessionStatus>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut sessions = Vec::new();
        for entry in entries {
            sessions.extend(self.read(&entry?.path())?);
        }
        sessions.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(sessions)
    }

    /// One session by its id.
    pub fn get(&self, id: &SessionId) -> io::Result<Option<SessionStatus>> {
        self.read(&self.folder(id))
    }

    /// The session that `text` names: an id, else a name (a running one before an ended one, the newest
    /// first), else the only one whose id begins so.
    pub fn find(&self, text: &str) -> Result<SessionStatus, FindError> {
        let failed = |source| FindError::Io { path: self.dir.clone(), source };
        if let Ok(id) = SessionId::new(text)
            && let Some(session) = self.get(&id).map_err(failed)?
        {
            return Ok(session);
        }
        let sessions = self.list().map_err(failed)?;
        let named = || sessions.iter().filter(|session| session.name.as_deref() == Some(text));
        if let Some(session) = named().find(|session| !session.state.is_final()).or_else(|| named().next()) {
            return Ok(session.clone());
        }
        let begins = |session: &&SessionStatus| !text.is_empty() && session.id.as_str().starts_with(text);
        let mut candidates: Vec<_> = sessions.iter().filter(begins).collect();
        match candidates.len() {
            0 => Err(FindError::None(text.chars().take(80).collect())),
            1 => Ok(candidates.remove(0).clone()),
            _ => Err(FindError::Several {
                text: text.to_owned(),
                candidates: candidates.iter().take(NAMED).map(|session| session.id.to_string()).collect(),
            }),
        }
    }

    /// The state in one folder. A session that should have a host and has none is lost.
    fn read(&self, folder: &Path) -> io::Result<Option<SessionStatus>> {
        let Some(status) = read_state(folder)? else { return Ok(None) };
        if status.state.is_final() || FileLock::is_held(&folder.join(files::LEASE))? {
            return Ok(Some(status));
        }
        // It may have ended between the two looks.
        let Some(mut status) = read_state(folder)? else { return Ok(None) };
        let may_come = status.state == SessionState::Starting && self.is_young(&status);
        if !status.state.is_final() && !may_come {
            status.state = SessionState::Lost;
            status.error = Some("its host died, and with it its terminal".to_owned());
        }
        Ok(Some(status))
    }

    fn is_young(&self, status: &SessionStatus) -> bool {
        let asked: Option<jiff::Timestamp> = status.created_at.parse().ok();
        asked.is_some_and(|asked| self.clock.now().duration_since(asked).unsigned_abs() < START_PATIENCE)
    }
}

/// The state as the host wrote it last; `None` when there is none or it is of no use.
pub(super) fn read_state(folder: &Path) -> io::Result<Option<SessionStatus>> {
    match read_private(&folder.join(files::STATE), STATE_MAX) {
        Ok(Some(bytes)) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    }
}
