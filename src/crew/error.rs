//! Everything that can be wrong with a role or with what is asked of it. Each message ends with what to do.

use std::fmt;
use std::path::PathBuf;

use super::agent::NoAgent;
use super::invocation::MESSAGE_MAX;
use super::template::ARGUMENT_MAX;
use crate::model::RoleId;

/// Something wrong in a role's files, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// Column, from 1, where known.
    pub column: Option<usize>,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self { file: file.into(), line: None, column: None, reason: reason.to_string() }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: reason`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why a role cannot be had, or cannot take a message.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// No role of this name.
    #[error("there is no role `{name}`{}; `darkmux crew roles` lists them", suggestion(.near.as_deref()))]
    UnknownRole {
        /// The name as given.
        name: String,
        /// The nearest role that exists.
        near: Option<String>,
    },
    /// Its manifest or its prompt is broken.
    #[error("{0}; mend the file, or move it away")]
    Broken(Problem),
    /// The role is fine and nothing here can run it.
    #[error("role `{role}` can't run here: {why}")]
    CannotRun {
        /// The role.
        role: RoleId,
        /// Why.
        why: CannotRun,
    },
    /// The message is none that a role can take.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
}

/// Why nothing here can run a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRun {
    /// None of the agent CLIs.
    #[error(transparent)]
    NoAgent(#[from] NoAgent),
    /// Its own program is missing.
    #[error("`{program}` is not on PATH{}", hint(.install.as_deref()))]
    NoProgram {
        /// The program.
        program: String,
        /// What the manifest says to do.
        install: Option<String>,
    },
    /// Not even a shell.
    #[error("there is no shell: set SHELL to one (sh, bash, zsh, dash, ksh or fish), or put sh on PATH")]
    NoShell,
    /// A path that an argument needs is not UTF-8.
    #[error("the path `{0}` is not UTF-8 and can't be an argument; use another folder")]
    PathNotUtf8(String),
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Nothing in it.
    #[error("the message is empty; say what the role is to do")]
    Empty,
    /// A NUL byte, which no argument and no prompt can carry.
    #[error("the message has a NUL byte (at byte {0}); remove it, or put the data into a file and name it")]
    Nul(usize),
    /// Larger than any role takes.
    #[error("the message has {0} bytes, {MESSAGE_MAX} is the limit; put the data into a file and name it")]
    TooLarge(usize),
    /// Larger than one argument can be, and this way of running takes it as one.
    #[error(
        "the message takes {0} bytes of one argument, {ARGUMENT_MAX} is the system's limit; shorten it, or let \
         the role's command take it by `{{message_file}}` or on standard input"
    )]
    TooLargeForArgument(usize),
}

fn suggestion(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

fn hint(install: Option<&str>) -> String {
    install
        .map_or_else(|| "; install it, or change the role's manifest".to_owned(), |text| format!("; {text}"))
}
