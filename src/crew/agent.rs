//! Choosing the agent for a role that any of them may run: the first of `crew.agents` that is here and can be held
//! to what the role may do. An agent CLI is here when it is installed, the built-in agent when a model endpoint
//! answers.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::adapter::own_program;
use super::error::CrewError;
use super::folder::{Loaded, Places};
use super::program::Programs;
use super::reach;
use crate::config::CrewConfig;
use crate::model::{Access, CommandRuntime, RoleId, Runtime};

/// An agent that is here.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The role that describes it.
    pub role: RoleId,
    /// Its program's file.
    pub program: PathBuf,
    /// How it is called; `None` is the builtin one.
    pub command: Option<Box<CommandRuntime>>,
}

/// Which agent is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// Any that can be held to this.
    Any(Access),
    /// The builtin one.
    Builtin,
}

/// Why none of the configured agents can run a role: each with its reason, in their order.
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
        write!(f, "no agent can run it ({})", reasons.join("; "))?;
        if self.install.is_empty() {
            f.write_str(";")?;
        } else {
            write!(f, "\ninstall one of them:\n  {}\nor", self.install.join("\n  "))?;
        }
        f.write_str(" set another role that is one: darkmux config set crew.agents <role>,…")
    }
}

/// The agents of `crew.agents` as they are here at one moment, in their order.
#[derive(Debug)]
pub struct Pool {
    candidates: Vec<(String, Result<Agent, Miss>)>,
    config: Arc<CrewConfig>,
    /// Whether a model endpoint answers; asked when it matters.
    reached: OnceCell<Result<(), String>>,
}

impl Pool {
    /// Reads the manifest of each of them, and looks for its program.
    pub fn open(config: &Arc<CrewConfig>, programs: &Programs<'_>) -> Self {
        let places = Places::of(config);
        let loaded = config.agents.iter().map(|name| (name.clone(), places.load_named(name)));
        Self::of(config, &loaded.collect(), programs)
    }

    /// As [`Pool::open`], with the roles that were read already.
    pub fn of(config: &Arc<CrewConfig>, roles: &BTreeMap<String, Loaded>, programs: &Programs<'_>) -> Self {
        let found = config.agents.iter().map(|name| {
            let role = roles.get(name).map_or(&Ok(None), |role| role);
            (name.clone(), find(role, programs))
        });
        Self { candidates: found.collect(), config: Arc::clone(config), reached: OnceCell::new() }
    }

    /// The first that is here and can be held to what is wanted.
    pub fn choose(&self, wanted: Wanted) -> Result<Agent, NoAgent> {
        let access = match wanted {
            Wanted::Any(access) => access,
            Wanted::Builtin => return self.builtin(),
        };
        let mut none = NoAgent::default();
        for (name, candidate) in &self.candidates {
            match candidate {
                Ok(agent) if agent.command.is_none() => match self.builtin() {
                    Ok(builtin) => return Ok(Agent { role: agent.role.clone(), ..builtin }),
                    Err(why) => {
                        none.unfit.extend(why.unfit);
                        none.install.extend(why.install);
                    }
                },
                Ok(agent) if agent.holds(access) => return Ok(agent.clone()),
                Ok(_) => {
                    none.unfit.push((name.clone(), format!("can't be held to `{}` access", access.as_str())));
                }
                Err(Miss::NotInstalled { program, install }) => {
                    none.missing.push(program.clone());
                    none.install.extend(install.clone());
                }
                Err(Miss::Unfit(reason)) => none.unfit.push((name.clone(), reason.clone())),
            }
        }
        Err(none)
    }

    /// The builtin one, if it has something to ask.
    fn builtin(&self) -> Result<Agent, NoAgent> {
        let none = |why: String| NoAgent {
            unfit: vec![(reach::AGENT.to_owned(), why)],
            install: vec![reach::ADVICE.to_owned()],
            ..NoAgent::default()
        };
        let role = RoleId::new(reach::AGENT).map_err(|error| none(error.to_string()))?;
        self.reached.get_or_init(|| reach::any(&self.config.models)).clone().map_err(none)?;
        Ok(Agent { role, program: own_program(), command: None })
    }
}

impl Agent {
    /// Whether each way of calling it can be held to `access`.
    fn holds(&self, access: Access) -> bool {
        let Some(command) = &self.command else { return true };
        let interactive = command.interactive.as_ref().map(|form| &form.access);
        [Some(&command.access), interactive].into_iter().flatten().all(|lists| lists.of(access).is_some())
    }
}

/// Why one agent CLI is not chosen.
#[derive(Debug)]
enum Miss {
    NotInstalled { program: String, install: Option<String> },
    Unfit(String),
}

fn find(role: &Loaded, programs: &Programs<'_>) -> Result<Agent, Miss> {
    let miss = |reason: &str| Miss::Unfit(reason.to_owned());
    let manifest = match role {
        Ok(Some(role)) => &role.manifest,
        Ok(None) => return Err(miss("is no role")),
        Err(CrewError::Broken(problem)) => return Err(Miss::Unfit(format!("is broken, {problem}"))),
        Err(error) => return Err(Miss::Unfit(error.to_string())),
    };
    let command = match &manifest.runtime {
        Runtime::Command(command) => command,
        Runtime::Agent => {
            return Ok(Agent { role: manifest.id.clone(), program: own_program(), command: None });
        }
        Runtime::AgentCli | Runtime::Shell => return Err(miss("is no agent")),
    };
    if !command.agent {
        return Err(miss("is no agent CLI: its manifest does not say `\"agent\": true`"));
    }
    let called = command.argv.first().map(String::as_str).unwrap_or_default();
    let Some(program) = programs.find(called) else {
        return Err(Miss::NotInstalled { program: called.to_owned(), install: command.install.clone() });
    };
    Ok(Agent { role: manifest.id.clone(), program, command: Some(command.clone()) })
}
