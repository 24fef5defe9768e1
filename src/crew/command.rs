//! A command of the user's own as a session, and its next run: with its agent's hooks, and with what its agent goes
//! on by. One rule for the daemon and the command line.

use std::path::Path;

use super::SessionFile;
use super::adapter::{Adapter, Facts, Prepared, own_program};
use crate::config::Environment;
use crate::model::SessionId;
use crate::session::life::{LifeError, Rerun};
use crate::session::{Command, Table, first_spec_in, spec_in};

/// A command with what makes its agent say what it does.
#[derive(Debug, Clone)]
pub struct Adapted {
    /// What to start.
    pub command: Command,
    /// The files that it finds in its folder.
    pub files: Vec<SessionFile>,
    /// What its agent cannot tell of itself, and why; for the user.
    pub notes: Vec<String>,
}

/// The command as its agent's adapter wants it, in the session's `folder`, with what it inherits.
pub fn adapt(command: Command, folder: &Path, inherits: &Environment) -> Adapted {
    let darkmux = own_program();
    let facts = Facts { folder, cwd: &command.cwd, darkmux: &darkmux, env: inherits };
    let adapter = Adapter::of_argv(&command.argv);
    let Prepared { argv, env, files, notes } = Adapter::prepare(&command.argv, &facts);
    let env = [command.env, env].concat();
    let (kind, asking_notices) = (adapter.kind(), adapter.asking_notices());
    Adapted { command: Command { argv, kind, asking_notices, env, ..command }, files, notes }
}

/// How a session is run once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Its agent goes on with its conversation, where it knows how.
    GoesOn,
    /// From nothing, with what it was told the first time.
    Anew,
}

/// The next run of a session.
pub fn rerun(table: &Table, id: &SessionId, again: Again) -> Result<Rerun, LifeError> {
    let folder = table.folder(id);
    let file = |source| LifeError::File { path: folder.clone(), source };
    let none = || LifeError::None(id.clone());
    let status = table.get(id).map_err(file)?.ok_or_else(none)?;
    let unread = || {
        let why = "what it was asked to be cannot be read";
        LifeError::NotResumable { id: id.clone(), why }
    };
    let spec = spec_in(&folder).map_err(file)?.ok_or_else(unread)?;
    let resumed = Adapter::resume(&spec.argv, status.agent_session.as_deref());
    if let (Again::GoesOn, Some(argv)) = (again, resumed) {
        return Ok(Rerun { argv: Some(argv), goes_on: true, ..Rerun::default() });
    }
    let first = first_spec_in(&folder).map_err(file)?.ok_or_else(unread)?;
    Ok(Rerun { argv: Some(Adapter::again(&first.argv)), anew: true, ..Rerun::default() })
}
