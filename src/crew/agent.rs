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
    /// Name and reason.
    pub tried: Vec<(String, String)>,
    /// What to do about one that is merely not installed.
    pub install: Vec<String>,
}

impl fmt::Display for NoAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configure = "name one that you have in `darkmux config set crew.agents …`";
        if self.tried.is_empty() {
            return write!(f, "`crew.agents` names no agent CLI; {configure}");
        }
        f.write_str("no agent CLI for it is here (")?;
        for (index, (name, reason)) in self.tried.iter().enumerate() {
            write!(f, "{}{name}: {reason}", if index == 0 { "" } else { "; " })?;
        }
        f.write_str("). ")?;
        for line in &self.install {
            write!(f, "{line}\n  or ")?;
        }
        f.write_str(configure)
    }
}

/// The first agent CLI of `crew.agents` that is here and can be held to `access`.
pub fn choose(config: &CrewConfig, access: Access) -> Result<Agent, NoAgent> {
    let mut none = NoAgent::default();
    for name in &config.agents {
        match candidate(config, name, access) {
            Ok(agent) => return Ok(agent),
            Err(miss) => {
                none.tried.push((name.clone(), miss.reason));
                none.install.extend(miss.install);
            }
        }
    }
    Err(none)
}

struct Miss {
    reason: String,
    install: Option<String>,
}

fn candidate(config: &CrewConfig, name: &str, access: Access) -> Result<Agent, Miss> {
    let miss = |reason: String| Miss { reason, install: None };
    let id = RoleId::new(name).map_err(|_| miss("no such role".to_owned()))?;
    let role = match folder::load(config, &id) {
        Ok(Some(role)) => role,
        Ok(None) => return Err(miss("no such role".to_owned())),
        Err(CrewError::Broken(problem)) => return Err(miss(format!("broken, {problem}"))),
        Err(error) => return Err(miss(error.to_string())),
    };
    let Runtime::Command(command) = role.manifest.runtime else {
        return Err(miss("the role is no agent CLI".to_owned()));
    };
    if !command.agent {
        return Err(miss("the role's manifest does not say `\"agent\": true`".to_owned()));
    }
    let called = command.argv.first().map(String::as_str).unwrap_or_default();
    let Some(program) = program::find(called, &config.path_dirs) else {
        let install = command.install.clone();
        return Err(Miss { reason: format!("`{called}` is not on PATH"), install });
    };
    let interactive = command.interactive.as_ref().map(|form| &form.access);
    if [Some(&command.access), interactive].into_iter().flatten().any(|lists| lists.of(access).is_none()) {
        return Err(miss(format!("can't be held to `{}` access", access.as_str())));
    }
    Ok(Agent { role: id, program, command })
}
