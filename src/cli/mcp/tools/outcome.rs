//! What `dispatch` and `wait` answer: where something stands or how it ended, with the end of its output.

use rmcp::schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::call::Call;
use super::super::result;
use super::Document;
use crate::cli::job::Delivery;
use crate::cli::{Failure, crew, job, session};
use crate::session::{Table, agent_result};
use crate::util::{human, visible_line};
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// Where a job or a session stands, or how it ended.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Outcome {
    /// Its id, for the other tools
    pub id: String,
    /// `job`: in the fleet's queue; `session`: in no queue
    pub kind: &'static str,
    /// Of a job: queued, waiting, running, done, failed, cancelled, dead. Of a session: starting, running, exited, lost
    pub state: &'static str,
    /// Whether it has ended
    pub ended: bool,
    /// Its exit code once it has ended: its program's own; 124 its time limit; 125 it was lost; 126 its machine refused it; 130 it was cancelled
    pub exit_code: Option<u8>,
    /// The machine that runs it or ran it
    pub machine: Option<String>,
    /// Why this answer came: `ended`, `idle`, `text`, `time_over` (it goes on; wait again), or `started` where nobody waited
    pub reason: &'static str,
    /// The line that fits the text that was waited for, or the question that its agent asks
    pub line: Option<String>,
    /// The end of its output as plain text; empty where it has not ended
    pub output: String,
    /// Whether there is more output than that; `logs` has more
    pub output_truncated: bool,
    /// What came back of the repository that it was dispatched from: `branch`, `commit`, `changed`, or `error`
    pub workspace: Option<Document>,
    /// What the built-in agent came to: `result`, `final` (its last message), `blocked`, `hand_off_to`, `changed`, `checks`, `totals`
    pub agent: Option<Document>,
    /// What happened meanwhile
    pub notes: Vec<String>,
}

impl Outcome {
    /// Of a job.
    pub fn of_job(job: &JobView, reason: &'static str) -> Self {
        let ended = job.state.is_final();
        Self {
            id: job.id.to_string(),
            kind: "job",
            state: job.state.as_str(),
            ended,
            exit_code: ended.then(|| job::exit_of_job(job).code()),
            machine: job.machine.clone(),
            reason,
            agent: job.result.as_ref().and_then(|result| result.details.get("agent")?.as_object().cloned()),
            ..Self::default()
        }
    }

    /// Of a session.
    pub fn of_session(status: &SessionStatus, reason: &'static str) -> Self {
        let ended = status.state.is_final();
        Self {
            id: status.id.to_string(),
            kind: "session",
            state: status.state.as_str(),
            ended,
            exit_code: ended.then(|| session::exit_of(status).code()),
            machine: Some(status.machine_id.to_string()),
            reason,
            ..Self::default()
        }
    }

    /// With this much of an output.
    pub fn with_output(self, (output, output_truncated): (String, bool)) -> Self {
        Self { output, output_truncated, ..self }
    }

    /// With what the built-in agent came to in a session of this machine.
    pub fn with_agent(self, table: &Table, status: &SessionStatus) -> Self {
        let result = agent_result(&table.folder(&status.id));
        let agent = result.and_then(|result| serde_json::to_value(result).ok()?.as_object().cloned());
        Self { agent, ..self }
    }

    /// With what came back of the repository.
    pub fn with_workspace(self, call: &Call, back: Option<Delivery>) -> Self {
        let Some(back) = back else { return self };
        back.tell(&call.cx);
        let Value::Object(workspace) = back.document() else { return self };
        Self { workspace: Some(workspace), ..self }
    }

    /// With what was said meanwhile, and in words.
    pub fn told(mut self, call: &Call, how: &str) -> (Self, String) {
        self.notes = call.cx.printer.take_notes();
        let on = self.machine.as_deref().map(|machine| format!(" on {}", visible_line(machine)));
        let mut text = format!("{} {}{} {how}", self.kind, visible_line(&self.id), on.unwrap_or_default());
        let mut line = |line: &str| {
            text.push('\n');
            text.push_str(line);
        };
        if let Some(said) = &self.line {
            line(said);
        }
        self.notes.iter().for_each(|note| line(note));
        if !self.output.is_empty() {
            line(if self.output_truncated { "the end of its output:" } else { "its output:" });
            line(&self.output);
        }
        (self, text)
    }
}

/// How a job stands, in words.
pub fn job_in_words(job: &JobView) -> String {
    let ran = job::ran(job, 0).map(|ran| format!(" after {}", human::duration(ran)));
    let why = job::why(job).map(|why| format!(": {why}"));
    format!("{}{}{}", job::end(job), ran.unwrap_or_default(), why.unwrap_or_default())
}

/// How a session stands, in words.
pub fn session_in_words(status: &SessionStatus) -> String {
    if !status.state.is_final() {
        return format!("is {}", status.state.as_str());
    }
    let why = status.error.as_deref().map(|why| format!(": {}", visible_line(why)));
    format!("{}{}", crew::how(status), why.unwrap_or_default())
}

/// The end of the newest attempt's output of a job.
pub async fn job_output(
    call: &Call,
    queue: &Queue,
    job: &JobView,
    max: Option<u32>,
) -> Result<(String, bool), Failure> {
    Ok(of_document(&job::document(&call.cx, queue, job).await?, max))
}

/// The end of a session's output.
pub fn session_output(
    call: &Call,
    table: &Table,
    status: &SessionStatus,
    max: Option<u32>,
) -> Result<(String, bool), Failure> {
    Ok(of_document(&crew::document(&call.cx, table, status)?, max))
}

fn of_document(document: &Value, max: Option<u32>) -> (String, bool) {
    let (text, cut) = result::output(document["output"].as_str().unwrap_or_default(), max);
    (text, cut || document["output_truncated"] == true)
}
