//! What the built-in agent left in its session's folder about how its work ended.

use std::path::Path;

use crate::store::read_if_there;
use crate::wire::{AGENT_SCHEMA, AgentResult, RESULT_FILE, RESULT_MAX};

/// The result in a session's folder; `None` when its program was no built-in agent, or left none that can be read.
pub fn agent_result(folder: &Path) -> Option<AgentResult> {
    let bytes = read_if_there(&folder.join(RESULT_FILE), RESULT_MAX as u64 * 2).ok().flatten()?;
    let result: AgentResult = serde_json::from_slice(&bytes).ok()?;
    (result.schema == AGENT_SCHEMA).then_some(result)
}
