//! Choosing the agent CLI for a role that any of them may run: the first of `crew.agents` that is installed
//! and can be held to what the role may do.

use std::fmt;
use std::path::PathBuf;

use super::error::CrewError;
use super::{folder, program};
use crate::config::CrewConfig;
use crate::model::{Access, CommandRuntime, RoleId, Runtime};

/// An agent CLI that is here.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The role that describes it.
    pub role: RoleId,
    /// Its program's file.
    pub program: PathBuf,
    /// How it is called.
    pub command: CommandRuntime,
}

/// Why none of the configured agent CLIs can run a role: each with its reason, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct NoAgent {
    /// Those that are not installed: the program.
    pub missing: Vec<String>,
    /// Those that are of no use for another reason: name and reason.
    pub unfit: Vec<(String, String)>,
    /// What to do about those that are not installed.
    pub install: Vec<String>,
}

impl fmt::Display for NoAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<String> = Vec::new();
        if !self.missing.is_empty() {
            reasons.push(format!("not on PATH: {}", self.missing.join(", ")));
        }
        reasons.extend(self.unfit.iter().map(|(name, reason)| format!("`{name}` {reason}")));
        if reasons.is_empty() {
            reasons.push("`crew.agents` is empty".to_owned());
        }
        write!(f, "no agent CLI can run it ({})", reasons.join("; "))?;
        if !self.install.is_empty() {
            write!(f, "\ninstall one of them:\n  {}\nor", self.install.join("\n  "))?;
        } else {
            f.write_str(";")?;
        }
        f.write_str(" set another role that is one: darkmux config set crew.agents <role>,…")
    }
}

/// The first agent CLI of `crew.agents` that is here and can be held to `access`.
pub fn choose(config: &CrewConfig, access: Access) -> Result<Agent, NoAgent> {
    let mut none = NoAgent::default();
    for name in &config.agents {
        match candidate(config, name, access) {
            Ok(agent) => return Ok(agent),
            Err(Miss::NotInstalled { program, install }) => {
                none.missing.push(program);
                none.install.extend(install);
            }
            Err(Miss::Unfit(reason)) => none.unfit.push((name.clone(), reason)),
        }
    }
    Err(none)
}

/// Why one agent CLI is not chosen.
enum Miss {
    NotInstalled { program: String, install: Option<String> },
    Unfit(String),
}

fn candidate(config: &CrewConfig, name: &str, access: Access) -> Result<Agent, Miss> {
    let miss = |reason: &str| Miss::Unfit(reason.to_owned());
    let id = RoleId::new(name).map_err(|_| miss("is no role"))?;
    let role = match folder::load(config, &id) {
        Ok(Some(role)) => role,
        Ok(None) => return Err(miss("is no role")),
        Err(CrewError::Broken(problem)) => return Err(Miss::Unfit(format!("is broken, {problem}"))),
        Err(error) => return Err(Miss::Unfit(error.to_string())),
    };
    let Runtime::Command(command) = role.manifest.runtime else {
        return Err(miss("is no agent CLI"));
    };
    if !command.agent {
        return Err(miss("is no agent CLI: its manifest does not say `\"agent\": true`"));
    }
    let called = command.argv.first().map(String::as_str).unwrap_or_default();
    let Some(program) = program::find(called, &config.path_dirs) else {
        return Err(Miss::NotInstalled { program: called.to_owned(), install: command.install });
    };
    let interactive = command.interactive.as_ref().map(|form| &form.access);
    if [Some(&command.access), interactive].into_iter().flatten().any(|lists| lists.of(access).is_none()) {
        return Err(Miss::Unfit(format!("can't be held to `{}` access", access.as_str())));
    }
    Ok(Agent { role: id, program, command })
}
