//! What this daemon starts sessions with.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{CrewConfig, Environment, SessionConfig};
use crate::crew::{Adapted, SessionFile, adapt};
use crate::model::SessionId;
use crate::session::Command;

/// What sessions of `/v1` are started with.
#[derive(Debug, Clone)]
pub struct Launching {
    /// How sessions are kept.
    pub session: SessionConfig,
    /// Where programs are.
    pub crew: CrewConfig,
    /// What a session inherits.
    pub env: Environment,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Where the daemon listens.
    pub listen: SocketAddr,
}

impl Launching {
    /// The command with what makes its agent say what it does, and the files that it finds in its folder.
    pub(super) fn prepare(&self, command: Command, id: &SessionId) -> (Command, Vec<SessionFile>) {
        let folder = self.session.dir.join(id.as_str());
        let Adapted { command, files, notes } = adapt(command, &folder, &self.env);
        for note in notes {
            tracing::warn!(session = %id, "{note}");
        }
        (command, files)
    }
}
