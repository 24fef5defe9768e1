//! What the built-in agent is asked to do (`agent.json` in its session's folder), and what it came to (`result.json`
//! there, part of a job's result, `crew dispatch --json`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Escalation, FeedbackTemplates, RoleId, ToolPalette};

/// Version of [`AgentTask`] and [`AgentResult`].
pub const AGENT_SCHEMA: u32 = 1;

/// The task's file in a session's folder.
pub const TASK_FILE: &str = "agent.json";

/// Largest task, in bytes: a message and a prompt with room for JSON.
pub const TASK_MAX: u64 = 4 * 1024 * 1024;

/// The result's file there.
pub const RESULT_FILE: &str = "result.json";

/// Largest result, in bytes: it becomes part of a job's, of which Redis takes 64 KiB.
pub const RESULT_MAX: usize = 32 * 1024;

/// What the built-in agent is asked to do. No key and no address of a model is in it: they are this machine's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentTask {
    /// [`AGENT_SCHEMA`].
    pub schema: u32,
    /// The role it works as.
    pub role: RoleId,
    /// Preamble and prompt.
    pub system: String,
    /// The message.
    pub message: String,
    /// Whether a person goes on with it.
    pub interactive: bool,
    /// The model that the role wishes for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which tools it may use.
    #[serde(default)]
    pub palette: ToolPalette,
    /// What it does when it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// After how many compactions it gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bail_after_compactions: Option<u32>,
    /// What it is told when it is stuck, where the role has words of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackTemplates>,
    /// How its commands are confined.
    #[serde(default)]
    pub sandbox: Sandbox,
}

/// How the commands of the built-in agent are confined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// By what the system has.
    #[default]
    System,
    /// Not at all.
    None,
    /// In a container of this image.
    Image(String),
}

/// What the built-in agent came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentResult {
    /// [`AGENT_SCHEMA`].
    pub schema: u32,
    /// One word, as in darkmux 1.9: `stop`, `blocked`, `max_turns`, `error`, `interrupted` (by a person),
    /// `terminated` (from outside), or `escalation_…`.
    pub result: String,
    /// Its last message, or why there is none.
    #[serde(rename = "final")]
    pub last: String,
    /// Why it cannot go on, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// The role that the work is to be given to then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_off_to: Option<RoleId>,
    /// Files that its tools changed, relative to its folder.
    #[serde(default)]
    pub changed: Vec<PathBuf>,
    /// Commands that it ran, the newest last.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The model.
    #[serde(default)]
    pub model: String,
    /// The endpoint that serves it.
    #[serde(default)]
    pub endpoint: String,
    /// What it took.
    #[serde(default)]
    pub totals: Totals,
}

/// A command that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The command, on one line.
    pub command: String,
    /// Whether it ended well.
    pub ok: bool,
}

/// What a run took, in the words of darkmux 1.9.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names say it.
#[serde(default)]
pub struct Totals {
    pub total_turns: u64,
    pub total_tools: u64,
    pub total_compactions: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
}
