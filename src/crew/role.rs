//! A role as it stands: its manifest, its prompt, and where both come from.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::Problem;
use super::agent::{Agent, NoAgent, Pool, Wanted};
use super::error::{CannotRun, CrewError};
use super::invocation::{self, Invocation, Request};
use super::program::Programs;
use super::shell;
use crate::config::CrewConfig;
use crate::model::{RoleManifest, Runtime};

/// Where a role comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Part of the program.
    Builtin,
    /// A manifest of the user's.
    User(PathBuf),
}

/// A role's own prompt, without the preamble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The file; `None` for a builtin one.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: Cow<'static, str>,
}

/// A role that is whole.
#[derive(Debug, Clone)]
pub struct Role {
    /// What it is.
    pub manifest: RoleManifest,
    /// Where it comes from.
    pub source: Source,
    /// What it is told; `None` for a role that needs nothing said.
    pub prompt: Option<Prompt>,
    /// What precedes the prompt; `None` for a utility role and for one without a prompt.
    pub preamble: Option<Prompt>,
    /// What is odd about it, and does not keep it from running.
    pub warnings: Vec<Problem>,
    pub(super) config: Arc<CrewConfig>,
}

/// The program that would run a role here.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program's file.
    pub program: PathBuf,
    /// The agent, when the role runs by one.
    pub agent: Option<Agent>,
}

impl Role {
    /// What the role's runtime is told besides the message: preamble, a blank line and the prompt. Empty for
    /// a role without a prompt.
    pub fn system(&self) -> String {
        let parts = [&self.preamble, &self.prompt];
        let texts: Vec<&str> = parts.into_iter().flatten().map(|part| part.text.trim()).collect();
        texts.join("\n\n")
    }

    /// What would run the role here, or why nothing can.
    pub fn launcher(&self) -> Result<Launcher, CannotRun> {
        let programs = Programs::of(&self.config.path_dirs);
        self.launcher_from(&programs, |wanted| Pool::open(&self.config, &programs).choose(wanted))
    }

    /// As [`Role::launcher`], with what was looked for once for many roles.
    pub(super) fn launcher_from(
        &self,
        programs: &Programs<'_>,
        choose: impl FnOnce(Wanted) -> Result<Agent, NoAgent>,
    ) -> Result<Launcher, CannotRun> {
        match &self.manifest.runtime {
            Runtime::Shell => Ok(Launcher { program: shell::program(&self.config)?, agent: None }),
            Runtime::Command(command) => {
                let name = command.argv.first().map(String::as_str).unwrap_or_default();
                let missing =
                    || CannotRun::NoProgram { program: name.to_owned(), install: command.install.clone() };
                let program = programs.find(name).ok_or_else(missing)?;
                Ok(Launcher { program, agent: None })
            }
            Runtime::AgentCli | Runtime::Agent => {
                let builtin = self.manifest.runtime == Runtime::Agent;
                let any = Wanted::Any(self.manifest.tool_palette.access());
                let agent = choose(if builtin { Wanted::Builtin } else { any })?;
                Ok(Launcher { program: agent.program.clone(), agent: Some(agent) })
            }
        }
    }

    /// What to start for this message. Starts nothing and writes nothing.
    pub fn invocation(&self, request: &Request<'_>) -> Result<Invocation, CrewError> {
        invocation::build(self, request)
    }

    pub(super) fn cannot_run(&self, why: CannotRun) -> CrewError {
        CrewError::CannotRun { role: self.manifest.id.clone(), why }
    }
}
