//! Roles: what a manifest says, with the keys of darkmux 1.9 and ours (`runtime`).
//!
//! Invariant: a manifest is data. Whether its prompt exists and its program is installed is `crew`'s to find
//! out, each time it is asked.

use serde::{Deserialize, Serialize};

use super::RoleId;

/// A role manifest, `<roles>/<id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleManifest {
    /// The role's name, that of the file.
    pub id: RoleId,
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// Names of skills the role brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// Which tools the role may use.
    #[serde(default, skip_serializing_if = "ToolPalette::is_empty")]
    pub tool_palette: ToolPalette,
    /// What the role does when it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation_contract: Option<Escalation>,
    /// The prompt's file when it is not `<id>.md` beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_path: Option<String>,
    /// 1.9's limit of context compactions before the role gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bail_after_compactions: Option<u32>,
    /// 1.9's free text about when to escalate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation_posture: Option<String>,
    /// Whether the autonomous preamble precedes the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_family: Option<RoleFamily>,
    /// 1.9's texts that are fed back to a model that is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_templates: Option<FeedbackTemplates>,
    /// The model that the built-in agent takes for this role: `model`, or `endpoint/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the role runs. Without it: by the first available agent.
    #[serde(default)]
    pub runtime: Runtime,
}

/// 1.9's feedback texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackTemplates {
    /// Said when the same call comes again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_suspected: Option<String>,
    /// Said when tool after tool fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_failure_cascade: Option<String>,
}

/// The words a palette may hold, those of 1.9. Another one is a warning, and allows nothing.
pub const PALETTE_TOOLS: &[&str] = &["read", "edit", "write", "exec", "process", "update_plan"];

/// The tools a role may use, of [`PALETTE_TOOLS`]; deny wins; an empty `allow` means all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolPalette {
    /// Allowed tools; empty means all.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Denied tools.
    #[serde(default)]
    pub deny: Vec<String>,
}

impl ToolPalette {
    /// Whether the palette says nothing.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether the palette lets the role use `tool`.
    pub fn allows(&self, tool: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|entry| entry == tool);
        !named(&self.deny) && (self.allow.is_empty() || named(&self.allow))
    }

    /// What the palette comes to for a program that knows only reading, changing files and running commands.
    pub fn access(&self) -> Access {
        match (self.allows("edit") || self.allows("write"), self.allows("exec")) {
            (false, false) => Access::Read,
            (false, true) => Access::ReadExec,
            (true, false) => Access::Write,
            (true, true) => Access::WriteExec,
        }
    }
}

/// How far a role may reach into its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It reads.
    Read,
    /// It reads and runs commands.
    ReadExec,
    /// It changes files.
    Write,
    /// It changes files and runs commands.
    WriteExec,
}

impl Access {
    /// The word in manifests, lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadExec => "read_exec",
            Self::Write => "write",
            Self::WriteExec => "write_exec",
        }
    }
}

/// What a role does when it cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Escalation {
    /// Stop and say why.
    BailWithExplanation,
    /// Try once more with a hint.
    RetryWithHint,
    /// Give the work to another role.
    HandOffTo(RoleId),
}

/// Whether the autonomous preamble precedes the role's prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleFamily {
    /// Preamble and prompt.
    #[default]
    Specialist,
    /// The prompt alone.
    Utility,
}

/// How a role runs: `"agent-cli"`, `"agent"`, `"shell"`, or `{"command": {…}}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// By the first agent of `crew.agents` that can; the role's prompt goes along.
    #[default]
    AgentCli,
    /// By the built-in agent.
    Agent,
    /// By a command of its own.
    Command(Box<CommandRuntime>),
    /// The message is a script for the user's shell.
    Shell,
}

impl Runtime {
    /// The word in lists and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AgentCli => "agent-cli",
            Self::Agent => "agent",
            Self::Command(_) => "command",
            Self::Shell => "shell",
        }
    }
}

/// A command as a template of arguments. Never passed through a shell.
///
/// Placeholders, each replaced inside one argument: `{message}`, `{message_file}`, `{prompt}`,
/// `{prompt_file}`, `{workdir}`, `{session_id}`. The message goes where `{message}` or `{message_file}`
/// stands; where neither does, it is the command's standard input. An argument that is exactly `{system}` or
/// `{access}` is replaced by the arguments of that name, or left out where there are none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRuntime {
    /// Program and arguments of a run that ends by itself.
    pub argv: Vec<String>,
    /// The arguments for `{access}`.
    #[serde(default, skip_serializing_if = "AccessArgs::is_empty")]
    pub access: AccessArgs,
    /// The arguments for `{system}`, which carry the role's prompt by `{prompt}` or `{prompt_file}`. Without
    /// them the prompt precedes the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<String>,
    /// The run that a person goes on with; the message is its first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactive: Option<InteractiveForm>,
    /// Whether other roles may run by this one (an agent CLI).
    #[serde(default)]
    pub agent: bool,
    /// The command that installs the program; shown to the user when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
}

/// The run of a command that a person goes on with. Its standard input stays the terminal, so the message has
/// to have a place among the arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InteractiveForm {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The arguments for `{access}`.
    #[serde(default, skip_serializing_if = "AccessArgs::is_empty")]
    pub access: AccessArgs,
}

/// The arguments that hold a command to a role's [`Access`]. A list that is missing means that the command
/// cannot be held to it; `write_exec` needs none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessArgs {
    /// For a role that only reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<String>>,
    /// For a role that reads and runs commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_exec: Option<Vec<String>>,
    /// For a role that changes files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<String>>,
    /// For a role that changes files and runs commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_exec: Option<Vec<String>>,
}

impl AccessArgs {
    /// Whether no list is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The arguments for `access`; `None` when the command cannot be held to it.
    pub fn of(&self, access: Access) -> Option<&[String]> {
        match access {
            Access::Read => self.read.as_deref(),
            Access::ReadExec => self.read_exec.as_deref(),
            Access::Write => self.write.as_deref(),
            Access::WriteExec => Some(self.write_exec.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette(allow: &[&str], deny: &[&str]) -> ToolPalette {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ToolPalette { allow: list(allow), deny: list(deny) }
    }

    #[test]
    fn a_palette_comes_to_an_access_and_deny_wins() {
        assert_eq!(palette(&[], &[]).access(), Access::WriteExec);
        assert_eq!(palette(&["read"], &[]).access(), Access::Read);
        assert_eq!(palette(&["read", "exec"], &[]).access(), Access::ReadExec);
        assert_eq!(palette(&["read", "write"], &[]).access(), Access::Write);
        assert_eq!(palette(&["read", "edit", "exec"], &["exec"]).access(), Access::Write);
        assert_eq!(palette(&[], &["edit", "write"]).access(), Access::ReadExec);
    }
}
