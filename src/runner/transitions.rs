//! What happens to jobs, as records of the flow. A task of its own writes them, so that no job waits for a disk.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::model::{Category, FlowRecord, Level, SessionId, Stage, Tier};
use crate::store::SYNC_INTERVAL;
use crate::util::{Clock, Shutdown};
use crate::work::Claim;

/// Records that wait to be written. Who writes more waits.
const QUEUE: usize = 1024;

/// Hands records to the task that writes them.
#[derive(Debug, Clone)]
pub struct Transitions {
    records: mpsc::Sender<FlowRecord>,
}

/// One thing that happened to a job.
pub struct Transition<'a> {
    /// Its name, such as `job.claimed`.
    pub action: &'static str,
    /// How urgent it is.
    pub level: Level,
    /// The job.
    pub id: &'a SessionId,
    /// Its role, where that is known.
    pub role: Option<&'a str>,
    /// Which attempt.
    pub attempt: Option<u32>,
    /// What else there is to say.
    pub payload: Value,
}

impl Transitions {
    /// Starts the task.
    pub fn start(flow: FlowConfig, clock: Clock, shutdown: &Shutdown) -> Self {
        let (records, mut waiting) = mpsc::channel::<FlowRecord>(QUEUE);
        let writer = Arc::new(std::sync::Mutex::new(Flow::new(flow, clock).synced_later()));
        let stopped = shutdown.stopped();
        drop(shutdown.spawn(async move {
            tokio::pin!(stopped);
            let mut due: Option<Instant> = None;
            let mut stopping = false;
            loop {
                let mut batch = Vec::new();
                let in_time = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    count = waiting.recv_many(&mut batch, 64) => if count == 0 { return },
                    () = in_time => {}
                    // Jobs that end meanwhile still have something to say; the last of them drops the channel.
                    () = &mut stopped, if !stopping => stopping = true,
                }
                // Beginnings go to the disk with the next end, or soon.
                let sync = stopping
                    || !batch.iter().all(is_beginning)
                    || due.is_some_and(|due| due <= Instant::now());
                due = if sync { None } else { due.or_else(|| Some(Instant::now() + SYNC_INTERVAL)) };
                let writer = Arc::clone(&writer);
                let written = tokio::task::spawn_blocking(move || write(&writer, batch, sync)).await;
                if let Err(error) = written {
                    tracing::error!(%error, "records of jobs could not be written");
                }
            }
        }));
        Self { records }
    }

    /// Writes a record soon.
    pub async fn tell(&self, transition: Transition<'_>) {
        let Transition { action, level, id, role, attempt, payload } = transition;
        let class = (level, Category::Machinery, Tier::Local, Stage::Dispatch);
        let mut record = FlowRecord::new(class, action, role.unwrap_or_default());
        record.session_id = Some(id.to_string());
        record.work_id = Some(id.to_string());
        record.attempt = attempt;
        record.source = Some("runner".to_owned());
        record.payload = (!payload.is_null()).then_some(payload);
        self.put(record).await;
    }

    /// Writes a record about a claimed job soon.
    pub async fn of_claim(&self, claim: &Claim, (action, level): (&'static str, Level), payload: Value) {
        let (role, attempt) = (Some(claim.job.role_id.as_str()), Some(claim.attempt));
        self.tell(Transition { action, level, id: &claim.id, role, attempt, payload }).await;
    }

    /// The end of a job of darkmux 1.9, for its publisher: that looks for a `dispatch complete`, and for nothing
    /// else.
    pub async fn tell_1_9(&self, (session, role): (&str, &str), exit_code: i32, wall_ms: Option<u64>) {
        let class = (Level::Info, Category::Work, Tier::Local, Stage::Dispatch);
        let mut record = FlowRecord::new(class, "dispatch complete", role);
        record.session_id = Some(session.to_owned());
        record.source = Some("crew_dispatch".to_owned());
        record.payload = Some(json!({
            "runtime": "internal",
            "result_class": if exit_code == 0 { "ok" } else { "error" },
            "exit_code": exit_code,
            "wall_ms": wall_ms.unwrap_or(0),
        }));
        self.put(record).await;
    }

    async fn put(&self, record: FlowRecord) {
        if self.records.send(record).await.is_err() {
            tracing::debug!("a record of a job came after the end");
        }
    }
}

/// Whether a record tells of a job that goes on.
fn is_beginning(record: &FlowRecord) -> bool {
    record.action == "job.claimed"
}

fn write(flow: &std::sync::Mutex<Flow>, batch: Vec<FlowRecord>, sync: bool) {
    let mut flow = flow.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for record in batch {
        if let Err(error) = flow.append(record) {
            tracing::error!(%error, "a record of a job was not kept");
        }
    }
    if sync && let Err(error) = flow.sync() {
        tracing::error!(%error, "records of jobs are not on the disk yet");
    }
}
