//! How a service is altogether: its files, what the manager says, and whether it could start.

use std::path::PathBuf;
use std::time::Duration;

use super::{Kind, Manager, ServiceError, Services, UnitState, launchd, systemd};
use crate::store::read_if_there;

/// Largest unit that is read, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// What was found of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Which one.
    pub kind: Kind,
    /// Its files that are there.
    pub files: Vec<PathBuf>,
    /// What the manager says.
    pub state: UnitState,
    /// The program that it starts, where that is not there any more.
    pub lost: Option<PathBuf>,
}

impl Look {
    /// Whether it is written down.
    pub fn is_installed(&self) -> bool {
        !self.files.is_empty()
    }

    /// How it is, in a few words.
    pub fn words(&self) -> String {
        let UnitState { loaded, running, pid, last_exit, disabled, .. } = &self.state;
        let ended = last_exit.map_or(String::new(), |code| format!(", last ended with status {code}"));
        let pid = pid.map_or(String::new(), |pid| format!(", pid {pid}"));
        if self.kind == Kind::Integrity && *loaded {
            return format!("each night at 04:15{ended}");
        }
        match (self.is_installed(), loaded, running) {
            (false, false, _) => "not installed".to_owned(),
            (true, _, _) if *disabled && !running => format!("installed and switched off{ended}"),
            (true, false, _) => format!("installed and not started{ended}"),
            (_, _, false) => format!("ends by itself and is started again{ended}"),
            (false, _, true) => format!("running{pid}, and its unit is gone"),
            (true, _, true) => format!("running{pid}"),
        }
    }
}

impl Services {
    /// Looks at a service; asking the manager takes at most `limit`.
    pub async fn look(&self, kind: Kind, limit: Duration) -> Result<Look, ServiceError> {
        let mut files = self.paths(kind);
        files.retain(|path| path.exists());
        let state = self.state_within(kind, limit).await?;
        let lost = files.first().and_then(|path| self.program_in(path)).filter(|program| !program.is_file());
        Ok(Look { kind, files, state, lost })
    }

    /// The program that a unit starts, where its file is one that we wrote.
    fn program_in(&self, path: &std::path::Path) -> Option<PathBuf> {
        let text = String::from_utf8(read_if_there(path, FILE_MAX).ok()??).ok()?;
        let program = match self.manager() {
            Manager::Launchd => launchd::program(&text),
            Manager::Systemd => systemd::program(&text),
            Manager::None => None,
        };
        program.map(PathBuf::from).filter(|program| program.is_absolute())
    }
}
