//! What this daemon starts sessions with.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{CrewConfig, Environment, SessionConfig};
use crate::crew::SessionFile;
use crate::model::SessionId;
use crate::session::life::{LifeError, Rerun};
use crate::session::{Command, Table};

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
    /// The command with what its agent needs to say what it does, and the files for the session's folder.
    pub(super) fn prepare(&self, command: Command, _id: &SessionId) -> (Command, Vec<SessionFile>) {
        (command, Vec::new())
    }

    /// How an ended session is run again.
    pub(super) fn rerun(&self, _table: &Table, _id: &SessionId) -> Result<Rerun, LifeError> {
        Ok(Rerun::default())
    }
}
