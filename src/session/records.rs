//! The records a dispatch leaves in the flow: `dispatch start`, then `dispatch complete` or `dispatch error`.
//! The host writes them, because it outlives whoever asked for the session;
//! for a host that died, whoever notices.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::flow::{Flow, FlowError};
use crate::model::{Category, FlowRecord, Level, Stage, Tier};
use crate::store::SYNC_INTERVAL;
use crate::wire::{DispatchFacts, SessionSpec, SessionStatus};

/// Writes one dispatch's records; says nothing for a session that is no dispatch. Clones write the same ones.
#[derive(Clone)]
pub struct Records {
    dispatch: Option<(DispatchFacts, String, String)>,
    kept: Arc<Mutex<Kept>>,
}

/// Where they go, and why one did not get there.
struct Kept {
    flow: Option<Flow>,
    refused: Option<String>,
}

impl Kept {
    fn note(&mut self, done: Result<(), FlowError>) {
        if let Err(error) = done {
            tracing::error!(%error, "a flow record could not be kept");
            self.refused.get_or_insert(error.to_string());
        }
    }
}

impl Records {
    /// For the session of `spec`; without a flow nothing is written.
    pub fn new(flow: Option<Flow>, spec: &SessionSpec) -> Self {
        let role = spec.role.as_ref().map(ToString::to_string).unwrap_or_default();
        let dispatch = spec.dispatch.clone().map(|facts| (facts, role, spec.id.to_string()));
        Self { dispatch, kept: Arc::new(Mutex::new(Kept { flow, refused: None })) }
    }

    /// The session is about to start.
    pub fn start(&self, spec: &SessionSpec) {
        let Some((facts, ..)) = &self.dispatch else { return };
        let payload = json!({
            "runtime": facts.runtime,
            "prompt_chars": facts.prompt_chars,
            "system_chars": facts.system_chars,
            "workspace": spec.cwd,
        });
        self.write(Level::Info, "dispatch start", payload);
    }

    /// The process could not be started, or how it ended will never be known.
    pub fn failed(&self, error: &str) {
        let Some((facts, ..)) = &self.dispatch else { return };
        let payload = json!({ "runtime": facts.runtime, "result_class": "error", "error": error });
        self.write(Level::Error, "dispatch error", payload);
    }

    /// The session has ended.
    pub fn end(&self, status: &SessionStatus) {
        let Some((facts, ..)) = &self.dispatch else { return };
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
        let (level, action) =
            if good { (Level::Info, "dispatch complete") } else { (Level::Error, "dispatch error") };
        self.write(level, action, payload);
    }

    /// Brings the records to the disk.
    pub fn sync(&self) {
        let mut kept = self.lock();
        let synced = kept.flow.as_mut().map_or(Ok(()), Flow::sync);
        kept.note(synced);
    }

    /// Brings to the disk what is written by then, once the time is over within which records must be there.
    pub async fn sync_in_time(self) {
        tokio::time::sleep(SYNC_INTERVAL).await;
        let _ = tokio::task::spawn_blocking(move || self.sync()).await;
    }

    /// Why a record was not kept as it should be, the first time.
    pub fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, level: Level, action: &str, payload: Value) {
        let Some((facts, role, session)) = &self.dispatch else { return };
        let mut record = FlowRecord::new((level, Category::Work, Tier::Local, Stage::Dispatch), action, role);
        record.session_id = Some(session.clone());
        record.source = Some("crew_dispatch".to_owned());
        record.payload = Some(payload);
        record.work_id.clone_from(&facts.work_id);
        record.attempt = facts.attempt;
        let mut kept = self.lock();
        let appended = kept.flow.as_mut().map_or(Ok(()), |flow| flow.append(record).map(|_| ()));
        kept.note(appended);
    }
}
