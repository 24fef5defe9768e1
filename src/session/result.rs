//! What is in the folder of a session of the built-in agent: what it was asked, and how its work ended.

use std::path::Path;

use crate::store::read_if_there;
use crate::wire::{AGENT_SCHEMA, AgentResult, AgentTask, RESULT_FILE, RESULT_MAX, TASK_FILE, TASK_MAX};

/// The result in a session's folder; `None` when its program was no built-in agent, or left none that can be read.
pub fn agent_result(folder: &Path) -> Option<AgentResult> {
    let bytes = read_if_there(&folder.join(RESULT_FILE), RESULT_MAX as u64 * 2).ok().flatten()?;
    let result: AgentResult = serde_json::from_slice(&bytes).ok()?;
    (result.schema == AGENT_SCHEMA).then_some(result)
}

/// What the built-in agent was asked to do in the session of this folder; `None` as for [`agent_result`].
pub fn task_message(folder: &Path) -> Option<String> {
    let bytes = read_if_there(&folder.join(TASK_FILE), TASK_MAX).ok().flatten()?;
    let task: AgentTask = serde_json::from_slice(&bytes).ok()?;
    Some(task.message)
}
