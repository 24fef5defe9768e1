//! A dispatch that no queue knows: what this machine's session says of it.

use serde_json::json;

use super::show;
use crate::cli::crew::how;
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::session::{FindError, Table, agent_result, task_message};
use crate::util::human;
use crate::wire::{AgentResult, SessionStatus};

/// A session that was dispatched here.
pub struct Here {
    table: Table,
    session: SessionStatus,
}

/// The dispatch of this machine that the user named, if there is one. A shell that somebody opened is none.
pub fn find(cx: &Cx, text: &str) -> Result<Option<Here>, Failure> {
    let table = Table::new(cx.config()?.session().dir);
    match table.find(text) {
        Ok(session) => Ok(Some(Here { table, session }).filter(|here| here.session.role.is_some())),
        // What is wrong with the queue is said; several that could be meant are none.
        Err(FindError::None(_) | FindError::Several { .. }) => Ok(None),
        Err(error) => Err(Failure::new(Exit::Internal, error)),
    }
}

impl Here {
    fn agent(&self) -> Option<AgentResult> {
        agent_result(&self.table.folder(&self.session.id))
    }

    /// In words.
    pub fn show(&self, cx: &Cx) -> Outcome {
        let session = &self.session;
        let agent = self.agent();
        let mut facts = Vec::new();
        let mut say = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
        say("role", session.role.as_ref().map(ToString::to_string));
        say("name", session.name.clone());
        say("what", session.title.clone());
        say("machine", Some(format!("{}, without the queue", session.machine_id)));
        say("dispatched", Some(session.created_at.clone()));
        say("ran", session.ran().map(|ran| human::duration(ran.unsigned_abs())));
        say("exit code", session.exit_code.map(|code| code.to_string()));
        say("output", Some(human::bytes(session.output.end.saturating_sub(session.output.start))));
        say("folder", Some(session.cwd.display().to_string()));
        let blocked = agent.as_ref().and_then(|agent| agent.blocked.clone());
        say("why", session.error.clone().or(blocked));
        facts.extend(agent.iter().flat_map(show::of_agent));
        let end =
            if session.state.is_final() { how(session) } else { format!("is {}", session.state.as_str()) };
        let last = agent.as_ref().map(|agent| agent.last.as_str());
        show::print(cx, (session.id.as_str(), &end), &facts, last)?;
        Ok(Exit::Ok)
    }

    /// Its message alone, where it was given to the built-in agent; otherwise nobody kept it.
    pub fn message(&self, cx: &Cx, why: Failure) -> Outcome {
        let message = task_message(&self.table.folder(&self.session.id)).ok_or(why)?;
        cx.printer.bytes(message.as_bytes())?;
        Ok(Exit::Ok)
    }

    /// As a document: that of `crew dispatch --json` without the output.
    pub fn document(&self, cx: &Cx) -> Outcome {
        cx.printer
            .json(&json!({ "schema": 1, "job": null, "session": self.session, "result": self.agent() }))?;
        Ok(Exit::Ok)
    }
}
