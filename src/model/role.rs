//! Roles: what a manifest says, with the keys of darkmux 1.9 and ours (`runtime`).

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
    #[serde(default, skip_serializing_if = "RoleFamily::is_specialist")]
    pub role_family: RoleFamily,
    /// 1.9's texts that are fed back to a model that is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_templates: Option<FeedbackTemplates>,
    /// How the role runs. Without it: by the first available agent CLI.
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

/// The tools a role may use: `read`, `edit`, `write`, `exec`, `process`, `update_plan`; deny wins; empty
/// means all.
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

impl RoleFamily {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's `skip_serializing_if` passes a reference.
    fn is_specialist(&self) -> bool {
        *self == Self::Specialist
    }
}

/// How a role runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Runtime {
    /// By the first agent CLI of `crew.agents` that is on `PATH`; the role's prompt goes along.
    #[default]
    AgentCli,
    /// By a command of its own.
    Command(CommandRuntime),
    /// The message is a script for the user's shell.
    Shell,
}

/// A command as a template of arguments. Never passed through a shell.
///
/// Placeholders, each replaced inside one argument: `{message}`, `{message_file}`, `{prompt}`,
/// `{prompt_file}`, `{workdir}`, `{session_id}`. An argument list under `system` or `read_only` is put in
/// where the argument is exactly `{system}` or `{read_only}`, or left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRuntime {
    /// Program and arguments of a run that ends by itself.
    pub argv: Vec<String>,
    /// Program and arguments of a run that a person goes on with; the message is its first prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactive: Vec<String>,
    /// Arguments that carry a role's prompt (`{prompt}`, `{prompt_file}`). Without it the prompt precedes
    /// the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<String>,
    /// Arguments for a role whose palette allows neither `edit` nor `write`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
    /// Arguments for a role that may change files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writable: Vec<String>,
    /// How the message reaches the command.
    #[serde(default)]
    pub message: MessageBy,
    /// Whether other roles may run by this one (an agent CLI).
    #[serde(default)]
    pub agent: bool,
    /// What to do when the program is missing; shown to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
}

/// How a message reaches a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageBy {
    /// By the `{message}` placeholder.
    #[default]
    Argument,
    /// On standard input.
    Stdin,
    /// By the `{message_file}` placeholder: a 0600 file in the session's folder.
    File,
}
