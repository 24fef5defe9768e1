//! What this daemon starts sessions with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{CrewConfig, Environment, SessionConfig};
use crate::crew::SessionFile;
use crate::crew::adapter::{self, Adapter, Facts, own_program};
use crate::model::SessionId;
use crate::session::life::{LifeError, Rerun};
use crate::session::{Command, Table, spec_in};

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
        let kind = Adapter::of_argv(&command.argv).kind();
        let Prepared { argv, env, files } = self.adapt(&command.argv, &folder, &command.cwd);
        (Command { argv, kind, env: [command.env, env].concat(), ..command }, files)
    }

    /// How an ended session is run again: its agent goes on with its conversation, where it knows how.
    pub(super) fn rerun(table: &Table, id: &SessionId) -> Result<Rerun, LifeError> {
        let folder = table.folder(id);
        let file = |source| LifeError::File { path: folder.clone(), source };
        let none = || LifeError::None(id.clone());
        let status = table.get(id).map_err(file)?.ok_or_else(none)?;
        let spec = spec_in(&folder).map_err(file)?;
        let Some(spec) = spec else {
            let why = "what it was asked to be cannot be read";
            return Err(LifeError::NotResumable { id: id.clone(), why });
        };
        let resumed = Adapter::resume(&spec.argv, status.agent_session.as_deref());
        let goes_on = resumed.is_some();
        let argv = Some(resumed.unwrap_or_else(|| Adapter::again(&spec.argv)));
        Ok(Rerun { argv, goes_on, ..Rerun::default() })
    }

    fn adapt(&self, argv: &[String], folder: &Path, cwd: &Path) -> Prepared {
        let darkmux = own_program();
        let facts = Facts { folder, cwd, darkmux: &darkmux, env: &self.env };
        let adapter::Prepared { argv, env, files, notes } = Adapter::prepare(argv, &facts);
        for note in notes {
            tracing::warn!(folder = %folder.display(), "{note}");
        }
        Prepared { argv, env, files }
    }
}

/// A command as its agent's adapter wants it.
struct Prepared {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    files: Vec<SessionFile>,
}
