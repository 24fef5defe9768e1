//! Roles, and the command a role becomes.
//!
//! A role is a manifest and a prompt: the builtin ones are part of the program, those in the user's folder win
//! over them by name. Asked with a message, a role becomes an [`Invocation`]: a program, its arguments, and the
//! files that carry message and prompt.
//!
//! Invariants: nothing here starts a process or writes a file; a message is never part of a shell's command
//! line; a broken manifest is reported with its place and hides no other role.
//!
//! Not here: running what comes out (`session`), and choosing a machine for it.

pub mod adapter;
mod agent;
mod builtin;
mod command;
mod error;
mod files;
mod folder;
mod invocation;
mod launch;
mod list;
mod manifest;
mod program;
mod prompt;
mod reach;
mod role;
mod shell;
mod template;

pub use agent::{Agent, NoAgent, Wanted};
pub use command::{Adapted, Again, adapt, rerun};
pub use error::{BadMessage, CannotRun, CrewError, Problem};
pub use invocation::{Invocation, MESSAGE_MAX, Request, check_message};
pub use launch::{Launch, Ready, SessionFile};
pub use list::{Availability, RoleEntry};
pub use program::find as find_program;
pub use role::{Launcher, Prompt, Role, Source};
pub use shell::login as login_shell;

use std::sync::Arc;

use crate::config::CrewConfig;
use crate::model::RoleId;

/// Every role of this machine. Opening it reads nothing; each question looks at the files anew.
#[derive(Debug)]
pub struct Crew {
    config: Arc<CrewConfig>,
}

impl Crew {
    /// The crew of this configuration.
    pub fn open(config: &CrewConfig) -> Self {
        Self { config: Arc::new(config.clone()) }
    }

    /// Every role with what it is and whether it can run here, sorted by name. Broken ones are among them.
    pub fn list(&self) -> Vec<RoleEntry> {
        list::entries(&self.config)
    }

    /// The names of all roles, for completion; reads no manifest.
    pub fn names(&self) -> Vec<String> {
        folder::names(&self.config).into_iter().collect()
    }

    /// One role, complete with its prompt.
    pub fn get(&self, id: &RoleId) -> Result<Role, CrewError> {
        folder::Places::of(&self.config).load(id)?.ok_or_else(|| self.unknown(id.as_str()))
    }

    /// As [`Crew::get`], by a name as the user typed it; one that is no role id is unknown.
    pub fn find(&self, name: &str) -> Result<Role, CrewError> {
        match RoleId::new(name) {
            Ok(id) => self.get(&id),
            Err(_) => Err(self.unknown(name)),
        }
    }

    /// The error for a role that does not exist, with the nearest that does.
    fn unknown(&self, name: &str) -> CrewError {
        let names = folder::names(&self.config);
        let near = crate::util::closest(name, names.iter().map(String::as_str)).map(str::to_owned);
        // An error quotes at most this much of a text that may be hostile and long.
        CrewError::UnknownRole { name: name.chars().take(80).collect(), near }
    }
}
