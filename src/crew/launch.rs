//! The session that a role and a message become.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::adapter::{Adapter, Facts, Prepared, own_program};
use super::{CrewError, Invocation, Request, Role};
use crate::config::{Environment, SessionConfig};
use crate::model::{MachineId, Runtime, SessionId};
use crate::util::{clock, human};
use crate::wire::{DispatchFacts, SESSION_SCHEMA, Sandbox, SessionSpec, WindowSize};

/// Longest title of a session, in characters.
const TITLE_MAX: usize = 120;

/// A file that a session finds in its folder: its name and its content.
pub type SessionFile = (PathBuf, Vec<u8>);

/// What is known about a session before it is one.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Its id.
    pub id: SessionId,
    /// What the role is to do.
    pub message: &'a str,
    /// Whether the role's interactive form is started.
    pub interactive: bool,
    /// Folder to run in.
    pub cwd: PathBuf,
    /// The name the user gave.
    pub name: Option<String>,
    /// Its time limit.
    pub timeout: Option<Duration>,
    /// First size of its terminal.
    pub size: WindowSize,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Variables that its process gets besides.
    pub env: Vec<(String, String)>,
    /// What its process inherits.
    pub inherits: &'a Environment,
    /// The job of the queue that it runs, and which attempt it is.
    pub work: Option<(String, u32)>,
    /// How commands of the built-in agent are confined.
    pub sandbox: Sandbox,
}

/// A session that can be started.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What to start.
    pub spec: SessionSpec,
    /// The files that it finds in its folder.
    pub files: Vec<SessionFile>,
    /// What its agent cannot tell of itself, and why; for the user.
    pub notes: Vec<String>,
}

impl Launch<'_> {
    /// What to start for this role, with the hooks of the agent that runs it.
    pub fn prepare(self, role: &Role, keep: &SessionConfig) -> Result<Ready, CrewError> {
        let folder = keep.dir.join(self.id.as_str());
        let mut invocation = role.invocation(&self.request(&folder))?;
        let facts = facts(role, &invocation, self.work);
        let adapter = Adapter::of_argv(&invocation.argv);
        let darkmux = own_program();
        let around = Facts { folder: &folder, cwd: &self.cwd, darkmux: &darkmux, env: self.inherits };
        let Prepared { argv, env, files, notes } = Adapter::prepare(&invocation.argv, &around);
        invocation.files.extend(files);
        let spec = SessionSpec {
            schema: SESSION_SCHEMA,
            id: self.id,
            role: Some(role.manifest.id.clone()),
            name: self.name,
            title: human::headline(self.message, TITLE_MAX),
            argv,
            cwd: self.cwd,
            stdin_file: invocation.stdin_file,
            timeout_ms: self.timeout.map(clock::whole_ms),
            grace_ms: clock::whole_ms(keep.grace),
            scrollback_bytes: keep.scrollback_bytes,
            log_bytes: keep.log_bytes,
            size: self.size,
            machine_id: self.machine_id,
            created_at: self.created_at,
            env: [self.env, env].concat(),
            dispatch: Some(facts),
            kind: adapter.kind(),
            asking_notices: adapter.asking_notices(),
        };
        Ok(Ready { spec, files: invocation.files, notes })
    }

    fn request<'a>(&'a self, folder: &'a Path) -> Request<'a> {
        Request {
            message: self.message,
            interactive: self.interactive,
            workdir: &self.cwd,
            session_id: &self.id,
            folder,
            sandbox: &self.sandbox,
        }
    }
}

fn facts(role: &Role, invocation: &Invocation, work: Option<(String, u32)>) -> DispatchFacts {
    let runtime = match (&invocation.agent, &role.manifest.runtime) {
        (Some(agent), _) => agent.to_string(),
        (None, Runtime::Shell) => "shell".to_owned(),
        (None, _) => "command".to_owned(),
    };
    let (work_id, attempt) = work.unzip();
    DispatchFacts {
        runtime,
        prompt_chars: invocation.prompt_chars as u64,
        system_chars: invocation.system_chars as u64,
        work_id,
        attempt,
    }
}
