//! The records a session leaves in the flow: for a dispatch `dispatch start`, then `dispatch complete` or
//! `dispatch error`; for every session `session.needs_you` and `session.idle`. The host writes them, because it outlives whoever asked for the session;
//! for a host that died, whoever notices.

use serde_json::{Value, json};

use crate::flow::{Flow, FlowError};
use crate::model::{Category, FlowRecord, Level, Stage, Tier};
use crate::wire::{AgentResult, DispatchFacts, SessionSpec, SessionStatus};

/// Writes one session's records.
pub struct Records {
    flow: Option<Flow>,
    dispatch: Option<DispatchFacts>,
    /// The role, or what else the session is known by.
    handle: String,
    session: String,
    /// The model that did the work, once that is known.
    model: Option<String>,
    refused: Option<String>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Records {
    /// For the session of `spec`; without a flow nothing is written.
    pub fn new(flow: Option<Flow>, spec: &SessionSpec) -> Self {
        let role = spec.role.as_ref().map(ToString::to_string);
        let kind = || spec.kind.clone().unwrap_or_else(|| "shell".to_owned());
        Self {
            flow,
            dispatch: spec.dispatch.clone(),
            handle: role.unwrap_or_else(kind),
            session: spec.id.to_string(),
            model: None,
            refused: None,
        }
    }

    /// The session is about to start.
    pub fn start(&mut self, spec: &SessionSpec) {
        if let Some(record) = self.of_start(spec) {
            self.append(record);
        }
    }

    /// As [`start`](Self::start), on a thread that can't wait. `false`: nothing was written, for somebody or something
    /// would have to be waited for.
    pub fn start_at_once(&mut self, spec: &SessionSpec) -> bool {
        let Some(record) = self.of_start(spec) else { return true };
        let Some(flow) = &mut self.flow else { return true };
        let kept = flow.append_at_once(record);
        let is_done = kept.is_some();
        self.note(kept.map_or(Ok(()), |kept| kept.map(drop)));
        is_done
    }

    fn of_start(&self, spec: &SessionSpec) -> Option<FlowRecord> {
        let facts = self.dispatch.as_ref()?;
        let payload = json!({
            "runtime": facts.runtime,
            "prompt_chars": facts.prompt_chars,
            "system_chars": facts.system_chars,
            "workspace": spec.cwd,
        });
        Some(self.record((Level::Info, Stage::Dispatch), "dispatch start", payload))
    }

    /// The process could not be started, or how it ended will never be known.
    pub fn failed(&mut self, error: &str) {
        let Some(facts) = &self.dispatch else { return };
        let payload = json!({ "runtime": facts.runtime, "result_class": "error", "error": error });
        self.write((Level::Error, Stage::Dispatch), "dispatch error", payload);
    }

    /// The session has ended; `result` is that of the built-in agent.
    pub fn end(&mut self, status: &SessionStatus, result: Option<&AgentResult>) {
        let Some(facts) = &self.dispatch else { return };
        let good = status.exit_code == Some(0);
        let mut payload = json!({
            "runtime": facts.runtime,
            "wall_ms": status.ran().map(|ran| i64::try_from(ran.as_millis()).unwrap_or(0)),
            "stdout_chars": status.output.end,
            "stderr_chars": 0,
            "exit_code": status.exit_code,
            "result_class": if good { "ok" } else { "error" },
        });
        if let (Some(error), Value::Object(payload)) = (&status.error, &mut payload) {
            payload.insert("error".to_owned(), Value::from(error.as_str()));
        }
        // What it took stands beside, as darkmux 1.9 has it.
        let totals = result.map(|result| json!(result.totals));
        if let (Some(Value::Object(totals)), Value::Object(payload)) = (totals, &mut payload) {
            payload.extend(totals);
        }
        self.model = result.map(|result| result.model.clone()).filter(|model| !model.is_empty());
        let (level, action) =
            if good { (Level::Info, "dispatch complete") } else { (Level::Error, "dispatch error") };
        self.write((level, Stage::Dispatch), action, payload);
    }

    /// Its agent waits for a person. The question itself is the session's: everybody on this machine may read the flow.
    pub fn needs_you(&mut self, question: &str) {
        let payload = json!({ "question_chars": question.chars().count() });
        self.write((Level::Info, Stage::Review), "session.needs_you", payload);
    }

    /// Its agent ended a turn, and the session goes on.
    pub fn idle(&mut self) {
        self.write((Level::Info, Stage::Review), "session.idle", json!({}));
    }

    /// Brings the records to the disk.
    pub fn sync(&mut self) {
        let synced = self.flow.as_mut().map_or(Ok(()), Flow::sync);
        self.note(synced);
    }

    /// Why a record was not kept as it should be, the first time.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    fn note(&mut self, done: Result<(), FlowError>) {
        if let Err(error) = done {
            tracing::error!(%error, "a flow record could not be kept");
            self.refused.get_or_insert(error.to_string());
        }
    }

    fn write(&mut self, class: (Level, Stage), action: &str, payload: Value) {
        let record = self.record(class, action, payload);
        self.append(record);
    }

    fn append(&mut self, record: FlowRecord) {
        let kept = self.flow.as_mut().map_or(Ok(()), |flow| flow.append(record).map(drop));
        self.note(kept);
    }

    fn record(&self, (level, stage): (Level, Stage), action: &str, payload: Value) -> FlowRecord {
        let mut record = FlowRecord::new((level, Category::Work, Tier::Local, stage), action, &self.handle);
        record.session_id = Some(self.session.clone());
        if let Some(facts) = &self.dispatch {
            record.source = Some("crew_dispatch".to_owned());
            record.work_id.clone_from(&facts.work_id);
            record.attempt = facts.attempt;
        } else {
            record.source = Some("session".to_owned());
        }
        record.payload = Some(payload);
        record.model.clone_from(&self.model);
        record
    }
}
