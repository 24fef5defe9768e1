//! What happens to links, as records of the flow. A task of its own writes them, so that no link waits for a disk.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::model::{Category, FlowRecord, Level, Stage, Tier};
use crate::util::{Clock, Shutdown};

/// Records that wait to be written; what comes beyond is left out, and said in the log.
const QUEUE: usize = 256;

/// Hands records to the task that writes them.
#[derive(Debug, Clone)]
pub struct LinkRecords {
    records: mpsc::Sender<FlowRecord>,
}

impl LinkRecords {
    /// Starts the task.
    pub fn start(flow: FlowConfig, clock: Clock, shutdown: &Shutdown) -> Self {
        let (records, mut waiting) = mpsc::channel::<FlowRecord>(QUEUE);
        let stopped = shutdown.stopped();
        drop(shutdown.spawn(async move {
            tokio::pin!(stopped);
            let mut writer = Some(Flow::new(flow, clock));
            loop {
                let mut batch = Vec::new();
                tokio::select! {
                    count = waiting.recv_many(&mut batch, QUEUE) => if count == 0 { return },
                    () = &mut stopped => return,
                }
                let Some(mut flow) = writer.take() else { return };
                let written = tokio::task::spawn_blocking(move || {
                    for record in batch {
                        if let Err(error) = flow.append(record) {
                            tracing::error!(%error, "a record of a peer was not kept");
                        }
                    }
                    if let Err(error) = flow.sync() {
                        tracing::error!(%error, "records of peers are not on the disk yet");
                    }
                    flow
                });
                writer = written.await.ok();
            }
        }));
        Self { records }
    }

    /// The link to a peer is up, is down, or was refused.
    pub fn tell(&self, action: &'static str, level: Level, peer: &str, payload: Value) {
        let class = (level, Category::Machinery, Tier::Local, Stage::Dispatch);
        let mut record = FlowRecord::new(class, action, peer);
        record.source = Some("peer".to_owned());
        record.payload = Some(if payload.is_null() { json!({}) } else { payload });
        if self.records.try_send(record).is_err() {
            tracing::warn!(peer, action, "a record of a peer is left out: too many wait");
        }
    }
}
