//! Agents that darkmux knows: how each is told, at its start, to say what it does, what its words mean, and how
//! it is resumed. One file an agent; what they share is in `options`, `place` and `said`.
//!
//! Invariants: nothing of the user's is edited, and nothing the user passed is overridden: where both want the
//! same setting ours is merged in or left out, with a note. Only what an agent documents is used (docs/ROLES.md
//! names the places). Nothing here starts a process or writes a file. What an agent says is hostile text: it is
//! bounded and cleaned before it leaves this module.
//!
//! Not here: sending what was said to the session's host (`darkmux hook`).

mod claude;
mod codex;
mod opencode;
mod options;
mod pi;
mod place;
mod said;
mod script;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::SessionFile;
use crate::config::Environment;
use crate::wire::AskingNotice;

pub use said::{Said, blocked_in, clean, question_in};

/// Largest text of a hook that is read, in bytes.
pub const HOOK_MAX: u64 = 1024 * 1024;

/// The hidden verb that is the built-in agent.
pub const RUN_AGENT: &str = "run-agent";

/// Its option that goes on with its conversation.
pub const RESUME: &str = "--resume";

/// What its conversation is called.
const CHECKPOINT: &str = "checkpoint";

/// Longest name of an agent's conversation, in bytes.
const CONVERSATION_MAX: usize = 512;

/// What knows a session's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// The built-in agent.
    Agent,
    /// Claude Code.
    Claude,
    /// OpenAI Codex.
    Codex,
    /// OpenCode.
    Opencode,
    /// Pi.
    Pi,
    /// Anything else.
    Shell,
}

/// What is known about a session before its program starts.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The session's own folder, in which the caller writes [`Prepared::files`].
    pub folder: &'a Path,
    /// Where the program runs.
    pub cwd: &'a Path,
    /// The darkmux that agents call; [`own_program`].
    pub darkmux: &'a Path,
    /// What the program inherits.
    pub env: &'a Environment,
}

/// A command with its agent's hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables that it gets besides.
    pub env: Vec<(String, String)>,
    /// Files for the session's folder (0600).
    pub files: Vec<SessionFile>,
    /// What was left out, and why; for the user.
    pub notes: Vec<String>,
}

impl Adapter {
    /// The one for a command: the first of its words before `--` whose base name is an agent's.
    pub fn of_argv(argv: &[String]) -> Self {
        place::first(argv).map_or(Self::Shell, |(_, adapter)| adapter)
    }

    /// By the name that `darkmux hook` is called with.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "claude" => Self::Claude,
            "codex" => Self::Codex,
            "opencode" => Self::Opencode,
            "pi" | "pi-coding-agent" => Self::Pi,
            _ => return None,
        })
    }

    /// Its name, which is the session's kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Pi => "pi",
            Self::Shell => "shell",
        }
    }

    /// The session's kind; `None` is a shell.
    pub fn kind(self) -> Option<String> {
        (self != Self::Shell).then(|| self.name().to_owned())
    }

    /// The command with what makes its agent tell darkmux what it does. A command that is no agent's, or that
    /// only names one, stays as it is.
    pub fn prepare(argv: &[String], facts: &Facts<'_>) -> Prepared {
        let plain = Prepared { argv: argv.to_vec(), ..Prepared::default() };
        let Some((at, adapter)) = place::program(argv) else { return plain };
        let Some(darkmux) = facts.darkmux.to_str().filter(|path| is_plain(path)) else {
            let note =
                "the path of darkmux is no plain text: the agent can't call it, and won't say what it does";
            return Prepared { notes: vec![note.to_owned()], ..plain };
        };
        let command = Command { before: &argv[..=at], args: &argv[at + 1..], darkmux };
        match adapter {
            Self::Claude => claude::prepare(&command, facts),
            Self::Codex => codex::prepare(&command, facts),
            Self::Opencode => opencode::prepare(&command, facts),
            Self::Pi => pi::prepare(&command, facts),
            // The built-in agent says what it does by itself.
            Self::Agent | Self::Shell => plain,
        }
    }

    /// The command that goes on with a conversation, under the same limits as the original one. `None`: its agent
    /// has no such command, or the conversation is not known; then [`Adapter::again`] is what is left.
    pub fn resume(argv: &[String], conversation: Option<&str>) -> Option<Vec<String>> {
        let (at, adapter) = place::program(argv)?;
        let (start, given) = (&argv[..=at], &argv[at + 1..]);
        let own = || match adapter {
            Self::Claude => claude::conversation_in(given),
            // Its conversation is in the session's folder.
            Self::Agent => Some(CHECKPOINT.to_owned()),
            _ => None,
        };
        let conversation =
            conversation.map(str::to_owned).or_else(own).filter(|name| is_conversation(name))?;
        let rest = match adapter {
            Self::Claude => claude::resume(given, &conversation),
            Self::Codex => codex::resume(given, &conversation),
            Self::Opencode => opencode::resume(given, &conversation),
            Self::Pi => pi::resume(given, &conversation),
            Self::Agent => Some([&without_resume(given)[..], &[RESUME.to_owned()]].concat()),
            Self::Shell => None,
        }?;
        Some([start, &rest].concat())
    }

    /// The same command for another start from nothing. A conversation's name that darkmux gave is a new one, as
    /// an agent takes each only once.
    pub fn again(argv: &[String]) -> Vec<String> {
        match place::program(argv) {
            Some((at, Self::Claude)) => [&argv[..=at], &claude::again(&argv[at + 1..])].concat(),
            Some((at, Self::Agent)) => [&argv[..=at], &without_resume(&argv[at + 1..])].concat(),
            _ => argv.to_vec(),
        }
    }

    /// What one call of a hook says.
    pub fn said(self, hook: &Value) -> Said {
        match self {
            Self::Claude => claude::said(hook),
            Self::Codex => codex::said(hook),
            Self::Opencode => opencode::said(hook),
            Self::Pi => pi::said(hook),
            Self::Agent | Self::Shell => Said::default(),
        }
    }

    /// The notices of its terminal by which it asks.
    pub fn asking_notices(self) -> Vec<AskingNotice> {
        match self {
            Self::Codex => codex::asking_notices(),
            Self::Agent | Self::Claude | Self::Opencode | Self::Pi | Self::Shell => Vec::new(),
        }
    }

    /// What stands in the place of a hook's text that is too long: all that its call alone says.
    pub fn bare_hook(event: &str) -> Value {
        serde_json::json!({ "hook_event_name": event, "type": event })
    }
}

fn without_resume(args: &[String]) -> Vec<String> {
    args.iter().filter(|word| *word != RESUME).cloned().collect()
}

/// A command taken apart at its agent.
struct Command<'a> {
    /// Up to the agent's program.
    before: &'a [String],
    /// What the agent is given.
    args: &'a [String],
    /// The path of darkmux.
    darkmux: &'a str,
}

impl Command<'_> {
    /// As it is.
    fn plain(&self) -> Prepared {
        self.with(&[])
    }

    /// With these arguments before its own.
    fn with(&self, first: &[String]) -> Prepared {
        Prepared { argv: [self.before, first, self.args].concat(), ..Prepared::default() }
    }

    /// As it is, with a note about what was left out.
    fn without(&self, why: impl Into<String>) -> Prepared {
        Prepared { notes: vec![why.into()], ..self.plain() }
    }
}

/// This very program, as agents may call it for as long as a session lives: also when its file was replaced.
pub fn own_program() -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("darkmux"));
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(replaced) => PathBuf::from(replaced),
        None => path,
    }
}

/// Whether nothing in the text needs more than quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Whether a text can name a conversation: it becomes an argument, and must not become an option.
fn is_conversation(name: &str) -> bool {
    is_plain(name) && name.len() <= CONVERSATION_MAX && !name.starts_with('-')
}

#[cfg(test)]
mod tests;
